//! What a device holds besides LUKS: `blkid` is the oracle wherever it knows the format, on images that others' programs
//! make here and now, and on those of `tests/signatures`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use udm_luks::signature::{Kind, SIGNATURES, probe};

/// The names of all signatures of a file.
fn names(path: &Path) -> Vec<&'static str> {
    let found = probe(&File::open(path).unwrap()).unwrap();
    found.iter().map(|found| found.signature.name).collect()
}

fn succeeds(command: &mut Command) -> Vec<u8> {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask deps installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// What blkid says: the file system or member, or else the table of partitions; `None` where it knows nothing.
fn blkid(path: &Path) -> Option<String> {
    let ask = |tag: &str| {
        let output = program("blkid").args(["-p", "-o", "value", "-s", tag]).arg(path).output();
        let output = output.expect("blkid is missing: cargo xtask deps installs it");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    [ask("TYPE"), ask("PTTYPE")].into_iter().find(|name| !name.is_empty())
}

fn sparse(folder: &Path, name: &str, size: u64) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

#[test]
fn what_others_make_is_named_as_blkid_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for kind in ["ext2", "ext3", "ext4"] {
        let path = sparse(folder, kind, 8 << 20);
        succeeds(program("mke2fs").args(["-q", "-t", kind]).arg(&path));
        assert_eq!((names(&path), blkid(&path).as_deref()), (vec![kind], Some(kind)));
    }
    let path = sparse(folder, "journal", 8 << 20);
    succeeds(program("mke2fs").args(["-q", "-O", "journal_dev", "-b", "4096"]).arg(&path));
    assert_eq!((names(&path), blkid(&path).as_deref()), (vec!["jbd"], Some("jbd")));
    for page in ["4096", "8192", "65536"] {
        let path = sparse(folder, &format!("swap{page}"), 1 << 20);
        succeeds(program("mkswap").args(["-p", page]).arg(&path));
        assert_eq!((names(&path), blkid(&path).as_deref()), (vec!["swap"], Some("swap")), "pages of {page}");
    }
    for version in ["luks1", "luks2"] {
        let path = sparse(folder, version, 20 << 20);
        let key = folder.join("key");
        std::fs::write(&key, "secret").unwrap();
        let costs = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
        let mut format = program("cryptsetup");
        format.args(["luksFormat", "-q", "--type", version]).args(costs).arg(&path).arg(&key);
        succeeds(&mut format);
        assert_eq!((names(&path), blkid(&path).as_deref()), (vec!["crypto_LUKS"], Some("crypto_LUKS")));
    }
}

#[test]
fn images_of_disks_are_known() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["qcow2", "qcow", "qed", "vmdk", "vhdx", "vpc", "vdi", "parallels"] {
        let path = folder.path().join(format);
        succeeds(program("qemu-img").args(["create", "-q", "-f", format]).arg(&path).arg("8M"));
        assert_eq!(names(&path), [format]);
        let found = probe(&File::open(&path).unwrap()).unwrap()[0];
        // QEMU opens it by the name that is told of it.
        let name = found.qemu_format().unwrap();
        succeeds(program("qemu-img").args(["info", "-f", name]).arg(&path));
    }
    // A VHD of fixed size is known by its last sector alone.
    let path = folder.path().join("fixed");
    succeeds(
        program("qemu-img").args(["create", "-q", "-f", "vpc", "-o", "subformat=fixed"]).arg(&path).arg("8M"),
    );
    assert_eq!(names(&path), ["vpc"]);
}

#[test]
fn files_that_were_packed_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, [0; 5000]).unwrap();
    for (packer, name) in [("gzip", "gzip"), ("xz", "xz")] {
        let path = folder.path().join(name);
        std::fs::write(&path, succeeds(program(packer).arg("-c").arg(&plain))).unwrap();
        assert_eq!(names(&path), [name]);
    }
    let path = folder.path().join("tar");
    succeeds(program("tar").arg("-cf").arg(&path).arg("-C").arg(folder.path()).arg("plain"));
    assert_eq!(names(&path), ["tar"]);
}

/// The images of `tests/signatures`, with what each is, and whether blkid knows it.
const KEPT: &[(&str, &str, bool)] = &[
    ("bitlocker", "BitLocker", true),
    ("btrfs", "btrfs", true),
    ("dos", "dos", true),
    ("e01", "E01", false),
    ("erofs", "erofs", true),
    ("exfat", "exfat", true),
    ("f2fs", "f2fs", true),
    ("fat", "vfat", true),
    ("fat12", "vfat", true),
    ("fat32", "vfat", true),
    ("gpt", "gpt", true),
    ("iso9660", "iso9660", true),
    ("lvm", "LVM2_member", true),
    ("md090", "linux_raid_member", true),
    ("md10", "linux_raid_member", true),
    ("md11", "linux_raid_member", true),
    ("md12", "linux_raid_member", true),
    ("ntfs", "ntfs", true),
    ("squashfs", "squashfs", true),
    ("xfs", "xfs", true),
    ("zfs", "zfs_member", true),
];

fn kept(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/signatures/{name}.img.xz"));
    succeeds(program("xz").args(["-d", "-c"]).arg(path))
}

#[test]
fn the_kept_images_are_named_as_blkid_names_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected, blkid_knows) in KEPT {
        let path = folder.path().join(name);
        std::fs::write(&path, kept(name)).unwrap();
        assert_eq!(names(&path), [*expected], "{name}");
        assert_eq!(blkid(&path).as_deref(), blkid_knows.then_some(*expected), "{name}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_lvm_label_over_a_luks2_header_shows_both() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "secret").unwrap();
    let path = sparse(folder.path(), "both", 20 << 20);
    let mut format = program("cryptsetup");
    format.args([
        "luksFormat",
        "-q",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
    ]);
    succeeds(format.arg(&path).arg(&key));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].copy_from_slice(&kept("lvm")[..4096]);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(names(&path), ["crypto_LUKS", "LVM2_member"]);
    let found = probe(&File::open(&path).unwrap()).unwrap();
    assert_eq!(found.iter().map(|found| found.offset).collect::<Vec<_>>(), [16 << 10, 512]);
}

#[test]
fn noise_and_zeros_and_what_ends_early_have_no_signature() {
    assert!(probe(&Vec::new()).unwrap().is_empty());
    assert!(probe(&vec![0; 1 << 20]).unwrap().is_empty());
    let mut seed = 0x5eed_u64;
    let mut noise = vec![0; 1 << 20];
    for byte in &mut noise {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (seed >> 56) as u8;
    }
    assert!(probe(&noise).unwrap().is_empty());
    // Every signature, cut at every byte of its beginning: nothing panics, and nothing is read beyond the end.
    for (name, ..) in KEPT {
        let image = kept(name);
        for len in (0..1100).chain([4095, 4096, 4097, 65_599, 65_600]) {
            probe(&image[..len.min(image.len())].to_vec()).unwrap();
        }
    }
}

#[test]
fn each_row_has_a_name_and_a_title_that_stand_in_a_sentence() {
    for signature in SIGNATURES {
        assert!(!signature.name.contains(char::is_whitespace), "{signature:?}");
        let begins = ["a ", "an ", "compressed with "].iter().any(|word| signature.title.starts_with(word));
        assert!(begins && !signature.title.ends_with('.'), "{signature:?}");
        assert_eq!(signature.kind == Kind::PartitionTable, ["gpt", "dos", "PMBR"].contains(&signature.name));
    }
}

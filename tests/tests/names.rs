//! What names mean: volumes on exports, paths of any bytes, files that are called like something else, and what a file is
//! that is no volume.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use udm_tests::judge::judge;
use udm_tests::program::{self, run};
use udm_tests::volume::noise;

const MIB: usize = 1 << 20;
const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// Runs `udm` in `folder`.
fn run_in(folder: &Path, args: &[&OsStr]) -> Output {
    Command::new(program::path())
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("udm runs")
}

fn words<'a>(args: &'a [&'a str]) -> Vec<&'a OsStr> {
    args.iter().map(OsStr::new).collect()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) -> Vec<u8> {
    assert!(output.status.success(), "{}: {}", output.status, told(output));
    output.stdout.clone()
}

/// A qemu-nbd of one client, which ends when that has gone: a volume on it must be opened by one connection.
struct Export(Child, String);

impl Export {
    fn of(image: &str, folder: &Path) -> Self {
        let socket = folder.join("qemu.sock");
        let _ = fs::remove_file(&socket);
        let mut server = Command::new("qemu-nbd");
        server.args(["-f", "raw", "-k"]).arg(&socket).arg(image).stdin(Stdio::null());
        let child = server.spawn();
        let child = child.unwrap_or_else(|error| panic!("qemu-nbd: {error}; cargo xtask deps installs it"));
        // Ended when it is dropped, also where it does not listen.
        let mut export = Self(child, format!("nbd+unix:///?socket={}", socket.display()));
        program::until_it_listens(&mut export.0, &socket);
        export
    }

    /// Waits until it has ended, with all that was written in the image.
    fn end(mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The oracle is the file behind the export: read there, the volume has what was written through the export, and its bytes
/// are not the plaintext.
#[test]
fn a_volume_on_an_export_is_opened_like_one_in_a_file() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [image, key, plain, header, data] = ["image", "key", "plain", "header", "data"].map(path);
    fs::write(&key, "secret").unwrap();
    let bytes = noise(0x9A3E5, MIB);
    fs::write(&plain, &bytes).unwrap();
    succeeded(&run(["luks", "format", &image, "--size", "20M", "--key-file", &key].iter().chain(&CHEAP)));
    File::create(&data).unwrap().set_len(4 << 20).unwrap();
    let format = ["luks", "format", &data, "--header", &header, "--key-file", &key];
    succeeded(&run(format.iter().chain(&CHEAP)));
    for (image, options) in [(&image, vec![]), (&data, vec!["--header", &header])] {
        let open: Vec<&str> = ["--key-file", &key].into_iter().chain(options).collect();
        let command = |name: &'static str, device: &str, more: &[&str]| {
            let words = [name, device].into_iter().chain(open.iter().copied()).chain(more.iter().copied());
            run(words.map(str::to_owned).collect::<Vec<_>>())
        };
        let export = Export::of(image, folder.path());
        succeeded(&command("write", &export.1, &["--offset", "4096", "--input", &plain]));
        export.end();
        let read = ["--offset", "4096", "--length", "1M"];
        assert!(succeeded(&command("read", image, &read)) == bytes, "of the file");
        assert!(!fs::read(image).unwrap().windows(64).any(|window| window == &bytes[..64]), "plaintext");
        let export = Export::of(image, folder.path());
        assert!(succeeded(&command("read", &export.1, &read)) == bytes, "of the export");
        export.end();
        let export = Export::of(image, folder.path());
        let out = path("out");
        succeeded(&command("convert", &export.1, &[&format!("raw:{out}"), "--quiet"]));
        export.end();
        assert!(fs::read(&out).unwrap()[4096..4096 + MIB] == bytes, "converted");
        fs::remove_file(&out).unwrap();
        // With raw: they are the bytes of the file, and a wrong key is one.
        let export = Export::of(image, folder.path());
        let raw = succeeded(&run(["read", &format!("raw:{}", export.1)]));
        export.end();
        assert!(raw == fs::read(image).unwrap(), "the bytes as they are");
        let export = Export::of(image, folder.path());
        let wrong = run([
            "read",
            &*export.1,
            "--key-file",
            &*plain,
            "--header",
            if *image == data { &header } else { image },
        ]);
        assert!(wrong.status.code() != Some(0) && wrong.stdout.is_empty(), "{}", told(&wrong));
    }
    // The twin: an export without a header is not written to, and is named.
    let export = Export::of(&plain, folder.path());
    let refused = run(["write", &*export.1, "--offset", "0", "--input", &*key]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains(&format!("raw:{}", export.1)), "{}", told(&refused));
    export.end();
    assert!(fs::read(&plain).unwrap() == bytes, "it was written to");
}

#[test]
fn an_export_is_served_further() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plain, below, above) = (path("plain"), path("below"), path("above"));
    fs::write(&plain, noise(0x9A3E6, MIB)).unwrap();
    let first = program::Served::start([&format!("raw:{plain}"), "--nbd", &below], 1);
    let second = program::Served::start([&format!("raw:{}", first.uri()), "--nbd", &above], 1);
    judge("nbdcopy", [second.uri(), &path("copy")]);
    assert!(fs::read(path("copy")).unwrap() == fs::read(&plain).unwrap());
    // Without raw: it is no volume, and no library is spoken of.
    let refused = run(["serve", first.uri(), "--nbd", &path("third")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("has no LUKS header") && !told(&refused).contains("library"));
}

/// Files whose names are not UTF-8, or are those of something else, in every command. The oracle is their content.
#[test]
fn a_name_that_is_a_file_means_that_file() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    let here = folder.path();
    fs::write(here.join("key"), "secret").unwrap();
    let names: [&[u8]; 8] =
        [b"caf\xe9.img", b"ram:1M", b"null:5", b"nbd:foo", b"x=1.img", b"raw:y", b"a b\\xe9", b"\xff=\xfe"];
    for (index, name) in names.iter().enumerate() {
        let name = OsStr::from_bytes(name);
        let raw: OsString = [OsStr::new("raw:"), name].into_iter().collect();
        fs::write(here.join("plain"), noise(index as u64, 4096)).unwrap();
        let command = |before: &[&str], device: &OsStr, behind: &[&str]| {
            let all: Vec<&OsStr> = words(before).into_iter().chain([device]).chain(words(behind)).collect();
            run_in(here, &all)
        };
        succeeded(&command(
            &["luks", "format"],
            name,
            &["key", "--size", "17M", CHEAP[0], CHEAP[1], CHEAP[2], CHEAP[3]],
        ));
        let open = ["-d", "key"];
        succeeded(&command(&["write", "--offset", "512", "--input", "plain", "-d", "key"], name, &[]));
        let read = succeeded(&command(&["read", "--offset", "512", "--length", "4K"], name, &open));
        assert!(read == noise(index as u64, 4096), "{name:?}");
        let bytes = succeeded(&command(&["read"], &raw, &[]));
        assert!(bytes == fs::read(here.join(name)).unwrap(), "{name:?}");
        succeeded(&command(&["verify", "--length", "4K"], name, &open));
        succeeded(&command(&["convert", "-q", "-d", "key"], name, &["raw:out"]));
        assert!(fs::read(here.join("out")).unwrap()[512..4608] == noise(index as u64, 4096), "{name:?}");
        succeeded(&command(&["convert", "-q", "-n", "raw:out"], name, &["--dst-key-file", "key"]));
        fs::remove_file(here.join("out")).unwrap();
        // A server opens it, too, and has no place to listen at.
        let served = command(&["serve", "--nbd", "nowhere/socket"], name, &open);
        assert!(served.status.code() == Some(1) && told(&served).contains("nowhere"), "{}", told(&served));
        fs::remove_file(here.join(name)).unwrap();
    }
    // The twins: without such files they are memory, and NAME=DEVICE.
    assert_eq!(succeeded(&run_in(here, &words(&["read", "ram:1M", "--length", "512"]))), [0; 512]);
    let served = run_in(here, &words(&["serve", "--nbd", "nowhere/socket", "x=ram:1M"]));
    assert!(told(&served).contains("nowhere"), "{}", told(&served));
}

/// The oracle is the file's content; the twin is the same name as a table has it.
#[test]
fn a_table_file_may_have_the_bytes_of_a_path_as_they_are() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    let here = folder.path();
    fs::write(here.join(OsStr::from_bytes(b"caf\xe9.img")), noise(5, 1024)).unwrap();
    for name in [&b"caf\xe9.img"[..], b"caf\\\\xe9.img"] {
        fs::write(here.join("table"), [b"0 2 linear ", name, b" 0\n"].concat()).unwrap();
        let read = succeeded(&run_in(here, &words(&["read", "--table-file", "table"])));
        assert!(read == noise(5, 1024), "{}", name.escape_ascii());
    }
}

#[test]
fn a_name_that_means_two_files_is_refused_with_both() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    for name in ["x=1.img", "1.img", "raw:y", "y"] {
        fs::write(folder.path().join(name), [0; 4096]).unwrap();
    }
    let twice = run_in(folder.path(), &words(&["read", "raw:y"]));
    assert_eq!(twice.status.code(), Some(2));
    assert!(told(&twice).contains("./raw:y") && told(&twice).contains("raw:./y"), "{}", told(&twice));
    let twice = run_in(folder.path(), &words(&["serve", "--nbd", "nowhere/socket", "x=1.img"]));
    assert_eq!(twice.status.code(), Some(2));
    assert!(told(&twice).contains("./x=1.img") && told(&twice).contains("x=./1.img"), "{}", told(&twice));
    // Each of the words that it is told to choose from does.
    for (word, size) in [("raw:./y", 4096), ("raw:./raw:y", 4096)] {
        assert_eq!(succeeded(&run_in(folder.path(), &words(&["read", word]))).len(), size);
    }
}

#[test]
fn sockets_have_names_of_any_bytes_and_a_file_is_served_under_two_names() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    let plain: PathBuf = folder.path().join("plain");
    fs::write(&plain, noise(0x9A3E7, MIB)).unwrap();
    let socket = folder.path().join(OsStr::from_bytes(b"s\xe9ock"));
    let device = |name: &str, path: &Path| OsString::from(format!("{name}=raw:{}", path.display()));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&plain, &link).unwrap();
    let args = [device("one", &plain), device("two", &link), "--nbd".into(), socket.clone().into_os_string()];
    let served = program::Served::start(args, 2);
    assert!(served.uris.iter().all(|uri| uri.contains("s%E9ock")), "{:?}", served.uris);
    for (index, uri) in served.uris.iter().enumerate() {
        let back = succeeded(&run(["read", &format!("raw:{uri}")]));
        assert!(back == fs::read(&plain).unwrap(), "export {index}");
    }
}

/// What a file is that is no volume. The oracle is the program that made it.
#[test]
fn a_file_that_is_no_volume_is_called_what_it_is() {
    let folder = TempDir::with_prefix("udm-names-").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut made = Vec::new();
    for format in ["qcow2", "vmdk", "vhdx", "vdi"] {
        judge("qemu-img", ["create", "-q", "-f", format, &path(format), "8M"]);
        made.push((path(format), format!("--format {format}"), false));
    }
    fs::write(path("plain"), [7; 9000]).unwrap();
    judge("xz", ["-k", &path("plain")]);
    made.push((path("plain.xz"), "compressed with xz".into(), false));
    fs::write(path("e01"), [b"EVF\x09\x0d\x0a\xff\x00", &[0; 4088][..]].concat()).unwrap();
    made.push((path("e01"), "ewfmount".into(), false));
    fs::write(path("bitlocker"), [b"\xeb\x58\x90-FVE-FS-", &[0; 4085][..]].concat()).unwrap();
    made.push((path("bitlocker"), "BitLocker".into(), false));
    let mut gpt = vec![0; 1 << 20];
    gpt[512..520].copy_from_slice(b"EFI PART");
    fs::write(path("gpt"), gpt).unwrap();
    made.push((path("gpt"), "GPT partition table".into(), false));
    File::create(path("ext4")).unwrap().set_len(8 << 20).unwrap();
    judge("mke2fs", ["-q", "-t", "ext4", &path("ext4")]);
    made.push((path("ext4"), "an ext4 file system".into(), true));
    // The twin: what is nothing known.
    made.push((path("plain"), "has no LUKS header".into(), true));
    for (image, what, advises_raw) in made {
        let out = format!("raw:{}", path("out"));
        for command in
            [vec!["read", &image], vec!["convert", &image, &out], vec!["serve", &image, "--nbd", &out]]
        {
            let refused = run(command);
            let told = told(&refused);
            assert_eq!(refused.status.code(), Some(2), "{told}");
            assert!(told.contains(&what) && told.contains("raw:/") == advises_raw, "{image}: {told}");
        }
    }
}

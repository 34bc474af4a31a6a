//! `udm convert` through the whole program: what it makes is read by programs that others wrote.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use udm_reference::{Cipher, Iv, Mistake, Mode};
use udm_tests::images::{CHEAP, Files, MIB, assert_refused, convert, convert_limited, converted, text};
use udm_tests::judge::judge;
use udm_tests::program::run;
use udm_tests::volume::Volume;

/// Oracles: qemu-img compares images of its own LUKS driver, and the holes are what the file system counts.
#[test]
fn qemu_img_reads_what_is_converted_and_holes_stay_holes() {
    let files = Files::new(24 * MIB, 0xC0_4E41);
    let secret = format!("secret,id=s,file={}", files.path("key"));
    let luks = |name: &str| format!("driver=luks,key-secret=s,file.filename={}", files.path(name));
    let (plain, back, image) = (files.path("plain"), files.path("back"), files.path("one.img"));
    files.luks_format("one.img", "key", "--type luks1");
    let told = converted(&["-n", &files.raw("plain"), &image, "--dst-key-file", &files.path("key")]);
    // A hole in ciphertext would read as garbage.
    assert_eq!((told["written"].as_u64(), told["zeros"].as_u64()), (Some(24 << 20), Some(0)), "{told}");
    assert!(told["read"].as_u64().unwrap() < 20 << 20, "holes were read: {told}");
    judge("qemu-img", ["convert", "--object", &secret, "--image-opts", "-O", "raw", &luks("one.img"), &back]);
    assert!(fs::read(&back).unwrap()[..files.plain.len()] == files.plain, "qemu-img reads something else");

    let told = converted(&["--verify", "-d", &files.path("key"), &image, &files.raw("out")]);
    let room = fs::metadata(&image).unwrap().len() as usize;
    let out = fs::read(files.path("out")).unwrap();
    assert!(out.len() < room && out[..files.plain.len()] == files.plain, "udm reads something else");
    let blocks = fs::metadata(files.path("out")).unwrap().blocks() as usize * 512;
    assert!(blocks < 18 * MIB + room - 24 * MIB, "{blocks} bytes are allocated");
    assert_eq!(told["sha256"], judge("sha256sum", [&files.path("out")])[..64], "{told}");
    assert_eq!(fs::metadata(files.path("out")).unwrap().mode() & 0o777, 0o600, "secrets for everybody");

    // Plain to plain is as qemu-img would copy it; the bad twin differs in one byte.
    converted(&[&files.raw("plain"), &files.raw("copy")]);
    judge("qemu-img", ["compare", "-f", "raw", "-F", "raw", &plain, &files.path("copy")]);
    File::options().write(true).open(files.path("copy")).unwrap().write_all_at(&[1], 9 << 20).unwrap();
    let twin = udm_tests::judge::try_judge(
        "qemu-img",
        ["compare", "-f", "raw", "-F", "raw", &plain, &files.path("copy")],
    );
    assert_eq!(twin.status.code(), Some(1), "{twin:?}");
}

/// What a volume of aes-xts-plain64 with sectors of 4096 bytes holds: cryptsetup tells its volume key, and a model that
/// shares no code with udm decrypts it.
fn decrypted(files: &Files, name: &str, key: &str) -> Vec<u8> {
    let volume_key = files.path(&format!("{name}.volume-key"));
    let words = ["luksDump", "-q", "--dump-volume-key", "--volume-key-file", &volume_key, "--key-file"];
    judge("cryptsetup", words.into_iter().chain([&*files.path(key), &*files.path(name)]));
    let model = udm_reference::Volume {
        cipher: Cipher::Aes,
        mode: Mode::Xts,
        iv: Iv::Plain64,
        of_iv: Vec::new(),
        keys: vec![fs::read(volume_key).unwrap()],
        sector_size: 4096,
        large: false,
        iv_offset: 0,
        mistake: Mistake::None,
    };
    model.decrypt(0, &fs::read(files.path(name)).unwrap()[16 * MIB..][..files.plain.len()])
}

/// The oracles are the plaintext, and a decryptor of its own: see [`decrypted`].
#[test]
fn keys_ciphers_and_sector_sizes_change_and_the_payload_does_not() {
    let files = Files::new(16 * MIB, 0xC0_4E42);
    files.luks_format("one.img", "key", "--type luks2 --cipher aes-cbc-essiv:sha256 --key-size 256");
    files.luks_format("two.img", "other-key", "--type luks2 --sector-size 4096");
    let (one, two) = (files.path("one.img"), files.path("two.img"));
    let (key, other) = (files.path("key"), files.path("other-key"));
    converted(&["-n", &files.raw("plain"), &one, "--dst-key-file", &key]);
    let told = converted(&["-n", "--verify", &one, &two, "--key-file", &key, "--dst-key-file", &other]);
    assert_eq!(told["verified"], true);
    assert!(decrypted(&files, "two.img", "other-key") == files.plain, "it decrypts to something else");

    // Through tables, with another IV mode, and back.
    let volume = Volume::new(16 << 20, "aes-cbc-essiv:sha256", 32, "", 7);
    let table = volume.table.to_str().unwrap();
    converted(&["-n", &files.raw("plain"), "--dst-table-file", table]);
    converted(&["--table-file", table, &files.raw("back")]);
    assert!(fs::read(files.path("back")).unwrap() == files.plain);
    assert!(fs::read(&volume.image).unwrap()[4 * MIB..8 * MIB].chunks(512).all(|sector| sector != [0; 512]));
    let refused = convert(&[&files.raw("plain"), "--dst-table-file", table]);
    assert_refused(&refused, 2, &["a table is there already", "--no-create"]);
}

/// Oracles: qemu-img reads the LUKS1 volume; cryptsetup opens each with its passphrase; [`decrypted`].
#[test]
fn a_plain_image_becomes_a_volume_that_others_open() {
    let files = Files::new(8 * MIB, 0xC0_4E4A);
    let (raw, key, other) = (files.raw("plain"), files.path("key"), files.path("other-key"));
    for (name, options) in [
        ("one", "--type luks1"),
        (
            "two",
            "--type luks2 --pbkdf argon2id --pbkdf-memory 64 --pbkdf-force-iterations 4 --pbkdf-parallel 1",
        ),
        ("cbc", "--cipher aes-cbc-essiv:sha256 --key-size 128 --sector-size 512 --label of-a-test"),
    ] {
        let image = files.path(name);
        let cheap = if options.contains("argon2id") { &[][..] } else { &CHEAP[..] };
        let words = [&[&*raw, &image, "--verify", "--dst-key-file", &key], cheap].concat();
        let told = converted(&words.into_iter().chain(options.split(' ')).collect::<Vec<_>>());
        assert_eq!(told["sha256"], judge("sha256sum", [&files.path("plain")])[..64], "{told}");
        judge("cryptsetup", ["open", "--test-passphrase", &image, "--key-file", &key]);
        let found = fs::metadata(&image).unwrap();
        assert!(found.blocks() * 512 >= found.len(), "there are holes in ciphertext");
    }
    let secret = format!("secret,id=s,file={key}");
    let luks = format!("driver=luks,key-secret=s,file.filename={}", files.path("one"));
    judge(
        "qemu-img",
        ["convert", "--object", &secret, "--image-opts", "-O", "raw", &luks, &files.path("back")],
    );
    assert!(fs::read(files.path("back")).unwrap() == files.plain, "qemu-img reads something else");
    // Another key in the place of the old volume; the old passphrase opens it no more.
    let two = files.path("two");
    let words = ["--force", &two, &two, "--key-file", &key, "--new-keyfile", &other, "--sector-size", "4096"];
    converted(&[&words[..], &CHEAP].concat());
    assert_refused(
        &run(["luks", "test-passphrase", &two, "--key-file", &key]),
        2,
        &["does not open key slot 0"],
    );
    assert!(decrypted(&files, "two", "other-key") == files.plain, "it decrypts to something else");
}

#[test]
fn a_volume_that_cannot_be_made_leaves_nothing_behind() {
    let files = Files::new(MIB, 0xC0_4E4B);
    let (raw, key, new) = (files.raw("plain"), files.path("key"), files.path("new"));
    fs::write(files.path("odd"), vec![7; 4096 + 512]).unwrap();
    let make = |source: &str, options: &str| {
        let words = [&[source, &*new, "--dst-key-file", &key], &CHEAP[..]].concat();
        convert(&words.into_iter().chain(options.split_whitespace()).collect::<Vec<_>>())
    };
    let odd = make(&files.raw("odd"), "--sector-size 4096");
    assert_refused(&odd, 2, &["4608 bytes", "sectors of 4096", "--sector-size 512 would do"]);
    assert_refused(&make(&raw, "--cipher aes-xts-plain46"), 2, &["plain46"]);
    assert_refused(&make(&raw, "--key-size 100"), 2, &["--key-size"]);
    assert_refused(&make(&raw, "--sector-size 1000"), 2, &["1000"]);
    assert_refused(&make(&raw, "--uuid 7"), 2, &["--uuid"]);
    let small = [&[&*raw, &*new, "--dst-key-file", &key], &CHEAP[..]].concat();
    assert_refused(&convert_limited(4 * MIB, &small), 1, &["cannot have the size of the source"]);
    let left: Vec<_> =
        fs::read_dir(files.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("new")), "{left:?} was left");
    // And a size that fits: sectors of 512 are chosen by themselves.
    assert!(make(&files.raw("odd"), "").status.success());
    let told = run(["luks", "dump", &new]);
    assert!(text(&told.stdout).contains("sector: 512"), "{}", text(&told.stdout));
}

#[test]
fn what_is_there_already_is_not_touched() {
    let files = Files::new(2 * MIB, 0xC0_4E43);
    let (raw, copy) = (files.raw("plain"), files.raw("copy"));
    fs::write(files.path("copy"), b"precious").unwrap();
    assert_refused(&convert(&[&raw, &copy]), 2, &["is there already", "--force replaces it", "--no-create"]);
    assert_refused(&convert(&["-n", &raw, &files.raw("none")]), 2, &["is not there"]);
    assert_refused(&convert(&["-n", &raw, &raw]), 2, &["is the source itself"]);
    assert_refused(&convert(&[&raw, &files.raw(".")]), 2, &["neither a file nor a block device"]);
    assert_refused(&convert(&[&raw]), 2, &["no destination was given"]);
    assert_refused(&convert(&[&raw, &copy, "--table", "0 8 zero"]), 2, &["one name too many"]);
    assert_eq!(fs::read(files.path("copy")).unwrap(), b"precious");
    converted(&["--force", &raw, &copy]);
    assert!(fs::read(files.path("copy")).unwrap() == files.plain);
    // Into what is there: what is behind the source's end stays, and zeros replace what was there.
    fs::write(files.path("large"), vec![7; 3 * MIB]).unwrap();
    converted(&["-n", &raw, &files.raw("large"), "--verify"]);
    let large = fs::read(files.path("large")).unwrap();
    assert!(large[..2 * MIB] == files.plain && large[2 * MIB..] == vec![7; MIB]);
    let left: Vec<_> =
        fs::read_dir(files.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("udm-")), "{left:?} was left");
}

#[test]
fn a_size_that_does_not_fit_is_refused_before_anything_is_written() {
    let files = Files::new(2 * MIB, 0xC0_4E44);
    let raw = files.raw("plain");
    fs::write(files.path("small"), vec![7; MIB]).unwrap();
    assert_refused(&convert(&["-n", &raw, &files.raw("small")]), 2, &["2097152 bytes", "room for 1048576"]);
    assert!(fs::read(files.path("small")).unwrap() == vec![7; MIB]);
    fs::write(files.path("half"), vec![7; 512 * 9]).unwrap();
    let volume = Volume::new(1 << 20, "aes-xts-plain64", 64, "1 sector_size:4096", 3);
    let into = convert(&["-n", &files.raw("half"), "--dst-table-file", volume.table.to_str().unwrap()]);
    assert_refused(&into, 2, &["4608 bytes", "sectors of 4096", "would do"]);
    assert!(!files.exists("new") && !files.exists("new.udm-part"));
}

//! cryptsetup makes volumes here and now, in as many ways as it can without device-mapper, changes their key slots, and
//! tells their volume keys; we open each to the same key. Where the kernel does the ciphering for cryptsetup, it needs
//! rights that these tests do not have, so ciphers are AES here; the others are in `vectors.rs`.

use std::fs::File;

use crate::support::bench::Bench;
use udm_luks::{Error, Header, HeaderPlace, Volume};

const CHEAP2: &str = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";

#[test]
fn what_cryptsetup_formats_opens_to_its_own_volume_key() {
    let bench = Bench::new();
    let mut formats = Vec::new();
    for hash in [
        "sha1",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "ripemd160",
        "whirlpool",
        "sha3-224",
        "sha3-256",
        "sha3-384",
        "sha3-512",
        "blake2b-256",
        "blake2b-512",
        "blake2s-256",
    ] {
        formats.push(format!("--type luks2 {CHEAP2} --hash {hash}"));
        formats.push(format!("--type luks1 --pbkdf-force-iterations 1000 --hash {hash}"));
    }
    for (cipher, bits) in [
        ("aes-xts-plain64", 256),
        ("aes-xts-plain64", 512),
        ("aes-xts-plain", 512),
        ("aes-cbc-essiv:sha256", 128),
        ("aes-cbc-essiv:sha256", 256),
        ("aes-cbc-plain", 192),
        ("aes-cbc-plain64be", 256),
        ("aes-cbc-null", 256),
        ("aes-ecb", 256),
        ("aes-cbc-benbi", 256),
        ("aes-cbc-benbi:x", 256),
        ("aes-cbc-eboiv", 256),
        // Whose areas are under a rule of their own: the block cipher has all of the key.
        ("aes-xts-eboiv", 256),
    ] {
        formats.push(format!("--type luks1 --pbkdf-force-iterations 1000 -c {cipher} -s {bits}"));
        formats.push(format!("--type luks2 {CHEAP2} -c {cipher} -s {bits}"));
        formats.push(format!("--type luks2 {CHEAP2} --keyslot-cipher {cipher} --keyslot-key-size {bits}"));
    }
    for (kind, memory, time, lanes) in
        [("argon2i", 32, 4, 1), ("argon2id", 32, 4, 4), ("argon2id", 4099, 5, 3), ("argon2i", 65, 6, 2)]
    {
        let costs =
            format!("--pbkdf-memory {memory} --pbkdf-force-iterations {time} --pbkdf-parallel {lanes}");
        formats.push(format!("--type luks2 --pbkdf {kind} {costs}"));
    }
    for size in ["16k", "32k", "128k", "1m", "4m"] {
        formats
            .push(format!("--type luks2 {CHEAP2} --luks2-metadata-size {size} --luks2-keyslots-size 512k"));
    }
    for sector in [512, 1024, 2048, 4096] {
        formats.push(format!("--type luks2 {CHEAP2} --sector-size {sector} --label l{sector} --subsystem s"));
    }
    let (mut opened, mut unable) = (0, Vec::new());
    for format in &formats {
        let made = bench.try_cryptsetup(&format!("luksFormat {format} @image @first"));
        if !made.status.success() {
            unable.push(format);
            continue;
        }
        let (slot, key) = bench.unlock("first").unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!((slot, key), (0, bench.volume_key("first")), "{format}");
        assert!(matches!(bench.unlock("second"), Err(Error::WrongPassphrase { .. })), "{format}");
        opened += 1;
    }
    println!("{opened} of {} opened; cryptsetup itself cannot make {unable:?} here", formats.len());
    assert!(opened * 10 >= formats.len() * 7, "cryptsetup makes too few: {unable:?}");
}

#[test]
fn key_slots_that_cryptsetup_adds_changes_and_kills_are_followed() {
    for kind in ["luks1 --pbkdf-force-iterations 1000", "luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000"]
    {
        let bench = Bench::new();
        bench.cryptsetup(&format!("luksFormat --type {kind} @image @first"));
        let key = bench.volume_key("first");
        let cheap = if kind.starts_with("luks1") { "--pbkdf-force-iterations 1000" } else { CHEAP2 };
        bench.cryptsetup(&format!("luksAddKey {cheap} --key-slot 5 --key-file @first @image @second"));
        assert_eq!(bench.unlock("first").unwrap(), (0, key.clone()), "{kind}");
        assert_eq!(bench.unlock("second").unwrap(), (5, key.clone()), "{kind}");
        bench.cryptsetup(&format!("luksChangeKey {cheap} --key-file @second @image @third"));
        assert!(bench.unlock("second").is_err(), "{kind}: a changed passphrase still opens");
        assert_eq!(bench.unlock("third").unwrap().1, key, "{kind}");
        bench.cryptsetup("luksKillSlot --key-file @third @image 0");
        let error = bench.unlock("first").unwrap_err();
        assert!(matches!(error, Error::WrongPassphrase { .. }), "{kind}: {error}");
        assert_eq!(bench.unlock("third").unwrap().1, key, "{kind}");
    }
}

#[test]
fn priorities_and_labels_that_cryptsetup_sets_are_read() {
    let bench = Bench::new();
    bench.cryptsetup(&format!("luksFormat --type luks2 {CHEAP2} @image @first"));
    bench.cryptsetup(&format!("luksAddKey {CHEAP2} --key-file @first @image @second"));
    bench.cryptsetup("config --priority ignore --key-slot 1 @image");
    bench.cryptsetup("config --label a-label --subsystem a-subsystem @image");
    let error = bench.unlock("second").unwrap_err();
    assert!(error.to_string().contains("key slot 1 was not tried: its priority is ignore"), "{error}");
    bench.cryptsetup("config --priority prefer --key-slot 1 @image");
    assert_eq!(bench.unlock("second").unwrap().0, 1);
    let volume = Volume::open(File::open(bench.path("image")).unwrap(), HeaderPlace::Attached).unwrap();
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    assert_eq!(
        (header.binary.label.to_string(), header.binary.subsystem.to_string()),
        ("a-label".into(), "a-subsystem".into())
    );
    assert_eq!(volume.notice(), None);
}

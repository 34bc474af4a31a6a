//! What we format, cryptsetup judges: it dumps the header, opens it with the passphrase, tells the same volume key, adds a
//! key slot of its own, and finds nothing to repair.

use std::fs::{self, File};

use crate::support::bench::Bench;
use udm_luks::Hash;
use udm_luks::format::header_size;
use udm_luks::kdf::Argon2Kind;
use udm_luks::{
    Error, ErrorClass, FormatOptions, Header, HeaderPlace, KdfKind, KdfOptions, Secret, UnlockOptions,
    Volume, format,
};

/// aes-xts-plain64 in the form of the kernel's crypto API.
const CAPI: &str = "capi:xts(aes)-plain64";

/// The cheapest costs that there may be.
fn cheap(kind: KdfKind) -> KdfOptions {
    let iterations = Some(if matches!(kind, KdfKind::Pbkdf2(_)) { 1000 } else { 4 });
    KdfOptions { kind, iterations, memory_kib: 32, lanes: 1, ..KdfOptions::default() }
}

fn luks2() -> FormatOptions {
    let mut options = FormatOptions::luks2();
    options.slot.kdf = cheap(KdfKind::Argon2(Argon2Kind::Id));
    options
}

fn luks1(hash: Hash) -> FormatOptions {
    let mut options = FormatOptions::luks1(hash);
    options.slot.kdf = cheap(KdfKind::Pbkdf2(hash));
    options
}

/// Options with some of them changed.
fn with(mut options: FormatOptions, change: impl FnOnce(&mut FormatOptions)) -> FormatOptions {
    change(&mut options);
    options
}

/// Every way of formatting that is shown, with its name.
fn formats() -> Vec<(String, FormatOptions)> {
    let mut all = vec![("luks2".to_owned(), luks2()), ("luks1".to_owned(), luks1(Hash::Sha256))];
    for hash in [Hash::Sha1, Hash::Sha512, Hash::Ripemd160, Hash::Whirlpool, Hash::Blake2b512] {
        all.push((format!("luks1 {}", hash.luks_name()), luks1(hash)));
        let change = |options: &mut FormatOptions| {
            options.hash = hash;
            options.slot.kdf = cheap(KdfKind::Pbkdf2(hash));
        };
        all.push((format!("luks2 {}", hash.luks_name()), with(luks2(), change)));
    }
    for (cipher, bytes) in [
        ("aes-xts-plain64", 32),
        ("aes-cbc-essiv:sha256", 16),
        ("aes-cbc-plain", 32),
        ("aes-cbc-plain64be", 24),
    ] {
        let change =
            |options: &mut FormatOptions| (options.encryption, options.key_size) = (cipher.into(), bytes);
        all.push((format!("luks1 {cipher}"), with(luks1(Hash::Sha256), change)));
        all.push((format!("luks2 {cipher}"), with(luks2(), change)));
        let change = |options: &mut FormatOptions| options.slot.cipher = Some((cipher.into(), bytes));
        all.push((format!("luks2 --keyslot-cipher {cipher}"), with(luks2(), change)));
    }
    for metadata in [16 << 10, 128 << 10, 4 << 20] {
        let change = |options: &mut FormatOptions| {
            (options.metadata_size, options.keyslots_size) = (metadata, Some(512 << 10));
        };
        all.push((format!("luks2 --luks2-metadata-size {metadata}"), with(luks2(), change)));
    }
    for sector in [512, 1024, 2048, 4096] {
        let change = |options: &mut FormatOptions| {
            options.sector_size = Some(sector);
            options.label = "a label".into();
            options.subsystem = "a subsystem".into();
            options.uuid = Some("0d9f0af5-0002-4dc1-b0a5-c9ff61d2ee12".into());
        };
        all.push((format!("luks2 --sector-size {sector}"), with(luks2(), change)));
    }
    let change = |options: &mut FormatOptions| options.data_offset = Some((3 << 20) + 512);
    all.push(("luks2 --offset".into(), with(luks2(), change)));
    all.push(("luks1 --offset".into(), with(luks1(Hash::Sha256), change)));
    let change = |options: &mut FormatOptions| options.slot.id = Some(6);
    all.push(("luks2 --key-slot".into(), with(luks2(), change)));
    all.push(("luks1 --key-slot".into(), with(luks1(Hash::Sha256), change)));
    all
}

#[test]
fn cryptsetup_takes_what_is_formatted_for_its_own() {
    let bench = Bench::new();
    let passphrase = fs::read(bench.path("first")).unwrap();
    // Each is formatted over the one before, of which nothing may be left.
    for (name, options) in formats() {
        let mut file = File::options().read(true).write(true).open(bench.path("image")).unwrap();
        let made = format(&mut file, &options, &passphrase).unwrap_or_else(|error| panic!("{name}: {error}"));
        let slot = options.slot.id.unwrap_or(0);
        assert_eq!(made.key_slot, slot, "{name}");
        assert_eq!(bench.unlock("first").unwrap(), (slot, made.key.to_vec()), "{name}");
        let dump = bench.cryptsetup("luksDump @image");
        assert!(dump.contains(&options.label) && dump.contains(&options.subsystem), "{name}: {dump}");
        bench.cryptsetup("open --test-passphrase --key-file @first @image");
        assert!(!bench.try_cryptsetup("open --test-passphrase --key-file @second @image").status.success());
        assert_eq!(bench.volume_key("first"), made.key.to_vec(), "{name}");
        let repaired = bench.try_cryptsetup("repair @image");
        assert!(repaired.status.success() && repaired.stdout.is_empty(), "{name}: {repaired:?}");
        let costs = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        bench.cryptsetup(&format!("luksAddKey {costs} --key-file @first @image @second"));
        assert_eq!(bench.unlock("second").unwrap().1, made.key.to_vec(), "{name}");
    }
}

/// Oracle: cryptsetup's own volume of the same kind. Salts, digests, keys and the UUID differ, nothing else.
#[test]
fn the_defaults_are_those_of_cryptsetup() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    let mut file = File::options().read(true).write(true).open(ours.path("image")).unwrap();
    let mut options = luks2();
    options.slot.kdf.lanes = KdfOptions::default().lanes;
    format(&mut file, &options, b"x").unwrap();
    theirs.cryptsetup("luksFormat --pbkdf-force-iterations 4 --pbkdf-memory 32 @image @first -s 512");
    let told = |bench: &Bench| {
        let json = bench.cryptsetup("luksDump --dump-json-metadata @image");
        let lines = json.lines().filter(|line| !line.contains("\"salt\"") && !line.contains("\"digest\""));
        lines.map(|line| line.trim().trim_end_matches(',').to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&ours), told(&theirs));
    format(&mut file, &luks1(Hash::Sha256), b"x").unwrap();
    theirs.cryptsetup("luksFormat --type luks1 --pbkdf-force-iterations 1000 @image @first -s 512");
    let told = |bench: &Bench| {
        let dump = bench.cryptsetup("luksDump @image");
        let lines = dump.lines().filter(|line| {
            ["offset", "stripes", "bits", "Cipher", "Hash"].iter().any(|word| line.contains(word))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(&ours), told(&theirs));
}

#[test]
fn a_detached_header_says_where_the_data_of_another_device_begin() {
    let bench = Bench::new();
    let passphrase = fs::read(bench.path("first")).unwrap();
    for (offset, size) in [(None, 10 << 20), (Some(1 << 20), 10 << 20), (Some(0), (10 << 20) + 512)] {
        let options = with(luks2(), |options| {
            options.place = HeaderPlace::Detached;
            options.data_device_size = Some(size);
            options.data_offset = offset;
        });
        let mut file = File::create(bench.path("header")).unwrap();
        file.set_len(header_size(&options).unwrap()).unwrap();
        file = File::options().read(true).write(true).open(bench.path("header")).unwrap();
        let made = format(&mut file, &options, &passphrase).unwrap();
        let sector_size = if size % 4096 == 0 { 4096 } else { 512 };
        assert_eq!((made.segment.offset, made.segment.sector_size), (offset.unwrap_or(0), sector_size));
        bench.cryptsetup("open --test-passphrase --header @header --key-file @first @image");
        let volume = Volume::open(file, HeaderPlace::Detached).unwrap();
        let unlocked = volume.unlock(&passphrase, &UnlockOptions::default()).unwrap();
        assert_eq!(unlocked.segment, made.segment);
    }
}

/// The bad twin is the volume before: it opens, and its old material is found.
#[test]
fn nothing_of_the_old_volume_is_left() {
    let mut disk = vec![0; 20 << 20];
    let old = with(luks2(), |options| {
        (options.metadata_size, options.keyslots_size) = (4 << 20, Some(1 << 20));
    });
    format(&mut disk, &old, b"old").unwrap();
    let volume = Volume::open(&disk, HeaderPlace::Attached).unwrap();
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    let slot = header.metadata.slots[0].1.key().unwrap();
    let area = slot.area.offset as usize..(slot.area.offset + slot.area.size) as usize;
    let material = disk[area.clone()].to_vec();
    assert!(material.iter().any(|byte| *byte != 0));
    // The new one is shorter than the place of the old one's second copy and material.
    let new = with(luks1(Hash::Sha256), |options| options.key_size = 32);
    format(&mut disk, &new, b"new").unwrap();
    let same = disk[area].iter().zip(&material).filter(|(new, old)| new == old).count();
    assert!(same < material.len() / 50, "{same} of {} bytes are as they were", material.len());
    disk[..4096].fill(0);
    assert!(
        matches!(Volume::open(&disk, HeaderPlace::Attached), Err(Error::NoHeader)),
        "the second copy is there"
    );
}

#[test]
fn what_cannot_be_is_refused_by_its_name_before_anything_is_written() {
    let key = Secret::copy_of(&[1; 63]).unwrap();
    let refused: Vec<(&str, FormatOptions)> = vec![
        ("--cipher", with(luks2(), |options| options.encryption = "cipher_null-ecb".into())),
        ("--cipher", with(luks1(Hash::Sha256), |options| options.encryption = "aes".into())),
        ("--cipher", with(luks1(Hash::Sha256), |options| options.encryption = "aes:64-cbc-lmk".into())),
        ("--cipher", with(luks1(Hash::Sha256), |options| options.encryption = CAPI.into())),
        ("--cipher", with(luks2(), |options| options.encryption = "aes-xts-plain64:sha256".into())),
        ("--hash", with(luks2(), |options| options.hash = Hash::Md5)),
        ("--keyslot-cipher", with(luks2(), |options| options.slot.cipher = Some((CAPI.into(), 64)))),
        (
            "--keyslot-cipher",
            with(luks2(), |options| options.slot.cipher = Some(("aes-xts-plain64:sha256".into(), 64))),
        ),
        ("--key-size", with(luks2(), |options| options.key_size = 0)),
        ("--key-slot", with(luks2(), |options| options.slot.id = Some(32))),
        ("--key-slot", with(luks1(Hash::Sha256), |options| options.slot.id = Some(8))),
        ("--pbkdf", with(luks1(Hash::Sha256), |options| options.slot.kdf = luks2().slot.kdf)),
        ("--pbkdf-memory", with(luks2(), |options| options.slot.kdf.memory_kib = 8)),
        ("--label", with(luks1(Hash::Sha256), |options| options.label = "x".into())),
        ("--label", with(luks2(), |options| options.label = "x".repeat(48))),
        ("--subsystem", with(luks2(), |options| options.subsystem = "x".repeat(48))),
        ("--sector-size", with(luks1(Hash::Sha256), |options| options.sector_size = Some(4096))),
        ("--sector-size", with(luks2(), |options| options.sector_size = Some(8192))),
        (
            "--sector-size",
            with(luks2(), |options| {
                (options.sector_size, options.data_offset) = (Some(4096), Some((16 << 20) + 512));
            }),
        ),
        ("--uuid", with(luks2(), |options| options.uuid = Some("no".into()))),
        ("--offset", with(luks2(), |options| options.data_offset = Some((17 << 20) + 1))),
        ("--offset", with(luks1(Hash::Sha256), |options| options.data_offset = Some(1 << 20))),
        (
            "--offset",
            with(luks1(Hash::Sha256), |options| {
                (options.place, options.data_offset) = (HeaderPlace::Detached, Some(512));
            }),
        ),
        ("--luks2-metadata-size", with(luks2(), |options| options.metadata_size = 17 << 10)),
        ("--luks2-keyslots-size", with(luks2(), |options| options.keyslots_size = Some(4096))),
        ("--luks2-keyslots-size", with(luks2(), |options| options.data_offset = Some(128 << 10))),
        ("--keyslot-cipher", with(luks2(), |options| options.slot.cipher = Some(("x".into(), 32)))),
        (
            "--keyslot-key-size",
            with(luks2(), |options| {
                options.slot.cipher = Some(("aes-xts-plain64".into(), 33));
            }),
        ),
        ("--volume-key-file", with(luks2(), |options| options.volume_key = Some(key))),
        ("the device's size", with(luks2(), |options| options.data_offset = Some(20 << 20))),
    ];
    for (field, options) in refused {
        let mut disk = vec![0; 20 << 20];
        let error = format(&mut disk, &options, b"x").map(drop).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Request, "{field}: {error}");
        assert_eq!(error.finding().unwrap().field, field, "{error}");
        assert!(disk.iter().all(|byte| *byte == 0), "{field}: something was written");
    }
}

/// cryptsetup opens no key slot whose own cipher is in the crypto API's form.
#[test]
fn key_slots_of_a_capi_cipher_are_such_as_cryptsetup_opens() {
    let bench = Bench::new();
    let mut image = File::options().read(true).write(true).open(bench.path("image")).unwrap();
    let options = with(luks2(), |options| options.encryption = CAPI.into());
    format(&mut image, &options, b"first passphrase\n").unwrap();
    let volume = Volume::open(&image, HeaderPlace::Attached).unwrap();
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    let slot = header.metadata.slots[0].1.key().unwrap();
    assert_eq!((&*slot.area.encryption, slot.area.key_size), ("aes-xts-plain64", 64));
    assert_eq!(header.data().unwrap().1.encryption, CAPI);
    bench.cryptsetup("open --test-passphrase --key-file @first @image");
    bench.cryptsetup(
        "luksAddKey --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file @first @image @second",
    );
    assert_eq!(bench.unlock("second").unwrap().0, 1);
}

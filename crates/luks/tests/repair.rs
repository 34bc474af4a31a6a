//! What is noticed of a header that is half wrong, and what a repair makes of it. Oracle: cryptsetup's repair.

use std::fs;

use crate::support;
use crate::support::bench::Bench;
use crate::support::{image, metadata, sum, with_metadata};
use udm_luks::{
    Error, ErrorClass, Hash, Header, HeaderPlace, LastKey, SlotOptions, UnlockOptions, Volume,
    cost::KdfOptions,
};

const FIRST: &[u8] = b"first passphrase\n";

fn luks1() -> (Bench, Vec<u8>) {
    luks1_of("aes-xts-plain64 -s 512")
}

fn luks1_of(cipher: &str) -> (Bench, Vec<u8>) {
    let bench = Bench::new();
    let options = "--type luks1 --pbkdf-force-iterations 1000";
    bench.cryptsetup(&format!("luksFormat {options} -c {cipher} @image @first"));
    let bytes = fs::read(bench.path("image")).unwrap();
    (bench, bytes)
}

/// Where key slot `id` of LUKS1 has its mark; its offset is 40 bytes behind, its stripes 44.
const fn slot(id: usize) -> usize {
    208 + 48 * id
}

fn cheap() -> SlotOptions {
    let kdf = KdfOptions { iterations: Some(1000), ..KdfOptions::pbkdf2(Hash::Sha256) };
    SlotOptions::new(kdf)
}

/// Bytes that are put at places of a header.
type Changes = &'static [(usize, &'static [u8])];

const ECB: &str = "an IV mode for ecb";

/// Changes to a LUKS1 header: their places and bytes, and the field that is named.
const WRONG: [(&str, Changes, &str); 8] = [
    ("stripes", &[(slot(3) + 44, &[0, 0, 0, 1])], "key-slot-3.stripes"),
    ("offset in the header", &[(slot(3) + 40, &[0, 0, 0, 1])], "key-slot-3.key-material-offset"),
    ("offset in the data", &[(slot(7) + 40, &[0, 1, 0, 0])], "key-slot-7.key-material-offset"),
    ("offset on another", &[(slot(3) + 40, &[0, 0, 0, 9])], "key-slot-3.key-material-offset"),
    ("a partition table", &[(446, &[0x5a; 64]), (510, &[0x55, 0xaa])], "key-slot-4.stripes"),
    ("a mark of neither kind", &[(slot(2), &[1, 2, 3, 4]), (slot(2) + 44, &[0; 4])], "key-slot-2.stripes"),
    ("a hash in capitals", &[(72, b"SHA256\0")], ""),
    (ECB, &[(40, b"ecb-plain64\0")], ""),
];

#[test]
fn luks1_slots_that_are_not_in_use_are_checked_and_repaired_as_cryptsetup_does() {
    let xts = luks1();
    // A key of 512 bits is none for ecb.
    let cbc = luks1_of("aes-cbc-plain64 -s 256");
    for (what, changes, field) in WRONG {
        let (bench, good) = if what == ECB { &cbc } else { &xts };
        let mut bytes = good.clone();
        for (at, change) in changes {
            bytes[*at..at + change.len()].copy_from_slice(change);
        }
        fs::write(bench.path("image"), &bytes).unwrap();
        let dumped = bench.try_cryptsetup("luksDump @image").status.success();
        assert_eq!(dumped, field.is_empty(), "{what}");

        let mut volume = Volume::open(bytes, HeaderPlace::Attached).unwrap();
        let Header::Luks1(header) = volume.header() else { panic!("it is LUKS1") };
        assert_eq!(header.faults.first().map_or("", |fault| &fault.field), field, "{what}");
        assert_eq!(volume.notice().is_some(), !field.is_empty(), "{what}");
        if what != ECB {
            // The data can be had, and nothing is changed.
            let key = volume.find_key(FIRST, &UnlockOptions::default()).unwrap();
            if !field.is_empty() {
                for result in [
                    volume.add_key(&key, b"x", &cheap()).map(drop),
                    volume.set_uuid(None).map(drop),
                    volume.kill_slot(0, LastKey::MayGo),
                ] {
                    let error = result.expect_err(what);
                    assert_eq!(
                        (&*error.finding().unwrap().field, error.class()),
                        (field, ErrorClass::Header),
                        "{error}"
                    );
                }
            }
        }
        let steps = volume.repairs().unwrap();
        assert!(!steps.is_empty(), "{what}");
        assert!(volume.repair().unwrap(), "{what}");
        assert_eq!(volume.notice(), None, "{what}: {steps:?}");
        assert!(volume.repairs().unwrap().is_empty() && !volume.repair().unwrap(), "{what}");

        bench.cryptsetup("repair @image");
        let theirs = fs::read(bench.path("image")).unwrap();
        let ours = volume.into_source();
        assert_eq!(
            ours[..592].escape_ascii().to_string(),
            theirs[..592].escape_ascii().to_string(),
            "{what}: {steps:?}"
        );
        assert!(ours == theirs, "{what}: something else was written");
    }
}

#[test]
fn luks1_headers_that_nobody_knows_how_to_repair_are_left() {
    const ROWS: [(Changes, &str); 2] = [
        (&[(slot(3) + 44, &[0; 4]), (slot(0) + 40, &[0, 0, 0, 2])], "key-slot-0.key-material-offset"),
        // In use, and where another one's place is.
        (&[(slot(3) + 44, &[0; 4]), (slot(0) + 40, &[0, 0, 6, 8])], "key-slot-3.key-material-offset"),
    ];
    let (_, good) = luks1();
    for (changes, field) in ROWS {
        let mut bytes = good.clone();
        for (at, change) in changes {
            bytes[*at..at + change.len()].copy_from_slice(change);
        }
        let mut volume = Volume::open(bytes.clone(), HeaderPlace::Attached).unwrap();
        let error = volume.repair().unwrap_err();
        assert_eq!(error.finding().unwrap().field, field, "{error}");
        assert!(!error.to_string().contains("luks repair"), "it goes in a circle: {error}");
        assert!(volume.into_source() == bytes, "it was written all the same");
    }
}

#[test]
fn a_slot_that_is_marked_as_neither_is_not_given_away() {
    let (_, mut bytes) = luks1();
    bytes[slot(1)..slot(1) + 4].copy_from_slice(&[1, 2, 3, 4]);
    let mut volume = Volume::open(bytes, HeaderPlace::Attached).unwrap();
    assert_eq!(volume.notice(), None);
    let Header::Luks1(header) = volume.header() else { panic!("it is LUKS1") };
    assert_eq!((header.odd_mark(1), header.odd_mark(2)), (Some(0x0102_0304), None));
    let key = volume.find_key(FIRST, &UnlockOptions::default()).unwrap();
    let named = SlotOptions { id: Some(1), ..cheap() };
    let error = volume.add_key(&key, b"x", &named).unwrap_err();
    assert!(error.to_string().contains("neither free nor in use"), "{error}");
    assert_eq!(volume.add_key(&key, b"x", &cheap()).unwrap(), 2);
}

/// A LUKS2 image whose copies are both whole, and say different things under one sequence number.
fn torn() -> Vec<u8> {
    let good = image("luks2-argon2id-32m");
    let changed = metadata(&good).replace("\"config\":{", "\"config\":{\"flags\":[\"allow-discards\"],");
    let other = with_metadata(&good, changed.as_bytes());
    let mut torn = good.clone();
    torn[16384..32768].copy_from_slice(&other[16384..32768]);
    torn[16384 + 24..16384 + 26].copy_from_slice(b"b\0");
    sum(&mut torn[16384..32768]);
    torn
}

#[test]
fn copies_of_one_sequence_that_differ_are_refused_by_name() {
    let passphrase =
        support::description("luks2-argon2id-32m")["passphrases"][0].as_str().unwrap().to_owned();
    let unlock =
        |volume: &Volume<Vec<u8>>| volume.unlock(passphrase.as_bytes(), &UnlockOptions::default()).map(drop);
    let mut volume = Volume::open(torn(), HeaderPlace::Attached).unwrap();
    let error = unlock(&volume).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("both have sequence") && told.contains("label, config.flags"), "{told}");
    assert_eq!(error.class(), ErrorClass::Header);
    assert_eq!(volume.set_label(Some("x"), None).unwrap_err().class(), ErrorClass::Header);
    let mut backup = Vec::new();
    assert!(volume.back_up(&mut backup).is_err() && backup.is_empty());
    let steps = volume.repairs().unwrap();
    assert!(steps[0].contains("label, config.flags") && steps[1].contains("secondary header"), "{steps:?}");
    assert!(volume.repair().unwrap());
    unlock(&volume).unwrap();
    let volume = Volume::open(volume.into_source(), HeaderPlace::Attached).unwrap();
    unlock(&volume).unwrap();
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    // The primary's, as cryptsetup takes it.
    assert!(
        header.copies.is_whole() && header.binary.label != "b" && header.metadata.config.flags.is_empty()
    );
    // The twin: of different sequences, the newer one is used.
    let mut older = torn();
    older[16384 + 16..16384 + 24].fill(0);
    sum(&mut older[16384..32768]);
    let volume = Volume::open(older, HeaderPlace::Attached).unwrap();
    unlock(&volume).unwrap();
    assert!(volume.notice().unwrap().contains("differ in age"));
    assert!(matches!(volume.unlock(b"wrong", &UnlockOptions::default()), Err(Error::WrongPassphrase { .. })));
}

/// The first bytes of a device that `pvcreate` made.
fn lvm() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signatures/lvm.img.xz");
    let output = std::process::Command::new("xz").args(["-d", "-c", path]).output();
    let output = output.expect("xz is missing: cargo xtask deps installs it");
    assert!(output.status.success(), "{path}");
    output.stdout[..4096].to_vec()
}

/// Oracle: cryptsetup, which refuses such a device for its "ambiguous signatures".
#[test]
fn a_header_that_something_else_was_written_over_is_not_used() {
    let bench = Bench::new();
    bench.cryptsetup("luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 @image @first");
    let good = fs::read(bench.path("image")).unwrap();
    let unlock = |volume: &Volume<Vec<u8>>| volume.unlock(FIRST, &UnlockOptions::default()).map(drop);
    let label = lvm();
    for (what, from, bytes, is_foreign) in [
        ("all of the primary", 0, &label[..], true),
        ("the label's sector alone", 512, &label[512..1024], true),
        ("zeros", 0, &[0; 4096][..], false),
    ] {
        let mut image = good.clone();
        image[from..from + bytes.len()].copy_from_slice(bytes);
        fs::write(bench.path("image"), &image).unwrap();
        // Where it does not refuse, it repairs.
        let theirs = bench.try_cryptsetup("open --test-passphrase --key-file @first @image");
        assert_eq!(theirs.status.success(), !is_foreign, "{what}");
        let told = String::from_utf8_lossy(&theirs.stderr).into_owned();
        assert_eq!(told.contains("ambiguous signatures"), is_foreign, "{what}: {told}");

        let mut volume = Volume::open(image, HeaderPlace::Attached).unwrap();
        if is_foreign {
            let error = unlock(&volume).unwrap_err();
            let told = error.to_string();
            assert_eq!(error.class(), ErrorClass::Header);
            assert!(told.contains("an LVM physical volume (LVM2_member at byte 512)"), "{what}: {told}");
            assert_eq!(volume.set_label(Some("x"), None).unwrap_err().to_string(), told, "{what}");
        } else {
            unlock(&volume).unwrap();
            assert!(volume.notice().unwrap().contains("the primary header is not used"), "{what}");
        }
        // Who says that it is the volume, gets it back.
        assert!(volume.repairs().unwrap()[0].contains("primary header"), "{what}");
        assert!(volume.repair().unwrap(), "{what}");
        let volume = Volume::open(volume.into_source(), HeaderPlace::Attached).unwrap();
        assert_eq!(volume.notice(), None, "{what}");
        unlock(&volume).unwrap();
    }
}

//! Headers that are wrong on purpose, each by one change to an image that opens. Each is refused with the path of the field
//! that was changed, in no time and with no memory. The bad twin of each is the image itself, which the same way opens:
//! that a header is refused is because of the change alone.

use std::time::{Duration, Instant};

use crate::support::malformed::{ARGON2, HEADER, HOSTILE, UNSUPPORTED};
use crate::support::{description, header_size, image, metadata, sum, with_metadata};
use udm_luks::{Error, ErrorClass, HeaderPlace, Limits, UnlockOptions, Volume};

/// How long a refusal may take, with room for a machine that does other work.
const NO_TIME: Duration = Duration::from_secs(2);

/// The header's image, passphrase and metadata.
fn good() -> (Vec<u8>, Vec<u8>, String) {
    const NAME: &str = "luks2-argon2id-32m";
    let told = description(NAME);
    let image = image(NAME);
    let json = metadata(&image);
    (image, told["passphrases"][0].as_str().unwrap().as_bytes().to_vec(), json)
}

/// Opens and unlocks, and holds the time.
fn try_it(image: &[u8], passphrase: &[u8]) -> Result<(), Error> {
    let begin = Instant::now();
    let result = Volume::open(image.to_vec(), HeaderPlace::Attached)
        .and_then(|volume| volume.unlock(passphrase, &UnlockOptions::default()).map(drop));
    if result.is_err() {
        assert!(begin.elapsed() < NO_TIME, "a refusal took {:?}", begin.elapsed());
    }
    result
}

/// The error is about this field, and says what would do.
fn assert_field(what: &str, result: Result<(), Error>, field: &str, fault: ErrorClass) {
    let error = result.expect_err(what);
    let finding = error.finding().unwrap_or_else(|| panic!("{what}: {error}"));
    assert_eq!((&*finding.field, error.class()), (field, fault), "{what}: {error}");
    assert!(!finding.found.is_empty() && !finding.why.is_empty() && !finding.hint.is_empty(), "{what}");
    assert!(error.to_string().len() < 600, "{what}: {error}");
}

#[test]
fn the_image_itself_opens() {
    let (image, passphrase, json) = good();
    try_it(&image, &passphrase).unwrap();
    // The way in which headers are changed below changes nothing else.
    assert!(with_metadata(&image, json.as_bytes()) == image);
}

#[test]
fn each_malformed_field_is_refused_by_its_path() {
    let (image, passphrase, json) = good();
    let mut count = 0;
    for (from, to, field, fault) in ARGON2 {
        let (from, to) = (from.replace('\'', "\""), to.replace('\'', "\""));
        assert!(json.contains(&from), "{from} is not in {json}");
        let changed = json.replacen(&from, &to, 1);
        let result = try_it(&with_metadata(&image, changed.as_bytes()), &passphrase);
        assert_field(&to, result, field, *fault);
        count += 1;
    }
    println!("{count} malformed headers");
    assert!(count >= 60);
}

#[test]
fn key_slots_that_overlap_are_refused() {
    let (image, passphrase, json) = good();
    let begin = json.find(r#""0":{"#).unwrap() + 4;
    let end = begin + json[begin..].find("}}").unwrap() + 2;
    let slot = &json[begin..end];
    let small = slot.replace(r#""stripes":4000"#, r#""stripes":60"#).replace(r#""258048""#, r#""4096""#);
    let other = small.replace(r#""offset":"32768""#, r#""offset":"36864""#);
    let both = json.replacen(slot, &format!(r#"{slot},"1":{other}"#), 1);
    let result = try_it(&with_metadata(&image, both.as_bytes()), &passphrase);
    assert_field("overlap", result, "keyslots.1.area.offset", ErrorClass::Header);
    // The twin: where it does not overlap, the first opens.
    let apart = small.replace(r#""offset":"32768""#, r#""offset":"290816""#);
    let both = json.replacen(slot, &format!(r#"{slot},"1":{apart}"#), 1);
    try_it(&with_metadata(&image, both.as_bytes()), &passphrase).unwrap();
}

#[test]
fn a_key_slot_that_costs_too_much_does_not_keep_another_from_opening() {
    let (image, passphrase, json) = good();
    let begin = json.find(r#""0":{"#).unwrap() + 4;
    let end = begin + json[begin..].find("}}").unwrap() + 2;
    let slot = &json[begin..end];
    let bomb = slot
        .replace(r#""offset":"32768""#, r#""offset":"290816""#)
        .replace(r#""stripes":4000"#, r#""stripes":60"#)
        .replace(r#""258048""#, r#""4096""#)
        .replace(r#""memory":32768"#, r#""memory":4294967295"#)
        .replace(r#""type":"luks2""#, r#""type":"luks2","priority":2"#);
    let both = json
        .replacen(slot, &format!(r#"{slot},"1":{bomb}"#), 1)
        .replace(r#""keyslots":["0"]"#, r#""keyslots":["0","1"]"#);
    let image = with_metadata(&image, both.as_bytes());
    try_it(&image, &passphrase).unwrap();
    // With a wrong passphrase, what was not tried is what is told.
    assert_field("bomb", try_it(&image, b"wrong"), "keyslots.1.kdf.memory", ErrorClass::Hostile);
}

/// As cryptsetup's own test images have it, whose key slots are of a derivation that there never was a release with.
#[test]
fn a_key_slot_that_is_not_supported_does_not_keep_another_from_opening() {
    let (image, passphrase, json) = good();
    let begin = json.find(r#""0":{"#).unwrap() + 4;
    let end = begin + json[begin..].find("}}").unwrap() + 2;
    let slot = &json[begin..end];
    let other = slot
        .replace(r#""offset":"32768""#, r#""offset":"290816""#)
        .replace(r#""stripes":4000"#, r#""stripes":60"#)
        .replace(r#""258048""#, r#""4096""#)
        .replace(r#""type":"argon2id""#, r#""type":"argon2""#);
    let both = json.replacen(slot, &format!(r#"{slot},"1":{other}"#), 1);
    let both = both.replace(r#""keyslots":["0"]"#, r#""keyslots":["0","1"]"#);
    let image = with_metadata(&image, both.as_bytes());
    try_it(&image, &passphrase).unwrap();
    let error = try_it(&image, b"wrong").unwrap_err();
    assert!(
        error.to_string().contains("key slot 1 was not tried: it needs what udm does not have"),
        "{error}"
    );
    let volume = Volume::open(image, HeaderPlace::Attached).unwrap();
    let named = UnlockOptions { key_slot: Some(1), ..UnlockOptions::default() };
    assert_field("named", volume.unlock(&passphrase, &named).map(drop), "keyslots.1.kdf.type", UNSUPPORTED);
}

#[test]
fn what_the_error_says_would_do_does() {
    let (image, passphrase, _) = good();
    let volume = Volume::open(image, HeaderPlace::Attached).unwrap();
    let tight = Limits { memory_kib: 1024, ..Limits::default() };
    let with = |limits| volume.unlock(&passphrase, &UnlockOptions { key_slot: None, limits });
    let error = with(tight).unwrap_err();
    assert!(error.to_string().contains("--pbkdf-memory-max 32768 allows it"), "{error}");
    with(tight.with_memory_kib(32768)).unwrap();
    let error = with(Limits { filled_kib: 40_000, ..Limits::default() }).unwrap_err();
    assert!(error.to_string().contains("--pbkdf-passes-max 4 allows it"), "{error}");
    with(Limits { filled_kib: 0, ..Limits::default() }.with_passes(4)).unwrap();
    let error = with(Limits { iterations: 999, ..Limits::default() }).unwrap_err();
    assert!(error.to_string().contains("digests.0.iterations is 1000"), "{error}");
}

/// Changes to the binary header: a place, its bytes, the field that is then wrong; and whether the checksum is set right.
#[test]
fn each_malformed_binary_header_is_refused_by_its_field() {
    let (image, passphrase, _) = good();
    let size = header_size(&image);
    let rows: &[(usize, &[u8], bool, &str)] = &[
        (6, &[0, 3], true, "version"),
        (8, &u64::MAX.to_be_bytes(), true, "hdr_size"),
        (8, &0u64.to_be_bytes(), true, "hdr_size"),
        (8, &4096u64.to_be_bytes(), true, "hdr_size"),
        (8, &(4u64 << 20).to_be_bytes(), true, "hdr_size"),
        (72, b"md4\0\0\0", true, "csum_alg"),
        (256, &1u64.to_be_bytes(), true, "hdr_offset"),
        (448, &[1, 2, 3, 4], false, "csum"),
        (4096, b"[", false, "csum"),
        (4096, b"[", true, "JSON area"),
        (4096, b"\0", true, "JSON area"),
        (4096, b" ", true, "JSON area"),
        (16383, b"x", true, "JSON area"),
        (16000, b"x", true, "JSON area"),
    ];
    for (at, bytes, right, field) in rows {
        let mut image = image.clone();
        // Both copies, or the good one would be used.
        for copy in [0, size] {
            image[copy + at..copy + at + bytes.len()].copy_from_slice(bytes);
            if *right {
                sum(&mut image[copy..copy + size]);
            }
        }
        assert_field(&format!("{bytes:?} at {at}"), try_it(&image, &passphrase), field, ErrorClass::Header);
    }
    let mut endless = image.clone();
    for copy in [0, size] {
        endless[copy + 4096..copy + size].fill(b' ');
        sum(&mut endless[copy..copy + size]);
    }
    assert_field("no zero byte", try_it(&endless, &passphrase), "JSON area", ErrorClass::Header);
}

#[test]
fn an_image_that_ends_early_is_refused_wherever_it_ends() {
    let (image, passphrase, _) = good();
    for len in [0, 1, 6, 8, 591, 592, 4095, 4096, 8192, 16383, 16384, 32768, 40_000, 32768 + 255_999] {
        let error = try_it(&image[..len], &passphrase).unwrap_err();
        let header = error.class() == ErrorClass::Header;
        assert!(header, "{len} bytes: {error}");
    }
}

#[test]
fn each_malformed_luks1_header_is_refused_by_its_field() {
    const NAME: &str = "luks1-aes-xts-sha256";
    let told = description(NAME);
    let passphrase = told["passphrases"][0].as_str().unwrap().as_bytes();
    let good = image(NAME);
    try_it(&good, passphrase).unwrap();
    let number = |number: u32| number.to_be_bytes().to_vec();
    let rows: &[(usize, Vec<u8>, &str, ErrorClass)] = &[
        (8, vec![0], "cipher-name", HEADER),
        (8, vec![0xff], "cipher-name", HEADER),
        (8, b"\x1b[2J".to_vec(), "cipher-name", HEADER),
        (8, b"rot13\0".to_vec(), "key-slot-0.area.encryption", UNSUPPORTED),
        (40, vec![0], "cipher-mode", HEADER),
        (40, b"xts-plain46\0".to_vec(), "key-slot-0.area.encryption", UNSUPPORTED),
        (72, b"sha0\0".to_vec(), "hash-spec", UNSUPPORTED),
        (104, number(1), "payload-offset", ErrorClass::Request),
        (108, number(0), "key-bytes", HEADER),
        (108, number(u32::MAX), "key-bytes", HEADER),
        (108, number(31), "key-slot-0.area.encryption", HEADER),
        (164, number(0), "mk-digest-iter", HEADER),
        (164, number(u32::MAX), "mk-digest-iter", HOSTILE),
        (212, number(0), "key-slot-0.iterations", HEADER),
        (212, number(u32::MAX), "key-slot-0.iterations", HOSTILE),
        (248, number(0), "key-slot-0.key-material-offset", HEADER),
        (248, number(775), "key-slot-0.key-material-offset", HEADER),
        (248, number(u32::MAX), "key-slot-0.key-material-offset", HEADER),
        (252, number(0), "key-slot-0.stripes", HEADER),
        (252, number(u32::MAX), "key-slot-0.stripes", HEADER),
        (252, number(65_537), "key-slot-0.stripes", HEADER),
        (252, number(65_536), "key-slot-0.key-material-offset", HEADER),
    ];
    for (at, bytes, field, fault) in rows {
        let mut image = good.clone();
        image[*at..at + bytes.len()].copy_from_slice(bytes);
        let what = format!("{bytes:?} at {at}");
        match try_it(&image, passphrase) {
            // Key slot 3 has costs of its own, and is tried too.
            Err(Error::WrongPassphrase { .. }) => panic!("{what}: taken"),
            // A payload that begins in the key slots is their overlap.
            result if *at == 104 => assert_field(&what, result, "key-slot-0.key-material-offset", HEADER),
            result => assert_field(&what, result, field, *fault),
        }
    }
}

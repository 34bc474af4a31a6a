//! Every image that a real cryptsetup made opens with each of its passphrases and key files, to the volume key and the
//! dm-crypt table that cryptsetup loaded; or it is refused by the name of what is not done here. What is inside is looked
//! at by `tests/tests/luks.rs`, through the whole program.

use std::fs;

use crate::support::{description, folder, image, unhex, unpacked};
use serde_json::Value;
use udm_luks::{Error, ErrorClass, Header, HeaderPlace, UnlockOptions, Unlocked, Volume};

/// What opens an image that is not done here: the field that says why.
const REFUSED: &[(&str, &str)] = &[
    ("luks2-encrypt-init", "config.requirements.mandatory.0"),
    ("luks2-reencrypt-init", "config.requirements.mandatory.0"),
    ("luks2-reencrypt-stopped", "config.requirements.mandatory.0"),
    ("luks2-reencrypt-torn-checksum", "config.requirements.mandatory.0"),
    ("luks2-reencrypt-torn-journal", "config.requirements.mandatory.0"),
    ("luks2-integrity-aegis", "segments.0.integrity.type"),
    ("luks2-integrity-aes-gcm", "segments.0.integrity.type"),
    ("luks2-integrity-chacha20", "segments.0.integrity.type"),
    ("luks2-integrity-hmac", "segments.0.integrity.type"),
    ("luks2-integrity-hmac-4096", "segments.0.integrity.type"),
    ("luks2-integrity-hmac-wiped", "segments.0.integrity.type"),
];

/// What a notice says of an image that is damaged and opens all the same.
const NOTICES: &[(&str, &str)] = &[
    ("luks2-primary-damaged", "the primary header is not used: there is none"),
    ("luks2-primary-json-damaged", "the primary header is not used: csum is"),
    ("luks2-secondary-damaged", "the secondary header is not used"),
    ("luks2-stale-secondary", "the newer, primary, is used"),
];

fn names() -> Vec<String> {
    let files =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
    names.retain(|name| name.starts_with("luks"));
    names.sort();
    names
}

fn strings(value: &Value) -> Vec<Vec<u8>> {
    let texts = value.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect()
}

/// Every passphrase that opens the data, those of key files cut as `--keyfile-offset` and `--keyfile-size` would.
fn passphrases(told: &Value) -> Vec<(Option<u64>, Vec<u8>)> {
    let mut all: Vec<_> = strings(&told["passphrases"]).into_iter().map(|text| (None, text)).collect();
    for file in told["key_files"].as_array().into_iter().flatten() {
        let bytes = unhex(file["hex"].as_str().unwrap());
        let offset = file["offset"].as_u64().unwrap_or(0) as usize;
        let size = file["size"].as_u64().map_or(bytes.len() - offset, |size| size as usize);
        all.push((file["slot"].as_u64(), bytes[offset..offset + size].to_vec()));
    }
    all
}

/// What the image is, and on how many bytes of data it lies.
fn open(name: &str, told: &Value) -> (Result<Volume<Vec<u8>>, Error>, u64) {
    let size = told["image_bytes"].as_u64().unwrap();
    let volume = match told["header_image"].as_str() {
        Some(header) => Volume::open(unpacked(header), HeaderPlace::Detached),
        None => Volume::open(image(name), HeaderPlace::Attached),
    };
    (volume, size)
}

/// The table that dmsetup would print of it.
fn table(unlocked: &Unlocked, device_size: u64) -> String {
    let (segment, flags) = (&unlocked.segment, unlocked.flags);
    let mut options = Vec::new();
    for (is_set, name) in [
        (flags.allow_discards, "allow_discards"),
        (flags.same_cpu_crypt, "same_cpu_crypt"),
        (flags.submit_from_crypt_cpus, "submit_from_crypt_cpus"),
        (flags.no_read_workqueue, "no_read_workqueue"),
        (flags.no_write_workqueue, "no_write_workqueue"),
    ] {
        options.extend(is_set.then(|| name.to_owned()));
    }
    if segment.sector_size != 512 {
        options.push(format!("sector_size:{}", segment.sector_size));
    }
    let count = if options.is_empty() { String::new() } else { format!(" {} ", options.len()) };
    let key = base16ct::lower::encode_string(&unlocked.key);
    format!(
        "0 {} crypt {} {} {} <dev> {}{count}{}",
        unlocked.size(device_size).unwrap() / 512,
        segment.encryption,
        key,
        segment.iv_tweak,
        segment.offset / 512,
        options.join(" ")
    )
}

#[test]
fn every_image_opens_to_the_table_that_cryptsetup_loaded_or_is_refused_by_name() {
    let names = names();
    assert_eq!(names.len(), 36, "{names:?}");
    let (mut opened, mut refused, mut ignored) = (0, 0, 0);
    for name in &names {
        let told = description(name);
        let (volume, size) = open(name, &told);
        if told["must_open"] == false {
            assert!(matches!(volume, Err(Error::NoHeader)), "{name}: {volume:?}");
            refused += 1;
            continue;
        }
        let volume = volume.unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_refused = REFUSED.iter().any(|(image, _)| image == name);
        let notice = NOTICES.iter().find(|(image, _)| image == name).map(|(_, notice)| *notice);
        match (volume.notice(), notice) {
            (None, None) => {}
            // A reencryption that was killed may have been writing a header.
            (Some(_), None) if is_refused => {}
            (Some(told), Some(notice)) => assert!(told.contains(notice), "{name}: {told}"),
            (told, _) => panic!("{name}: {told:?}"),
        }
        let options = UnlockOptions::default();
        if let Some((_, field)) = REFUSED.iter().find(|(image, _)| image == name) {
            let (_, passphrase) = &passphrases(&told)[0];
            let error = volume.unlock(passphrase, &options).unwrap_err();
            assert_eq!(
                (error.class(), &*error.finding().unwrap().field),
                (ErrorClass::Unsupported, *field),
                "{name}"
            );
            assert!(error.to_string().contains("cryptsetup"), "{name}: {error}");
            // The passphrase is the right one all the same.
            volume.test_passphrase(passphrase, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
            refused += 1;
            continue;
        }
        for (slot, passphrase) in passphrases(&told) {
            let unlocked = match volume.unlock(&passphrase, &options) {
                // A key slot of the priority ignore opens where it is named.
                Err(Error::WrongPassphrase { left_out, .. }) if left_out.len() == 1 => {
                    let options = UnlockOptions { key_slot: Some(left_out[0].0), ..options };
                    ignored += 1;
                    volume.unlock(&passphrase, &options)
                }
                result => result,
            };
            let unlocked = unlocked.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(table(&unlocked, size), told["dm_table"].as_str().unwrap(), "{name}");
            assert!(slot.is_none_or(|slot| slot == u64::from(unlocked.key_slot)), "{name}");
            assert!(!format!("{unlocked:?}").contains("key:"), "a key in Debug");
            opened += 1;
        }
        // Those of the default costs take seconds each, and say nothing more.
        let costly = name == "luks2-argon2id-default";
        for wrong in strings(&told["wrong_passphrases"]).iter().take(if costly { 1 } else { 9 }) {
            let error = volume.unlock(wrong, &options).unwrap_err();
            assert!(matches!(error, Error::WrongPassphrase { .. }), "{name}: {error}");
        }
        for unbound in strings(&told["unbound_passphrases"]) {
            let error = volume.unlock(&unbound, &options).unwrap_err();
            assert!(error.to_string().contains("key slot 1 was not tried: its key is not that of the data"));
            assert_eq!(volume.test_passphrase(&unbound, &options).unwrap(), 1, "{name}");
        }
    }
    println!("{opened} passphrases opened, {refused} images refused");
    assert_eq!((refused, ignored), (REFUSED.len() + 1, 1));
}

/// What cryptsetup put into the metadata is what we have of them, with nothing lost: unknown tokens, for one.
#[test]
fn metadata_are_kept_whole() {
    for name in names() {
        let told = description(&name);
        let Ok(volume) = open(&name, &told).0 else { continue };
        if let Header::Luks2(header) = volume.header() {
            let kept = serde_json::from_str::<Value>(&header.metadata.json.to_strict()).unwrap();
            assert_eq!(kept, told["luks2_metadata"], "{name}");
        }
    }
}

#[test]
fn key_slots_are_named_and_tried_by_their_priority() {
    let told = description("luks2-keyslots");
    let volume = open("luks2-keyslots", &told).0.unwrap();
    let Header::Luks2(header) = volume.header() else { panic!("it is LUKS2") };
    let slots: Vec<_> = header.metadata.slots.iter().filter_map(|(_, slot)| slot.key()).collect();
    println!("{:?}", slots.iter().map(|slot| (slot.id, slot.priority)).collect::<Vec<_>>());
    for (_, passphrase) in passphrases(&told) {
        let opened: Vec<_> = slots
            .iter()
            .filter(|slot| {
                let options = UnlockOptions { key_slot: Some(slot.id), ..UnlockOptions::default() };
                volume.unlock(&passphrase, &options).is_ok()
            })
            .collect();
        assert_eq!(opened.len(), 1, "a passphrase opens its own key slot alone");
    }
    let options = UnlockOptions { key_slot: Some(31), ..UnlockOptions::default() };
    let error = volume.unlock(b"x", &options).unwrap_err();
    assert!(
        error.class() == ErrorClass::Request && error.to_string().contains("--key-slot is 31"),
        "{error}"
    );
}

//! Changes to LUKS headers of any kind: whatever the bytes are, a change is refused with an error that can be shown, or what
//! it writes is a header that opens, says what it should, and is whole. The checksums of LUKS2 are set right first.
//!
//! The first byte of an input says what is changed.
#![no_main]

#[path = "../checksum.rs"]
mod checksum;

use std::time::Duration;

use checksum::set_checksum;
use libfuzzer_sys::fuzz_target;
use udm_luks::Hash;
use udm_luks::header::{backup, keyring_token};
use udm_luks::keyslot::Priority;
use udm_luks::{
    ActivationFlags, Error, Header, HeaderPlace, KdfKind, KdfOptions, LastKey, Limits, SlotOptions,
    UnlockOptions, Volume,
};

/// How much an input is filled up to, so that areas are there to be written.
const SIZE: usize = 320 << 10;
/// What an unlocking may cost here: the seeds have 2000 iterations.
const LIMITS: Limits = Limits { memory_kib: 64, iterations: 2000, filled_kib: 128, lanes: 2 };

// What a change is called by, where that matters.
const REPAIR: u8 = 8;
const BACK_UP: u8 = 10;

fuzz_target!(|data: &[u8]| {
    let Some((what, data)) = data.split_first() else { return };
    let mut image = data.to_vec();
    image.resize(SIZE.max(data.len()), 0);
    for at in [0, 16 << 10] {
        set_checksum(&mut image, at);
    }
    let Ok(mut volume) = Volume::open(image.clone(), HeaderPlace::Detached) else { return };
    let before = volume.notice();
    match change(&mut volume, *what) {
        Err(error) => assert!(error.to_string().len() < 4000, "{error}"),
        Ok(()) => {
            let header = volume.header().clone();
            let image = volume.into_source();
            let again = Volume::open(image, HeaderPlace::Detached).expect("what was written is read");
            if let Some(new) = again.notice() {
                // A backup changes nothing. A key slot of LUKS1 may have other than 4000 stripes while it is in use. One
                // that is not in use is noticed, also when this change has freed it, until a repair.
                let may_be = match what & 15 {
                    BACK_UP => Some(&new) == before.as_ref(),
                    REPAIR => false,
                    _ => matches!(header, Header::Luks1(_)) && new.contains("the key slot is not in use"),
                };
                assert!(may_be, "it is not whole: {new}");
            }
            if let (Header::Luks2(written), Header::Luks2(read)) = (&header, again.header()) {
                assert_eq!(written.metadata, read.metadata, "it is another header");
            }
        }
    }
});

fn change(volume: &mut Volume<Vec<u8>>, what: u8) -> Result<(), Error> {
    let slot = u32::from(what >> 4);
    match what & 15 {
        0 => volume.set_label(Some("label"), Some("subsystem")),
        1 => volume.set_uuid(None).map(drop),
        2 => volume.set_priority(slot, Priority::Ignore),
        3 => volume.set_flags(ActivationFlags { allow_discards: true, ..ActivationFlags::default() }),
        4 => volume.add_token(keyring_token("key", &[slot]), None, false).map(drop),
        5 => volume.remove_token(slot),
        6 => volume.kill_slot(slot, LastKey::MayGo),
        7 => volume.erase(),
        REPAIR => volume.repair().map(drop),
        9 => volume.add_unbound_key(&[7; 16], b"x", &slot_options(slot)).map(drop),
        BACK_UP => {
            let mut kept = Vec::new();
            volume.back_up(&mut kept)?;
            let mut disk = vec![0xff; kept.len() + SIZE];
            backup::restore(&mut disk, &kept)?;
            assert!(disk.starts_with(&kept), "what is restored is what was kept");
            Ok(())
        }
        _ => {
            let options = UnlockOptions { key_slot: None, limits: LIMITS };
            let key = volume.find_key(b"x", &options)?;
            volume.change_key(&key, b"y", &slot_options(slot)).map(drop)
        }
    }
}

fn slot_options(id: u32) -> SlotOptions {
    let kind = KdfKind::Pbkdf2(Hash::Sha256);
    let kdf = KdfOptions { kind, iterations: Some(1000), memory_kib: 32, lanes: 1, time: Duration::ZERO };
    SlotOptions { id: Some(id), ..SlotOptions::new(kdf) }
}

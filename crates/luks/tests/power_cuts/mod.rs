//! The power is cut at every write of every operation, torn at every 512 bytes, and in any order between syncs: then the
//! old or the new volume opens. Which passphrases may open at a cut is told by each row; that the check can fail is shown by
//! a disk whose syncs do nothing, and by rows of `cargo xtask mutants`.
//!
//! `UDM_SEED` takes the seed of a failure again.

mod disk;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{metadata, with_metadata};
use disk::{Disk, Fault};
use udm_luks::Hash;
use udm_luks::header::{backup, keyring_token};
use udm_luks::keyslot::Priority;
use udm_luks::{
    Error, FormatOptions, Header, HeaderPlace, KdfKind, KdfOptions, LastKey, Limits, SlotOptions,
    UnlockOptions, Version, Volume, VolumeKey, format,
};

/// How often the sectors since a sync are taken in another order.
const TRIES: usize = 16;
/// The same, where a fault must be found: of the tries, at least one in twenty finds it.
const TWIN_TRIES: usize = 200;
const LIMITS: Limits = Limits { memory_kib: 1, iterations: 1000, filled_kib: 1, lanes: 1 };

/// Something that is done to a volume, which is open.
type Operation = fn(&mut Volume<Disk>) -> Result<(), Error>;
/// Its name, what it does to a volume that the passphrases `ab` open, and what may open it at a cut, in order, as
/// [`opening`] has it: a key slot that the header knows and nothing opens is neither old nor new, but on its way out.
type Row = (&'static str, Operation, &'static [&'static str]);

const BOTH: &[Row] = &[
    ("add-key", |volume| volume.add_key(&key(volume, b"a")?, b"c", &slot()).map(drop), &["ab2", "abc3"]),
    (
        "add-key 6",
        |volume| volume.add_key(&key(volume, b"a")?, b"c", &SlotOptions { id: Some(6), ..slot() }).map(drop),
        &["ab2", "abc3"],
    ),
    (
        "add-key 7",
        |volume| volume.add_key(&key(volume, b"a")?, b"c", &SlotOptions { id: Some(7), ..slot() }).map(drop),
        &["ab2", "abc3"],
    ),
    (
        "change-key",
        |volume| volume.change_key(&key(volume, b"a")?, b"c", &slot()).map(drop),
        &["ab2", "abc3", "bc3", "bc2"],
    ),
    (
        "convert-key",
        |volume| volume.change_key(&key(volume, b"a")?, b"a", &slot()).map(drop),
        &["ab3", "ab2"],
    ),
    ("kill-slot", |volume| volume.kill_slot(1, LastKey::Stays), &["ab2", "a2", "a1"]),
    ("erase", Volume::erase, &["ab2", "b2", "a2", "2", "0"]),
    ("uuid", |volume| volume.set_uuid(None).map(drop), &["ab2"]),
];

const LUKS2: &[Row] = &[
    (
        "add-key --unbound",
        |volume| volume.add_unbound_key(&[9; 16], b"c", &slot()).map(drop),
        &["ab2", "abc3"],
    ),
    ("config --label", |volume| volume.set_label(Some("a label"), None), &["ab2"]),
    ("config --priority", |volume| volume.set_priority(1, Priority::Prefer), &["ab2"]),
    ("config --persistent", |volume| volume.set_flags(udm_luks::ActivationFlags::default()), &["ab2"]),
    ("token add", |volume| volume.add_token(keyring_token("k", &[0]), None, false).map(drop), &["ab2"]),
];

fn slot() -> SlotOptions {
    let kind = KdfKind::Pbkdf2(Hash::Sha256);
    SlotOptions::new(KdfOptions {
        kind,
        iterations: Some(1000),
        lanes: 1,
        memory_kib: 32,
        time: Duration::ZERO,
    })
}

fn options() -> UnlockOptions {
    UnlockOptions { key_slot: None, limits: LIMITS }
}

fn key(volume: &Volume<Disk>, passphrase: &[u8]) -> Result<VolumeKey, Error> {
    volume.find_key(passphrase, &options())
}

fn format_options(version: Version) -> FormatOptions {
    let (mut made, areas) = match version {
        Version::Luks1 => (FormatOptions::luks1(Hash::Sha256), None),
        Version::Luks2 => (FormatOptions::luks2(), Some(256 << 10)),
    };
    (made.encryption, made.key_size) = ("aes-cbc-essiv:sha256".into(), 16);
    (made.slot, made.keyslots_size) = (slot(), areas);
    made
}

/// A volume that the passphrases `a` and `b` open.
fn made(version: Version) -> Vec<u8> {
    let mut disk = Disk::new(&vec![0; (1 << 20) + 4096], Fault::None);
    format(&mut disk, &format_options(version), b"a").unwrap();
    let image = disk.image().to_vec();
    let mut volume = Volume::open(Disk::new(&image, Fault::None), HeaderPlace::Attached).unwrap();
    let first = key(&volume, b"a").unwrap();
    volume.add_key(&first, b"b", &slot()).unwrap();
    image_of(volume)
}

/// What is on the disk of a volume.
fn image_of(volume: Volume<Disk>) -> Vec<u8> {
    volume.into_source().image().to_vec()
}

/// The passphrases that open, and how many key slots the header knows: `ab2`; or why there is no header.
fn opening(image: &[u8]) -> Result<String, Error> {
    let volume = Volume::open(image, HeaderPlace::Attached)?;
    let slots = match volume.header() {
        Header::Luks1(header) => header.slots.iter().flatten().count(),
        Header::Luks2(header) => header.metadata.slots.len(),
    };
    let opens = |passphrase: &&str| match volume.test_passphrase(passphrase.as_bytes(), &options()) {
        Ok(_) => true,
        Err(Error::WrongPassphrase { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    let open: String = ["a", "b", "c"].into_iter().filter(opens).collect();
    Ok(format!("{open}{slots}"))
}

fn seed() -> u64 {
    let given = std::env::var("UDM_SEED").ok().map(|text| {
        let digits = text.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).expect("UDM_SEED is a number in hexadecimal")
    });
    let seed =
        given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    println!("UDM_SEED={seed:#x}");
    seed
}

/// Does `operation` on a volume, and looks at every cut. The cuts that are wrong, and how many there were.
fn cuts_of(image: &[u8], row: &Row, fault: Fault, seed: &mut u64) -> (Vec<String>, usize) {
    let tries = if fault == Fault::None { TRIES } else { TWIN_TRIES };
    let (name, operation, allowed) = row;
    let mut volume = Volume::open(Disk::new(image, fault), HeaderPlace::Attached).unwrap();
    operation(&mut volume).unwrap_or_else(|error| panic!("{name}: {error}"));
    let disk = volume.into_source();
    let mut wrong = Vec::new();
    let cuts = disk.at_every_cut(seed, tries, |image, cut| match opening(image) {
        Ok(open) if allowed.contains(&&*open) => {}
        Ok(open) => wrong.push(format!("{name}, {cut}: {open:?} opens")),
        Err(error) => wrong.push(format!("{name}, {cut}: {error}")),
    });
    // What is allowed last is how it ends.
    assert_eq!(opening(disk.image()).unwrap(), *allowed.last().unwrap(), "{name}");
    (wrong, cuts)
}

fn rows(version: Version) -> impl Iterator<Item = &'static Row> {
    BOTH.iter().chain(if version == Version::Luks2 { LUKS2 } else { &[] })
}

#[test]
fn the_old_or_the_new_volume_opens_at_every_power_cut() {
    let mut seed = seed();
    for version in [Version::Luks1, Version::Luks2] {
        let image = made(version);
        for row in rows(version) {
            let (wrong, cuts) = cuts_of(&image, row, Fault::None, &mut seed);
            println!("{version:?} {}: {cuts} cuts", row.0);
            assert!(wrong.is_empty(), "{version:?}: {wrong:#?}");
        }
    }
}

/// The bad twin: where material and headers are written, the check finds that it does not hold when syncs do nothing.
#[test]
fn without_syncs_the_check_finds_volumes_that_do_not_open() {
    let mut seed = seed();
    let (luks1, luks2) = (made(Version::Luks1), made(Version::Luks2));
    for (image, version, name) in [
        (&luks1, Version::Luks1, "change-key"),
        (&luks2, Version::Luks2, "change-key"),
        (&luks2, Version::Luks2, "add-key"),
        (&luks2, Version::Luks2, "kill-slot"),
        (&luks2, Version::Luks2, "token add"),
    ] {
        let row = rows(version).find(|row| row.0 == name).expect("a row");
        let (wrong, cuts) = cuts_of(image, row, Fault::NoSync, &mut seed);
        println!("{version:?} {name}: {} of {cuts} cuts are wrong", wrong.len());
        assert!(!wrong.is_empty(), "{version:?} {name}: nothing was found");
    }
}

/// A volume without room for another key slot, which `a`, `b` and, of LUKS1, `x` open.
fn full(version: Version) -> Vec<u8> {
    let mut options = format_options(version);
    options.keyslots_size = options.keyslots_size.map(|_| 128 << 10);
    let mut disk = Disk::new(&vec![0; (1 << 20) + 4096], Fault::None);
    format(&mut disk, &options, b"a").unwrap();
    let image = disk.image().to_vec();
    let mut volume = Volume::open(Disk::new(&image, Fault::None), HeaderPlace::Attached).unwrap();
    let first = key(&volume, b"a").unwrap();
    volume.add_key(&first, b"b", &slot()).unwrap();
    while volume.add_key(&first, b"x", &slot()).is_ok() {}
    assert!(!volume.has_room_to_change(&first).unwrap());
    image_of(volume)
}

/// Where a key slot is changed in place, the old or the new passphrase opens at every cut, or the backup of the header
/// that is kept meanwhile brings the old one back. The bad twin is in it: without the backup there are cuts at which
/// neither opens.
#[test]
fn a_key_slot_that_is_changed_in_place_is_never_lost_with_its_backup() {
    let mut seed = seed();
    for version in [Version::Luks1, Version::Luks2] {
        let image = full(version);
        let mut kept = Vec::new();
        Volume::open(&image[..], HeaderPlace::Attached).unwrap().back_up(&mut kept).unwrap();
        let mut volume = Volume::open(Disk::new(&image, Fault::None), HeaderPlace::Attached).unwrap();
        let first = key(&volume, b"a").unwrap();
        volume.change_key_in_place(&first, b"c", &slot()).unwrap();
        let disk = volume.into_source();
        let after = opening(disk.image()).unwrap();
        assert!(after.starts_with("bc"), "{after}");
        let (mut neither, mut wrong) = (0, Vec::new());
        let cuts = disk.at_every_cut(&mut seed, TRIES, |image, cut| {
            let open = opening(image).unwrap_or_default();
            if open.starts_with("ab") || open.starts_with("bc") {
                return;
            }
            neither += 1;
            let mut restored = image.to_vec();
            let opens = backup::restore(&mut restored, &kept).and_then(|()| opening(&restored));
            if !opens.as_ref().is_ok_and(|open| open.starts_with("ab")) {
                wrong.push(format!("{cut}: {opens:?}"));
            }
        });
        println!("{version:?}: {cuts} cuts, at {neither} only the backup opens");
        assert!(wrong.is_empty(), "{version:?}: {wrong:#?}");
        assert!(neither > 0, "{version:?}: the backup was needed for nothing");
    }
}

/// What a key slot that goes has had is overwritten while the header knows it: at no cut there is a header without it and
/// a sector of its material. The bad twin is the disk whose syncs do nothing.
#[test]
fn material_is_gone_before_the_header_forgets_it() {
    let mut seed = seed();
    for version in [Version::Luks1, Version::Luks2] {
        let image = made(version);
        let areas = areas(&image);
        for row in BOTH.iter().filter(|row| ["kill-slot", "erase", "change-key"].contains(&row.0)) {
            for fault in [Fault::None, Fault::NoSync] {
                let mut volume = Volume::open(Disk::new(&image, fault), HeaderPlace::Attached).unwrap();
                row.1(&mut volume).unwrap();
                let mut wrong = Vec::new();
                volume.into_source().at_every_cut(&mut seed, TWIN_TRIES, |cut, what| {
                    if Volume::open(cut, HeaderPlace::Attached).is_err() {
                        return;
                    }
                    let known = self::areas(cut);
                    for area in areas.iter().filter(|area| !known.contains(area)) {
                        let sectors =
                            (area.start..area.end).step_by(disk::SECTOR).map(|at| at..at + disk::SECTOR);
                        let left =
                            sectors.filter(|sector| cut[sector.clone()] == image[sector.clone()]).count();
                        if left > 0 {
                            wrong.push(format!("{what}: {left} sectors of the material are left"));
                        }
                    }
                });
                println!("{version:?} {}, {fault:?}: {} cuts leave material", row.0, wrong.len());
                assert_eq!(wrong.is_empty(), fault == Fault::None, "{version:?} {}: {wrong:#?}", row.0);
            }
        }
    }
}

/// The stripes of the key slots that the header knows.
fn areas(image: &[u8]) -> Vec<std::ops::Range<usize>> {
    let slots: Vec<_> = match Volume::open(image, HeaderPlace::Attached).unwrap().header() {
        Header::Luks1(header) => header.slots.iter().flatten().cloned().collect(),
        Header::Luks2(header) => {
            header.metadata.slots.iter().filter_map(|(_, slot)| slot.key().cloned()).collect()
        }
    };
    let range = |slot: udm_luks::keyslot::KeySlot| {
        let start = slot.area.offset as usize;
        start..start + slot.material_size()
    };
    slots.into_iter().map(range).collect()
}

/// A volume that is made over another one, and a header that is restored: before, the old one opens; then nothing; then
/// the new one. Nothing else.
#[test]
fn half_a_volume_never_opens() {
    let mut seed = seed();
    for version in [Version::Luks1, Version::Luks2] {
        let old = made(version);
        let mut kept = Vec::new();
        Volume::open(&old[..], HeaderPlace::Attached).unwrap().back_up(&mut kept).unwrap();
        let mut changed = Volume::open(Disk::new(&old, Fault::None), HeaderPlace::Attached).unwrap();
        changed.change_key(&key(&changed, b"a").unwrap(), b"c", &slot()).unwrap();
        let changed = image_of(changed);
        let other = if version == Version::Luks1 { Version::Luks2 } else { Version::Luks1 };
        let mut formatted = Disk::new(&old, Fault::None);
        format(&mut formatted, &format_options(other), b"c").unwrap();
        let mut restored = Disk::new(&changed, Fault::None);
        backup::restore(&mut restored, &kept).unwrap();
        for (name, disk, before, after) in
            [("format", formatted, "ab2", "c1"), ("header-restore", restored, "bc2", "ab2")]
        {
            let mut found = Vec::new();
            let cuts = disk.at_every_cut(&mut seed, TRIES, |image, cut| {
                let open = match opening(image) {
                    Ok(open) => open,
                    Err(Error::NoHeader | Error::Damaged(_)) => "nothing".into(),
                    Err(error) => panic!("{name}, {cut}: {error}"),
                };
                assert!([before, "nothing", after].contains(&&*open), "{name}, {cut}: {open:?} opens");
                if !found.contains(&open) {
                    found.push(open);
                }
            });
            println!("{version:?} {name}: {cuts} cuts, {found:?}");
            assert_eq!(found.last().unwrap(), after, "{version:?} {name}");
        }
    }
}

/// What a cut leaves is repaired, at every cut, and then it is whole; and a cut of the repair is repaired again.
#[test]
fn what_a_cut_leaves_can_be_repaired() {
    let mut seed = seed();
    let image = made(Version::Luks2);
    let mut volume = Volume::open(Disk::new(&image, Fault::None), HeaderPlace::Attached).unwrap();
    volume.set_label(Some("new"), None).unwrap();
    let (mut repaired, mut torn) = (0, None);
    volume.into_source().at_every_cut(&mut seed, TRIES, |image, cut| {
        let mut volume = Volume::open(Disk::new(image, Fault::None), HeaderPlace::Attached).unwrap();
        let label = label(&volume);
        repaired += usize::from(volume.repair().unwrap());
        assert_eq!(self::label(&volume), label, "{cut}: it is another header");
        let image = image_of(volume);
        let again = Volume::open(&image[..], HeaderPlace::Attached).unwrap();
        assert_eq!((again.notice(), self::label(&again)), (None, label), "{cut}");
        assert_eq!(opening(&image).unwrap(), "ab2", "{cut}");
        torn = Some(image);
    });
    println!("{repaired} cuts left something to repair");
    assert!(repaired > 30);
    // As another program may write it: then the copy that is whole changes, too, more than its first sector.
    let image = torn.unwrap();
    let mut image = with_metadata(&image, metadata(&image).replacen('{', "{ ", 1).as_bytes());
    image[4100] ^= 1;
    let row: Row = ("repair", |volume| volume.repair().map(drop), &["ab2"]);
    let (wrong, cuts) = cuts_of(&image, &row, Fault::None, &mut seed);
    println!("repair: {cuts} cuts");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn label<S>(volume: &Volume<S>) -> String
where
    S: udm_luks::ReadAt,
{
    match volume.header() {
        Header::Luks2(header) => header.binary.label.to_string(),
        Header::Luks1(_) => String::new(),
    }
}

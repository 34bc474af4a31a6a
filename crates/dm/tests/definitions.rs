//! The data path held against the definitions: a model of a volume, sector by sector, that shares no code with udm
//! (`support/model.rs`). A small grid has every combination; a random sample has whole devices and random I/O.

mod support;

use support::client::Client;
use support::cut::{CUTS, WHOLE};
use support::disk::Ram;
use support::model::{Iv, Mistake, Mode, Volume};
use support::{BOTH, Dice, assert_same, drivers, stream, try_map};
use udm_block::{DeviceRef, Span, SpanIter};
use udm_crypto::Direction;
use udm_dm::table::{Table, TargetSpec};
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Requests};

const MODES: [Mode; 3] = [Mode::Xts, Mode::Cbc, Mode::Ecb];
const HASHES: [&str; 5] = ["md5", "sha256", "sha3-256", "blake2b-256", "wp256"];
const SECTOR_SIZES: [usize; 4] = [512, 1024, 2048, 4096];

/// Every IV mode that a table can ask for.
fn iv_modes() -> Vec<Iv> {
    let essiv = HASHES.map(Iv::Essiv);
    let plain = [Iv::Null, Iv::Plain, Iv::Plain64, Iv::Plain64be, Iv::Benbi, Iv::EssivOfPlain("sha256")];
    plain.into_iter().chain(essiv).collect()
}

/// The numbers before which a volume begins, for this size of encryption sectors: where a counter of 32 bits wraps, in
/// 512-byte sectors and in larger ones; where benbi's shift by 5 overflows; where the sector number itself does, at
/// 2^64; and 2^40, where nothing does.
fn borders(sector_size: usize) -> [u64; 5] {
    let unit = sector_size as u64 / 512;
    [1 << 32, (unit << 32).max(1 << 33), 1 << 59, 0, 1 << 40]
}

/// An offset a few encryption sectors before `border`, modulo 2^64.
fn before(border: u64, sector_size: usize, units: u64) -> u64 {
    border.wrapping_sub(units * (sector_size as u64 / 512))
}

/// The keys of a volume: `count` of them, of `len` bytes each part.
fn keys(seed: u64, count: usize, len: usize) -> Vec<Vec<u8>> {
    stream(seed, count * len).chunks(len).map(<[u8]>::to_vec).collect()
}

fn spec(volume: &Volume, sectors: u64) -> Box<CryptSpec> {
    let mut table = Table::parse(&volume.line(sectors)).unwrap_or_else(|error| panic!("{error}"));
    let TargetSpec::Crypt(spec) = table.rows.remove(0).target else { panic!("a crypt row") };
    spec
}

/// A converter of the volume; `None` where the driver does not take its keys.
fn converter(spec: &CryptSpec, driver: &str, requests: Requests) -> Option<Converter> {
    let KeySpec::Bytes(key) = &spec.key else { panic!("a key") };
    Converter::new(spec, key.as_slice(), &CipherChoice { driver: Some(driver.to_owned()), requests }).ok()
}

/// `data` through a converter.
fn convert(converter: &Converter, direction: Direction, sector: u64, mut data: Vec<u8>) -> Vec<u8> {
    let mut out = vec![0; data.len()];
    let (from, to) = ([Span::new(&mut data)], [Span::new(&mut out)]);
    converter.convert(direction, SpanIter::new(&from), SpanIter::new(&to), sector).unwrap();
    out
}

/// Whether a table can ask for it: ecb takes no IV that essiv could encipher, and a capi name has one key.
fn there_is(mode: Mode, iv: Iv, keys: usize) -> bool {
    match iv {
        Iv::Essiv(_) => mode != Mode::Ecb,
        Iv::EssivOfPlain(_) => mode != Mode::Ecb && keys == 1,
        _ => true,
    }
}

/// Calls `each` with every volume of the grid.
fn for_each_volume(mut each: impl FnMut(&Volume)) {
    let mut seed = 0;
    for mode in MODES {
        for iv in iv_modes() {
            for sector_size in SECTOR_SIZES {
                for (large, count) in [(false, 1), (true, 1), (false, 2), (true, 4)] {
                    if !there_is(mode, iv, count) {
                        continue;
                    }
                    let offsets = borders(sector_size).map(|border| before(border, sector_size, 2));
                    for iv_offset in offsets.into_iter().chain([0]) {
                        seed += 1;
                        // The key sizes move against the borders, so that each border meets each of them.
                        let len = [16, 24, 32][(seed + seed / 6) as usize % 3] * mode.parts();
                        let keys = keys(seed, count, len);
                        let mistake = Mistake::None;
                        each(&Volume { mode, iv, keys, sector_size, large, iv_offset, mistake });
                    }
                }
            }
        }
    }
}

/// Oracle: the model. Four encryption sectors across each border, both ways, whole and sector by sector.
#[test]
fn the_grid_of_all_modes_agrees_with_the_definitions() {
    let (mut volumes, mut checks) = (0, 0);
    for_each_volume(|volume| {
        let plain = stream(volumes, 4 * volume.sector_size);
        let spec = spec(volume, plain.len() as u64 / 512);
        let cipher = volume.encrypt(0, &plain);
        volumes += 1;
        for driver in drivers(spec.cipher.algorithm) {
            for requests in BOTH {
                let Some(converter) = converter(&spec, driver, requests) else { continue };
                checks += 1;
                let what = format!("{volume:?} by {driver}, {requests:?}");
                let encrypted = convert(&converter, Direction::Encrypt, 0, plain.clone());
                assert_same(&encrypted, &cipher, &what);
                let decrypted = convert(&converter, Direction::Decrypt, 0, cipher.clone());
                assert_same(&decrypted, &plain, &what);
            }
        }
    });
    println!("{volumes} volumes, {checks} converters");
    assert!(volumes == 2496 && checks > 3 * volumes, "{volumes} volumes, {checks} converters");
}

/// Oracle: the model. Runs that are longer than what is made of IVs at once, and that a wrap cuts in the middle.
#[test]
fn long_runs_agree_with_the_definitions() {
    for iv in iv_modes() {
        for (count, back) in [(1, 300), (4, 301)] {
            let mode = if count == 1 { Mode::Cbc } else { Mode::Xts };
            if !there_is(mode, iv, count) {
                continue;
            }
            let (sector_size, keys) = (512, keys(back, count, 16 * mode.parts()));
            let iv_offset = before(if count == 1 { 1 << 32 } else { 0 }, sector_size, back);
            let mistake = Mistake::None;
            let volume = Volume { mode, iv, keys, sector_size, large: false, iv_offset, mistake };
            let plain = stream(back, 700 * sector_size);
            let converter = converter(&spec(&volume, 700), "portable", Requests::WholeBio).unwrap();
            let encrypted = convert(&converter, Direction::Encrypt, 0, plain.clone());
            assert_same(&encrypted, &volume.encrypt(0, &plain), &format_args!("{iv:?}, {count} keys"));
        }
    }
}

/// A volume that dice decide.
fn random_volume(dice: &mut Dice) -> Volume {
    let mode = dice.pick(&[Mode::Xts, Mode::Xts, Mode::Cbc, Mode::Cbc, Mode::Ecb]);
    let (iv, count) = loop {
        let (iv, count) = (dice.pick(&iv_modes()), dice.pick(&[1, 1, 2, 4]));
        if there_is(mode, iv, count) {
            break (iv, count);
        }
    };
    let sector_size = dice.pick(&SECTOR_SIZES);
    let len = dice.pick(&[16, 24, 32]) * mode.parts();
    let keys = keys(dice.below(u64::MAX), count, len);
    let iv_offset = before(dice.pick(&borders(sector_size)), sector_size, dice.below(UNITS));
    let iv_offset = if dice.below(8) == 0 { 0 } else { iv_offset };
    Volume { mode, iv, keys, sector_size, large: dice.below(2) == 1, iv_offset, mistake: Mistake::None }
}

/// The encryption sectors of a random volume.
const UNITS: u64 = 40;

/// Random I/O on one device: what is on the medium is what the model encrypts, what is read is what was written.
fn random_io(volume: &Volume, driver: &'static str, requests: Requests, dice: &mut Dice) -> bool {
    let unit = volume.sector_size;
    let sectors = UNITS * unit as u64 / 512;
    let disk = Ram::new(sectors);
    let choice = CipherChoice { driver: Some(driver.to_owned()), requests };
    let lower: DeviceRef = disk.clone();
    let Ok(device) = try_map(&volume.line(sectors), &[("disk", lower)], &choice) else { return false };
    let mut client = Client::new(&device);
    let what = format!("{volume:?} by {driver}, {requests:?}");
    let mut plain = volume.decrypt(0, &disk.bytes());
    for _ in 0..6 {
        let first = dice.below(UNITS);
        let units = 1 + dice.below(UNITS - first);
        let place = first as usize * unit..(first + units) as usize * unit;
        let sector = place.start as u64 / 512;
        let cut = dice.pick(&CUTS);
        if dice.below(2) == 0 {
            let read = client.read(sector, place.len(), cut, unit);
            assert_same(&read, &plain[place], &format_args!("{what}: read, {}", cut.name));
        } else {
            let bytes = stream(dice.below(u64::MAX), place.len());
            client.write(sector, &bytes, cut, unit);
            let expected = volume.encrypt(sector, &bytes);
            plain[place.clone()].copy_from_slice(&bytes);
            assert_same(&disk.bytes()[place], &expected, &format_args!("{what}: written, {}", cut.name));
        }
    }
    let all = client.read(0, plain.len(), WHOLE, unit);
    assert_same(&all, &plain, &format_args!("{what}: at the end"));
    true
}

/// Oracle: the model.
#[test]
fn random_volumes_under_random_io_agree_with_the_definitions() {
    let seed = 0x2026_1121;
    println!("seed {seed:#x}");
    let mut dice = Dice(seed);
    let mut devices = 0;
    for _ in 0..150 {
        let volume = random_volume(&mut dice);
        let algorithm = spec(&volume, UNITS * 8).cipher.algorithm;
        for driver in drivers(algorithm) {
            for requests in BOTH {
                devices += usize::from(random_io(&volume, driver, requests, &mut dice));
            }
        }
    }
    println!("{devices} devices");
    assert!(devices > 400, "{devices} devices");
}

/// The bad twin: a model with a mistake in it disagrees on some volume of the grid, and agrees again without.
#[test]
fn every_mistake_in_the_definitions_is_found_by_the_grid() {
    use Mistake::{BenbiFromZero, BigEndianFirst, KeyByUnit, SaltOfHalf, StepOfOne, WidePlain, WideSector};
    let mistakes = [WidePlain, WideSector, StepOfOne, BenbiFromZero, BigEndianFirst, KeyByUnit, SaltOfHalf];
    let mut found = mistakes.map(|_| 0);
    for_each_volume(|volume| {
        if !found.contains(&0) {
            return;
        }
        let plain = stream(7, 4 * volume.sector_size);
        let spec = spec(volume, plain.len() as u64 / 512);
        let converter =
            converter(&spec, "portable", Requests::WholeBio).expect("the portable driver takes all");
        let encrypted = convert(&converter, Direction::Encrypt, 0, plain.clone());
        for (mistake, found) in mistakes.into_iter().zip(&mut found) {
            // One volume that shows a mistake is enough.
            if *found == 0 {
                let wrong = Volume { mistake, ..volume.clone() };
                *found += usize::from(wrong.encrypt(0, &plain) != encrypted);
            }
        }
    });
    assert_eq!(found, mistakes.map(|_| 1), "found, of {mistakes:?}");
}

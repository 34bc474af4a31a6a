//! The data path held against the definitions: a model of a volume, sector by sector, that shares no code with udm
//! (`udm-reference`). A small grid has every combination; a random sample has whole devices and random I/O.
//!
//! With `UDM_GRID=all` each combination of the grid is tried at every border, and not at one or two that move on.

use crate::support::client::Client;
use crate::support::cut::{CUTS, WHOLE};
use crate::support::disk::Ram;
use crate::support::{BOTH, Dice, assert_same, drivers, drivers_at_once, stream, try_map};
use udm_block::{DeviceRef, Span, SpanIter, SpanIterMut, SpanMut};
use udm_crypto::Direction;
use udm_dm::table::Table;
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Requests};
use udm_reference::{Cipher, Iv, Mistake, Mode, Volume};

/// The hashes of essiv, and the bytes of their digests.
const HASHES: [(&str, usize); 12] = [
    ("md5", 16),
    ("sha1", 20),
    ("rmd160", 20),
    ("sha224", 28),
    ("sha3-224", 28),
    ("sha256", 32),
    ("sha3-256", 32),
    ("blake2b-256", 32),
    ("blake2s-256", 32),
    ("wp256", 32),
    ("sha384", 48),
    ("sha3-384", 48),
];
const SECTOR_SIZES: [usize; 4] = [512, 1024, 2048, 4096];

/// Every IV mode that a table can ask for.
fn iv_modes() -> Vec<Iv> {
    let essiv = HASHES.map(|(hash, _)| Iv::Essiv(hash));
    let plain = [Iv::Null, Iv::Plain, Iv::Plain64, Iv::Plain64be, Iv::Benbi, Iv::EssivOfPlain("sha256")];
    let others = [Iv::Eboiv, Iv::Elephant, Iv::Lmk, Iv::Tcw];
    plain.into_iter().chain(essiv).chain(others).collect()
}

/// The numbers before which a volume begins, for this size of encryption sectors: where a counter of 32 bits wraps, in
/// 512-byte sectors and in larger ones; where benbi's shift by 5 overflows; where the place in bytes that eboiv has
/// overflows; where the sector number itself does, at 2^64; and 2^56, where lmk cuts it.
fn borders(sector_size: usize) -> [u64; 6] {
    let unit = sector_size as u64 / 512;
    [1 << 32, (unit << 32).max(1 << 33), 1 << 59, (1 << 55) / unit, 0, 1 << 56]
}

/// An offset a few encryption sectors before `border`, modulo 2^64.
fn before(border: u64, sector_size: usize, units: u64) -> u64 {
    border.wrapping_sub(units * (sector_size as u64 / 512))
}

/// Whether the long form is asked for.
fn whole_grid() -> bool {
    std::env::var("UDM_GRID").is_ok_and(|grid| grid == "all")
}

/// The keys of a volume: `count` of them, of `len` bytes each part.
fn keys(seed: u64, count: usize, len: usize) -> Vec<Vec<u8>> {
    stream(seed, count * len).chunks(len).map(<[u8]>::to_vec).collect()
}

fn spec(volume: &Volume, sectors: u64) -> CryptSpec {
    let table = Table::parse(&volume.line(sectors)).unwrap_or_else(|error| panic!("{error}"));
    table.rows[0].target.downcast_ref::<CryptSpec>().expect("a crypt row").clone()
}

/// A converter of the volume; `None` where the driver does not take its keys.
fn converter(spec: &CryptSpec, driver: &str, requests: Requests) -> Option<Converter> {
    let KeySpec::Bytes(key) = &spec.key else { panic!("a key") };
    Converter::new(spec, key.as_slice(), &CipherChoice { driver: Some(driver.to_owned()), requests }).ok()
}

/// `data` through a converter.
fn convert(converter: &Converter, direction: Direction, sector: u64, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; data.len()];
    let (from, mut to) = ([Span::new(data)], [SpanMut::new(&mut out)]);
    converter.convert(direction, SpanIter::new(&from), SpanIterMut::new(&mut to), sector).unwrap();
    out
}

/// How many keys lmk has where other modes have four: so many that its seed, one more, tells version 3.
const LMK_KEYS: usize = 64;

/// What a volume is made of, before it has keys.
#[derive(Clone, Copy)]
struct Kind {
    cipher: Cipher,
    mode: Mode,
    iv: Iv,
    keys: usize,
    sector_size: usize,
    large: bool,
}

impl Kind {
    /// Whether a table can ask for it.
    fn there_is(&self) -> bool {
        let Self { cipher, mode, iv, keys, sector_size, .. } = *self;
        let block = cipher.block_size();
        if matches!(mode, Mode::Xts | Mode::Lrw) && block != 16 {
            return false;
        }
        match iv {
            // The digest is a key.
            Iv::Essiv(hash) => {
                let is_key = |other: &(&str, usize)| other.0 == hash && cipher.key_sizes().contains(&other.1);
                mode != Mode::Ecb && HASHES.iter().any(is_key)
            }
            // A capi name has one key.
            Iv::EssivOfPlain(_) => mode != Mode::Ecb && keys == 1 && cipher.key_sizes().contains(&32),
            // They make an IV of one block.
            Iv::Eboiv => mode != Mode::Ecb && !mode.is_stream(),
            Iv::Elephant => mode != Mode::Ecb && !mode.is_stream() && !self.key_sizes().is_empty(),
            Iv::Lmk => mode == Mode::Cbc && sector_size == 512,
            Iv::Tcw => mode != Mode::Ecb && sector_size == 512,
            _ => true,
        }
    }

    /// The sizes of one of its keys, in this mode.
    fn key_sizes(&self) -> Vec<usize> {
        let sizes = self.cipher.key_sizes().iter().map(|size| self.mode.key_size(*size));
        // Elephant's own key is as long as all others together, and one of AES.
        sizes.filter(|size| self.iv != Iv::Elephant || [16, 24, 32].contains(&(size * self.keys))).collect()
    }

    /// A volume of this kind.
    fn volume(self, seed: u64, iv_offset: u64) -> Volume {
        let Self { cipher, mode, iv, keys: count, sector_size, large } = self;
        let sizes = self.key_sizes();
        let size = sizes[(seed + seed / 7) as usize % sizes.len()];
        let count = if (iv, count) == (Iv::Lmk, 4) { LMK_KEYS } else { count };
        let of_iv = match iv {
            Iv::Elephant => size * count,
            Iv::Tcw => cipher.block_size() + 16,
            // Version 3, which the sizes tell.
            Iv::Lmk if size >= 16 && !size.is_multiple_of(count) => size,
            _ => 0,
        };
        let keys = keys(seed, count, size);
        let (of_iv, mistake) = (stream(!seed, of_iv), Mistake::None);
        Volume { cipher, mode, iv, keys, of_iv, sector_size, large, iv_offset, mistake }
    }
}

/// Calls `each` with every volume of the grid: every cipher, mode, IV mode, sector size and number of keys, at borders that
/// move on from one to the next: two for AES in XTS, CBC and ECB, one for the others, or all.
fn for_each_volume(mut each: impl FnMut(&Volume)) {
    let mut seed = 0;
    let ivs = iv_modes();
    let pairs = Cipher::ALL.into_iter().flat_map(|cipher| Mode::ALL.map(|mode| (cipher, mode)));
    for (cipher, mode) in pairs {
        let common = cipher == Cipher::Aes && matches!(mode, Mode::Xts | Mode::Cbc | Mode::Ecb);
        let count_of_borders = if whole_grid() { 7 } else { 1 + usize::from(common) };
        for iv in ivs.iter().copied() {
            for sector_size in SECTOR_SIZES {
                for (large, keys) in [(false, 1), (true, 1), (false, 2), (true, 4)] {
                    let kind = Kind { cipher, mode, iv, keys, sector_size, large };
                    if !kind.there_is() {
                        continue;
                    }
                    let offsets = borders(sector_size).map(|border| before(border, sector_size, 2));
                    // The key sizes move against the borders, so that each border meets each of them.
                    for _ in 0..count_of_borders {
                        seed += 1;
                        each(&kind.volume(seed, offsets.get(seed as usize % 7).copied().unwrap_or(0)));
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
        for driver in drivers_at_once(spec.cipher.algorithm) {
            for requests in BOTH {
                let Some(converter) = converter(&spec, driver, requests) else { continue };
                checks += 1;
                let what = format!("{volume:?} by {driver}, {requests:?}");
                let encrypted = convert(&converter, Direction::Encrypt, 0, &plain);
                assert_same(&encrypted, &cipher, &what);
                let decrypted = convert(&converter, Direction::Decrypt, 0, &cipher);
                assert_same(&decrypted, &plain, &what);
            }
        }
    });
    println!("{volumes} volumes, {checks} converters");
    assert!(volumes > 3000 && checks > 2 * volumes, "{volumes} volumes, {checks} converters");
}

/// Oracle: the model. Runs that are longer than what is made of IVs at once, and that a wrap cuts in the middle.
#[test]
fn long_runs_agree_with_the_definitions() {
    for iv in iv_modes() {
        for (count, back) in [(1, 300), (4, 301)] {
            let mode = if count == 1 || iv == Iv::Lmk { Mode::Cbc } else { Mode::Xts };
            let sector_size = 512;
            let kind = Kind { cipher: Cipher::Aes, mode, iv, keys: count, sector_size, large: false };
            if !kind.there_is() {
                continue;
            }
            let iv_offset = before(if count == 1 { 1 << 32 } else { 0 }, sector_size, back);
            let volume = kind.volume(back, iv_offset);
            let plain = stream(back, 700 * sector_size);
            let converter = converter(&spec(&volume, 700), "portable", Requests::WholeBio).unwrap();
            let encrypted = convert(&converter, Direction::Encrypt, 0, &plain);
            assert_same(&encrypted, &volume.encrypt(0, &plain), &format_args!("{iv:?}, {count} keys"));
            let decrypted = convert(&converter, Direction::Decrypt, 0, &encrypted);
            assert_same(&decrypted, &plain, &format_args!("{iv:?}, {count} keys, decrypted"));
        }
    }
}

/// A volume that dice decide.
fn random_volume(dice: &mut Dice) -> Volume {
    loop {
        let cipher = if dice.below(2) == 0 { Cipher::Aes } else { dice.pick(&Cipher::ALL) };
        let mode = if dice.below(2) == 0 { Mode::Cbc } else { dice.pick(&Mode::ALL) };
        let (iv, keys, sector_size) =
            (dice.pick(&iv_modes()), dice.pick(&[1, 1, 2, 4]), dice.pick(&SECTOR_SIZES));
        let kind = Kind { cipher, mode, iv, keys, sector_size, large: dice.below(2) == 1 };
        if kind.there_is() {
            let iv_offset = before(dice.pick(&borders(sector_size)), sector_size, dice.below(UNITS));
            let iv_offset = if dice.below(8) == 0 { 0 } else { iv_offset };
            return kind.volume(dice.below(1 << 32), iv_offset);
        }
    }
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
    let mut found = Mistake::ALL.map(|_| 0);
    for_each_volume(|volume| {
        if !found.contains(&0) {
            return;
        }
        let plain = stream(7, 4 * volume.sector_size);
        let spec = spec(volume, plain.len() as u64 / 512);
        let converter =
            converter(&spec, "portable", Requests::WholeBio).expect("the portable driver takes all");
        let encrypted = convert(&converter, Direction::Encrypt, 0, &plain);
        for (mistake, found) in Mistake::ALL.into_iter().zip(&mut found) {
            // One volume that shows a mistake is enough.
            if *found == 0 {
                let wrong = Volume { mistake, ..volume.clone() };
                *found += usize::from(wrong.encrypt(0, &plain) != encrypted);
            }
        }
    });
    assert_eq!(found, Mistake::ALL.map(|_| 1), "found, of {:?}", Mistake::ALL);
}

//! Whole-bio against per-sector encryption, byte for byte: every cipher, mode, IV mode, sector size and count of keys that a
//! table takes, by every driver, across the places where a number wraps, with memory cut at random.
//!
//! The per-sector way is the oracle: it asks for each sector by itself, so that no run can go wrong. `UDM_GRID=all` tries
//! each volume at every border and over more sectors than have IVs made at once; `UDM_MIB=16` tries each volume of one
//! key over so many MiB at a random place; `UDM_SEED` cuts otherwise.

use crate::support::{BOTH, Dice, assert_same, drivers_at_once, hex, stream};
use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::spec::IvMode;
use udm_crypto::{Algorithm, CipherSpec, Direction, Mode};
use udm_dm::table::Table;
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Requests};

/// How many encryption sectors a comparison has on each side of a border, in the short and in the long form.
const SIDE: [u64; 2] = [5, 290];

/// Every cipher word with a mode and an IV mode, of which tables take some.
fn words() -> Vec<String> {
    let ivs = IvMode::ALL.map(IvMode::name);
    let ivs: Vec<_> = ivs.into_iter().chain(["essiv:sha256", "essiv:md5"]).collect();
    let mut words = Vec::new();
    for Algorithm { mode, cipher } in Algorithm::ALL {
        for iv in &ivs {
            for keys in ["", ":2", ":8"] {
                words.push(match (mode, keys) {
                    (Mode::Stream, "") => format!("capi:{}-{iv}", cipher.name()),
                    (Mode::Stream, _) => continue,
                    _ => format!("{}{keys}-{}-{iv}", cipher.name(), mode.name()),
                });
            }
        }
    }
    words.extend(
        ["aes:64-cbc-lmk", "capi:cbc(aes)-lmk", "capi:essiv(xts(aes),sha256)-plain64be"].map(str::to_owned),
    );
    words.extend(["capi:essiv(cbc(blowfish),sha256)-benbi".to_owned()]);
    words
}

/// The longest key of a cipher word, as a table has it; `None` where a table does not take the word.
fn key(word: &str) -> Option<String> {
    let cipher = CipherSpec::parse(word).ok()?;
    let size = (0..=72 * 32).rev().find(|size| cipher.takes_key_size(*size))?;
    Some(if size == 0 { "-".to_owned() } else { hex(&stream(size as u64, size)) })
}

/// The row of a word with a key; `None` where a table does not take it with these sectors.
fn spec(word: &str, key: &str, sector_size: usize, large: bool, iv_offset: u64) -> Option<CryptSpec> {
    let options = if large { "2 iv_large_sectors" } else { "1" };
    let row = format!("0 80 crypt {word} {key} {iv_offset} disk 0 {options} sector_size:{sector_size}");
    Table::parse(&row).ok()?.rows[0].target.downcast_ref::<CryptSpec>().cloned()
}

fn converter(spec: &CryptSpec, driver: &str, requests: Requests) -> Option<Converter> {
    let key = match &spec.key {
        KeySpec::Bytes(key) => key.as_slice(),
        _ => &[],
    };
    Converter::new(spec, key, &CipherChoice { driver: Some(driver.to_owned()), requests }).ok()
}

/// `data` in runs of random lengths.
fn cut<'d>(mut data: &'d mut [u8], dice: &mut Dice) -> Vec<SpanMut<'d>> {
    let mut spans = Vec::new();
    while !data.is_empty() {
        let most = dice.pick(&[3, 700, 5000, usize::MAX]);
        let (run, rest) = data.split_at_mut(1 + dice.below(most.min(data.len()) as u64) as usize);
        spans.push(SpanMut::new(run));
        data = rest;
    }
    spans
}

/// `data` through a converter, in place where the dice say so. The source of what is not in place stays as it is.
fn convert(
    converter: &Converter,
    direction: Direction,
    sector: u64,
    data: &[u8],
    dice: &mut Dice,
) -> Vec<u8> {
    let (mut source, mut out) = (data.to_vec(), vec![0; data.len()]);
    let in_place = dice.below(2) == 0;
    let mut from = cut(&mut source, dice);
    let mut to = cut(&mut out, dice);
    let (mut from_all, mut to_all) = (SpanIterMut::new(&mut from), SpanIterMut::new(&mut to));
    let (src, dst) = if in_place { from_all.in_place() } else { (from_all.as_iter(), to_all.reborrow()) };
    converter.convert(direction, src, dst, sector).unwrap();
    drop((from, to));
    if in_place {
        return source;
    }
    assert_eq!(source, data, "the source was written");
    out
}

/// Where a comparison begins: the sector in the target, and the table's offset. Their sum crosses 2^32 and 2^64, of
/// sectors and of what else counts, by the one, by the other, and by both.
fn places(unit: u64, side: u64) -> Vec<(u64, u64)> {
    let back = side * unit;
    let borders = [1_u64 << 32, unit << 32, (1 << 55) / unit, 1 << 56, 1 << 59, 0];
    let before = |border: u64| border.wrapping_sub(back);
    let alone = borders.into_iter().flat_map(|border| [(before(border), 0), (0, before(border))]);
    alone
        .chain([(before(0), 8), (8 * unit, before(1 << 32)), (1 << 32, before(0).wrapping_sub(1 << 32))])
        .collect()
}

/// Whether a word says how many keys there are.
fn has_keys(word: &str) -> bool {
    !word.starts_with("capi:") && word.split('-').next().is_some_and(|cipher| cipher.contains(':'))
}

/// Anywhere.
fn random_place(unit: u64, dice: &mut Dice) -> (u64, u64) {
    let mut number = |limit: u64| dice.below(limit / unit) * unit;
    (number(1 << 54), number(u64::MAX))
}

/// Oracle: sector by sector.
#[test]
fn whole_bios_are_as_sectors_one_by_one() {
    let seed = std::env::var("UDM_SEED").map_or(0x2026_1122, |seed| seed.parse().expect("a number"));
    let all = std::env::var("UDM_GRID").is_ok_and(|grid| grid == "all");
    let long = std::env::var("UDM_MIB").ok().map(|mib| mib.parse::<usize>().expect("a number") << 20);
    println!("UDM_SEED={seed}");
    let (mut dice, mut turn, mut taken, mut compared) = (Dice(seed), 0_usize, 0, 0);
    for word in words() {
        let Some(key) = key(&word) else { continue };
        for (sector_size, large) in
            [512, 1024, 2048, 4096].into_iter().flat_map(|size| [(size, false), (size, true)])
        {
            if spec(&word, &key, sector_size, large, 0).is_none() {
                continue;
            }
            taken += 1;
            let unit = sector_size as u64 / 512;
            let side = SIDE[usize::from(all)];
            let places = places(unit, side);
            turn += 1;
            // In the short form, of the slower ciphers every third.
            let some = match () {
                () if long.is_some() && has_keys(&word) => Vec::new(),
                () if long.is_some() => vec![random_place(unit, &mut dice)],
                () if all => places.clone(),
                () if word.contains("aes") || turn.is_multiple_of(3) => vec![places[turn % places.len()]],
                () => Vec::new(),
            };
            for (sector, iv_offset) in some {
                let spec = spec(&word, &key, sector_size, large, iv_offset)
                    .expect("it was taken with another offset");
                compared +=
                    compare(&spec, sector, long.unwrap_or(2 * side as usize * sector_size), &mut dice);
            }
        }
    }
    println!("{taken} volumes, {compared} comparisons");
    let least = if long.is_some() { taken / 4 } else { taken };
    assert!(taken == 11714 && compared > least, "{taken} volumes, {compared} comparisons");
}

/// Compares both ways, in both directions, by every driver. How many comparisons there were.
fn compare(spec: &CryptSpec, sector: u64, len: usize, dice: &mut Dice) -> usize {
    let plain = stream(sector ^ spec.iv_offset, len);
    let mut compared = 0;
    let mut first: Option<Vec<u8>> = None;
    for driver in drivers_at_once(spec.cipher.algorithm) {
        let ways = BOTH.map(|requests| converter(spec, driver, requests));
        let [Some(whole), Some(single)] = ways else { continue };
        let what =
            format!("{} by {driver}, {:?}, from {sector} + {}", spec.cipher, spec.options, spec.iv_offset);
        let by_sector = convert(&single, Direction::Encrypt, sector, &plain, dice);
        assert_same(&convert(&whole, Direction::Encrypt, sector, &plain, dice), &by_sector, &what);
        assert_same(&convert(&whole, Direction::Decrypt, sector, &by_sector, dice), &plain, &what);
        assert_same(&convert(&single, Direction::Decrypt, sector, &by_sector, dice), &plain, &what);
        assert_same(first.get_or_insert_with(|| by_sector.clone()), &by_sector, &what);
        compared += 3;
    }
    compared
}

/// The test of "dm crypt: batch all sectors of a bio per crypto request": plain64 over 256 MiB.
#[test]
fn plain64_over_256_mib() {
    const AT_ONCE: usize = 8 << 20;
    let mut dice = Dice(256);
    let word = "aes-xts-plain64";
    let spec = spec(word, &hex(&stream(3, 64)), 512, false, 0).expect(word);
    let [whole, single] = BOTH.map(|requests| converter(&spec, "aws-lc", requests).expect(word));
    let plain = stream(1, AT_ONCE);
    for sector in (0..256 << 11).step_by(AT_ONCE / 512) {
        let [a, b] = [&whole, &single]
            .map(|converter| convert(converter, Direction::Encrypt, sector, &plain, &mut dice));
        assert_same(&a, &b, &format_args!("{word} from {sector}"));
        assert_same(&convert(&whole, Direction::Decrypt, sector, &b, &mut dice), &plain, &word);
    }
}

/// A client's memory is only read by a write. `convert` looks at it, where it does not convert in place: every other time.
#[test]
fn the_source_stays_as_it_is() {
    let mut dice = Dice(2);
    for word in ["aes-cbc-elephant", "aes-cbc-tcw", "aes:64-cbc-lmk"] {
        let spec = spec(word, &key(word).expect(word), 512, false, 0).expect(word);
        for driver in drivers_at_once(spec.cipher.algorithm) {
            let Some(converter) = converter(&spec, driver, Requests::WholeBio) else { continue };
            for direction in [Direction::Encrypt, Direction::Decrypt].repeat(8) {
                convert(&converter, direction, 0, &stream(1, 5120), &mut dice);
            }
        }
    }
}

/// The bad twin: what begins a sector later differs, in every mode that numbers sectors.
#[test]
fn another_sector_number_is_found() {
    let mut dice = Dice(1);
    for word in ["aes-xts-plain64", "aes-cbc-eboiv", "aes-cbc-elephant", "aes-cbc-tcw", "aes:64-cbc-lmk"] {
        let spec = spec(word, &key(word).expect(word), 512, false, 0).expect(word);
        let converter = converter(&spec, "portable", Requests::WholeBio).expect(word);
        let plain = stream(1, 5120);
        let [a, b] = [7, 8].map(|sector| convert(&converter, Direction::Encrypt, sector, &plain, &mut dice));
        assert!(a.chunks(512).zip(b.chunks(512)).all(|(a, b)| a != b), "{word}");
    }
}

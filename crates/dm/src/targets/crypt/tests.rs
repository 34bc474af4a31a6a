//! Runs of IVs: where they are cut, and that they are no shorter than that. What the data path makes of them is held
//! against the definitions and against the kernel in `tests/`.

use udm_crypto::spec::IvMode;
use udm_crypto::{Algorithm, Cipher, Hash, Iv, Mode};

use super::iv::{BATCH, Essiv, Numbering};
use super::params::CryptOptions;
use super::{CipherChoice, LONGEST};

const MODES: [IvMode; 10] = {
    use IvMode::{Benbi, Eboiv, Elephant, Lmk, None, Null, Plain, Plain64, Plain64be, Tcw};
    [None, Null, Plain, Plain64, Plain64be, Benbi, Eboiv, Elephant, Lmk, Tcw]
};

fn numbering(mode: IvMode, sector_size: usize, iv_large_sectors: bool) -> Numbering {
    let options = CryptOptions { sector_size, iv_large_sectors, ..CryptOptions::default() };
    Numbering::new(mode, Algorithm::aes(Mode::Xts), &options)
}

/// How many encryption sectors the run from `sector` on has.
fn units(mode: IvMode, sector_size: usize, large: bool, sector: u64) -> u64 {
    let numbering = numbering(mode, sector_size, large);
    numbering.before_wrap(&numbering.rule(sector, 1), sector, usize::MAX) as u64
}

/// The IV, or what it is made of, by the formulas of `crypt_iv_*`, with arithmetic that is too wide to wrap.
fn definition(mode: IvMode, sector_size: usize, large: bool, sector: u128) -> Iv {
    let sector = sector % (1 << 64);
    let s = if large { sector / (sector_size as u128 / 512) } else { sector };
    match mode {
        IvMode::None | IvMode::Null => [0; 16],
        IvMode::Plain => (s % (1 << 32)).to_le_bytes(),
        IvMode::Plain64 | IvMode::Lmk | IvMode::Tcw => s.to_le_bytes(),
        IvMode::Eboiv | IvMode::Elephant => ((s * sector_size as u128) % (1 << 64)).to_le_bytes(),
        IvMode::Plain64be => s.to_be_bytes(),
        IvMode::Benbi => ((s * 32 + 1) % (1 << 64)).to_be_bytes(),
    }
}

/// Oracle: where the numbers wrap, worked out by hand.
#[test]
fn a_run_ends_where_a_number_wraps_and_nowhere_else() {
    use IvMode::{Benbi, Eboiv, Null, Plain, Plain64, Plain64be};
    let top = 1_u128 << 64;
    let before = |border: u128, sectors: u64| (border - u128::from(sectors)) as u64;
    let cases = [
        // plain keeps 32 bits of the number.
        (Plain, 512, false, before(1 << 32, 3), 3),
        (Plain, 512, false, 1 << 32, 1 << 32),
        (Plain, 4096, false, before(1 << 32, 24), 3),
        (Plain, 4096, true, before(1 << 32, 24), (1 << 32) - (1 << 29) + 3),
        (Plain, 4096, true, before(8 << 32, 24), 3),
        (Plain64, 512, false, before(1 << 32, 3), u64::MAX - (1 << 32) + 4),
        // The sector number has 64, before it is shifted.
        (Plain64, 512, false, before(top, 5), 5),
        (Plain64, 4096, false, before(top, 16), 2),
        (Plain64, 4096, true, before(top, 16), 2),
        (Plain64be, 1024, true, before(top, 6), 3),
        (Plain64be, 2048, false, before(top, 4), 1),
        // benbi counts blocks of 16 bytes, of which a 512-byte sector has 2^5, with 64 bits.
        (Benbi, 512, false, before(1 << 59, 2), 2),
        (Benbi, 512, false, 1 << 59, 1 << 59),
        (Benbi, 4096, false, before(1 << 59, 16), 2),
        (Benbi, 4096, true, before(1 << 59, 16), (1 << 59) - (1 << 56) + 2),
        (Benbi, 4096, true, before(1 << 62, 16), 2),
        // eboiv's place in bytes has 64.
        (Eboiv, 512, false, before(1 << 55, 2), 2),
        (Eboiv, 4096, false, before(1 << 52, 16), 2),
        (Eboiv, 4096, true, before(1 << 55, 16), 2),
        (Null, 512, false, 0, u64::MAX),
    ];
    for (mode, sector_size, large, sector, expected) in cases {
        let what = format!("{mode:?}, {sector_size}, large: {large}, from {sector}");
        assert_eq!(units(mode, sector_size, large, sector), expected, "{what}");
    }
}

/// Whatever is not near a wrap is one run, as long as the longest bio.
#[test]
fn a_bio_is_one_run() {
    let most = LONGEST as u64 / 512;
    for mode in MODES {
        for (sector_size, large) in [(512, false), (512, true), (4096, false), (4096, true)] {
            for sector in [0, 8, 1 << 31, 1 << 40, 1 << 58] {
                assert!(units(mode, sector_size, large, sector) >= most, "{mode:?} from {sector}");
            }
        }
    }
}

/// Oracle: the definition, from 20 encryption sectors before each wrap to 20 behind it.
#[test]
fn runs_across_wraps_number_as_defined() {
    let mut beyond = 0;
    for mode in MODES {
        for sector_size in [512, 1024, 2048, 4096] {
            for large in [false, true] {
                let step = sector_size as u128 / 512;
                for border in
                    [1 << 32, step << 32, 1 << 52, step << 52, 1 << 55, 1 << 59, step << 59, 1 << 64_u32]
                {
                    let (numbering, end) = (numbering(mode, sector_size, large), border + 20 * step);
                    let mut sector = border - 20 * step;
                    while sector < end {
                        let rule = numbering.rule(sector as u64, 1);
                        let wanted = ((end - sector) / step) as usize;
                        let units = numbering.before_wrap(&rule, sector as u64, wanted);
                        for unit in 0..units {
                            let at = sector + unit as u128 * step;
                            let expected = definition(mode, sector_size, large, at);
                            assert_eq!(rule.iv(unit), expected, "{mode:?}, {sector_size}, {large}, {at}");
                        }
                        sector += units as u128 * step;
                        // The bad twin: a run that went on would number wrong.
                        let behind = definition(mode, sector_size, large, sector);
                        beyond += usize::from(sector < end && rule.iv(units) != behind);
                    }
                }
            }
        }
    }
    assert!(beyond > 5, "of all cuts only {beyond} were of any use");
}

/// Oracle: each IV of a run, made alone.
#[test]
fn essiv_makes_a_batch_as_it_makes_each() {
    let choice = CipherChoice::default();
    let is_key = |hash: &Hash| Cipher::Aes.key_sizes().contains(&hash.digest_size());
    for hash in Hash::ALL.iter().copied().filter(is_key) {
        let essiv = Essiv::new(&choice, Algorithm::aes(Mode::Cbc), hash, b"sixteen byte key").unwrap();
        let rule = numbering(IvMode::Plain64, 4096, false).rule(1 << 40, 1);
        let mut ivs = [Iv::default(); BATCH];
        essiv.fill(&rule, &mut ivs).unwrap();
        for (unit, iv) in ivs.iter().enumerate().step_by(37) {
            let mut alone = [Iv::default()];
            essiv.fill(&rule.only(unit), &mut alone).unwrap();
            assert_eq!(alone[0], *iv, "{} {unit}", hash.name());
        }
        assert_ne!(ivs[0], ivs[1]);
    }
}

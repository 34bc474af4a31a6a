//! The ciphertext that a real kernel's dm-crypt wrote (`vectors/`), for each IV mode that is simple to compute: the IVs
//! are worked out here, one by one, from the definitions, and not by the crypt target.

use crate::contract::bytes::{Cut, Random, hex};
use serde_json::Value;
use std::path::{Path, PathBuf};
use udm_block::SpanIterMut;
use udm_crypto::spec::{CipherSpec, IvMode};
use udm_crypto::{Algorithm, Choice, Direction, Hash, Iv, IvRule, Registry, Request, Skcipher, WideIv};

/// A configuration of dm-crypt whose IVs can be computed here.
struct Case {
    name: String,
    algorithm: Algorithm,
    key: Vec<u8>,
    iv: Ivs,
    sector_size: usize,
    /// Whether sectors are counted in their own size and not in 512 bytes.
    large: bool,
    runs: Vec<Run>,
}

/// Sectors one after the other, in both forms.
struct Run {
    /// The first one's number, in 512-byte sectors.
    number: u64,
    plain: Vec<u8>,
    secret: Vec<u8>,
}

/// How IVs are computed here.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Ivs {
    Null,
    Plain,
    Plain64,
    Plain64be,
    Benbi,
    Eboiv,
    Essiv(Hash),
}

/// What is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    Nothing,
    /// A bit of the key.
    Key,
    /// Every unit has the IV of the one before it.
    Iv,
    /// Another block cipher or mode.
    Algorithm,
}

/// The algorithm of a cipher string and how its IVs are made; none where it is not for these tests: what several keys, and
/// modes that change the data, are.
fn parse(text: &str) -> Option<(Algorithm, Ivs)> {
    let spec = CipherSpec::parse(text).ok().filter(|spec| spec.key_count == 1)?;
    let ivs = match (spec.iv.essiv, spec.iv.mode) {
        (Some(hash), IvMode::Plain64) => Ivs::Essiv(hash),
        (None, IvMode::None | IvMode::Null) => Ivs::Null,
        (None, IvMode::Plain) => Ivs::Plain,
        (None, IvMode::Plain64) => Ivs::Plain64,
        (None, IvMode::Plain64be) => Ivs::Plain64be,
        (None, IvMode::Benbi) => Ivs::Benbi,
        (None, IvMode::Eboiv) => Ivs::Eboiv,
        _ => return None,
    };
    Some((spec.algorithm, ivs))
}

/// All of them.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
    files.sort_unstable();
    files.iter().filter_map(|file| case(file)).collect()
}

/// The case of one file, where it is one for these tests.
fn case(file: &Path) -> Option<Case> {
    let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (algorithm, iv) = parse(json["cipher"].as_str()?)?;
    let key = hex(json["key"].as_str()?);
    // Stored IVs and several keys are not for these tests.
    if json["bin"].is_null() || !algorithm.key_sizes().any(|size| size == key.len()) {
        return None;
    }
    let bin = std::fs::read(file.with_file_name(json["bin"].as_str()?)).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let runs = json["runs"].as_array()?.iter().filter(|run| run["written"].is_null()).map(|run| {
        let (at, len) = (number(&run["bin_offset"]), number(&run["bin_length"]));
        let seed = run["plaintext"]["seed"].as_str().unwrap().trim_start_matches("0x");
        let mut random = Random(u64::from_str_radix(seed, 16).unwrap());
        Run {
            number: run["iv_offset"].as_str().unwrap().parse().unwrap(),
            plain: (0..len / 8).flat_map(|_| random.next().to_le_bytes()).collect(),
            secret: bin[at..at + len].to_vec(),
        }
    });
    let runs: Vec<Run> = runs.collect();
    (!runs.is_empty()).then(|| Case {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        algorithm,
        key,
        iv,
        sector_size: number(&json["sector_size"]),
        large: json["iv_large_sectors"] == true,
        runs,
    })
}

impl Case {
    /// The number of unit `unit` of `run`.
    fn number(&self, run: &Run, unit: usize) -> u64 {
        let sectors = (self.sector_size / 512) as u64;
        let number = run.number.wrapping_add(unit as u64 * sectors);
        if self.large { number / sectors } else { number }
    }

    /// The IV of the sector `number`, of the length that the cipher takes and zeros behind it.
    fn iv(&self, number: u64) -> WideIv {
        let (size, block) = (self.algorithm.iv_size(), self.algorithm.cipher.block_size());
        let mut iv = WideIv::default();
        match self.iv {
            Ivs::Null => {}
            Ivs::Plain => iv[..4].copy_from_slice(&(number as u32).to_le_bytes()),
            Ivs::Plain64 => iv[..8].copy_from_slice(&number.to_le_bytes()),
            Ivs::Plain64be => iv[size - 8..size].copy_from_slice(&number.to_be_bytes()),
            Ivs::Benbi => {
                let blocks = number.wrapping_mul(512 / block as u64).wrapping_add(1);
                iv[size - 8..size].copy_from_slice(&blocks.to_be_bytes());
            }
            // What the volume's own cipher, mode and all, makes of zeros with the byte's number as its IV; in CBC that
            // is the number as one block.
            Ivs::Eboiv => {
                let mut first = Iv::default();
                first[..8].copy_from_slice(&number.wrapping_mul(self.sector_size as u64).to_le_bytes());
                let rule = IvRule::Constant(first);
                iv[..block].copy_from_slice(&one_block(self.algorithm, &self.key, rule, &[0; 16][..block]));
            }
            Ivs::Essiv(hash) => {
                let mut plain = [0; 16];
                plain[..8].copy_from_slice(&number.to_le_bytes());
                let (ecb, key) = (self.algorithm.blocks().unwrap(), hash.digest(&self.key));
                let rule = IvRule::Constant([0; 16]);
                iv[..block].copy_from_slice(&one_block(ecb, &key, rule, &plain[..block]));
            }
        }
        iv
    }

    /// The counter that numbers the units of `run`, where the mode has one and it does not wrap.
    fn counter(&self, run: &Run) -> Option<IvRule<'static>> {
        let units = run.plain.len() / self.sector_size;
        let stride = if self.large { 1 } else { self.sector_size as u64 / 512 };
        let number = self.number(run, 0);
        let begin = |at: usize, bytes: [u8; 8]| {
            let mut first = Iv::default();
            first[at..at + 8].copy_from_slice(&bytes);
            first
        };
        let blocks = 512 / self.algorithm.cipher.block_size() as u64;
        let rule = match self.iv {
            Ivs::Null => IvRule::Constant([0; 16]),
            Ivs::Plain => {
                IvRule::CounterLe32 { first: begin(0, u64::from(number as u32).to_le_bytes()), stride }
            }
            Ivs::Plain64 => IvRule::CounterLe64 { first: begin(0, number.to_le_bytes()), stride },
            Ivs::Plain64be => IvRule::CounterBe64 { first: begin(8, number.to_be_bytes()), stride },
            Ivs::Benbi => IvRule::CounterBe64 {
                first: begin(8, (number.wrapping_mul(blocks).wrapping_add(1)).to_be_bytes()),
                stride: stride * blocks,
            },
            Ivs::Eboiv | Ivs::Essiv(_) => return None,
        };
        let sectors = run.plain.len() as u64 / 512;
        let wraps = rule.units_until_wrap() < units || run.number.checked_add(sectors - 1).is_none();
        (!wraps).then_some(rule)
    }

    /// Whether a driver makes the kernel's bytes of `run`, and the plaintext of those again, with `fault`.
    fn agrees(&self, driver: &str, run: &Run, fault: Fault, cut: Cut) -> Option<bool> {
        let mut key = self.key.clone();
        if let (Fault::Key, Some(byte)) = (fault, key.first_mut()) {
            // Not the lowest bit, which is no bit of a DES key.
            *byte ^= 0x10;
        }
        let algorithm = match fault {
            Fault::Algorithm => *Algorithm::ALL.iter().find(|other| {
                **other != self.algorithm
                    && other.key_sizes().any(|size| size == key.len())
                    && self.sector_size.is_multiple_of(other.cipher.block_size())
            })?,
            _ => self.algorithm,
        };
        let cipher = Skcipher::new(Registry::global(), Choice::Named(driver), algorithm, &key).ok()?;
        let units = run.plain.len() / self.sector_size;
        let late = usize::from(fault == Fault::Iv);
        let ivs: Vec<WideIv> =
            (0..units).map(|unit| self.iv(self.number(run, unit).wrapping_sub(late as u64))).collect();
        let vector = IvRule::WideVector(&ivs);
        let counter = self.counter(run).filter(|_| fault == Fault::Nothing);
        Some([Some(vector), counter].into_iter().flatten().all(|rule| {
            let size = self.sector_size;
            crypt(&cipher, Direction::Encrypt, size, rule, &run.plain, cut) == run.secret
                && crypt(&cipher, Direction::Decrypt, size, rule, &run.secret, cut) == run.plain
        }))
    }
}

/// `block` encrypted.
fn one_block(algorithm: Algorithm, key: &[u8], rule: IvRule<'_>, block: &[u8]) -> Vec<u8> {
    let cipher = Skcipher::new(Registry::global(), Choice::Best, algorithm, key).unwrap();
    crypt(&cipher, Direction::Encrypt, block.len(), rule, block, Cut::Whole)
}

/// `data` encrypted or decrypted in one request, in place, cut as `cut` says.
fn crypt(
    cipher: &Skcipher,
    direction: Direction,
    unit_size: usize,
    iv: IvRule<'_>,
    data: &[u8],
    cut: Cut,
) -> Vec<u8> {
    let mut data = data.to_vec();
    let mut spans = cut.spans(&mut data, unit_size);
    let mut bytes = SpanIterMut::new(&mut spans);
    let (src, dst) = bytes.in_place();
    cipher.crypt(&mut Request { direction, src, dst, unit_size, iv }).unwrap();
    drop(spans);
    data
}

/// Oracle: the kernel.
#[test]
fn every_driver_makes_the_kernels_ciphertext() {
    let (mut served, mut algorithms) = (0, std::collections::BTreeSet::new());
    for case in cases() {
        for driver in ["portable", "aws-lc", "vaes512:bytes", "vaes512:shifts", "vaes256", "aesni"] {
            for (cut, run) in case.runs.iter().flat_map(|run| [(Cut::Whole, run), (Cut::Random(5), run)]) {
                match case.agrees(driver, run, Fault::Nothing, cut) {
                    Some(agrees) => assert!(agrees, "{} by {driver} from {}", case.name, run.number),
                    None => assert_ne!(driver, "portable", "{}", case.name),
                }
            }
        }
        served += 1;
        algorithms.insert(case.algorithm.to_string());
    }
    println!("{served} cases: {algorithms:?}");
    assert!(served >= 130 && algorithms.len() >= 24, "{served} cases of {}", algorithms.len());
}

/// The bad twins: each fault must be seen in each case, unless there is nothing to be wrong.
#[test]
fn a_faulty_driver_does_not_make_the_kernels_ciphertext() {
    let mut seen = 0;
    for case in cases() {
        for fault in [Fault::Key, Fault::Iv, Fault::Algorithm] {
            let harmless = match fault {
                Fault::Key => case.key.is_empty(),
                Fault::Iv => case.iv == Ivs::Null,
                _ => false,
            };
            let agrees = case.agrees("portable", &case.runs[0], fault, Cut::Whole);
            assert!(harmless || agrees != Some(true), "{} with fault {fault:?}", case.name);
            seen += usize::from(agrees == Some(false));
        }
    }
    println!("{seen} faults seen");
    assert!(seen > 2 * 130, "{seen} faults seen");
}

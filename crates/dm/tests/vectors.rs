//! The whole data path held against what a real kernel's dm-crypt wrote: every vector of the kind `crypt` in
//! `vectors/`, of which `vectors/README.md` is the description.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::client::Client;
use crate::support::cut::{CUTS, WHOLE};
use crate::support::disk::Ram;
use crate::support::{BOTH, Shelf, assert_same, drivers, heap, hex, stream, try_map};
use serde_json::Value;
use sha2::{Digest, Sha256};
use udm_block::DeviceRef;
use udm_block::memory::{Heap, Refuse, Source, Starving};
use udm_crypto::threads::with_parts_of;
use udm_dm::load::{LoadError, load};
use udm_dm::table::{Table, TableErrorKind};
use udm_dm::targets::crypt::params::CryptSpec;
use udm_dm::targets::crypt::{CipherChoice, OptionalMemory, Requests};

/// How many sectors of the disk lie behind the target's, and must stay as they are.
const BEHIND: u64 = 8;

/// One configuration of the kernel's.
struct Case {
    name: String,
    /// The cipher word.
    cipher: String,
    sector_size: usize,
    /// Where the target begins on the mapped device, in sectors.
    map_start: u64,
    /// Where it begins on the disk, in sectors.
    dev_offset: u64,
    runs: Vec<Run>,
}

/// One device of a configuration.
struct Run {
    /// The table, over a disk of the name `disk`.
    table: String,
    sectors: u64,
    plaintext: Vec<u8>,
    ciphertext: Vec<u8>,
    /// The sectors that were written.
    written: Vec<Range<u64>>,
    /// The sum of what zeros decrypt to.
    zeros_decrypt: String,
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Every configuration, by its name.
fn cases() -> Vec<Case> {
    let files = fs::read_dir(vectors()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let values = files.map(|path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap());
    let mut cases: Vec<_> =
        values.filter(|value| value["kind"] == "crypt").map(|value| case(&value)).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn case(value: &Value) -> Case {
    let bin = fs::read(vectors().join(text(value, "bin"))).unwrap();
    let runs = value["runs"].as_array().unwrap().iter().map(|run| self::run(value, run, &bin)).collect();
    Case {
        name: text(value, "name").to_owned(),
        cipher: text(value, "cipher").to_owned(),
        sector_size: number(value, "sector_size") as usize,
        map_start: number(value, "map_start"),
        dev_offset: number(value, "dev_offset"),
        runs,
    }
}

fn run(case: &Value, run: &Value, bin: &[u8]) -> Run {
    let sectors = number(run, "sectors");
    let plaintext = &run["plaintext"];
    assert_eq!(text(plaintext, "rule"), "splitmix64");
    let seed = u64::from_str_radix(text(plaintext, "seed").trim_start_matches("0x"), 16).unwrap();
    let ciphertext = &bin[number(run, "bin_offset") as usize..][..number(run, "bin_length") as usize];
    assert_eq!(hex(&Sha256::digest(ciphertext)), text(run, "ciphertext_sha256"));
    assert_eq!(ciphertext.len() as u64, sectors * 512);
    let written = match run["written"].as_array() {
        Some(ranges) => ranges.iter().map(range).collect(),
        None => std::iter::once(0..sectors).collect(),
    };
    let run = Run {
        table: table(case, text(run, "table")),
        sectors,
        plaintext: stream(seed, ciphertext.len()),
        ciphertext: ciphertext.to_vec(),
        written,
        zeros_decrypt: text(run, "zeros_decrypt_sha256").to_owned(),
    };
    assert_eq!(hex(&Sha256::digest(&run.plaintext)), text(plaintext, "sha256"));
    run
}

/// `[first, count]`
fn range(pair: &Value) -> Range<u64> {
    let (first, count) = (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
    first..first + count
}

/// The table of a run: with a zero target before it where it does not begin at 0, and with a key from the keyring
/// written out.
fn table(case: &Value, line: &str) -> String {
    let mut words: Vec<_> = line.split(' ').collect();
    if case.get("key_via").is_some() {
        assert!(words[4].starts_with(':'), "{line}");
        words[4] = text(case, "key");
    }
    let before = match number(case, "map_start") {
        0 => String::new(),
        start => format!("0 {start} zero\n"),
    };
    before + &words.join(" ").replace("<dev>", "disk")
}

/// The disk of a run, its device, and a client of that; `None` where the driver does not take the key. A driver with
/// threads spreads whatever has more than one sector.
fn device(
    case: &Case,
    run: &Run,
    driver: &str,
    requests: Requests,
    source: &Source,
) -> Option<(Arc<Ram>, DeviceRef)> {
    let disk = Ram::new(case.dev_offset + run.sectors + BEHIND);
    let (table, choice) =
        (Table::parse(&run.table).unwrap(), CipherChoice { driver: Some(driver.to_owned()), requests });
    let devices: [(&str, DeviceRef); 1] = [("disk", disk.clone())];
    let load = || load(&table, &Shelf(&devices), &choice, source);
    match with_parts_of(case.sector_size, load) {
        Ok(device) => Some((disk, device.into())),
        Err(LoadError::Table(error)) if error.kind() == TableErrorKind::Key => None,
        Err(error) => panic!("{}: {error}", case.name),
    }
}

/// Calls `each` for every run, driver and kind of request. How many devices each driver served.
fn for_each_device(
    mut each: impl FnMut(&Case, &Run, &Ram, &mut Client, &dyn std::fmt::Display),
) -> BTreeMap<&'static str, usize> {
    let mut served = BTreeMap::new();
    for case in &cases() {
        for run in &case.runs {
            for driver in drivers(run.crypt().cipher.algorithm) {
                for requests in BOTH {
                    let made = device(case, run, driver, requests, &heap());
                    let Some((disk, device)) = made else { continue };
                    let what = format!("{} by {driver}, {requests:?}", case.name);
                    *served.entry(driver).or_insert(0) += 1;
                    each(case, run, &disk, &mut Client::new(&device), &what);
                }
            }
        }
    }
    served
}

impl Run {
    /// What its crypt row says.
    fn crypt(&self) -> CryptSpec {
        let table = Table::parse(&self.table).unwrap_or_else(|error| panic!("{}: {error}", self.table));
        let last = table.rows.last().expect("a row");
        last.target.downcast_ref::<CryptSpec>().unwrap_or_else(|| panic!("{last} is no crypt row")).clone()
    }
}

impl Case {
    /// The bytes of the disk that the target maps.
    fn on_disk(&self, run: &Run) -> Range<usize> {
        let start = self.dev_offset as usize * 512;
        start..start + run.sectors as usize * 512
    }
}

/// `docs/vectors.md`: each cipher word of the vectors, with how many configurations and runs there are of it.
fn page() -> String {
    let mut modes = BTreeMap::<_, BTreeMap<_, (usize, usize)>>::new();
    let mut sum = (0, 0);
    for case in cases() {
        let spec = case.runs[0].crypt();
        let mode = match (spec.cipher.iv.essiv, spec.cipher.iv.mode.name()) {
            (Some(_), _) => "essiv",
            (None, "") => "none",
            (None, name) => name,
        };
        let count = modes.entry(mode).or_default().entry(case.cipher).or_default();
        *count = (count.0 + 1, count.1 + case.runs.len());
        sum = (sum.0 + 1, sum.1 + case.runs.len());
    }
    let mut page = format!("{PAGE_HEAD}\n{} configurations, {} runs.\n", sum.0, sum.1);
    for (mode, ciphers) in &modes {
        let sum = ciphers.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        writeln!(page, "\n## {mode}\n\n| cipher | configurations | runs |\n|---|---|---|").unwrap();
        for (cipher, (cases, runs)) in ciphers {
            writeln!(page, "| `{cipher}` | {cases} | {runs} |").unwrap();
        }
        writeln!(page, "| all | {} | {} |", sum.0, sum.1).unwrap();
    }
    page
}

const PAGE_HEAD: &str = "\
# What a kernel wrote that udm is held against

Each configuration is a cipher word, a key and a sector size, of which a real kernel's dm-crypt wrote some runs of
sectors, at several `iv_offset`s (`vectors/README.md`). Every run is encrypted and decrypted by every driver, a whole
bio at once and sector by sector, with memory cut in eight ways (`crates/dm/tests/vectors.rs`). By IV mode:
";

#[test]
fn every_vector_is_taken_and_is_in_the_documentation() {
    let (mut configurations, mut runs) = (0, 0);
    for case in cases() {
        for run in &case.runs {
            Table::parse(&run.table).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            runs += 1;
        }
        configurations += 1;
    }
    assert_eq!((configurations, runs), (162, 512), "the vectors that udm takes");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors.md");
    let page = page();
    if std::env::var_os("UDM_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let remake = "UDM_WRITE_DOCS=1 cargo test -p udm-dm --test all vectors::documentation";
    assert!(
        fs::read_to_string(&path).is_ok_and(|found| found == page),
        "docs/vectors.md is old; remake it: {remake}"
    );
}

/// Oracle: the disk of the kernel's device, byte for byte. Every write goes through whole-bio and per-sector requests,
/// every driver, and memory cut in every way.
#[test]
fn what_is_written_is_what_the_kernel_writes() {
    let mut transfers = 0;
    let served = for_each_device(|case, run, disk, client, what| {
        let mut expected = vec![0x5a; disk.bytes().len()];
        expected[case.on_disk(run)].fill(0);
        let before = expected.clone();
        expected[case.on_disk(run)].copy_from_slice(&run.ciphertext);
        for cut in CUTS {
            disk.bytes().copy_from_slice(&before);
            for part in &run.written {
                let bytes = &run.plaintext[part.start as usize * 512..part.end as usize * 512];
                client.write(case.map_start + part.start, bytes, cut, case.sector_size);
            }
            assert_same(&disk.bytes(), &expected, &format_args!("{what}, {}", cut.name));
            transfers += 1;
        }
    });
    println!("{transfers} transfers; devices by driver: {served:?}");
    assert!(served.len() >= 4 && served["aws-lc"] > 600, "{served:?}");
    assert!(["portable", "threads", "offload-sim"].map(|driver| served[driver]) == [1024; 3], "{served:?}");
}

/// Oracle: the plaintext that the kernel encrypted.
#[test]
fn what_the_kernel_wrote_is_read_back() {
    let served = for_each_device(|case, run, disk, client, what| {
        disk.bytes()[case.on_disk(run)].copy_from_slice(&run.ciphertext);
        for cut in CUTS {
            for part in &run.written {
                let expected = &run.plaintext[part.start as usize * 512..part.end as usize * 512];
                let read = client.read(case.map_start + part.start, expected.len(), cut, case.sector_size);
                assert_same(&read, expected, &format_args!("{what}, {}", cut.name));
            }
        }
    });
    assert!(served.len() >= 4 && served["aws-lc"] > 600, "{served:?}");
    assert!(["portable", "threads", "offload-sim"].map(|driver| served[driver]) == [1024; 3], "{served:?}");
}

/// Oracle: what the kernel's device read as before anything was written.
#[test]
fn zeros_decrypt_as_the_kernel_decrypts_them() {
    for_each_device(|case, run, _, client, what| {
        let read = client.read(case.map_start, run.plaintext.len(), WHOLE, case.sector_size);
        assert_eq!(hex(&Sha256::digest(read)), run.zeros_decrypt, "{what}");
    });
}

/// Oracle: the kernel's bytes, for every mode and what lmk, tcw and elephant do to the data, by a driver that answers
/// later and gets no optional memory: one sector a request. No other test here has memory refused, so that each clone with
/// several sectors of one key is seen to be refused, once, where no option keeps its sectors on its own thread.
#[test]
fn without_optional_memory_the_bytes_are_the_kernels() {
    let mut single_unit = 0;
    for case in &cases() {
        let run = case.runs.iter().max_by_key(|run| run.sectors).unwrap();
        let starving = Starving::new(Arc::new(Heap));
        let made = device(case, run, "offload-sim", Requests::WholeBio, &(starving.clone() as Source));
        let (disk, device) = made.unwrap_or_else(|| panic!("{}", case.name));
        let (before, mut clones) = (OptionalMemory::counts().refused, 0);
        starving.refuse(Refuse::Always);
        let mut client = Client::new(&device);
        let there = case.on_disk(run).start;
        for part in &run.written {
            let range = part.start as usize * 512..part.end as usize * 512;
            let (first, len) = (case.map_start + part.start, range.len());
            client.write(first, &run.plaintext[range.clone()], WHOLE, case.sector_size);
            assert_same(&disk.bytes()[there..][range.clone()], &run.ciphertext[range.clone()], &case.name);
            assert_same(&client.read(first, len, WHOLE, case.sector_size), &run.plaintext[range], &case.name);
            clones += if len > case.sector_size { 2 } else { 0 };
        }
        let CryptSpec { cipher, options, .. } = run.crypt();
        let kept = options.same_cpu_crypt || options.no_read_workqueue || options.no_write_workqueue;
        if cipher.key_count == 1 && !kept {
            let refused = OptionalMemory::counts().refused - before;
            assert_eq!(refused, clones, "{}: clones without optional memory", case.name);
            single_unit += refused;
        }
    }
    println!("{single_unit} clones without optional memory");
    assert!(single_unit > 250);
}

/// The bad twin of the above: the comparison sees one bit of the ciphertext, in the sector that has it and no other,
/// and a sector number that is off by one.
#[test]
fn a_wrong_bit_and_a_wrong_iv_offset_are_found() {
    let cases = cases();
    for name in ["aes256-xts-plain64", "aes256-cbc-essiv_sha256", "aes256-xts-benbi-ss4096-large"] {
        let case = cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("{name}"));
        let run = &case.runs[0];
        let unit = case.sector_size;
        let read = |table: &str, ciphertext: &[u8]| {
            let disk = Ram::new(run.sectors);
            disk.bytes().copy_from_slice(ciphertext);
            let device = try_map(table, &[("disk", disk.clone())], &CipherChoice::default()).unwrap();
            Client::new(&device).read(0, run.plaintext.len(), WHOLE, unit)
        };
        let same = |bytes: Vec<u8>| -> Vec<bool> {
            bytes
                .chunks(unit)
                .zip(run.plaintext.chunks(unit))
                .map(|(got, expected)| got == expected)
                .collect()
        };
        let all = run.plaintext.len() / unit;
        assert_eq!(same(read(&run.table, &run.ciphertext)), vec![true; all]);
        let mut flipped = run.ciphertext.clone();
        flipped[unit + 77] ^= 0x10;
        let sound: Vec<_> = (0..all).map(|number| number != 1).collect();
        assert_eq!(same(read(&run.table, &flipped)), sound);
        let next = run.table.replace(" 0 disk", &format!(" {} disk", unit / 512));
        assert_ne!(next, run.table);
        assert_eq!(same(read(&next, &run.ciphertext)), vec![false; all]);
    }
}

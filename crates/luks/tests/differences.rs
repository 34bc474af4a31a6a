//! docs/differences.md names every header that cryptsetup and we judge differently, and nothing else: each of its entries on
//! LUKS has a row here, and each row an entry. Oracle: cryptsetup's luksDump.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support;
use crate::support::bench::Bench;
use crate::support::malformed::ARGON2;
use crate::support::{image, metadata, with_metadata};
use udm_luks::{HeaderPlace, Volume};

/// An entry of the page, a text of luks2-argon2id-32m's metadata, and by what it is replaced; `'` is a quotation mark.
type Row = (&'static str, &'static str, &'static str);

const COSTS: &str = "Costs and sizes that no key slot can have";
const PLACES: &str = "Places that no data can have";
const STRINGS: &str = "Numbers in strings with zeros before them";
const JSON: &str = "JSON with a key twice";
const NUMBERS: &str = "More than 32 tokens";

/// What cryptsetup reads and we refuse.
#[rustfmt::skip]
const REFUSED_HERE: &[Row] = &[
    (COSTS, "'memory':32768", "'memory':4398046511104"),
    (COSTS, "'memory':32768", "'memory':-1"),
    (COSTS, "'memory':32768", "'memory':0"),
    (COSTS, "'memory':32768", "'memory':7"),
    (COSTS, "'time':4", "'time':4294967296"),
    (COSTS, "'time':4", "'time':0"),
    (COSTS, "'cpus':1", "'cpus':0"),
    (COSTS, "'cpus':1", "'cpus':8192"),
    (COSTS, "'cpus':1", "'cpus':4294967295"),
    (COSTS, "'iterations':1000", "'iterations':0"),
    (COSTS, "'size':'258048'", "'size':'4096'"),
    (COSTS, "'stripes':4000", "'stripes':65536"),
    (COSTS, "'stripes':4000", "'stripes':4294967295"),
    (COSTS, "'stripes':4000", "'stripes':0"),
    (COSTS, "'key_size':64,'af'", "'key_size':0,'af'"),
    (COSTS, "'key_size':64,'af'", "'key_size':4097,'af'"),
    (COSTS, "'offset':'32768'", "'offset':'32769'"),
    (PLACES, "'sector_size':512", "'sector_size':8192"),
    (PLACES, "'size':'dynamic'", "'size':'18446744073709551104'"),
    (PLACES, "'offset':'524288'", "'offset':'9223372036854775296'"),
    (STRINGS, "'offset':'32768'", "'offset':'032768'"),
    (NUMBERS, "'tokens':{}", "'tokens':{'32':{'type':'t','keyslots':[]}}"),
    (JSON, "'tokens':{}", "'tokens':{},'tokens':{}"),
    (JSON, "'key_size':64,'af'", "'key_size':64,'key_size':64,'af'"),
    ("JSON that only json-c takes", "'config':{", "'config':{'x':{'a':1,},"),
    ("JSON that only json-c takes", "'config':{", "'config':{'x':[1,],"),
    ("JSON that only json-c takes", "'config':{", "'config':{/*x*/"),
];

const BACKUP: &str = "'segments':{'2':{'type':'crypt','offset':'524288','size':'dynamic','iv_tweak':'0',\
    'encryption':'aes-xts-plain64','sector_size':512,'flags':['backup-x']},'0':";

/// What we read and cryptsetup refuses.
#[rustfmt::skip]
const REFUSED_THERE: &[Row] = &[
    ("A key slot without a digest, or with two", "'keyslots':['0']", "'keyslots':[]"),
    ("A key slot without a digest, or with two", "'digests':{", "'digests':{'1':{'type':'x','keyslots':['0'],'segments':[]},"),
    ("A gap in the numbers of backup segments", "'segments':{'0':", BACKUP),
    ("Types of areas, splitters and integrity that are not known", "'type':'raw'", "'type':'cooked'"),
    ("Types of areas, splitters and integrity that are not known", "'af':{'type':'luks1'", "'af':{'type':'luks9'"),
    ("Types of areas, splitters and integrity that are not known", "'type':'crypt'", "'integrity':{'type':'aead'},'type':'crypt'"),
    ("A token or key slot whose type is empty", "'tokens':{}", "'tokens':{'0':{'type':'','keyslots':[]}}"),
];

/// What is no matter of reading a header: an entry, and where a test or the code says it.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("Integrity", "crates/luks/tests/malformed.rs", "use crate::support::malformed"),
    ("Integrity", "crates/luks/tests/support/malformed.rs", "segments.0.integrity.type"),
    ("A reencryption under way", "crates/luks/tests/support/malformed.rs", "in-reencryption"),
    (
        "OPAL drives, tags kept by hardware, and requirements of other names",
        "crates/luks/src/luks2/config.rs",
        "opal",
    ),
    ("`cipher_null`", "crates/luks/tests/support/malformed.rs", "cipher_null-ecb"),
    ("Hashes", "crates/luks/tests/support/malformed.rs", "sha0"),
    (
        "A header that costs more than the limits",
        "crates/luks/tests/malformed.rs",
        "what_the_error_says_would_do_does",
    ),
    ("A cost that there is no memory for", "crates/luks/src/kdf.rs", "NoRoom"),
    (
        "JSON more than 32 deep, or with more than 65,536 values",
        "crates/luks/src/luks2/json/tests.rs",
        "size_depth_and_doubles",
    ),
    (
        "Copies of one sequence that differ",
        "crates/luks/tests/repair.rs",
        "copies_of_one_sequence_that_differ_are_refused_by_name",
    ),
    (
        "LUKS1 key slots that are not in use and wrong",
        "crates/luks/tests/repair.rs",
        "luks1_slots_that_are_not_in_use",
    ),
    ("LUKS1 key slots of other than 4000 stripes", "crates/luks/src/keyslot.rs", "MAX_STRIPES"),
    ("MD5", "crates/luks/tests/foreign.rs", "every_luks_image_of_qemu_opens"),
    ("Idle options of IV modes", "crates/luks/tests/foreign.rs", "an_option_that_an_iv_mode_does_not_read"),
    ("Key slots under a `capi:` cipher", "crates/luks/src/keyslot.rs", "is_capi"),
    ("Tokens", "crates/luks/tests/foreign.rs", "tokens_that_cryptsetup_refuses_are_refused"),
    ("What is not known is kept as it is written", "crates/luks/tests/foreign.rs", "byte_for_byte"),
    (
        "Nothing is repaired when a volume is opened.",
        "crates/luks/tests/repair.rs",
        "nobody_knows_how_to_repair",
    ),
    ("Without a terminal and without `--key-file`", "crates/udm-cli/src/passphrase.rs", "terminal"),
    ("A passphrase that is typed", "tests/tests/prompts.rs", "more than 512 bytes were typed"),
    ("`luks token export --json-file`", "tests/tests/outputs.rs", "no_command_writes_over_what_is_there"),
    ("Of a device that is no whole number of encryption sectors", "crates/luks/src/volume.rs", "pub fn size"),
];

/// Whether cryptsetup and we read a header of this JSON.
fn verdicts(bench: &Bench, image: &[u8], json: &str) -> (bool, bool) {
    let bytes = with_metadata(image, json.as_bytes());
    let ours = Volume::open(&bytes, HeaderPlace::Attached).is_ok();
    // Of the image, cryptsetup looks at the header and the size alone.
    let file = fs::File::create(bench.path("image")).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[..32768], 0).unwrap();
    (bench.try_cryptsetup("luksDump @image").status.success(), ours)
}

#[test]
fn headers_are_judged_as_cryptsetup_judges_them_but_for_what_the_page_says() {
    let (bench, image) = (Bench::new(), image("luks2-argon2id-32m"));
    let json = metadata(&image);
    let changed = |from: &str, to: &str| {
        let (from, to) = (from.replace('\'', "\""), to.replace('\'', "\""));
        assert!(json.contains(&from), "{from} is not in {json}");
        json.replacen(&from, &to, 1)
    };
    assert_eq!(verdicts(&bench, &image, &json), (true, true));
    for (rows, want) in [(REFUSED_HERE, (true, false)), (REFUSED_THERE, (false, true))] {
        for (entry, from, to) in rows {
            assert_eq!(verdicts(&bench, &image, &changed(from, to)), want, "{entry}: {to}");
        }
    }
    // All other headers that are wrong on purpose get one verdict from both.
    let known = |row: &support::malformed::Row| {
        [REFUSED_HERE, REFUSED_THERE].concat().iter().any(|(_, from, to)| (*from, *to) == (row.0, row.1))
    };
    let mut missing = Vec::new();
    for row in ARGON2.iter().filter(|row| !known(row)) {
        let (theirs, ours) = verdicts(&bench, &image, &changed(row.0, row.1));
        if theirs != ours {
            missing.push(format!("{} (cryptsetup reads it: {theirs}, we: {ours})", row.1));
        }
    }
    assert!(missing.is_empty(), "docs/differences.md lacks {missing:#?}");
}

#[test]
fn the_page_has_what_is_known_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/differences.md")).unwrap();
    let part = page.split("\n## ").find(|part| part.starts_with("LUKS volumes\n")).expect("a part on LUKS");
    let on_page: BTreeSet<&str> = part
        .split("\n- **")
        .skip(1)
        .map(|entry| entry.split_once("**").expect("the entry's name ends").0)
        .collect();
    let mut here: BTreeSet<&str> = ELSEWHERE.iter().map(|(entry, ..)| *entry).collect();
    here.extend([REFUSED_HERE, REFUSED_THERE].concat().iter().map(|(entry, ..)| *entry));
    let (unknown, missing) = (&on_page - &here, &here - &on_page);
    assert!(unknown.is_empty(), "no row shows these entries of the page: {unknown:#?}");
    assert!(missing.is_empty(), "docs/differences.md lacks {missing:#?}");
    for (entry, file, text) in ELSEWHERE {
        let told =
            fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{entry}: {file}: {error}"));
        assert!(told.contains(text), "{entry}: {text:?} is not in {file}");
    }
}

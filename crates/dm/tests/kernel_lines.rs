//! Table lines held against what a real kernel answered to them: `vectors/table-lines.json`, `refused*.json`, and every
//! configuration that has ciphertext. Where udm differs, `DIFFERENCES` says so, and `docs/differences.md` says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use udm_dm::table::{ShowKeys, Table, TableError, TableErrorKind};

/// What stands for the disk in our lines.
const DEVICE: &str = "/dev/vda";

/// Lines that the kernel refuses when it opens the device or asks its keyring. To read a table we do neither.
const LATER: [&str; 9] = [
    "dev-missing",
    "dev-dir",
    "dev-empty-number",
    "devoff-past-end",
    "devoff-too-long",
    "length-longer-than-dev",
    "keyring-missing",
    "keyring-wrongsize",
    "keyring-userkey-as-logon",
];

/// Lines that both refuse, for reasons of which there are two on the line, or whose limit newer kernels have raised.
const OTHER_REASON: [(&str, TableErrorKind); 1] = [("opt-count-9", TableErrorKind::Option)];

/// What one side takes and the other does not.
struct Difference {
    /// The heading in `docs/differences.md`.
    heading: &'static str,
    /// Whether udm takes it.
    taken_here: bool,
    /// The lines of the vectors that show it.
    ids: &'static [&'static str],
    /// Lines that show it and are not among the vectors.
    lines: &'static [&'static str],
}

const DIFFERENCES: [Difference; 17] = [
    Difference {
        heading: "A key with an odd number of hex digits",
        taken_here: false,
        ids: &["key-odd-hex", "key-odd-nonhex-tail"],
        lines: &[],
    },
    Difference {
        heading: "A number that wraps",
        taken_here: false,
        ids: &["ivoff-2^64", "ivoff-2^64+5", "ivoff-huge", "ss-66048", "ss-69632"],
        lines: &[
            "0 16 crypt aes:4294967298-cbc-plain64 KEY64 0 /dev/vda 0",
            "0 16 linear /dev/vda 18446744073709551616",
        ],
    },
    Difference {
        heading: "Words beyond the number of options",
        taken_here: false,
        ids: &["opt-count-fewer-than-args", "opt-count-0-with-args", "opt-count-1-unknown-rest"],
        lines: &[],
    },
    Difference {
        heading: "An option given twice",
        taken_here: false,
        ids: &["opt-count-8-repeated", "ss-twice"],
        lines: &[],
    },
    Difference {
        heading: "A cipher that takes an IV, without an IV mode",
        taken_here: false,
        ids: &["capi-keycount", "capi-aes256-cbc-none", "capi-aes256-xts-none"],
        lines: &[],
    },
    Difference {
        heading: "An essiv around another IV than a number",
        taken_here: false,
        ids: &[],
        lines: &[
            "0 16 crypt capi:essiv(cbc(aes),sha256)-essiv:sha256 KEY32 0 /dev/vda 0",
            "0 16 crypt capi:essiv(cbc(aes),sha256)-eboiv KEY32 0 /dev/vda 0",
            "0 16 crypt capi:essiv(cbc(aes),sha256)-tcw KEY64 0 /dev/vda 0",
        ],
    },
    Difference {
        heading: "lmk and tcw where the kernel reads past their ends, or nothing reads back",
        taken_here: false,
        ids: &["aes256-xts-lmk"],
        lines: &[
            "0 16 crypt aes-ctr-lmk KEY32 0 /dev/vda 0",
            "0 16 crypt xchacha12,aes-adiantum-tcw KEY32KEY32KEY16 0 /dev/vda 0",
            "0 16 crypt blowfish:4-cbc-lmk KEY16KEY4ab012345cd 0 /dev/vda 0",
        ],
    },
    Difference {
        heading: "A mode around the cipher that does nothing",
        taken_here: false,
        ids: &[],
        lines: &["0 16 crypt cipher_null-cbc-plain - 0 /dev/vda 0"],
    },
    Difference {
        heading: "The name of a driver instead of an algorithm",
        taken_here: false,
        ids: &[],
        lines: &["0 16 crypt capi:cbc-aes-aesni-plain64 KEY32 0 /dev/vda 0"],
    },
    Difference {
        heading: "`integrity:16` without its profile",
        taken_here: false,
        ids: &["integrity-noprofile"],
        lines: &[],
    },
    Difference {
        heading: "A sign, or no space, in a row's first words",
        taken_here: false,
        ids: &[],
        lines: &["+0 16 zero", "-0 16 zero", "0 16zero"],
    },
    Difference {
        heading: "Words after the error target",
        taken_here: false,
        ids: &[],
        lines: &["0 16 error 1 2 3"],
    },
    Difference {
        heading: "A row past 2^63 bytes",
        taken_here: false,
        ids: &[],
        lines: &["0 18014398509481985 zero"],
    },
    Difference {
        heading: "What udm does not have yet",
        taken_here: false,
        ids: &["integrity-480", "integrity-none-plain", "aead-ccm_aes-random"],
        lines: &["0 16 striped 1 8 /dev/vda 0", "0 16 crypt aria-xts-plain64 KEY64 0 /dev/vda 0"],
    },
    Difference {
        heading: "Options of newer kernels",
        taken_here: true,
        ids: &["opt-high_priority", "opt-integrity_key_size"],
        lines: &[
            "0 16 crypt aes-xts-plain64 KEY64 0 /dev/vda 0 9 allow_discards same_cpu_crypt high_priority \
            submit_from_crypt_cpus no_read_workqueue no_write_workqueue sector_size:512 iv_large_sectors \
            integrity_key_size:32",
        ],
    },
    Difference {
        heading: "A `#` in a path",
        taken_here: true,
        ids: &[],
        lines: &[r"0 16 linear /disk\#1 0"],
    },
    Difference {
        heading: "A path with a letter that has the byte A0",
        taken_here: true,
        ids: &[],
        lines: &["0 16 linear /voil\u{e0}.img 0"],
    },
];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or("")
}

/// Every line that the kernel answered to, with its name.
fn answered() -> Vec<(String, Value)> {
    [
        ("table-lines.json", "lines", "id"),
        ("refused.json", "refused", "name"),
        ("refused-aead.json", "refused", "name"),
    ]
    .into_iter()
    .flat_map(|(file, list, name)| {
        let lines = read(&vectors().join(file))[list].as_array().expect("a list of lines").clone();
        lines.into_iter().map(move |line| (text(&line, name).to_owned(), line))
    })
    .collect()
}

/// The line as a table of ours.
fn table_of(line: &Value) -> Result<Table, TableError> {
    let row =
        text(line, "table").replace("<dev>", DEVICE).replace("<maj:min>", DEVICE).replace("<sectors>", "16");
    Table::parse(&format!("{}\n{row}", text(line, "table_before")))
}

/// Whether the kernel took the line, and what was written under it could be read back.
fn taken_there(line: &Value) -> bool {
    line.get("result").map_or(line["errno"].is_null(), |result| result == "taken")
}

/// Whether `error` is the kernel's error for the line.
fn same_reason(line: &Value, error: &TableError) -> bool {
    let Some(reason) = error.kernel_reason() else { return false };
    let logged = || {
        line["dmesg"].as_array().is_some_and(|log| {
            log.iter().any(|entry| entry.as_str().is_some_and(|entry| entry.contains(reason.text)))
        })
    };
    let same = match line["ti_error"].as_str() {
        Some(message) => message == reason.text,
        None => logged(),
    };
    same && line["errno"] == reason.errno
}

#[test]
fn every_line_is_answered_as_the_kernel_answers_it() {
    let differs = |id: &str| DIFFERENCES.iter().any(|difference| difference.ids.contains(&id));
    let (mut wrong, mut count) = (Vec::new(), [0; 5]);
    for (id, line) in answered() {
        let table = table_of(&line);
        let verdict = match (&table, taken_there(&line)) {
            _ if differs(&id) => 0,
            (Ok(table), true) => {
                let row = |keys| table.rows.last().expect("a row").to_line(keys);
                let expected = |name| text(&line, name).replace("<maj:min>", DEVICE);
                if row(ShowKeys::Shown) != expected("table_showkeys")
                    || row(ShowKeys::Hidden) != expected("table_hidden")
                {
                    wrong.push(format!("{id}: printed as {}", row(ShowKeys::Shown)));
                }
                1
            }
            (Ok(_), false) if LATER.contains(&id.as_str()) => 2,
            (Err(error), false) if same_reason(&line, error) => 3,
            (Err(error), false) if error.kind() == TableErrorKind::Missing => {
                assert!(error.message().contains("yet"), "{error}");
                4
            }
            (Err(error), false) if OTHER_REASON.contains(&(id.as_str(), error.kind())) => 3,
            (Ok(_), false) => {
                wrong.push(format!("{id}: taken here, refused there: {}", line["ti_error"]));
                0
            }
            (Err(error), taken) => {
                wrong.push(format!(
                    "{id}: taken there: {taken}, {}: {error} {:?}",
                    line["ti_error"],
                    error.kernel_reason()
                ));
                0
            }
        };
        count[verdict] += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let [differ, taken, later, refused, missing] = count;
    println!(
        "{taken} taken and {refused} refused alike, {missing} not had yet, {later} for later, {differ} differ"
    );
    assert!(taken >= 14 && refused >= 100, "{count:?}");
}

#[test]
fn every_difference_is_real_and_is_in_the_documentation() {
    let answered = answered();
    for difference in &DIFFERENCES {
        for id in difference.ids {
            let line = &answered.iter().find(|(name, _)| name == id).expect(id).1;
            assert_eq!(table_of(line).is_ok(), difference.taken_here, "{id}");
            assert_ne!(taken_there(line) || line["result"] == "kernel oops", difference.taken_here, "{id}");
        }
        for line in difference.lines {
            let line = line
                .replace("KEY64", &"0123456789abcdef".repeat(8))
                .replace("KEY32", &"0123456789abcdef".repeat(4))
                .replace("KEY16", &"0123456789abcdef".repeat(2))
                .replace("KEY4", "01234567");
            assert_eq!(Table::parse(&line).is_ok(), difference.taken_here, "{line}");
        }
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/differences.md");
    let page = fs::read_to_string(page).expect("docs/differences.md");
    let documented: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let tested: BTreeSet<_> = DIFFERENCES.iter().map(|difference| difference.heading).collect();
    assert_eq!(documented, tested);
}

#[test]
fn the_lines_of_every_ciphertext_are_taken_and_read_back_as_the_kernel_reads_them() {
    let mut taken = 0;
    for entry in fs::read_dir(vectors()).expect("vectors") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector = read(&path);
        for run in vector["runs"].as_array().into_iter().flatten() {
            let start = vector["map_start"].as_u64().unwrap_or(0);
            let before = if start > 0 { format!("0 {start} zero\n") } else { String::new() };
            let table = Table::parse(&(before + &text(run, "table").replace("<dev>", "254:0")));
            let table = table.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let row = table.rows.last().expect("a row");
            assert_eq!(row.to_line(ShowKeys::Shown), text(run, "table_readback"), "{}", path.display());
            taken += 1;
        }
    }
    assert!(taken >= 396, "only {taken} runs");
}

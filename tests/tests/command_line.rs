//! The command line as a person or a program meets it: exit status, messages, help, JSON, signals.

use std::fs;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use udm_tests::judge::judge;
use udm_tests::mutate::{SplitMix64, mutate};
use udm_tests::program::{SOON, Served, run};
use udm_tests::volume::{Volume, noise};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program refused, with status 2 and one sentence that has `part` in it.
fn assert_refused(output: &Output, part: &str) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(part), "{part:?} is not in: {told}");
    assert!(!told.contains("panicked"), "{told}");
}

/// The table lines that a real kernel was asked about, the refused ones.
fn refused_by_the_kernel() -> Vec<String> {
    let vectors = std::env::var("UDM_VECTORS").unwrap_or_else(|_| "../vectors".into());
    let lines: Value =
        serde_json::from_str(&fs::read_to_string(format!("{vectors}/table-lines.json")).unwrap()).unwrap();
    let refused = lines["lines"].as_array().unwrap().iter().filter(|line| line["result"] == "refused");
    let mut found: Vec<String> =
        refused.map(|line| line["table"].as_str().unwrap().replace("<dev>", "null:4M")).collect();
    // What only the kernel's keyring or its block devices can tell is not a matter of the line.
    found.retain(|line| !line.contains(":user:") && !line.contains(":logon:") && !line.contains("maj:min"));
    found
}

#[test]
fn two_hundred_malformed_lines_each_get_a_place_a_finding_and_a_hint() {
    let seed = 0x7AB1_E002;
    println!("seed {seed:#x}");
    let mut random = SplitMix64::new(seed);
    let key = "0112233445566778899aabbccddeef00112233445566778899aabbccddeeff10";
    let good = [
        format!("0 4096 crypt aes-cbc-essiv:sha256 {key} 0 null:4M 0 1 allow_discards"),
        format!("0 4096 crypt aes-xts-plain64 {key}{key} 8 null:4M 16 2 sector_size:4096 iv_large_sectors"),
        "0 128 linear null:4M 8".into(),
        "0 128 striped 2 16 null:4M 8 null:4M 512\n128 64 delay null:4M 8 20 null:4M 16 30".into(),
        "0 128 zero\n128 64 error".into(),
    ];
    let mut lines = refused_by_the_kernel();
    let kernels = lines.len();
    let mut taken = 0;
    let mut refused = 0;
    let mut mutants = std::iter::from_fn(|| {
        let pick = random.pick(&good).clone();
        Some(mutate(&mut random, &pick))
    });
    lines.extend(mutants.by_ref().filter(|line| !line.contains('\0')).take(200));
    for line in &lines {
        let output = run(["--json", "table", "check", "--open", "--table", line]);
        let told = text(&output.stderr);
        if output.status.success() {
            taken += 1;
            continue;
        }
        assert_eq!(output.status.code(), Some(2), "{line:?}: {told}");
        let error: Value =
            serde_json::from_str(&told).unwrap_or_else(|_| panic!("{line:?}: no JSON: {told}"));
        let number =
            |name: &str| error[name].as_u64().unwrap_or_else(|| panic!("{line:?}: no {name} in {told}"));
        let (row, column) = (number("line") as usize, number("column") as usize);
        let width = line.split('\n').nth(row - 1).map_or(0, |row| row.chars().count());
        assert!(row >= 1 && (1..=width + 1).contains(&column), "{line:?}: {row}:{column} is not in it");
        for name in ["error", "found", "hint"] {
            assert!(
                error[name].as_str().is_some_and(|part| !part.is_empty()),
                "{line:?}: no {name} in {told}"
            );
        }
        assert!(!told.contains(&key[..16]), "{line:?}: the key is in the message: {told}");
        refused += 1;
    }
    println!(
        "{refused} of {} lines refused ({kernels} are the kernel's), {taken} mutants are right",
        lines.len()
    );
    assert!(refused >= 200, "only {refused}");
    for line in good {
        let output = run(["table", "check", "--open", "--table", &line]);
        assert!(output.status.success(), "the good line is refused: {}", text(&output.stderr));
    }
}

#[test]
fn a_wrong_table_is_shown_with_a_caret_under_the_word() {
    let output = run(["table", "check", "--table", "0 2048 crypt aes-xts-plain46 00 0 null:1M 0"]);
    assert_refused(&output, "table line 1, column 22");
    let told = text(&output.stderr);
    assert!(told.contains("plain64") && told.contains("^^^"), "{told}");
}

#[test]
fn what_cannot_be_opened_says_so_in_one_line() {
    let volume = Volume::xts(1 << 20, 31);
    let luks = volume.path("luks.img");
    fs::write(&luks, [&b"LUKS\xba\xbe\x00\x02 and more"[..], &[0; 8192]].concat()).unwrap();
    assert_refused(
        &run(["read".as_ref(), luks.as_os_str()]),
        "hdr_size is 2333267458274455410: it is a power of two",
    );
    assert_refused(&run(["read".as_ref(), volume.image.as_os_str()]), "has no LUKS header");
    assert_refused(&run(["read", "/nowhere/at/all"]), "/nowhere/at/all");
    assert_refused(&run(["read"]), "no device was given");
    assert_refused(&run(["read", "raw:/tmp"]), "folder");
    assert_refused(&run(["verify", "raw:null:1M"]), "nothing to verify");
    let missing = format!("0 8 linear {} 0", volume.path("missing").display());
    assert_refused(&run(["serve", "--nbd", "x/y", "--table", &missing]), "No such file");
    let over = ["read", "--table", "0 8 zero", "--offset", "4000", "--length", "97"];
    assert_refused(&run(over), "do not fit");
    assert_refused(&run(["serve", "--nbd", "nonsense"]), "nonsense:10809");
}

#[test]
fn read_and_write_take_any_bytes() {
    let volume = Volume::new(8 << 20, "aes-xts-plain64", 64, "1 sector_size:4096", 32);
    let table = volume.table.to_str().unwrap();
    let (input, output) = (volume.path("in"), volume.path("out"));
    fs::write(&input, noise(33, 1_234_567)).unwrap();
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
    let wrote = run(["--json", "write", "--table-file", table, "--offset", "1001", "-i", input]);
    assert_eq!(text(&wrote.stdout).trim(), r#"{"written":1234567}"#, "{wrote:?}");
    let read = run(["read", "--table-file", table, "--offset", "1001", "--length", "1234567", "-o", output]);
    assert!(read.status.success(), "{read:?}");
    assert!(fs::read(input).unwrap() == fs::read(output).unwrap());
    let before = fs::read(&volume.image).unwrap();
    assert_refused(
        &run(["write", "--table-file", table, "--offset", "8M", "-i", input]),
        "nothing was written",
    );
    assert!(before == fs::read(&volume.image).unwrap(), "a refused write wrote");
    let verified = run(["--json", "verify", "--table-file", table]);
    let told: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&told["bytes"], &told["same"]), (&(8 << 20).into(), &true.into()), "{told}");
    assert_eq!(told["whole_bio"]["plaintext_sha256"], told["per_sector"]["plaintext_sha256"]);
}

#[test]
fn stripes_and_delays_are_read_and_written() {
    let volume = Volume::xts(1 << 20, 35);
    let image = volume.image.display();
    let table = format!("0 512 striped 2 8 {image} 0 {image} 256\n512 64 delay {image} 512 0 {image} 512 5");
    let (input, bytes) = (volume.path("in"), noise(36, 280 << 10));
    fs::write(&input, &bytes).unwrap();
    let wrote = run(["write", "--table", &table, "--offset", "0", "-i", input.to_str().unwrap()]);
    assert!(wrote.status.success(), "{wrote:?}");
    let read = run(["read", "--table", &table, "--length", "280K"]);
    assert!(read.stdout == bytes, "other bytes than were written");
    // The definition: chunks of 4 KiB in turn, and then the range of the delay.
    let image = fs::read(&volume.image).unwrap();
    for (number, chunk) in bytes[..256 << 10].chunks(4096).enumerate() {
        let at = number % 2 * (128 << 10) + number / 2 * 4096;
        assert!(image[at..at + 4096] == *chunk, "chunk {number}");
    }
    assert!(image[256 << 10..280 << 10] == bytes[256 << 10..]);
    assert_refused(&run(["table", "check", "--table", "0 8 strped 1 8 a 0"]), "try striped");
}

#[test]
fn a_table_is_shown_without_its_key_unless_it_is_wanted() {
    let volume = Volume::xts(1 << 20, 34);
    let table = volume.table.to_str().unwrap();
    let hidden = text(&run(["table", "show", "--table-file", table]).stdout);
    assert!(hidden.contains(&"0".repeat(128)) && !hidden.contains(&volume.key), "{hidden}");
    let shown = text(&run(["table", "show", "--showkeys", "--table-file", table]).stdout);
    assert!(shown.contains(&volume.key), "{shown}");
}

#[test]
fn help_completions_manual_pages_and_the_list_of_ciphers_are_there() {
    for command in ["", "serve", "read", "write", "table", "verify", "quickstart"] {
        let output = run([command, "--help"].into_iter().filter(|word| !word.is_empty()));
        assert!(output.status.success() && output.stdout.len() > 300, "{command}: {output:?}");
    }
    let targets = text(&run(["table", "--help"]).stdout);
    assert!(targets.contains("Targets: linear, zero, error, crypt, striped, delay"), "{targets}");
    let memory = text(&run(["serve", "--help"]).stdout);
    assert!(memory.contains("Memory:"), "{memory}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(["completions", shell]).stdout.len() > 1000, "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let made = run(["man".as_ref(), "--directory".as_ref(), folder.path().as_os_str()]);
    assert!(made.status.success(), "{made:?}");
    for page in ["udm.1", "udm-serve.1", "udm-table-check.1"] {
        assert!(fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH"), "{page}");
    }
    let listed = |more: &[&str]| {
        let output = run(["--json", "ciphers"].iter().chain(more));
        let ciphers: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names =
            ciphers.as_array().unwrap().iter().map(|line| line["driver"].as_str().unwrap().to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let (usual, all) = (listed(&[]), listed(&["--all"]));
    assert!(usual.contains("portable") && usual.contains("aws-lc"), "{usual:?}");
    assert_eq!(&all - &usual, ["offload-sim".to_owned()].into(), "what is for tests");
}

#[test]
fn a_signal_drains_flushes_and_ends_well_and_a_served_image_is_locked() {
    let volume = Volume::xts(4 << 20, 35);
    for signal in [Signal::INT, Signal::TERM] {
        let served = Served::table(&volume.table);
        let locked =
            run(["write".as_ref(), "--table-file".as_ref(), volume.table.as_os_str(), "--offset=0".as_ref()]);
        assert_refused(&locked, "is in use");
        let (status, took) = served.end_by(signal);
        assert_eq!(status, Some(0), "{signal:?}");
        assert!(took < SOON, "{took:?}");
        assert!(!volume.path("volume.sock").exists(), "the socket's file is left behind");
    }
}

#[test]
fn two_tables_over_one_file_are_served_side_by_side() {
    let volume = Volume::xts(4 << 20, 36);
    let image = volume.image.display();
    let (low, high) = (format!("low=0 4096 linear {image} 0"), format!("high=0 4096 linear {image} 4096"));
    let socket = volume.path("both.sock");
    let served = Served::start(["--table", &low, "--table", &high, "--nbd", socket.to_str().unwrap()], 2);
    for (uri, byte) in served.uris.iter().zip(["0x11", "0x22"]) {
        judge("qemu-io", ["-f", "raw", "-c", &format!("write -P {byte} 0 2M"), uri]);
    }
    assert_eq!(served.stop().0, Some(0));
    let found = fs::read(&volume.image).unwrap();
    assert!(
        found[..2 << 20].iter().all(|byte| *byte == 0x11)
            && found[2 << 20..].iter().all(|byte| *byte == 0x22)
    );
}

#[test]
fn a_row_is_explained_below_it_and_in_json() {
    let table = format!("0 2048 crypt aes-xts-plain64 {} 0 null:1M 0\n2048 8 zero", "5a".repeat(32));
    let shown = run(["table", "show", "--explain", "--driver", "portable", "--table", &table]);
    let lines: Vec<String> = text(&shown.stdout).lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("0 2048 crypt aes-xts-plain64 00"), "{lines:?}");
    assert!(lines[1].starts_with("  cipher    xts(aes) "), "{lines:?}");
    assert!(lines[2].starts_with("  driver    portable "), "{lines:?}");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("2048 8 zero"),
        "a row that does not encrypt has nothing below it"
    );

    let shown = run(["table", "show", "--json", "--explain", "--table", &table]);
    let rows: Vec<Value> =
        text(&shown.stdout).lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows[0]["explain"]["requests"]["is"], "whole bio");
    assert_eq!(rows[1]["explain"], serde_json::json!({}));

    assert_refused(
        &run(["table", "show", "--explain", "--driver", "none", "--table", &table]),
        "no driver named none",
    );
    assert_refused(&run(["table", "show", "--driver", "portable", "--table", &table]), "--explain");
}

#[test]
fn a_bench_measures_every_way_at_every_size_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    let told = run(["--json", "bench", "--rounds", "1", "--driver", "portable", "--plot", directory]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    let told: Value = serde_json::from_str(&text(&told.stdout)).unwrap();
    assert!(
        told["machine"]["ghz"].as_f64().is_some_and(|ghz| ghz > 0.2 && ghz < 10.0),
        "{}",
        told["machine"]
    );
    let charts = told["charts"].as_array().unwrap();
    let names: Vec<_> = charts.iter().map(|chart| chart["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cipher", "stack", "linear"]);
    for chart in charts {
        let series = chart["series"].as_array().unwrap();
        assert!(series.len() > 1 && series.iter().any(|series| series["kind"] == "ours"), "{chart}");
        let points = series.iter().flat_map(|series| series["points"].as_array().unwrap());
        assert!(points.clone().all(|point| point["bytes_per_s"].as_f64().unwrap() > 0.0), "{chart}");
    }
    let ratios = charts[1]["ratios"].as_array().unwrap();
    assert!(
        ratios
            .iter()
            .any(|ratio| ratio["kind"] == "per-sector" && ratio["points"].as_array().unwrap().len() == 6)
    );
    for name in ["cipher.svg", "stack.svg"] {
        let svg = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("GB/s"), "{name}");
    }

    assert_refused(&run(["bench", "cipher", "--key-size", "100"]), "it has those of 256, 384, 512");
    assert_refused(&run(["bench", "cipher", "--cipher", "aes-nonsense-plain64"]), "nonsense");
    assert_refused(&run(["bench", "--rounds", "0"]), "31 would do");
    assert_refused(&run(["bench", "stack", "--sector-size", "1000"]), "sector_size");
}

#[test]
fn a_number_of_clients_that_no_server_has_is_refused_by_name() {
    let folder = tempfile::TempDir::with_prefix("udm-connections-").unwrap();
    let address = format!("unix:{}", folder.path().join("sock").display());
    let words = |most| {
        ["serve", "--table", "d=0 8 linear ram:1M 0", "--nbd", &address, "--max-connections", most]
            .map(str::to_owned)
    };
    for most in ["0", "4097", "100000"] {
        let output = run(words(most));
        assert_eq!(output.status.code(), Some(2));
        assert_refused(&output, &format!("--max-connections {most}: a server takes from 1 to 4096 clients"));
    }
    let help = text(&run(["serve", "--help"]).stdout);
    assert!(help.contains("from 1 to 4096"), "--help says another number: {help}");
    // The twin: both borders serve.
    for most in ["1", "4096"] {
        Served::start(&words(most)[1..], 1).stop();
    }
}

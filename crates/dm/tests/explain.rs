//! What is said of a volume's way through its cipher is what was decided for it.

use crate::support::{drivers, hex, stream};
use udm_crypto::{Algorithm, Mode};
use udm_dm::load::explain;
use udm_dm::table::Table;
use udm_dm::targets::crypt::{CipherChoice, Requests};

/// What is decided for a row with this cipher, a key of `key` bytes and these options.
fn decided(
    cipher: &str,
    key: usize,
    options: &str,
    choice: &CipherChoice,
) -> Vec<(&'static str, String, String)> {
    let line = format!("0 2048 crypt {cipher} {} 0 null:1M 0 {options}", hex(&stream(7, key)));
    let rows = explain(&Table::parse(&line).unwrap(), choice).unwrap();
    let [row] = <[_; 1]>::try_from(rows).expect("one row");
    row.into_iter().map(|decision| (decision.what, decision.is, decision.why)).collect()
}

/// Checks that of `what` it says that it is `is`, because of something with `why` in it.
fn assert_says(decided: &[(&'static str, String, String)], what: &str, is: &str, why: &str) {
    let (_, said, because) = decided.iter().find(|(other, ..)| *other == what).expect("it is among them");
    assert!(said == is && because.contains(why), "{what}: {said}, {because}; not {is}, {why}");
}

fn driver(name: &str) -> CipherChoice {
    CipherChoice { driver: Some(name.into()), ..CipherChoice::default() }
}

#[test]
fn a_row_is_explained_as_it_will_be_served() {
    let best = CipherChoice::default();
    let row = decided("aes-xts-plain64", 64, "", &best);
    assert_says(&row, "cipher", "xts(aes)", "one key for all sectors of 512 bytes");
    // A machine with the instructions for them has kernels ahead of aws-lc.
    let first = drivers(Algorithm::aes(Mode::Xts))[0];
    assert_says(&row, "driver", first, "first choice");
    assert_says(&row, "requests", "whole bio", "one key");
    assert_says(&row, "ivs", "counter", "plain64: 64 bits, little-endian, 1 more");
    assert_says(&row, "thread", "the I/O's own", "at once");

    // aws-lc has no keys of 24 bytes, the kernels do.
    let row = decided("aes-xts-plain64", 48, "", &best);
    match first {
        "aws-lc" => assert_says(&row, "driver", "portable", "not aws-lc: it does not take this key"),
        kernel => assert_says(&row, "driver", kernel, "first choice"),
    }

    // Without iv_large_sectors a sector is so many numbers after the one before it.
    let row = decided("aes-xts-plain64", 64, "1 sector_size:4096", &best);
    assert_says(&row, "ivs", "counter", "8 more for each sector");
    let row = decided("aes-xts-plain64", 64, "2 sector_size:4096 iv_large_sectors", &best);
    assert_says(&row, "ivs", "counter", "1 more for each sector");

    assert_says(&decided("aes-cbc-essiv:sha256", 32, "", &best), "ivs", "one pass", "essiv:sha256");
    assert_says(&decided("aes-ecb-plain64", 32, "", &best), "cipher", "ecb(aes)", "without plain64");
    assert_says(&decided("aes-ecb-plain64", 32, "", &best), "ivs", "none", "takes none");
}

#[test]
fn why_a_request_is_not_a_whole_bio_is_said() {
    let best = CipherChoice::default();
    let row = decided("aes:4-cbc-plain64", 64, "", &best);
    assert_says(&row, "requests", "one a key", "4 apart");
    let row = decided("aes:4-cbc-plain64", 64, "1 sector_size:2048", &best);
    assert_says(&row, "requests", "whole bio", "spans all keys");
    let row = decided("aes:4-cbc-plain64", 64, "", &driver("offload-sim"));
    assert_says(&row, "requests", "one sector", "neighbours are of other keys");
    assert_says(&row, "thread", "the driver's", "asynchronous");
    let by_sector = CipherChoice { requests: Requests::PerSector, ..best };
    assert_says(&decided("aes-xts-plain64", 64, "", &by_sector), "requests", "one sector", "asked for");
}

#[test]
fn which_thread_converts_is_said() {
    let row = |options| decided("aes-xts-plain64", 64, options, &driver("threads"));
    assert_says(&row(""), "thread", "the driver's", "wants no memory");
    assert_says(&row("1 no_read_workqueue"), "thread", "the driver's for writes", "keep reads here");
    assert_says(&row("1 no_write_workqueue"), "thread", "the driver's for reads", "keep writes here");
    assert_says(&row("1 same_cpu_crypt"), "thread", "the I/O's own", "keep reads and writes here");
}

#[test]
fn what_was_asked_for_by_name_is_said_to_be() {
    let row = decided("aes-xts-plain64", 64, "", &driver("portable"));
    assert_says(&row, "driver", "portable", "by its name");
}

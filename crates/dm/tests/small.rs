//! Small bios through mapped devices, few, so that Miri can follow every address on the way down and up: clones over the
//! client's memory, pages with what is written, and data that is decrypted where it was read.

use std::sync::Arc;

use crate::support;
use crate::support::client::Client;
use crate::support::disk::{Late, Ram};
use crate::support::{assert_same, map, stream, try_map};
use udm_block::{Device, DeviceRef, Flags, Op, Status};
use udm_crypto::offload;
use udm_dm::targets::crypt::{CipherChoice, Requests};

/// Two sectors, in runs that end within sectors and within the cipher's blocks.
const RUNS: &[usize] = &[1, 510, 3, 510];
const LEN: usize = 1024;

/// Writes and reads back, over a border of rows where there is one at sector 4. Oracle: what was written.
fn round(device: &DeviceRef, table: &str) {
    let mut client = Client::new(device);
    let places: &[u64] = if cfg!(miri) { &[3] } else { &[3, 0, 6] };
    for (number, &sector) in (1..).zip(places) {
        let (plain, noise) = (stream(number, LEN), stream(!number, LEN));
        let written = client.one(Op::Write, Flags::NONE, sector, RUNS, &plain);
        assert_eq!(written.status, Status::Ok, "{table}");
        assert_same(&written.bytes, &plain, &"a write changes nothing of its client's");
        let read = client.one(Op::Read, Flags::NONE, sector, &[700, LEN - 700], &noise);
        assert_eq!(read.status, Status::Ok, "{table}");
        assert_same(&read.bytes, &plain, &table);
    }
}

fn over_both(table: &str) {
    round(&map(table, &Ram::new(32)), table);
    round(&map(table, &Late::over(Ram::new(32), 7)), table);
}

#[test]
fn linear_rows_lend_their_client_s_memory() {
    over_both("0 4 linear disk 9\n4 8 linear disk 20");
}

/// A copy, and ciphers with a key: under Miri `few`, since it takes minutes for the last ones.
fn ciphers(few: usize) -> Vec<String> {
    let key = support::hex(&stream(1, 32));
    let with_keys = ["capi:chacha20-plain64", "camellia-xts-plain64", "camellia-cbc-plain64"]
        .map(|cipher| format!("{cipher} {key}"));
    let all = ["cipher_null-ecb -".to_owned()].into_iter().chain(with_keys);
    all.take(if cfg!(miri) { few } else { 4 }).collect()
}

#[test]
fn a_row_of_crypt_reads_in_place_and_writes_from_pages() {
    for cipher in ciphers(1) {
        over_both(&format!("0 16 crypt {cipher} 0 disk 3"));
    }
}

/// Behind a linear row, with a bio that is over the border.
fn behind_linear(cipher: &str, choice: &CipherChoice) {
    let table = format!("0 4 linear disk 0\n4 12 crypt {cipher} 0 disk 8");
    let disk = Ram::new(32) as Arc<dyn Device>;
    round(&try_map(&table, &[("disk", disk)], choice).unwrap(), &table);
}

#[test]
fn sectors_that_the_cipher_gets_one_by_one() {
    let choice = CipherChoice { requests: Requests::PerSector, ..CipherChoice::default() };
    for cipher in ciphers(1) {
        behind_linear(&cipher, &choice);
    }
}

/// The engine has a thread of its own, and describes the sectors in memory that it is lent.
#[test]
fn sectors_that_an_engine_gets_as_jobs() {
    let choice = CipherChoice { driver: Some("offload-sim".into()), ..CipherChoice::default() };
    for cipher in ciphers(2) {
        let before = offload::counts();
        behind_linear(&cipher, &choice);
        let after = offload::counts();
        assert!(after.single + after.several > before.single + before.several, "{cipher}: not by the engine");
    }
}

/// Oracle: zeros, and nothing beside the runs (the client looks).
#[test]
fn zeros_are_written_into_the_client_s_runs() {
    let mut client = Client::new(&map("0 16 zero", &Ram::new(0)));
    let read = client.one(Op::Read, Flags::NONE, 2, RUNS, &stream(1, LEN));
    assert_same(&read.bytes, &[0; LEN], &"zero");
}

/// A bio of which one part is served and the other fails. Oracle: the part that fails has no byte of the client's.
#[test]
fn half_a_bio_fails_and_the_client_has_its_memory_back() {
    let mut client = Client::new(&map("0 4 linear disk 0\n4 4 error", &Ram::new(32)));
    let noise = stream(1, LEN);
    let read = client.one(Op::Read, Flags::NONE, 3, RUNS, &noise);
    assert_eq!(read.status, Status::IoErr);
    assert_same(&read.bytes[LEN / 2..], &noise[LEN / 2..], &"error");
}

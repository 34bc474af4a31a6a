//! Small bios through mapped devices, few, so that Miri can follow every address on the way down and up: clones over the
//! client's memory, pages with what is written, and data that is decrypted where it was read.

mod support;

use std::sync::Arc;

use support::client::Client;
use support::disk::{Late, Ram};
use support::{assert_same, map, stream, try_map};
use udm_block::{Device, DeviceRef, Flags, Op, Status};
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

#[test]
fn a_row_of_crypt_reads_in_place_and_writes_from_pages() {
    // Camellia is the block cipher that Miri runs fastest.
    let ciphers = ["cipher_null-ecb", "camellia-xts-plain64", "camellia-cbc-plain64"];
    for &cipher in &ciphers[..if cfg!(miri) { 1 } else { 3 }] {
        let key = match cipher {
            "cipher_null-ecb" => "-".to_owned(),
            _ => support::hex(&stream(1, 32)),
        };
        over_both(&format!("0 16 crypt {cipher} {key} 0 disk 3"));
    }
}

#[test]
fn sectors_that_the_cipher_gets_one_by_one() {
    let table = format!(
        "0 4 linear disk 0\n4 12 crypt camellia-xts-plain64 {} 0 disk 8",
        support::hex(&stream(1, 32))
    );
    let disk = Ram::new(32);
    let choice = CipherChoice { requests: Requests::PerSector, ..CipherChoice::default() };
    let disk = Arc::clone(&disk) as Arc<dyn Device>;
    round(&try_map(&table, &[("disk", disk)], &choice).unwrap(), &table);
}

/// Oracle: zeros, and nothing beside the runs (the client looks).
#[test]
fn zeros_are_written_into_the_client_s_runs() {
    let mut client = Client::new(&map("0 16 zero", &Ram::new(0)));
    let read = client.one(Op::Read, Flags::NONE, 2, RUNS, &stream(1, LEN));
    assert_same(&read.bytes, &[0; LEN], &"zero");
}

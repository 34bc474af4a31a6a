//! What the options about work queues and processors do: on which threads sectors are encrypted and decrypted by a driver
//! that has some. Oracle: the pool's own count of the requests that its threads carried out.

use crate::alone;
use crate::support::client::Client;
use crate::support::cut::WHOLE;
use crate::support::disk::Ram;
use crate::support::{assert_same, hex, stream, try_map};
use udm_block::DeviceRef;
use udm_crypto::{offload, threads};
use udm_dm::targets::crypt::CipherChoice;

const SECTORS: u64 = 512;

/// How many requests the pool's threads carried out of a write and a read of `len` bytes with these options; and the disk.
fn spread(driver: &str, options: &str, len: usize) -> ([u64; 2], Vec<u8>) {
    let disk = Ram::new(SECTORS);
    let table = format!("0 {SECTORS} crypt aes-xts-plain64 {} 0 disk 0 {options}", hex(&stream(1, 64)));
    let choice = CipherChoice { driver: Some(driver.into()), ..CipherChoice::default() };
    let device: DeviceRef = try_map(table.trim_end(), &[("disk", disk.clone())], &choice).unwrap();
    let (mut client, bytes) = (Client::new(&device), stream(2, len));
    let mut counts = [threads::counts().spread, 0, 0];
    client.write(0, &bytes, WHOLE, 512);
    counts[1] = threads::counts().spread;
    assert_same(&client.read(0, len, WHOLE, 512), &bytes, &options);
    counts[2] = threads::counts().spread;
    let ciphertext = disk.bytes().clone();
    ([counts[1] - counts[0], counts[2] - counts[1]], ciphertext)
}

/// Each option that has a meaning, and those that have none; the bytes are always the same. The last row is the bad twin
/// of the others: with a driver that has no threads, nothing is counted.
#[test]
fn options_say_which_sectors_are_given_to_other_threads() {
    let _alone = alone();
    let (_, expected) = spread("portable", "", 256 << 10);
    for (driver, options, wanted) in [
        ("threads", "", [1, 1]),
        ("threads", "1 no_read_workqueue", [1, 0]),
        ("threads", "1 no_write_workqueue", [0, 1]),
        ("threads", "2 no_read_workqueue no_write_workqueue", [0, 0]),
        ("threads", "1 same_cpu_crypt", [0, 0]),
        ("threads", "2 same_cpu_crypt no_read_workqueue", [0, 0]),
        ("threads", "1 submit_from_crypt_cpus", [1, 1]),
        ("threads", "1 high_priority", [1, 1]),
        ("portable", "", [0, 0]),
    ] {
        let (seen, ciphertext) = spread(driver, options, 256 << 10);
        assert_eq!(seen, wanted, "writes and reads on the pool's threads: {driver} {options:?}");
        assert_same(&ciphertext, &expected, &format_args!("{driver} {options:?}"));
    }
}

/// What is not worth another thread is done on the queue thread, whatever the options.
#[test]
fn short_ones_stay_on_the_queue_thread() {
    let _alone = alone();
    assert_eq!(spread("threads", "", 4096).0, [0, 0]);
}

/// The same options with an engine: what is not to be asynchronous is done by it all the same. Oracle: the portable driver.
#[test]
fn an_engine_is_not_left_alone_with_the_options() {
    let _alone = alone();
    let (_, expected) = spread("portable", "", 128 << 10);
    for options in ["1 no_read_workqueue", "1 no_write_workqueue", "1 same_cpu_crypt"] {
        let before = offload::counts().several;
        let (_, ciphertext) = spread("offload-sim", options, 128 << 10);
        let later = offload::counts().several - before;
        assert_eq!(later, u64::from(!options.contains("same_cpu")), "{options}");
        assert_same(&ciphertext, &expected, &options);
    }
}

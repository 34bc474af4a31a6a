//! More requests than an asynchronous driver has room for, from several queues at once: each queue sends no more until the
//! driver takes requests again, and every bio ends with the right bytes. Oracles: the bytes that were written, and the
//! engine's count of the requests that it had no room for. A queue that is not told to go on is found by the client, whose
//! patience ends.

use std::thread;

use crate::alone;
use crate::support::client::Client;
use crate::support::disk::Ram;
use crate::support::{assert_same, hex, stream, try_map};
use udm_block::{DeviceRef, Flags, Op, Status};
use udm_crypto::offload::{self, Faults};
use udm_dm::targets::crypt::CipherChoice;

/// How many queues there are, how many bios each has under way, and how often: the engine has room for 16 requests.
const QUEUES: u64 = 3;
const DEPTH: u64 = 48;
const ROUNDS: u64 = 4;
/// The length of a bio in sectors.
const LEN: u64 = 8;

/// All bios of one queue under way at once: writes, and then reads of the same.
fn fill_and_read(device: &DeviceRef, queue: u64, round: u64) {
    let mut client = Client::new(device);
    let bytes = |number: u64| stream(round << 32 | queue << 16 | number, LEN as usize * 512);
    for op in [Op::Write, Op::Read] {
        let runs = [LEN as usize * 512];
        for number in 0..DEPTH {
            let sector = (queue * DEPTH + number) * LEN;
            let memory = if op == Op::Write { bytes(number) } else { vec![0; runs[0]] };
            client.start(op, Flags::NONE, sector, &runs, &memory);
        }
        for _ in 0..DEPTH {
            let ended = client.wait();
            assert_eq!(ended.status, Status::Ok);
            assert_same(&ended.bytes, &bytes(ended.number % DEPTH), &format_args!("{op:?} of queue {queue}"));
        }
    }
}

#[test]
fn queues_that_a_busy_driver_told_to_wait_go_on() {
    let _alone = alone();
    let sectors = QUEUES * DEPTH * LEN;
    let choice = CipherChoice { driver: Some("offload-sim".into()), ..CipherChoice::default() };
    let late = Faults { latency_us_max: 100, reorders: true, ..Faults::NONE };
    // A generator of IVs that needs memory, and one that needs none.
    for (cipher, key) in [("aes-xts-plain64", 64), ("aes-cbc-essiv:sha256", 32)] {
        let line = format!("0 {sectors} crypt {cipher} {} 0 disk 0", hex(&stream(1, key)));
        let device = late.with(|| try_map(&line, &[("disk", Ram::new(sectors))], &choice)).unwrap();
        let before = offload::counts();
        for round in 0..ROUNDS {
            thread::scope(|scope| {
                let device = &device;
                for queue in 0..QUEUES {
                    scope.spawn(move || fill_and_read(device, queue, round));
                }
            });
        }
        let after = offload::counts();
        let (requests, late) = (after.several - before.several, after.late - before.late);
        println!("{cipher}: {requests} requests, for {late} of which there was no room");
        assert_eq!(requests, 2 * QUEUES * DEPTH * ROUNDS);
        assert!(late > 0, "the engine had room for all");
    }
}

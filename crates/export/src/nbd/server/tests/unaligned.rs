//! Requests that begin and end anywhere, on blocks of 4096 bytes. Oracle: a model of bytes, and the order in which the
//! device is asked.

use std::io::{Read, Write};

use udm_block::{Flags, Geometry, Op};

use super::support::*;
use crate::nbd::server::Server;
use udm_backend::nbd::client::{Client, ClientError};
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request};

const BLOCK: u64 = 4096;
const SIZE: usize = 1 << 20;

fn geometry() -> Geometry {
    Geometry { logical_block: BLOCK as u32, ..able(SIZE) }
}

/// A client that asked for no sizes, over the client of ours, which asks.
fn any_byte(server: &Running) -> std::os::unix::net::UnixStream {
    server.raw()
}

fn send(socket: &mut impl Write, command: Command, cookie: u64, offset: u64, data: &[u8]) {
    socket.write_all(&request(command, cookie, offset, data.len() as u32).encode()).unwrap();
    if command == Command::Write {
        socket.write_all(data).unwrap();
    }
}

/// Waits until the device has been asked for so many things.
fn until_asked(ram: &Ram, count: usize) -> Vec<Asked> {
    until("the device was asked", || ram.log().len() >= count);
    ram.log()
}

fn asked(op: Op, block: u64) -> Asked {
    Asked { op, flags: Flags::NONE, offset: block * BLOCK, len: BLOCK }
}

/// Each of several clients owns every fourth run of bytes, and keeps many writes and zeroes of parts of runs under way, so
/// that almost every block is written by all of them at once.
#[test]
fn clients_that_write_parts_of_the_same_blocks_lose_nothing_of_each_other() {
    const CLIENTS: usize = 4;
    const RUN: u64 = 700;
    let ram = Ram::later(geometry(), Duration::from_micros(300), 0x7061_7274);
    let server = Running::over(&ram);
    let work = |client: usize| {
        let mut socket = any_byte(&server);
        let (mut seed, mut model) = (client as u64 + 1, vec![None; SIZE]);
        let runs = SIZE as u64 / RUN / CLIENTS as u64;
        for round in 0..30 {
            // Different runs of one round: their order does not matter.
            let first = dice(&mut seed, runs);
            let mut sent = 0;
            for at in 0..16 {
                let run = (first + at * 3) % runs;
                let begin = (run * CLIENTS as u64 + client as u64) * RUN + dice(&mut seed, 50);
                let data = noise(seed, 1 + dice(&mut seed, RUN - 50) as usize);
                let (command, data) = match dice(&mut seed, 4) {
                    0 => (Command::WriteZeroes, vec![0; data.len()]),
                    _ => (Command::Write, data),
                };
                send(&mut socket, command, at, begin, &data);
                for (place, byte) in model[begin as usize..].iter_mut().zip(&data) {
                    *place = Some(*byte);
                }
                sent += 1;
            }
            for _ in 0..sent {
                assert_eq!(reply(&mut socket).1, None, "round {round}");
            }
        }
        model
    };
    let models: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || work(client))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let bytes = ram.bytes();
    for (client, model) in models.iter().enumerate() {
        let lost =
            model.iter().zip(&bytes).position(|(model, byte)| model.is_some_and(|model| model != *byte));
        assert_eq!(lost, None, "client {client} lost a byte");
    }
}

#[test]
fn a_whole_write_to_a_block_waits_for_the_partial_one_that_reads_it() {
    let ram = Ram::held(geometry());
    let server = Running::over(&ram);
    let (mut partial, mut whole) = (any_byte(&server), any_byte(&server));
    send(&mut partial, Command::Write, 1, BLOCK + 100, &[7; 50]);
    assert_eq!(until_asked(&ram, 1), [asked(Op::Read, 1)]);
    send(&mut whole, Command::Write, 2, BLOCK, &[9; BLOCK as usize]);
    // The twin: a write to another block of the same client goes at once.
    send(&mut whole, Command::Write, 3, 2 * BLOCK, &[9; BLOCK as usize]);
    assert_eq!(until_asked(&ram, 2)[1], asked(Op::Write, 2), "the whole write did not wait");
    ram.release();
    assert_eq!(reply(&mut whole), (3, None));
    assert_eq!(until_asked(&ram, 3)[2], asked(Op::Write, 1), "the partial write goes on");
    assert_eq!(ram.waiting(), 1, "the whole write did not wait");
    ram.release();
    assert_eq!(reply(&mut partial), (1, None));
    assert_eq!(until_asked(&ram, 4)[3], asked(Op::Write, 1));
    ram.release();
    assert_eq!(reply(&mut whole), (2, None));
    assert!(ram.bytes()[BLOCK as usize..3 * BLOCK as usize].iter().all(|byte| *byte == 9));
}

#[test]
fn a_partial_write_reads_its_block_after_the_whole_one_that_came_before() {
    let ram = Ram::held(geometry());
    let server = Running::over(&ram);
    let (mut partial, mut whole) = (any_byte(&server), any_byte(&server));
    for (command, cookie) in [(Command::Write, 1), (Command::WriteZeroes, 2)] {
        let before = ram.log().len();
        send(&mut whole, command, cookie, BLOCK, &[cookie as u8; BLOCK as usize]);
        until_asked(&ram, before + 1);
        send(&mut partial, Command::Write, 8, BLOCK + 100, &[7; 50]);
        // A read of the same client comes behind it, and shows that the server has seen it.
        send(&mut partial, Command::Read, 9, 0, &[0; 512]);
        let log = until_asked(&ram, before + 2);
        assert_eq!(log[before + 1], asked(Op::Read, 0), "the block was read too early");
        ram.release();
        assert_eq!(reply(&mut whole), (cookie, None));
        assert_eq!(reply(&mut partial), (9, None));
        partial.read_exact(&mut [0; 512]).unwrap();
        assert_eq!(until_asked(&ram, before + 3)[before + 2], asked(Op::Read, 1));
        ram.release();
        assert_eq!(until_asked(&ram, before + 4)[before + 3], asked(Op::Write, 1));
        ram.release();
        assert_eq!(reply(&mut partial), (8, None));
        let byte = u8::from(command == Command::Write);
        let mut model = [byte; BLOCK as usize];
        model[100..150].fill(7);
        assert_eq!(ram.bytes()[BLOCK as usize..2 * BLOCK as usize], model);
    }
}

#[test]
fn two_exports_of_one_device_know_of_each_others_writes() {
    let ram = Ram::held(geometry());
    let server = Server::bind(&[], vec![export("disk", &ram), export("again", &ram)], 1).unwrap();
    let exports = &server.0.protocol.exports;
    assert!(Arc::ptr_eq(&exports[0].guard, &exports[1].guard));
}

#[test]
fn a_write_with_parts_of_blocks_at_both_ends_is_one_write_with_its_flags() {
    let ram = Ram::new(geometry(), Manner::Inline);
    ram.store.bytes.lock().unwrap().copy_from_slice(&noise(3, SIZE));
    let mut model = ram.bytes();
    let server = Running::over(&ram);
    let mut socket = any_byte(&server);
    let data = noise(4, 10_000);
    let flags = CommandFlags::FUA;
    let header = Request { flags, ..request(Command::Write, 1, 5000, 10_000) };
    socket.write_all(&header.encode()).unwrap();
    socket.write_all(&data).unwrap();
    assert_eq!(reply(&mut socket), (1, None));
    model[5000..15_000].copy_from_slice(&data);
    assert!(ram.bytes() == model);
    let write = Asked { op: Op::Write, flags: Flags::FUA, offset: BLOCK, len: 3 * BLOCK };
    assert_eq!(ram.log(), [asked(Op::Read, 1), asked(Op::Read, 3), write]);
}

/// How many bytes are zero.
fn zeros(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(*byte == 0)).sum()
}

#[test]
fn zeroes_write_parts_of_blocks_and_trims_leave_them_alone() {
    let ram = Ram::new(geometry(), Manner::Inline);
    ram.store.bytes.lock().unwrap().fill(5);
    let server = Running::over(&ram);
    let mut socket = any_byte(&server);
    let zeroes = |from: usize, to: usize, socket: &mut std::os::unix::net::UnixStream| {
        socket
            .write_all(&request(Command::WriteZeroes, 1, from as u64, (to - from) as u32).encode())
            .unwrap();
        assert_eq!(reply(socket), (1, None));
        let bytes = ram.bytes();
        assert!(bytes[from..to].iter().all(|byte| *byte == 0), "{from} to {to}");
        assert_eq!(zeros(&bytes), to - from, "{from} to {to}");
        ram.store.bytes.lock().unwrap().fill(5);
    };
    for (from, to) in [(100, 20_000), (4096, 5000), (5000, 8192), (5000, 5001), (4000, 4100), (4095, 12_289)]
    {
        zeroes(from, to, &mut socket);
    }
    socket.write_all(&request(Command::Trim, 2, 100, 20_000).encode()).unwrap();
    assert_eq!(reply(&mut socket), (2, None));
    let bytes = ram.bytes();
    assert!(bytes[4096..16_384].iter().all(|byte| *byte == 0));
    assert_eq!(zeros(&bytes), 16_384 - 4096);
    let asked = ram.log().len();
    // Less than a block: nothing to trim. A fast zero of parts of blocks is not fast.
    socket.write_all(&request(Command::Trim, 3, 100, 4000).encode()).unwrap();
    assert_eq!(reply(&mut socket), (3, None));
    let flags = CommandFlags::FAST_ZERO;
    let fast = Request { flags, ..request(Command::WriteZeroes, 4, 100, 20_000) };
    socket.write_all(&fast.encode()).unwrap();
    assert_eq!(reply(&mut socket), (4, Some(ErrorNumber::NotSup)));
    assert_eq!(ram.log().len(), asked);
}

#[test]
fn long_requests_go_piece_by_piece_and_other_replies_wait_for_the_last_one() {
    const LONG: usize = (32 << 20) - 7;
    let size = 40 << 20;
    let geometry = Geometry { logical_block: BLOCK as u32, ..able(size) };
    let ram = Ram::later(geometry, Duration::from_micros(200), 11);
    let server = Running::over(&ram);
    let mut socket = any_byte(&server);
    let data = noise(13, 1 << 20).repeat(32)[..LONG].to_vec();
    send(&mut socket, Command::Write, 1, 4099, &data);
    assert_eq!(reply(&mut socket), (1, None));
    assert!(ram.bytes()[4099..4099 + LONG] == data[..]);
    socket.write_all(&request(Command::Read, 2, 4099, LONG as u32).encode()).unwrap();
    for cookie in 3..20 {
        socket.write_all(&request(Command::Read, cookie, cookie * 1000, 100).encode()).unwrap();
    }
    let mut cookies = Vec::new();
    for _ in 2..20 {
        let (cookie, error) = reply(&mut socket);
        assert_eq!(error, None);
        let (at, len) = if cookie == 2 { (4099, LONG) } else { (cookie as usize * 1000, 100) };
        let mut got = vec![0; len];
        socket.read_exact(&mut got).unwrap();
        assert!(got == ram.store.bytes.lock().unwrap()[at..at + len], "cookie {cookie}");
        cookies.push(cookie);
    }
    cookies.sort_unstable();
    assert_eq!(cookies, (2..20).collect::<Vec<_>>());
    assert!(ram.log().iter().all(|asked| asked.len <= u64::from(LONGEST)));
}

#[test]
fn a_long_request_that_fails_on_its_way_ends_so() {
    let size = 40 << 20;
    let ram = Ram::new(able(size), Manner::FailsFrom(16 << 20));
    let server = Running::over(&ram);
    let mut socket = any_byte(&server);
    // A write is answered with its error once all of its data is there.
    send(&mut socket, Command::Write, 1, 1, &noise(1, 1 << 20).repeat(32));
    assert_eq!(reply(&mut socket), (1, Some(ErrorNumber::Io)));
    // A read that has begun can only be torn (section "Simple reply message").
    socket.write_all(&request(Command::Read, 2, 0, 32 << 20).encode()).unwrap();
    assert_eq!(reply(&mut socket), (2, None));
    let mut got = Vec::new();
    let _ = socket.read_to_end(&mut got);
    assert_eq!(got.len(), 16 << 20);
    // One that fails at once is answered.
    let mut client: Client = server.client();
    let error = client.read(16 << 20, &mut [0; 512]);
    assert!(matches!(error, Err(ClientError::Server(ErrorNumber::Io))), "{error:?}");
}

#[test]
fn a_client_that_leaves_does_not_block_the_writes_of_others() {
    let ram = Ram::held(geometry());
    let server = Running::over(&ram);
    let (mut gone, mut stays) = (any_byte(&server), any_byte(&server));
    send(&mut gone, Command::Write, 1, 100, &[7; 50]);
    until_asked(&ram, 1);
    send(&mut gone, Command::Write, 2, 200, &[7; 50]);
    send(&mut stays, Command::Write, 3, 300, &[7; 50]);
    drop(gone);
    for count in 2..=6 {
        ram.release();
        until_asked(&ram, count);
    }
    ram.release();
    assert_eq!(reply(&mut stays), (3, None));
    assert!(ram.bytes()[300..350].iter().all(|byte| *byte == 7));
}

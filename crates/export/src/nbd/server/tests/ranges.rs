//! Long zeroings and trims. Oracle: the device's log, which counts the pieces that come before a short request's.

use std::io::Write;
use std::os::unix::net::UnixStream;

use udm_block::{Flags, Geometry, Op, Sectors, Status};

use super::super::range::LONGEST_PIECE;
use super::super::ranges::PIECES;
use super::support::*;
use crate::serving::DEPTH;
use udm_backend::nbd::client::Client;
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber};

const SIZE: usize = 64 << 20;
/// A long zeroing, of 32 pieces.
const LONG: u32 = 16 << 20;

/// A device without an operation for zeros, which holds what comes.
fn held() -> Arc<Ram> {
    Ram::held(Geometry::plain(Sectors::in_bytes(SIZE as u64)))
}

/// Sends `count` long zeroings.
fn send_long(socket: &mut UnixStream, count: usize) {
    for cookie in 0..count {
        let offset = (cookie % 4) as u64 * u64::from(LONG);
        socket.write_all(&request(Command::WriteZeroes, cookie as u64, offset, LONG).encode()).unwrap();
    }
}

/// Waits until the device gets nothing more.
fn until_quiet(ram: &Ram) {
    until("the device has pieces", || ram.waiting() > 0);
    let mut before = 0;
    while ram.waiting() != before {
        before = ram.waiting();
        thread::sleep(Duration::from_millis(30));
    }
}

/// Ends pieces until the device has been asked for one of 4096 bytes: how many came before it.
fn pieces_before_the_short_one(ram: &Ram) -> usize {
    for _ in 0..10_000 {
        if let Some(at) = ram.log().iter().position(|asked| asked.len == 4096) {
            return at;
        }
        ram.release();
        thread::sleep(Duration::from_micros(100));
    }
    panic!("the short request never reached the device");
}

/// Ends pieces, one round after another, until no client is left.
fn end_all(server: &Running, ram: &Ram) {
    until("all clients have left", || {
        ram.release();
        server.core.clients().is_empty()
    });
}

#[test]
fn a_short_zeroing_waits_for_no_other_clients_long_ones() {
    let ram = held();
    let server = Running::over(&ram);
    let (mut long, mut short) = (server.raw(), server.raw());
    send_long(&mut long, 100);
    until_quiet(&ram);
    let waiting = ram.waiting();
    short.write_all(&request(Command::WriteZeroes, 1, 4096, 4096).encode()).unwrap();
    let pieces = pieces_before_the_short_one(&ram);
    println!("{pieces} pieces came before the short request");
    assert!(waiting <= PIECES, "one client has {waiting} pieces under way");
    assert!(pieces <= 2 * PIECES, "{pieces} pieces of a client came before another client's one");
    drop((long, short));
    end_all(&server, &ram);
}

#[test]
fn a_short_zeroing_waits_for_one_piece_of_each_long_one_of_its_client() {
    let ram = held();
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_long(&mut socket, 100);
    socket.write_all(&request(Command::WriteZeroes, 1000, 4096, 4096).encode()).unwrap();
    until_quiet(&ram);
    let pieces = pieces_before_the_short_one(&ram);
    println!("{pieces} pieces came before the short request");
    assert!(pieces <= 100 + PIECES, "{pieces} pieces came before the short one's turn");
    drop(socket);
    end_all(&server, &ram);
}

#[test]
fn a_client_that_goes_leaves_none_of_its_zeroing() {
    // With the full depth nothing more is received: the hang-up is noticed all the same.
    for count in [1, 20, DEPTH] {
        let ram = held();
        let server = Running::over(&ram);
        let mut socket = server.raw();
        send_long(&mut socket, count);
        until_quiet(&ram);
        drop(socket);
        thread::sleep(Duration::from_millis(30));
        end_all(&server, &ram);
        let pieces = ram.log().len();
        assert!(pieces <= PIECES, "{count} zeroings: {pieces} pieces, some after the client had gone");
    }
}

#[test]
fn a_stop_leaves_none_of_the_zeroing_and_says_so() {
    let ram = held();
    let mut server = Running::over(&ram);
    let mut socket = server.raw();
    send_long(&mut socket, 20);
    until_quiet(&ram);
    let pieces = thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop());
        let answers: Vec<_> = (0..20 - ram.waiting()).map(|_| reply(&mut socket)).collect();
        assert!(answers.iter().all(|(_, error)| *error == Some(ErrorNumber::Shutdown)), "{answers:?}");
        ram.release();
        (0..20 - answers.len()).for_each(|_| assert_eq!(reply(&mut socket).1, Some(ErrorNumber::Shutdown)));
        stopping.join().unwrap();
        ram.log().len()
    });
    assert!(pieces <= PIECES, "{pieces} pieces, some after the stop");
}

#[test]
fn a_client_that_says_goodbye_and_stays_gets_its_zeroing() {
    let ram = held();
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_long(&mut socket, 20);
    socket.write_all(&request(Command::Disc, 0, 0, 0).encode()).unwrap();
    until_quiet(&ram);
    end_all(&server, &ram);
    (0..20).for_each(|_| assert_eq!(reply(&mut socket).1, None));
    assert!(is_hung_up(&mut socket));
    // The twin: one that goes meanwhile does not.
    let ram = held();
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_long(&mut socket, 20);
    socket.write_all(&request(Command::Disc, 0, 0, 0).encode()).unwrap();
    until_quiet(&ram);
    drop(socket);
    thread::sleep(Duration::from_millis(30));
    end_all(&server, &ram);
    assert!(ram.log().len() <= PIECES, "{} pieces", ram.log().len());
}

#[test]
fn a_device_with_operations_of_its_own_gets_pieces_too_and_one_flush_for_all_of_a_fua() {
    let size = 3 * LONGEST_PIECE;
    let ram = Ram::new(able(size as usize), Manner::Inline);
    let server = Running::over(&ram);
    let mut client = Client::connect(&server.address, "disk").unwrap();
    let begin = 512;
    let len = (size - 4096) as u32;
    client.write(0, &noise(1, 4096), false).unwrap();
    client.write_zeroes(begin, u64::from(len), CommandFlags::FUA | CommandFlags::NO_HOLE).unwrap();
    client.trim(begin, u64::from(len)).unwrap();
    let log = ram.log().split_off(1);
    let borders = [begin, LONGEST_PIECE, 2 * LONGEST_PIECE, begin + u64::from(len)];
    for (op, flags, found) in
        [(Op::WriteZeroes, Flags::NO_UNMAP, &log[..3]), (Op::Discard, Flags::NONE, &log[4..])]
    {
        let pieces: Vec<_> = borders
            .windows(2)
            .map(|part| Asked { op, flags, offset: part[0], len: part[1] - part[0] })
            .collect();
        assert_eq!(found, pieces);
    }
    assert_eq!(log[3].op, Op::Flush);
    assert!(ram.bytes()[512..].iter().all(|byte| *byte == 0));
    client.disconnect().unwrap();
}

#[test]
fn an_error_ends_a_long_zeroing_at_its_piece() {
    let ram = Ram::new(Geometry::plain(Sectors::in_bytes(SIZE as u64)), Manner::Fails(Status::Medium));
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_long(&mut socket, 1);
    assert_eq!(reply(&mut socket), (0, Some(ErrorNumber::Io)));
    assert_eq!(ram.log().len(), 1);
}

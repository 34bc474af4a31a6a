//! Clients that lie. Oracle: the server answers or hangs up, serves the next client, and the device sees no request
//! that it could not take.

use std::io::{Read, Write};
use std::time::Instant;

use super::support::*;
use crate::nbd::server::*;
use udm_nbd::wire::{Command, ErrorNumber, Request};

const SIZE: usize = 1 << 20;

fn server() -> (Running, Arc<Ram>) {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    (Running::over(&ram), ram)
}

#[test]
fn a_wrong_magic_ends_the_connection() {
    let (server, ram) = server();
    for at in 0..4 {
        let mut socket = server.raw();
        let mut header = request(Command::Write, 1, 0, 512).encode();
        header[at] ^= 1;
        socket.write_all(&header).unwrap();
        assert!(is_hung_up(&mut socket));
    }
    assert_eq!(ram.log(), []);
}

#[test]
fn garbage_after_the_handshake_ends_the_connection() {
    let (server, ram) = server();
    for seed in 0..20 {
        println!("seed {seed}");
        let mut socket = server.raw();
        let _ = socket.write_all(&noise(seed, 1 << 20));
        assert!(is_hung_up(&mut socket));
    }
    assert_eq!(ram.log(), []);
}

#[test]
fn garbage_in_the_handshake_ends_the_connection() {
    let (server, _) = server();
    for seed in 0..200 {
        println!("seed {seed}");
        let mut state = seed;
        let mut bytes = b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0".to_vec();
        let at = dice(&mut state, bytes.len() as u64) as usize;
        bytes[at] = dice(&mut state, 256) as u8;
        bytes.extend(noise(seed, 1 << 16));
        let mut socket = server.socket();
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut all = Vec::new();
        match socket.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
    server.wait_until_empty();
}

#[test]
fn five_thousand_random_headers_are_answered_or_end_the_connection() {
    let (server, ram) = server();
    let mut seed = 41;
    println!("seed {seed}");
    let mut socket = server.raw();
    let (mut answers, mut hangups) = (0, 0);
    for cookie in 0..5000 {
        let request = random_request(&mut seed, cookie);
        let mut header = request.encode();
        let breaks = dice(&mut seed, 100) == 0;
        if breaks {
            header[dice(&mut seed, 4) as usize] ^= 1 << dice(&mut seed, 8);
        }
        let too_long = request.command == Command::Write && request.length > 128 << 20;
        let is_end = breaks || too_long || request.command == Command::Disc;
        let _ = socket.write_all(&header);
        if is_end {
            assert!(is_hung_up(&mut socket), "{request:?}");
            socket = server.raw();
            hangups += 1;
            continue;
        }
        if request.command == Command::Write {
            socket.write_all(&vec![0xEE; request.length as usize]).unwrap();
        }
        let (answered, error) = reply(&mut socket);
        assert_eq!(answered, cookie, "{request:?}");
        if request.command == Command::Read && error.is_none() {
            socket.read_exact(&mut vec![0; request.length as usize]).unwrap();
        }
        answers += 1;
    }
    assert!(answers > 2000 && hangups > 100, "{answers} answers, {hangups} hang-ups");
    for asked in ram.log() {
        let end = asked.offset + asked.len;
        assert!(asked.offset.is_multiple_of(512) && asked.len.is_multiple_of(512) && end <= SIZE as u64);
    }
}

/// A request with each field random, or near to where it matters.
fn random_request(seed: &mut u64, cookie: u64) -> Request {
    let mut number = |of: &[u64]| {
        let one = of[dice(seed, of.len() as u64) as usize];
        match dice(seed, 4) {
            0 => udm_block::memory::splitmix64(seed),
            1 => one.wrapping_add(dice(seed, 3)).wrapping_sub(1),
            2 => one,
            _ => dice(seed, 64) * 512,
        }
    };
    let offset = number(&[0, 512, SIZE as u64, SIZE as u64 - 512, u64::MAX, 1 << 63]);
    let length = number(&[0, 512, SIZE as u64, u64::from(LONGEST), 8 << 20, u64::from(u32::MAX)]) as u32;
    let command = Command::from_wire(match dice(seed, 10) {
        0 => dice(seed, 65536) as u16,
        _ => dice(seed, 9) as u16,
    });
    // What must be skipped takes its time: long ones are rare.
    let length = if command == Command::Write && length < 128 << 20 { length % (2 << 20) } else { length };
    let flags = if dice(seed, 2) == 0 { 0 } else { dice(seed, 64) as u16 };
    let flags = udm_nbd::wire::CommandFlags::from_bits_retain(flags);
    Request { flags, command, cookie, offset, length }
}

#[test]
fn a_write_that_is_too_long_is_skipped_or_ends_the_connection() {
    let (server, ram) = server();
    let mut socket = server.raw();
    socket.write_all(&request(Command::Write, 1, 0, 128 << 20).encode()).unwrap();
    for _ in 0..128 {
        socket.write_all(&vec![1; 1 << 20]).unwrap();
    }
    assert_eq!(reply(&mut socket), (1, Some(ErrorNumber::NoSpc)));
    socket.write_all(&request(Command::Read, 2, 0, 512).encode()).unwrap();
    assert_eq!(reply(&mut socket), (2, None));
    socket.read_exact(&mut [0; 512]).unwrap();
    socket.write_all(&request(Command::Write, 3, 0, (128 << 20) + 1).encode()).unwrap();
    assert!(is_hung_up(&mut socket));
    assert_eq!(ram.log().len(), 1);
}

#[test]
fn who_is_slow_in_the_handshake_is_hung_up_on() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::with(vec![export("disk", &ram)], |core| {
        core.patience.handshake = Duration::from_millis(100);
    });
    let began = Instant::now();
    let mut silent = server.socket();
    let mut drips = server.socket();
    for byte in b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0" {
        if drips.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    for socket in [&mut silent, &mut drips] {
        let mut greeting = Vec::new();
        let _ = socket.read_to_end(&mut greeting);
        assert_eq!(greeting.len(), 18);
    }
    assert!((100..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    // Who floods it, and never waits, is no better off.
    let began = Instant::now();
    let mut floods = server.socket();
    floods.write_all(b"\0\0\0\x03").unwrap();
    let option = [&b"IHAVEOPT\0\0\0\x63\x00\xFF\0\0"[..], &vec![0; 0x00FF_0000]].concat();
    while floods.write_all(&option).is_ok() {
        assert!(began.elapsed() < PATIENT);
    }
    server.client().read(0, &mut [0; 512]).unwrap();
}

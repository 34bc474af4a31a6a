//! Nobody spins. Oracle: the time that the system says a client's thread had a processor.

use std::io::Write;
use std::net::Shutdown;

use super::support::*;
use udm_nbd::wire::Command;

const SIZE: usize = 16 << 20;

/// Asserts that the thread that asked the device last is at rest.
fn at_rest(ram: &Ram, what: &str) {
    thread::sleep(Duration::from_millis(50));
    let before = ram.time_of_thread();
    thread::sleep(Duration::from_millis(300));
    let spent = ram.time_of_thread().saturating_sub(before);
    assert!(spent < Duration::from_millis(10), "{what}: {spent:?} of 300 ms");
}

fn send_reads(socket: &mut impl Write, count: u64, length: u32) {
    let reads: Vec<u8> =
        (0..count).flat_map(|cookie| request(Command::Read, cookie, 0, length).encode()).collect();
    socket.write_all(&reads).unwrap();
}

#[test]
fn with_an_idle_client() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let mut client = server.client();
    client.read(0, &mut [0; 512]).unwrap();
    at_rest(&ram, "an idle client");
}

#[test]
fn with_a_client_that_hung_up_while_requests_are_under_way() {
    for how in [None, Some(Shutdown::Write), Some(Shutdown::Both)] {
        let ram = Ram::held(able(SIZE));
        let server = Running::over(&ram);
        let mut socket = server.raw();
        send_reads(&mut socket, 4, 4096);
        until("the device has all", || ram.waiting() == 4);
        let kept = how.map(|how| socket.shutdown(how).map(|()| socket.try_clone().unwrap()).unwrap());
        drop(socket);
        at_rest(&ram, "a client that is half gone");
        ram.release();
        drop(kept);
    }
}

#[test]
fn with_a_client_that_sends_while_requests_are_held_for_memory() {
    let ram = Ram::held(able(SIZE));
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_reads(&mut socket, 100, LONGEST);
    until("the memory is taken", || ram.waiting() == 2);
    at_rest(&ram, "a client whose requests are held");
    drop(socket);
    at_rest(&ram, "a client that left while requests are held");
    assert_eq!(ram.waiting(), 2);
    ram.release();
}

#[test]
fn with_a_client_that_reads_nothing() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_reads(&mut socket, 128, 1 << 20);
    at_rest(&ram, "a client that reads nothing");
    socket.shutdown(Shutdown::Write).unwrap();
    at_rest(&ram, "a client that reads nothing and sends nothing more");
}

#[test]
fn with_as_many_requests_as_there_can_be() {
    let ram = Ram::held(able(SIZE));
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_reads(&mut socket, 1000, 512);
    until("the device has all", || ram.waiting() == DEPTH);
    at_rest(&ram, "a client that sent more than the depth");
    drop(socket);
    at_rest(&ram, "the same, gone");
    ram.release();
}

#[test]
fn inside_the_data_of_a_write() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let mut socket = server.raw();
    send_reads(&mut socket, 1, 512);
    socket.write_all(&request(Command::Write, 1, 0, 8192).encode()).unwrap();
    socket.write_all(&[0; 100]).unwrap();
    until("the read is at the device", || !ram.log().is_empty());
    at_rest(&ram, "half a write");
}

//! Clients that vanish. Oracle: the next client is served, nothing of a half-received write is on the device, and every
//! thread and bio comes home.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use udm_block::{Bio, Channel, ChannelId, Device, Dispatch, Geometry, OpenError, Opening};

use super::support::*;
use crate::nbd::server::*;
use udm_nbd::wire::{Command, Request};

const SIZE: usize = 16 << 20;
/// Longer than any of these takes unless something waits in vain.
const SHORT: Duration = Duration::from_secs(2);

fn served(server: &Running) {
    let mut client = server.client();
    client.read(0, &mut [0; 4096]).unwrap();
    client.disconnect().unwrap();
    let began = Instant::now();
    server.wait_until_empty();
    assert!(began.elapsed() < SHORT, "a client's thread took {:?} to end", began.elapsed());
}

#[test]
fn three_hundred_clients_one_after_the_other() {
    let ram = Ram::later(able(SIZE), Duration::ZERO, 1);
    let server = Running::with(vec![export("disk", &ram)], |core| core.max_connections = 1);
    for round in 0..300 {
        let mut client = server.client();
        client.read(0, &mut [0; 4096]).unwrap();
        if round % 2 == 0 {
            client.disconnect().unwrap();
        } else {
            drop(client);
        }
        server.wait_until_empty();
        until("the connection slot is free", || server.core.slots_taken.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn in_the_handshake_and_inside_a_header() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let bytes = b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x0a\0\0\0\x04disk\0\0";
    for sent in [0, 1, 4, 5, 20, 21, bytes.len() - 1] {
        let mut socket = server.socket();
        socket.write_all(&bytes[..sent]).unwrap();
        drop(socket);
    }
    for sent in [1, 4, 27] {
        let mut socket = server.raw();
        socket.write_all(&request(Command::Read, 1, 0, 512).encode()[..sent]).unwrap();
        drop(socket);
    }
    served(&server);
    assert_eq!(ram.log().len(), 1);
}

#[test]
fn inside_the_data_of_a_write_nothing_of_which_reaches_the_device() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    for length in [512, 8192, 1 << 20] {
        for sent in [0, 1, 511, length - 1] {
            let mut socket = server.raw();
            socket.write_all(&request(Command::Write, 1, 0, length).encode()).unwrap();
            socket.write_all(&vec![0xFF; sent as usize]).unwrap();
        }
    }
    served(&server);
    assert_eq!(ram.log().len(), 1);
    assert!(ram.bytes().iter().all(|byte| *byte == 0));
}

#[test]
fn with_requests_under_way_that_the_device_ends_later() {
    let ram = Ram::held(able(SIZE));
    let server = Running::over(&ram);
    let mut socket = server.raw();
    for cookie in 0..8 {
        let (read, write) =
            (request(Command::Read, cookie, 0, 4096), request(Command::Write, cookie, 512, 512));
        socket.write_all(&read.encode()).unwrap();
        socket.write_all(&write.encode()).unwrap();
        socket.write_all(&[7; 512]).unwrap();
    }
    until("the device has all", || ram.waiting() == 16);
    drop(socket);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(server.core.clients().len(), 1, "a client's thread ended before its bios did");
    let began = Instant::now();
    ram.release();
    server.wait_until_empty();
    assert!(began.elapsed() < SHORT);
    assert_eq!(ram.bytes()[512..1024], [7; 512]);
}

#[test]
fn with_replies_that_it_never_read() {
    let ram = Ram::later(able(SIZE), Duration::from_millis(1), 2);
    let server = Running::over(&ram);
    for length in [4096, 1 << 20] {
        let mut socket = server.raw();
        for cookie in 0..32 {
            socket.write_all(&request(Command::Read, cookie, 0, length).encode()).unwrap();
        }
        thread::sleep(Duration::from_millis(20));
        drop(socket);
        let began = Instant::now();
        server.wait_until_empty();
        assert!(began.elapsed() < SHORT);
    }
    served(&server);
}

#[test]
fn with_a_reset() {
    let ram = Ram::later(able(SIZE), Duration::from_millis(5), 2);
    let server = Running::tcp(&ram);
    let Address::Tcp { host, port } = &server.address else { panic!("not TCP") };
    assert_ne!(*port, 0, "the system gave no port");
    for requests in [0, 1, 40] {
        let mut socket = TcpStream::connect((host.as_str(), *port)).unwrap();
        shake_hands(&mut socket);
        for cookie in 0..requests {
            socket.write_all(&request(Command::Read, cookie, 0, 1 << 20).encode()).unwrap();
        }
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&socket, linger).unwrap();
    }
    let began = Instant::now();
    server.wait_until_empty();
    assert!(began.elapsed() < SHORT);
    served(&server);
}

#[test]
fn a_disconnect_is_obeyed_when_what_came_before_has_ended() {
    let ram = Ram::held(able(SIZE));
    let server = Running::over(&ram);
    let mut socket = server.raw();
    let write = request(Command::Write, 1, 0, 512);
    socket.write_all(&[&write.encode()[..], &[9; 512]].concat()).unwrap();
    socket.write_all(&request(Command::Disc, 2, 0, 0).encode()).unwrap();
    until("the device has the write", || ram.waiting() == 1);
    thread::sleep(Duration::from_millis(20));
    let began = Instant::now();
    ram.release();
    assert_eq!(reply(&mut socket), (1, None));
    assert!(is_hung_up(&mut socket));
    assert!(began.elapsed() < SHORT, "it took {:?} to hang up", began.elapsed());
}

#[test]
fn who_closes_one_half_still_gets_the_replies() {
    let ram = Ram::held(able(SIZE));
    let server = Running::over(&ram);
    let mut socket = server.raw();
    let reads: Vec<u8> = (0..4).flat_map(|cookie| request(Command::Read, cookie, 0, 4096).encode()).collect();
    socket.write_all(&reads).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    until("the device has all", || ram.waiting() == 4);
    thread::sleep(Duration::from_millis(20));
    ram.release();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 4 * (16 + 4096));
}

#[test]
fn a_device_that_is_slower_than_the_servers_patience_costs_no_reply() {
    let ram = Ram::held(able(SIZE));
    let server = Running::with(vec![export("disk", &ram)], |core| {
        core.patience.goodbye = Duration::from_millis(30);
    });
    let mut socket = server.raw();
    socket.write_all(&request(Command::Read, 1, 0, 4096).encode()).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    until("the device has it", || ram.waiting() == 1);
    thread::sleep(Duration::from_millis(100));
    ram.release();
    assert_eq!(reply(&mut socket), (1, None));
}

#[test]
fn a_fault_of_a_device_ends_one_connection_and_no_other() {
    let ram = Ram::new(able(SIZE), Manner::Faulty);
    let server = Running::over(&ram);
    let mut other = server.client();
    let mut socket = server.raw();
    let reads: Vec<u8> =
        [0, 7 * 512, 512].iter().flat_map(|at| request(Command::Read, 1, *at, 512).encode()).collect();
    socket.write_all(&reads).unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(began.elapsed() < SHORT, "it took {:?} to hang up", began.elapsed());
    other.read(0, &mut [0; 512]).unwrap();
    other.disconnect().unwrap();
    served(&server);
}

#[test]
fn a_fault_while_others_are_under_way_leaves_nothing_to_the_next_client() {
    let faulty = Ram::new(able(SIZE), Manner::Faulty);
    let held = Ram::held(able(SIZE));
    let device = Arc::new(Either { held: Arc::clone(&held), faulty });
    let export = Export::new("disk", "", device, false);
    let server = Running::with(vec![export], |_| {});
    let mut socket = server.raw();
    let reads = [0, 7 * 512].map(|at| Request::encode(request(Command::Read, 1, at, 512)));
    socket.write_all(&reads[0]).unwrap();
    until("the device has the first", || held.waiting() == 1);
    socket.write_all(&reads[1]).unwrap();
    thread::sleep(Duration::from_millis(50));
    let mut next = server.raw();
    held.release();
    next.write_all(&reads[0]).unwrap();
    until("the device has the next client's", || held.waiting() == 1);
    held.release();
    assert_eq!(reply(&mut next), (1, None));
    next.read_exact(&mut [0; 512]).unwrap();
    drop((next, socket));
    server.wait_until_empty();
}

/// Sends sector 7 to a device with a fault, and the rest to one that holds it.
struct Either {
    held: Arc<Ram>,
    faulty: Arc<Ram>,
}

impl Device for Either {
    fn geometry(&self) -> Geometry {
        self.held.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let [held, faulty] = [&self.held, &self.faulty].map(|ram| opening.open(&(Arc::clone(ram) as _)));
        Ok(Box::new(EitherChannel { held: held?, faulty: faulty? }))
    }
}

struct EitherChannel {
    held: ChannelId,
    faulty: ChannelId,
}

impl Channel for EitherChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.submit(if bio.sector().0 == 7 { self.faulty } else { self.held }, bio);
    }
}

//! The server's end. Oracle: every request that reached the device is answered, and the end comes in time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::support::*;
use crate::nbd::server::*;
use udm_nbd::wire::{Command, SimpleReply};

const SIZE: usize = 16 << 20;
const SHORT: Duration = Duration::from_secs(2);

#[test]
fn with_idle_clients_in_every_phase() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let mut server = Running::over(&ram);
    let sockets = [server.socket(), server.socket(), server.raw(), server.raw()];
    (&sockets[1]).write_all(b"\0\0\0\x03IHAVE").unwrap();
    (&sockets[3]).write_all(&request(Command::Write, 1, 0, 4096).encode()).unwrap();
    until("all are connected", || {
        server.core.clients().len() == 2 && server.core.negotiating.load(Ordering::SeqCst) == 2
    });
    let took = server.stop();
    assert!(took < SHORT, "{took:?}");
    assert!(!server.path.exists(), "the socket's file is left");
    assert_eq!(ram.log(), []);
}

#[test]
fn while_clients_come() {
    // A stop that comes between the acceptance of a client and its first wait must not be lost.
    for round in 0..60 {
        let ram = Ram::new(able(4096), Manner::Inline);
        let mut server = Running::over(&ram);
        let sockets: Vec<_> = (0..4).map(|_| server.socket()).collect();
        thread::sleep(Duration::from_micros(round * 10));
        let took = server.stop();
        assert!(took < SHORT, "{took:?} in round {round}");
        drop(sockets);
    }
}

#[test]
fn with_requests_under_way_which_are_answered() {
    for tcp in [false, true] {
        let ram = Ram::held(able(SIZE));
        let mut server = if tcp { Running::tcp(&ram) } else { Running::over(&ram) };
        let mut client = server.client();
        for cookie in 0..8 {
            client.send_read(cookie, 0, 65536).unwrap();
            client.send_write(100 + cookie, 0, &[1; 512], false).unwrap();
        }
        until("the device has all", || ram.waiting() == 16);
        let stopped = thread::scope(|scope| {
            let stopping = scope.spawn(|| server.stop());
            thread::sleep(Duration::from_millis(50));
            assert!(!stopping.is_finished(), "the server ended before the device did");
            ram.release();
            for _ in 0..16 {
                assert_eq!(client.receive(&mut Vec::new()).unwrap().result, Ok(()));
            }
            stopping.join().unwrap()
        });
        assert!(stopped < SHORT, "{stopped:?}");
    }
}

#[test]
fn with_a_device_that_hangs_and_then_it_says_what_is_left() {
    let ram = Ram::held(able(SIZE));
    let mut server = Running::with(vec![export("disk", &ram)], |core| {
        core.patience.device = Duration::from_millis(200);
    });
    let mut client = server.client();
    for cookie in 0..8 {
        client.send_write(cookie, 0, &[1; 512], false).unwrap();
    }
    until("the device has all", || ram.waiting() == 8);
    let began = Instant::now();
    let error = server.stop_with_error();
    assert!(began.elapsed() < SHORT, "{:?}", began.elapsed());
    assert!(error.contains("none of the last 8 requests of 1 clients"), "{error}");
    // Its thread still waits: the bios are not lost.
    ram.release();
    server.wait_until_empty();
}

#[test]
fn with_a_client_in_the_middle_of_a_long_write() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let mut server = Running::over(&ram);
    let mut sending = server.raw();
    let mut refused = server.raw();
    sending.write_all(&request(Command::Write, 1, 0, LONGEST).encode()).unwrap();
    // The data of a refused write is thrown away, as fast as it comes.
    refused.write_all(&request(Command::Write, 1, 1, 64 << 20).encode()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| while sending.write_all(&[1; 4096]).is_ok() {});
        scope.spawn(|| while refused.write_all(&[1; 4096]).is_ok() {});
        thread::sleep(Duration::from_millis(50));
        let took = server.stop();
        assert!(took < SHORT, "{took:?}");
    });
}

#[test]
fn with_a_client_that_reads_nothing() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let mut server = Running::with(vec![export("disk", &ram)], |core| {
        core.patience.goodbye = Duration::from_millis(200);
    });
    let mut socket = server.raw();
    for cookie in 0..128 {
        socket.write_all(&request(Command::Read, cookie, 0, 1 << 20).encode()).unwrap();
    }
    until("it is under way", || !ram.log().is_empty());
    let took = server.stop();
    assert!((100..1000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn with_a_client_that_never_reads_what_the_handshake_says() {
    let rams: Vec<_> = (0..100).map(|_| Ram::new(able(512), Manner::Inline)).collect();
    let exports =
        rams.iter().enumerate().map(|(index, ram)| export(&format!("{index:0>4000}"), ram)).collect();
    let mut server = Running::with(exports, |_| {});
    let mut socket = server.socket();
    socket.write_all(b"\0\0\0\x03").unwrap();
    for _ in 0..20 {
        socket.write_all(b"IHAVEOPT\0\0\0\x03\0\0\0\0").unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    let took = server.stop();
    assert!(took < SHORT, "{took:?}");
}

#[test]
fn with_a_client_that_goes_on_sending_and_still_gets_all_answers() {
    // Bytes that nobody has read when a socket is closed make the system throw away what is on its way to the client.
    for tcp in [false, true] {
        let ram = Ram::later(able(SIZE), Duration::from_micros(100), 1);
        let mut server = if tcp { Running::tcp(&ram) } else { Running::over(&ram) };
        let (answers, took) = match &server.address {
            Address::Unix(_) => {
                stop_while_sending(server.raw(), |socket| socket.try_clone().unwrap(), &mut server)
            }
            Address::Tcp { host, port } => {
                let mut socket = TcpStream::connect((host.as_str(), *port)).unwrap();
                shake_hands(&mut socket);
                stop_while_sending(socket, |socket| socket.try_clone().unwrap(), &mut server)
            }
        };
        assert!(took < SHORT, "{took:?}");
        assert_eq!(answers, ram.log().len(), "answers to the requests that reached the device");
    }
}

/// Stops the server while one thread sends and another reads slowly: how many answers came, and the time of the stop.
fn stop_while_sending<S: Read + Write + Send>(
    mut socket: S,
    clone: impl Fn(&S) -> S,
    server: &mut Running,
) -> (usize, Duration) {
    let mut reads = clone(&socket);
    let read = request(Command::Read, 2, 0, 65536).encode();
    let both = [&request(Command::Write, 1, 0, 65536).encode()[..], &vec![5; 65536], &read].concat();
    thread::scope(|scope| {
        scope.spawn(move || while socket.write_all(&both).is_ok() {});
        let reader = scope.spawn(move || {
            let mut answers = 0;
            // Writes and reads end out of order: the cookie tells which.
            while let Some(has_data) = next_answer(&mut reads) {
                answers += 1;
                if has_data && reads.read_exact(&mut vec![0; 65536]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_micros(300));
            }
            answers
        });
        thread::sleep(Duration::from_millis(100));
        let took = server.stop();
        (reader.join().unwrap(), took)
    })
}

/// Whether data follows the next answer; `None` at the end.
fn next_answer(socket: &mut impl Read) -> Option<bool> {
    let mut header = [0; SimpleReply::SIZE];
    socket.read_exact(&mut header).ok()?;
    Some(SimpleReply::decode(&header).unwrap().cookie == 2)
}

#[test]
fn a_stop_before_the_start_and_two_stops() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let dir = tempfile::tempdir().unwrap();
    let address = Address::Unix(dir.path().join("socket"));
    let server = Server::bind(&[address], vec![export("disk", &ram)], 1).unwrap();
    server.stopper().stop();
    server.stopper().stop();
    let began = Instant::now();
    server.run().unwrap();
    assert!(began.elapsed() < SHORT);
}

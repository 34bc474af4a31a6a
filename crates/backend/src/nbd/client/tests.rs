//! The client against our own negotiation over a socket pair, with a disk in memory. Oracle: the disk's content, and for
//! what a broken server does, bytes written by hand.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{JoinHandle, spawn};

use super::*;
use udm_nbd::client::{HandshakeError, MAX_IN_FLIGHT};
use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation, Progress};
use udm_nbd::wire::{ErrorNumber, ReplyType, SimpleReply};

const SIZE: usize = 1 << 20;

/// What the server under test does besides serving.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Collect this many requests, then answer them in reverse order.
    reversed: usize,
}

fn exports() -> Vec<ExportInfo> {
    let flags = TransmissionFlags::SEND_FLUSH | TransmissionFlags::SEND_FUA | TransmissionFlags::SEND_TRIM;
    let mut disk = ExportInfo::new("disk", SIZE as u64, flags | TransmissionFlags::SEND_WRITE_ZEROES);
    disk.description = "A disk".into();
    disk.block_sizes = BlockSizes { min: 1, preferred: 4096, max: 64 << 10 };
    vec![disk, ExportInfo::new("bare", 512, TransmissionFlags::READ_ONLY)]
}

/// What a server leaves behind: the disk, and the requests that it got.
type Served = (Vec<u8>, Vec<Request>);

/// Serves one client with a small server that reads and writes from one thread.
fn serve(mut stream: UnixStream, manner: Manner) -> Served {
    let exports = exports();
    let mut disk = vec![0; SIZE];
    let mut requests = Vec::new();
    if !handshake(&mut stream, &exports) {
        return (disk, requests);
    }
    let mut answers: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut header = [0; Request::SIZE];
        if std::io::Read::read_exact(&mut stream, &mut header).is_err() {
            return (disk, requests);
        }
        let request = Request::decode(&header).unwrap();
        requests.push(request);
        if request.command == Command::Disc {
            return (disk, requests);
        }
        let mut data = vec![0; if request.command == Command::Write { request.length as usize } else { 0 }];
        std::io::Read::read_exact(&mut stream, &mut data).unwrap();
        answers.push(carry_out(&mut disk, request, &data));
        if answers.len() >= manner.reversed {
            for answer in answers.drain(..).rev() {
                if stream.write_all(&answer).is_err() {
                    return (disk, requests);
                }
            }
        }
    }
}

fn handshake(stream: &mut UnixStream, exports: &[ExportInfo]) -> bool {
    stream.write_all(&GREETING).unwrap();
    let mut negotiation = Negotiation::new(exports);
    let mut piece = [0; 100];
    loop {
        let length = std::io::Read::read(stream, &mut piece).unwrap();
        let mut rest = &piece[..length];
        while !rest.is_empty() {
            let mut out = Vec::new();
            let step = negotiation.input(rest, &mut out).unwrap();
            stream.write_all(&out).unwrap();
            rest = &rest[step.consumed..];
            match step.progress {
                Progress::Continue => {}
                Progress::Transmission(_) => return true,
                Progress::Closed => return false,
            }
        }
        assert!(length > 0, "the client hung up without NBD_OPT_ABORT");
    }
}

fn carry_out(disk: &mut [u8], request: Request, data: &[u8]) -> Vec<u8> {
    let start = request.offset as usize;
    let range = start..start.saturating_add(request.length as usize);
    let error = match request.command {
        Command::Other(_) => Some(ErrorNumber::Inval),
        _ if range.end > disk.len() => Some(ErrorNumber::Inval),
        _ => None,
    };
    let mut answer = SimpleReply { error, cookie: request.cookie }.encode().to_vec();
    match request.command {
        _ if error.is_some() => {}
        Command::Read => answer.extend_from_slice(&disk[range]),
        Command::Write => disk[range].copy_from_slice(data),
        Command::Trim | Command::WriteZeroes => disk[range].fill(0),
        _ => {}
    }
    answer
}

fn connected(manner: Manner) -> (Client, JoinHandle<Served>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = spawn(move || serve(theirs, manner));
    (Client::over(ours, "disk", Some(DEFAULT_TIMEOUT)).unwrap(), server)
}

#[test]
fn the_export_is_described() {
    let (client, server) = connected(Manner::default());
    assert_eq!(client.size(), SIZE as u64);
    assert_eq!(client.flags(), exports()[0].flags | TransmissionFlags::HAS_FLAGS);
    assert_eq!(client.export().block_sizes, Some(exports()[0].block_sizes));
    client.disconnect().unwrap();
    let (_, requests) = server.join().unwrap();
    assert_eq!(requests.last().map(|request| request.command), Some(Command::Disc));
}

#[test]
fn what_is_written_is_read_back_in_requests_that_the_server_takes() {
    let (mut client, server) = connected(Manner::default());
    let written: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
    client.write(1000, &written, true).unwrap();
    client.flush().unwrap();
    let mut read = vec![0; written.len()];
    client.read(1000, &mut read).unwrap();
    assert_eq!(read, written);
    client.trim(1000, 1000).unwrap();
    client.write_zeroes(2000, 1000, CommandFlags::NO_HOLE | CommandFlags::FUA).unwrap();
    client.read(1000, &mut read).unwrap();
    assert!(read[..2000].iter().all(|&byte| byte == 0) && read[2000..] == written[2000..]);
    client.disconnect().unwrap();

    let (disk, requests) = server.join().unwrap();
    assert_eq!(disk[3000..201_000], written[2000..]);
    assert!(requests.iter().all(|request| request.length <= 64 << 10));
    let fua: Vec<_> = requests.iter().filter(|request| request.flags.contains(CommandFlags::FUA)).collect();
    assert_eq!(fua.len(), 5, "four writes and one of zeroes");
}

#[test]
fn an_error_of_the_server_has_its_name_and_does_not_break_the_connection() {
    let (mut client, server) = connected(Manner::default());
    let error = client.read(SIZE as u64, &mut [0; 512]).unwrap_err();
    assert!(matches!(error, ClientError::Server(ErrorNumber::Inval)));
    assert_eq!(error.to_string(), "the NBD server answered EINVAL");
    let odd =
        Request { flags: CommandFlags::NONE, command: Command::Other(77), cookie: 5, offset: 0, length: 0 };
    client.send(odd, &[]).unwrap();
    let completion = client.receive(&mut Vec::new()).unwrap();
    assert_eq!(completion, Completion { cookie: 5, result: Err(ErrorNumber::Inval) });
    client.read(0, &mut [0; 512]).unwrap();
    client.disconnect().unwrap();
    server.join().unwrap();
}

#[test]
fn what_the_export_does_not_offer_is_not_sent() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = spawn(move || serve(theirs, Manner::default()));
    let mut client = Client::over(ours, "bare", None).unwrap();
    assert!(matches!(client.flush(), Err(ClientError::NotOffered(_))));
    assert!(matches!(client.trim(0, 1), Err(ClientError::NotOffered(_))));
    assert!(matches!(client.write_zeroes(0, 1, CommandFlags::NONE), Err(ClientError::NotOffered(_))));
    let error = client.write(0, b"x", true).unwrap_err();
    assert_eq!(error.to_string(), "the export does not offer SEND_FUA");
    client.disconnect().unwrap();
    assert_eq!(server.join().unwrap().1.len(), 1, "only the disconnect was sent");
}

#[test]
fn a_depth_of_128_is_driven_from_one_thread_and_answered_in_any_order() {
    let (mut client, server) = connected(Manner { reversed: 128 });
    for cookie in 0..128u64 {
        client.send_write(cookie, cookie * 4096, &[cookie as u8 + 1; 4096], false).unwrap();
    }
    let mut data = Vec::new();
    for cookie in (0..128).rev() {
        assert_eq!(client.receive(&mut data).unwrap(), Completion { cookie, result: Ok(()) });
    }
    for cookie in 0..128 {
        client.send_read(cookie, cookie * 4096, 4096).unwrap();
    }
    assert!(matches!(client.flush(), Err(ClientError::Pipeline(PipelineError::InFlight { count: 128 }))));
    for cookie in (0..128).rev() {
        assert_eq!(client.receive(&mut data).unwrap().cookie, cookie);
        assert_eq!(data, [cookie as u8 + 1; 4096]);
    }
    assert!(matches!(client.receive(&mut data), Err(ClientError::Pipeline(PipelineError::NothingInFlight))));
    client.disconnect().unwrap();
    server.join().unwrap();
}

/// The server reads and writes from one thread, so it stops reading while its replies fill the socket. A client that
/// only wrote would wait for it for ever; ours reads meanwhile.
#[test]
fn a_server_that_waits_for_its_replies_to_be_read_does_not_stop_the_client() {
    let (mut client, server) = connected(Manner::default());
    for cookie in 0..64 {
        client.send_read(2 * cookie, 0, 512 << 10).unwrap();
        client.send_write(2 * cookie + 1, 512 << 10, &vec![7; 512 << 10], false).unwrap();
    }
    let mut data = Vec::new();
    for _ in 0..128 {
        let completion = client.receive(&mut data).unwrap();
        assert_eq!(completion.result, Ok(()));
        assert_eq!(data.len(), if completion.cookie.is_multiple_of(2) { 512 << 10 } else { 0 });
    }
    client.disconnect().unwrap();
    server.join().unwrap();
}

/// The bad twin: the same requests to the same server, with no byte read ahead.
#[test]
fn without_reading_ahead_that_server_stops_the_client() {
    let (mut client, server) = connected(Manner::default());
    client.set_timeout(Some(Duration::from_millis(200))).unwrap();
    let flags = CommandFlags::NONE;
    let (offset, length) = (0, 512 << 10);
    let stopped = (0..64).find_map(|cookie| {
        let read = Request { flags, command: Command::Read, cookie, offset, length };
        let write = Request { command: Command::Write, ..read };
        let sent = client.transport.send(&read.encode(), &[], 0);
        sent.and_then(|()| client.transport.send(&write.encode(), &vec![7; 512 << 10], 0)).err()
    });
    assert!(matches!(stopped, Some(ClientError::TimedOut { .. })), "{stopped:?}");
    drop(client);
    server.join().unwrap();
}

#[test]
fn cookies_in_flight_are_unique_and_bounded() {
    let (mut client, server) = connected(Manner { reversed: MAX_IN_FLIGHT });
    for cookie in 0..MAX_IN_FLIGHT as u64 {
        client.send_flush(cookie).unwrap();
        if cookie == 0 {
            assert!(matches!(
                client.send_flush(0),
                Err(ClientError::Pipeline(PipelineError::CookieInUse { cookie: 0 }))
            ));
        }
    }
    let count = MAX_IN_FLIGHT;
    assert!(
        matches!(client.send_flush(9999), Err(ClientError::Pipeline(PipelineError::InFlight { count: found })) if found == count)
    );
    client.disconnect().unwrap();
    assert_eq!(server.join().unwrap().1.len(), MAX_IN_FLIGHT + 1);
}

#[test]
fn an_unknown_export_is_refused_with_the_servers_words() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = spawn(move || serve(theirs, Manner::default()));
    let error = Client::over(ours, "foo", None).unwrap_err();
    assert!(matches!(
        error,
        ClientError::Handshake(HandshakeError::Refused { reply: ReplyType::ErrUnknown, .. })
    ));
    assert_eq!(
        error.to_string(),
        "the NBD server refused NBD_OPT_GO with NBD_REP_ERR_UNKNOWN: there is no export \"foo\"; NBD_OPT_LIST names them"
    );
    server.join().unwrap();
}

#[test]
fn a_unix_socket_and_a_tcp_port_are_connected_to_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nbd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = spawn(move || serve(listener.accept().unwrap().0, Manner::default()));
    let listed = Client::list(&Address::unix(&path).unwrap()).unwrap();
    assert_eq!(listed[0], ListedExport { name: "disk".into(), description: "A disk".into() });
    assert_eq!((listed[1].name.as_str(), listed.len()), ("bare", 2));
    server.join().unwrap();

    // Over TCP, a server that says nothing but the greeting: connected, and refused in time.
    let listener = std::net::TcpListener::bind((udm_nbd::address::LOOPBACK, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || listener.accept().unwrap().0.write_all(&GREETING).unwrap());
    let address: Address = format!(":{port}").parse().unwrap();
    assert!(matches!(Client::connect(&address, ""), Err(ClientError::HungUp { .. })));
    server.join().unwrap();
    // Nobody listens there any more.
    let error = Client::connect(&address, "").unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot connect to tcp:127.0.0.1:{port}: ")), "{error}");
}

/// A server of fixed bytes: the greeting, then `bytes`, then silence until the client hangs up.
fn scripted(bytes: &'static [u8], timeout_ms: u64) -> Result<Client, ClientError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"NBDMAGICIHAVEOPT\0\x03").unwrap();
    theirs.write_all(bytes).unwrap();
    // Kept open beyond the test, which ends first.
    std::mem::forget(theirs);
    Client::over(ours, "x", Some(Duration::from_millis(timeout_ms)))
}

const GO_EXPORT: &[u8] =
    b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x0c\0\0\0\0\0\0\0\0\x02\0\0\x05";

#[test]
fn a_server_that_does_not_keep_to_the_protocol_is_left() {
    let refused = |bytes| scripted(bytes, 2000).unwrap_err();
    // Another option's reply; a reply of absurd length; information of a wrong size; an ACK before any information.
    let unexpected: [&[u8]; 4] = [
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x01\0\0\0\0",
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\xff\xff\xff\xff",
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x04\0\0\0\0",
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x01\0\0\0\0",
    ];
    for bytes in unexpected {
        assert!(matches!(refused(bytes), ClientError::Handshake(HandshakeError::UnexpectedReply { .. })));
    }
    assert!(matches!(
        refused(b"IHAVEOPT\0\0\0\x07\0\0\0\x03\0\0\0\x00"),
        ClientError::Handshake(HandshakeError::Wire(_))
    ));
    assert!(matches!(scripted(GO_EXPORT, 50).unwrap_err(), ClientError::TimedOut { .. }));
}

#[test]
fn after_nonsense_or_a_timeout_the_client_is_broken() {
    let session: &'static [u8] = Box::leak(
        [GO_EXPORT, b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x01\0\0\0\0"]
            .concat()
            .into_boxed_slice(),
    );
    let mut silent = scripted(session, 50).unwrap();
    assert_eq!((silent.size(), silent.export().block_sizes), (512, None));
    assert!(matches!(silent.flush(), Err(ClientError::TimedOut { .. })));
    assert!(matches!(silent.read(0, &mut [0; 8]), Err(ClientError::Pipeline(PipelineError::Broken))));
    assert!(matches!(silent.receive(&mut Vec::new()), Err(ClientError::Pipeline(PipelineError::Broken))));

    let stray: &'static [u8] =
        Box::leak([session, b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\0\x09"].concat().into_boxed_slice());
    let mut confused = scripted(stray, 2000).unwrap();
    assert!(matches!(
        confused.read(0, &mut [0; 8]),
        Err(ClientError::Pipeline(PipelineError::UnknownCookie { cookie: 9 }))
    ));
    assert!(matches!(confused.send_flush(1), Err(ClientError::Pipeline(PipelineError::Broken))));
}

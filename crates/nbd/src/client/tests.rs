//! The client's state machines. Oracle: bytes written by hand from the protocol document, and our own server's side, whose
//! tests have such bytes of their own. Every script also arrives one byte at a time, and must give the same.

use super::*;
use crate::negotiate::{ExportInfo, GREETING, Negotiation};
use crate::wire::{BlockSizes, Command, CommandFlags, ErrorNumber, ReplyType, Request, SimpleReply};
use crate::wire::{TransmissionFlags, WireError};

const HELLO: &[u8] = b"NBDMAGICIHAVEOPT\0\x03";
const GO: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x0c\0\0\0\x04disk\0\x01\0\x03";
const LIST: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x03\0\0\0\0";
const ABORT: &[u8] = b"IHAVEOPT\0\0\0\x02\0\0\0\0";
const ABORT_ACK: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x02\0\0\0\x01\0\0\0\0";
const GO_EXPORT: &[u8] =
    b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x0c\0\0\0\0\0\0\0\0\x02\0\0\x05";
const GO_SIZES: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x0e\
    \0\x03\0\0\x02\0\0\0\x10\0\x02\0\0\0";
const GO_ACK: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x01\0\0\0\0";

/// What a handshake sends, how many bytes it takes, and its answer.
type Ending<A> = (Vec<u8>, usize, Result<A, HandshakeError>);

/// Gives a script to a handshake in pieces of `piece` bytes; 0 for as many as are due.
fn run<Q: Question>(mut handshake: Handshake<Q>, script: &[u8], piece: usize) -> Ending<Q::Answer> {
    let (mut sent, mut at) = (Vec::new(), 0);
    while let Some(Due { bytes, .. }) = handshake.due() {
        assert!(bytes > 0, "nothing is due, and the handshake is not over");
        let length = if piece == 0 { bytes } else { piece };
        let end = script.len().min(at + length);
        if end == at {
            break;
        }
        match handshake.input(&script[at..end], &mut sent) {
            Ok(taken) => at += taken,
            Err(error) => return (sent, at, Err(error)),
        }
    }
    (sent, at, handshake.finish())
}

fn choose(script: &[&[u8]]) -> Ending<RemoteExport> {
    let start = || Handshake::choose("disk").unwrap();
    let script = script.concat();
    let (sent, taken, answer) = run(start(), &script, script.len());
    for piece in [0, 1, 7] {
        let (same, _, again) = run(start(), &script, piece);
        assert_eq!((&same, &again), (&sent, &answer), "in pieces of {piece}");
    }
    (sent, taken, answer)
}

#[test]
fn an_export_is_chosen_and_described() {
    let (sent, taken, answer) = choose(&[HELLO, GO_EXPORT, GO_SIZES, GO_ACK, b"later"]);
    assert_eq!(sent.escape_ascii().to_string(), GO.escape_ascii().to_string());
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_FLUSH;
    let block_sizes = Some(BlockSizes { min: 512, preferred: 4096, max: 32 << 20 });
    assert_eq!(answer, Ok(RemoteExport { size: 512, flags, block_sizes }));
    assert_eq!(taken, HELLO.len() + GO_EXPORT.len() + GO_SIZES.len() + GO_ACK.len());

    let bare = choose(&[HELLO, GO_EXPORT, GO_ACK]).2.unwrap();
    assert_eq!((bare.block_sizes, bare.block_sizes()), (None, BlockSizes::DEFAULT));
    // A server that does not offer to leave out the zeroes is not asked to.
    let (sent, ..) = choose(&[b"NBDMAGICIHAVEOPT\0\x01"]);
    assert_eq!(sent[..4], *b"\0\0\0\x01");
}

#[test]
fn a_refusal_has_the_servers_words_and_ends_the_session() {
    let refusal: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\x80\0\0\x06\0\0\0\x07no\nsuch";
    let expected = HandshakeError::Refused {
        option: crate::wire::OptionCode::Go,
        reply: ReplyType::ErrUnknown,
        message: "no such".into(),
    };
    // The server may answer the farewell, or hang up.
    for farewell in [ABORT_ACK, b""] {
        let (sent, taken, answer) = choose(&[HELLO, refusal, farewell]);
        assert_eq!(sent, [GO, ABORT].concat());
        assert_eq!((taken, answer), (HELLO.len() + refusal.len() + farewell.len(), Err(expected.clone())));
    }
}

#[test]
fn exports_are_listed_and_the_session_ends() {
    let entry: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x02\0\0\0\x0e\0\0\0\x04diskA disk";
    let ack: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x01\0\0\0\0";
    let script = [HELLO, entry, ack, ABORT_ACK].concat();
    for piece in [0, 1, 7, script.len()] {
        let (sent, taken, answer) = run(Handshake::list(), &script, piece);
        assert_eq!(sent, [LIST, ABORT].concat());
        assert_eq!(taken, script.len());
        assert_eq!(answer, Ok(vec![ListedExport { name: "disk".into(), description: "A disk".into() }]));
    }
    let mut handshake = Handshake::list();
    let mut sent = Vec::new();
    assert_eq!(handshake.input(&script[..script.len() - ABORT_ACK.len()], &mut sent), Ok(script.len() - 20));
    assert!(handshake.is_answered() && handshake.due().is_some(), "the farewell is still due");
}

#[test]
fn a_server_that_does_not_keep_to_the_protocol_is_left() {
    let unexpected: [&[u8]; 6] = [
        // Another option's reply.
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x01\0\0\0\0",
        // A reply of absurd length.
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\xff\xff\xff\xff",
        // Information of a wrong size, and without a type.
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x04\0\0\0\0",
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x01\0",
        // Block sizes that are not sound: a minimum of 3.
        b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x0e\0\x03\0\0\0\x03\0\0\x10\0\x02\0\0\0",
        // The end before any information.
        GO_ACK,
    ];
    for bytes in unexpected {
        let (sent, _, answer) = choose(&[HELLO, bytes]);
        assert!(matches!(answer, Err(HandshakeError::UnexpectedReply { .. })), "{answer:?}");
        assert_eq!(sent, GO, "a client that is out of step only hangs up");
    }
    let wrong = |script: &[&[u8]]| choose(script).2.unwrap_err();
    assert!(matches!(wrong(&[HELLO, b"IHAVEOPT\0\0\0\x07\0\0\0\x03\0\0\0\0"]), HandshakeError::Wire(_)));
    let oldstyle = b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53\0\0";
    assert_eq!(wrong(&[oldstyle]), HandshakeError::Wire(WireError::OldStyle));
    assert_eq!(wrong(&[b"NBDMAGICIHAVEOPT\0\x02"]), HandshakeError::NotFixedNewstyle);
    assert_eq!(wrong(&[HELLO, GO_EXPORT]), HandshakeError::Unfinished);
    assert_eq!(
        Handshake::choose(&"x".repeat(4097)).unwrap_err(),
        HandshakeError::NameTooLong { length: 4097 }
    );
}

#[test]
fn after_an_error_nothing_is_taken_and_nothing_is_due() {
    let mut handshake = Handshake::choose("disk").unwrap();
    let mut sent = Vec::new();
    assert!(handshake.input(b"HTTP/1.1 400 Bad R", &mut sent).is_err());
    assert_eq!(handshake.due(), None);
    assert_eq!(handshake.input(HELLO, &mut sent), Ok(0));
    assert!(sent.is_empty());
}

#[test]
fn a_server_cannot_list_for_ever() {
    let mut handshake = Handshake::list();
    let mut sent = Vec::new();
    handshake.input(HELLO, &mut sent).unwrap();
    let entry = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x02\0\0\0\x04\0\0\0\0";
    for _ in 0..10_000 {
        assert_eq!(handshake.input(entry, &mut sent), Ok(entry.len()));
    }
    assert!(matches!(handshake.input(entry, &mut sent), Err(HandshakeError::UnexpectedReply { .. })));
}

/// Both sides of this crate, each given what the other sent.
#[test]
fn client_and_server_agree() {
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_TRIM;
    let exports = [ExportInfo::new("disk", 1 << 30, flags)];
    for name in ["disk", "", "none"] {
        let (mut server, mut client) = (Negotiation::new(&exports), Handshake::choose(name).unwrap());
        let (mut to_client, mut to_server) = (GREETING.to_vec(), Vec::new());
        while client.due().is_some() {
            let taken = client.input(&to_client, &mut to_server).unwrap();
            to_client.drain(..taken);
            let step = server.input(&to_server, &mut to_client).unwrap();
            to_server.drain(..step.consumed);
        }
        let chosen = client.finish();
        if name == "none" {
            assert!(matches!(chosen, Err(HandshakeError::Refused { .. })), "{chosen:?}");
        } else {
            let block_sizes = Some(BlockSizes::DEFAULT);
            assert_eq!(chosen, Ok(RemoteExport { size: 1 << 30, flags, block_sizes }));
        }
    }
}

fn request(command: Command, cookie: u64) -> Request {
    Request { flags: CommandFlags::NONE, command, cookie, offset: 0, length: 4096 }
}

fn good(cookie: u64) -> [u8; SimpleReply::SIZE] {
    SimpleReply { error: None, cookie }.encode()
}

#[test]
fn replies_come_in_any_order_and_only_a_good_read_has_data() {
    let mut pipeline = Pipeline::new();
    for (command, cookie) in [(Command::Read, 1), (Command::Write, 2), (Command::Read, 3)] {
        let asked = request(command, cookie);
        assert_eq!(pipeline.request(&asked), Ok(asked.encode()));
    }
    assert_eq!((pipeline.in_flight(), pipeline.due()), (3, 3 * 16 + 2 * 4096));
    assert_eq!(pipeline.reply(&good(3)), Ok(Answer { cookie: 3, result: Ok(4096) }));
    assert_eq!(pipeline.reply(&good(2)), Ok(Answer { cookie: 2, result: Ok(0) }));
    let failed = SimpleReply { error: Some(ErrorNumber::Io), cookie: 1 }.encode();
    assert_eq!(pipeline.reply(&failed), Ok(Answer { cookie: 1, result: Err(ErrorNumber::Io) }));
    assert_eq!((pipeline.in_flight(), pipeline.due()), (0, 0));
    assert_eq!(pipeline.reply(&good(1)), Err(PipelineError::NothingInFlight));
    assert_eq!(pipeline.check(), Ok(()), "to wait for nothing breaks nothing");
}

#[test]
fn cookies_in_flight_are_unique_and_bounded() {
    let mut pipeline = Pipeline::new();
    for _ in 0..MAX_IN_FLIGHT {
        let cookie = pipeline.next_cookie();
        pipeline.request(&request(Command::Read, cookie)).unwrap();
        if cookie == 0 {
            let again = pipeline.request(&request(Command::Flush, 0));
            assert_eq!(again, Err(PipelineError::CookieInUse { cookie: 0 }));
        }
    }
    let more = pipeline.request(&request(Command::Read, 9999));
    assert_eq!(more, Err(PipelineError::InFlight { count: MAX_IN_FLIGHT }));
    // An answered request makes room, also for its own cookie.
    assert_eq!(pipeline.reply(&good(7)), Ok(Answer { cookie: 7, result: Ok(4096) }));
    assert!(pipeline.request(&request(Command::Read, 7)).is_ok());
}

#[test]
fn a_reply_out_of_step_breaks_the_pipeline() {
    let structured = *b"\x66\x8e\x33\xef\0\0\0\0\0\0\0\0\0\0\0\x01";
    for (reply, is_stray) in [(good(2), true), (structured, false)] {
        let mut pipeline = Pipeline::new();
        pipeline.request(&request(Command::Read, 1)).unwrap();
        let error = pipeline.reply(&reply).unwrap_err();
        match error {
            PipelineError::UnknownCookie { cookie: 2 } => assert!(is_stray),
            PipelineError::Wire(_) => assert!(!is_stray),
            other => panic!("{other:?}"),
        }
        assert_eq!(pipeline.reply(&good(1)), Err(PipelineError::Broken));
        assert_eq!(pipeline.request(&request(Command::Read, 3)), Err(PipelineError::Broken));
    }
}

#[test]
fn the_disconnect_is_not_in_flight() {
    let mut pipeline = Pipeline::new();
    let bytes = pipeline.disconnect();
    assert_eq!(Request::decode(&bytes).unwrap().command, Command::Disc);
    assert_eq!(pipeline.in_flight(), 0);
}

#[test]
fn what_the_export_does_not_offer_is_named() {
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_WRITE_ZEROES;
    let export = RemoteExport { size: 512, flags, block_sizes: None };
    let check = |command, flags| export.check(command, flags).map_err(|error| error.to_string());
    assert_eq!(check(Command::Read, CommandFlags::NONE), Ok(()));
    assert_eq!(check(Command::WriteZeroes, CommandFlags::NO_HOLE), Ok(()));
    let missing = |what: &str| Err(format!("the export does not offer {what}"));
    assert_eq!(check(Command::Flush, CommandFlags::NONE), missing("SEND_FLUSH"));
    assert_eq!(check(Command::Trim, CommandFlags::NONE), missing("SEND_TRIM"));
    assert_eq!(check(Command::Write, CommandFlags::FUA), missing("SEND_FUA"));
    let both = CommandFlags::FUA | CommandFlags::FAST_ZERO;
    assert_eq!(check(Command::WriteZeroes, both), missing("SEND_FUA | SEND_FAST_ZERO"));
}

#[test]
fn the_longest_request_is_bounded_and_never_zero() {
    let longest = |block_sizes| {
        let flags = TransmissionFlags::HAS_FLAGS;
        RemoteExport { size: 1 << 40, flags, block_sizes }.max_data()
    };
    assert_eq!(longest(None), 32 << 20);
    let sizes = |min, max| Some(BlockSizes { min, preferred: 4096, max });
    assert_eq!(longest(sizes(1, 64 << 10)), 64 << 10);
    assert_eq!(longest(sizes(512, u32::MAX)), 32 << 20);
    assert_eq!(longest(sizes(0, 0)), 1);
}

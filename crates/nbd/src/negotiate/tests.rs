//! Scripted handshakes. Oracle: bytes written by hand from the protocol document, none from our own encoder. Every
//! script is also fed one byte at a time and must give the same answer.

use super::*;
use crate::wire::{BlockSizes, TransmissionFlags};

/// `NBD_FLAG_C_FIXED_NEWSTYLE` and `NBD_FLAG_C_NO_ZEROES`.
pub(super) const HELLO: &[u8] = b"\0\0\0\x03";

/// Two exports: `disk` (1 MiB, described) and `swap` (4 GiB, read-only, with the default block sizes).
pub(super) fn exports() -> Vec<ExportInfo> {
    let flags = TransmissionFlags::SEND_FLUSH | TransmissionFlags::SEND_FUA;
    let mut disk = ExportInfo::new("disk", 1 << 20, flags);
    disk.description = "A disk".into();
    disk.block_sizes = BlockSizes { min: 512, preferred: 4096, max: 32 << 20 };
    vec![disk, ExportInfo::new("swap", 1 << 32, TransmissionFlags::READ_ONLY)]
}

/// How a script ends: the last progress or the error, and the bytes that were left.
pub(super) type Ending = (Result<Progress, NegotiationError>, usize);

/// Feeds a script in pieces of `piece` bytes until it is used up or the handshake is over.
pub(super) fn run(exports: &[ExportInfo], script: &[u8], piece: usize) -> (Vec<u8>, Ending) {
    let mut negotiation = Negotiation::new(exports);
    let mut out = Vec::new();
    let mut at = 0;
    let mut progress = Progress::Continue;
    while at < script.len() {
        let end = script.len().min(at + piece);
        match negotiation.input(&script[at..end], &mut out) {
            Err(error) => return (out, (Err(error), 0)),
            Ok(step) => {
                at += step.consumed;
                progress = step.progress;
                if progress != Progress::Continue {
                    break;
                }
                assert!(step.consumed > 0, "bytes are offered and none is taken");
            }
        }
    }
    (out, (Ok(progress), script.len() - at))
}

/// A script of parts, and what must be answered.
fn expect(name: &str, script: &[&[u8]], answer: &[&[u8]], ending: &Ending) {
    let exports = exports();
    let script = script.concat();
    for piece in [script.len(), 1, 7] {
        let (out, ended) = run(&exports, &script, piece);
        assert_eq!(out.escape_ascii().to_string(), answer.concat().escape_ascii().to_string(), "{name}");
        assert_eq!(&ended, ending, "{name}");
    }
}

const MORE: Ending = (Ok(Progress::Continue), 0);

fn chosen(export: usize) -> Ending {
    (Ok(Progress::Transmission(export)), 0)
}

const DISK_INFO: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x06\0\0\0\x03\0\0\0\x0c\
    \0\0\0\0\0\0\0\x10\0\0\0\x0d";
const DISK_GO: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x0c\
    \0\0\0\0\0\0\0\x10\0\0\0\x0d";
const DISK_GO_SIZES: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x0e\
    \0\x03\0\0\x02\0\0\0\x10\0\x02\0\0\0";
const GO_ACK: &[u8] = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x01\0\0\0\0";

#[test]
fn the_greeting_matches_the_protocol_document() {
    assert_eq!(GREETING, *b"NBDMAGICIHAVEOPT\x00\x03");
    assert!(Greeting::decode(&GREETING).is_ok());
}

#[test]
fn export_name_enters_the_transmission_phase() {
    let name = b"IHAVEOPT\0\0\0\x01\0\0\0\x04disk";
    let size_and_flags = b"\0\0\0\0\0\x10\0\0\0\x0d";
    expect("no zeroes", &[HELLO, name], &[size_and_flags], &chosen(0));
    expect("zeroes", &[b"\0\0\0\x01", name], &[size_and_flags, &[0; 124]], &chosen(0));
    expect("the empty name", &[HELLO, b"IHAVEOPT\0\0\0\x01\0\0\0\0"], &[size_and_flags], &chosen(0));
    let second = b"IHAVEOPT\0\0\0\x01\0\0\0\x04swap";
    expect("the second", &[HELLO, second], &[b"\0\0\0\x01\0\0\0\0\0\x03"], &chosen(1));
}

#[test]
fn requests_after_the_handshake_are_left_to_the_caller() {
    let script = [HELLO, b"IHAVEOPT\0\0\0\x01\0\0\0\x04disk", b"\x25\x60\x95\x13rest"].concat();
    let exports = exports();
    let mut negotiation = Negotiation::new(&exports);
    let mut out = Vec::new();
    let step = negotiation.input(&script, &mut out).unwrap();
    assert_eq!(step.consumed, script.len() - 8);
    let Progress::Transmission(_) = step.progress else { panic!("{step:?}") };
    let again = negotiation.input(b"more", &mut out).unwrap();
    assert_eq!(again, Step { consumed: 0, progress: step.progress }, "nothing is consumed after the end");
}

#[test]
fn export_name_refuses_by_hanging_up() {
    let script: &[&[u8]] = &[HELLO, b"IHAVEOPT\0\0\0\x01\0\0\0\x03foo"];
    let error = NegotiationError::NoSuchExport { name: "foo".into() };
    expect("unknown", script, &[], &(Err(error), 0));
    let script: &[&[u8]] = &[HELLO, b"IHAVEOPT\0\0\0\x01\0\0\x10\x01"];
    expect("too long", script, &[], &(Err(NegotiationError::NameTooLong { length: 4097 }), 0));
    let script: &[&[u8]] = &[HELLO, b"IHAVEOPT\0\0\0\x01\0\0\0\x02\xff\xfe"];
    let error = NegotiationError::NoSuchExport { name: "\u{fffd}\u{fffd}".into() };
    expect("not UTF-8", script, &[], &(Err(error), 0));
}

#[test]
fn go_describes_and_enters_the_transmission_phase() {
    // No information is asked for; the block sizes come all the same.
    let go = b"IHAVEOPT\0\0\0\x07\0\0\0\x0a\0\0\0\x04disk\0\0";
    expect("bare", &[HELLO, go], &[DISK_GO, DISK_GO_SIZES, GO_ACK], &chosen(0));
    // Asked for: block sizes, twice.
    let go = b"IHAVEOPT\0\0\0\x07\0\0\0\x0e\0\0\0\x04disk\0\x02\0\x03\0\x03";
    expect("block sizes", &[HELLO, go], &[DISK_GO, DISK_GO_SIZES, GO_ACK], &chosen(0));
    // The default export, and everything: export, name, description, block sizes, and what does not exist.
    let go = b"IHAVEOPT\0\0\0\x07\0\0\0\x10\0\0\0\0\0\x05\0\0\0\x01\0\x02\0\x03\xff\xff";
    let name = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x06\0\x01disk";
    let words = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x03\0\0\0\x08\0\x02A disk";
    expect("everything", &[HELLO, go], &[DISK_GO, name, words, DISK_GO_SIZES, GO_ACK], &chosen(0));
}

#[test]
fn info_describes_and_the_handshake_goes_on() {
    let info = b"IHAVEOPT\0\0\0\x06\0\0\0\x0a\0\0\0\x04disk\0\0";
    let sizes = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x06\0\0\0\x03\0\0\0\x0e\
        \0\x03\0\0\x02\0\0\0\x10\0\x02\0\0\0";
    let ack = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x06\0\0\0\x01\0\0\0\0";
    expect("info", &[HELLO, info], &[DISK_INFO, sizes, ack], &MORE);
    let name = b"IHAVEOPT\0\0\0\x01\0\0\0\x04disk";
    let end = b"\0\0\0\0\0\x10\0\0\0\x0d";
    expect("then a name", &[HELLO, info, name], &[DISK_INFO, sizes, ack, end], &chosen(0));
}

#[test]
fn an_unknown_name_is_refused_with_words() {
    for (go, code) in [(true, 7), (false, 6)] {
        let option = [b"IHAVEOPT\0\0\0", &[code][..], b"\0\0\0\x0a\0\0\0\x04fo\n!\0\0"].concat();
        let reply = [
            b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0",
            &[code][..],
            b"\x80\0\0\x06\0\0\0\x33there is no export \"fo\\n!\"; NBD_OPT_LIST names them",
        ]
        .concat();
        expect(if go { "go" } else { "info" }, &[HELLO, &option], &[&reply], &MORE);
    }
}

#[test]
fn a_malformed_go_is_refused_with_words() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "the data ends within the name's length"),
        (b"\0\0\0", "the data ends within the name's length"),
        (b"\0\0\0\x05disk", "the data ends within the name"),
        (b"\xff\xff\xff\xffdisk\0\0", "the name should be at most 4096 bytes long"),
        (b"\0\0\0\x04disk", "the data ends before the number of requests"),
        (b"\0\0\0\x04disk\0", "the data ends before the number of requests"),
        (b"\0\0\0\x04disk\0\x01\0", "the data ends within an information request"),
        (b"\0\0\0\x04disk\0\x01", "the number of information requests is not what follows it"),
        (b"\0\0\0\x04disk\0\x01\0\x03\0\x03", "the number of information requests is not what follows it"),
        (b"\0\0\0\x02\xff\xfe\0\0", "the name should be UTF-8"),
    ];
    for (data, words) in cases {
        let option = [b"IHAVEOPT\0\0\0\x07\0\0\0", &[data.len() as u8][..], data].concat();
        let reply = [
            b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\x80\0\0\x03\0\0\0",
            &[words.len() as u8][..],
            words.as_bytes(),
        ]
        .concat();
        expect(words, &[HELLO, &option], &[&reply], &MORE);
    }
}

#[test]
fn list_names_and_describes() {
    let first = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x02\0\0\0\x0e\0\0\0\x04diskA disk";
    let second = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x02\0\0\0\x08\0\0\0\x04swap";
    let ack = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\0\0\0\x01\0\0\0\0";
    let option = b"IHAVEOPT\0\0\0\x03\0\0\0\0";
    expect("list", &[HELLO, option], &[first, second, ack], &MORE);
    let option = b"IHAVEOPT\0\0\0\x03\0\0\0\x01x";
    let reply = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x03\x80\0\0\x03\0\0\0\x21\
        NBD_OPT_LIST should carry no data";
    expect("list with data", &[HELLO, option], &[reply], &MORE);
}

#[test]
fn abort_is_acknowledged_and_ends_the_session() {
    let ack = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x02\0\0\0\x01\0\0\0\0";
    let closed = (Ok(Progress::Closed), 0);
    expect("abort", &[HELLO, b"IHAVEOPT\0\0\0\x02\0\0\0\0"], &[ack], &closed);
    expect("abort with data", &[HELLO, b"IHAVEOPT\0\0\0\x02\0\0\0\x02xy"], &[ack], &closed);
}

#[test]
fn options_that_are_not_served_are_skipped_and_refused() {
    for code in [0u32, 4, 5, 8, 9, 10, 11, 12, u32::MAX] {
        let code = code.to_be_bytes();
        let reply = [
            b"\0\x03\xe8\x89\x04\x55\x65\xa9",
            &code[..],
            b"\x80\0\0\x01\0\0\0\x26this server does not serve this option",
        ]
        .concat();
        let bare = [b"IHAVEOPT", &code[..], b"\0\0\0\0"].concat();
        let carrying = [b"IHAVEOPT", &code[..], b"\0\0\0\x08IHAVEOPT"].concat();
        expect("twice", &[HELLO, &bare, &carrying], &[&reply, &reply], &MORE);
    }
}

#[test]
fn an_option_with_too_much_data_is_skipped_and_refused() {
    let data = vec![b'x'; (64 << 10) + 1];
    let script: &[&[u8]] = &[HELLO, b"IHAVEOPT\0\0\0\x07\0\x01\0\x01", &data];
    let reply = b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\x80\0\0\x09\0\0\0\x20\
        the option carries too much data";
    expect("too big", script, &[reply], &MORE);
    let script: &[&[u8]] = &[HELLO, b"IHAVEOPT\0\0\0\x05\x01\0\0\x01"];
    let error = NegotiationError::AbsurdOption { option: OptionCode::StartTls, length: (16 << 20) + 1 };
    expect("absurd", script, &[], &(Err(error), 0));
}

#[test]
fn flags_that_were_not_offered_end_the_session() {
    let error = NegotiationError::UnknownClientFlags { found: ClientFlags::from_bits_retain(7) };
    expect("unknown", &[b"\0\0\0\x07"], &[], &(Err(error), 0));
}

/// Section "Client flags": such a client knows `NBD_OPT_EXPORT_NAME` alone, and no reply to an option.
#[test]
fn a_client_without_fixed_newstyle_is_served_by_export_name_alone() {
    let name = b"IHAVEOPT\0\0\0\x01\0\0\0\x04disk";
    let size_and_flags = b"\0\0\0\0\0\x10\0\0\0\x0d";
    expect("no zeroes", &[b"\0\0\0\x02", name], &[size_and_flags], &chosen(0));
    expect("zeroes", &[b"\0\0\0\0", name], &[size_and_flags, &[0; 124]], &chosen(0));
    for option in [OptionCode::List, OptionCode::Abort, OptionCode::Go, OptionCode::Other(77)] {
        let header = OptionHeader { option, length: 0 }.encode();
        let error = NegotiationError::NotFixedNewstyle { option };
        expect("another option", &[b"\0\0\0\0", &header], &[], &(Err(error), 0));
    }
}

#[test]
fn what_is_no_option_ends_the_session() {
    let exports = exports();
    let (out, (ended, _)) = run(&exports, b"\0\0\0\x03GET / HTTP/1.1\r\n\r\n", 100);
    assert!(out.is_empty());
    assert_eq!(
        ended.unwrap_err().to_string(),
        "the client lost step: an option begins with 0x474554202f204854, it should begin with 0x49484156454f5054"
    );
}

#[test]
fn the_options_of_a_session_are_bounded() {
    let exports = exports();
    let option = b"IHAVEOPT\0\0\0\x05\0\0\0\0";
    let enough = [HELLO, &option.repeat(1000)].concat();
    assert_eq!(run(&exports, &enough, 4096).1, MORE);
    let too_many = [&enough[..], option].concat();
    assert_eq!(run(&exports, &too_many, 4096).1, (Err(NegotiationError::TooManyOptions), 0));
}

#[test]
fn a_server_without_exports_has_no_default() {
    let (out, (ended, _)) = run(&[], &[HELLO, b"IHAVEOPT\0\0\0\x01\0\0\0\0"].concat(), 100);
    assert_eq!((out, ended), (vec![], Err(NegotiationError::NoSuchExport { name: String::new() })));
}

#[test]
fn every_error_is_one_line_whatever_the_client_sent() {
    let name = "two\nlines\u{1b}[31m".repeat(300);
    let line = NegotiationError::NoSuchExport { name }.to_string();
    assert!(!line.contains(char::is_control) && line.len() < 300, "{line}");
}

#[test]
fn exports_that_cannot_be_told_are_found() {
    assert_eq!(check_exports(&exports()), Ok(()));
    let with = |change: fn(&mut ExportInfo)| {
        let mut exports = exports();
        change(&mut exports[1]);
        check_exports(&exports).unwrap_err()
    };
    let error = with(|export| export.name = "n".repeat(4097));
    assert!(matches!(error, ExportInfoError::TooLong { what: "name", length: 4097, .. }));
    let error = with(|export| export.description = "d".repeat(4097));
    assert!(matches!(error, ExportInfoError::TooLong { what: "description", .. }));
    assert!(matches!(with(|export| export.name = "a\0".into()), ExportInfoError::Nul { .. }));
    assert!(matches!(with(|export| export.block_sizes.min = 3), ExportInfoError::BlockSizes { .. }));
    let error = with(|export| export.block_sizes.max = 512);
    assert!(
        matches!(error, ExportInfoError::BlockSizes { .. }),
        "below the preferred size of a large export"
    );
    assert!(matches!(with(|export| export.name = "disk".into()), ExportInfoError::SameName { .. }));
}

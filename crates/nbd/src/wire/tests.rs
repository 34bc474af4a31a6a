//! Oracle: bytes written by hand from the protocol document. Our encoder and our decoder must both agree with them.

use super::*;

/// Checks one structure against its bytes in both directions, and that a byte changed in its magic is refused.
macro_rules! golden {
    ($type:ty, $value:expr, $bytes:expr, magic: $magic:expr) => {{
        let bytes = *$bytes;
        assert_eq!($value.encode(), bytes);
        assert_eq!(<$type>::decode(&bytes), Ok($value));
        for at in 0..$magic {
            let mut bad = bytes;
            bad[at] ^= 0x40;
            assert!(<$type>::decode(&bad).is_err(), "byte {at} of the magic does not matter");
        }
    }};
}

#[test]
fn structures_match_the_protocol_document() {
    golden!(
        Greeting,
        Greeting { flags: HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES },
        b"NBDMAGICIHAVEOPT\x00\x03",
        magic: 16
    );
    golden!(
        OptionHeader,
        OptionHeader { option: OptionCode::Go, length: 0x0102_0304 },
        b"IHAVEOPT\x00\x00\x00\x07\x01\x02\x03\x04",
        magic: 8
    );
    golden!(
        OptionReply,
        OptionReply { option: OptionCode::List, reply: ReplyType::ErrUnsup, length: 5 },
        b"\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x03\x80\x00\x00\x01\x00\x00\x00\x05",
        magic: 8
    );
    golden!(
        InfoExport,
        InfoExport { size: 0x1122_3344_5566_7788, flags: TransmissionFlags::from_bits_retain(0x050d) },
        b"\x00\x00\x11\x22\x33\x44\x55\x66\x77\x88\x05\x0d",
        magic: 2
    );
    golden!(
        BlockSizes,
        BlockSizes { min: 512, preferred: 4096, max: 32 << 20 },
        b"\x00\x03\x00\x00\x02\x00\x00\x00\x10\x00\x02\x00\x00\x00",
        magic: 2
    );
    golden!(
        Request,
        Request {
            flags: CommandFlags::FUA,
            command: Command::Write,
            cookie: 0x0102_0304_0506_0708,
            offset: 0x1112_1314_1516_1718,
            length: 0x2122_2324,
        },
        b"\x25\x60\x95\x13\x00\x01\x00\x01\x01\x02\x03\x04\x05\x06\x07\x08\
          \x11\x12\x13\x14\x15\x16\x17\x18\x21\x22\x23\x24",
        magic: 4
    );
    golden!(
        SimpleReply,
        SimpleReply { error: Some(ErrorNumber::NoSpc), cookie: 0x0102_0304_0506_0708 },
        b"\x67\x44\x66\x98\x00\x00\x00\x1c\x01\x02\x03\x04\x05\x06\x07\x08",
        magic: 4
    );
    golden!(
        SimpleReply,
        SimpleReply { error: None, cookie: 9 },
        b"\x67\x44\x66\x98\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09",
        magic: 4
    );
}

#[test]
fn the_answer_to_export_name_matches_the_protocol_document() {
    let reply = ExportNameReply { size: 1 << 32, flags: TransmissionFlags::from_bits_retain(0x0103) };
    let bytes = *b"\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03";
    assert_eq!(reply.encode(), bytes);
    assert_eq!(ExportNameReply::decode(&bytes), reply);
}

/// The numbers of the protocol's section "Values", in the order of our declarations.
#[test]
fn numbers_match_the_protocol_document() {
    let numbers = |codes: &[OptionCode]| codes.iter().map(|code| code.to_wire()).collect::<Vec<_>>();
    assert_eq!(numbers(OptionCode::NAMED), (1..=11).collect::<Vec<_>>());
    let commands: Vec<u16> = Command::NAMED.iter().map(|command| command.to_wire()).collect();
    assert_eq!(commands, (0..=8).collect::<Vec<_>>());
    let errors: Vec<u32> = ErrorNumber::NAMED.iter().map(|error| error.to_wire()).collect();
    assert_eq!(errors, [1, 5, 12, 22, 28, 75, 95, 108]);
    let infos: Vec<u16> = InfoType::NAMED.iter().map(|info| info.to_wire()).collect();
    assert_eq!(infos, [0, 1, 2, 3]);
    let replies: Vec<u32> = ReplyType::NAMED.iter().map(|reply| reply.to_wire()).collect();
    let errors = (1..=10).map(|n| (1 << 31) + n);
    assert_eq!(replies, (1..=4).chain(errors).collect::<Vec<_>>());
    assert_eq!(TransmissionFlags::all().bits(), 0x1fff);
    assert_eq!(CommandFlags::all().bits(), 0x3f);
}

#[test]
fn every_number_survives_the_way_there_and_back() {
    for number in (0..=u16::MAX).step_by(7).chain(0..=16) {
        assert_eq!(Command::from_wire(number).to_wire(), number);
        assert_eq!(InfoType::from_wire(number).to_wire(), number);
        for wide in [u32::from(number), u32::from(number) | 1 << 31] {
            assert_eq!(OptionCode::from_wire(wide).to_wire(), wide);
            assert_eq!(ErrorNumber::from_wire(wide).to_wire(), wide);
            assert_eq!(ReplyType::from_wire(wide).to_wire(), wide);
            assert_eq!(ReplyType::from_wire(wide).is_error(), wide >> 31 == 1);
        }
    }
}

#[test]
fn what_is_not_known_is_kept_and_shown() {
    let bytes = *b"\x25\x60\x95\x13\x80\x01\xab\xcd\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0";
    let request = Request::decode(&bytes).unwrap();
    assert_eq!(request.command, Command::Other(0xabcd));
    assert_eq!(request.command.to_string(), "command 0xabcd");
    assert_eq!(request.flags.to_string(), "FUA | 0x8000");
    assert_eq!(request.encode(), bytes);
    assert_eq!(CommandFlags::NONE.to_string(), "0x0");
    assert_eq!(ErrorNumber::Inval.to_string(), "EINVAL");
}

#[test]
fn an_oldstyle_server_is_told_apart() {
    let bytes = *b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x00";
    assert_eq!(Greeting::decode(&bytes), Err(WireError::OldStyle));
    let http = *b"HTTP/1.1 400 Bad R";
    let error = Greeting::decode(&http).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server's greeting begins with 0x485454502f312e31, it should begin with 0x4e42444d41474943"
    );
}

#[test]
fn block_sizes_keep_to_the_protocol() {
    let sound = |min, preferred, max| BlockSizes { min, preferred, max }.are_sound();
    assert!(sound(1, 4096, 32 << 20) && sound(4096, 4096, u32::MAX) && sound(512, 65536, 512));
    assert!(!sound(0, 4096, 8192), "min of zero");
    assert!(!sound(3, 4096, 8192) && !sound(512, 1000, 8192), "not a power of two");
    assert!(!sound(128 << 10, 128 << 10, 1 << 20), "min above 64 KiB");
    assert!(!sound(4096, 512, 8192) && !sound(4096, 4096, 512), "not in order");
    assert!(!sound(512, 512, 1000), "max not a multiple of min");
}

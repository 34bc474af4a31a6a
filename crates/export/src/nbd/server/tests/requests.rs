//! Each request and each refusal. Oracle: the device's bytes and log, and the protocol's sections on commands and
//! errors.

use udm_block::{Flags, Geometry, Op, Sectors, Status};

use super::support::*;
use crate::nbd::server::*;
use udm_backend::nbd::client::{Client, ClientError};
use udm_nbd::client::HandshakeError;
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request, TransmissionFlags};

const SIZE: usize = 48 << 20;

/// Sends any request and takes its answer.
fn ask(client: &mut Client, request: Request, data: &[u8]) -> Result<(), ErrorNumber> {
    client.send(request, data).unwrap();
    client.receive(&mut Vec::new()).unwrap().result
}

fn ask_flags(client: &mut Client, command: Command, flags: CommandFlags) -> Result<(), ErrorNumber> {
    let data: &[u8] = if command == Command::Write { &[1; 512] } else { &[] };
    let range = if command == Command::Flush { 0 } else { 512 };
    ask(client, Request { flags, ..request(command, 1, range.into(), range) }, data)
}

#[test]
fn what_is_written_is_read_and_reaches_the_device_with_its_flags() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let mut client = server.client();
    assert_eq!(client.size(), SIZE as u64);
    let data = noise(1, 9 << 20);
    client.write(4096, &data, false).unwrap();
    client.write(0, &data[..512], true).unwrap();
    client.flush().unwrap();
    let mut back = vec![0; data.len()];
    client.read(4096, &mut back).unwrap();
    assert!(back == data && ram.bytes()[4096..][..data.len()] == data[..]);
    client.trim(8192, 4096).unwrap();
    client.write_zeroes(4096, 4096, CommandFlags::NO_HOLE).unwrap();
    client.write_zeroes(0, 512, CommandFlags::FUA | CommandFlags::FAST_ZERO).unwrap();
    let expected = [
        Asked { op: Op::Write, flags: Flags::NONE, offset: 4096, len: 4 << 20 },
        Asked { op: Op::Write, flags: Flags::NONE, offset: 4096 + (4 << 20), len: 4 << 20 },
        Asked { op: Op::Write, flags: Flags::NONE, offset: 4096 + (8 << 20), len: 1 << 20 },
        Asked { op: Op::Write, flags: Flags::FUA, offset: 0, len: 512 },
        Asked { op: Op::Flush, flags: Flags::NONE, offset: 0, len: 0 },
        Asked { op: Op::Discard, flags: Flags::NONE, offset: 8192, len: 4096 },
        Asked { op: Op::WriteZeroes, flags: Flags::NO_UNMAP, offset: 4096, len: 4096 },
        Asked { op: Op::WriteZeroes, flags: Flags::FUA | Flags::FAST, offset: 0, len: 512 },
    ];
    let log: Vec<_> = ram.log().into_iter().filter(|asked| asked.op != Op::Read).collect();
    assert_eq!(log, expected);
    client.disconnect().unwrap();
}

#[test]
fn zeros_are_written_where_the_device_has_no_operation_for_them_and_that_is_not_fast() {
    let geometry = Geometry { logical_block: 4096, ..Geometry::plain(Sectors::in_bytes(SIZE as u64)) };
    let ram = Ram::later(geometry, Duration::from_millis(1), 3);
    let server = Running::over(&ram);
    let mut client = server.client();
    assert_eq!((client.block_sizes().min, client.flags().contains(TransmissionFlags::SEND_TRIM)), (1, false));
    let data = noise(2, 3 << 20);
    client.write(0, &data, false).unwrap();
    client.write_zeroes(4096, 2 << 20, CommandFlags::NO_HOLE | CommandFlags::FUA).unwrap();
    let mut model = data;
    model[4096..4096 + (2 << 20)].fill(0);
    assert!(ram.bytes()[..model.len()] == model[..]);
    // One flush serves all pieces of a FUA.
    let mut pieces: Vec<_> = ram.log().into_iter().skip(1).collect();
    assert_eq!(pieces.pop().map(|last| last.op), Some(Op::Flush));
    assert!(pieces.iter().all(|piece| piece.op == Op::Write && piece.flags == Flags::NONE), "{pieces:?}");
    client.write_zeroes(4096, 4096, CommandFlags::FUA).unwrap();
    let only = ram.log().pop().unwrap();
    assert_eq!((only.op, only.flags), (Op::Write, Flags::FUA));
    let fast = client.write_zeroes(0, 4096, CommandFlags::FAST_ZERO);
    assert!(matches!(fast, Err(ClientError::Server(ErrorNumber::NotSup))), "{fast:?}");
    // Section "Error values": ENOTSUP is for fast zeroes alone.
    let trim = ask(&mut client, request(Command::Trim, 1, 0, 4096), &[]);
    assert_eq!(trim, Err(ErrorNumber::Inval));
    let past_the_end = ask(&mut client, request(Command::Read, 1, SIZE as u64, 4096), &[]);
    assert_eq!(past_the_end, Err(ErrorNumber::Inval));
}

/// Oracle: the protocol's section on `NBD_CMD_WRITE_ZEROES`. The twin is the same request without the flag.
#[test]
fn a_fast_zero_that_the_device_refuses_is_refused_at_once_and_any_other_is_written() {
    let ram = Ram::new(able(SIZE), Manner::Zeroless);
    let server = Running::over(&ram);
    let mut client = server.client();
    let fast = client.write_zeroes(0, 1 << 20, CommandFlags::FAST_ZERO);
    assert!(matches!(fast, Err(ClientError::Server(ErrorNumber::NotSup))), "{fast:?}");
    assert_eq!(ram.log(), [Asked { op: Op::WriteZeroes, flags: Flags::FAST, offset: 0, len: 1 << 20 }]);
    client.write_zeroes(0, 1 << 20, CommandFlags::NONE).unwrap();
    assert!(ram.log()[2..].iter().all(|asked| asked.op == Op::Write) && ram.log().len() > 2);
}

#[test]
fn a_bad_request_is_answered_with_its_error_and_the_connection_lives() {
    use Command::{BlockStatus, Cache, Flush, Other, Read, Resize, Trim, Write, WriteZeroes};
    use ErrorNumber::{Inval, NoSpc};
    // Longer than the longest request.
    const SIZE: usize = 80 << 20;
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let mut client = server.client();
    let size = SIZE as u64;
    let long = (64 << 20) + 512;
    let cases = [
        (Read, size, 512, Inval),
        (Write, size, 512, NoSpc),
        (Write, size - 512, 1024, NoSpc),
        (WriteZeroes, size - 512, 1024, NoSpc),
        (Trim, size - 512, 1024, Inval),
        (Read, u64::MAX - 511, 512, Inval),
        (Read, u64::MAX, 512, Inval),
        (WriteZeroes, 0, u32::MAX, NoSpc),
        (Read, 0, 0, Inval),
        (Write, 0, 0, Inval),
        (Trim, 0, 0, Inval),
        (WriteZeroes, 0, 0, Inval),
        (Read, 0, long, Inval),
        (Write, 0, long, Inval),
        (Cache, 0, 512, Inval),
        (BlockStatus, 0, 512, Inval),
        (Resize, 0, 512, Inval),
        (Other(77), 0, 512, Inval),
        (Flush, 0, 512, Inval),
        (Flush, 512, 0, Inval),
    ];
    for (command, offset, length, error) in cases {
        let data = vec![0xA5; if command == Write { length as usize } else { 0 }];
        let got = ask(&mut client, request(command, 9, offset, length), &data);
        assert_eq!(got, Err(error), "{command} of {length} at {offset}");
    }
    let flag = CommandFlags::from_bits_retain;
    for (command, flags) in [
        (Read, CommandFlags::NO_HOLE),
        (Read, CommandFlags::DF),
        (Write, CommandFlags::DF),
        (Write, CommandFlags::FAST_ZERO),
        (Write, CommandFlags::PAYLOAD_LEN),
        (Flush, CommandFlags::NO_HOLE),
        (Trim, CommandFlags::FAST_ZERO),
        (WriteZeroes, CommandFlags::REQ_ONE),
        (Read, flag(1 << 15)),
    ] {
        assert_eq!(ask_flags(&mut client, command, flags), Err(Inval), "{command} with {flags}");
    }
    assert_eq!(ram.log(), [], "a refused request reached the device");
    for command in [Read, Write, Flush, Trim, WriteZeroes] {
        assert_eq!(ask_flags(&mut client, command, CommandFlags::FUA), Ok(()));
    }
}

#[test]
fn a_read_only_export_refuses_what_writes_once_its_data_is_there() {
    for by_device in [false, true] {
        let ram = Ram::new(Geometry { read_only: by_device, ..able(SIZE) }, Manner::Inline);
        let device = Arc::clone(&ram) as udm_block::DeviceRef;
        let export = Export::new("disk", "", device, !by_device);
        let server = Running::with(vec![export], |_| {});
        let mut client = server.client();
        assert!(client.flags().contains(TransmissionFlags::READ_ONLY));
        for command in [Command::Write, Command::Trim, Command::WriteZeroes] {
            assert_eq!(ask_flags(&mut client, command, CommandFlags::NONE), Err(ErrorNumber::Perm));
        }
        client.read(0, &mut [0; 512]).unwrap();
        client.flush().unwrap();
        assert!(ram.log().iter().all(|asked| !asked.op.is_write()));
    }
}

#[test]
fn each_status_has_its_number() {
    let expected = [
        (Status::IoErr, ErrorNumber::Io),
        (Status::NoSpace, ErrorNumber::NoSpc),
        (Status::NotSupported, ErrorNumber::Inval),
        (Status::Invalid, ErrorNumber::Inval),
        (Status::Protection, ErrorNumber::Perm),
        (Status::DevResource, ErrorNumber::NoMem),
        (Status::Medium, ErrorNumber::Io),
        (Status::Offline, ErrorNumber::Io),
    ];
    assert_eq!(expected.len() + 1, Status::ALL.len());
    for (status, number) in expected {
        let ram = Ram::new(able(SIZE), Manner::Fails(status));
        let server = Running::over(&ram);
        let mut client = server.client();
        for command in [Command::Read, Command::Write, Command::Flush, Command::Trim, Command::WriteZeroes] {
            assert_eq!(
                ask_flags(&mut client, command, CommandFlags::NONE),
                Err(number),
                "{status} of {command}"
            );
        }
    }
}

#[test]
fn a_device_that_takes_short_transfers_is_offered_with_that_bound() {
    let ram = Ram::new(Geometry { max_transfer: 65_536 + 100, ..able(SIZE) }, Manner::Inline);
    let server = Running::over(&ram);
    let mut client = server.client();
    assert_eq!(client.block_sizes().max, 65_536);
    let data = noise(5, 1 << 20);
    client.write(0, &data, false).unwrap();
    assert_eq!(&ram.bytes()[..data.len()], data);
    assert!(ram.log().iter().all(|asked| asked.len <= 65_536));
}

#[test]
fn exports_have_names_and_the_first_is_the_default() {
    let rams: Vec<_> = (0..3).map(|index| Ram::new(able(512 << index), Manner::Inline)).collect();
    let exports = rams.iter().enumerate().map(|(index, ram)| export(&format!("disk {index}"), ram)).collect();
    let server = Running::with(exports, |_| {});
    for (name, size) in [("", 512), ("disk 0", 512), ("disk 1", 1024), ("disk 2", 2048)] {
        assert_eq!(Client::connect(&server.address, name).unwrap().size(), size, "{name}");
    }
    let unknown = Client::connect(&server.address, "disk 3");
    assert!(matches!(unknown, Err(ClientError::Handshake(HandshakeError::Refused { .. }))), "{unknown:?}");
    let names: Vec<_> = Client::list(&server.address).unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["disk 0", "disk 1", "disk 2"]);
}

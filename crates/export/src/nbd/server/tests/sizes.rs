//! The protocol's section "Size constraints", sentence by sentence: what clients are told, and what they may send. Oracle:
//! that section, and the device's bytes.

use std::io::{Read, Write};

use udm_block::Geometry;

use super::support::*;
use udm_nbd::wire::{Command, ErrorNumber};

const SIZE: usize = 72 << 20;

/// What a request comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Served,
    Refused(ErrorNumber),
}
use Outcome::{Refused, Served};

/// A client that chose the export with `NBD_OPT_GO` and asked for these kinds of information.
fn go(server: &Running, informed: bool) -> std::os::unix::net::UnixStream {
    let mut socket = server.socket();
    socket.read_exact(&mut [0; 18]).unwrap();
    let asked: &[u8] = if informed { b"\0\0\0\x08\0\0\0\0\0\x01\0\x03" } else { b"\0\0\0\x06\0\0\0\0\0\0" };
    socket.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x07").unwrap();
    socket.write_all(asked).unwrap();
    loop {
        let mut header = [0; 20];
        socket.read_exact(&mut header).unwrap();
        let length = u32::from_be_bytes(header[16..].try_into().unwrap());
        socket.read_exact(&mut vec![0; length as usize]).unwrap();
        if header[12..16] == [0, 0, 0, 1] {
            return socket;
        }
    }
}

/// Bytes that tell where they were written, and by which request.
fn pattern(offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = noise(offset ^ u64::from(length), 4099).repeat(length as usize / 4099 + 1);
    bytes.truncate(length as usize);
    bytes
}

/// Sends a request and takes its answer. What is read must be the device's bytes.
fn ask(socket: &mut (impl Read + Write), ram: &Ram, command: Command, offset: u64, length: u32) -> Outcome {
    socket.write_all(&request(command, 5, offset, length).encode()).unwrap();
    if command == Command::Write {
        socket.write_all(&pattern(offset, length)).unwrap();
    }
    let (cookie, error) = reply(socket);
    assert_eq!(cookie, 5);
    if let Some(error) = error {
        return Refused(error);
    }
    let there = offset as usize..offset as usize + length as usize;
    if command == Command::Read {
        let mut got = vec![0; length as usize];
        socket.read_exact(&mut got).unwrap();
        assert!(
            got == ram.store.bytes.lock().unwrap()[there.clone()],
            "what was read at {offset} is not what the device has"
        );
    }
    if command == Command::Write {
        let bytes = ram.store.bytes.lock().unwrap();
        assert!(bytes[there] == pattern(offset, length)[..], "a write at {offset} did not arrive");
    }
    Served
}

/// The table of the section, for a client that asked for the sizes, and for two that did not, by `NBD_OPT_GO` and by
/// `NBD_OPT_EXPORT_NAME`. All are told, or may assume, that any byte can be reached; the blocks have 4096 bytes.
#[test]
fn each_client_may_send_any_byte_and_what_the_protocol_has_everybody_take() {
    use Command::{Read, Trim, Write, WriteZeroes};
    const MAX: u32 = 4 << 20;
    const DEFAULT_MAX: u32 = 32 << 20;
    const TAKEN: u32 = 64 << 20;
    let inval = Refused(ErrorNumber::Inval);
    // The rows: offset and length.
    let rows = [
        ("a block", 4096, 4096, Served),
        ("within a block", 1, 1, Served),
        ("a sector", 512, 512, Served),
        ("over a border", 4095, 2, Served),
        ("from a border on", 8192, 5, Served),
        ("up to a border", 8191, 1, Served),
        ("the last byte", SIZE as u64 - 1, 1, Served),
        ("nothing", 4096, 0, inval),
        ("the longest that is told", 4096, MAX, Served),
        ("more than is told, which is no attack", 4096, MAX + 4096, Served),
        ("the default maximum", 4096, DEFAULT_MAX, Served),
        ("the default maximum, off all blocks", 4097, DEFAULT_MAX, Served),
        ("what some send all the same", 4097, TAKEN, Served),
    ];
    let geometry = Geometry { logical_block: 4096, ..able(SIZE) };
    let ram = Ram::new(geometry, Manner::Inline);
    ram.store.bytes.lock().unwrap().copy_from_slice(&pattern(77, SIZE as u32));
    let server = Running::over(&ram);
    let mut clients = [(go(&server, true), true), (go(&server, false), false), (server.raw(), false)];
    for (what, offset, length, expected) in rows {
        for (client, is_informed) in &mut clients {
            for command in [Read, Write] {
                let got = ask(client, &ram, command, offset, length);
                assert_eq!(got, expected, "{what}: {command} of {length} at {offset}, asked: {is_informed}");
            }
            for command in [Trim, WriteZeroes] {
                let got = ask(client, &ram, command, offset, length.min(MAX));
                assert_eq!(got, expected, "{what}: {command} of {length} at {offset}, asked: {is_informed}");
            }
        }
    }
    // More than we take, and past the end.
    for (client, _) in &mut clients {
        assert_eq!(ask(client, &ram, Read, 0, TAKEN + 1), inval);
        assert_eq!(ask(client, &ram, Read, SIZE as u64 - 4096, 8192), inval);
        assert_eq!(ask(client, &ram, Write, SIZE as u64 - 4096, 8192), Refused(ErrorNumber::NoSpc));
        assert_eq!(ask(client, &ram, Read, 0, 4096), Served);
    }
}

#[test]
fn after_a_reload_new_clients_are_told_the_new_blocks_and_old_ones_are_served_as_before() {
    let ram = Ram::new(able(SIZE), Manner::Inline);
    let server = Running::over(&ram);
    let old = server.client();
    assert_eq!((old.block_sizes().min, old.block_sizes().preferred), (1, 4096));
    ram.set_geometry(Geometry { logical_block: 8192, ..able(SIZE) });
    let new = server.client();
    assert_eq!((new.block_sizes().min, new.block_sizes().preferred), (1, 8192));
    for (mut client, at) in [(old, 512), (new, 8192)] {
        client.write(at, &noise(at, 4096), false).unwrap();
        let mut back = vec![0; 4096];
        client.read(at, &mut back).unwrap();
        assert!(back == noise(at, 4096));
    }
    assert!(ram.log().iter().all(|asked| asked.offset % 8192 == 0 && asked.len % 8192 == 0));
}

/// The device's last block holds 1000 bytes of padding. The twin is the byte behind the last.
#[test]
fn a_device_that_ends_within_a_block_is_served_to_its_last_byte() {
    use Command::{Read, Trim, Write, WriteZeroes};
    const END: u64 = SIZE as u64 - 1000;
    let ram = Ram::new(Geometry { logical_block: 4096, padding: 1000, ..able(SIZE) }, Manner::Inline);
    let server = Running::over(&ram);
    assert_eq!(server.client().size(), END);
    let mut client = server.raw();
    for (offset, length) in [(END - 1, 1), (END - 3096, 3096), (END - 5000, 5000), (END - 9, 5)] {
        for command in [Write, Read, WriteZeroes, Trim] {
            assert_eq!(ask(&mut client, &ram, command, offset, length), Served, "{command} at {offset}");
        }
    }
    assert_eq!(ask(&mut client, &ram, Read, END - 1, 2), Refused(ErrorNumber::Inval));
    assert_eq!(ask(&mut client, &ram, Write, END - 1, 2), Refused(ErrorNumber::NoSpc));
    assert_eq!(ask(&mut client, &ram, WriteZeroes, END, 1), Refused(ErrorNumber::NoSpc));
}

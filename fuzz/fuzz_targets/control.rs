//! The control socket: whatever a client sends, it is answered in a form that the client's end can read, and a device that says
//! it is active does I/O.
//!
//! The input is requests, one after another, as connections would bring them.
#![no_main]

// The program's own files: its other parts are large, and none of this reaches them.
#[path = "../../crates/udm-cli/src/control/request.rs"]
mod request;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/udm-cli/src/control/wire.rs"]
mod wire;

use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use request::Devices;
use udm_backend::Null;
use udm_block::blocking::Blocking;
use udm_block::memory::Heap;
use udm_block::{DeviceRef, Sectors, Status};
use udm_dm::load::{Lookup, LookupError};
use udm_dm::managed::{ManagedDevice, ManagedOptions};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;
use wire::{Request, read_answer, write_answer};

/// The most requests of one input.
const MOST: usize = 16;
/// What is served at first.
const TABLES: [(&str, &str); 2] = [
    (
        "disk",
        "0 64 crypt aes-xts-plain64 0123456789abcdef0123456789abcdefffeeddccbbaa99887766554433221100 0 a 0",
    ),
    ("other", "0 8 linear a 8\n8 8 zero"),
];

fuzz_target!(|sent: &[u8]| {
    let devices = Devices { all: TABLES.map(device).into(), files: Mutex::new(Box::new(Anything)) };
    let mut left = sent;
    for _ in 0..MOST {
        let Ok(request) = Request::read(&mut left) else { break };
        assert_same(&request);
        let answer = devices.answer(&request);
        let mut bytes = Vec::new();
        write_answer(&answer, &mut bytes).expect("memory takes everything");
        assert_eq!(read_answer(&bytes[..]).expect("a client reads every answer"), answer);
        devices.all.iter().for_each(serves);
    }
});

fn device((name, table): (&str, &str)) -> Arc<ManagedDevice> {
    let table = Table::parse(table).expect("the table is right");
    let reserves = Reserves { bios: 1, buffers: 1 };
    let (cipher, source) = (CipherChoice::default(), Arc::new(Heap));
    let options = ManagedOptions { read_only: false, cipher, source, reserves };
    ManagedDevice::create(name, table, &Anything, options).expect("the table fits")
}

/// A request is written as it was read.
fn assert_same(request: &Request) {
    let mut bytes = Vec::new();
    request.write(&mut bytes).expect("memory takes everything");
    let again = Request::read(&bytes[..]).expect("a request that was read");
    assert_eq!((again.command, &again.name), (request.command, &request.name));
    assert_eq!(again.text, request.text);
}

/// A device that is active ends its I/O: else this waits until the fuzzer calls it a fault. (One without a table has no
/// sector, and refuses it.)
fn serves(device: &Arc<ManagedDevice>) {
    // One that delays its reads answers when its time has come, which may be in 49 days.
    if device.info().suspended || device.status().contains(" delay ") {
        return;
    }
    let front = Blocking::new(Arc::clone(device) as DeviceRef).expect("this thread can drive I/O");
    let read = front.read_at(0, &mut [0; 512]);
    assert_ne!(read, Err(Status::Offline), "the device says that it is active");
}

/// A device of 64 KiB under each name. It keeps nothing.
struct Anything;

impl Lookup for Anything {
    fn device(&self, _: &str, block_size: u32) -> Result<DeviceRef, LookupError> {
        Ok(Arc::new(Null::new(Sectors(128)).offering(block_size, false)))
    }
}

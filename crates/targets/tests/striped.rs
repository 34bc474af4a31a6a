//! Stripes against their definition: chunks dealt out in turn; and the words of a row against the kernel's reasons.

use std::sync::Arc;

use udm_block::blocking::Blocking;
use udm_block::memory::Heap;
use udm_block::{Bytes, Geometry, Op, Sectors};
use udm_dm::managed::{ManagedDevice, ManagedOptions};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

use crate::support::{Disk, Shelf, open, parse, refs, stream};

const STRIPED: &str = "0 48 striped 3 4 a 1 b 0 c 5";
const STARTS: [usize; 3] = [1, 0, 5];

/// What is on the disks by the definition, of a row with these bytes.
fn dealt(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut disks: Vec<Vec<u8>> = STARTS.iter().map(|start| vec![0; start * 512]).collect();
    for (number, chunk) in bytes.chunks(4 * 512).enumerate() {
        disks[number % 3].extend_from_slice(chunk);
    }
    for disk in &mut disks {
        disk.resize(32 * 512, 0);
    }
    disks
}

fn on(disks: &[Disk]) -> Vec<Vec<u8>> {
    disks.iter().map(Disk::bytes).collect()
}

#[test]
fn chunks_are_dealt_out_in_turn() {
    let disks = [(); 3].map(|()| Disk::new(32));
    let front = Blocking::new(open(STRIPED, &disks).unwrap()).unwrap();
    let mut model = vec![0; 48 * 512];
    for (at, sectors) in [(0, 48), (3, 2), (4, 4), (11, 30), (47, 1)] {
        let mut bytes = stream(sectors * 512);
        for byte in &mut bytes {
            *byte ^= at as u8;
        }
        model[at * 512..][..bytes.len()].copy_from_slice(&bytes);
        front.write_at(at as u64 * 512, &bytes).unwrap();
        assert_eq!(on(&disks), dealt(&model), "{sectors} sectors at {at}");
    }
    let mut back = vec![0; model.len()];
    front.read_at(0, &mut back).unwrap();
    assert_eq!(back, model);
    // The bad twin: another order of the same disks is seen.
    let turned: Vec<_> = on(&disks).into_iter().rev().collect();
    assert_ne!(turned, dealt(&model));
}

#[test]
fn a_range_reaches_each_stripe_once() {
    let disks = [(); 3].map(|()| Disk::new(32));
    let front = Blocking::new(open(STRIPED, &disks).unwrap()).unwrap();
    let mut model = stream(48 * 512);
    front.write_at(0, &model).unwrap();
    for (op, at, sectors) in [(Op::Discard, 2, 41), (Op::WriteZeroes, 5, 2), (Op::WriteZeroes, 0, 48)] {
        for disk in &disks {
            disk.seen(op);
        }
        front.range(op, at * 512, Bytes(sectors * 512)).unwrap();
        model[at as usize * 512..][..sectors as usize * 512].fill(0);
        assert_eq!(on(&disks), dealt(&model), "{op:?}");
        assert!(disks.iter().all(|disk| disk.seen(op) <= 1));
    }
}

#[test]
fn a_flush_reaches_every_stripe() {
    let disks = [(); 3].map(|()| Disk::new(32));
    let front = Blocking::new(open(STRIPED, &disks).unwrap()).unwrap();
    front.flush().unwrap();
    assert_eq!(disks.each_ref().map(|disk| disk.seen(Op::Flush)), [1, 1, 1]);
    disks[2].fail();
    assert!(front.flush().is_err());
}

#[test]
fn status_says_which_stripe_had_an_error() {
    let disks = [(); 3].map(|()| Disk::new(32));
    let options = ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: Arc::new(Heap),
        reserves: Reserves::default(),
    };
    let device = ManagedDevice::create("s", parse(STRIPED), &Shelf(&refs(&disks)), options).unwrap();
    assert_eq!(device.status(), "0 48 striped 3 a b c 1 AAA\n");
    disks[1].fail();
    let front = Blocking::new(device.open().unwrap().device()).unwrap();
    assert!(front.write_at(0, &stream(48 * 512)).is_err());
    assert_eq!(device.status(), "0 48 striped 3 a b c 1 ADA\n");
}

#[test]
fn a_row_prints_as_it_was_read() {
    assert_eq!(parse(STRIPED).to_string().trim_end(), STRIPED);
    assert_ne!(parse(STRIPED), parse(&STRIPED.replace("c 5", "c 6")));
}

#[test]
fn a_wrong_row_is_refused_as_the_kernel_refuses_it() {
    for (row, column, kernel) in [
        ("0 48 striped 3", 14, "Not enough arguments"),
        ("0 48 striped 0 4 a 0", 14, "Invalid stripe count"),
        ("0 48 striped x 4 a 0", 14, "Invalid stripe count"),
        ("0 48 striped 2 0 a 0 b 0", 16, "Invalid chunk_size"),
        ("0 49 striped 2 4 a 0 b 0", 3, "Target length not divisible by number of stripes"),
        ("0 44 striped 2 4 a 0 b 0", 3, "Target length not divisible by chunk size"),
        ("0 48 striped 2 4 a 0", 20, "Not enough destinations specified"),
        ("0 48 striped 2 4 a 0 b 0 c", 26, "Not enough destinations specified"),
        ("0 48 striped 2 4 a 0 b y", 24, "Couldn't parse stripe destination"),
    ] {
        let error = Table::parse_with(udm_targets::all(), row).expect_err(row);
        let reason = error.kernel_reason().map(|reason| (reason.errno, reason.text));
        assert_eq!((error.column(), reason), (column, Some((22, kernel))), "{error}");
    }
    // Without the registry's entry nobody knows it.
    assert!(Table::parse(STRIPED).is_err());
}

#[test]
fn a_row_is_held_against_its_devices() {
    let disks = [Disk::new(17), Disk::new(16), Disk::new(20)];
    let error = open(STRIPED, &disks).err().expect("c is too short").to_string();
    assert!(error.contains("16 sectors from sector 5 of \"c\" leave the device"), "{error}");
    let large = Disk::with(Geometry { logical_block: 4096, ..Geometry::plain(Sectors(32)) });
    let error = open("0 48 striped 3 4 a 0 b 0 c 0", &[large.clone(), large.clone(), large]).err();
    assert!(error.expect("chunks of half a block").to_string().contains("chunk size"));
}

//! The delay against the clock, its devices by class, and the words of a row against the kernel's reasons.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use udm_block::Op;
use udm_block::blocking::Blocking;
use udm_block::memory::Heap;
use udm_dm::managed::{ManagedDevice, ManagedOptions, Suspend};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

use crate::support::{Disk, Shelf, open, parse, refs, stream};

fn took(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

#[test]
fn each_class_waits_for_its_time_and_goes_to_its_device() {
    let disks = [(); 3].map(|()| Disk::new(32));
    let front = Blocking::new(open("0 16 delay a 0 0 b 3 60 c 0 120", &disks).unwrap()).unwrap();
    let bytes = stream(16 * 512);
    let ms = Duration::from_millis;
    assert!(took(|| front.write_at(0, &bytes).unwrap()) >= ms(60));
    assert_eq!(disks[1].bytes()[3 * 512..19 * 512], bytes);
    assert!(took(|| front.flush().unwrap()) >= ms(120));
    assert_eq!(disks.each_ref().map(|disk| disk.seen(Op::Flush)), [0, 0, 1]);
    let mut back = bytes.clone();
    // The bad twin: what has no delay does not wait.
    assert!(took(|| front.read_at(0, &mut back).unwrap()) < ms(60));
    assert!(back.iter().all(|byte| *byte == 0), "a read is of the first device");
}

#[test]
fn one_device_is_for_all_and_many_wait_at_once() {
    let disks = [Disk::new(32)];
    let device = open("0 16 delay a 0 50", &disks).unwrap();
    let all = took(|| {
        thread::scope(|scope| {
            for at in 0..8 {
                let device = &device;
                scope.spawn(move || {
                    let front = Blocking::new(Arc::clone(device)).unwrap();
                    front.write_at(at * 1024, &stream(1024)).unwrap();
                });
            }
        });
    });
    assert!(all >= Duration::from_millis(50) && all < Duration::from_millis(8 * 50), "{all:?}");
    assert_eq!(disks[0].bytes()[..1024], stream(1024));
}

#[test]
fn a_suspend_does_not_wait_for_delays_and_status_counts_them() {
    let disks = [Disk::new(32)];
    let options = ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: Arc::new(Heap),
        reserves: Reserves::default(),
    };
    let table = parse("0 16 delay a 0 0 a 0 3600000");
    let device = ManagedDevice::create("d", table, &Shelf(&refs(&disks)), options).unwrap();
    let front = Blocking::new(device.open().unwrap().device()).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| front.write_at(0, &stream(512)));
        while device.status() != "0 16 delay 0 1 0\n" {
            thread::sleep(Duration::from_millis(1));
        }
        device.suspend(Suspend::default()).unwrap();
        writer.join().unwrap().unwrap();
    });
    assert_eq!(device.status(), "0 16 delay 0 0 0\n");
    device.resume().unwrap();
    // After a resume writes wait again.
    thread::scope(|scope| {
        let writer = scope.spawn(|| front.write_at(0, &stream(512)));
        while device.status() != "0 16 delay 0 1 0\n" {
            thread::sleep(Duration::from_millis(1));
        }
        device.suspend(Suspend::default()).unwrap();
        writer.join().unwrap().unwrap();
    });
}

#[test]
fn a_wrong_row_is_refused_as_the_kernel_refuses_it() {
    for (row, column, kernel) in [
        ("0 16 delay a 0", 14, "Requires exactly 3, 6 or 9 arguments"),
        ("0 16 delay a 0 1 b", 18, "Requires exactly 3, 6 or 9 arguments"),
        ("0 16 delay a x 1", 14, "Invalid device sector"),
        ("0 16 delay a 0 -1", 16, "Invalid delay"),
        ("0 16 delay a 0 1 b 0 y", 22, "Invalid delay"),
    ] {
        let error = Table::parse_with(udm_targets::all(), row).expect_err(row);
        let reason = error.kernel_reason().map(|reason| (reason.errno, reason.text));
        assert_eq!((error.column(), reason), (column, Some((22, kernel))), "{error}");
    }
    for row in ["0 16 delay a 0 1", "0 16 delay a 0 1 b 2 3", "0 16 delay a 0 1 b 2 3 c 4 5"] {
        assert_eq!(parse(row).to_string().trim_end(), row);
    }
}

//! I/O that is under way when something unusual happens: a target parks a flush; a suspend ends in a way that nobody planned.
//! Oracle: which disks were flushed, how often, and before which answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::disk::{Late, Ram, Seen, does};
use crate::support::{Shelf, heap, stream};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, Pad, Queue, Sector, Status,
};
use udm_dm::managed::{ManagedDevice, ManagedOptions, Suspend};
use udm_dm::mapped::{MappedDevice, MappedRow};
use udm_dm::table::Table;
use udm_dm::targets::crypt::CipherChoice;
use udm_dm::targets::linear::Linear;
use udm_dm::targets::{Reserves, Target};

struct Bare;

impl Pad for Bare {}

/// Passes on what comes, with a bio of its own for each flush; parks a flush for which there is none.
struct Parks {
    lower: DeviceRef,
    set: BioSet<Bare>,
}

struct ParksChannel {
    lower: ChannelId,
    bios: Bios<Bare>,
}

impl Target for Parks {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ParksChannel { lower: opening.open(&self.lower)?, bios: opening.bios(&self.set) }))
    }
}

impl Channel for ParksChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        if bio.op() == Op::Flush {
            let Ok(own) = self.bios.alloc(cx, Bare, Alloc::NoWait) else { return self.bios.park(cx, bio) };
            self.bios.free(own);
        }
        cx.submit(self.lower, bio);
    }
}

/// A device of two rows of eight sectors on two disks, the second of which parks flushes for want of a bio of `set`.
fn two_rows(disks: [DeviceRef; 2]) -> (DeviceRef, BioSet<Bare>) {
    let options = BioSetOptions { reserve: 1, limit: 0, stock: 0, ..BioSetOptions::named("parks") };
    let set = BioSet::new(&options, &heap()).unwrap();
    let [first, second] = disks;
    let row = |start, target| MappedRow { start: Sector(start), end: Sector(start + 8), target };
    let rows = vec![
        row(0, Box::new(Linear::new(first, Sector(0))) as Box<dyn Target>),
        row(8, Box::new(Parks { lower: second, set: set.clone() })),
    ];
    (MappedDevice::new(rows, &heap(), Reserves::default()).unwrap().into(), set)
}

fn flushes(disk: &Ram) -> usize {
    disk.seen().iter().filter(|Seen { op, .. }| *op == Op::Flush).count()
}

/// A flush that the second row's target parks goes on to the second disk: each disk is flushed once, before the answer.
#[test]
fn a_flush_that_a_target_parks_goes_on_to_its_own_disk() {
    // The end of the first disk's flush comes in the call, or on another thread, where no driver is being called.
    for late in [false, true] {
        for data in [false, true] {
            let disks = [Ram::new(64), Ram::new(64)];
            let as_device =
                |ram: &Arc<Ram>| -> DeviceRef { if late { Late::over(ram.clone(), 1) } else { ram.clone() } };
            let (device, set) = two_rows(disks.each_ref().map(as_device));
            let mut client = Client::new(&device);
            let mut queue = Queue::new().unwrap();
            let held = queue.bios(&set).alloc(queue.cx(), Bare, Alloc::NoWait);
            let held = held.ok().expect("the one of the reserve");
            if data {
                client.start(Op::Write, Flags::PREFLUSH, 12, &[512], &stream(1, 512));
            } else {
                client.start_range(Op::Flush, Flags::NONE, 0, 0);
            }
            let mut first = 0;
            for _ in 0..20_000 {
                client.look();
                first += flushes(&disks[0]);
                if first > 0 && set.waits().0.parked > 0 {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(
                (first, set.waits().0.parked),
                (1, 1),
                "late {late}, data {data}: flushed, and parked"
            );
            assert_eq!(disks[1].seen(), [], "late {late}, data {data}: what the second disk has seen");
            drop(held);
            assert_eq!(client.wait().status, Status::Ok);
            let seen = [&disks[0], &disks[1]].map(|disk| flushes(disk));
            assert_eq!(seen, [0, 1], "late {late}, data {data}: flushes before the answer");
        }
    }
}

/// What a disk does: its driver panics at a flush, or keeps its bios, as it is told.
struct Faulty {
    ram: Arc<Ram>,
    panics: AtomicBool,
    keeps: AtomicBool,
    kept: Mutex<Vec<Bio>>,
}

impl Faulty {
    fn serve(&self, cx: &mut Dispatch, bio: Bio) {
        assert!(!(self.panics.load(Ordering::SeqCst) && bio.op() == Op::Flush), "the driver panics");
        if self.keeps.load(Ordering::SeqCst) && bio.op() != Op::Flush {
            return self.kept.lock().unwrap().push(bio);
        }
        self.ram.serve(cx, bio);
    }
}

fn managed() -> (Arc<Faulty>, Arc<ManagedDevice>) {
    let faulty = Arc::new(Faulty {
        ram: Ram::new(64),
        panics: AtomicBool::new(false),
        keeps: AtomicBool::new(false),
        kept: Mutex::default(),
    });
    let serves = faulty.clone();
    let disk = does(faulty.ram.geometry(), move |cx, bio| serves.serve(cx, bio));
    let options = ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: heap(),
        reserves: Reserves::default(),
    };
    let table = Table::parse("0 64 linear disk 0").unwrap();
    let shelf: [(&str, DeviceRef); 1] = [("disk", disk)];
    let device = ManagedDevice::create("t", table, &Shelf(&shelf), options);
    (faulty, device.unwrap_or_else(|error| panic!("{error}")))
}

/// No time that a client can name overflows the clock: a suspend with all the patience there is waits for the I/O.
#[test]
fn a_suspend_with_endless_patience_waits_for_the_io() {
    for patience in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 62)] {
        let (disk, device) = managed();
        let mut client = Client::new(&(device.clone() as DeviceRef));
        disk.keeps.store(true, Ordering::SeqCst);
        client.start(Op::Write, Flags::NONE, 0, &[512], &stream(1, 512));
        thread::scope(|scope| {
            let suspend = scope.spawn(|| device.suspend(Suspend { flush: true, patience: Some(patience) }));
            // It waits, or has given up long before: then the join below says so.
            thread::sleep(Duration::from_millis(20));
            disk.keeps.store(false, Ordering::SeqCst);
            let kept = std::mem::take(&mut *disk.kept.lock().unwrap());
            for bio in kept {
                disk.ram.serve_elsewhere(bio);
            }
            assert_eq!(client.wait().status, Status::Ok);
            suspend.join().expect("a suspend does not panic").unwrap_or_else(|error| panic!("{error}"));
        });
        assert!(device.info().suspended);
        thread::scope(|scope| scope.spawn(|| device.resume().is_ok()).join().unwrap());
        assert_eq!(client.one(Op::Read, Flags::NONE, 0, &[512], &[0; 512]).status, Status::Ok);
    }
}

/// A suspend that panics leaves the device running, as one that fails does: nobody waits behind a closed gate.
#[test]
fn a_suspend_that_panics_opens_the_gate_again() {
    let (disk, device) = managed();
    let mut client = Client::new(&(device.clone() as DeviceRef));
    disk.panics.store(true, Ordering::SeqCst);
    let suspend = || catch_unwind(AssertUnwindSafe(|| device.suspend(Suspend::default()))).is_err();
    assert!(thread::scope(|scope| scope.spawn(suspend).join().unwrap()), "the driver's panic goes on");
    assert!(!device.info().suspended);
    assert_eq!(client.one(Op::Write, Flags::NONE, 3, &[512], &stream(2, 512)).status, Status::Ok);
    // And it can be suspended still.
    disk.panics.store(false, Ordering::SeqCst);
    let suspend = || device.suspend(Suspend::default()).is_ok();
    assert!(thread::scope(|scope| scope.spawn(suspend).join().unwrap()));
    assert!(device.info().suspended);
}

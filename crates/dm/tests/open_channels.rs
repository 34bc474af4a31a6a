//! Queues that have a managed device open while it changes: they open it and go while it is suspended or about to be, and
//! none is waited for when it is gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::support;
use crate::support::client::Client;
use crate::support::cut::{CUTS, WHOLE};
use crate::support::disk::{Late, Ram, does};
use crate::support::{Dice, Shelf, assert_same, heap, hex, stream};
use udm_block::blocking::Blocking;
use udm_block::{Bio, Channel, Device, DeviceRef, Flags, Geometry, Op, OpenError, Opening, Queue, Status};
use udm_dm::managed::{ManagedDevice, ManagedOptions, Suspend};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

const SECTORS: u64 = 2048;
/// Longer than any message is on its way.
const A_WHILE: Duration = Duration::from_millis(50);

fn make(table: &str, disk: DeviceRef) -> Arc<ManagedDevice> {
    let options = ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: heap(),
        reserves: Reserves::default(),
    };
    let table = Table::parse(table).unwrap_or_else(|error| panic!("{error}"));
    ManagedDevice::create("t", table, &Shelf(&[("disk", disk)]), options)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn linear(disk: DeviceRef) -> Arc<ManagedDevice> {
    make(&format!("0 {SECTORS} linear disk 0"), disk)
}

fn as_device(device: &Arc<ManagedDevice>) -> DeviceRef {
    Arc::clone(device) as DeviceRef
}

#[test]
fn a_channel_that_is_opened_while_the_device_is_suspended_holds() {
    let ram = Ram::new(SECTORS);
    let device = linear(ram.clone());
    device.suspend(Suspend::default()).unwrap();
    ram.seen();
    let mut client = Client::new(&as_device(&device));
    client.start(Op::Write, Flags::NONE, 5, &[512], &[5; 512]);
    client.look();
    assert_eq!((device.info().held, device.info().under_way), (1, 0));
    assert_eq!(ram.seen(), [], "something went below a suspended device");
    device.resume().unwrap();
    assert_eq!(client.wait().status, Status::Ok);
    assert_eq!((device.info().held, ram.bytes()[5 * 512]), (0, 5));
    // The twin: one that is opened now does not hold.
    assert_eq!(
        Client::new(&as_device(&device)).one(Op::Read, Flags::NONE, 5, &[512], &[0; 512]).bytes,
        [5; 512]
    );
}

/// A suspend waits for each queue. One that is opened while it waits holds too, and has the table of the end.
#[test]
fn a_channel_that_is_opened_while_a_suspend_waits_holds() {
    let (ram, kept) = (Ram::new(SECTORS), Arc::<Mutex<Vec<Bio>>>::default());
    let keeps = kept.clone();
    let disk = does(ram.geometry(), move |_, bio| keeps.lock().unwrap().push(bio));
    let device = linear(disk);
    let mut first = Client::new(&as_device(&device));
    first.start(Op::Read, Flags::NONE, 0, &[512], &[0; 512]);
    device.load(Table::parse(&format!("0 {SECTORS} zero")).unwrap(), &Shelf(&[])).unwrap();
    let mut second = thread::scope(|scope| {
        let suspend = scope.spawn(|| device.suspend(Suspend { flush: false, patience: None }));
        thread::sleep(A_WHILE);
        assert!(!suspend.is_finished(), "suspended with I/O under way");
        let mut second = Client::new(&as_device(&device));
        second.start(Op::Read, Flags::NONE, 3, &[512], &[7; 512]);
        second.look();
        assert_eq!((device.info().held, device.info().under_way), (1, 1));
        kept.lock().unwrap().drain(..).for_each(|bio| ram.serve_elsewhere(bio));
        first.during(|| suspend.join().unwrap()).unwrap();
        second
    });
    assert_eq!(device.info().held, 1);
    device.resume().unwrap();
    // It goes to the table that was taken up.
    assert_eq!(second.wait().bytes, [0; 512]);
    assert_eq!(first.wait().status, Status::Ok);
    assert!(kept.lock().unwrap().is_empty());
}

/// Neither does a suspend wait for a queue that is dropped, nor a removal; while it is there they do.
#[test]
fn a_queue_that_is_dropped_while_the_device_waits_for_its_answer_is_not_waited_for() {
    for removes in [false, true] {
        let device = linear(Ram::new(SECTORS));
        let (opened, hear_opened) = mpsc::channel();
        let (drop_it, hear_drop) = mpsc::channel::<()>();
        let to_open = as_device(&device);
        // Nobody drives this one: it is no client of `support`.
        let owner = thread::spawn(move || {
            let mut queue = Queue::new().unwrap();
            queue.open(&to_open).unwrap();
            opened.send(()).unwrap();
            hear_drop.recv().unwrap();
        });
        hear_opened.recv().unwrap();
        thread::scope(|scope| {
            let change = scope.spawn(|| {
                if removes {
                    device.remove()
                } else {
                    device.suspend(Suspend { flush: true, patience: None })
                }
            });
            thread::sleep(A_WHILE);
            assert!(!change.is_finished(), "a queue that has the device open has not answered");
            drop_it.send(()).unwrap();
            change.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
        });
        owner.join().unwrap();
        // Whoever closes the device only, and keeps the queue, is not waited for either.
        let device = linear(Ram::new(SECTORS));
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(&as_device(&device)).unwrap();
        queue.close(channel);
        device.suspend(Suspend::default()).unwrap();
    }
}

/// A queue that does not answer in time leaves the device running, as I/O does that does not end.
#[test]
fn a_suspend_that_a_queue_does_not_answer_ends_with_its_patience() {
    let device = linear(Ram::new(SECTORS));
    let mut queue = Queue::new().unwrap();
    queue.open(&as_device(&device)).unwrap();
    let how = Suspend { flush: true, patience: Some(Duration::from_millis(20)) };
    let error = device.suspend(how).unwrap_err();
    assert!(error.errno() == 110 && error.to_string().contains("not answered"), "{error}");
    assert!(!device.info().suspended);
    let mut client = Client::new(&as_device(&device));
    assert_eq!(client.one(Op::Write, Flags::NONE, 3, &[512], &[3; 512]).status, Status::Ok);
    // The answer that comes late is one to nobody.
    queue.run();
    drop(queue);
    device.suspend(how).unwrap();
}

#[test]
fn a_device_that_a_queue_has_open_is_not_removed() {
    let device = linear(Ram::new(SECTORS));
    let open = device.open().unwrap();
    let mut client = Client::new(&open.device());
    let error = device.remove().unwrap_err();
    assert!(error.errno() == 16 && error.to_string().contains("in use by 1"), "{error}");
    // It has lost nothing by the attempt.
    assert_eq!(client.one(Op::Write, Flags::NONE, 3, &[512], &[3; 512]).status, Status::Ok);
    drop(open);
    // Who did not count itself a user is not asked: its I/O fails from now on.
    device.remove().unwrap();
    assert_eq!(client.one(Op::Read, Flags::NONE, 3, &[512], &[3; 512]).status, Status::Offline);
}

/// Four threads write and read back, each over its own queue: two as clients, one over a linear device on top, one by the
/// front door. The table is loaded anew 200 times under them, now of one row and now of two, over a disk that ends bios
/// late and out of order. The oracle is what each has written last.
#[test]
fn nothing_is_lost_while_the_table_is_loaded_anew_200_times() {
    let seed = std::env::var("UDM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x4e10);
    println!("UDM_SEED={seed}");
    let key = hex(&stream(1, 64));
    let half = SECTORS / 2 + 3;
    let one = format!("0 {SECTORS} crypt aes-xts-plain64 {key} 0 disk 0");
    let two = format!(
        "0 {half} crypt aes-xts-plain64 {key} 0 disk 0\n\
         {half} {} crypt aes-xts-plain64 {key} {half} disk {half}",
        SECTORS - half
    );
    let device = make(&one, Late::over(Ram::new(SECTORS), seed));
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..4 {
            let (device, stop, rounds) = (as_device(&device), &stop, &rounds);
            scope.spawn(move || play(number, &device, seed + number, stop, rounds));
        }
        let mut dice = Dice(!seed);
        for reload in 0..200 {
            let table = if reload % 2 == 0 { &two } else { &one };
            device.load(Table::parse(table).unwrap(), &Shelf(&[])).unwrap();
            device.resume().unwrap();
            thread::sleep(Duration::from_micros(dice.below(2000)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let rounds = rounds.into_inner();
    println!("{rounds} rounds of I/O during 200 reloads");
    assert!(rounds > 200, "the clients stood still");
    assert_eq!((device.info().held, device.info().under_way), (0, 0));
}

/// Writes bytes at a sector, and reads them back.
type Transfer = Box<dyn FnMut(u64, &[u8]) -> Vec<u8>>;

/// The way of the client `number`: the last one's is the front door, another's goes by a table on top.
fn transfer(number: u64, device: &DeviceRef) -> Transfer {
    if number == 3 {
        let door = Blocking::new(DeviceRef::clone(device)).unwrap();
        return Box::new(move |sector, bytes| {
            let mut read = vec![0; bytes.len()];
            door.write_at(sector * 512, bytes).unwrap();
            door.read_at(sector * 512, &mut read).unwrap();
            read
        });
    }
    let over = map_over(device);
    let mut client = Client::new(if number == 2 { &over } else { device });
    Box::new(move |sector, bytes| {
        client.write(sector, bytes, CUTS[7], 512);
        client.read(sector, bytes.len(), WHOLE, 512)
    })
}

/// Writes and reads the quarter number `number` of the device until it is told to stop.
fn play(number: u64, device: &DeviceRef, seed: u64, stop: &AtomicBool, rounds: &AtomicU64) {
    let quarter = SECTORS / 4;
    let mut dice = Dice(seed);
    let mut transfer = transfer(number, device);
    while !stop.load(Ordering::Relaxed) {
        let sectors = 1 + dice.below(64);
        let sector = number * quarter + dice.below(quarter - sectors + 1);
        let bytes = stream(dice.0, sectors as usize * 512);
        assert_same(&transfer(sector, &bytes), &bytes, &format!("client {number}, sector {sector}"));
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

fn map_over(device: &DeviceRef) -> DeviceRef {
    support::try_map(
        &format!("0 {SECTORS} linear below 0"),
        &[("below", DeviceRef::clone(device))],
        &CipherChoice::default(),
    )
    .unwrap()
}

/// A disk that queues can open so many times.
struct OpensTimes(Arc<Ram>, AtomicU64);

impl Device for OpensTimes {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| OpenError::Gone)?;
        self.0.open(opening)
    }
}

/// A queue that cannot open the new table fails what it is given, and tries again at the next resume.
#[test]
fn a_queue_that_cannot_open_the_new_table_fails_its_io_until_it_can() {
    let disk = Arc::new(OpensTimes(Ram::new(SECTORS), AtomicU64::new(1)));
    let device = linear(disk.clone());
    let mut client = Client::new(&as_device(&device));
    let mut write = |sector| client.one(Op::Write, Flags::NONE, sector, &[512], &[9; 512]).status;
    assert_eq!(write(0), Status::Ok);
    let twice = format!("0 {SECTORS} linear disk 0");
    device.load(Table::parse(&twice).unwrap(), &Shelf(&[])).unwrap();
    // The flush of the suspend opens the disk, too.
    disk.1.store(1, Ordering::SeqCst);
    device.resume().unwrap();
    assert_eq!(write(1), Status::IoErr);
    disk.1.store(2, Ordering::SeqCst);
    device.suspend(Suspend::default()).unwrap();
    device.resume().unwrap();
    assert_eq!(write(2), Status::Ok);
    assert_eq!(disk.1.load(Ordering::SeqCst), 0);
    // A queue that cannot open it from the start is told so.
    assert!(matches!(Queue::new().unwrap().open(&as_device(&device)), Err(OpenError::Gone)));
    device.suspend(Suspend { flush: false, patience: None }).unwrap();
}

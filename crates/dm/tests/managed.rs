//! A managed device under I/O: what is suspended holds, drains and goes on in order; tables are replaced, and grow;
//! what goes wrong leaves the device as it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support;
use crate::support::client::Client;
use crate::support::cut::WHOLE;
use crate::support::disk::{Late, Ram, Seen, does};
use crate::support::{Dice, Shelf, assert_same, heap, hex, stream};
use udm_block::{Bio, Device, DeviceRef, Dispatch, Flags, Op, Sector, Sectors, Status};
use udm_dm::managed::{ManagedDevice, ManagedOptions, Suspend, TableSlot};
use udm_dm::table::{ShowKeys, Table};
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

const SECTORS: u64 = 2048;

fn options() -> ManagedOptions {
    ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: heap(),
        reserves: Reserves::default(),
    }
}

fn key(seed: u64) -> String {
    hex(&stream(seed, 64))
}

fn crypt(sectors: u64, seed: u64) -> Table {
    parse(&format!("0 {sectors} crypt aes-xts-plain64 {} 0 disk 0", key(seed)))
}

fn parse(table: &str) -> Table {
    Table::parse(table).unwrap_or_else(|error| panic!("{error}"))
}

fn make(table: Table, disk: &DeviceRef) -> Arc<ManagedDevice> {
    let shelf = [("disk", DeviceRef::clone(disk))];
    ManagedDevice::create("t", table, &Shelf(&shelf), options()).unwrap_or_else(|error| panic!("{error}"))
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if is() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it never came that {what}");
}

/// What a disk does that keeps its bios until it is told to serve them.
struct Stuck {
    ram: Arc<Ram>,
    kept: Mutex<Vec<Bio>>,
    keeps: AtomicBool,
}

impl Stuck {
    fn new() -> (Arc<Self>, DeviceRef) {
        let ram = Ram::new(SECTORS);
        let geometry = ram.geometry();
        let stuck = Arc::new(Self { ram, kept: Mutex::default(), keeps: AtomicBool::new(false) });
        let serves = stuck.clone();
        (stuck, does(geometry, move |cx, bio| serves.serve(cx, bio)))
    }

    fn serve(&self, cx: &mut Dispatch, bio: Bio) {
        if self.keeps.load(Ordering::SeqCst) {
            return self.kept.lock().unwrap().push(bio);
        }
        self.ram.serve(cx, bio);
    }

    fn let_go(&self) {
        self.keeps.store(false, Ordering::SeqCst);
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        for bio in kept {
            self.ram.serve_elsewhere(bio);
        }
    }
}

/// A disk that cannot flush.
fn no_flush() -> DeviceRef {
    let ram = Ram::new(SECTORS);
    does(ram.geometry(), move |cx, bio| match bio.op() {
        Op::Flush => cx.complete(bio, Status::IoErr),
        _ => ram.serve(cx, bio),
    })
}

#[test]
fn a_suspended_device_holds_what_comes_and_a_resume_lets_it_go_in_order() {
    let ram = Ram::new(SECTORS);
    let device = make(parse("0 2048 linear disk 0"), &(Arc::clone(&ram) as DeviceRef));
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    device.suspend(Suspend::default()).unwrap();
    ram.seen();
    for sector in [7, 3, 99, 0, 42] {
        client.start(Op::Write, Flags::NONE, sector, &[512], &[sector as u8; 512]);
    }
    let info = device.info();
    assert_eq!((info.held, info.under_way, info.attributes().as_str()), (5, 0, "L-sw"));
    assert_eq!(ram.seen(), [], "something went below a suspended device");
    device.resume().unwrap();
    for _ in 0..5 {
        assert_eq!(client.wait().status, Status::Ok);
    }
    let order: Vec<_> = ram.seen().iter().map(|seen| seen.sector).collect();
    assert_eq!(order, [7, 3, 99, 0, 42]);
    assert_eq!((device.info().held, device.info().under_way), (0, 0));
}

#[test]
fn a_suspend_waits_for_what_is_under_way_and_then_flushes() {
    let (disk, disk_ref) = Stuck::new();
    let device = make(crypt(SECTORS, 1), &disk_ref);
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    disk.keeps.store(true, Ordering::SeqCst);
    client.start(Op::Write, Flags::NONE, 0, &[4096], &stream(2, 4096));
    client.start(Op::Read, Flags::NONE, 64, &[4096], &[0; 4096]);
    let kept = thread::scope(|scope| {
        let suspend = scope.spawn(|| device.suspend(Suspend::default()));
        thread::sleep(Duration::from_millis(50));
        assert!(!suspend.is_finished(), "suspended with I/O under way");
        assert_eq!((device.info().under_way, device.info().suspended), (2, false));
        let kept = disk.kept.lock().unwrap().len();
        disk.ram.seen();
        disk.let_go();
        client.during(|| suspend.join().unwrap().unwrap());
        kept
    });
    client.wait();
    client.wait();
    assert_eq!(kept, 2, "flushed with I/O under way");
    let seen: Vec<_> = disk.ram.seen().iter().map(|seen| seen.op).collect();
    assert_eq!(seen, [Op::Write, Op::Read, Op::Flush]);
    assert!(device.info().suspended);
    // Without a flush there is none.
    device.resume().unwrap();
    device.suspend(Suspend { flush: false, patience: None }).unwrap();
    assert_eq!(disk.ram.seen(), []);
}

#[test]
fn a_suspend_that_takes_too_long_or_cannot_flush_leaves_the_device_running() {
    let (disk, disk_ref) = Stuck::new();
    let device = make(crypt(SECTORS, 1), &disk_ref);
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    disk.keeps.store(true, Ordering::SeqCst);
    client.start(Op::Read, Flags::NONE, 0, &[512], &[0; 512]);
    let how = Suspend { flush: true, patience: Some(Duration::from_millis(20)) };
    let error = device.suspend(how).unwrap_err();
    assert!(error.errno() == 110 && error.to_string().contains("1 I/Os"), "{error}");
    disk.let_go();
    assert_eq!(client.wait().status, Status::Ok);
    assert_eq!(client.range(Op::Flush, Flags::NONE, 0, 0), Status::Ok, "the device does not run on");

    drop(client);
    let device = make(crypt(SECTORS, 1), &no_flush());
    let error = device.suspend(Suspend::default()).unwrap_err();
    assert!(error.errno() == 5 && error.to_string().contains("--noflush"), "{error}");
    assert!(!device.info().suspended);
    device.suspend(Suspend { flush: false, patience: None }).unwrap();
}

#[test]
fn a_table_grows_and_shrinks_under_its_clients() {
    let ram = Ram::new(SECTORS);
    let disk = Arc::clone(&ram) as DeviceRef;
    let device = make(parse("0 64 linear disk 0"), &disk);
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    assert_eq!(client.one(Op::Read, Flags::NONE, 64, &[512], &[0; 512]).status, Status::IoErr);
    device.load(parse("0 32 linear disk 0\n32 96 linear disk 512"), &Shelf(&[])).unwrap();
    assert_eq!(device.geometry().size, Sectors(64), "a loaded table is not live");
    device.suspend(Suspend::default()).unwrap();
    // It is checked against the table that it meets, not against the one that it came to.
    client.start(Op::Write, Flags::NONE, 100, &[512], &[9; 512]);
    assert_eq!(client.wait().status, Status::IoErr, "the size is that of the live table");
    client.start(Op::Write, Flags::NONE, 40, &[512], &[8; 512]);
    device.resume().unwrap();
    assert_eq!(client.wait().status, Status::Ok);
    assert_eq!(device.geometry().size, Sectors(128));
    assert_eq!(ram.bytes()[(512 + 8) * 512], 8);
    // A resume that takes a table up suspends by itself; what was held for a longer table fails when it does not fit.
    device.load(parse("0 8 linear disk 0"), &Shelf(&[])).unwrap();
    device.resume().unwrap();
    assert_eq!(client.one(Op::Read, Flags::NONE, 8, &[512], &[0; 512]).status, Status::IoErr);
    assert_eq!(client.one(Op::Read, Flags::NONE, 7, &[512], &[0; 512]).status, Status::Ok);
    assert_eq!(device.table(TableSlot::Live, ShowKeys::Hidden).as_str(), "0 8 linear disk 0\n");
}

#[test]
fn what_is_refused_changes_nothing() {
    let disk = Ram::new(SECTORS) as DeviceRef;
    let device = make(crypt(SECTORS, 1), &disk);
    let shown = || device.table(TableSlot::Live, ShowKeys::Shown).to_string();
    let before = shown();
    let error = device.load(crypt(SECTORS * 2, 1), &Shelf(&[])).unwrap_err();
    assert!(error.to_string().contains("leave"), "{error}");
    assert!(!device.info().inactive);
    device.suspend(Suspend::default()).unwrap();
    for (message, says) in [
        ("key set 00", "give 32, 48 or 64"),
        (&*format!("key set {}", &key(2)[..64]), "the key has 32 bytes, and that of the table has 64"),
        ("key set -", "needs one"),
        (&*format!("key set {}x", &key(2)[1..]), "hex digit"),
        (&*format!("{} set key", key(2)), "does not know this message of 3 words"),
        ("", "the message is empty"),
        ("key", "does not know"),
    ] {
        let error = device.message(Sector(0), message).unwrap_err();
        assert!(error.to_string().contains(says), "{message}: {error}");
        assert!(!format!("{error} {error:?}").contains(&key(2)[1..17]), "a key is in {error}");
    }
    assert!(device.message(Sector(SECTORS), "key wipe").unwrap_err().to_string().contains("behind"));
    assert_eq!(shown(), before);
    device.resume().unwrap();
    // A wiped key stays wiped when another is refused.
    device.suspend(Suspend::default()).unwrap();
    device.message(Sector(9), "key wipe").unwrap();
    assert_eq!(device.message(Sector(0), "key set 00").unwrap_err().errno(), 22);
    assert_eq!(device.resume().unwrap_err().errno(), 11);
    assert!(device.info().key_wiped && device.info().suspended);
    assert!(!shown().contains(&key(1)[..16]));
}

#[test]
fn one_row_of_several_is_wiped_and_set() {
    let disk = Ram::new(SECTORS) as DeviceRef;
    let table = format!(
        "0 64 crypt aes-xts-plain64 {} 0 disk 0\n64 64 crypt aes-cbc-plain64 {} 0 disk 64",
        key(1),
        &key(2)[..64]
    );
    let device = make(parse(&table), &disk);
    let device_ref = Arc::clone(&device) as DeviceRef;
    let bytes = stream(3, 128 * 512);
    Client::new(&device_ref).write(0, &bytes, WHOLE, 512);
    device.suspend(Suspend::default()).unwrap();
    device.message(Sector(64), "key wipe").unwrap();
    let text = device.table(TableSlot::Live, ShowKeys::Shown);
    assert!(text.contains(&key(1)) && !text.contains(&key(2)[..64]));
    device.message(Sector(0), "key wipe").unwrap();
    device.message(Sector(127), &format!("key set {}", &key(2)[..64])).unwrap();
    assert_eq!(device.resume().unwrap_err().errno(), 11, "the other row has no key");
    device.message(Sector(0), &format!("key set {}", key(1))).unwrap();
    device.resume().unwrap();
    let read = Client::new(&device_ref).read(0, bytes.len(), WHOLE, 512);
    assert_same(&read, &bytes, &"two rows");
}

#[test]
fn close_and_remove_let_nobody_wait() {
    let disk = Ram::new(SECTORS) as DeviceRef;
    let device = make(crypt(SECTORS, 1), &disk);
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    device.suspend(Suspend::default()).unwrap();
    client.start(Op::Write, Flags::NONE, 0, &[512], &[1; 512]);
    device.close();
    assert_eq!(client.wait().status, Status::Offline);
    assert_eq!(client.one(Op::Read, Flags::NONE, 0, &[512], &[1; 512]).status, Status::Offline);
    assert_eq!(device.resume().unwrap_err().errno(), 6);

    let device = make(crypt(SECTORS, 1), &disk);
    drop(client);
    let open = device.open().unwrap();
    assert_eq!(device.remove().unwrap_err().errno(), 16);
    drop(open);
    device.remove().unwrap();
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    assert_eq!(client.one(Op::Read, Flags::NONE, 0, &[512], &[1; 512]).status, Status::Offline);
    assert_eq!(device.open().err().expect("it is removed").errno(), 6);
}

/// Clients on three threads write and read back over a disk that ends bios late and out of order, while the device is
/// suspended, its key is wiped and set, and its table is loaded anew, again and again. The oracle is what each client
/// wrote last.
#[test]
fn clients_see_nothing_of_the_changes_under_them() {
    let seed = std::env::var("UDM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x11fe);
    println!("UDM_SEED={seed}");
    let disk = Late::over(Ram::new(SECTORS), seed) as DeviceRef;
    let device = make(crypt(SECTORS, 1), &disk);
    let stop = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let (device, stop) = (Arc::clone(&device) as DeviceRef, &stop);
                scope.spawn(move || play_client(&device, number, seed, stop))
            })
            .collect();
        let mut dice = Dice(seed ^ 1);
        for _ in 0..60 {
            match dice.below(3) {
                0 => device.suspend(Suspend { flush: dice.below(2) == 0, patience: None }).unwrap(),
                1 => {
                    device.suspend(Suspend::default()).unwrap();
                    device.message(Sector(0), "key wipe").unwrap();
                    thread::sleep(Duration::from_millis(dice.below(3)));
                    device.message(Sector(0), &format!("key set {}", key(1))).unwrap();
                }
                _ => device.load(crypt(SECTORS, 1), &Shelf(&[])).unwrap(),
            }
            device.resume().unwrap();
            thread::sleep(Duration::from_millis(dice.below(4)));
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum::<u64>()
    });
    until("all I/O has ended", || device.info().under_way == 0);
    println!("{rounds} rounds of I/O during 60 changes");
    assert!(rounds > 60, "the clients stood still");
}

/// Writes and reads the client's third of the device.
fn play_client(device: &DeviceRef, number: u64, seed: u64, stop: &AtomicBool) -> u64 {
    let third = SECTORS / 3 / 8 * 8;
    let (mut client, mut dice, mut rounds) = (Client::new(device), Dice(seed + number + 2), 0);
    while !stop.load(Ordering::Relaxed) {
        let len = 8 * (1 + dice.below(8));
        let sector = number * third + dice.below(third - len + 1);
        let bytes = stream(dice.0, len as usize * 512);
        client.write(sector, &bytes, WHOLE, 512);
        let read = client.read(sector, bytes.len(), WHOLE, 512);
        assert_same(&read, &bytes, &format!("client {number}, sector {sector}"));
        rounds += 1;
    }
    rounds
}

/// With all reserves at one and no memory beside, suspends come and go while bios are parked on every pool.
#[test]
fn a_starving_device_is_suspended_and_resumed() {
    use udm_block::memory::{Refuse, Source, Starving};
    let starving = Starving::new(heap());
    let disk = Late::over(Ram::new(SECTORS), 5) as DeviceRef;
    let options = ManagedOptions {
        source: Arc::clone(&starving) as Source,
        reserves: Reserves { bios: 1, buffers: 1 },
        ..options()
    };
    let device = ManagedDevice::create("t", crypt(SECTORS, 1), &Shelf(&[("disk", disk)]), options).unwrap();
    starving.refuse(Refuse::Always);
    let mut client = Client::new(&(Arc::clone(&device) as DeviceRef));
    for round in 0..20 {
        for part in 0..16 {
            client.start(Op::Write, Flags::NONE, part * 8, &[4096], &stream(round * 16 + part, 4096));
        }
        let how = Suspend { flush: round % 2 == 0, patience: None };
        client.during(|| device.suspend(how)).unwrap();
        device.resume().unwrap();
        while client.under_way() > 0 {
            assert_eq!(client.wait().status, Status::Ok);
        }
        for part in 0..16 {
            let read = client.read(part * 8, 4096, WHOLE, 512);
            assert_same(&read, &stream(round * 16 + part, 4096), &format!("round {round}, part {part}"));
        }
    }
    // No other test here has a dry pool.
    assert!(udm_block::mempool::Waits::of_process().parked > 100, "nothing had to wait");
}

/// The oracle is the device of the same table that is not managed.
#[test]
fn a_managed_device_sends_what_its_table_sends() {
    let table = "0 64 linear disk 0\n64 64 linear disk 256";
    let seen = |managed: bool| -> Vec<Seen> {
        let ram = Ram::new(SECTORS);
        let disk = Arc::clone(&ram) as DeviceRef;
        let device = if managed { make(parse(table), &disk) as DeviceRef } else { support::map(table, &ram) };
        let mut client = Client::new(&device);
        client.one(Op::Write, Flags::FUA, 60, &[512 * 3, 512 * 5], &stream(1, 4096));
        client.range(Op::Discard, Flags::NONE, 8, 512 * 100);
        client.range(Op::Flush, Flags::NONE, 0, 0);
        client.one(Op::Read, Flags::NONE, 62, &[4096], &[0; 4096]);
        ram.seen()
    };
    assert_eq!(seen(true), seen(false));
    assert_eq!(seen(true).len(), 8);
}

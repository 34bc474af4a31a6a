//! No byte of a key is left in the memory of the process after `key wipe` and after `remove`: all of its writable memory
//! is searched. That the search finds a key is shown while the key is set.
//!
//! One test alone: another one's memory would be searched with it.

mod support;

use std::any::Any;
use std::hint::black_box;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, mpsc};
use std::thread::{self, Scope};
use std::time::Duration;

use support::client::Client;
use support::cut::WHOLE;
use support::disk::Ram;
use support::{Shelf, heap, stream};
use udm_block::blocking::Blocking;
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, Pad, PagePool, PagePoolOptions, Queue, Sector, Status, stack,
};
use udm_crypto::{Algorithm, Hash, Listing, Mode, Registry, Standing};
use udm_dm::managed::{ManagedDevice, ManagedOptions, Suspend, TableSlot};
use udm_dm::table::{ShowKeys, Table};
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;
use udm_testkit::secrets::{Masked, find};
use zeroize::Zeroizing;

/// `text` with the key in hexadecimal for `KEY`, in a buffer that does not grow.
fn with_key(text: &str, key: &Masked) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 2 * 64));
    let (before, after) = text.split_once("KEY").expect("a place for the key");
    line.push_str(before);
    for byte in key.bytes() {
        line.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap()));
    }
    line.push_str(after);
    line
}

/// The key as digits, as a table's text has it.
fn digits(key: &Masked) -> Masked {
    let mut text = with_key("KEY", key);
    let masked = Masked::of(std::mem::take(&mut *text).into_bytes());
    drop(text);
    masked
}

/// A disk below, whose driver leaves the key on the stack of each thread that comes to it, as a cipher's round keys may be
/// left there: which ciphers do so is the compiler's choice and the processor's.
struct Spills {
    disk: DeviceRef,
    key: Arc<Masked>,
}

struct SpillsChannel {
    lower: ChannelId,
    key: Arc<Masked>,
}

impl Device for Spills {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(SpillsChannel { lower: opening.open(&self.disk)?, key: Arc::clone(&self.key) }))
    }
}

impl Channel for SpillsChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        spill(&self.key, 8);
        cx.submit(self.lower, bio);
    }
}

/// Leaves the key in a frame, `deep` frames down: below all that other code uses, which may take what it finds in its own
/// frames for padding, and copy it.
#[inline(never)]
fn spill(key: &Masked, deep: usize) {
    let mut frame = [0u8; 4096];
    if deep > 0 {
        spill(key, deep - 1);
    } else {
        frame.iter_mut().zip(key.bytes()).for_each(|(byte, of_key)| *byte = of_key);
    }
    black_box(&mut frame);
}

/// The salt of essiv, where the cipher has one: its cipher's key, which is as secret.
fn salt(cipher: &str, key: &Masked) -> Option<Masked> {
    let bytes = Zeroizing::new(key.bytes().collect::<Vec<_>>());
    cipher.contains("essiv").then(|| Masked::of(std::mem::take(&mut *Hash::Sha256.digest(&bytes))))
}

/// Writes and reads, so that the ciphers have run.
fn use_it(device: &Arc<ManagedDevice>) {
    let device = Arc::clone(device) as DeviceRef;
    let bytes = stream(99, 64 << 10);
    let mut client = Client::new(&device);
    client.write(0, &bytes, WHOLE, 512);
    assert!(client.read(0, bytes.len(), WHOLE, 512) == bytes);
}

/// A thread that works with the key in its own way, and then does nothing until what is returned goes.
fn idle<'scope>(
    scope: &'scope Scope<'scope, '_>,
    device: &DeviceRef,
    work: impl FnOnce(&DeviceRef) -> Box<dyn Any> + Send + 'scope,
) -> mpsc::Sender<()> {
    let (end, ends) = mpsc::channel();
    let (say, hear) = mpsc::channel();
    let device = DeviceRef::clone(device);
    scope.spawn(move || {
        let kept = work(&device);
        say.send(()).unwrap();
        let _ = ends.recv();
        drop(kept);
    });
    hear.recv().unwrap();
    end
}

/// The pad of a bio that tells nothing but its end.
struct Bare;

impl Pad for Bare {}

/// A thread that has worked with the key, and drives its queue until what is returned goes.
fn driving<'scope>(scope: &'scope Scope<'scope, '_>, device: &DeviceRef) -> mpsc::Sender<()> {
    let (end, ends) = mpsc::channel::<()>();
    let (say, hear) = mpsc::channel();
    let device = DeviceRef::clone(device);
    scope.spawn(move || {
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(&device).unwrap();
        let mut bios = queue.bios(&BioSet::new(&BioSetOptions::named("driving"), &heap()).unwrap());
        let pages = PagePoolOptions { name: "driving", largest: 4096, reserve: 1, limit: 0, stock: 0 };
        let mut buffers = PagePool::new(pages, &heap()).unwrap().buffers();
        let mut bio = bios.alloc(queue.cx(), Bare, Alloc::NoWait).ok().unwrap();
        bio.prepare(Op::Read, Flags::NONE, Sector(0));
        bio.set_pages(buffers.alloc(queue.cx(), Bytes(4096), Alloc::NoWait).unwrap(), Bytes(4096));
        queue.submit(channel, bio);
        while ends.try_recv() == Err(TryRecvError::Empty) {
            queue.wait(&mut [], Some(Duration::from_millis(1))).unwrap();
            if let Some(bio) = queue.take_ended() {
                let mut bio = bios.claim(bio).ok().unwrap();
                assert_eq!(bio.status(), Status::Ok);
                buffers.free(bio.take_pages().unwrap());
                bios.free(bio);
                say.send(()).unwrap();
            }
        }
    });
    hear.recv().unwrap();
    end
}

/// Threads that have worked with the key and do nothing now: one has the front door, one a queue that has the device open,
/// one a queue that has closed it. And one that drives its queue.
fn idle_threads<'scope>(scope: &'scope Scope<'scope, '_>, device: &DeviceRef) -> [mpsc::Sender<()>; 4] {
    let reads = |client: &mut Client| assert_eq!(client.read(0, 4096, WHOLE, 512), stream(99, 4096));
    let front_door = idle(scope, device, |device| {
        let door = Blocking::new(DeviceRef::clone(device)).unwrap();
        let mut bytes = vec![0; 4096];
        door.read_at(0, &mut bytes).unwrap();
        door.write_at(0, &bytes).unwrap();
        Box::new(door)
    });
    let open = idle(scope, device, move |device| {
        let mut client = Client::new(device);
        reads(&mut client);
        Box::new(client)
    });
    let closed = idle(scope, device, move |device| {
        let mut client = Client::new(device);
        reads(&mut client);
        client.close();
        Box::new(client)
    });
    [front_door, open, closed, driving(scope, device)]
}

/// Whether the device has become shorter: the sign for a client to end.
fn hear_end(device: &DeviceRef) -> bool {
    device.geometry().size.0 == 1024
}

#[test]
fn no_byte_of_a_key_outlives_a_wipe_or_a_remove() {
    let all = Registry::global().list_of(Algorithm::aes(Mode::Xts));
    let works =
        |driver: &&Listing<'_>| !matches!(driver.standing, Standing::Lacking(_) | Standing::Failed(_));
    let drivers: Vec<_> = all.iter().filter(works).map(|driver| driver.info.name).collect();
    for by_name in ["portable", "threads", "offload-sim"] {
        assert!(drivers.contains(&by_name), "{drivers:?}");
    }
    for (number, driver) in drivers.into_iter().enumerate() {
        for (cipher, bytes) in [("aes-xts-plain64", 64), ("aes-cbc-essiv:sha256", 32), ("aes-xts-eboiv", 64)]
        {
            let what = format!("{driver}, {cipher}");
            let key = stream(number as u64 * 100 + bytes as u64 + cipher.len() as u64, bytes);
            let key = Arc::new(Masked::new(key));
            // What the test makes of the key is not to be found for what the device leaves.
            let (digits, salt) = stack::wiped(|| (digits(&key), salt(cipher, &key)));
            let secrets = || {
                [("key", Some(&*key)), ("digits", Some(&digits)), ("salt", salt.as_ref())]
                    .into_iter()
                    .filter_map(|(name, secret)| Some((name, secret?)))
            };
            let all_gone = |when: &str| {
                for (name, secret) in secrets() {
                    let found = find(secret);
                    assert!(found.is_empty(), "{what}, {when}: the {name} is at {found:?}");
                }
            };
            all_gone("before it was set");
            let line = with_key(&format!("0 2048 crypt {cipher} KEY 0 disk 0"), &key);
            let options = ManagedOptions {
                read_only: false,
                cipher: CipherChoice { driver: Some(driver.into()), ..CipherChoice::default() },
                source: heap(),
                reserves: Reserves::default(),
            };
            let disk: DeviceRef = Arc::new(Spills { disk: Ram::new(2048), key: Arc::clone(&key) });
            let table = Table::parse(&line).unwrap_or_else(|error| panic!("{error}"));
            drop(line);
            let device = ManagedDevice::create("t", table, &Shelf(&[("disk", disk)]), options).unwrap();
            use_it(&device);
            let shown = device.table(TableSlot::Live, ShowKeys::Shown);
            // The bad twin: what is there is found.
            assert!(!find(&key).is_empty(), "{what}: the search does not find the key");
            assert!(!find(&digits).is_empty(), "{what}: the search does not find the digits");
            drop(shown);

            thread::scope(|scope| {
                let (say, hear) = mpsc::channel();
                let client = Arc::clone(&device);
                let client = scope.spawn(move || {
                    use_it(&client);
                    let mut client = Client::new(&(client as DeviceRef));
                    assert_eq!(client.read(0, 4096, WHOLE, 512), stream(99, 4096));
                    say.send(()).unwrap();
                    // It has worked with the key, and sleeps over the wipe with an I/O that is held.
                    while !client.read(8, 4096, WHOLE, 512).is_empty() && !hear_end(&client.dev) {}
                });
                hear.recv().unwrap();
                let idle = idle_threads(scope, &(Arc::clone(&device) as DeviceRef));
                device.suspend(Suspend::default()).unwrap();
                while device.info().held == 0 {
                    thread::yield_now();
                }
                device.message(Sector(0), "key wipe").unwrap();
                all_gone("after key wipe");
                drop(idle);
                device.message(Sector(0), &with_key("key set KEY", &key)).unwrap();
                device
                    .load(
                        Table::parse(&with_key(&format!("0 1024 crypt {cipher} KEY 0 disk 0"), &key))
                            .unwrap(),
                        &Shelf(&[]),
                    )
                    .unwrap();
                device.resume().unwrap();
                client.join().unwrap();
            });
            use_it(&device);
            assert!(!find(&key).is_empty(), "{what}: the search does not find the key that was set again");
            let debug = format!("{device:?} {:?}", device.info());
            assert!(!debug.contains(&*with_key("KEY", &key)));
            // A table that waits has the key, too, and a remove takes both.
            let again = with_key(&format!("0 1024 crypt {cipher} KEY 0 disk 0"), &key);
            device.load(Table::parse(&again).unwrap(), &Shelf(&[])).unwrap();
            drop(again);
            device.remove().unwrap();
            all_gone("after remove");
        }
    }
}

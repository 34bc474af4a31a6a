//! What the tests share: devices in memory that end their bios in several ways, servers over them, and raw clients.

use std::any::Any;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
pub(super) use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
pub(super) use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use udm_block::memory::splitmix64;
use udm_block::{
    Address as ChannelAddress, Bio, Channel, Device, DeviceRef, Dispatch, Flags, Geometry, Op, OpenError,
    Opening, SECTOR_SIZE, Sectors, Status,
};

use super::super::*;
use udm_backend::nbd::client::Client;
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request, SimpleReply};

/// How a device ends its bios.
pub(super) enum Manner {
    /// On the spot.
    Inline,
    /// From another thread, later, and out of order.
    Later(Mutex<mpsc::Sender<Bio>>),
    /// When it is told to, and not before.
    Held(Mutex<Vec<Bio>>),
    /// On the spot, with this.
    Fails(Status),
    /// On the spot; from this byte on with an error.
    FailsFrom(u64),
    /// On the spot; it refuses zeros, though it said that it has an operation for them.
    Zeroless,
    /// It has a fault: a read of sector 7 panics.
    Faulty,
}

/// What a device was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) op: Op,
    pub(super) flags: Flags,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The bytes of a device, and what it was asked for.
#[derive(Default)]
pub(super) struct Store {
    pub(super) bytes: Mutex<Vec<u8>>,
    pub(super) log: Mutex<Vec<Asked>>,
    /// The kernel's number of the thread that asked last.
    pub(super) thread: AtomicUsize,
}

/// A device in memory.
pub(super) struct Ram {
    geometry: Mutex<Geometry>,
    pub(super) store: Arc<Store>,
    manner: Arc<Manner>,
    /// The ways of queues into it.
    channels: Mutex<Vec<ChannelAddress>>,
}

/// One queue's way into it.
struct RamChannel {
    store: Arc<Store>,
    manner: Arc<Manner>,
}

/// A message to a channel: the device is another one now. Who sends it waits until all channels have let go of it.
struct Changed(Geometry, #[expect(dead_code, reason = "it is waited for its drop")] mpsc::Sender<()>);

/// A device with every ability, of so many bytes.
pub(super) fn able(size: usize) -> Geometry {
    let plain = Geometry::plain(Sectors::in_bytes(size as u64));
    Geometry { discard: true, write_zeroes: true, ..plain }
}

/// Ends bios in a shuffled order, each batch `delay` after its first.
fn end_later(receiver: &mpsc::Receiver<Bio>, store: &Store, delay: Duration, mut seed: u64) {
    while let Ok(first) = receiver.recv() {
        thread::sleep(delay);
        let mut batch: Vec<_> = [first].into_iter().chain(receiver.try_iter()).collect();
        while !batch.is_empty() {
            let at = (splitmix64(&mut seed) % batch.len() as u64) as usize;
            let mut bio = batch.swap_remove(at);
            store.carry_out(&mut bio);
            bio.complete_elsewhere(Status::Ok);
        }
    }
}

impl Ram {
    pub(super) fn new(geometry: Geometry, manner: Manner) -> Arc<Self> {
        let size = geometry.size.bytes().0 as usize;
        let store = Store { bytes: Mutex::new(vec![0; size]), ..Store::default() };
        let (geometry, channels) = (Mutex::new(geometry), Mutex::default());
        Arc::new(Self { geometry, store: Arc::new(store), manner: Arc::new(manner), channels })
    }

    /// A device that ends its bios from another thread.
    pub(super) fn later(geometry: Geometry, delay: Duration, seed: u64) -> Arc<Self> {
        println!("seed {seed}");
        let (sender, receiver) = mpsc::channel();
        let ram = Self::new(geometry, Manner::Later(Mutex::new(sender)));
        let store = Arc::clone(&ram.store);
        thread::spawn(move || end_later(&receiver, &store, delay, seed));
        ram
    }

    pub(super) fn held(geometry: Geometry) -> Arc<Self> {
        Self::new(geometry, Manner::Held(Mutex::default()))
    }

    /// Gives it other limits, as a table that is reloaded does: all queues have heard of them afterwards.
    pub(super) fn set_geometry(&self, geometry: Geometry) {
        *self.geometry.lock().unwrap() = geometry;
        let (changed, all_have_heard) = mpsc::channel();
        for channel in self.channels.lock().unwrap().iter() {
            let _ = channel.send(Box::new(Changed(geometry, changed.clone())));
        }
        drop(changed);
        assert!(all_have_heard.recv().is_err());
    }

    /// How many bios wait to be told.
    pub(super) fn waiting(&self) -> usize {
        match &*self.manner {
            Manner::Held(held) => held.lock().unwrap().len(),
            _ => 0,
        }
    }

    /// Ends what it holds, last one first.
    pub(super) fn release(&self) {
        let Manner::Held(held) = &*self.manner else { return };
        let bios = std::mem::take(&mut *held.lock().unwrap());
        for mut bio in bios.into_iter().rev() {
            self.store.carry_out(&mut bio);
            bio.complete_elsewhere(Status::Ok);
        }
    }

    pub(super) fn log(&self) -> Vec<Asked> {
        self.store.log.lock().unwrap().clone()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.store.bytes.lock().unwrap().clone()
    }

    /// How long the thread that asked last has had a processor.
    pub(super) fn time_of_thread(&self) -> Duration {
        let thread = self.store.thread.load(Ordering::SeqCst);
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
        Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
    }
}

impl Store {
    fn carry_out(&self, bio: &mut Bio) {
        let mut bytes = self.bytes.lock().unwrap();
        let start = bio.sector().0 as usize * SECTOR_SIZE;
        let range = start..start + bio.len().0 as usize;
        match bio.op() {
            Op::Read => bio.data_mut().write(&bytes[range]),
            Op::Write => bio.data().read(&mut bytes[range]),
            Op::Discard | Op::WriteZeroes => bytes[range].fill(0),
            Op::Flush => {}
        }
    }
}

impl Device for Ram {
    fn geometry(&self) -> Geometry {
        *self.geometry.lock().unwrap()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        self.channels.lock().unwrap().push(opening.address());
        Ok(Box::new(RamChannel { store: Arc::clone(&self.store), manner: Arc::clone(&self.manner) }))
    }
}

impl Channel for RamChannel {
    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        let Changed(geometry, _) = *message.downcast().unwrap();
        opening.set_geometry(geometry);
    }

    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let offset = bio.sector().0 * SECTOR_SIZE as u64;
        let asked = Asked { op: bio.op(), flags: bio.flags(), offset, len: bio.len().0 };
        // Who sees it in the log, and releases what is held, releases this too.
        let held = if let Manner::Held(held) = &*self.manner { Some(held.lock().unwrap()) } else { None };
        self.store.log.lock().unwrap().push(asked);
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
        self.store.thread.store(thread, Ordering::SeqCst);
        match &*self.manner {
            Manner::Later(sender) => sender.lock().unwrap().send(bio).unwrap(),
            Manner::Held(_) => held.expect("it is held").push(bio),
            Manner::Fails(status) => cx.complete(bio, *status),
            Manner::Faulty if bio.op() == Op::Read && bio.sector().0 == 7 => panic!("a fault, on purpose"),
            Manner::Zeroless if bio.op() == Op::WriteZeroes => cx.complete(bio, Status::NotSupported),
            Manner::FailsFrom(at) if offset >= *at => cx.complete(bio, Status::IoErr),
            Manner::Inline | Manner::FailsFrom(_) | Manner::Zeroless | Manner::Faulty => {
                self.store.carry_out(&mut bio);
                cx.complete(bio, Status::Ok);
            }
        }
    }
}

/// A server that runs.
pub(super) struct Running {
    pub(super) address: Address,
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    thread: Option<JoinHandle<io::Result<()>>>,
    _dir: tempfile::TempDir,
}

pub(super) fn export(name: &str, device: &Arc<Ram>) -> Export {
    let device: DeviceRef = Arc::clone(device) as DeviceRef;
    Export::new(name, "", device, false)
}

pub(super) fn heap() -> Source {
    Arc::new(Heap)
}

impl Running {
    /// Serves one device on a Unix socket.
    pub(super) fn over(device: &Arc<Ram>) -> Self {
        Self::with(vec![export("disk", device)], |_| {})
    }

    /// Serves `exports` on a Unix socket, with `change`.
    pub(super) fn with(exports: Vec<Export>, change: impl FnOnce(&mut Shared)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        Self::at(Address::Unix(path.clone()), dir, path, exports, change)
    }

    /// Serves one device on TCP.
    pub(super) fn tcp(device: &Arc<Ram>) -> Self {
        let address = Address::Tcp { host: "127.0.0.1".into(), port: 0 };
        let dir = tempfile::tempdir().unwrap();
        Self::at(address, dir, PathBuf::new(), vec![export("disk", device)], |_| {})
    }

    fn at(
        address: Address,
        dir: tempfile::TempDir,
        path: PathBuf,
        exports: Vec<Export>,
        change: impl FnOnce(&mut Shared),
    ) -> Self {
        let mut server = Server::bind(&[address], exports, MAX_CONNECTIONS).unwrap();
        change(Arc::get_mut(&mut server.shared).unwrap());
        let address = server.addresses().unwrap().remove(0);
        let shared = Arc::clone(&server.shared);
        let thread = thread::spawn(move || server.run());
        Self { address, shared, path, thread: Some(thread), _dir: dir }
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(&self.address, "disk").unwrap()
    }

    /// A socket that is connected, and has done nothing.
    pub(super) fn socket(&self) -> UnixStream {
        let socket = UnixStream::connect(&self.path).unwrap();
        socket.set_read_timeout(Some(PATIENT)).unwrap();
        socket.set_write_timeout(Some(PATIENT)).unwrap();
        socket
    }

    /// A socket in the transmission phase.
    pub(super) fn raw(&self) -> UnixStream {
        let mut socket = self.socket();
        shake_hands(&mut socket);
        socket
    }

    /// Has it stop, and waits for it: how long that took.
    pub(super) fn stop(&mut self) -> Duration {
        let began = Instant::now();
        Stopper(Arc::clone(&self.shared)).stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
        began.elapsed()
    }

    /// Has it stop, and waits for it: what it could not do.
    pub(super) fn stop_with_error(&mut self) -> String {
        Stopper(Arc::clone(&self.shared)).stop();
        let thread = self.thread.take().expect("it runs");
        thread.join().unwrap().expect_err("it stopped well").to_string()
    }

    /// Waits until no client is connected.
    pub(super) fn wait_until_empty(&self) {
        until("all clients have left", || {
            // From the handshake on to a connection slot, and from there into the list.
            let negotiates = self.shared.negotiating.load(Ordering::SeqCst) > 0;
            !negotiates
                && self.shared.slots_taken.load(Ordering::SeqCst) == 0
                && self.shared.clients().is_empty()
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.stop();
        }
    }
}

/// How long a test waits before it fails.
pub(super) const PATIENT: Duration = Duration::from_secs(10);

pub(super) fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENT, "waited too long until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Chooses the default export by `NBD_OPT_EXPORT_NAME`, by hand.
pub(super) fn shake_hands(socket: &mut (impl Read + Write)) {
    socket.read_exact(&mut [0; 18]).unwrap();
    socket.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
    socket.read_exact(&mut [0; 10]).unwrap();
}

pub(super) fn request(command: Command, cookie: u64, offset: u64, length: u32) -> Request {
    Request { flags: CommandFlags::NONE, command, cookie, offset, length }
}

/// The next reply's cookie and error.
pub(super) fn reply(socket: &mut impl Read) -> (u64, Option<ErrorNumber>) {
    let mut header = [0; SimpleReply::SIZE];
    socket.read_exact(&mut header).unwrap();
    let reply = SimpleReply::decode(&header).unwrap();
    (reply.cookie, reply.error)
}

/// Whether the server has hung up, and said nothing before.
pub(super) fn is_hung_up(socket: &mut impl Read) -> bool {
    match socket.read(&mut [0; 1]) {
        Ok(got) => got == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Bytes that depend on the seed.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes: Vec<u8> =
        (0..len.div_ceil(8)).flat_map(|_| splitmix64(&mut state).to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

pub(super) fn dice(seed: &mut u64, sides: u64) -> u64 {
    splitmix64(seed) % sides
}

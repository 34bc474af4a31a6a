//! What the models share: clients, the stack of two splitters of `examples/splitter.rs`, bottoms that end bios at once
//! or on a thread of their own, and a ledger of what was seen where.
//!
//! The ledger's locks are the standard library's: what is observed is no step of the model.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex as Unmodelled};

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::{self, JoinHandle, ThreadId};
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioList, BioSet, BioSetOptions, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, OwnBio, Pad, PadBio, Queue, Sector, Sectors, Status,
};

use crate::splitter::Splitter;

/// A set's options without normal memory and without stocks: the reserve is all that there is.
pub fn reserve_alone(name: &'static str, reserve: usize) -> BioSetOptions {
    BioSetOptions { reserve, limit: 0, stock: 0, ..BioSetOptions::named(name) }
}

pub fn heap() -> Source {
    Arc::new(Heap)
}

/// A device of 2^20 sectors that takes discards: bios without memory.
pub fn geometry() -> Geometry {
    Geometry { discard: true, ..Geometry::plain(Sectors(1 << 20)) }
}

/// Waits for threads that must not have panicked.
pub fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The bios that came by one place: which thread brought them, where they began, in the order in which they came.
#[derive(Default)]
pub struct Ledger(Unmodelled<Vec<(ThreadId, Sector, Sectors)>>);

impl Ledger {
    pub fn note(&self, bio: &Bio) {
        self.0.lock().unwrap().push((thread::current().id(), bio.sector(), bio.sectors()));
    }

    /// Where the bios began that `thread` brought, in order.
    pub fn brought_by(&self, thread: ThreadId) -> Vec<u64> {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|seen| seen.0 == thread).map(|seen| seen.1.0).collect()
    }

    /// Where the bios began that other threads than `thread` brought, in order.
    pub fn brought_by_others(&self, thread: ThreadId) -> Vec<u64> {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|seen| seen.0 != thread).map(|seen| seen.1.0).collect()
    }

    /// Every sector up to `sectors` came by exactly once.
    pub fn assert_each_once(&self, sectors: u64) {
        let seen = self.0.lock().unwrap();
        let mut all: Vec<u64> = seen.iter().flat_map(|seen| seen.1.0..seen.1.0 + seen.2.0).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..sectors), "a piece was lost or came twice: {seen:?}");
    }

    /// Of each `sectors` sectors, those that one thread brought came in order; with `across`, those that any brought.
    pub fn assert_order_within(&self, sectors: u64, across: bool) {
        let seen = self.0.lock().unwrap();
        let mut last = HashMap::new();
        for (thread, at, _) in seen.iter() {
            let thread = if across { None } else { Some(*thread) };
            let before = last.insert((at.0 / sectors, thread), at.0);
            assert!(before.is_none_or(|before| before < at.0), "a piece came too late: {seen:?}");
        }
    }
}

/// Notes the bios that go to the device within.
pub struct Watched<D> {
    pub device: D,
    pub seen: Arc<Ledger>,
}

/// One queue's way into a watched device.
struct WatchedChannel {
    within: Box<dyn Channel>,
    seen: Arc<Ledger>,
}

impl<D: Device> Watched<D> {
    pub fn new(device: D) -> Arc<Self> {
        Arc::new(Self { device, seen: Arc::default() })
    }
}

impl<D: Device> Device for Watched<D> {
    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(WatchedChannel { within: self.device.open(opening)?, seen: Arc::clone(&self.seen) }))
    }
}

impl Channel for WatchedChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        self.seen.note(&bio);
        self.within.submit(cx, bio);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        self.within.end_io(cx, bio);
    }
}

/// A bottom that ends each bio with the status of its first sector, at once or later, on the disk's thread.
pub struct Bottom {
    geometry: Geometry,
    status: fn(u64) -> Status,
    disk: Option<Arc<Disk>>,
}

/// One queue's way into a bottom.
struct BottomChannel {
    status: fn(u64) -> Status,
    disk: Option<Arc<Disk>>,
}

/// What the disk's thread has to end; `None` when it ends itself.
struct Disk {
    queue: Mutex<Option<BioList>>,
    more: Condvar,
}

impl Bottom {
    pub fn at_once(status: fn(u64) -> Status) -> Self {
        Self { geometry: geometry(), status, disk: None }
    }

    /// With a thread that ends bios in the order in which they came, until [`Bottom::stop`].
    pub fn with_disk(status: fn(u64) -> Status) -> (Self, JoinHandle<()>) {
        let disk = Arc::new(Disk { queue: Mutex::new(Some(BioList::new())), more: Condvar::new() });
        let theirs = Arc::clone(&disk);
        let thread = thread::spawn(move || theirs.end_all(status));
        (Self { geometry: geometry(), status, disk: Some(disk) }, thread)
    }

    pub fn stop(&self) {
        if let Some(disk) = &self.disk {
            assert!(disk.queue.lock().unwrap().take().is_none_or(|left| left.is_empty()), "bios are left");
            disk.more.notify_one();
        }
    }
}

impl Disk {
    fn end_all(&self, status: fn(u64) -> Status) {
        let mut queue = self.queue.lock().unwrap();
        loop {
            let Some(bios) = queue.as_mut() else { return };
            if let Some(bio) = bios.pop() {
                drop(queue);
                let at = bio.sector().0;
                bio.complete_elsewhere(status(at));
                queue = self.queue.lock().unwrap();
            } else {
                queue = self.more.wait(queue).unwrap();
            }
        }
    }
}

impl Device for Bottom {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(BottomChannel { status: self.status, disk: self.disk.clone() }))
    }
}

impl Channel for BottomChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Some(disk) = &self.disk else {
            let at = bio.sector().0;
            return cx.complete(bio, (self.status)(at));
        };
        disk.queue.lock().unwrap().as_mut().expect("the disk runs").push(bio);
        disk.more.notify_one();
    }
}

/// A pad with nothing to remember.
pub struct Bare;

impl Pad for Bare {}

/// A queue of no device, for who allocates beside the drivers.
pub struct Taker<P: Pad> {
    queue: Queue,
    bios: Bios<P>,
}

impl<P: Pad> Taker<P> {
    pub fn of(set: &BioSet<P>) -> Self {
        let queue = Queue::sleeping().unwrap();
        Self { bios: queue.bios(set), queue }
    }

    pub fn take(&mut self, pad: P, how: Alloc) -> Option<PadBio<P>> {
        self.bios.alloc(self.queue.cx(), pad, how).ok()
    }
}

/// Makes clients, and hears of the ends of their bios.
pub struct Clients {
    set: BioSet<Bare>,
    ended: Arc<Unmodelled<Vec<(u64, Status)>>>,
    bios: usize,
}

/// A client: a queue with a device open.
pub struct Client {
    pub queue: Queue,
    pub channel: ChannelId,
    bios: Bios<Bare>,
    ended: Arc<Unmodelled<Vec<(u64, Status)>>>,
}

/// Makes a client on the thread that it is to live on.
pub type NewClient = Box<dyn FnOnce(&DeviceRef) -> Client + Send>;

impl Clients {
    /// For so many bios in all.
    pub fn new(bios: usize) -> Self {
        let set = BioSet::new(&reserve_alone("client", bios), &heap()).unwrap();
        Self { set, ended: Arc::default(), bios }
    }

    /// Of a device whose drivers sleep.
    pub fn sleeping(&self) -> NewClient {
        self.make(Queue::sleeping)
    }

    /// Of a device whose drivers park.
    pub fn parking(&self) -> NewClient {
        self.make(Queue::new)
    }

    fn make(&self, queue: fn() -> std::io::Result<Queue>) -> NewClient {
        let (set, ended) = (self.set.clone(), Arc::clone(&self.ended));
        Box::new(move |dev| {
            let mut queue = queue().unwrap();
            let channel = queue.open(dev).unwrap();
            Client { channel, bios: queue.bios(&set), queue, ended }
        })
    }

    /// That every bio has ended once, with the status that `want` gives its first sector. The clients are gone: one waits
    /// for its bios, and a bio that never ends is a deadlock, which the checker finds.
    pub fn assert_all_end(self, want: impl Fn(u64) -> Status) {
        self.assert_all_end_as(|at, status| want(at) == status);
    }

    /// As [`Clients::assert_all_end`], for ends of which several are right.
    pub fn assert_all_end_as(self, is_right: impl Fn(u64, Status) -> bool) {
        let ended = self.ended.lock().unwrap();
        let mut ends = HashSet::new();
        for &(at, status) in ended.iter() {
            assert!(is_right(at, status), "the bio at sector {at} ended with the wrong status, {status:?}");
            assert!(ends.insert(at), "the bio at sector {at} ended twice");
        }
        assert_eq!(ends.len(), self.bios, "bios did not end: {ended:?}");
        drop(ended);
        self.assert_all_freed();
    }

    /// That every bio is free again, for clients that do not hear of the ends.
    pub fn assert_all_freed(self) {
        let mut taker = Taker::of(&self.set);
        let all: Vec<_> = std::iter::from_fn(|| taker.take(Bare, Alloc::NoWait)).collect();
        assert_eq!(all.len(), self.bios, "a bio was not freed");
    }
}

impl Client {
    /// A bio of `sectors` sectors at `sector`. What a bio carries is chosen here alone.
    pub fn make(&mut self, sector: u64, sectors: u64) -> PadBio<Bare> {
        let mut bio = self.bios.alloc(self.queue.cx(), Bare, Alloc::NoWait).ok().expect("reserved");
        bio.prepare(Op::Discard, Flags::NONE, Sector(sector));
        bio.set_range(Sectors(sectors).bytes());
        bio
    }

    /// Makes a bio and submits it.
    pub fn submit(&mut self, sector: u64, sectors: u64) {
        let bio = self.make(sector, sectors);
        self.queue.submit(self.channel, bio);
    }

    /// Hears of the bios that have ended.
    pub fn take_ended(&mut self) {
        while let Some(bio) = self.queue.take_ended() {
            let bio = self.bios.claim(bio).ok().expect("its own bio");
            let end = (bio.sector().0, bio.status());
            self.ended.lock().unwrap().push(end);
            self.bios.free(bio);
        }
    }

    /// Drives its queue until all of its bios have ended.
    pub fn finish(&mut self) {
        loop {
            self.take_ended();
            if self.queue.under_way() == 0 {
                return;
            }
            self.queue.wait(&mut [], None).unwrap();
        }
    }
}

/// A stack of two splitters under some clients.
#[derive(Clone, Copy)]
pub struct Shape {
    pub clients: u64,
    /// How many bios each client submits.
    pub bios: u64,
    /// Into how many pieces the upper and the lower level split.
    pub pieces: [u64; 2],
    pub reserve: usize,
    pub rescuer: bool,
    /// Whether a thread of its own ends the bios.
    pub disk: bool,
    /// How the piece at a sector ends.
    pub status: fn(u64) -> Status,
}

impl Shape {
    /// The length of each bio, in sectors.
    pub fn bio_sectors(&self) -> u64 {
        self.pieces[0] * self.pieces[1]
    }

    /// Runs the stack once, and holds what it did against what the block layer promises. Gives how often the rescuers
    /// were needed.
    pub fn run(&self) -> u64 {
        let (bottom, disk) = if self.disk {
            let (bottom, disk) = Bottom::with_disk(self.status);
            (bottom, Some(disk))
        } else {
            (Bottom::at_once(self.status), None)
        };
        let bottom = Watched::new(bottom);
        let fine = Watched::new(Splitter::new(bottom.clone(), Sectors(1), self.reserve, self.rescuer));
        let coarse =
            Arc::new(Splitter::new(fine.clone(), Sectors(self.pieces[1]), self.reserve, self.rescuer));
        self.run_clients(&(coarse.clone() as DeviceRef));
        let punts = [coarse.punts(), fine.device.punts()];
        drop(coarse);
        bottom.device.stop();
        if let Some(disk) = disk {
            disk.join().unwrap();
        }
        bottom.seen.assert_each_once(self.clients * self.bios * self.bio_sectors());
        // A bio's pieces are split by one thread; what it dispatches itself, and what it punts, stays in order.
        fine.seen.assert_order_within(self.bio_sectors(), punts[0] == 0);
        bottom.seen.assert_order_within(self.pieces[1], punts[1] == 0);
        if punts == [0, 0] {
            bottom.seen.assert_order_within(self.bio_sectors(), true);
        }
        punts.iter().sum()
    }

    fn run_clients(&self, dev: &DeviceRef) {
        let (len, bios) = (self.bio_sectors(), self.bios);
        let clients = Clients::new((self.clients * bios) as usize);
        let threads: Vec<_> = (0..self.clients)
            .map(|number| {
                let (client, dev) = (clients.sleeping(), dev.clone());
                thread::spawn(move || {
                    let mut client = client(&dev);
                    (number * bios..(number + 1) * bios).for_each(|bio| client.submit(bio * len, len));
                    client.finish();
                })
            })
            .collect();
        join_all(threads);
        let status = self.status;
        let bad = |at: u64| (at..at + len).map(status).find(|status| !status.is_ok());
        clients.assert_all_end(|at| bad(at).unwrap_or(Status::Ok));
    }
}

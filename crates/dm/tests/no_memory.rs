//! Pools of one and no memory: crypt on linear on crypt on a splitter over two disks, on two queue threads. Once the
//! stack is made the source of normal memory refuses as it is told, and the I/O path allocates nothing elsewhere. The
//! bytes are held against a model; the disks answer on threads of their own, out of order.
//!
//! `UDM_IOS`: how many I/Os each run has (1,000,000 is the long form). `UDM_SEED`: from which seed.
#![allow(unsafe_code)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

use rustix::thread::gettid;
use support::{Shelf, hex, stream};
use udm_block::bio::Piece;
use udm_block::memory::{Heap, Refuse, Source, Starving, splitmix64};
use udm_block::mempool::Waits;
use udm_block::{
    Alloc, Bio, BioList, BioSet, BioSetOptions, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, OwnBio, Pad, Queue, Sector, Sectors, Span, Status,
};
use udm_crypto::{offload, threads};
use udm_dm::load::load_with;
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::{CipherChoice, LONGEST, OptionalMemory};

/// Counts what the heap is asked for when told.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: it passes on what the system's allocator promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) && !is_harness() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Whether this is the first thread of the process, which waits for the test and says so after a minute.
fn is_harness() -> bool {
    gettid().as_raw_nonzero().get().cast_unsigned() == std::process::id()
}

#[global_allocator]
static HEAP: Counting = Counting;

/// Each thread's part of the device, in sectors: 8 MiB.
const PART: u64 = 8 << 11;
const THREADS: u64 = 2;
/// How many I/Os a thread has under way.
const DEPTH: usize = 8;
/// The longest I/O in sectors: 1 MiB.
const MOST: u64 = 2048;
/// Where the splitter splits, in sectors.
const STRIPE: u64 = 96;
const ONE: Reserves = Reserves { bios: 1, buffers: 1 };

/// A disk that answers on a thread of its own, the last first.
struct Disk {
    shared: Arc<DiskShared>,
    geometry: Geometry,
    thread: Option<thread::JoinHandle<()>>,
}

struct DiskChannel(Arc<DiskShared>);

struct DiskShared {
    work: Mutex<(BioList, bool)>,
    more: Condvar,
}

impl Disk {
    fn new(size: Sectors) -> Arc<Self> {
        let shared = Arc::new(DiskShared { work: Mutex::default(), more: Condvar::new() });
        let (theirs, medium) = (Arc::clone(&shared), vec![0; size.bytes().0 as usize]);
        let thread = Some(thread::spawn(move || theirs.serve(medium)));
        Arc::new(Self { shared, geometry: Geometry::plain(size), thread })
    }
}

impl DiskShared {
    fn serve(&self, mut medium: Vec<u8>) {
        let mut work = self.work.lock().unwrap();
        loop {
            let mut bios = std::mem::take(&mut work.0);
            if bios.is_empty() {
                if work.1 {
                    return;
                }
                work = self.more.wait(work).unwrap();
                continue;
            }
            drop(work);
            let mut reversed = BioList::new();
            while let Some(bio) = bios.pop() {
                let mut one = BioList::new();
                one.push(bio);
                reversed.prepend(&mut one);
            }
            while let Some(mut bio) = reversed.pop() {
                let at = bio.sector().0 as usize * 512;
                let place = &mut medium[at..at + bio.len().0 as usize];
                match bio.op() {
                    Op::Read => bio.data_mut().write(place),
                    Op::Write => bio.data().read(place),
                    _ => {}
                }
                bio.complete_elsewhere(Status::Ok);
            }
            work = self.work.lock().unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.work.lock().unwrap().1 = true;
        self.shared.more.notify_one();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Device for Disk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(DiskChannel(Arc::clone(&self.shared))))
    }
}

impl Channel for DiskChannel {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        self.0.work.lock().unwrap().0.push(bio);
        self.0.more.notify_one();
    }
}

/// Stripes over two disks: splits at borders of its own, with one piece.
struct Splitter {
    disks: [DeviceRef; 2],
    geometry: Geometry,
    pieces: BioSet<Piece>,
}

impl Splitter {
    fn over(disks: [DeviceRef; 2], size: Sectors, source: &Source) -> DeviceRef {
        let options = BioSetOptions { reserve: 1, ..BioSetOptions::named("stripes") };
        let pieces = BioSet::new(&options, source).unwrap();
        Arc::new(Self { disks, geometry: Geometry::plain(size), pieces })
    }
}

struct SplitterChannel {
    disks: [ChannelId; 2],
    pieces: Bios<Piece>,
}

impl Device for Splitter {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let disks = [opening.open(&self.disks[0])?, opening.open(&self.disks[1])?];
        Ok(Box::new(SplitterChannel { disks, pieces: opening.bios(&self.pieces) }))
    }
}

impl Channel for SplitterChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let (stripe, within) = (bio.sector().0 / STRIPE, bio.sector().0 % STRIPE);
        let room = Sectors(STRIPE - within);
        if bio.sectors() > room {
            match bio.split(cx, room.bytes(), &mut self.pieces, Alloc::NoWait) {
                Ok(split) => {
                    bio = split.front;
                    cx.again(split.rest);
                }
                Err(bio) => return self.pieces.park(cx, bio),
            }
        }
        bio.set_sector(Sector(stripe / 2 * STRIPE + within));
        cx.submit(self.disks[stripe as usize % 2], bio);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let Ok(piece) = self.pieces.claim(bio) else { panic!("it has no other bios") };
        self.pieces.end_piece(cx, piece);
    }
}

/// Crypt on linear on crypt on the splitter.
fn stack(driver: &str, source: &Source) -> DeviceRef {
    let size = Sectors(THREADS * PART);
    let disks = [0, 1].map(|_| Disk::new(size) as DeviceRef);
    let key = |seed, len| hex(&stream(seed, len));
    let load = |table: String, lower: DeviceRef| -> DeviceRef {
        let cipher = CipherChoice { driver: Some(driver.into()), ..CipherChoice::default() };
        let table = Table::parse(&table).unwrap();
        load_with(&table, &Shelf(&[("lower", lower)]), &cipher, source, ONE).unwrap().into()
    };
    let dev = Splitter::over(disks, size, source);
    let dev = load(format!("0 {size} crypt aes-cbc-essiv:sha256 {} 7 lower 0", key(1, 32)), dev);
    let dev = load(format!("0 {size} linear lower 0"), dev);
    load(format!("0 {size} crypt aes-xts-plain64 {} 0 lower 0", key(2, 64)), dev)
}

/// The pad of a client's bio: its slot.
struct Slot(usize);

impl Pad for Slot {}

/// A queue with its part of the device, and all that it needs taken beforehand.
struct Client {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Slot>,
    first: u64,
    model: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    /// What each slot is about, where it is in use.
    under_way: [Option<(Op, Range<usize>)>; DEPTH],
    seed: u64,
    /// How often the upper crypt target should have asked for optional memory.
    asks: u64,
}

impl Client {
    fn new(dev: &DeviceRef, number: u64, seed: u64) -> Self {
        let source: Source = Arc::new(Heap);
        let options = BioSetOptions { reserve: DEPTH, limit: 0, ..BioSetOptions::named("client") };
        let mut queue = Queue::new().unwrap();
        Self {
            channel: queue.open(dev).unwrap(),
            bios: queue.bios(&BioSet::new(&options, &source).unwrap()),
            queue,
            first: number * PART,
            model: vec![0; PART as usize * 512],
            buffers: vec![vec![0; MOST as usize * 512]; DEPTH],
            under_way: [const { None }; DEPTH],
            seed: seed + number,
            asks: 0,
        }
    }

    /// Writes all of its part.
    fn fill(&mut self) {
        for first in (0..PART).step_by(MOST as usize) {
            self.start(Op::Write, first as usize * 512..(first + MOST) as usize * 512);
            self.end();
        }
        self.asks = 0;
    }

    fn below(&mut self, limit: u64) -> u64 {
        splitmix64(&mut self.seed) % limit
    }

    /// A range that nothing under way is about, of 512 B to 1 MiB, short ones as often as long ones.
    fn place(&mut self) -> Range<usize> {
        loop {
            let most = 1 << self.below(12);
            let sectors = (1 + self.below(most)).min(MOST);
            let first = self.below(PART - sectors + 1);
            let place = first as usize * 512..(first + sectors) as usize * 512;
            let apart = |other: &(Op, Range<usize>)| other.1.end <= place.start || place.end <= other.1.start;
            if self.under_way.iter().flatten().all(apart) {
                return place;
            }
        }
    }

    fn start(&mut self, op: Op, place: Range<usize>) {
        let slot = self.under_way.iter().position(Option::is_none).unwrap();
        let cut = self.below(place.len() as u64) as usize;
        let mut word = self.below(u64::MAX);
        let buffer = &mut self.buffers[slot][..place.len()];
        if op == Op::Write {
            for bytes in buffer.chunks_exact_mut(8) {
                word = word.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            self.model[place.clone()].copy_from_slice(buffer);
        }
        self.asks += place.len().div_ceil(LONGEST) as u64 - u64::from(place.len() % LONGEST == 512);
        let mut bio = self.bios.alloc(self.queue.cx(), Slot(slot), Alloc::NoWait).ok().unwrap();
        bio.prepare(op, Flags::NONE, Sector(self.first + place.start as u64 / 512));
        let begin = NonNull::from(&mut *buffer).cast::<u8>();
        // SAFETY: the buffer is the bio's until it has ended.
        unsafe {
            let runs = [Span::from_raw(begin, cut), Span::from_raw(begin.add(cut), place.len() - cut)];
            bio.set_foreign(&runs[usize::from(cut == 0)..]);
        }
        self.under_way[slot] = Some((op, place));
        self.queue.submit(self.channel, bio);
    }

    fn end(&mut self) {
        loop {
            let Some(bio) = self.queue.take_ended() else {
                self.queue.wait(&mut [], None).unwrap();
                continue;
            };
            let Ok(bio) = self.bios.claim(bio) else { panic!("it has no other bios") };
            let slot = bio.pad().0;
            let (op, place) = self.under_way[slot].take().expect("a bio ends once");
            assert_eq!(bio.status(), Status::Ok, "{op:?} {place:?}");
            self.bios.free(bio);
            let same = self.buffers[slot][..place.len()] == self.model[place.clone()];
            assert!(same, "{op:?} {place:?}: other bytes than were written");
            return;
        }
    }

    fn run(&mut self, count: u64) {
        for _ in 0..count {
            if self.under_way.iter().all(Option::is_some) {
                self.end();
            }
            let op = if self.below(2) == 0 { Op::Read } else { Op::Write };
            let place = self.place();
            self.start(op, place);
        }
        while self.under_way.iter().any(Option::is_some) {
            self.end();
        }
    }
}

/// What the process has counted.
#[derive(Clone, Copy)]
struct Counters {
    memory: (u64, u64),
    optional: OptionalMemory,
    engine: offload::Counts,
}

impl Counters {
    fn now(starving: &Starving) -> Self {
        Self { memory: starving.counts(), optional: OptionalMemory::counts(), engine: offload::counts() }
    }
}

/// What a run has counted.
struct Seen {
    /// Normal memory.
    asked: u64,
    refused: u64,
    /// Optional memory, and by how many clones it should have been asked for.
    optional_asked: u64,
    optional_refused: u64,
    optional_due: u64,
    /// Requests to the engines of several units.
    several: u64,
}

/// Runs `UDM_IOS` I/Os, or as many as the short form has, with memory refused by `plan` from the first one on.
fn run(driver: &str, plan: Refuse) -> Seen {
    let from_env = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (ios, seed) = (from_env("UDM_IOS").unwrap_or(2000), from_env("UDM_SEED").unwrap_or(0x5eed));
    println!("{driver}, {plan:?}: UDM_SEED={seed} UDM_IOS={ios}");
    let starving = Starving::new(Arc::new(Heap));
    let dev = stack(driver, &(starving.clone() as Source));
    starving.refuse(plan);
    let (step, due) = (Barrier::new(THREADS as usize + 1), AtomicU64::new(0));
    let (before, after) = thread::scope(|scope| {
        for number in 0..THREADS {
            let (dev, step, due) = (dev.clone(), &step, &due);
            scope.spawn(move || {
                let mut client = Client::new(&dev, number, seed);
                client.fill();
                client.run(50);
                client.asks = 0;
                step.wait();
                step.wait();
                client.run(ios / THREADS);
                step.wait();
                due.fetch_add(client.asks, Ordering::Relaxed);
                step.wait();
            });
        }
        step.wait();
        let before = Counters::now(&starving);
        ALLOCATIONS.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        step.wait();
        step.wait();
        COUNTS.store(false, Ordering::Relaxed);
        step.wait();
        (before, Counters::now(&starving))
    });
    let counted = Seen {
        asked: after.memory.0 - before.memory.0,
        refused: after.memory.1 - before.memory.1,
        optional_asked: after.optional.asked - before.optional.asked,
        optional_refused: after.optional.refused - before.optional.refused,
        optional_due: due.into_inner(),
        several: after.engine.several - before.engine.several,
    };
    let (allocations, waits) = (ALLOCATIONS.load(Ordering::Relaxed), Waits::of_process());
    println!(
        "normal memory: asked {} times, refused {}; heap allocations: {allocations}",
        counted.asked, counted.refused
    );
    println!(
        "optional memory: asked by {} of {} clones, refused {}; engine: {:?}; {waits:?}",
        counted.optional_asked, counted.optional_due, counted.optional_refused, after.engine
    );
    assert!(waits.parked > 0, "nothing had to wait");
    assert_eq!(waits.slept, 0, "a queue thread slept");
    let given = counted.asked - counted.refused;
    assert!(allocations <= given, "{allocations} heap allocations where memory was given {given} times");
    counted
}

/// One test, and no other in this file: whatever the process allocates is counted.
#[test]
fn every_io_finishes_whatever_memory_there_is() {
    let chance = |seed, per_mille| Refuse::Chance { seed, per_mille };
    for (driver, plan) in [("aws-lc", Refuse::Every(2)), ("aws-lc", chance(1, 500))] {
        let seen = run(driver, plan);
        assert!(seen.refused > 0 && seen.refused < seen.asked);
    }
    let seen = run("aws-lc", Refuse::Always);
    assert!(seen.asked == seen.refused && seen.refused > 0);
    // What half of the asks get is kept for the next clone, and may do for all; of the second plan it never does.
    for (plan, refused) in [(Refuse::Every(2), 0), (chance(2, 995), 1)] {
        let seen = run("offload-sim", plan);
        assert!(seen.optional_refused >= refused && seen.several > 0);
        assert_retry_rule(&seen);
    }
    let seen = run("offload-sim", Refuse::Always);
    assert!(seen.optional_refused == seen.optional_asked && seen.several == 0);
    assert_retry_rule(&seen);
    // The pool takes none, and the lower device some for the IVs of essiv.
    let (spread, seen) = (threads::counts().spread, run("threads", Refuse::Always));
    assert!(seen.optional_asked == seen.optional_due && threads::counts().spread > spread + 100);
}

/// Optional memory is asked for once, and who did not get it never sends a request of several units.
fn assert_retry_rule(seen: &Seen) {
    // Each clone of either crypt device that has several units asks once, and none twice.
    assert_eq!(seen.optional_asked, 2 * seen.optional_due);
    // One request of several units for each clone that got memory, and none for those that did not.
    assert_eq!(seen.several, seen.optional_asked - seen.optional_refused);
}

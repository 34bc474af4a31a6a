//! What a bio of 4 KiB costs on each of several queues that have one device open, beside what it costs on one alone. With a
//! channel a queue they share nothing, so it should cost the same.
//!
//! `cargo xtask queues` runs it, and counts instructions and cache misses besides. By itself, `cargo bench -p udm-tests --bench
//! queues` measures time, and `queues count DEVICE QUEUES BIOS` sends as many bios on each of as many queues, a thread each,
//! for a program that counts.
//!
//! The bad twins are devices whose queues do share something: their figures must show it.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use udm_backend::Null;
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, Pad, PagePool, PagePoolOptions, Pages, Queue, Sector, Sectors, Status,
};
use udm_dm::load::{Lookup, LookupError, load_with};
use udm_dm::managed::{ManagedDevice, ManagedOptions};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

/// How many queues there are at once.
const QUEUES: [usize; 5] = [1, 2, 4, 8, 16];
/// How many rounds each device and number has its turn in.
const ROUNDS: usize = 41;
/// How much more than one alone each of two queues may pay, each on a processor of its own.
const MOST: f64 = 1.05;
/// The length of a bio, in bytes.
const BLOCK: usize = 4096;

/// The devices, with how many bios a turn has on each queue.
const KINDS: [(&str, u64); 5] = [
    ("linear", 20_000),
    ("crypt", 6_000),
    ("managed-linear", 20_000),
    ("managed-crypt", 6_000),
    (TWIN, 20_000),
];
/// Its queues count together.
const TWIN: &str = "twin";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["count", kind, queues, bios] = words[..] {
        count(kind, queues.parse().expect("a number of queues"), bios.parse().expect("a number of bios"));
        return ExitCode::SUCCESS;
    }
    if times() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sends `bios` bios on each of `queues` queues. All have the device open before the first bio and until the last.
fn count(kind: &str, queues: usize, bios: u64) {
    let (device, all) = (device(kind), Barrier::new(queues));
    thread::scope(|scope| {
        for _ in 0..queues {
            scope.spawn(|| {
                let mut sender = Sender::new(&device);
                all.wait();
                (0..bios).for_each(|at| sender.send(at));
                all.wait();
            });
        }
    });
}

/// What a bio took on each queue in one turn, in nanoseconds: on the average of the queues.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    /// Of the thread's own clock, which stands still while others have the processor.
    processor: f64,
}

/// Prints a table. Says whether two queues pay what one does, and the twin's do not.
fn times() -> bool {
    let processors = processors();
    println!(
        "nanoseconds a bio of {BLOCK} bytes on each queue, each with a thread, on {} processors; medians of {ROUNDS} rounds\n\
         {:<16}{:>7}{:>10}{:>8}{:>14}{:>8}",
        processors.len(),
        "device",
        "queues",
        "wall",
        "ratio",
        "by processor",
        "ratio"
    );
    let mut is_right = true;
    for (kind, bios) in KINDS {
        let device = device(kind);
        let turn = |queues: &[usize]| turn(&device, queues, bios);
        let mut rounds = QUEUES.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            // One alone has its turn on each processor.
            let alone: Vec<Cost> = processors.iter().map(|processor| turn(&[*processor])).collect();
            let mean = |of: fn(&Cost) -> f64| alone.iter().map(of).sum::<f64>() / alone.len() as f64;
            let alone = Cost { wall: mean(|cost| cost.wall), processor: mean(|cost| cost.processor) };
            for (queues, rounds) in QUEUES.iter().zip(&mut rounds) {
                let on: Vec<usize> = processors.iter().cycle().take(*queues).copied().collect();
                rounds.push((if *queues == 1 { alone } else { turn(&on) }, alone));
            }
        }
        for (queues, rounds) in QUEUES.iter().zip(&rounds) {
            let of = |value: fn(&(Cost, Cost)) -> f64| median(rounds.iter().map(value).collect());
            let ratios =
                [of(|(some, one)| some.wall / one.wall), of(|(some, one)| some.processor / one.processor)];
            // More than that take turns on the processors, and find their caches cold.
            let is_judged = *queues == 2 && processors.len() > 1;
            let is_as_it_should = !is_judged || (ratios[1] <= MOST) == (kind != TWIN);
            is_right &= is_as_it_should;
            println!(
                "{kind:<16}{queues:>7}{:>10.1}{:>8.3}{:>14.1}{:>8.3}{}",
                of(|(some, _)| some.wall),
                ratios[0],
                of(|(some, _)| some.processor),
                ratios[1],
                if is_as_it_should { "" } else { "   FALLS SHORT" }
            );
        }
    }
    is_right
}

/// The processors that this program may use.
fn processors() -> Vec<usize> {
    let may = sched_getaffinity(None).expect("the processors");
    (0..CpuSet::MAX_CPU).filter(|processor| may.is_set(*processor)).collect()
}

/// One queue on each of `on`, all at work at the same time, for `bios` bios.
fn turn(device: &DeviceRef, on: &[usize], bios: u64) -> Cost {
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let costs: Vec<Cost> = thread::scope(|scope| {
        let (begun, done) = (&begun, &done);
        let threads: Vec<_> = on
            .iter()
            .map(|processor| {
                scope.spawn(|| {
                    let mut only = CpuSet::new();
                    only.set(*processor);
                    sched_setaffinity(None, &only).expect("a processor of ours");
                    let mut sender = Sender::new(device);
                    // All are at work before one is timed, and until all were.
                    sender.send_until(begun, on.len());
                    let before = (Instant::now(), processor_time());
                    (0..bios).for_each(|at| sender.send(at));
                    let took = (before.0.elapsed().as_nanos() as f64, processor_time() - before.1);
                    sender.send_until(done, on.len());
                    Cost { wall: took.0 / bios as f64, processor: took.1 / bios as f64 }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a queue's thread")).collect()
    });
    let mean = |of: fn(&Cost) -> f64| costs.iter().map(of).sum::<f64>() / costs.len() as f64;
    Cost { wall: mean(|cost| cost.wall), processor: mean(|cost| cost.processor) }
}

/// For how long this thread has had a processor, in nanoseconds.
fn processor_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The pad of a client that wants to know nothing but how its bio ended.
struct Client;

impl Pad for Client {}

/// A queue that has a device open, and what its bios are made of.
struct Sender {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Client>,
    pages: Option<Pages>,
}

impl Sender {
    fn new(device: &DeviceRef) -> Self {
        let source: Source = Arc::new(Heap);
        let mut queue = Queue::new().expect("a queue");
        let channel = queue.open(device).expect("open");
        let set = BioSet::<Client>::new(&BioSetOptions::named("queues"), &source).expect("memory");
        let bios = queue.bios(&set);
        let options =
            PagePoolOptions { name: "queues", largest: BLOCK, reserve: 1, limit: 0, stock: 2 * BLOCK };
        let mut buffers = PagePool::new(options, &source).expect("memory").buffers();
        let pages = buffers.alloc(queue.cx(), Bytes(BLOCK as u64), Alloc::NoWait);
        Self { queue, channel, bios, pages: Some(pages.expect("memory")) }
    }

    /// Counts itself, and sends until so many have.
    fn send_until(&mut self, count: &AtomicUsize, most: usize) {
        (0..64).for_each(|at| self.send(at));
        count.fetch_add(1, Ordering::SeqCst);
        while count.load(Ordering::SeqCst) < most {
            (0..64).for_each(|at| self.send(at));
        }
    }

    /// Writes a block.
    fn send(&mut self, at: u64) {
        let mut bio =
            self.bios.alloc(self.queue.cx(), Client, Alloc::NoWait).ok().expect("memory is plentiful");
        bio.prepare(Op::Write, Flags::NONE, Sector(at % 1024 * 8));
        bio.set_pages(self.pages.take().expect("the block is back"), Bytes(BLOCK as u64));
        self.queue.submit(self.channel, bio);
        let bio = self.queue.take_ended().and_then(|bio| self.bios.claim(bio).ok());
        let mut bio = bio.expect("a device that does nothing has done it");
        assert_eq!(bio.status(), Status::Ok);
        self.pages = bio.take_pages();
        self.bios.free(bio);
    }
}

/// The device of that name; all lie on one that does nothing.
fn device(kind: &str) -> DeviceRef {
    struct Nulls;
    impl Lookup for Nulls {
        fn device(&self, _name: &str, _block_size: u32) -> Result<DeviceRef, LookupError> {
            Ok(null())
        }
    }
    let source: Source = Arc::new(Heap);
    let (is_managed, target) = match kind.strip_prefix("managed-") {
        Some(target) => (true, target),
        None => (false, kind),
    };
    let text = match target {
        "linear" => "0 524288 linear null 8".to_owned(),
        "crypt" => format!("0 524288 crypt aes-xts-plain64 {} 0 null 0", "07".repeat(32) + &"0b".repeat(32)),
        TWIN => return Arc::new(Twin { null: null(), shared: Arc::default() }),
        other => panic!("{other:?} is not a device: {}", KINDS.map(|(name, _)| name).join(", ")),
    };
    let table = Table::parse(&text).expect("a table");
    let (cipher, reserves) = (CipherChoice::default(), Reserves::default());
    if is_managed {
        let options = ManagedOptions { read_only: false, cipher, source, reserves };
        ManagedDevice::create("queues", table, &Nulls, options).expect("memory")
    } else {
        load_with(&table, &Nulls, &cipher, &source, reserves).expect("memory").into()
    }
}

fn null() -> DeviceRef {
    Arc::new(Null::new(Sectors(1 << 20)))
}

/// A device whose queues have a count in common, and each look through a list of all.
struct Twin {
    null: DeviceRef,
    shared: Arc<Shared>,
}

/// How long each queue's part of the list is.
const LONG: u64 = 32;

#[derive(Default)]
struct Shared {
    bios: AtomicU64,
    queues: AtomicU64,
}

struct TwinChannel {
    null: ChannelId,
    shared: Arc<Shared>,
}

impl Device for Twin {
    fn geometry(&self) -> Geometry {
        self.null.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        self.shared.queues.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(TwinChannel { null: opening.open(&self.null)?, shared: Arc::clone(&self.shared) }))
    }
}

impl Channel for TwinChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        self.shared.bios.fetch_add(1, Ordering::Relaxed);
        for entry in 0..LONG * self.shared.queues.load(Ordering::Relaxed) {
            black_box(entry);
        }
        cx.submit(self.null, bio);
    }
}

impl Drop for TwinChannel {
    fn drop(&mut self) {
        self.shared.queues.fetch_sub(1, Ordering::SeqCst);
    }
}

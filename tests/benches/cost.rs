//! What the promise of forward progress costs where memory is plentiful, in nanoseconds a bio: the same ways with and
//! without a rescuer, in interleaved rounds; and what it costs that a table can be replaced. Medians, and the median of the rounds' ratios.
//!
//! `cargo bench -p udm-tests --bench cost`
#![allow(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use udm_backend::Null;
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, ChannelId, DeviceRef, Flags, Op, Pad, PadBio, Queue, Sector, Sectors,
    Span, Status,
};
use udm_dm::load::Lookup;
use udm_dm::managed::{ManagedDevice, ManagedOptions};
use udm_dm::mapped::{MappedDevice, MappedRow};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;
use udm_dm::targets::linear::Linear;

const ROUNDS: usize = 301;
const BIOS: u64 = 5_000;

/// The pad of a client that wants to know nothing but how its bio ended.
struct Client;

impl Pad for Client {}

/// A queue, and its bios: of a set without a rescuer, or of one with.
struct Sender {
    queue: Queue,
    bios: Bios<Client>,
    how: Alloc,
}

/// A way of a bio, and the nanoseconds that it took in each round: without a rescuer, and with one.
struct Way {
    name: &'static str,
    /// Where it goes; nowhere where it is freed at once.
    to: Option<[ChannelId; 2]>,
    rounds: [Vec<f64>; 2],
}

fn main() -> ExitCode {
    let source: Source = Arc::new(Heap);
    let options = BioSetOptions::named("bench");
    let (null, linear, managed) = (null(), linear(&source), managed(&source));
    let devices = [&null, &linear, &managed].map(DeviceRef::clone);
    let plain = BioSet::<Client>::new(&options, &source).expect("memory");
    let rescued = BioSet::<Client>::rescued(&options, &source, &devices).expect("a thread");
    let mut senders = [
        Sender::new(Queue::new().expect("a queue"), &plain, Alloc::NoWait),
        Sender::new(Queue::sleeping().expect("a queue"), &rescued, Alloc::Wait),
    ];
    let mut way = |name, dev: Option<&DeviceRef>| Way {
        name,
        to: dev.map(|dev| senders.each_mut().map(|sender| sender.queue.open(dev).expect("open"))),
        rounds: [Vec::new(), Vec::new()],
    };
    let mut ways = [
        way("alloc and free", None),
        way("null", Some(&null)),
        way("linear on null", Some(&linear)),
        way("managed linear", Some(&managed)),
    ];
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.round(&mut senders);
        }
    }
    println!(
        "{:<16}{:>14}{:>14}{:>9}   (median of {ROUNDS} rounds of {BIOS})",
        "ns a bio", "no rescuer", "rescuer", "ratio"
    );
    let cost = ways.map(|mut way| way.report());
    println!("a bio through linear: {:.1} ns, of which the layer is {:.1} ns", cost[2], cost[2] - cost[1]);
    println!("a device whose table can be replaced costs {:.1} ns more", cost[3] - cost[2]);
    ExitCode::SUCCESS
}

impl Sender {
    fn new(queue: Queue, set: &BioSet<Client>, how: Alloc) -> Self {
        Self { bios: queue.bios(set), queue, how }
    }

    fn alloc(&mut self) -> PadBio<Client> {
        self.bios.alloc(self.queue.cx(), Client, self.how).ok().expect("memory is plentiful")
    }

    /// Writes a block of 4 KiB.
    fn send(&mut self, at: u64, to: ChannelId) {
        static BLOCK: [u8; 4096] = [0; 4096];
        let mut bio = self.alloc();
        bio.prepare(Op::Write, Flags::NONE, Sector(at % 1024 * 8));
        // SAFETY: static memory, which a write only reads.
        unsafe { bio.set_foreign(&[Span::new(&BLOCK)]) };
        self.queue.submit(to, bio);
        let bio = self.queue.take_ended().and_then(|bio| self.bios.claim(bio).ok()).expect("it has ended");
        assert_eq!(black_box(bio.status()), Status::Ok);
        self.bios.free(bio);
    }
}

fn null() -> DeviceRef {
    Arc::new(Null::new(Sectors(1 << 20)))
}

fn linear(source: &Source) -> DeviceRef {
    let target = Box::new(Linear::new(null(), Sector(8)));
    let row = MappedRow { start: Sector(0), end: Sector(1 << 19), target };
    MappedDevice::new(vec![row], source, Reserves::default()).expect("memory").into()
}

/// The same table on a device that is managed.
fn managed(source: &Source) -> DeviceRef {
    struct Nulls;
    impl Lookup for Nulls {
        fn device(&self, _name: &str, _block_size: u32) -> Result<DeviceRef, udm_dm::load::LookupError> {
            Ok(null())
        }
    }
    let options = ManagedOptions {
        read_only: false,
        cipher: CipherChoice::default(),
        source: Arc::clone(source),
        reserves: Reserves::default(),
    };
    let table = Table::parse("0 524288 linear null 8").expect("a table");
    ManagedDevice::create("bench", table, &Nulls, options).expect("memory")
}

impl Way {
    fn round(&mut self, senders: &mut [Sender; 2]) {
        for (index, (rounds, sender)) in self.rounds.iter_mut().zip(senders).enumerate() {
            let begin = Instant::now();
            for at in 0..BIOS {
                if let Some(to) = self.to {
                    sender.send(at, to[index]);
                } else {
                    let bio = sender.alloc();
                    sender.bios.free(bio);
                }
            }
            rounds.push(begin.elapsed().as_secs_f64() * 1e9 / BIOS as f64);
        }
    }

    /// Prints a line; what the way takes with a rescuer.
    fn report(&mut self) -> f64 {
        let [plain, rescued] = &self.rounds;
        let mut ratios: Vec<f64> =
            rescued.iter().zip(plain).map(|(rescued, plain)| rescued / plain).collect();
        let ratio = median(&mut ratios);
        let [plain, rescued] = self.rounds.each_mut().map(|rounds| median(rounds));
        println!("{:<16}{plain:>14.1}{rescued:>14.1}{ratio:>9.3}", self.name);
        rescued
    }
}

/// The middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

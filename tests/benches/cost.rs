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
    Alloc, BioSet, BioSetOptions, DeviceRef, Flags, Op, Pad, PadBio, Sector, Sectors, Span, Status,
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

impl Pad for Client {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        assert_eq!(black_box(bio.status()), Status::Ok);
    }
}

/// A way of a bio, the clients that send it there, and the nanoseconds that it took in each round.
struct Way<'a> {
    name: &'static str,
    /// Without a rescuer, and with one.
    clients: [Box<dyn Fn(u64) + 'a>; 2],
    rounds: [Vec<f64>; 2],
}

fn main() -> ExitCode {
    let source: Source = Arc::new(Heap);
    let set = || BioSet::<Client>::new(&BioSetOptions::named("bench"), &source, ()).expect("memory");
    let (plain, rescued) = (set(), set().rescued("bench").expect("a thread"));
    let (null, linear, managed) = (null(), linear(&source), managed(&source));
    let sets = [(&plain, Alloc::NoWait), (&rescued, Alloc::Wait)];
    let mut ways = [
        Way::new("alloc and free", sets, |bio, _| drop(bio)),
        Way::new("null", sets, |bio, at| send(bio, at, &null)),
        Way::new("linear on null", sets, |bio, at| send(bio, at, &linear)),
        Way::new("managed linear", sets, |bio, at| send(bio, at, &managed)),
    ];
    for _ in 0..ROUNDS {
        ways.iter_mut().for_each(Way::round);
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

fn alloc(set: &BioSet<Client>, how: Alloc) -> PadBio<Client> {
    set.alloc(Client, how).ok().expect("memory is plentiful")
}

/// Writes a block of 4 KiB.
fn send(mut bio: PadBio<Client>, at: u64, dev: &DeviceRef) {
    static BLOCK: [u8; 4096] = [0; 4096];
    bio.prepare(Op::Write, Flags::NONE, Sector(at % 1024 * 8));
    // SAFETY: static memory, which a write only reads.
    unsafe { bio.set_foreign(&[Span::from_raw(std::ptr::NonNull::from(&BLOCK).cast(), BLOCK.len())]) };
    bio.submit(dev);
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
        fn device(&self, _name: &str, _block_size: u32) -> Result<DeviceRef, String> {
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

impl<'a> Way<'a> {
    fn new(
        name: &'static str,
        sets: [(&'a BioSet<Client>, Alloc); 2],
        send: impl Fn(PadBio<Client>, u64) + Copy + 'a,
    ) -> Self {
        let clients =
            sets.map(|(set, how)| Box::new(move |at| send(alloc(set, how), at)) as Box<dyn Fn(u64)>);
        Self { name, clients, rounds: [Vec::new(), Vec::new()] }
    }

    fn round(&mut self) {
        for (rounds, way) in self.rounds.iter_mut().zip(&self.clients) {
            let begin = Instant::now();
            (0..BIOS).for_each(way);
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

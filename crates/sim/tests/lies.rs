//! Bad twins: a disk that lies, or a driver with a bug, is found, and says so in the right words; the honest one beside
//! it is not. Without these a checker that checks nothing would pass for a good one.

use std::sync::Arc;

use udm_block::{
    Bio, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sectors, Status,
};
use udm_sim::{
    DiskOptions, Failure, Fault, Hits, Kind, Lie, Report, Sim, SimDisk, Workload, WorkloadOptions, seeds,
};

/// How many worlds a lie may take to be found.
const WORLDS: u64 = 10;

/// A workload with errors and power cuts over a driver on a disk.
fn run(seed: u64, lie: Option<Lie>, driver: impl Fn(&Arc<SimDisk>) -> DeviceRef) -> Result<Report, Failure> {
    let sim = Sim::new(seed);
    let disk = SimDisk::new(&sim, DiskOptions { lie, ..DiskOptions::new(Sectors(512)) });
    let device = driver(&disk);
    let mut workload = Workload::new(&sim, device.geometry(), WorkloadOptions::default());
    workload.fill(&device)?;
    for _ in 0..3 {
        workload.run(&device, 300)?;
        disk.fail(Fault { hits: Hits::PerMille(20), op: None, status: Status::IoErr });
        workload.run(&device, 100)?;
        disk.heal();
        sim.after(sim.dice().below(1_000_000), Sim::cut_power);
        workload.run(&device, 100_000)?;
        sim.restore_power();
        workload.verify(&device)?;
    }
    workload.run(&device, 0)
}

fn bare(disk: &Arc<SimDisk>) -> DeviceRef {
    Arc::clone(disk) as DeviceRef
}

/// How many of the worlds find fault, which must be of this kind.
fn found(lie: Option<Lie>, driver: impl Fn(&Arc<SimDisk>) -> DeviceRef, kind: Kind) -> u64 {
    let (mut found, mut worlds) = (0, 0);
    for seed in seeds(0x5eed_011e, WORLDS) {
        worlds += 1;
        if let Err(failure) = run(seed, lie, &driver) {
            assert_eq!(failure.kind, kind, "{failure}");
            let text = failure.to_string();
            assert!(text.contains(&format!("UDM_SEED={seed:#x}")) && failure.events.len() > 10, "{text}");
            found += 1;
        }
    }
    println!("{lie:?}: {found} of {worlds} worlds");
    found
}

#[test]
fn an_honest_disk_is_never_found_at_fault() {
    assert_eq!(found(None, bare, Kind::Contents), 0);
}

#[test]
fn a_disk_that_ignores_flushes_is_found() {
    assert!(found(Some(Lie::IgnoresFlush), bare, Kind::Contents) > 0);
}

#[test]
fn a_disk_that_acknowledges_early_is_found() {
    assert!(found(Some(Lie::AcknowledgesEarly), bare, Kind::Contents) > 0);
}

#[test]
fn a_disk_that_loses_writes_that_are_overtaken_is_found() {
    assert!(found(Some(Lie::LosesOvertaken), bare, Kind::Contents) > 0);
}

#[test]
fn a_disk_that_says_ok_of_what_failed_is_found() {
    assert!(found(Some(Lie::HidesErrors), bare, Kind::Contents) > 0);
}

#[test]
fn a_disk_that_misplaces_writes_is_found() {
    assert!(found(Some(Lie::Misplaces), bare, Kind::Contents) > 0);
}

#[test]
fn a_disk_that_forgets_a_bio_is_found() {
    assert!(found(Some(Lie::Forgets), bare, Kind::Stuck) > 0);
}

/// What a buggy driver does with a bio.
#[derive(Clone, Copy)]
enum Bug {
    /// It says that a flush is done, and sends none.
    SwallowsFlushes,
    /// It fails every hundredth bio by itself.
    FailsSome,
}

/// A driver over a disk, with a bug.
struct Buggy {
    bug: Bug,
    disk: DeviceRef,
}

struct BuggyChannel {
    bug: Bug,
    disk: ChannelId,
}

impl Buggy {
    fn over(bug: Bug) -> impl Fn(&Arc<SimDisk>) -> DeviceRef {
        move |disk| Arc::new(Self { bug, disk: bare(disk) })
    }
}

impl Device for Buggy {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(BuggyChannel { bug: self.bug, disk: opening.open(&self.disk)? }))
    }
}

impl Channel for BuggyChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        match self.bug {
            Bug::SwallowsFlushes if bio.op() == Op::Flush => cx.complete(bio, Status::Ok),
            Bug::FailsSome if bio.sector().0 % 100 == 99 => cx.complete(bio, Status::IoErr),
            _ => cx.submit(self.disk, bio),
        }
    }
}

#[test]
fn a_driver_that_swallows_flushes_is_found() {
    assert!(found(None, Buggy::over(Bug::SwallowsFlushes), Kind::Contents) > 0);
}

#[test]
fn a_driver_that_makes_up_errors_is_found() {
    assert!(found(None, Buggy::over(Bug::FailsSome), Kind::Error) > 0);
}

/// Time that goes on for ever does not hide that a bio never ends.
#[test]
fn a_bio_that_never_ends_is_found_where_something_is_always_due() {
    fn tick(sim: &Sim) {
        sim.after(1000, tick);
    }
    let forgetful = DiskOptions { lie: Some(Lie::Forgets), ..DiskOptions::new(Sectors(512)) };
    let sim = Sim::new(seeds(0x5eed_711c, 1).next().unwrap());
    let device = bare(&SimDisk::new(&sim, forgetful));
    let mut workload = Workload::new(&sim, device.geometry(), WorkloadOptions::default());
    tick(&sim);
    let failure = workload.run(&device, 1000).unwrap_err();
    assert_eq!(failure.kind, Kind::Stuck, "{failure}");
}

/// What a failure prints is enough to see it again: the same step, the same words, the same last events.
#[test]
fn a_failure_is_seen_again_by_its_seed() {
    let failures =
        seeds(0x5eed_a9a1, WORLDS).filter_map(|seed| run(seed, Some(Lie::HidesErrors), bare).err());
    let first = failures.into_iter().next().expect("this lie is found");
    assert_eq!(run(first.seed, Some(Lie::HidesErrors), bare), Err(first));
}

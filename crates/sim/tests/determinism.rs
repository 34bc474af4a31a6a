//! The same seed does the same: every event, its time, and the bytes that were read. The oracle is a second run.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use udm_block::{
    Bio, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry, OpenError, Opening, Sectors, Status,
};
use udm_sim::{DiskOptions, Event, Fault, Hits, Sim, SimDisk, Workload, WorkloadOptions, seeds};

/// A world with faults and a power cut, and all that happened in it.
fn run(seed: u64, driver: impl Fn(DeviceRef) -> DeviceRef) -> (u64, Vec<Event>) {
    let sim = Sim::new(seed);
    sim.keep_all_events();
    let disk = SimDisk::new(&sim, DiskOptions::new(Sectors(256)));
    let device = driver(Arc::clone(&disk) as DeviceRef);
    let options = WorkloadOptions { overlap: true, ..WorkloadOptions::default() };
    let mut workload = Workload::new(&sim, device.geometry(), options);
    workload.fill(&device).unwrap();
    disk.fail(Fault { hits: Hits::PerMille(50), op: None, status: Status::IoErr });
    sim.after(3_000_000, Sim::cut_power);
    workload.run(&device, 10_000).unwrap();
    sim.restore_power();
    workload.run(&device, 100).unwrap();
    (sim.digest(), sim.events())
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    for seed in seeds(0x5eed_5a3e, 5) {
        let (digest, events) = run(seed, |disk| disk);
        assert!(events.len() > 1000);
        // Threads of their own, so that nothing of this one is found there.
        let again = std::thread::spawn(move || run(seed, |disk| disk)).join().unwrap();
        assert!(again == (digest, events), "seed {seed:#x} did something else the second time");
        assert_ne!(run(seed ^ 1, |disk| disk).0, digest);
    }
}

/// A driver that asks a real clock how many bios it sends twice.
struct Clocked(DeviceRef);

struct ClockedChannel(ChannelId);

impl Device for Clocked {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ClockedChannel(opening.open(&self.0)?)))
    }
}

impl Channel for ClockedChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        // A wish that changes nothing but is seen below.
        let wish = if nanoseconds.count_ones().is_multiple_of(2) {
            udm_block::Flags::NO_UNMAP
        } else {
            udm_block::Flags::NONE
        };
        bio.set_flags(bio.flags() | wish);
        cx.submit(self.0, bio);
    }
}

/// The bad twin: what no seed decides shows in the digest.
#[test]
fn a_driver_that_asks_a_clock_is_seen() {
    let clocked = || run(0x5eed_c10c, |disk| Arc::new(Clocked(disk))).0;
    assert_ne!(clocked(), clocked());
}

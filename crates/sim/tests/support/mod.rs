//! What the tests of targets share: simulated disks, and the stack of a table over them.

use std::sync::Arc;

use udm_block::memory::{Heap, Source, Starving};
use udm_block::{DeviceRef, Geometry, Sectors, Status};
use udm_dm::load::{Lookup, LookupError, load_with};
use udm_dm::table::Table;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;
use udm_sim::{DiskOptions, Failure, Fault, Hits, Lie, Mix, Sim, SimDisk, Workload, WorkloadOptions};

/// The length of a disk: 256 KiB.
pub const SIZE: u64 = 512;
/// One of each pool's elements: what the rules of the block layer say is enough.
pub const ONE: Reserves = Reserves { bios: 1, buffers: 1 };
/// What the disks are called.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Disks of a world, and memory that can be starved.
pub struct Bottom {
    disks: Vec<Arc<SimDisk>>,
    pub memory: Arc<Starving>,
    /// The table of what is stacked on them.
    table: String,
}

/// Finds the disks.
struct Shelf<'a>(&'a [Arc<SimDisk>]);

impl Lookup for Shelf<'_> {
    fn device(&self, name: &str, _block_size: u32) -> Result<DeviceRef, LookupError> {
        let number = NAMES.iter().position(|known| *known == name).ok_or(LookupError::NotFound)?;
        Ok(Arc::clone(&self.0[number]) as DeviceRef)
    }
}

impl Bottom {
    /// `count` disks with sectors of `sector_size`, under `table`.
    pub fn new(sim: &Sim, count: usize, sector_size: u32, lie: Option<Lie>, table: String) -> Self {
        let plain = DiskOptions::new(Sectors(SIZE));
        let geometry = Geometry { logical_block: sector_size, ..plain.geometry };
        let options = DiskOptions { geometry, physical_block: sector_size, lie, ..plain };
        let disk = |name: &&'static str| SimDisk::new(sim, DiskOptions { name, ..options });
        let disks = NAMES[..count].iter().map(disk).collect();
        Self { disks, memory: Starving::new(Arc::new(Heap)), table }
    }

    /// Opens the stack.
    pub fn open(&self, reserves: Reserves) -> DeviceRef {
        let table = Table::parse_with(udm_targets::all(), &self.table).unwrap();
        let source: Source = Arc::clone(&self.memory) as Source;
        load_with(&table, &Shelf(&self.disks), &CipherChoice::default(), &source, reserves).unwrap().into()
    }

    pub fn fail(&self, per_mille: u32) {
        for disk in &self.disks {
            disk.fail(Fault { hits: Hits::PerMille(per_mille), op: None, status: Status::IoErr });
            disk.fail(Fault { hits: Hits::Sticky(per_mille / 4), op: None, status: Status::Medium });
        }
    }

    pub fn heal(&self) {
        self.disks.iter().for_each(|disk| disk.heal());
    }
}

/// One world: the power goes `cuts` times in the middle of it, and each time a fresh stack is opened on what is left.
/// How many sectors were undecided after the cuts.
///
/// Flushes are frequent and bios short, so that at each cut much is promised and much is not.
pub fn cut(sim: &Sim, bottom: &Bottom, cuts: usize) -> Result<usize, Failure> {
    let mut device = bottom.open(ONE);
    let mix = Mix { reads: 20, writes: 60, flushes: 20, discards: 1, zeroes: 0 };
    let options = WorkloadOptions { mix, longest: Sectors(16), overlap: true, ..WorkloadOptions::default() };
    let mut workload = Workload::new(sim, device.geometry(), options);
    workload.fill(&device)?;
    let mut undecided = 0;
    for _ in 0..cuts {
        sim.after(sim.dice().below(600_000), Sim::cut_power);
        undecided += loop {
            let report = workload.run(&device, 10_000)?;
            if report.cut {
                break report.undecided;
            }
        };
        drop(device);
        sim.restore_power();
        device = bottom.open(ONE);
        workload.verify(&device)?;
    }
    drop(device);
    Ok(undecided)
}

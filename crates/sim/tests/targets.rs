//! The targets of `udm-targets` on simulated disks: stripes, and delays of no time, which keep what wants a flush first. Every
//! bio ends, a read finds what was written or says that it failed, and what was flushed is there after a cut.
//!
//! A delay that takes time is not here: its clock is not the world's. `crates/targets/tests` has it.

use crate::support::{Bottom, ONE, cut};
use udm_block::Sectors;
use udm_block::memory::Refuse;
use udm_dm::targets::Reserves;
use udm_sim::{Lie, Sim, Workload, WorkloadOptions, seeds};

/// Three stripes, and behind them a delay of no time on one of the disks.
fn bottom(sim: &Sim, sector_size: u32, lie: Option<Lie>) -> Bottom {
    let table = "0 1296 striped 3 24 a 8 b 0 c 16\n1296 48 delay a 464 0".to_owned();
    Bottom::new(sim, 3, sector_size, lie, table)
}

#[test]
fn with_errors_delays_and_no_memory_every_bio_ends_with_the_right_bytes_or_an_error() {
    let (mut done, mut errors, mut refused) = (0, 0, 0);
    for (number, seed) in seeds(0x5eed_57c1, 12).enumerate() {
        let sim = Sim::new(seed);
        let bottom = bottom(&sim, [512, 4096][number % 2], None);
        let device = bottom.open([ONE, Reserves::default()][number / 2 % 2]);
        let options = WorkloadOptions { overlap: true, longest: Sectors(256), ..WorkloadOptions::default() };
        let mut workload = Workload::new(&sim, device.geometry(), options);
        workload.fill(&device).unwrap();
        bottom.fail([0, 8, 40][number % 3]);
        let chance = Refuse::Chance { seed, per_mille: 500 };
        sim.starve(&bottom.memory, [(0, Refuse::Always), (1_000_000, chance), (2_000_000, Refuse::Always)]);
        let report = workload.run(&device, 400).unwrap();
        bottom.heal();
        workload.verify(&device).unwrap();
        (done, errors) = (done + report.done, errors + report.errors);
        refused += bottom.memory.counts().1;
    }
    println!("{done} bios done, {errors} failed, memory refused {refused} times");
    assert!(done > 100 && errors > 0 && refused > 100);
}

#[test]
fn after_120_power_cuts_what_was_flushed_is_there() {
    let mut undecided = 0;
    for (number, seed) in seeds(0x5eed_57c2, 12).enumerate() {
        let sim = Sim::new(seed);
        undecided += cut(&sim, &bottom(&sim, [512, 4096][number % 2], None), 10).unwrap();
    }
    println!("{undecided} sectors could be one of several things");
    assert!(undecided > 0);
}

/// The bad twins: through the stripes, too, a lying disk is found.
#[test]
fn lies_below_the_stripes_are_found() {
    for lie in [Lie::IgnoresFlush, Lie::AcknowledgesEarly, Lie::Misplaces] {
        let is_found = |seed: &u64| {
            let sim = Sim::new(*seed);
            cut(&sim, &bottom(&sim, 512, Some(lie)), 3).is_err()
        };
        let found = seeds(0x5eed_57c3, 5).filter(is_found).count();
        println!("{lie:?}: {found} worlds");
        assert!(found > 0, "{lie:?}");
    }
}

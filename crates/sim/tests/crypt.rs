//! The crypt target on simulated disks: late, out of order, with errors, without memory, and with power cuts. Every bio
//! ends, a read finds what was written or says that it failed, and what was flushed is there after a cut.

use std::fmt::Write;

use crate::support::{Bottom, ONE, SIZE, cut};
use udm_block::memory::{Refuse, splitmix64};
use udm_block::{DeviceRef, Sectors};
use udm_dm::targets::Reserves;
use udm_sim::{Failure, Lie, Mix, Sim, Workload, WorkloadOptions, seeds};

/// Two ranges of crypt on two disks.
fn bottom(sim: &Sim, sector_size: u32, lie: Option<Lie>) -> Bottom {
    let words = format!("2 allow_discards sector_size:{sector_size}");
    let table = format!(
        "0 {half} crypt aes-xts-plain64 {} 8 a 0 {words}\n{half} {half} crypt aes-cbc-essiv:sha256 {} 0 b 8 {words}",
        key(64),
        key(32),
        half = SIZE / 2
    );
    Bottom::new(sim, 2, sector_size, lie, table)
}

fn key(len: usize) -> String {
    let mut seed = len as u64;
    (0..len).fold(String::new(), |mut digits, _| {
        write!(digits, "{:02x}", splitmix64(&mut seed) as u8).unwrap();
        digits
    })
}

fn workload(sim: &Sim, device: &DeviceRef) -> Workload {
    let options = WorkloadOptions { overlap: true, longest: Sectors(256), ..WorkloadOptions::default() };
    Workload::new(sim, device.geometry(), options)
}

#[test]
fn with_errors_delays_and_no_memory_every_bio_ends_with_the_right_bytes_or_an_error() {
    let (mut done, mut errors, mut refused) = (0, 0, 0);
    for (number, seed) in seeds(0x5eed_c497, 12).enumerate() {
        let sim = Sim::new(seed);
        let bottom = bottom(&sim, [512, 4096][number % 2], None);
        let device = bottom.open([ONE, Reserves::default()][number / 2 % 2]);
        let mut workload = workload(&sim, &device);
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
    assert!(done > 100 && refused > 100);
}

/// One world with power cuts.
fn cuts(seed: u64, cuts: usize, sector_size: u32, lie: Option<Lie>) -> Result<usize, Failure> {
    let sim = Sim::new(seed);
    cut(&sim, &bottom(&sim, sector_size, lie), cuts)
}

#[test]
fn after_240_power_cuts_what_was_flushed_is_there() {
    let mut undecided = 0;
    for (number, seed) in seeds(0x5eed_00f7, 24).enumerate() {
        undecided += cuts(seed, 10, [512, 4096][number % 2], None).unwrap();
    }
    println!("{undecided} sectors could be one of several things");
    assert!(undecided > 0);
}

/// The bad twins: through the cipher, too, a lying disk is found.
#[test]
fn lies_below_the_cipher_are_found() {
    for lie in [Lie::IgnoresFlush, Lie::AcknowledgesEarly, Lie::LosesOvertaken, Lie::Misplaces] {
        let found = seeds(0x5eed_11e5, 5).filter(|seed| cuts(*seed, 3, 512, Some(lie)).is_err()).count();
        println!("{lie:?}: {found} worlds");
        assert!(found > 0, "{lie:?}");
    }
}

/// Without memory the same seed does the same too, to the byte: bios that wait are woken in an order of the world's.
#[test]
fn a_starving_stack_replays() {
    let run = |seed| {
        let sim = Sim::new(seed);
        let bottom = bottom(&sim, 512, None);
        let device = bottom.open(ONE);
        let mix = Mix { reads: 1, writes: 1, flushes: 0, discards: 0, zeroes: 0 };
        let options = WorkloadOptions { mix, ..WorkloadOptions::default() };
        let mut workload = Workload::new(&sim, device.geometry(), options);
        bottom.memory.refuse(Refuse::Chance { seed, per_mille: 800 });
        workload.run(&device, 500).unwrap();
        (sim.digest(), bottom.memory.counts())
    };
    let seed = seeds(0x5eed_5a3f, 1).next().unwrap();
    let first = run(seed);
    assert_eq!(std::thread::spawn(move || run(seed)).join().unwrap(), first);
    assert_ne!(run(seed ^ 1), first);
}

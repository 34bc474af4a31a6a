//! Random I/O through any stack of devices, each result held against the model.

use std::collections::BTreeMap;
use std::ops::Range;

use udm_block::{DeviceRef, Flags, Geometry, Op, SECTOR_SIZE, Sector, Sectors, Status};

use crate::client::{Client, Ended, Request};
use crate::contents::bytes_of;
use crate::dice::Dice;
use crate::failure::{Failure, Kind};
use crate::model::{Model, Step};
use crate::world::Sim;

/// What a [`Workload`] does.
///
/// New fields come with a new major version only.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadOptions {
    /// How many bios are under way at once.
    pub depth: usize,
    /// The longest bio. Short ones are as frequent as long ones.
    pub longest: Sectors,
    /// How often each operation comes, relative to the others. What the device has not does not come.
    pub mix: Mix,
    /// How many writes in a thousand are to be durable when they are acknowledged.
    pub fua_per_mille: u32,
    /// How many writes in a thousand flush first.
    pub preflush_per_mille: u32,
    /// Whether two writes that are under way may be about the same sector. Which one stays is then not said; a device
    /// that keeps copies need not keep them equal.
    pub overlap: bool,
}

/// Shares of operations.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Mix {
    pub reads: u32,
    pub writes: u32,
    pub flushes: u32,
    pub discards: u32,
    pub zeroes: u32,
}

impl Default for WorkloadOptions {
    /// 16 bios of up to 64 KiB, most of them reads and writes.
    fn default() -> Self {
        Self {
            depth: 16,
            longest: Sectors(128),
            mix: Mix { reads: 40, writes: 50, flushes: 4, discards: 3, zeroes: 3 },
            fua_per_mille: 30,
            preflush_per_mille: 20,
            overlap: false,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Bios that ended well.
    pub done: u64,
    /// Bios that ended with an error, after something was made to fail.
    pub errors: u64,
    /// Bytes that were read and held against the model.
    pub checked: u64,
    /// The power went, and the run ended there.
    pub cut: bool,
    /// How many sectors may hold one of several values now, or after a power cut.
    pub undecided: usize,
}

/// A client that knows what each sector may hold.
///
/// When the power goes, a run ends; then open a fresh stack on what is left, [`Workload::verify`] it, and run on.
pub struct Workload {
    sim: Sim,
    client: Client,
    model: Model,
    options: WorkloadOptions,
    dice: Dice,
    writes: u64,
    under_way: BTreeMap<u64, UnderWay>,
    /// How many power cuts the model knows of.
    cuts: u64,
}

struct UnderWay {
    step: Step,
    began: u64,
    /// How many faults there had been when it began.
    faults: u64,
}

impl Workload {
    /// A workload for a device of this geometry, on which anything may stand: [`Workload::fill`] it to know more.
    ///
    /// # Panics
    /// When there is no memory, or the system has no event descriptor left.
    pub fn new(sim: &Sim, geometry: Geometry, options: WorkloadOptions) -> Self {
        Self {
            client: Client::new(sim, options.depth),
            model: Model::new(geometry.size.0, geometry.write_cache),
            options,
            dice: sim.dice(),
            writes: 0,
            under_way: BTreeMap::new(),
            cuts: sim.power_cuts(),
            sim: sim.clone(),
        }
    }

    /// Writes every sector, and flushes.
    ///
    /// # Errors
    /// The first promise that `dev` did not keep; what is under way is given up then, and the power is off.
    pub fn fill(&mut self, dev: &DeviceRef) -> Result<Report, Failure> {
        let report = self.sweep(dev, Op::Write)?;
        let flush = Step { op: Op::Flush, flags: Flags::NONE, sectors: 0..0, number: 0 };
        self.run_steps(dev, report, |_, _| None, Some(flush))
    }

    /// Reads every sector.
    ///
    /// # Errors
    /// As [`Workload::fill`].
    pub fn verify(&mut self, dev: &DeviceRef) -> Result<Report, Failure> {
        self.sweep(dev, Op::Read)
    }

    /// Does `count` random operations, and waits until all have ended; fewer, when the power goes.
    ///
    /// # Errors
    /// As [`Workload::fill`].
    pub fn run(&mut self, dev: &DeviceRef, count: usize) -> Result<Report, Failure> {
        let mut left = count;
        let next = |workload: &mut Self, geometry: &Geometry| {
            left = left.checked_sub(1)?;
            Some(workload.random(geometry))
        };
        self.run_steps(dev, Report::default(), next, None)
    }

    /// One operation for all sectors, in bios as long as may be.
    fn sweep(&mut self, dev: &DeviceRef, op: Op) -> Result<Report, Failure> {
        let mut at = 0;
        let next = |workload: &mut Self, geometry: &Geometry| {
            let sectors = at..(at + workload.longest(geometry)).min(geometry.size.0);
            at = sectors.end;
            (!sectors.is_empty()).then(|| workload.step(op, Flags::NONE, sectors))
        };
        self.run_steps(dev, Report::default(), next, None)
    }

    /// Does what `next` says, up to `depth` at once, and then `last`, which begins when all others have ended.
    fn run_steps(
        &mut self,
        dev: &DeviceRef,
        mut report: Report,
        mut next: impl FnMut(&mut Self, &Geometry) -> Option<Step>,
        last: Option<Step>,
    ) -> Result<Report, Failure> {
        let geometry = dev.geometry();
        // It may have been cut while nothing ran.
        self.learn_of_cuts();
        let result = loop {
            if self.client.under_way() < self.options.depth
                && !self.was_cut()
                && let Some(step) = next(self, &geometry)
            {
                self.start(dev, step);
            } else if self.client.under_way() == 0 {
                break Ok(());
            } else if let Err(failure) = self.end(&mut report) {
                break Err(failure);
            }
        };
        result.map_err(|failure| self.give_up(failure))?;
        if let Some(last) = last.filter(|_| !self.was_cut()) {
            self.start(dev, last);
            self.end(&mut report).map_err(|failure| self.give_up(failure))?;
        }
        report.cut |= self.learn_of_cuts();
        report.undecided = self.model.unsettled();
        Ok(report)
    }

    /// Whether the power went since the model has heard of it.
    fn was_cut(&self) -> bool {
        self.sim.power_cuts() > self.cuts
    }

    /// Tells the model when the power went; nothing is under way. Whether it did.
    fn learn_of_cuts(&mut self) -> bool {
        let cut = self.was_cut();
        if cut {
            self.cuts = self.sim.power_cuts();
            self.model.power_cut();
        }
        cut
    }

    /// A failed world goes no further: its bios are ended, so that all pools have what is theirs.
    fn give_up(&mut self, failure: Failure) -> Failure {
        self.client.abandon();
        self.under_way.clear();
        failure
    }

    fn start(&mut self, dev: &DeviceRef, step: Step) {
        let Step { op, flags, ref sectors, number } = step;
        let (at, len) = (Sector(sectors.start), Sectors(sectors.end - sectors.start));
        let request = match op {
            Op::Write => {
                let bytes = sectors.clone().flat_map(|sector| bytes_of(number, sector)).collect();
                Request::write(at, bytes)
            }
            Op::Read => {
                // Bytes that no write has: a read that reads nothing is found.
                let mut request = Request::read(at, len);
                request.bytes.fill(self.dice.word() as u8 | 1);
                request
            }
            op => Request::range(op, at, len),
        };
        let request = request.with(flags).cut(&mut self.dice);
        let (began, faults) = (self.model.begin(&step), self.sim.faults());
        let number = self.client.start(dev, &request);
        self.under_way.insert(number, UnderWay { step, began, faults });
    }

    /// Waits for a bio to end, and checks it.
    fn end(&mut self, report: &mut Report) -> Result<(), Failure> {
        let Ended { number, status, bytes } = self.client.wait()?;
        let UnderWay { step, began, faults } = self.under_way.remove(&number).expect("it was started");
        let failure =
            |kind, what| Failure::new(&self.sim, kind, format!("bio #{number} of the client: {what}"));
        self.model.end(&step, began, status, &bytes).map_err(|what| failure(Kind::Contents, what))?;
        if status == Status::Ok {
            report.done += 1;
            report.checked += if step.op == Op::Read { bytes.len() as u64 } else { 0 };
        } else if self.sim.faults() > faults {
            report.errors += 1;
        } else {
            let what =
                format!("{:?} ended with \"{status}\", and nothing had failed since it began", step.op);
            return Err(failure(Kind::Error, what));
        }
        Ok(())
    }

    /// A random operation.
    fn random(&mut self, geometry: &Geometry) -> Step {
        let op = self.random_op(geometry);
        if op == Op::Flush {
            return self.step(op, Flags::NONE, 0..0);
        }
        let mut flags = Flags::NONE;
        if op == Op::Write {
            for (flag, per_mille) in
                [(Flags::FUA, self.options.fua_per_mille), (Flags::PREFLUSH, self.options.preflush_per_mille)]
            {
                flags |= if self.dice.chance(per_mille) { flag } else { Flags::NONE };
            }
        }
        match self.place(op, geometry) {
            Some(sectors) => self.step(op, flags, sectors),
            // All is being written: a flush has no place.
            None => self.step(Op::Flush, Flags::NONE, 0..0),
        }
    }

    fn random_op(&mut self, geometry: &Geometry) -> Op {
        let Mix { reads, writes, flushes, discards, zeroes } = self.options.mix;
        let writable = u32::from(!geometry.read_only);
        let shares = [
            (Op::Read, reads),
            (Op::Write, writes * writable),
            (Op::Flush, flushes),
            (Op::Discard, discards * writable * u32::from(geometry.discard)),
            (Op::WriteZeroes, zeroes * writable * u32::from(geometry.write_zeroes)),
        ];
        let sum: u32 = shares.iter().map(|(_, share)| share).sum();
        let mut throw = self.dice.below(u64::from(sum.max(1))) as u32;
        let chosen = shares.iter().find(|(_, share)| {
            let hit = throw < *share;
            throw = throw.saturating_sub(*share);
            hit
        });
        chosen.map_or(Op::Read, |(op, _)| *op)
    }

    /// Where the next operation goes: whole blocks; for a write, if need be, none that are being written.
    fn place(&mut self, op: Op, geometry: &Geometry) -> Option<Range<u64>> {
        let block = u64::from(geometry.logical_block) / SECTOR_SIZE as u64;
        let (blocks, longest) = (geometry.size.0 / block, self.longest(geometry) / block);
        (0..100).find_map(|_| {
            // Each power of two as often as the other.
            let most = self.dice.below(u64::from(longest.ilog2()) + 1);
            let len = (1 + self.dice.below(2 << most)).min(longest);
            let first = self.dice.below(blocks - len + 1);
            let sectors = first * block..(first + len) * block;
            let other = |under_way: &UnderWay| {
                let other = &under_way.step;
                other.op.is_write() && other.sectors.start < sectors.end && sectors.start < other.sectors.end
            };
            let free = self.options.overlap || !op.is_write() || !self.under_way.values().any(other);
            free.then(|| sectors.clone())
        })
    }

    /// The longest bio in sectors, whole blocks.
    fn longest(&self, geometry: &Geometry) -> u64 {
        let block = u64::from(geometry.logical_block) / SECTOR_SIZE as u64;
        let most = Sectors::in_bytes(u64::from(geometry.max_transfer)).0;
        (self.options.longest.0.min(most).min(geometry.size.0) / block * block).max(block)
    }

    fn step(&mut self, op: Op, flags: Flags, sectors: Range<u64>) -> Step {
        self.writes += 1;
        Step { op, flags, sectors, number: self.writes }
    }
}

//! What each sector of a device may hold: after writes that overlap, failed, or were cut short by the power.
//!
//! An operation begins and ends at an instant of the model's own clock. For each sector the model has the values that
//! it may have, with two questions to each: may a read find it still, and may it be there after a power cut? A value is
//! *gone* when something that began after its write had ended took its place; a read may find what was not gone when the
//! read began. A flush is like a read: what was not gone when it began may be durable, and nothing else.

use std::collections::BTreeSet;
use std::ops::Range;

use udm_block::{Flags, Op, SECTOR_SIZE, Status};

use crate::contents::{Value, describe};

/// An instant of the model's clock.
type Instant = u64;
/// Not yet.
const NEVER: Instant = Instant::MAX;

/// The model of one device.
pub(crate) struct Model {
    sectors: Vec<Vec<Version>>,
    /// The sectors that have more than one version.
    unsettled: BTreeSet<u64>,
    now: Instant,
    /// When the operations began that have not ended.
    open: BTreeSet<Instant>,
    /// Whether what is acknowledged may be lost before a flush.
    write_cache: bool,
}

/// A value that a sector may have.
#[derive(Clone, Copy, Debug)]
struct Version {
    value: Value,
    began: Instant,
    ended: Instant,
    /// When a newer one took its place.
    gone: Instant,
    /// Whether a power cut may leave it.
    survives: bool,
}

/// An operation, as the model sees it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub op: Op,
    pub flags: Flags,
    pub sectors: Range<u64>,
    /// The number of a write.
    pub number: u64,
}

impl Step {
    fn value(&self) -> Option<Value> {
        match self.op {
            Op::Write => Some(Value::Written(self.number)),
            Op::WriteZeroes => Some(Value::Zeros),
            Op::Discard => Some(Value::Any),
            Op::Read | Op::Flush => None,
        }
    }

    /// Whether what was acknowledged before it is durable when it has ended.
    fn flushes(&self) -> bool {
        self.op == Op::Flush || self.flags.has(Flags::PREFLUSH)
    }
}

impl Model {
    /// A device of which nothing is known.
    pub fn new(sectors: u64, write_cache: bool) -> Self {
        let unknown = Version { value: Value::Any, began: 0, ended: 0, gone: NEVER, survives: true };
        Self {
            sectors: vec![vec![unknown]; sectors as usize],
            unsettled: BTreeSet::new(),
            now: 0,
            open: BTreeSet::new(),
            write_cache,
        }
    }

    /// An operation begins: the instant, which [`Model::end`] takes.
    pub fn begin(&mut self, step: &Step) -> Instant {
        self.now += 1;
        self.open.insert(self.now);
        if let Some(value) = step.value() {
            let version = Version { value, began: self.now, ended: NEVER, gone: NEVER, survives: true };
            for sector in step.sectors.clone() {
                self.sectors[sector as usize].push(version);
                self.unsettled.insert(sector);
            }
        }
        self.now
    }

    /// An operation that began at `began` has ended; `bytes` is what a read has read.
    ///
    /// # Errors
    /// When a read found what cannot be there: where, what, and what may be.
    pub fn end(&mut self, step: &Step, began: Instant, status: Status, bytes: &[u8]) -> Result<(), String> {
        self.now += 1;
        self.open.remove(&began);
        if step.value().is_some() {
            let durable = step.flags.has(Flags::FUA) || !self.write_cache;
            for sector in step.sectors.clone() {
                self.written(sector, began, status, durable);
            }
        }
        if status.is_ok() && step.flushes() {
            self.each_unsettled(|versions| {
                for version in versions {
                    version.survives &= version.gone > began;
                }
            });
        }
        if status.is_ok() && step.op == Op::Read {
            for (sector, bytes) in step.sectors.clone().zip(bytes.as_chunks::<SECTOR_SIZE>().0) {
                self.read(sector, began, bytes)?;
            }
        }
        self.settle(step.sectors.clone());
        Ok(())
    }

    /// A write to `sector` that began at `began` has ended.
    fn written(&mut self, sector: u64, began: Instant, status: Status, durable: bool) {
        for version in &mut self.sectors[sector as usize] {
            if version.began == began {
                version.ended = self.now;
            } else if status.is_ok() && version.ended < began {
                version.gone = version.gone.min(self.now);
                version.survives &= !durable;
            }
        }
    }

    /// A read that began at `began` found `bytes`.
    fn read(&mut self, sector: u64, began: Instant, bytes: &[u8; SECTOR_SIZE]) -> Result<(), String> {
        let versions = &mut self.sectors[sector as usize];
        let legal = |version: &Version| version.gone > began;
        let found = |version: &Version| legal(version) && version.value.is(sector, bytes);
        if !versions.iter().any(found) {
            let may: Vec<_> = versions.iter().filter(|v| legal(v)).map(|v| v.value.to_string()).collect();
            return Err(format!("sector {sector} holds {}; it may hold {}", describe(bytes), may.join(", ")));
        }
        // Where nothing was being written, what the read found is what is there.
        let still = |version: &Version| version.ended < began && version.value != Value::Any;
        if versions.iter().filter(|version| version.gone == NEVER).all(still) {
            let now = self.now;
            for version in versions.iter_mut().filter(|version| version.gone == NEVER) {
                if !version.value.is(sector, bytes) {
                    version.gone = now;
                }
            }
        }
        Ok(())
    }

    /// The power went, and every operation has ended: what may be left.
    ///
    /// # Panics
    /// When an operation has not ended.
    pub fn power_cut(&mut self) {
        assert!(self.open.is_empty(), "an operation is under way");
        self.each_unsettled(|versions| {
            versions.retain(|version| version.survives);
            for version in versions {
                version.gone = NEVER;
            }
        });
        self.unsettled.retain(|sector| self.sectors[*sector as usize].len() > 1);
    }

    /// How many sectors may hold one of several values.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    fn each_unsettled(&mut self, mut change: impl FnMut(&mut Vec<Version>)) {
        for sector in &self.unsettled {
            change(&mut self.sectors[*sector as usize]);
        }
    }

    /// Forgets the versions of `sectors` that nobody can find any more.
    fn settle(&mut self, sectors: Range<u64>) {
        let oldest = self.open.first().copied().unwrap_or(NEVER);
        // An operation that began before may find what went since.
        let kept = |version: &Version| version.gone == NEVER || version.survives || version.gone > oldest;
        let all = if sectors.is_empty() { 0..self.sectors.len() as u64 } else { sectors };
        let settled: Vec<u64> = self.unsettled.range(all).copied().collect();
        for sector in settled {
            let versions = &mut self.sectors[sector as usize];
            versions.retain(kept);
            if versions.len() == 1 {
                self.unsettled.remove(&sector);
            }
        }
    }
}

#[cfg(test)]
mod tests;

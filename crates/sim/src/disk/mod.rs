//! A disk that answers late, out of order, wrongly or not at all, and loses what was not durable when the power goes.

mod fault;
mod medium;
mod options;

pub use fault::{Fault, Hits};
pub use options::{Delay, DiskOptions, Lie};

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use udm_block::{
    Bio, Channel, Device, Dispatch, Flags, Geometry, Op, OpenError, Opening, SECTOR_SIZE, Status,
};

use crate::dice::Dice;
use crate::trace::What;
use crate::world::Sim;

use fault::Faults;
use medium::Medium;

/// A disk of a world. It keeps a bio until the world says that it ends; the bio's queue hears of that when it runs next.
/// All channels are the same: they share the one disk.
///
/// A bio takes effect when it ends, all of it at once: until then a read finds what was there before. A flush makes
/// durable what had ended when the flush came; what ended later may be lost. When the power goes, each physical block of
/// what was in flight or in the cache is there or not, as the seed says; a write with PREFLUSH has none of its own
/// blocks on the disk before what it flushes is durable.
pub struct SimDisk {
    sim: Sim,
    me: Weak<Self>,
    options: DiskOptions,
    state: Mutex<State>,
}

struct State {
    medium: Medium,
    faults: Faults,
    dice: Dice,
    powered: bool,
    in_flight: BTreeMap<u64, InFlight>,
    next: u64,
    /// When the last bio ends, in nanoseconds.
    last_ns: u64,
    /// One more than the number of the latest bio that has ended.
    overtaken: u64,
}

/// Something that the disk is about to do.
struct InFlight {
    /// Who is told; nobody, when the bio was acknowledged early.
    bio: Option<Bio>,
    work: Work,
    /// How it fails.
    verdict: Option<Status>,
    /// What a flush covers: the writes below this number.
    covers: u64,
}

/// What it asks for.
#[derive(Clone)]
struct Work {
    op: Op,
    flags: Flags,
    sectors: Range<u64>,
    /// What it writes, when it was acknowledged early.
    bytes: Option<Vec<u8>>,
}

impl SimDisk {
    /// A disk of zeros.
    ///
    /// # Panics
    /// When a physical block is no power of two of at least a logical one.
    pub fn new(sim: &Sim, options: DiskOptions) -> Arc<Self> {
        let DiskOptions { geometry, physical_block, .. } = options;
        let fits = physical_block.is_power_of_two() && physical_block >= geometry.logical_block;
        assert!(fits, "a physical block of {physical_block} bytes, with logical ones of {geometry:?}");
        let tear = u64::from(physical_block) / SECTOR_SIZE as u64;
        let state = State {
            medium: Medium::new(geometry.size.0, tear),
            faults: Faults::default(),
            dice: sim.dice(),
            powered: sim.has_power(),
            in_flight: BTreeMap::new(),
            next: 0,
            last_ns: 0,
            overtaken: 0,
        };
        let disk = Arc::new_cyclic(|me| Self {
            sim: sim.clone(),
            me: Weak::clone(me),
            options,
            state: Mutex::new(state),
        });
        sim.add_disk(&disk);
        disk
    }

    /// Has bios fail by one more rule from now on.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Makes these sectors bad: what reads one of them ends with [`Status::Medium`], until it is written.
    pub fn spoil(&self, sectors: Range<u64>) {
        self.state().faults.spoil(sectors);
    }

    /// No bio fails any more that comes from now on, and no sector is bad.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// What would be on the disk if the power went now and the cache with it.
    pub fn durable(&self) -> Vec<u8> {
        self.state().medium.durable().to_vec()
    }

    /// How many bios it holds.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the trace how a bio ends.
    fn note_end(&self, number: u64, status: Status) {
        self.sim.record(self.options.name, What::Ended { number, status, digest: 0 });
    }

    /// Ends a bio that the disk has kept.
    fn finish(&self, number: u64, bio: Bio, status: Status) {
        self.note_end(number, status);
        bio.complete_elsewhere(status);
    }

    /// The time of this bio has come.
    fn end(&self, number: u64) {
        let mut state = self.state();
        // The power may have gone meanwhile.
        let Some(mut in_flight) = state.in_flight.remove(&number) else { return };
        let overtaken = number < state.overtaken;
        state.overtaken = state.overtaken.max(number + 1);
        let status = state.work(&self.options, &mut in_flight, overtaken);
        drop(state);
        if !status.is_ok() {
            self.sim.count_fault();
        }
        let told = if self.options.lie == Some(Lie::HidesErrors) { Status::Ok } else { status };
        if let Some(bio) = in_flight.bio {
            self.finish(number, bio, told);
        }
    }

    /// The power goes: the bios that were in flight, which are to end when all disks are off.
    pub(crate) fn power_off(&self) -> Vec<(u64, Bio)> {
        let mut state = self.state();
        state.powered = false;
        let mut in_flight: Vec<_> = std::mem::take(&mut state.in_flight).into_iter().collect();
        for left in (1..in_flight.len()).rev() {
            in_flight.swap(left, state.dice.below(left as u64 + 1) as usize);
        }
        for (_, in_flight) in &in_flight {
            state.interrupt(&self.options, in_flight);
        }
        let State { medium, dice, .. } = &mut *state;
        medium.lose_cache(dice);
        in_flight.into_iter().filter_map(|(number, in_flight)| Some((number, in_flight.bio?))).collect()
    }

    pub(crate) fn end_all(&self, bios: Vec<(u64, Bio)>) {
        for (number, bio) in bios {
            self.sim.count_fault();
            self.finish(number, bio, Status::Offline);
        }
    }

    pub(crate) fn power_on(&self) {
        let mut state = self.state();
        state.powered = true;
        // What is left is durable, and nothing was overtaken.
        (state.last_ns, state.overtaken) = (0, 0);
    }
}

impl Device for SimDisk {
    fn geometry(&self) -> Geometry {
        self.options.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let disk = self.me.upgrade().ok_or(OpenError::Gone)?;
        Ok(Box::new(DiskChannel(disk)))
    }
}

/// A queue's way to a disk.
struct DiskChannel(Arc<SimDisk>);

impl Channel for DiskChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Self(disk) = self;
        let (number, ended) = disk.take(bio);
        if let Some((bio, status)) = ended {
            disk.note_end(number, status);
            cx.complete(bio, status);
        }
    }
}

impl SimDisk {
    /// Takes a bio in: its number, and the bio itself where it ends at once, and how.
    fn take(&self, bio: Bio) -> (u64, Option<(Bio, Status)>) {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let (op, flags, sector, len) = (bio.op(), bio.flags(), bio.sector(), bio.len().0);
        self.sim.record(self.options.name, What::Began { number, op, flags, sector, len });
        if !state.powered {
            self.sim.count_fault();
            return (number, Some((bio, Status::Offline)));
        }
        let (in_flight, told) = state.take(&self.options, bio);
        state.in_flight.insert(number, in_flight);
        let forgets = self.options.lie == Some(Lie::Forgets) && state.dice.below(64) == 0;
        let delay_ns = state.delay_ns(&self.options, self.sim.now_ns());
        drop(state);
        if !forgets {
            let me = Weak::clone(&self.me);
            self.sim.after(delay_ns, move |_| {
                if let Some(disk) = me.upgrade() {
                    disk.end(number);
                }
            });
        }
        (number, told.map(|bio| (bio, Status::Ok)))
    }
}

impl State {
    /// How long the next bio takes, which comes at `now_ns`.
    fn delay_ns(&mut self, options: &DiskOptions, now_ns: u64) -> u64 {
        let delay_ns = options.delay.throw(&mut self.dice);
        if !options.in_order {
            return delay_ns;
        }
        // A nanosecond apart: what is due at the same one happens in any order.
        let delay_ns = delay_ns.max((self.last_ns + 1).saturating_sub(now_ns));
        self.last_ns = now_ns + delay_ns;
        delay_ns
    }

    /// What is to be done for `bio`, and the bio itself where it is acknowledged at once.
    fn take(&mut self, options: &DiskOptions, bio: Bio) -> (InFlight, Option<Bio>) {
        let start = bio.sector().0;
        let sectors = start..start + bio.sectors().0;
        let mut work = Work { op: bio.op(), flags: bio.flags(), sectors, bytes: None };
        let verdict = self.faults.verdict(&bio, &mut self.dice);
        let covers = self.medium.next();
        if bio.op() == Op::Write && options.lie == Some(Lie::AcknowledgesEarly) {
            work.bytes = Some(written(&bio));
            return (InFlight { bio: None, work, verdict, covers }, Some(bio));
        }
        (InFlight { bio: Some(bio), work, verdict, covers }, None)
    }

    /// Does what a bio asks for: how it ends.
    fn work(&mut self, options: &DiskOptions, in_flight: &mut InFlight, overtaken: bool) -> Status {
        let Work { op, flags, sectors, .. } = in_flight.work.clone();
        if let Some(status) = in_flight.verdict {
            self.fail(in_flight);
            return status;
        }
        let honest = options.lie != Some(Lie::IgnoresFlush);
        if honest && (op == Op::Flush || flags.has(Flags::PREFLUSH)) {
            self.medium.flush(in_flight.covers);
        }
        if let (Op::Read, Some(bio)) = (op, &mut in_flight.bio) {
            bio.data_mut().write(self.medium.current(bytes(&sectors)));
        }
        if !op.is_write() {
            return Status::Ok;
        }
        let data = self.data_of(in_flight);
        let durable = honest && flags.has(Flags::FUA) || !options.geometry.write_cache;
        match options.lie {
            Some(Lie::LosesOvertaken) if overtaken && self.dice.below(8) == 0 => {}
            Some(Lie::Misplaces) if self.dice.below(64) == 0 => {
                let behind = sectors.start + u64::from(options.geometry.logical_block) / SECTOR_SIZE as u64;
                if behind + (sectors.end - sectors.start) <= options.geometry.size.0 {
                    self.medium.write(behind, &data, durable);
                }
            }
            _ => self.medium.write(sectors.start, &data, durable),
        }
        self.faults.written(sectors);
        Status::Ok
    }

    /// A bio fails: what it leaves behind.
    fn fail(&mut self, in_flight: &mut InFlight) {
        let Work { op, sectors, .. } = &in_flight.work;
        match &mut in_flight.bio {
            Some(bio) if *op == Op::Read => {
                let len = self.dice.below(bio.len().0 + 1) as usize;
                bio.data_mut().write(&noise(&mut self.dice, len));
            }
            _ if op.is_write() => {
                let data = self.data_of(in_flight);
                self.medium.write_torn(sectors.start, &data, &mut self.dice);
            }
            _ => {}
        }
    }

    /// The power goes in the middle of it: what it leaves in the cache.
    fn interrupt(&mut self, options: &DiskOptions, in_flight: &InFlight) {
        let Work { op, flags, sectors, .. } = &in_flight.work;
        let flushes = *op == Op::Flush || flags.has(Flags::PREFLUSH);
        if flushes {
            // It came to the data only if it was done with the flush.
            if self.dice.chance(500) {
                return;
            }
            if options.lie != Some(Lie::IgnoresFlush) {
                self.medium.flush(in_flight.covers);
            }
        }
        if op.is_write() {
            let data = self.data_of(in_flight);
            self.medium.write_torn(sectors.start, &data, &mut self.dice);
        }
    }

    /// The bytes that a write, a discard or zeros put on the disk.
    fn data_of(&mut self, in_flight: &InFlight) -> Vec<u8> {
        let Work { op, sectors, bytes: early, .. } = &in_flight.work;
        let range = bytes(sectors);
        match (op, early, &in_flight.bio) {
            (Op::Write, Some(early), _) => early.clone(),
            (Op::Write, None, Some(bio)) => written(bio),
            // What was discarded reads as anything.
            (Op::Discard, ..) => match self.dice.below(3) {
                0 => self.medium.current(range).to_vec(),
                1 => noise(&mut self.dice, range.len()),
                _ => vec![0; range.len()],
            },
            _ => vec![0; range.len()],
        }
    }
}

/// Where sectors stand in bytes.
fn bytes(sectors: &Range<u64>) -> Range<usize> {
    medium::place(sectors.start).start..medium::place(sectors.end).start
}

/// What a write's memory holds.
fn written(bio: &Bio) -> Vec<u8> {
    let mut bytes = vec![0; bio.len().0 as usize];
    bio.data().read(&mut bytes);
    bytes
}

fn noise(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| dice.word().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

//! The world: a virtual clock, what is due at which time, and the trace of what happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use udm_block::Bio;
use udm_block::memory::{Refuse, Starving};

use crate::dice::Dice;
use crate::trace::{Event, Trace, What};

/// A world that a seed decides. Copies of it are the same world.
///
/// All of it runs on the thread that calls [`Sim::step`], one thing after another; time passes only there, and nothing
/// sleeps. What ends there is mailed to its queue, which goes on with it when it runs next, and takes no time for that. What is due at the same nanosecond happens in an order that the seed decides. So the same program with the
/// same seed does the same, to the byte, as long as no driver under test asks a real clock, a real generator or a
/// thread of its own.
#[derive(Clone)]
pub struct Sim(Arc<World>);

struct World {
    seed: u64,
    state: Mutex<State>,
}

type Action = Box<dyn FnOnce(&Sim) + Send>;

struct State {
    now_ns: u64,
    steps: u64,
    /// By time, then by a throw of the dice, then by age, so that no two keys are equal.
    due: BTreeMap<(u64, u64, u64), Action>,
    planned: u64,
    dice: Dice,
    trace: Trace,
    disks: Vec<Weak<dyn Powered>>,
    powered: bool,
    cuts: u64,
    /// How many bios were made to fail on purpose.
    faults: u64,
}

/// What the power of the world is for.
pub(crate) trait Powered: Send + Sync {
    /// The power goes: the bios that were in flight, which are to end when all disks are off.
    fn power_off(&self) -> Vec<(u64, Bio)>;

    /// Ends bios that were in flight.
    fn end_all(&self, bios: Vec<(u64, Bio)>);

    /// The power is back.
    fn power_on(&self);
}

impl Sim {
    /// A world in which nothing is due, at time 0, with the power on.
    pub fn new(seed: u64) -> Self {
        let state = State {
            now_ns: 0,
            steps: 0,
            due: BTreeMap::new(),
            planned: 0,
            dice: Dice::new(seed),
            trace: Trace::new(),
            disks: Vec::new(),
            powered: true,
            cuts: 0,
            faults: 0,
        };
        Self(Arc::new(World { seed, state: Mutex::new(state) }))
    }

    /// The seed that it was made from.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The virtual time in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.state().now_ns
    }

    /// How many scheduled things have happened.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Dice of their own for a part of the world.
    #[must_use]
    pub fn dice(&self) -> Dice {
        self.state().dice.fork()
    }

    /// Has `action` called `delay_ns` nanoseconds from now.
    pub fn after(&self, delay_ns: u64, action: impl FnOnce(&Self) + Send + 'static) {
        let mut state = self.state();
        let at = state.now_ns.saturating_add(delay_ns);
        let key = (at, state.dice.word(), state.planned);
        state.planned += 1;
        state.due.insert(key, Box::new(action));
    }

    /// Changes what `memory` refuses: each plan holds from its time on, in nanoseconds from now.
    pub fn starve(&self, memory: &Arc<Starving>, plans: impl IntoIterator<Item = (u64, Refuse)>) {
        for (delay_ns, plan) in plans {
            let memory = Arc::clone(memory);
            self.after(delay_ns, move |sim| {
                sim.note("memory", "refuses by another plan");
                memory.refuse(plan);
            });
        }
    }

    /// Lets the next thing that is due happen; time jumps to it. False when there is none.
    pub fn step(&self) -> bool {
        let mut state = self.state();
        let Some(((at_ns, ..), action)) = state.due.pop_first() else { return false };
        state.now_ns = at_ns;
        state.steps += 1;
        drop(state);
        action(self);
        true
    }

    /// Cuts the power of all disks, now: what they have in flight ends with [`udm_block::Status::Offline`], as does
    /// what comes later, and of what was not durable an arbitrary part is left.
    pub fn cut_power(&self) {
        let disks = self.switch(false, What::PowerCut);
        // All are off before the first bio ends: its queue may send the next one to any of them.
        let in_flight: Vec<_> = disks.iter().map(|disk| disk.power_off()).collect();
        for (disk, bios) in disks.iter().zip(in_flight) {
            disk.end_all(bios);
        }
    }

    /// Gives all disks power again, with what is left on them.
    pub fn restore_power(&self) {
        for disk in self.switch(true, What::PowerBack) {
            disk.power_on();
        }
    }

    /// Whether the power is on.
    pub fn has_power(&self) -> bool {
        self.state().powered
    }

    /// How often the power was cut.
    pub fn power_cuts(&self) -> u64 {
        self.state().cuts
    }

    fn switch(&self, on: bool, what: What) -> Vec<Arc<dyn Powered>> {
        let mut state = self.state();
        state.powered = on;
        state.cuts += u64::from(!on);
        state.disks.retain(|disk| disk.strong_count() > 0);
        let disks = state.disks.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        self.record("world", what);
        disks
    }

    /// Puts a note of your own into the trace.
    pub fn note(&self, who: &'static str, note: &'static str) {
        self.record(who, What::Note(note));
    }

    /// A digest of all that has happened: equal from run to run for the same seed.
    pub fn digest(&self) -> u64 {
        self.state().trace.digest()
    }

    /// Keeps every event from now on, for [`Sim::events`], and not the last few alone.
    pub fn keep_all_events(&self) {
        self.state().trace.keep_all();
    }

    /// The last events, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.state().trace.events()
    }

    /// Says that a bio is made to fail on purpose. [`crate::Workload`] takes an error for honest only where something
    /// was made to fail since its bio began; a faulty device of your own calls this for each fault.
    pub fn count_fault(&self) {
        self.state().faults += 1;
    }

    /// How many bios were made to fail on purpose.
    pub fn faults(&self) -> u64 {
        self.state().faults
    }

    pub(crate) fn record(&self, who: &'static str, what: What) {
        let mut state = self.state();
        let event = Event { step: state.steps, at_ns: state.now_ns, who, what };
        state.trace.push(event);
    }

    pub(crate) fn add_disk(&self, disk: Weak<dyn Powered>) {
        self.state().disks.push(disk);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock may still want to know what happened.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sim(seed {:#x}, step {}, {} ns)", self.seed(), self.steps(), self.now_ns())
    }
}

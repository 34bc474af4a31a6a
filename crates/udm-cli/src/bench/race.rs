//! Ways to do the same work, timed in turns: a machine that slows down slows all of them, so their ratios hold.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::BenchError;
use super::processor::{self, Pinned};

/// What a way is to the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What cannot be surpassed.
    Bound,
    /// What udm does.
    Ours,
    /// What udm does by the sector, as others do.
    PerSector,
    /// What others do.
    Peer,
}

impl Kind {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Ours => "ours",
            Self::PerSector => "per-sector",
            Self::Peer => "peer",
        }
    }
}

/// A way to do the work.
pub struct Way<'a> {
    /// What the reader sees.
    pub name: String,
    /// What it is to the reader.
    pub kind: Kind,
    work: Work<'a>,
}

enum Work<'a> {
    /// Does it once.
    Timed(Box<dyn FnMut() -> Result<(), BenchError> + 'a>),
    /// Does it for a while, and says how many seconds it took once.
    Telling(Box<dyn FnMut() -> Result<f64, BenchError> + 'a>),
}

impl<'a> Way<'a> {
    /// `work` does the work once.
    pub fn new(
        name: impl Into<String>,
        kind: Kind,
        work: impl FnMut() -> Result<(), BenchError> + 'a,
    ) -> Self {
        Self { name: name.into(), kind, work: Work::Timed(Box::new(work)) }
    }

    /// `work` is another program's, which says for itself how many seconds it took once.
    pub fn telling(
        name: impl Into<String>,
        kind: Kind,
        work: impl FnMut() -> Result<f64, BenchError> + 'a,
    ) -> Self {
        Self { name: name.into(), kind, work: Work::Telling(Box::new(work)) }
    }

    /// The seconds that the work takes once, over a round.
    fn round(&mut self, effort: Effort) -> Result<f64, BenchError> {
        let Effort { round, clock, .. } = effort;
        let work = match &mut self.work {
            Work::Timed(work) => work,
            Work::Telling(work) => return work(),
        };
        let (begin, mut times, mut batch) = (clock.now(), 0_u32, 1_u32);
        loop {
            for _ in 0..batch {
                work()?;
            }
            times += batch;
            let passed = clock.now().saturating_sub(begin);
            if passed >= round {
                return Ok(passed.as_secs_f64() / f64::from(times));
            }
            // The clock is read seldom where the work is short.
            batch = if passed < round / 8 { batch * 2 } else { batch };
        }
    }
}

/// What time is taken by.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The time in which this thread is at work. When others have the core it stands still.
    Thread,
    /// The time that passes: for what several threads do.
    Wall,
}

impl Clock {
    /// Since some moment.
    pub(super) fn now(self) -> Duration {
        let now = clock_gettime(match self {
            Self::Thread => ClockId::ThreadCPUTime,
            Self::Wall => ClockId::Monotonic,
        });
        Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How many rounds there are, in each of which every way has its turn.
    pub rounds: usize,
    /// How long a turn is about.
    pub round: Duration,
    /// What the turns are timed by.
    pub clock: Clock,
}

/// What came of a race.
#[derive(Clone, Debug)]
pub struct Times {
    /// For each way, the seconds that the work took once, round by round.
    rounds: Vec<Vec<f64>>,
    /// In how many of the rounds somebody else's thread was on the core.
    pub shared: usize,
}

/// How many times as many rounds as are wanted may be tried, until there are enough without a stranger on the core.
const PATIENCE: usize = 6;

/// Times all ways in turns. What one thread does is done on one processor in each round, and rounds in which it shared
/// the core do not count, where there are enough others.
///
/// # Errors
/// When a way fails.
pub fn race(ways: &mut [Way<'_>], effort: Effort) -> Result<Times, BenchError> {
    // A turn that does not count makes memory and caches warm.
    for way in &mut *ways {
        way.round(Effort { round: effort.round / 4, ..effort })?;
    }
    let pinned = matches!(effort.clock, Clock::Thread).then(Pinned::to_quietest).flatten();
    let is_alone = || pinned.is_none() || processor::is_alone();
    let (mut alone, mut shared) = (Vec::new(), Vec::new());
    while alone.len() < effort.rounds && alone.len() + shared.len() < effort.rounds.saturating_mul(PATIENCE) {
        let was_alone = is_alone() || pinned.as_ref().is_some_and(Pinned::move_on);
        let round = ways.iter_mut().map(|way| way.round(effort)).collect::<Result<Vec<_>, _>>()?;
        let kept = if was_alone && is_alone() { &mut alone } else { &mut shared };
        kept.push(round);
    }
    let missing = effort.rounds.saturating_sub(alone.len()).min(shared.len());
    alone.extend(shared.drain(shared.len() - missing..));
    let times = (0..ways.len()).map(|way| alone.iter().map(|round| round[way]).collect()).collect();
    Ok(Times { rounds: times, shared: missing })
}

impl Times {
    /// What was timed elsewhere: for each way the seconds of each round, as many for all.
    pub(super) fn of_rounds(times: Vec<Vec<f64>>) -> Self {
        Self { rounds: times, shared: 0 }
    }

    /// The median of a way's times, and the quarter and three quarters of them: the middle half.
    pub fn spread(&self, way: usize) -> [f64; 3] {
        quartiles(self.rounds[way].clone())
    }

    /// How many times as fast one way is as another: the median over the rounds.
    pub fn ratio(&self, way: usize, of: usize) -> f64 {
        let ratios = self.rounds[of].iter().zip(&self.rounds[way]).map(|(of, way)| of / way);
        quartiles(ratios.collect())[0]
    }
}

/// The median, the first and the third quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    [at(2), at(1), at(3)]
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn medians_and_ratios_are_those_of_the_rounds() {
        let times = Times::of_rounds(vec![vec![1.0, 2.0, 9.0, 3.0, 4.0], vec![2.0, 4.0, 9.0, 6.0, 8.0]]);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(times.spread(0).into_iter().zip([3.0, 2.0, 4.0]).all(|(got, right)| near(got, right)));
        // In four rounds of five the first is twice as fast; the disturbed round does not count.
        assert!(near(times.ratio(0, 1), 2.0));
        assert!(near(times.ratio(1, 0), 0.5));
    }

    #[test]
    fn every_way_has_its_turn_in_every_round_and_a_failure_ends_the_race() {
        let (mut turns, fails) = (0, Cell::new(false));
        let mut ways = [
            Way::new("counts", Kind::Ours, || {
                turns += 1;
                Ok(())
            }),
            Way::new("fails", Kind::Peer, || {
                if fails.get() { Err(BenchError("no more".into())) } else { Ok(()) }
            }),
        ];
        let effort = Effort { rounds: 3, round: Duration::from_micros(50), clock: Clock::Thread };
        let times = race(&mut ways, effort);
        assert!(times.is_ok_and(|times| times.rounds.iter().all(|times| times.len() == 3)));
        fails.set(true);
        let failed = race(&mut ways, effort);
        assert_eq!(failed.err().map(|error| error.to_string()).as_deref(), Some("no more"));
        drop(ways);
        // Four turns of the first race, and the one of the second before the other way failed.
        assert!(turns >= 5, "{turns}");
    }
}

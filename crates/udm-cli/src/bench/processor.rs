//! The processor that a race is run on, and whether somebody else's thread is on the same core.
//!
//! A core's two threads share the slots in which instructions begin. A way that needs few of them does not notice the
//! other thread; one that needs many loses up to a quarter, and the ratio of the two is not theirs. In a virtual machine
//! that thread is a stranger's. It shows in how many independent instructions begin while one waits for another: that
//! ratio has a best value, and only where the core is shared it is lower.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

thread_local! {
    /// The best share that any processor has had here.
    static BEST: Cell<f64> = const { Cell::new(0.0) };
}

/// What of a core's slots a thread had, in units of its own.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(super) struct Share(f64);

impl Share {
    /// That of this thread at this moment.
    fn now() -> Self {
        let share = Self((0..5).map(|_| probe()).fold(f64::INFINITY, f64::min));
        BEST.set(BEST.get().max(share.0));
        share
    }

    /// Whether it was all of them, as far as is known by now.
    pub fn is_whole(self) -> bool {
        self.0 > 0.97 * BEST.get()
    }
}

/// How long instructions take that wait for one another, as a multiple of how long others do.
fn probe() -> f64 {
    let begin = Instant::now();
    black_box(waiting(black_box(3)));
    let middle = Instant::now();
    black_box(independent(black_box([1, 2, 3, 5, 7, 11])));
    (middle - begin).as_secs_f64() / middle.elapsed().as_secs_f64()
}

/// Some 8,000 cycles of one multiplication after the other.
#[inline(never)]
fn waiting(mut number: u64) -> u64 {
    for _ in 0..2000 {
        number = number.wrapping_mul(number) | 1;
    }
    number
}

/// As many cycles with something to do for all units. No two are alike, or they would become vectors.
#[inline(never)]
#[expect(clippy::many_single_char_names, reason = "six of a kind")]
fn independent([mut a, mut b, mut c, mut d, mut e, mut f]: [u64; 6]) -> u64 {
    for _ in 0..4000 {
        a = a.rotate_left(9) ^ 0x5bd1;
        b = b.wrapping_add(b << 3) ^ 0x1f;
        c ^= c >> 7;
        d = d.wrapping_sub(d >> 11) | 2;
        e = (e ^ 0x33).wrapping_add(0x7f4a_7c15);
        f = !f.rotate_right(5);
    }
    a ^ b ^ c ^ d ^ e ^ f
}

/// Whether this thread has all of the core that it is on.
pub(super) fn is_alone() -> bool {
    Share::now().is_whole()
}

/// This thread kept on one processor at a time, until it is dropped.
pub(super) struct Pinned {
    may_be_on: CpuSet,
}

impl Pinned {
    /// Keeps this thread where it has most of a core. Where the system does not let it choose there is nothing to keep.
    pub fn to_quietest() -> Option<Self> {
        let pinned = Self { may_be_on: sched_getaffinity(None).ok()? };
        if BEST.get() == 0.0 {
            pinned.learn();
        }
        pinned.move_on();
        Some(pinned)
    }

    /// Learns what all of a core is: until two shares were unlike, or for a second and a half.
    fn learn(&self) {
        let mut least = f64::INFINITY;
        for _ in 0..75 {
            least = self.shares().map(|(share, _)| share.0).fold(least, f64::min);
            if BEST.get() > 1.1 * least {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What this thread has on each processor, where it goes for that.
    fn shares(&self) -> impl Iterator<Item = (Share, usize)> {
        let all = (0..CpuSet::MAX_CPU).filter(|processor| self.may_be_on.is_set(*processor));
        all.filter(|processor| stay_on(*processor)).map(|processor| (Share::now(), processor))
    }

    /// Goes where this thread has most of a core. Says whether that is all of it.
    pub fn move_on(&self) -> bool {
        let most = self.shares().reduce(|most, other| if other.0 > most.0 { other } else { most });
        most.is_some_and(|(share, processor)| stay_on(processor) && share.is_whole())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Where it was allowed before it is again.
        let _ = sched_setaffinity(None, &self.may_be_on);
    }
}

/// Goes to a processor, where it can.
fn stay_on(processor: usize) -> bool {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_kept_on_one_processor_and_is_free_again() {
        let before = sched_getaffinity(None).unwrap();
        let pinned = Pinned::to_quietest().unwrap();
        assert!(BEST.get() > 0.0 && sched_getaffinity(None).unwrap().count() == 1);
        drop(pinned);
        assert!(sched_getaffinity(None).unwrap() == before);
    }

    #[test]
    fn a_share_is_whole_that_is_nearly_the_best() {
        BEST.set(2.0);
        assert!(Share(2.0).is_whole() && Share(1.95).is_whole() && !Share(1.9).is_whole());
    }
}

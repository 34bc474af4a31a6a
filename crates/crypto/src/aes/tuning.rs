//! Which way to make masks is the faster on this processor. Both are timed, once a process.

use super::lanes::{Lanes, Zmm};
use super::tweaks::{Bytes, Shifts, Tweaks};
use super::xts::Xts;
use crate::driver::KeyedCipher;
use crate::request::{Direction, IvRule, Request};
use std::sync::OnceLock;
use std::time::Instant;
use udm_block::{SpanIterMut, SpanMut};

/// The turns of each way. On a processor that encrypts 10 GB/s, all turns of both take 50 microseconds.
const TURNS: usize = 15;

/// How often they are timed at the most. Once is enough where the way comes first that suits the processor's maker; where it does
/// not, somebody else may have had the processor in all of its turns.
const ROUNDS: usize = 4;

/// The units of a turn, as many as get their IVs at once, and their size, at which the ways differ most.
const UNITS: usize = 32;
const UNIT_SIZE: usize = 512;

/// The bytes of a turn, of which no register crosses a cache line.
#[repr(align(64))]
struct Data([u8; UNITS * UNIT_SIZE]);

/// Times that differ by one part in so many, or less, are taken for equal.
const TIE: u64 = 100;

/// Whether [`Bytes`] comes before [`Shifts`] in the widest registers of this machine.
pub(super) fn bytes_come_first() -> bool {
    static FIRST: OnceLock<bool> = OnceLock::new();
    *FIRST.get_or_init(|| {
        let Ok(lanes) = Zmm::detect() else { return false };
        let (Ok(bytes), Ok(shifts)) = (Bytes::detect(lanes), Shifts::detect(lanes)) else { return false };
        let key = std::array::from_fn::<u8, 64, _>(|at| at as u8);
        let [bytes, shifts]: [&dyn KeyedCipher; 2] = [
            &*Xts::<Zmm, Bytes, 14>::new(lanes, bytes, &key),
            &*Xts::<Zmm, Shifts, 14>::new(lanes, shifts, &key),
        ];
        let mut data = Data([0; UNITS * UNIT_SIZE]);
        let begin = Instant::now();
        choose(
            usize::from(!is_intel()),
            |way| encrypt([bytes, shifts][way], &mut data.0),
            || u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX),
        ) == 0
    })
}

/// Which of two ways is the faster. They take turns, and the least time of each counts: that is the time without interruptions,
/// in which the registers are powered up and the clock is settled. The `preferred` one is known to suit the processor's maker.
fn choose(preferred: usize, mut turn: impl FnMut(usize), mut clock: impl FnMut() -> u64) -> usize {
    let mut least = [u64::MAX; 2];
    for _ in 0..ROUNDS {
        for _ in 0..TURNS {
            for (way, least) in least.iter_mut().enumerate() {
                let begin = clock();
                turn(way);
                *least = (*least).min(clock() - begin);
            }
        }
        if faster(least, preferred) == preferred {
            return preferred;
        }
    }
    1 - preferred
}

/// The way that took less time, or the `preferred` one of two that took the same.
fn faster(times: [u64; 2], preferred: usize) -> usize {
    let [first, second] = times;
    if first.abs_diff(second).saturating_mul(TIE) <= first.min(second) {
        preferred
    } else {
        usize::from(second < first)
    }
}

/// Encrypts `data` in place. What comes of it is not looked at.
fn encrypt(keyed: &dyn KeyedCipher, data: &mut [u8]) {
    let mut spans = [SpanMut::new(data)];
    let mut bytes = SpanIterMut::new(&mut spans);
    let (src, dst) = bytes.in_place();
    let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
    let request = &mut Request { direction: Direction::Encrypt, src, dst, unit_size: UNIT_SIZE, iv };
    // A way that fails does so in its self-test, too, and is not used.
    let _ = keyed.crypt(request);
}

fn is_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// What is chosen of two fakes, whose turns take so many nanoseconds. Each is interrupted in most of its turns.
    fn chosen(times: [u64; 2], preferred: usize) -> usize {
        let (now, turns) = (Cell::new(0), Cell::new([0; 2]));
        let turn = |way: usize| {
            let mut counts = turns.get();
            counts[way] += 1;
            turns.set(counts);
            let interrupted = if counts[way] % 4 == 3 { 0 } else { 700 * counts[1 - way] };
            now.set(now.get() + times[way] + interrupted);
        };
        let chosen = choose(preferred, turn, || now.get());
        let rounds = if chosen == preferred { 1 } else { ROUNDS };
        assert_eq!(turns.get(), [(TURNS * rounds) as u64; 2]);
        chosen
    }

    #[test]
    fn the_faster_of_two_ways_is_chosen() {
        for preferred in [0, 1] {
            assert_eq!(chosen([1600, 1900], preferred), 0);
            assert_eq!(chosen([1900, 1600], preferred), 1);
            // 2 percent are no tie.
            assert_eq!(chosen([1000, 1020], preferred), 0);
            assert_eq!(chosen([1020, 1000], preferred), 1);
        }
    }

    #[test]
    fn the_preferred_way_that_was_interrupted_in_a_whole_round_is_chosen() {
        let (now, turns) = (Cell::new(0), Cell::new(0));
        let turn = |way: usize| {
            let disturbed = way == 0 && turns.get() < 2 * TURNS;
            turns.set(turns.get() + 1);
            now.set(now.get() + if disturbed { 5000 } else { 1600 + 300 * way as u64 });
        };
        assert_eq!(choose(0, turn, || now.get()), 0);
    }

    #[test]
    fn of_two_that_are_as_fast_the_preferred_one_is_chosen() {
        for preferred in [0, 1] {
            for times in [[1000, 1000], [1000, 1010], [1010, 1000]] {
                assert_eq!(chosen(times, preferred), preferred);
            }
        }
    }
}

//! Fills more memory than there is with a pattern of its own for each page, and checks and rewrites the pages in random
//! order. The oracle is the pattern: page, generation and seed decide every word.
#![allow(unsafe_code)]

use std::error::Error;
use std::time::Instant;

use rustix::mm::{Advice, madvise};
use udm_tests::mutate::SplitMix64;

const WORDS: usize = 512;
const PAGES_PER_MIB: usize = 256;

#[repr(align(4096))]
struct Page([u64; WORDS]);

impl Page {
    /// The page of this place in its `generation`th writing.
    fn new(seed: u64, place: usize, generation: u8) -> Self {
        let (first, step) = pattern(seed, place, generation);
        Self(std::array::from_fn(|word| first.wrapping_add(step.wrapping_mul(word as u64))))
    }

    /// The first word that is not as it was written.
    fn wrong_word(&self, seed: u64, place: usize, generation: u8) -> Option<usize> {
        let (first, step) = pattern(seed, place, generation);
        let mut want = first;
        self.0.iter().position(|word| {
            let wrong = *word != want;
            want = want.wrapping_add(step);
            wrong
        })
    }
}

/// A page's first word, and by how much each is more than the one before.
fn pattern(seed: u64, place: usize, generation: u8) -> (u64, u64) {
    let mut words = SplitMix64::new(seed ^ ((place as u64) << 8 | u64::from(generation)));
    (words.draw(), words.draw() | 1)
}

/// How many neighbouring pages are touched one after the other.
const RUN: usize = 64;
/// One run of so many is read page by page, as it is touched; the others are announced, and read in long pieces. In an
/// emulated machine a read for each page takes too long.
const UNANNOUNCED: usize = 16;

/// Tells the kernel that these pages will be touched.
fn announce(run: &[Page]) {
    let first = run.as_ptr().cast_mut().cast();
    // SAFETY: the advice changes nothing of the memory, which is this program's.
    let _ = unsafe { madvise(first, size_of_val(run), Advice::WillNeed) };
}

/// Brings the runs of pages into random order, and some of them into the order from their end.
fn shuffle(order: &mut [u32], random: &mut SplitMix64) {
    let runs = order.len() / RUN;
    for last in (1..runs).rev() {
        let other = random.below(last + 1);
        (0..RUN).for_each(|page| order.swap(last * RUN + page, other * RUN + page));
    }
    order.chunks_mut(RUN).filter(|_| random.below(8) == 0).for_each(<[u32]>::reverse);
}

/// Touches `mib` MiB, with `passes` passes behind the first writing.
pub fn run(mib: &str, seed: &str, passes: &str) -> Result<(), Box<dyn Error>> {
    let (pages, seed): (usize, u64) = (mib.parse::<usize>()? * PAGES_PER_MIB, seed.parse()?);
    let mut memory = Vec::with_capacity(pages);
    let begin = Instant::now();
    memory.extend((0..pages).map(|place| Page::new(seed, place, 0)));
    println!("touch: {mib} MiB written in {:.1} s", begin.elapsed().as_secs_f32());
    let mut generations = vec![0u8; pages];
    let mut random = SplitMix64::new(seed);
    let mut order: Vec<u32> = (0..pages as u32).collect();
    let passes: u8 = passes.parse()?;
    for pass in 1..=passes {
        let begin = Instant::now();
        shuffle(&mut order, &mut random);
        let mut rewritten = 0;
        for (step, place) in order.iter().map(|place| *place as usize).enumerate() {
            if step % RUN == 0 && random.below(UNANNOUNCED) != 0 {
                let first = place / RUN * RUN;
                announce(&memory[first..(first + RUN).min(pages)]);
            }
            let generation = &mut generations[place];
            if let Some(word) = memory[place].wrong_word(seed, place, *generation) {
                let error =
                    format!("page {place}, word {word}: not what was written {generation} rewritings ago");
                return Err(error.into());
            }
            // Some pages stay as they are in the swap, some are written anew; in the last pass none is.
            if pass < passes && random.below(2) == 0 {
                *generation += 1;
                memory[place] = Page::new(seed, place, *generation);
                rewritten += 1;
            }
        }
        let took = begin.elapsed().as_secs_f32();
        println!("touch: pass {pass}: {pages} pages right, {rewritten} rewritten, in {took:.1} s");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_right_and_any_other_is_wrong() {
        let page = Page::new(7, 3, 1);
        assert_eq!(page.wrong_word(7, 3, 1), None);
        for (seed, place, generation) in [(8, 3, 1), (7, 4, 1), (7, 3, 0)] {
            assert_eq!(page.wrong_word(seed, place, generation), Some(0));
        }
        let mut torn = page;
        torn.0[300] ^= 1;
        assert_eq!(torn.wrong_word(7, 3, 1), Some(300));
    }
}

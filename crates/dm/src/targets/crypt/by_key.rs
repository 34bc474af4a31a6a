//! Several keys (dm-crypt's `aes:64-...`): the sectors of each key in requests of their own. They stand apart, so the runs
//! of memory that such a request is about are put together on the stack.

use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};
use udm_crypto::{CryptError, Request};

use super::convert::{Converter, after};

/// How many runs of memory are put together for a request at most.
const MOST: usize = 64;

impl Converter {
    /// Carries out `run`, whose first sector is the 512-byte sector `sector` (`iv_offset` is in it already), and every
    /// `apart`th of whose sectors is of one key.
    pub(super) fn crypt_by_key(
        &self,
        run: &mut Request<'_>,
        sector: u64,
        apart: usize,
    ) -> Result<(), CryptError> {
        (0..apart.min(run.units())).try_for_each(|first| self.crypt_every(run, sector, first, apart))
    }

    /// Carries out every `apart`th sector of `run` from the `first`th on, as many at once as their runs have room.
    fn crypt_every(
        &self,
        run: &mut Request<'_>,
        sector: u64,
        first: usize,
        apart: usize,
    ) -> Result<(), CryptError> {
        let (size, direction, total) = (run.unit_size, run.direction, run.src.len());
        let (mut src, mut dst) = (run.src.after(first * size), run.dst.after(first * size));
        let to_next = |left: usize| (apart * size).min(left);
        while !src.is_empty() {
            let begin = after(sector, total - src.len());
            let (key, iv) = (self.key_of(begin), self.rule_of_every(begin, apart));
            let (mut from, mut to) = ([Span::EMPTY; MOST], [const { SpanMut::EMPTY }; MOST]);
            let (mut from_count, mut to_count) = (0, 0);
            while !src.is_empty()
                && fits(src.first(size), from_count)
                && fits(dst.as_iter().first(size), to_count)
            {
                put(&mut from, &mut from_count, src.first(size));
                put(&mut to, &mut to_count, dst.take_first(size));
                src.advance(to_next(src.len()));
                dst.advance((apart * size - size).min(dst.len()));
            }
            if from_count == 0 {
                // One sector in more runs than there is room for.
                let (src_of_one, dst_of_one) = (src.first(size), dst.first(size));
                self.crypt(
                    key,
                    &mut Request { direction, src: src_of_one, dst: dst_of_one, unit_size: size, iv },
                )?;
                src.advance(to_next(src.len()));
                dst.advance(to_next(dst.len()));
            } else {
                let (src, dst) = (SpanIter::new(&from[..from_count]), SpanIterMut::new(&mut to[..to_count]));
                self.crypt(key, &mut Request { direction, src, dst, unit_size: size, iv })?;
            }
        }
        Ok(())
    }
}

/// Whether there is room for all of `more` where `count` runs are.
fn fits(more: SpanIter<'_>, count: usize) -> bool {
    more.take(MOST + 1).count() <= MOST - count
}

/// Puts the runs of `more` behind the first `count`.
fn put<T>(runs: &mut [T; MOST], count: &mut usize, more: impl Iterator<Item = T>) {
    for run in more {
        runs[*count] = run;
        *count += 1;
    }
}

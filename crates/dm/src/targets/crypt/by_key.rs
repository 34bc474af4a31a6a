//! Several keys (dm-crypt's `aes:64-...`): the sectors of each key in requests of their own. They stand apart, so the runs
//! of memory that such a request is about are put together on the stack.

use udm_block::{Span, SpanIter};
use udm_crypto::{CryptError, Request};

use super::convert::{Converter, after};

/// How many runs of memory are put together for a request at most.
const MOST: usize = 64;

impl Converter {
    /// Carries out `run`, whose first sector is the 512-byte sector `sector` (`iv_offset` is in it already), and every
    /// `apart`th of whose sectors is of one key.
    pub(super) fn crypt_by_key(
        &self,
        run: &Request<'_>,
        sector: u64,
        apart: usize,
    ) -> Result<(), CryptError> {
        (0..apart.min(run.units())).try_for_each(|first| self.crypt_every(run, sector, first, apart))
    }

    /// Carries out every `apart`th sector of `run` from the `first`th on, as many at once as their runs have room.
    fn crypt_every(
        &self,
        run: &Request<'_>,
        sector: u64,
        first: usize,
        apart: usize,
    ) -> Result<(), CryptError> {
        let size = run.unit_size;
        let (mut src, mut dst) = (run.src.after(first * size), run.dst.after(first * size));
        while !src.is_empty() {
            let begin = after(sector, run.src.len() - src.len());
            let (key, iv) = (self.key_of(begin), self.rule_of_every(begin, apart));
            let (mut from, mut to) = (Runs::new(), Runs::new());
            while !src.is_empty() && from.fits(src.first(size)) && to.fits(dst.first(size)) {
                from.push(src.first(size));
                to.push(dst.first(size));
                pass(&mut src, apart * size);
                pass(&mut dst, apart * size);
            }
            if from.is_empty() {
                // One sector in more runs than there is room for.
                let (src_of_one, dst_of_one) = (src.first(size), dst.first(size));
                self.crypt(key, &Request { src: src_of_one, dst: dst_of_one, iv, ..*run })?;
                pass(&mut src, apart * size);
                pass(&mut dst, apart * size);
            } else {
                self.crypt(key, &Request { src: from.iter(), dst: to.iter(), iv, ..*run })?;
            }
        }
        Ok(())
    }
}

/// Moves a cursor by `len` bytes, or to its end.
fn pass(cursor: &mut SpanIter<'_>, len: usize) {
    cursor.advance(len.min(cursor.len()));
}

/// Runs of memory, put together.
struct Runs<'a> {
    spans: [Span<'a>; MOST],
    count: usize,
}

impl<'a> Runs<'a> {
    fn new() -> Self {
        Self { spans: [Span::EMPTY; MOST], count: 0 }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is room for all of `more`.
    fn fits(&self, more: SpanIter<'_>) -> bool {
        more.take(MOST + 1).count() <= MOST - self.count
    }

    fn push(&mut self, more: SpanIter<'a>) {
        for span in more {
            self.spans[self.count] = span;
            self.count += 1;
        }
    }

    fn iter(&self) -> SpanIter<'_> {
        SpanIter::new(&self.spans[..self.count])
    }
}

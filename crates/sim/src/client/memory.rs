//! The memory of a client's bios: runs cut anywhere, with bytes between them that nobody may touch.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ptr::NonNull;

use udm_block::bio::INLINE_SPANS;
use udm_block::{Bios, PadBio, Span};

use super::ticket::Ticket;

/// What stands between the runs.
const GUARD: u8 = 0xee;

/// Runs at odd distances in one piece of memory.
pub(super) struct Memory {
    arena: Vec<u8>,
    /// Where each run begins in the arena, and its length.
    runs: Vec<(usize, usize)>,
}

impl Memory {
    /// Runs of these lengths that hold `bytes`, one behind the other.
    ///
    /// # Panics
    /// When the runs are not as long as the bytes, or are more than a bio has room for.
    pub fn new(lengths: &[usize], bytes: &[u8]) -> Self {
        assert!(
            lengths.len() <= INLINE_SPANS,
            "{} runs, and a bio has at most {INLINE_SPANS}",
            lengths.len()
        );
        assert_eq!(lengths.iter().sum::<usize>(), bytes.len(), "the runs are as long as the bytes");
        let mut arena = Vec::with_capacity(bytes.len() + 4 * lengths.len() + 4);
        let (mut runs, mut left) = (Vec::with_capacity(lengths.len()), bytes);
        for &len in lengths {
            let (run, rest) = left.split_at(len);
            // An odd number now and then, so that runs begin at any address.
            arena.extend_from_slice(&[GUARD; 3][..=runs.len() % 3]);
            runs.push((arena.len(), len));
            arena.extend_from_slice(run);
            left = rest;
        }
        arena.push(GUARD);
        Self { arena, runs }
    }

    /// The bytes of the runs.
    ///
    /// # Errors
    /// When a byte beside a run was written.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(self.arena.len());
        let mut behind = 0;
        for &(start, len) in self.runs.iter().chain([&(self.arena.len(), 0)]) {
            if let Some(at) = self.arena[behind..start].iter().position(|byte| *byte != GUARD) {
                return Err(format!("{} bytes behind a run, its memory was written", at + 1));
            }
            behind = start + len;
            bytes.extend_from_slice(&self.arena[start..behind]);
        }
        Ok(bytes)
    }
}

/// The memory that is lent to bios, by the number in their ticket.
#[derive(Default)]
pub(super) struct Lending(BTreeMap<u64, Memory>);

impl Lending {
    /// Lends `memory` to a bio, until [`Lending::take_back`] gets the bio.
    ///
    /// # Panics
    /// When there is a bio of this number already.
    pub fn lend(&mut self, bio: &mut PadBio<Ticket>, memory: Memory) {
        let number = bio.pad().number;
        let old = self.0.insert(number, memory);
        assert!(old.is_none(), "there are two bios of number {number}");
        let Memory { arena, runs } = self.0.get_mut(&number).expect("it was inserted");
        if runs.is_empty() {
            return;
        }
        let arena = arena.as_mut_ptr();
        let mut spans = [Span::EMPTY; INLINE_SPANS];
        for (span, &(start, len)) in spans.iter_mut().zip(runs.iter()) {
            // SAFETY: the run lies within the arena, so the address is in it and not null.
            let addr = unsafe { NonNull::new_unchecked(arena.add(start)) };
            // SAFETY: nobody touches the arena but through spans until the bio is back; it does not move or go before:
            // the map keeps it, and a lending that is dropped leaks it.
            *span = unsafe { Span::from_raw(addr, len) };
        }
        // SAFETY: as above.
        unsafe { bio.set_foreign(&spans[..runs.len()]) };
    }

    /// Takes the memory of a bio back, which has ended and is freed here.
    pub fn take_back(&mut self, bio: PadBio<Ticket>, bios: &mut Bios<Ticket>) -> Option<Memory> {
        let number = bio.pad().number;
        bios.free(bio);
        self.0.remove(&number)
    }

    /// How many bios have memory of ours.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Bios that never ended may still be written to.
impl Drop for Lending {
    fn drop(&mut self) {
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_hold_the_bytes_and_a_byte_beside_them_is_noticed() {
        let mut memory = Memory::new(&[3, 1, 5], b"abcdefghi");
        assert_eq!(memory.bytes().unwrap(), b"abcdefghi");
        let (start, len) = memory.runs[1];
        memory.arena[start] = b'D';
        assert_eq!(memory.bytes().unwrap(), b"abcDefghi");
        memory.arena[start + len] = 0;
        assert!(memory.bytes().is_err());
    }
}

//! The modes whose blocks do not depend on each other (XTS and LRW): block *j* of a unit is `E(block ^ T) ^ T`, and only
//! the tweaks `T` differ from mode to mode.

use super::batch::{BATCH, Batch, BlockCipher, Masks};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, IvRule, Request};
use crate::walk::{self, Run};
use aes::cipher::consts::U16;

/// Bytes in a block; tweaks are of this width only.
const BLOCK: usize = 16;

/// A key of a tweaked mode: `data` encrypts the data, `T` makes the tweaks.
pub(super) struct Tweaked<T> {
    pub data: Box<dyn BlockCipher<U16>>,
    pub tweaks: T,
}

/// Makes the tweaks of a mode.
pub(super) trait Tweaks: Send + Sync + 'static {
    /// What is to be kept from block to block.
    type State: Copy + Default;

    /// Where the units from `unit` on begin, as many as `states` holds. `batch` is free for use.
    fn begin(&self, iv: &IvRule<'_>, unit: usize, states: &mut [Self::State], batch: &mut Batch<U16>);

    /// The tweak of the next block.
    fn next(&self, state: &mut Self::State) -> u128;
}

/// The tweaks of units one after the other, block by block.
struct Sequence<'a, T: Tweaks> {
    tweaks: &'a T,
    /// The units that are not begun.
    units: std::slice::Iter<'a, T::State>,
    blocks_per_unit: usize,
    /// How many blocks of the current unit are to come, and its state.
    left: usize,
    state: T::State,
}

impl<T: Tweaks> KeyedCipher for Tweaked<T> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut batch = Batch::new();
        let mut states = [T::State::default(); BATCH];
        walk::runs(request, |run| {
            for begin in (0..run.units).step_by(BATCH) {
                let states = &mut states[..BATCH.min(run.units - begin)];
                self.tweaks.begin(run.rule.iv, run.first + begin, states, &mut batch);
                self.units(run, begin, states, &mut batch);
            }
            Ok(())
        })
    }
}

impl<T: Tweaks> Tweaked<T> {
    /// Passes the units of `run` from `begin` on, which begin with `states`.
    fn units(&self, run: &mut Run<'_>, begin: usize, states: &[T::State], batch: &mut Batch<U16>) {
        let unit_size = run.rule.unit_size;
        let end = (begin + states.len()) * unit_size;
        let mut sequence = Sequence {
            tweaks: &self.tweaks,
            units: states.iter(),
            blocks_per_unit: unit_size / BLOCK,
            left: 0,
            state: T::State::default(),
        };
        for at in (begin * unit_size..end).step_by(Batch::<U16>::BYTES) {
            let len = (end - at).min(Batch::<U16>::BYTES);
            sequence.fill(&mut batch.masks[..len / BLOCK]);
            run.src.slice(at, len).read(&mut batch.bytes[..len]);
            let pass = batch.pass(len / BLOCK, Masks::Around);
            match run.rule.direction {
                Direction::Encrypt => self.data.encrypt(pass),
                Direction::Decrypt => self.data.decrypt(pass),
            }
            run.dst.slice(at, len).write(&batch.bytes[..len]);
        }
    }
}

impl<T: Tweaks> Sequence<'_, T> {
    /// The next tweaks, as many as `masks` holds.
    fn fill(&mut self, mut masks: &mut [u128]) {
        while !masks.is_empty() {
            if self.left == 0 {
                self.left = self.blocks_per_unit;
                self.state = *self.units.next().expect("there is a state for every unit");
            }
            let (now, later) = masks.split_at_mut(self.left.min(masks.len()));
            self.left -= now.len();
            for mask in now {
                *mask = self.tweaks.next(&mut self.state);
            }
            masks = later;
        }
    }
}

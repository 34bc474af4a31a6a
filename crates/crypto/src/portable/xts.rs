//! XTS over whole blocks, IEEE 1619: block *j* of a unit is `E1(block ^ T) ^ T` with `T = E2(IV) * x^j`.

use super::batch::{BATCH, BLOCK, Batch, Pass};
use super::{Crypts, Encrypts, keyed};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk::{self, Run};

/// An XTS key: `C` encrypts the data, `T` the IVs.
pub(super) struct Xts<C, T> {
    data: C,
    tweak: T,
}

/// The tweaks of units one after the other, block by block.
struct Tweaks<'a> {
    /// The encrypted IVs of the units that are not begun.
    units: std::slice::Iter<'a, u128>,
    blocks_per_unit: usize,
    /// How many blocks of the current unit are to come, and the tweak of the next.
    left: usize,
    next: u128,
}

impl<C: Crypts, T: Encrypts> Xts<C, T> {
    /// Takes the key of the data, then that of the tweaks, which have the sizes of `C` and `T`.
    pub fn new(key: &[u8]) -> Self {
        let (data, tweak) = key.split_at(key.len() / 2);
        Self { data: keyed(data), tweak: keyed(tweak) }
    }

    /// Carries out `request`, with `pass` for the data's direction.
    fn run(&self, request: &Request<'_>, pass: impl Fn(Pass<'_, true, true>)) -> Result<(), CryptError> {
        let mut batch = Batch::new();
        let mut firsts = [0; BATCH];
        walk::runs(request, |run| {
            for begin in (0..run.units).step_by(BATCH) {
                let firsts = &mut firsts[..BATCH.min(run.units - begin)];
                self.first_tweaks(request, run.first + begin, firsts, &mut batch);
                crypt(run, begin, request.unit_size, firsts, &mut batch, &pass);
            }
            Ok(())
        })
    }

    /// Encrypts the IVs of the units from `unit` on, as many as `firsts` holds, all in one pass.
    fn first_tweaks(&self, request: &Request<'_>, unit: usize, firsts: &mut [u128], batch: &mut Batch) {
        request.iv.fill(unit, &mut batch.blocks()[..firsts.len()]);
        self.tweak.encrypt_with_backend(batch.pass::<false, false>(firsts.len()));
        for (first, block) in firsts.iter_mut().zip(batch.blocks()) {
            *first = u128::from_le_bytes(*block);
        }
    }
}

/// Passes the units of `run` from `begin` on, of which `firsts` are the first tweaks.
fn crypt(
    run: &Run<'_>,
    begin: usize,
    unit_size: usize,
    firsts: &[u128],
    batch: &mut Batch,
    pass: &impl Fn(Pass<'_, true, true>),
) {
    let end = (begin + firsts.len()) * unit_size;
    let mut tweaks = Tweaks { units: firsts.iter(), blocks_per_unit: unit_size / BLOCK, left: 0, next: 0 };
    for at in (begin * unit_size..end).step_by(BATCH * BLOCK) {
        let len = (end - at).min(BATCH * BLOCK);
        tweaks.fill(&mut batch.masks[..len / BLOCK]);
        run.src.slice(at, len).read(&mut batch.bytes[..len]);
        pass(batch.pass(len / BLOCK));
        run.dst.slice(at, len).write(&batch.bytes[..len]);
    }
}

impl Tweaks<'_> {
    /// The next tweaks, as many as `masks` holds.
    fn fill(&mut self, mut masks: &mut [u128]) {
        while !masks.is_empty() {
            if self.left == 0 {
                self.left = self.blocks_per_unit;
                self.next = *self.units.next().expect("there is a tweak for every unit");
            }
            let (now, later) = masks.split_at_mut(self.left.min(masks.len()));
            self.left -= now.len();
            for mask in now {
                *mask = self.next;
                self.next = times_x(self.next);
            }
            masks = later;
        }
    }
}

/// The product with x in GF(2^128), modulo x^128 + x^7 + x^2 + x + 1. No branch: a tweak is secret.
const fn times_x(tweak: u128) -> u128 {
    (tweak << 1) ^ (((tweak.cast_signed() >> 127).cast_unsigned()) & 0x87)
}

impl<C: Crypts, T: Encrypts> KeyedCipher for Xts<C, T> {
    fn crypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => self.run(request, |pass| self.data.encrypt_with_backend(pass)),
            Direction::Decrypt => self.run(request, |pass| self.data.decrypt_with_backend(pass)),
        }
    }
}

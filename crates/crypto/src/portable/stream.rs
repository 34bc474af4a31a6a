//! `ChaCha20`, `XChaCha12` and `XChaCha20` by themselves, with the IVs that the kernel gives them.
//!
//! The kernel's IV is a whole row of the state (counter and nonce), and its counter has 32 bits and wraps, which those
//! of the `chacha20` crate do not.

use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Iv, IvRule, MAX_UNIT_SIZE, Request, WideIv};
use crate::walk;
use aes::cipher::array::Array;
use aes::cipher::{KeyIvInit, StreamCipherCore};
use chacha20::variants::Ietf;
use chacha20::{ChaChaCore, Rounds, hchacha};
use std::marker::PhantomData;
use zeroize::{Zeroize, Zeroizing};

/// Bytes in a block of the stream.
const BLOCK: usize = 64;

/// A key of a stream cipher.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A stream: a key, a nonce and a place.
pub(super) struct Stream<R: Rounds>(ChaChaCore<R, Ietf>);

impl<R: Rounds> Stream<R> {
    /// The stream of `ChaCha`, whose last row of the state is `row`: counter, then nonce.
    fn plain(key: &[u8; 32], row: &Iv) -> Self {
        let (counter, nonce) = row.split_first_chunk().expect("a row is longer than its counter");
        let nonce = nonce.try_into().expect("behind the counter, a row has 12 bytes");
        let mut core = ChaChaCore::new(key.into(), nonce);
        core.set_block_pos(u32::from_le_bytes(*counter));
        Self(core)
    }

    /// The stream of `XChaCha`, whose IV is the nonce and the place in the stream in blocks.
    pub fn extended(key: &[u8; 32], iv: &WideIv) -> Self {
        let (nonce, row) = iv.split_at(16);
        let nonce = nonce.try_into().expect("half an IV has 16 bytes");
        let mut key = hchacha::<R>(key.into(), nonce).0;
        let mut swapped = Iv::default();
        swapped[..8].copy_from_slice(&row[8..]);
        swapped[8..].copy_from_slice(&row[..8]);
        let stream = Self::plain(&key, &swapped);
        key.zeroize();
        stream
    }

    /// Adds (XOR) the stream to `data`. Where that is not whole blocks, it is the stream's end.
    pub fn add(&mut self, data: &mut [u8]) {
        // The counter wraps alone, without a carry into the nonce.
        let until_wrap = (u64::from(u32::MAX - self.0.get_block_pos()) + 1) * BLOCK as u64;
        let (now, later) = data.split_at_mut((data.len() as u64).min(until_wrap) as usize);
        let (blocks, rest) = Array::slice_as_chunks_mut(now);
        self.0.apply_keystream_blocks(blocks);
        if !rest.is_empty() {
            let mut block = Array::default();
            self.0.write_keystream_block(&mut block);
            for (byte, stream) in rest.iter_mut().zip(block) {
                *byte ^= stream;
            }
        }
        if !later.is_empty() {
            self.0.set_block_pos(0);
            self.add(later);
        }
    }
}

/// A key of a stream cipher, the streams of whose units `B` begins.
pub(super) struct Streams<B> {
    key: Key,
    begin: PhantomData<fn() -> B>,
}

/// Begins the streams of a cipher.
pub(super) trait Begin: 'static {
    /// The cipher's rounds.
    type Rounds: Rounds;
    /// The stream of unit `unit`, by the rule `iv`.
    fn begin(key: &Key, iv: &IvRule<'_>, unit: usize) -> Stream<Self::Rounds>;
}

/// Begins the streams of `ChaCha`.
pub(super) struct Plain<R>(PhantomData<R>);

/// Begins the streams of `XChaCha`.
pub(super) struct Extended<R>(PhantomData<R>);

impl<R: Rounds + 'static> Begin for Plain<R> {
    type Rounds = R;
    fn begin(key: &Key, iv: &IvRule<'_>, unit: usize) -> Stream<R> {
        Stream::plain(key, &iv.iv(unit))
    }
}

impl<R: Rounds + 'static> Begin for Extended<R> {
    type Rounds = R;
    fn begin(key: &Key, iv: &IvRule<'_>, unit: usize) -> Stream<R> {
        let mut wide = [WideIv::default()];
        iv.fill(unit, &mut wide);
        Stream::extended(key, &wide[0])
    }
}

impl<B> Streams<B> {
    /// Takes a key.
    pub fn new(key: Key) -> Self {
        Self { key, begin: PhantomData }
    }
}

impl<B: Begin> KeyedCipher for Streams<B> {
    /// Both directions are one.
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut buffer = [0; MAX_UNIT_SIZE];
        let buffer = &mut buffer[..request.unit_size];
        walk::runs(request, |run| {
            for unit in 0..run.units {
                let (at, len) = (unit * run.rule.unit_size, run.rule.unit_size);
                run.src.slice(at, len).read(buffer);
                B::begin(&self.key, run.rule.iv, run.first + unit).add(buffer);
                run.dst.slice(at, len).write(buffer);
            }
            Ok(())
        })
    }
}

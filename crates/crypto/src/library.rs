//! The library driver: AWS-LC's AES and Triple DES, one call a unit.
//!
//! It is native for many units though the library is not: its loop over the units is inside the driver, so that the
//! request is checked, walked and given a context once and not for each unit. That is twice as fast as requests of one
//! unit are, at 512 bytes of XTS (`examples/speed.rs`), and splitting could give nothing that this loop does not do.
//!
//! The library keeps a unit's state in a context with the key, which one thread at a time may use, and makes contexts
//! on the heap. So each key gets a fixed set of contexts per direction, and a request borrows one.
#![allow(unsafe_code)]

use crate::algorithm::{Algorithm, Cipher, Mode};
use crate::driver::{Driver, DriverInfo, KeyedCipher, MultiUnit, Speed};
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk::{self, Run};
use aws_lc_sys as lc;
use std::num::NonZero;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use subtle::ConstantTimeEq;

/// Contexts of a key and direction: one a processor, so that threads seldom look for another's, and no more than these.
const MAX_CONTEXTS: usize = 16;

/// The driver for each algorithm.
pub fn drivers() -> [Driver; 5] {
    let des = |mode| Algorithm { mode, cipher: Cipher::Des3Ede };
    let aes = Algorithm::aes;
    [aes(Mode::Xts), aes(Mode::Cbc), aes(Mode::Ecb), des(Mode::Cbc), des(Mode::Ecb)].map(|algorithm| Driver {
        info: DriverInfo {
            name: "aws-lc",
            multi_unit: MultiUnit::Native,
            // Only its XTS has code for wide instructions.
            speed: match (algorithm.cipher, algorithm.mode) {
                (Cipher::Des3Ede, _) => Speed::Software,
                (_, Mode::Xts) => Speed::of_aes(),
                _ => Speed::of_aes().min(Speed::Instructions),
            },
            // The portable driver has 100. In runs of 512-byte units it encrypts CBC seven times as fast, since it does
            // many units side by side, and decrypts as fast. In XTS and ECB the library is ahead.
            priority: if algorithm == aes(Mode::Cbc) { 50 } else { 200 },
            description: "AWS-LC's, one call per unit",
            for_tests: false,
        },
        algorithm,
        lacking: None,
        key,
    })
}

/// A key in the library's contexts.
struct Library {
    encrypt: Box<[Context]>,
    decrypt: Box<[Context]>,
    /// Bytes of an IV.
    iv_size: usize,
}

/// A keyed context of the library, and whether some thread is using it. On cache lines of its own, as the flag is
/// written at each request.
#[repr(align(128))]
struct Context {
    busy: AtomicBool,
    raw: NonNull<lc::EVP_CIPHER_CTX>,
}

/// A context that this thread may use.
struct Borrowed<'a>(&'a Context);

// SAFETY: a context is memory of the library that is tied to no thread.
unsafe impl Send for Context {}
// SAFETY: through a shared `Context` the library's is reached only by `Borrowed`, of which the flag lets one exist.
unsafe impl Sync for Context {}

/// Takes a key, which must have one of the algorithm's sizes, or says what is in the way.
// not on the I/O path: once a key
fn key(algorithm: Algorithm, key: &[u8]) -> Result<Box<dyn KeyedCipher>, &'static str> {
    let (left, right) = key.split_at(key.len() / 2);
    if algorithm.mode == Mode::Xts && bool::from(left.ct_eq(right)) {
        return Err("AWS-LC refuses equal halves");
    }
    // SAFETY: these functions only return the address of a constant.
    let cipher = unsafe {
        match (algorithm.mode, key.len()) {
            (Mode::Cbc, _) if algorithm.cipher == Cipher::Des3Ede => lc::EVP_des_ede3_cbc(),
            (Mode::Ecb, _) if algorithm.cipher == Cipher::Des3Ede => lc::EVP_des_ede3_ecb(),
            (Mode::Xts, 64) => lc::EVP_aes_256_xts(),
            (Mode::Xts, _) => return Err("AWS-LC has XTS with 256-bit AES only"),
            (Mode::Cbc, 16) => lc::EVP_aes_128_cbc(),
            (Mode::Cbc, 24) => lc::EVP_aes_192_cbc(),
            (Mode::Cbc, 32) => lc::EVP_aes_256_cbc(),
            (Mode::Ecb, 16) => lc::EVP_aes_128_ecb(),
            (Mode::Ecb, 24) => lc::EVP_aes_192_ecb(),
            (Mode::Ecb, 32) => lc::EVP_aes_256_ecb(),
            _ => return Err("its size is none of the algorithm's"),
        }
    };
    let count = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_CONTEXTS);
    let contexts =
        |direction| (0..count).map(|_| Context::new(cipher, key, direction)).collect::<Option<_>>();
    Ok(Box::new(Library {
        encrypt: contexts(Direction::Encrypt).ok_or(OUT_OF_MEMORY)?,
        decrypt: contexts(Direction::Decrypt).ok_or(OUT_OF_MEMORY)?,
        iv_size: algorithm.iv_size(),
    }))
}

const OUT_OF_MEMORY: &str = "AWS-LC made no context for it, which it does only for want of memory";

impl Context {
    /// A context with `key`, which must have the size that `cipher` takes.
    fn new(cipher: *const lc::EVP_CIPHER, key: &[u8], direction: Direction) -> Option<Self> {
        // SAFETY: it has no preconditions, and null is looked for.
        let raw = NonNull::new(unsafe { lc::EVP_CIPHER_CTX_new() })?;
        let context = Self { busy: AtomicBool::new(false), raw };
        let encrypt = direction == Direction::Encrypt;
        // SAFETY: the context is new and ours, the cipher is a constant, the key has the cipher's size. No IV yet.
        let done = unsafe {
            lc::EVP_CipherInit_ex(
                raw.as_ptr(),
                cipher,
                ptr::null_mut(),
                key.as_ptr(),
                ptr::null(),
                encrypt.into(),
            )
        };
        (done == 1).then_some(context)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it came from EVP_CIPHER_CTX_new and nobody has it. The library wipes the key before it frees it.
        unsafe { lc::EVP_CIPHER_CTX_free(self.raw.as_ptr()) }
    }
}

/// Borrows one of `contexts`: this thread's own if it is free, else the next that is. Where all are in use, more
/// threads are at work than there are processors, and giving way lets one of them end.
fn borrow(contexts: &[Context]) -> Borrowed<'_> {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed));
    let own = OWN.with(|own| *own) % contexts.len();
    loop {
        for context in contexts[own..].iter().chain(&contexts[..own]) {
            if !context.busy.load(Ordering::Relaxed) && !context.busy.swap(true, Ordering::Acquire) {
                return Borrowed(context);
            }
        }
        thread::yield_now();
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

impl Borrowed<'_> {
    /// Units of `unit_size` bytes with an IV each, of `N` bytes as the cipher takes them.
    fn units<const N: usize>(&self, run: &mut Run<'_>) -> Result<(), CryptError> {
        let mut ivs = [[0; N]; 32];
        for begin in (0..run.units).step_by(ivs.len()) {
            let count = ivs.len().min(run.units - begin);
            run.rule.iv.fill(run.first + begin, &mut ivs[..count]);
            for (unit, iv) in (begin..).zip(&ivs[..count]) {
                self.set_iv(iv)?;
                self.crypt(run, unit * run.rule.unit_size, run.rule.unit_size)?;
            }
        }
        Ok(())
    }

    fn set_iv(&self, iv: &[u8]) -> Result<(), CryptError> {
        // SAFETY: the context is keyed and borrowed; null means "as it is", -1 the direction it has; the IV is copied,
        // and is as long as the library takes for the cipher.
        let done = unsafe {
            lc::EVP_CipherInit_ex(
                self.0.raw.as_ptr(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                iv.as_ptr(),
                -1,
            )
        };
        if done == 1 { Ok(()) } else { Err(CryptError::Failed) }
    }

    /// The `len` bytes of `run` from `at` on, which are whole blocks.
    fn crypt(&self, run: &mut Run<'_>, at: usize, len: usize) -> Result<(), CryptError> {
        let (src, mut dst) = (run.src.slice(at, len), run.dst.slice(at, len));
        // SAFETY: the context is keyed and borrowed. The spans are valid for `len` bytes, which `slice` has checked;
        // they are the same or have no byte in common, both of which the library takes at any alignment. It reaches
        // memory that others may be changing by address alone.
        let done = unsafe { lc::EVP_Cipher(self.0.raw.as_ptr(), dst.as_mut_ptr(), src.as_ptr(), len) };
        if done == 1 { Ok(()) } else { Err(CryptError::Failed) }
    }
}

impl KeyedCipher for Library {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let context = borrow(match request.direction {
            Direction::Encrypt => &self.encrypt,
            Direction::Decrypt => &self.decrypt,
        });
        match self.iv_size {
            0 => walk::runs(request, |run| context.crypt(run, 0, run.src.len())),
            8 => walk::runs(request, |run| context.units::<8>(run)),
            _ => walk::runs(request, |run| context.units::<16>(run)),
        }
    }
}

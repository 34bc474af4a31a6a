//! Memory for passphrases and keys: pages of their own, that are not swapped out as far as this process may lock memory,
//! that are in no core dump, and that are wiped when they are given back.
#![allow(unsafe_code)]

use std::fmt;
use std::io::Read;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use zeroize::Zeroize;

/// What is mapped at a time, in bytes. Where pages are larger, the kernel rounds up by itself.
const PAGE: usize = 4096;
/// What a passphrase is first read into, in bytes.
const FIRST_READ: usize = 4096;

/// Bytes that nobody else should see.
pub struct Secret {
    /// The first byte of the mapping.
    start: NonNull<u8>,
    /// The bytes that are mapped.
    mapped: usize,
    /// The bytes that are used.
    len: usize,
}

/// There is no memory for a secret, or for deriving one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "there is no memory for {bytes} bytes; raise the limit (ulimit -v, or that of the container), or end other programs"
)]
pub struct NoMemory {
    /// How much was asked for.
    pub bytes: u64,
}

// SAFETY: the mapping is this value's alone, as a `Vec`'s memory is, and bytes are not tied to a thread.
unsafe impl Send for Secret {}
// SAFETY: through a shared reference the bytes are only read.
unsafe impl Sync for Secret {}

impl Secret {
    /// `len` zero bytes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn zeroed(len: usize) -> Result<Self, NoMemory> {
        let no_memory = NoMemory { bytes: len as u64 };
        let mapped = len.max(1).checked_next_multiple_of(PAGE).ok_or(no_memory)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping wherever the kernel has room overlaps nothing that there is.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), mapped, access, MapFlags::PRIVATE) };
        let start = start.ok().and_then(|start| NonNull::new(start.cast::<u8>())).ok_or(no_memory)?;
        // Both are the best that can be had: an unprivileged process may lock 8 MiB, and old kernels know no such advice.
        // SAFETY: the range is the mapping that was just made.
        let _ = unsafe { mlock(start.as_ptr().cast(), mapped) };
        // SAFETY: the same; the advice changes no byte of it.
        let _ = unsafe { madvise(start.as_ptr().cast(), mapped, Advice::LinuxDontDump) };
        Ok(Self { start, mapped, len })
    }

    /// A copy of `bytes`. Whoever has them wipes them.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn copy_of(bytes: &[u8]) -> Result<Self, NoMemory> {
        let mut secret = Self::zeroed(bytes.len())?;
        secret.copy_from_slice(bytes);
        Ok(secret)
    }

    /// What `from` has, up to its end or to `most` bytes.
    ///
    /// # Errors
    /// When it cannot be read. That there is no memory is an error of the kind `OutOfMemory`.
    pub fn read(mut from: impl Read, most: usize) -> std::io::Result<Self> {
        let out_of_memory = |error| std::io::Error::new(std::io::ErrorKind::OutOfMemory, error);
        let mut secret = Self::zeroed(most.min(FIRST_READ)).map_err(out_of_memory)?;
        let mut filled = 0;
        loop {
            if filled == secret.len {
                if filled == most {
                    break;
                }
                let mut larger = Self::zeroed(most.min(filled * 2)).map_err(out_of_memory)?;
                larger[..filled].copy_from_slice(&secret);
                secret = larger;
            }
            match from.read(&mut secret[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        secret.truncate(filled);
        Ok(secret)
    }

    /// Keeps the first `len` bytes, where there are more, and wipes the others.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self[len..].zeroize();
            self.len = len;
        }
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes of the mapping are readable and initialised, as the kernel gives zeros, and only a unique
        // reference changes them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the reference is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.zeroize();
        // SAFETY: the mapping was made with this length, is this value's alone, and nobody refers to it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}

/// Without its bytes.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_secret_is_read_whole_and_cut_where_it_is_told_to() {
        let long: Vec<u8> = (0..100_000u32).map(|byte| byte as u8).collect();
        assert_eq!(Secret::read(&long[..], 1 << 20).unwrap()[..], long[..]);
        assert_eq!(Secret::read(&long[..], 50_001).unwrap()[..], long[..50_001]);
        assert!(Secret::read(&[][..], 10).unwrap().is_empty());
        let mut cut = Secret::copy_of(&long[..10]).unwrap();
        cut.truncate(3);
        assert_eq!(cut[..], [0, 1, 2]);
        assert_eq!(format!("{cut:?}"), "Secret(3 bytes)");
    }

    #[test]
    fn more_than_there_can_be_is_an_error() {
        assert!(Secret::zeroed(usize::MAX).is_err());
        assert!(Secret::zeroed(usize::MAX >> 8).is_err());
    }
}

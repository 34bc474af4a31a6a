//! Copies of memory that somebody outside this program may change meanwhile.
//!
//! An ordinary copy promises the compiler that the bytes stand still: it may read one twice, or not at all. These do not: on
//! x86-64 they are inline assembly, of which the compiler knows nothing, and elsewhere volatile accesses.
#![allow(unsafe_code)]

pub(super) use machine::{copy, fill};

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod machine {
    use std::arch::asm;

    /// From how many bytes on the processor's own loop is as fast as vectors: its start takes some ten cycles, and a page is what
    /// most copies have.
    const LONG: usize = 4096;

    /// How many bytes the loop of wide vectors copies at a time.
    const WIDE: usize = 128;

    /// Copies `len` bytes. Where the two overlap, the result is any bytes.
    ///
    /// # Safety
    /// `from` may be read and `to` written for `len` bytes.
    #[inline]
    pub(in crate::span) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: by the caller's promise; each gets a length that it is for. The direction flag is clear, as it is wherever
        // Rust code runs.
        unsafe {
            if len >= LONG {
                asm!(
                    "rep movsb",
                    inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
                    options(nostack, preserves_flags),
                );
            } else if len >= WIDE && is_x86_feature_detected!("avx") {
                wide(from, to, len);
            } else if len >= 16 {
                narrow(from, to, len);
            } else {
                super::by_words::copy(from, to, len);
            }
        }
    }

    /// As [`copy`], for `WIDE` bytes or more, on a processor with AVX.
    ///
    /// The stores of the loop are aligned: one that crosses a cache line costs two, which made copies to odd addresses twice as
    /// slow.
    ///
    /// # Safety
    /// As for [`copy`], and of such a length, on such a processor.
    pub(super) unsafe fn wide(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: by the caller's promise. The first 32 bytes, then 128 at a time from the first aligned place on while there are
        // more than 128, then the last 128, which begin at `len - 128`, at least 0.
        unsafe {
            asm!(
                "vmovups ymm0, [{from}]",
                "vmovups [{to}], ymm0",
                "cmp rcx, {last}",
                "jge 3f",
                "2:",
                "vmovups ymm0, [{from} + rcx]",
                "vmovups ymm1, [{from} + rcx + 32]",
                "vmovups ymm2, [{from} + rcx + 64]",
                "vmovups ymm3, [{from} + rcx + 96]",
                "vmovups [{to} + rcx], ymm0",
                "vmovups [{to} + rcx + 32], ymm1",
                "vmovups [{to} + rcx + 64], ymm2",
                "vmovups [{to} + rcx + 96], ymm3",
                "add rcx, 128",
                "cmp rcx, {last}",
                "jl 2b",
                "3:",
                "vmovups ymm0, [{from} + {last}]",
                "vmovups ymm1, [{from} + {last} + 32]",
                "vmovups ymm2, [{from} + {last} + 64]",
                "vmovups ymm3, [{from} + {last} + 96]",
                "vmovups [{to} + {last}], ymm0",
                "vmovups [{to} + {last} + 32], ymm1",
                "vmovups [{to} + {last} + 64], ymm2",
                "vmovups [{to} + {last} + 96], ymm3",
                "vzeroupper",
                from = in(reg) from, to = in(reg) to, last = in(reg) len - WIDE,
                inout("rcx") 32 - to.addr() % 32 => _,
                // `vzeroupper` clears the upper halves of all of these registers, and the loop uses four.
                clobber_abi("sysv64"),
                options(nostack),
            );
        }
    }

    /// As [`copy`], for 16 bytes or more.
    ///
    /// # Safety
    /// As for [`copy`], and of such a length.
    pub(super) unsafe fn narrow(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: by the caller's promise. 64 bytes at a time while there are more than 64, then 16 while there are more than
        // 16, then the last 16, which begin at `len - 16`, at least 0.
        unsafe {
            asm!(
                "lea {end}, [{last} - 48]",
                "cmp {at}, {end}",
                "jge 3f",
                "2:",
                "movups {a}, [{from} + {at}]",
                "movups {b}, [{from} + {at} + 16]",
                "movups {c}, [{from} + {at} + 32]",
                "movups {d}, [{from} + {at} + 48]",
                "movups [{to} + {at}], {a}",
                "movups [{to} + {at} + 16], {b}",
                "movups [{to} + {at} + 32], {c}",
                "movups [{to} + {at} + 48], {d}",
                "add {at}, 64",
                "cmp {at}, {end}",
                "jl 2b",
                "3:",
                "cmp {at}, {last}",
                "jge 5f",
                "4:",
                "movups {a}, [{from} + {at}]",
                "movups [{to} + {at}], {a}",
                "add {at}, 16",
                "cmp {at}, {last}",
                "jl 4b",
                "5:",
                "movups {a}, [{from} + {last}]",
                "movups [{to} + {last}], {a}",
                from = in(reg) from, to = in(reg) to, last = in(reg) len - 16,
                at = inout(reg) 0_usize => _, end = out(reg) _,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }

    /// Sets `len` bytes.
    ///
    /// # Safety
    /// `to` may be written for `len` bytes.
    #[inline]
    pub(in crate::span) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            asm!(
                "rep stosb",
                inout("rcx") len => _, inout("rdi") to => _, in("al") byte,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(all(not(target_arch = "x86_64"), not(miri)))]
mod machine {
    pub(in crate::span) use super::by_words::{copy, fill};
}

/// For Miri, which knows no assembly, and to which an access to any number of bytes is one step.
#[cfg(miri)]
mod machine {
    /// Copies `len` bytes. Where the two overlap, the result is any bytes.
    ///
    /// # Safety
    /// `from` may be read and `to` written for `len` bytes.
    pub(in crate::span) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            let at = pieces::<512>(from, to, 0, len);
            let at = pieces::<32>(from, to, at, len);
            pieces::<1>(from, to, at, len);
        }
    }

    /// Copies whole pieces of `N` bytes between `at` and `end`: where the rest begins.
    ///
    /// # Safety
    /// As for [`copy`], for `end` bytes.
    unsafe fn pieces<const N: usize>(from: *const u8, to: *mut u8, mut at: usize, end: usize) -> usize {
        while at + N <= end {
            // SAFETY: the piece ends at `end` or before, and any address is right for bytes.
            unsafe {
                let piece = from.add(at).cast::<[u8; N]>().read_volatile();
                to.add(at).cast::<[u8; N]>().write_volatile(piece);
            }
            at += N;
        }
        at
    }

    /// Sets `len` bytes.
    ///
    /// # Safety
    /// `to` may be written for `len` bytes.
    pub(in crate::span) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
        // SAFETY: by the caller's promise.
        unsafe { to.write_bytes(byte, len) }
    }
}

/// For other machines, and for a few bytes. It is tested everywhere.
#[cfg(any(test, not(miri)))]
#[expect(clippy::cast_ptr_alignment, reason = "words are read and written where they are aligned alone")]
mod by_words {
    const WORD: usize = size_of::<u64>();

    /// Copies `len` bytes. Where the two overlap, the result is any bytes.
    ///
    /// # Safety
    /// `from` may be read and `to` written for `len` bytes.
    pub(in crate::span) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        let head = from.align_offset(WORD).min(len);
        let words = (len - head) / WORD;
        let are_both_aligned = to.wrapping_add(head).cast::<u64>().is_aligned();
        // SAFETY: `head`, `words` words and the rest are `len` bytes, for which both are valid by the caller's promise. `from`
        // is aligned behind the head, and `to` is where it is written by words.
        unsafe {
            for at in 0..head {
                to.add(at).write_volatile(from.add(at).read_volatile());
            }
            for at in (head..head + words * WORD).step_by(WORD) {
                let word = from.add(at).cast::<u64>().read_volatile();
                if are_both_aligned {
                    to.add(at).cast::<u64>().write_volatile(word);
                } else {
                    for (byte, value) in (at..).zip(word.to_ne_bytes()) {
                        to.add(byte).write_volatile(value);
                    }
                }
            }
            for at in head + words * WORD..len {
                to.add(at).write_volatile(from.add(at).read_volatile());
            }
        }
    }

    /// Sets `len` bytes.
    ///
    /// # Safety
    /// `to` may be written for `len` bytes.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    pub(in crate::span) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
        let head = to.align_offset(WORD).min(len);
        let words = (len - head) / WORD;
        // SAFETY: as in `copy`.
        unsafe {
            for at in 0..head {
                to.add(at).write_volatile(byte);
            }
            for at in (head..head + words * WORD).step_by(WORD) {
                to.add(at).cast::<u64>().write_volatile(u64::from_ne_bytes([byte; WORD]));
            }
            for at in head + words * WORD..len {
                to.add(at).write_volatile(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicPtr, Ordering};
    use std::thread;

    use crate::span::SpanMut;

    type Copy = unsafe fn(*const u8, *mut u8, usize);
    type Fill = unsafe fn(*mut u8, u8, usize);

    /// Every way that this machine can go. Each with the shortest length that it is for.
    fn copies() -> Vec<(Copy, usize)> {
        let everywhere: [(Copy, usize); 2] = [(super::copy, 0), (super::by_words::copy, 0)];
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        let vectors = [(super::machine::narrow as Copy, 16), (super::machine::wide, 128)]
            .into_iter()
            .take(if is_x86_feature_detected!("avx") { 2 } else { 1 });
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let vectors = [];
        everywhere.into_iter().chain(vectors).collect()
    }

    /// Every length about the borders.
    fn lens() -> impl Iterator<Item = usize> {
        let all: Vec<usize> = if cfg!(miri) {
            vec![0, 7, 30]
        } else {
            (0..70).chain(125..135).chain(250..300).chain(1000..1010).chain(4090..4100).collect()
        };
        all.into_iter()
    }

    const ROOM: usize = if cfg!(miri) { 100 } else { 4200 };

    fn bytes() -> Vec<u8> {
        (0..ROOM as u32).map(|at| (at * 7 + at / 256) as u8 | 1).collect()
    }

    /// The oracle is `copy_from_slice`. At every place in a word, and about the borders of vectors.
    #[test]
    fn copies_touch_their_bytes_alone() {
        let (from, mut to, zeros) = (bytes(), vec![0; ROOM], vec![0; ROOM]);
        for (copy, least) in copies() {
            for len in lens().filter(|len| *len >= least) {
                for (begin, end) in
                    (0..8).flat_map(|begin| [0, 1, 3, 4, 7, 8, 15, 33].map(|end| (begin, end)))
                {
                    to.fill(0);
                    // SAFETY: both have more than `len + 33` bytes.
                    unsafe { copy(from[begin..].as_ptr(), to[end..].as_mut_ptr(), len) }
                    assert!(
                        to[end..end + len] == from[begin..begin + len],
                        "{len} bytes from {begin} to {end}"
                    );
                    let behind = &to[end + len..];
                    let is_beside_clean = to[..end] == zeros[..end] && *behind == zeros[..behind.len()];
                    assert!(is_beside_clean, "beside {len} bytes from {begin} to {end}");
                }
            }
        }
    }

    #[test]
    fn fills_touch_their_bytes_alone() {
        for fill in [super::fill as Fill, super::by_words::fill] {
            for len in lens() {
                for begin in 0..8 {
                    let (mut to, mut expected) = (bytes(), bytes());
                    expected[begin..begin + len].fill(9);
                    // SAFETY: there are more than `len + 8` bytes.
                    unsafe { fill(to[begin..].as_mut_ptr(), 9, len) }
                    assert!(to == expected, "{len} bytes set at {begin}");
                }
            }
        }
    }

    /// Two threads write a byte each. With the variable both write one: `cargo xtask miri` sees that Miri finds that.
    #[test]
    fn each_byte_has_one_writer() {
        let second = usize::from(std::env::var_os("UDM_TWO_WRITERS").is_none());
        let mut bytes = [0u8; 2];
        let begin = AtomicPtr::new(bytes.as_mut_ptr());
        thread::scope(|scope| {
            for place in [0, second] {
                let begin = &begin;
                scope.spawn(move || {
                    let addr = NonNull::new(begin.load(Ordering::Relaxed)).unwrap();
                    // SAFETY: it is broken where both threads have one place.
                    unsafe { SpanMut::from_raw(addr.add(place), 1) }.fill(1);
                });
            }
        });
        assert_eq!(bytes, [1, second as u8]);
    }
}

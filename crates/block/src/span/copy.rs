//! Copies of memory that somebody outside this program may change meanwhile.
//!
//! An ordinary copy promises the compiler that the bytes stand still: it may read one twice, or not at all. These do not: on
//! x86-64 they are inline assembly, of which the compiler knows nothing, and elsewhere volatile accesses.
#![allow(unsafe_code)]

pub(super) use machine::{copy, fill};

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod machine {
    use std::arch::asm;

    /// From how many bytes on the processor's own loop is worth its start, which takes some ten cycles.
    const LONG: usize = 1024;

    /// Copies `len` bytes. Where the two overlap, the result is any bytes.
    ///
    /// # Safety
    /// `from` may be read and `to` written for `len` bytes.
    #[inline]
    pub(in crate::span) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: by the caller's promise. The loops end after `len` bytes; the last 16 bytes of a short copy begin at
        // `len - 16`, which is at least 0. The direction flag is clear, as it is wherever Rust code runs.
        unsafe {
            if len >= LONG {
                asm!(
                    "rep movsb",
                    inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
                    options(nostack, preserves_flags),
                );
            } else if len >= 16 {
                // 64 bytes at a time while there are more than 64, then 16 while there are more than 16, then the last 16.
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
            } else {
                super::by_bytes::copy(from, to, len);
            }
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

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod machine {
    pub(in crate::span) use super::by_words::{copy, fill};
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod by_bytes {
    /// As the other `copy`, for a few bytes.
    ///
    /// # Safety
    /// `from` may be read and `to` written for `len` bytes.
    #[inline]
    pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        for at in 0..len {
            // SAFETY: by the caller's promise.
            unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) }
        }
    }
}

/// For other machines, and for checkers that know no assembly. It is tested everywhere.
#[cfg(any(test, not(all(target_arch = "x86_64", not(miri)))))]
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
    type Copy = unsafe fn(*const u8, *mut u8, usize);
    type Fill = unsafe fn(*mut u8, u8, usize);

    /// The oracle is `copy_from_slice`. Every length about the borders, at every place in a word.
    #[test]
    fn copies_and_fills_touch_their_bytes_alone() {
        let ways: [(Copy, Fill); 2] =
            [(super::copy, super::fill), (super::by_words::copy, super::by_words::fill)];
        let lens: Vec<usize> = if cfg!(miri) { vec![0, 7, 30] } else { (0..70).chain(1015..1045).collect() };
        let from: Vec<u8> = (0..1100_u32).map(|at| (at * 7 + at / 256) as u8 | 1).collect();
        for (copy, fill) in ways {
            for &len in &lens {
                for (begin, end) in (0..8).flat_map(|begin| (0..8).map(move |end| (begin, end))) {
                    let (mut to, mut expected) = (vec![0; 1100], vec![0; 1100]);
                    expected[end..end + len].copy_from_slice(&from[begin..begin + len]);
                    // SAFETY: both have more than `len + 8` bytes.
                    unsafe { copy(from[begin..].as_ptr(), to[end..].as_mut_ptr(), len) }
                    assert!(to == expected, "{len} bytes from {begin} to {end}");
                    expected[begin..begin + len].fill(9);
                    // SAFETY: as above.
                    unsafe { fill(to[begin..].as_mut_ptr(), 9, len) }
                    assert!(to == expected, "{len} bytes set at {begin}");
                }
            }
        }
    }
}

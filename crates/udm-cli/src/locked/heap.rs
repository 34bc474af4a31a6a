//! The C library's allocator, which all of the process shares: told to keep what it has.
#![allow(unsafe_code)]

use super::Lack;

/// How much room the heap has from the start for what is not on the I/O path: a client's handshake, a line of the log.
const ROOM: usize = 4 << 20;

/// Has the allocator use one heap that never shrinks, without mappings beside it, and with room in it.
///
/// # Errors
/// Where the C library is none that we know how to tell.
pub(super) fn settle() -> Result<(), Lack> {
    #[cfg(target_env = "gnu")]
    {
        let settings = [
            // A heap for each thread would be 64 MiB of addresses each, all of which count as locked.
            (libc::M_ARENA_MAX, 1),
            // `-1` would be never for both, but only the first knows it.
            (libc::M_TRIM_THRESHOLD, libc::c_int::MAX),
            (libc::M_MMAP_MAX, 0),
        ];
        // SAFETY: the call takes two numbers, and changes how the allocator behaves from here on.
        let told = settings.iter().all(|(name, value)| unsafe { libc::mallopt(*name, *value) } == 1);
        // The heap grows for this, and keeps it.
        drop(std::hint::black_box(vec![1u8; ROOM]));
        if told {
            return Ok(());
        }
    }
    let _ = ROOM;
    Err(Lack {
        what: "the allocator cannot be told to keep its memory".into(),
        remedy: "build udm for the GNU C library".into(),
    })
}

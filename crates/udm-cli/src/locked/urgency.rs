//! The threads' scheduling, which decides how deep an allocation of the kernel's may reach.
//!
//! The kernel takes memory for each reply that goes through a socket, on behalf of the thread that sends it. When all of
//! memory waits to be written to us, there may be none for that. A real-time thread may take from what the kernel keeps
//! back (`rt_task` in `gfp_to_alloc_flags` of Linux 6.1: a quarter of the min watermark).
//!
//! Seen once without this (`cargo xtask vm-swap`, 256 MiB): kswapd and the program waited a minute for writes to end,
//! while the thread of the connection was running and ended none. That it looked for a page in order to send a reply
//! is the likely reason and not a proven one: its stack was not caught.
#![allow(unsafe_code)]

use std::io;

use super::Lack;

/// The lowest of the real-time priorities: it is not the processor that is wanted.
const PRIORITY: libc::c_int = 1;

/// Makes this thread, and all that it will begin, real-time threads.
pub(super) fn raise() -> Result<(), Lack> {
    let wish = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the call reads one structure, which is there. Process 0 is the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const wish) };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(Lack {
        what: format!("the kernel may have no memory for this server's replies (SCHED_RR: {error})"),
        remedy: "run it with CAP_SYS_NICE, or a limit that allows it (ulimit -r 1, LimitRTPRIO=1 in a systemd unit)"
            .into(),
    })
}

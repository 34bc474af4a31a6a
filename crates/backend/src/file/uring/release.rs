//! Whether the kernel lets go of a file at once when a ring is told to forget its number.
//!
//! Older kernels put that off: some for up to a second, some until all calls had ended that had been made by other
//! numbers of the ring. Somebody who closes an image and claims the block device again would be told that it
//! is busy. So it is tried, once a process, and where it is not so, rings have no numbers.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::probe;
use super::sqe::{self, Bare};

/// Whether it does: found out once.
pub(super) fn is_prompt() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = try_it(true);
        tracing::debug!(?found, "whether a ring forgets a file at once; if not, its calls go by descriptors");
        found.unwrap_or(false)
    })
}

/// Whether the writer of a pipe has gone when the ring was told to forget it, if it is told, and it is closed. Meanwhile a
/// call by another number is under way.
fn try_it(forget: bool) -> io::Result<bool> {
    let mut ring = probe::make(2)?;
    let (reader, writer) = io::pipe()?;
    let (idle, _peer) = io::pipe()?;
    ring.submitter().register_files(&[idle.as_raw_fd(), writer.as_raw_fd()])?;
    if !sqe::push_bare(&mut ring, Bare::Poll(0)) {
        return Ok(false);
    }
    ring.submit()?;
    if forget {
        ring.submitter().register_files_update(1, &[-1])?;
    }
    drop(writer);
    let mut polled = [PollFd::new(&reader, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled[0].revents().contains(PollFlags::HUP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_forgotten_is_seen() {
        match (probe::available(), try_it(true)) {
            (Err(why), _) => eprintln!("without io_uring: {why}"),
            // Which of both the kernel is, is its own affair: it must be the same each time.
            (Ok(()), found) => {
                assert_eq!(found.unwrap(), is_prompt());
                assert!(!try_it(false).unwrap());
            }
        }
    }
}

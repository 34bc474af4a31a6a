//! A queue's sleep.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use rustix::event::PollFlags;

use crate::engine::Engines;
use crate::wakeup::Wakeup;

/// How many descriptors are waited for without a table on the heap.
#[cfg(not(shuttle))]
const FEW: usize = 16;

/// How long a thread that waits sleeps between two looks, under a checker that knows no poll.
#[cfg(not(shuttle))]
const MOMENT: Duration = Duration::from_millis(5);

/// A descriptor that a queue waits for beside its engines.
#[cfg_attr(shuttle, expect(dead_code))]
pub struct Interest<'a> {
    fd: BorrowedFd<'a>,
    events: PollFlags,
    ready: PollFlags,
}

impl<'a> Interest<'a> {
    /// Waits for `events` of `fd`.
    pub fn new(fd: BorrowedFd<'a>, events: PollFlags) -> Self {
        Self { fd, events, ready: PollFlags::empty() }
    }

    /// What was ready of it after the last wait: errors and hang-ups too.
    pub fn ready(&self) -> PollFlags {
        self.ready
    }
}

/// Sleeps until the wakeup comes, something has ended in an engine, one of `fds` is ready, or `timeout` is over.
#[cfg(not(shuttle))]
pub(crate) fn wait(
    wakeup: &Wakeup,
    engines: &Engines,
    fds: &mut [Interest<'_>],
    timeout: Option<Duration>,
) -> io::Result<()> {
    use rustix::event::PollFd;

    for fd in fds.iter_mut() {
        fd.ready = PollFlags::empty();
    }
    if cfg!(miri) {
        // The checker knows no poll: whoever waits looks again, and the other threads run meanwhile.
        std::thread::sleep(timeout.unwrap_or(MOMENT).min(MOMENT));
        return Ok(());
    }
    let count = 1 + engines.iter().count() + fds.len();
    let own = PollFd::from_borrowed_fd(wakeup.as_fd(), PollFlags::IN);
    let mut few: [PollFd<'_>; FEW] = std::array::from_fn(|_| own.clone());
    // not on the I/O path: empty but where a queue has more engines and clients than any of ours
    let mut many = Vec::new();
    let all = if count <= FEW {
        &mut few[..count]
    } else {
        many.resize(count, own);
        &mut many[..]
    };
    let theirs = engines.iter().map(|engine| PollFd::from_borrowed_fd(engine.wakes(), PollFlags::IN));
    let users = fds.iter().map(|fd| PollFd::from_borrowed_fd(fd.fd, fd.events));
    all[1..].iter_mut().zip(theirs.chain(users)).for_each(|(place, fd)| *place = fd);
    // What is longer than the system can count is for ever.
    let timeout = timeout.and_then(|time| rustix::event::Timespec::try_from(time).ok());
    match rustix::event::poll(all, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if !all[0].revents().is_empty() {
        wakeup.clear();
    }
    let first = count - fds.len();
    for (fd, polled) in fds.iter_mut().zip(&all[first..]) {
        fd.ready = polled.revents();
    }
    Ok(())
}

/// Under the model checker there are no descriptors, and no time.
#[cfg(shuttle)]
pub(crate) fn wait(
    wakeup: &Wakeup,
    _: &Engines,
    _: &mut [Interest<'_>],
    timeout: Option<Duration>,
) -> io::Result<()> {
    if timeout == Some(Duration::ZERO) {
        wakeup.clear();
    } else {
        wakeup.sleep();
    }
    Ok(())
}

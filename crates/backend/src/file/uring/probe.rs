//! Whether the kernel has `io_uring`, permits it, and knows the operations that are needed.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use io_uring::{IoUring, Probe, opcode};

use super::sqe::{self, Direction};

/// The kernel has refused a ring's entries for good, after they had been permitted.
static REVOKED: AtomicBool = AtomicBool::new(false);

/// Whether there is `io_uring` here: found out once. Else why not, in words.
pub(in crate::file) fn available() -> Result<(), &'static str> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    if is_revoked() {
        return Err("the system permitted it at first and refuses it now");
    }
    match FOUND.get_or_init(find) {
        Ok(()) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Whether a ring of this process has been given up.
pub(super) fn is_revoked() -> bool {
    REVOKED.load(Ordering::Relaxed)
}

/// A ring has been given up: no further one is made. Whether it is the first.
pub(super) fn revoke() -> bool {
    !REVOKED.swap(true, Ordering::Relaxed)
}

fn find() -> Result<(), String> {
    if std::env::var_os("UDM_IO_URING").is_some_and(|value| value == "0") {
        return Err("UDM_IO_URING=0 is set".to_owned());
    }
    let mut ring = make(2).map_err(|error| refused("io_uring_setup", &error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => "the kernel is older than 5.6".to_owned(),
        _ => refused("io_uring_register", &error),
    })?;
    let needed = [
        opcode::Read::CODE,
        opcode::Write::CODE,
        opcode::Readv::CODE,
        opcode::Writev::CODE,
        opcode::Fsync::CODE,
        opcode::Fallocate::CODE,
    ];
    if !needed.iter().all(|code| probe.is_supported(*code)) {
        return Err("the kernel lacks an operation".to_owned());
    }
    carries_a_byte(&mut ring)
}

/// Sends a byte through a pipe and the ring. A system may permit a ring to be made, and then refuse to let it work.
fn carries_a_byte(ring: &mut IoUring) -> Result<(), String> {
    let (reader, writer) = io::pipe().map_err(|error| format!("pipe failed: {error}"))?;
    ring.submitter()
        .register_files(&[reader.as_raw_fd(), writer.as_raw_fd()])
        .map_err(|error| refused("io_uring_register", &error))?;
    let mut byte = [0x5A];
    let sent = sqe::transfer(ring, Direction::Write, 1, &mut byte);
    let mut got = [0];
    let came = sent.and_then(|_| sqe::transfer(ring, Direction::Read, 0, &mut got));
    match came {
        Ok(1) if got == byte => Ok(()),
        Ok(_) => Err("a trial transfer through a ring brought other bytes".to_owned()),
        Err(error) => Err(refused("io_uring_enter", &error)),
    }
}

/// That a call failed, and what that means.
fn refused(call: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => format!("{call}: {error}; the kernel has none, or a seccomp filter refuses it"),
        Some(libc::EPERM | libc::EACCES) => {
            format!("{call}: {error}; sysctl kernel.io_uring_disabled or a seccomp filter refuses it")
        }
        _ => format!("{call}: {error}"),
    }
}

/// A ring with room for `entries`, as modern as the kernel has it.
pub(super) fn make(entries: u32) -> io::Result<IoUring> {
    // The thread need not be interrupted while it runs for what has ended: it comes by often (5.19). Two more flags are
    // not set. That one thread alone uses the ring (`IORING_SETUP_SINGLE_ISSUER`) brought nothing; then a queue could not
    // go to another thread, and another thread that drops an image could not have the ring forget its files
    // (`registered`). To defer what has ended until the thread asks (`IORING_SETUP_DEFER_TASKRUN`) saves a little more; but
    // it wakes a thread that waits in `io_uring_enter`, and not always one that waits for the ring in `poll`, as that of a
    // queue does (seen on Linux 6.18: the thread slept for ever).
    let newest = IoUring::builder()
        .setup_submit_all()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .dontfork()
        .build(entries);
    match newest {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        made => return made,
    }
    IoUring::builder().dontfork().build(entries)
}

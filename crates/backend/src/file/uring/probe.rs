//! Whether the kernel has `io_uring`, permits it, and knows the operations that are needed.

use std::io;
use std::sync::OnceLock;

use io_uring::{IoUring, Probe, opcode};

/// Whether there is `io_uring` here: found out once. Else why not, in words.
pub(in crate::file) fn available() -> Result<(), &'static str> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(()) => Ok(()),
        Err(why) => Err(why),
    }
}

fn find() -> Result<(), String> {
    if std::env::var_os("UDM_IO_URING").is_some_and(|value| value == "0") {
        return Err("UDM_IO_URING=0 is set".to_owned());
    }
    let ring = make(2).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has none".to_owned(),
        Some(libc::EPERM | libc::EACCES) => {
            "the system does not permit it (sysctl kernel.io_uring_disabled, or a seccomp filter)".to_owned()
        }
        _ => error.to_string(),
    })?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|_| "the kernel is older than 5.6".to_owned())?;
    let needed = [
        opcode::Read::CODE,
        opcode::Write::CODE,
        opcode::Readv::CODE,
        opcode::Writev::CODE,
        opcode::Fsync::CODE,
        opcode::Fallocate::CODE,
    ];
    if needed.iter().all(|code| probe.is_supported(*code)) {
        Ok(())
    } else {
        Err("the kernel lacks an operation".to_owned())
    }
}

/// A ring with room for `entries`, as modern as the kernel has it.
pub(super) fn make(entries: u32) -> io::Result<IoUring> {
    // The thread need not be interrupted while it runs for what has ended: it comes by often (5.19). Two more flags are
    // not set. That one thread alone uses the ring (`IORING_SETUP_SINGLE_ISSUER`) brought nothing, and then another
    // thread that drops an image could not have the ring forget its files (`registered`). To defer what has ended until
    // the thread asks (`IORING_SETUP_DEFER_TASKRUN`) saves a little more; but it wakes a thread that waits in
    // `io_uring_enter`, and not always one that waits for the ring in `poll`, as a queue thread does (seen on Linux 6.18:
    // the thread slept for ever).
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

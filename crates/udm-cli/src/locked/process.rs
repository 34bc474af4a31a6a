//! What is asked of the system for the whole process.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, configure_io_flusher_behavior, getrlimit};

use super::Lack;
use crate::cli::human;

/// The capability that locks memory without a limit (`capability.h`).
const CAP_IPC_LOCK: u32 = 14;
/// The process that is ended last when memory is short (`OOM_SCORE_ADJ_MIN`: never).
const NEVER: &str = "-1000";

/// Has the kernel serve our own allocations without writing to a device, which might be ours. Threads inherit it.
pub(super) fn flush_io() -> Result<(), Lack> {
    configure_io_flusher_behavior(true).map_err(|error| Lack {
        what: format!(
            "the kernel may wait for this server in order to make room for it (PR_SET_IO_FLUSHER: {error})"
        ),
        remedy: if error == Errno::PERM {
            "run it with CAP_SYS_RESOURCE (as root, or AmbientCapabilities= in a systemd unit)".into()
        } else {
            "Linux 5.6 or later has it".into()
        },
    })
}

/// Keeps the kernel from ending this process when memory is short, or has it end others first.
pub(super) fn outlive_others() -> Result<(), Lack> {
    let path = "/proc/self/oom_score_adj";
    let Err(error) = fs::write(path, NEVER) else { return Ok(()) };
    // What everybody may: not to be ended sooner than others.
    let now = fs::read_to_string(path).unwrap_or_default();
    if now.trim().parse::<i32>().is_ok_and(|now| now > 0) {
        let _ = fs::write(path, "0");
    }
    Err(Lack {
        what: format!("the kernel may end this server when memory is short ({path}: {error})"),
        remedy: "run it with CAP_SYS_RESOURCE, or have it started with OOMScoreAdjust=-1000".into(),
    })
}

/// Locks all memory that the process has, and what it will take, which is at most `to_come` bytes.
pub(super) fn lock_memory(to_come: usize) -> Result<(), Lack> {
    let has = status_kib("VmSize").unwrap_or(0) * 1024;
    let needs = has + to_come as u64;
    let limit = getrlimit(Resource::Memlock).current;
    if limit.is_some_and(|limit| limit < needs) && !has_capability(CAP_IPC_LOCK) {
        return Err(not_locked(needs, limit, None));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
        .map_err(|error| not_locked(needs, limit, Some(error.into())))
}

fn not_locked(needs: u64, limit: Option<u64>, error: Option<io::Error>) -> Lack {
    let kib = needs.div_ceil(1 << 20) << 10;
    let limit = limit.map_or_else(|| "unlimited".into(), human);
    let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
    Lack {
        what: format!(
            "memory cannot be locked{error}: {} are needed, clients included, and the limit (RLIMIT_MEMLOCK) is {limit}",
            human(kib << 10)
        ),
        remedy: format!(
            "ulimit -l {kib} in the shell that starts it, or LimitMEMLOCK={}M in a systemd unit, or CAP_IPC_LOCK",
            kib >> 10
        ),
    }
}

/// How much memory of the process is locked, in bytes.
pub(super) fn locked() -> Option<u64> {
    status_kib("VmLck").map(|kib| kib * 1024)
}

/// A line of the process's status, in KiB.
fn status_kib(name: &str) -> Option<u64> {
    status(name)?.strip_suffix("kB")?.trim().parse().ok()
}

fn has_capability(number: u32) -> bool {
    let effective = status("CapEff").and_then(|text| u64::from_str_radix(&text, 16).ok());
    effective.is_some_and(|all| all >> number & 1 == 1)
}

/// What a line of the process's status says (`proc_pid_status(5)`).
fn status(name: &str) -> Option<String> {
    let all = fs::read_to_string("/proc/self/status").ok()?;
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_named_with_what_would_do() {
        let lack = not_locked((40 << 20) + 1, Some(8 << 20), None).to_string();
        for part in ["41 MiB are needed", "is 8 MiB", "ulimit -l 41984", "LimitMEMLOCK=41M", "CAP_IPC_LOCK"] {
            assert!(lack.contains(part), "{part}: {lack}");
        }
    }

    #[test]
    fn the_status_is_read() {
        assert!(status_kib("VmSize").unwrap() > 1000);
        assert!(status("CapEff").is_some() && status("NoSuchLine").is_none());
    }
}

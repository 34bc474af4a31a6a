//! One conversion at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

/// How long a killed conversion may take to let go of its file.
const PATIENCE_MS: u64 = 5000;
/// How long there is between two looks, in milliseconds.
const INTERVAL_MS: u64 = 10;

/// Keeps other conversions from a file. The kernel lets go of what a killed process had only when the I/O of that has
/// ended, a moment after the process has: so one that is locked is waited for, a little while.
pub(super) fn lock(file: &File) -> io::Result<()> {
    for _ in 0..PATIENCE_MS / INTERVAL_MS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(INTERVAL_MS)),
            // Some network file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
        }
    }
    Err(io::Error::other("another conversion is using it"))
}

//! Devices on asynchronous drivers: engines that are busy, go wrong or refuse, and the pool of threads. What they count is of
//! the process, so they are a program of their own, and one test runs at a time.

mod busy;
mod faults;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod workqueues;

use std::sync::{Mutex, MutexGuard, PoisonError};

use support::drivers;
use udm_crypto::{Algorithm, Mode};

/// Alone, and with all drivers tested, which counts too.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let tested = drivers(Algorithm::aes(Mode::Xts));
    assert!(tested.contains(&"offload-sim") && tested.contains(&"threads"), "{tested:?}");
    guard
}

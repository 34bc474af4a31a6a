//! How a server ends: by which signals, and with a flush of everything that it acknowledged.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use udm_block::blocking::Blocking;
use udm_dm::managed::ManagedDevice;
use udm_export::serving::Stopper;

use super::Named;
use crate::cli::Failure;
use crate::locked::Counters;
use crate::{log, scratch};

/// The stack of the thread that hears signals, in bytes.
const SIGNALS_STACK: usize = 256 << 10;
/// How often a flush that takes long says so.
const REMINDER: Duration = Duration::from_secs(5);
/// How long a device has for the flush when it has left requests unanswered.
const LAST_PATIENCE: Duration = Duration::from_secs(15);

/// Stops the server at the first signal, and the program at the second; tells the counters when asked to.
pub(super) fn listen_to_signals(
    stopper: Stopper,
    managed: Vec<Arc<ManagedDevice>>,
    counters: Option<Arc<Counters>>,
    json: bool,
) -> Result<(), Failure> {
    // Whoever starts it with nohup, or in the background of a script, does not want it stopped by these.
    let ignored = scratch::ignored();
    let ends = [SIGINT, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(ends.chain([SIGTERM, SIGUSR1])).map_err(Failure::work)?;
    let listen = move || {
        let mut stops = false;
        for signal in signals.forever() {
            match &counters {
                Some(counters) if signal == SIGUSR1 => tell(counters, json),
                None if signal == SIGUSR1 => {
                    tracing::info!("SIGUSR1: there are no counters without --locked");
                }
                _ if stops => {
                    tracing::error!("ended by a second signal: what was not flushed may be lost");
                    log::finish();
                    std::process::exit(1);
                }
                _ => {
                    tracing::info!("stopping: a second signal ends the program at once");
                    // A client waits for what a suspended device holds, and the server for the client.
                    for device in &managed {
                        device.close();
                    }
                    stopper.stop();
                    stops = true;
                }
            }
        }
    };
    let thread = thread::Builder::new().name("udm-signals".into()).stack_size(SIGNALS_STACK);
    thread.spawn(listen).map_err(|error| Failure::thread(&error))?;
    Ok(())
}

/// Says the counters, in one line.
pub(super) fn tell(counters: &Counters, json: bool) {
    let counts = counters.counts();
    log::say(&if json { counts.json() } else { format!("udm: {counts}") });
}

/// Makes everything durable that was acknowledged. Waits for it, and says every five seconds that it does; but not for
/// ever where the device has not ended its requests either (`hangs`).
pub(super) fn flush_all(devices: Vec<Named>, hangs: bool) -> Result<(), Failure> {
    let (sender, results) = mpsc::channel();
    let names: Vec<_> = devices.iter().map(|named| format!("{:?}", named.name)).collect();
    let flush = move || drop(sender.send(devices.into_iter().map(flush).fold(Ok(()), Result::and)));
    let thread = thread::Builder::new().name("udm-flush".into());
    thread.spawn(flush).map_err(|error| Failure::thread(&error))?;
    let begin = Instant::now();
    loop {
        match results.recv_timeout(REMINDER) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::work("a fault ended the flush")),
            Err(RecvTimeoutError::Timeout) if hangs && begin.elapsed() >= LAST_PATIENCE => {
                return Err(Failure::work(format!(
                    "{} could not be flushed within {} s: what was written last may be lost",
                    names.join(", "),
                    LAST_PATIENCE.as_secs()
                )));
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    "flushing {} has taken {} s so far; a second signal ends the program without it",
                    names.join(", "),
                    begin.elapsed().as_secs()
                );
            }
        }
    }
}

/// Flushes one device.
fn flush(Named { name, device, managed }: Named) -> Result<(), Failure> {
    if device.geometry().read_only {
        return Ok(());
    }
    let flushed = match managed {
        // It may be suspended, and without a key.
        Some(managed) => managed.flush_below().map_err(|status| status.to_string()),
        None => Blocking::new(device)
            .map_err(|error| error.to_string())
            .and_then(|device| device.flush().map_err(|status| status.to_string())),
    };
    flushed.map_err(|why| {
        tracing::error!("flushing \"{name}\": {why}");
        Failure::work(format!("\"{name}\" could not be flushed: {why}"))
    })
}

//! What a person sees of a conversion, when what is done is remembered, and what stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::copy::Watcher;
use super::error::ConvertError;
use super::journal::Journal;

/// How long it is at most until what is done is remembered, where there is anything new.
const PATIENCE: Duration = Duration::from_secs(5);

/// A bar at the terminal: nothing where there is none.
pub(super) fn bar(what: &'static str, size: u64, begin: u64, is_shown: bool) -> ProgressBar {
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let template = "{msg} {bar:24} {percent:>3}% {binary_bytes:>10} of {binary_total_bytes}, \
                    {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a template that is right");
    let bar = ProgressBar::with_draw_target(Some(size), target).with_style(style).with_message(what);
    bar.set_position(begin);
    bar.reset_eta();
    bar
}

/// Whether the user wants it to stop: SIGINT and SIGTERM say so, and the second of them ends the program.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, ConvertError> {
    let stops = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&stops))?;
        flag::register(signal, Arc::clone(&stops))?;
    }
    Ok(stops)
}

/// Watches a copy.
pub(super) struct Progress<'a> {
    bar: ProgressBar,
    journal: Option<&'a mut Journal>,
    stops: &'a AtomicBool,
    /// How many bytes may be copied until that is remembered.
    interval: u64,
    /// What was remembered last, or is about to be.
    remembered: u64,
    since: Instant,
}

impl<'a> Progress<'a> {
    /// Of a copy that begins at byte `begin`.
    pub(super) fn new(
        bar: ProgressBar,
        journal: Option<&'a mut Journal>,
        stops: &'a AtomicBool,
        interval: u64,
        begin: u64,
    ) -> Self {
        Self { bar, journal, stops, interval, remembered: begin, since: Instant::now() }
    }
}

impl Watcher for Progress<'_> {
    fn reached(&mut self, position: u64) {
        self.bar.set_position(position);
    }

    fn wants_durable(&mut self, position: u64) -> bool {
        let new = position - self.remembered;
        let wants =
            self.journal.is_some() && (new >= self.interval || new > 0 && self.since.elapsed() >= PATIENCE);
        if wants {
            (self.remembered, self.since) = (position, Instant::now());
        }
        wants
    }

    fn durable(&mut self, position: u64) -> Result<(), ConvertError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.reached(position))
    }

    fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }
}

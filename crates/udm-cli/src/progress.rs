//! What a person sees of a conversion, and what stops it.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use udm::convert::{Observer, Pass};

/// The person at the terminal: sees a bar, and stops it by SIGINT or SIGTERM. The second of them ends the program.
pub(crate) struct Person {
    /// Whether there is a bar.
    sees: bool,
    bar: RefCell<ProgressBar>,
    stops: OnceCell<Arc<AtomicBool>>,
}

impl Person {
    /// A person who sees a bar, or not.
    pub(crate) fn new(sees: bool) -> Self {
        Self { sees, bar: RefCell::new(ProgressBar::hidden()), stops: OnceCell::new() }
    }
}

impl Observer for Person {
    fn begins(&self) -> io::Result<()> {
        let stops = Arc::clone(self.stops.get_or_init(Arc::default));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&stops))?;
            flag::register(signal, Arc::clone(&stops))?;
        }
        Ok(())
    }

    fn pass(&self, pass: Pass, size: u64, begin: u64) {
        *self.bar.borrow_mut() = bar(pass, size, begin, self.sees);
    }

    fn reached(&self, position: u64) {
        self.bar.borrow().set_position(position);
    }

    fn ended(&self) {
        self.bar.borrow().finish_and_clear();
    }

    fn stops(&self) -> bool {
        self.stops.get().is_some_and(|stops| stops.load(Ordering::Relaxed))
    }
}

/// A bar at the terminal: nothing where there is none.
fn bar(pass: Pass, size: u64, begin: u64, is_shown: bool) -> ProgressBar {
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let template = "{msg} {bar:24} {percent:>3}% {binary_bytes:>10} of {binary_total_bytes}, \
                    {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a template that is right");
    let what = if pass == Pass::Compare { "compared" } else { "copied" };
    let bar = ProgressBar::with_draw_target(Some(size), target).with_style(style).with_message(what);
    bar.set_position(begin);
    bar.reset_eta();
    bar
}

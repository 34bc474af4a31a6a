//! Several pieces of work at once, a thread for each processor.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow};

/// Does `work` piece by piece, beginning in its order, and goes on after a piece that fails.
///
/// # Errors
/// Those of all pieces that failed, a line or more each.
pub fn each<T: Sync, R: Send>(work: &[T], done: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let worker = || {
        while let Some(piece) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = done(piece);
            results.lock().expect("no worker panics while it pushes").push(result);
        }
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        (0..count).for_each(|_| drop(scope.spawn(worker)));
    });
    let results = results.into_inner().expect("no worker panics while it pushes");
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let errors: Vec<_> = bad.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if errors.is_empty() { good.into_iter().collect() } else { Err(anyhow!(errors.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    #[test]
    fn every_piece_is_done_and_every_error_told() {
        let mut doubled = each(&[1, 2, 3], |number| Ok(number * 2)).unwrap();
        doubled.sort_unstable();
        assert_eq!(doubled, [2, 4, 6]);
        let error = each(&[1, 2, 3], |number| {
            ensure!(number % 2 == 0, "number {number}");
            Ok(())
        });
        let error = error.unwrap_err().to_string();
        let mut lines: Vec<_> = error.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["number 1", "number 3"]);
    }
}

//! Stacked drivers that sleep for their bios, with a reserve of one and no normal memory: they finish with a rescuer,
//! and without one they do not.

#[path = "../examples/splitter.rs"]
mod splitter;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use splitter::{Bottom, Client, Splitter};
use udm_block::{DeviceRef, Sectors, Status};

#[test]
fn two_stacked_splitters_finish_with_a_reserve_of_one() {
    let ((seen, order), (end, ended)) = (channel(), channel());
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(2), 1, true));
    let coarse = Arc::new(Splitter::new(fine.clone(), Sectors(8), 1, true));
    let dev: DeviceRef = coarse.clone();
    Client::new().write(&dev, 4, 64, end);
    assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(Status::Ok));
    let mut seen: Vec<u64> = order.try_iter().collect();
    println!("the rescuers were needed {} and {} times", coarse.punts(), fine.punts());
    assert!(coarse.punts() > 0 && fine.punts() > 0, "the test does not need the rescuers");
    seen.sort_unstable();
    assert_eq!(
        seen,
        (0..32).map(|piece| 4 + 2 * piece).collect::<Vec<_>>(),
        "a piece was lost or came twice"
    );
}

#[test]
fn without_the_rescuer_they_deadlock() {
    let (seen, _order) = channel();
    let (end, ended) = channel();
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(2), 1, false));
    let dev: DeviceRef = Arc::new(Splitter::new(fine, Sectors(8), 1, false));
    // The thread sleeps for ever: it ends with the process.
    thread::spawn(move || Client::new().write(&dev, 0, 32, end));
    assert_eq!(ended.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout));
}

#[test]
fn eight_threads_on_one_stack_with_a_reserve_of_one_all_finish() {
    let (seen, order) = channel();
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(3), 1, true));
    let dev: DeviceRef = Arc::new(Splitter::new(fine, Sectors(7), 1, true));
    let client = Client::new();
    let (end, ended) = channel();
    thread::scope(|scope| {
        for thread in 0..8u64 {
            let (dev, client, end) = (&dev, &client, end.clone());
            scope.spawn(move || {
                for bio in 0..200 {
                    client.write(dev, thread * 5000 + bio * 16, 1 + (bio * 7 + thread) % 60, end.clone());
                }
            });
        }
    });
    drop(end);
    assert_eq!(ended.iter().take(1600).filter(|status| status.is_ok()).count(), 1600);
    println!("{} pieces reached the bottom", order.try_iter().count());
}

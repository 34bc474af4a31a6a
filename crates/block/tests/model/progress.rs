//! Forward progress: any number of threads, splitting bios into any number of pieces, finish with a reserve of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::Status;

use crate::check::{check, fails};
use crate::stack::Shape;

/// One sector in five is bad.
fn some_bad(sector: u64) -> Status {
    if sector % 5 == 4 { Status::Medium } else { Status::Ok }
}

/// Two clients of one bio each, over a bottom that ends bios at once.
const TWO_BY_TWO: Shape =
    Shape { clients: 2, bios: 1, pieces: [2, 2], reserve: 1, rescuer: true, disk: false, status: some_bad };
const THREE_BY_THREE: Shape = Shape { pieces: [3, 3], ..TWO_BY_TWO };

/// Runs a stack that must need its rescuers in some schedules.
fn finishes(shape: Shape) {
    let punts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&punts);
    check(move || {
        counted.fetch_add(shape.run(), Ordering::Relaxed);
    });
    assert!(punts.load(Ordering::Relaxed) > 0, "the model does not need the rescuers");
}

#[test]
fn two_clients_finish_with_two_by_two_pieces() {
    // A level that takes one piece a bio has submitted none while it sleeps, so nothing is punted.
    check(|| assert_eq!(TWO_BY_TWO.run(), 0));
}

#[test]
fn two_clients_finish_with_three_by_three_pieces() {
    finishes(THREE_BY_THREE);
}

#[test]
fn two_clients_finish_with_three_by_three_pieces_on_a_disk() {
    finishes(Shape { disk: true, ..THREE_BY_THREE });
}

#[test]
fn two_clients_finish_with_two_by_three_pieces_and_two_in_reserve() {
    finishes(Shape { pieces: [2, 3], reserve: 2, ..TWO_BY_TWO });
}

#[test]
fn three_clients_finish_with_three_by_two_pieces_on_a_disk() {
    finishes(Shape { clients: 3, pieces: [3, 2], disk: true, ..TWO_BY_TWO });
}

#[test]
fn three_clients_finish_with_three_by_three_pieces_and_two_in_reserve() {
    finishes(Shape { clients: 3, reserve: 2, ..THREE_BY_THREE });
}

#[test]
fn two_clients_of_two_bios_each_finish_on_a_disk() {
    finishes(Shape { bios: 2, pieces: [2, 3], disk: true, ..TWO_BY_TWO });
}

fn run_without_rescuer(shape: Shape) -> u64 {
    Shape { rescuer: false, ..shape }.run()
}

#[test]
fn without_the_rescuer_the_checker_finds_the_deadlock() {
    fails("deadlock!", || _ = run_without_rescuer(THREE_BY_THREE));
}

#[test]
fn without_the_rescuer_the_checker_finds_the_deadlock_above_a_disk() {
    fails("deadlock!", || _ = run_without_rescuer(Shape { disk: true, ..THREE_BY_THREE }));
}

//! Forward progress: any number of threads, splitting bios into any number of pieces, finish with a reserve of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::{BioSet, DeviceRef, Sectors, Status};

use crate::check::{check, fails};
use crate::pools::Parks;
use crate::splitter::Splitter;
use crate::stack::{Bottom, Clients, Shape, heap, reserve_alone};

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

/// Two bios through a driver that parks, below one that sleeps on the same queue ([`udm_block::Queue::sleeping`]).
fn parks_below_a_sleeper() {
    let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
    let bottom = Arc::new(bottom);
    let set = BioSet::new(&reserve_alone("parks", 1), &heap()).unwrap();
    let parks = Arc::new(Parks { lower: bottom.clone(), set });
    let dev: DeviceRef = Arc::new(Splitter::new(parks, Sectors(3), 1, true));
    let clients = Clients::new(2);
    let mut client = clients.sleeping()(&dev);
    (0..2).for_each(|bio| client.submit(6 * bio, 6));
    client.finish();
    drop((client, dev));
    clients.assert_all_end(|_| Status::Ok);
    bottom.stop();
    disk.join().unwrap();
}

#[test]
fn a_driver_that_parks_below_one_that_sleeps_on_the_same_queue_deadlocks() {
    // What is parked has the one piece of the upper level, and waits for the queue, which sleeps for that piece.
    fails("deadlock!", parks_below_a_sleeper);
}

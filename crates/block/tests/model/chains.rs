//! Pieces of a bio that end on different threads: it ends once, after the last, with the first error.

use shuttle::thread;
use udm_block::bio::Piece;
use udm_block::{Alloc, Bio, BioSet, Sectors, Status};

use crate::check::check;
use crate::stack::{Clients, heap, join_all, reserve_alone};

/// Splits `bio` into single sectors.
fn pieces(mut bio: Bio, set: &BioSet<Piece>) -> Vec<Bio> {
    let mut pieces = Vec::new();
    while bio.sectors() > Sectors(1) {
        let split = bio.split(Sectors(1).bytes(), set, Alloc::NoWait).expect("reserved");
        pieces.push(split.front);
        bio = split.rest;
    }
    pieces.push(bio);
    pieces
}

/// Ends a piece a thread, each with its status, and gives the status of the whole.
fn end_on_threads(statuses: &'static [Status], allowed: &'static [Status]) {
    check(move || {
        let set = BioSet::new(&reserve_alone("pieces", statuses.len()), &heap(), ()).unwrap();
        let clients = Clients::new(1);
        let whole = clients.client().make(8, statuses.len() as u64);
        let threads: Vec<_> = pieces(whole, &set)
            .into_iter()
            .zip(statuses)
            .map(|(piece, status)| thread::spawn(move || piece.complete(*status)))
            .collect();
        clients.assert_all_end_as(|at, status| at == 8 && allowed.contains(&status));
        join_all(threads);
    });
}

#[test]
fn a_bio_whose_pieces_end_on_three_threads_ends_once() {
    end_on_threads(&[Status::Ok, Status::Ok, Status::Ok], &[Status::Ok]);
}

#[test]
fn success_on_another_thread_overwrites_no_error() {
    end_on_threads(&[Status::Ok, Status::Medium, Status::Ok], &[Status::Medium]);
    end_on_threads(&[Status::Medium, Status::Ok, Status::Ok], &[Status::Medium]);
    end_on_threads(&[Status::Ok, Status::Ok, Status::Medium], &[Status::Medium]);
}

#[test]
fn of_two_errors_on_two_threads_the_bio_has_one() {
    end_on_threads(&[Status::Medium, Status::NoSpace], &[Status::Medium, Status::NoSpace]);
}

#[test]
fn the_first_error_sticks() {
    check(|| {
        let set = BioSet::new(&reserve_alone("pieces", 3), &heap(), ()).unwrap();
        let clients = Clients::new(1);
        let mut pieces = pieces(clients.client().make(8, 3), &set);
        let rest = pieces.pop().unwrap();
        // The first error has happened before the second begins; the third races with both.
        let other = thread::spawn(move || rest.complete(Status::Ok));
        let second = pieces.pop().unwrap();
        pieces.pop().unwrap().complete(Status::Medium);
        thread::spawn(move || second.complete(Status::NoSpace)).join().unwrap();
        clients.assert_all_end(|_| Status::Medium);
        other.join().unwrap();
    });
}

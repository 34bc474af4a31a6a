//! Pieces of a bio that end on different threads: it ends once, after the last, with the first error.

use std::sync::{Arc, Mutex as Unmodelled};

use shuttle::thread::{self, JoinHandle};
use udm_block::bio::Piece;
use udm_block::{
    Alloc, Bio, BioSet, Bios, Channel, Device, DeviceRef, Dispatch, Geometry, OpenError, Opening, OwnBio,
    Sectors, Status,
};

use crate::check::check;
use crate::stack::{Clients, geometry, heap, join_all, reserve_alone};

/// Splits bios into single sectors, and has `end` end the pieces.
struct Scatters {
    pieces: BioSet<Piece>,
    end: fn(Vec<Bio>) -> Vec<JoinHandle<()>>,
    threads: Arc<Unmodelled<Vec<JoinHandle<()>>>>,
}

struct ScattersChannel {
    pieces: Bios<Piece>,
    end: fn(Vec<Bio>) -> Vec<JoinHandle<()>>,
    threads: Arc<Unmodelled<Vec<JoinHandle<()>>>>,
}

impl Device for Scatters {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (pieces, threads) = (opening.bios(&self.pieces), Arc::clone(&self.threads));
        Ok(Box::new(ScattersChannel { pieces, end: self.end, threads }))
    }
}

impl Channel for ScattersChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let mut pieces = Vec::new();
        while bio.sectors() > Sectors(1) {
            let split = bio.split(cx, Sectors(1).bytes(), &mut self.pieces, Alloc::NoWait).expect("reserved");
            pieces.push(split.front);
            bio = split.rest;
        }
        pieces.push(bio);
        let threads = (self.end)(pieces);
        self.threads.lock().unwrap().extend(threads);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let piece = self.pieces.claim(bio).ok().expect("its own piece");
        self.pieces.end_piece(cx, piece);
    }
}

/// Has `end` end the pieces of a bio of `len` sectors, which must end with one of `allowed`: both where pieces end on the
/// queue alone, and where they end on any thread, as those of a queue that sleeps do.
fn ends_as(len: u64, end: fn(Vec<Bio>) -> Vec<JoinHandle<()>>, allowed: &'static [Status]) {
    for sleeps in [false, true] {
        check(move || {
            let pieces = BioSet::new(&reserve_alone("pieces", len as usize), &heap()).unwrap();
            let dev = Arc::new(Scatters { pieces, end, threads: Arc::default() });
            let clients = Clients::new(1);
            let client = if sleeps { clients.sleeping() } else { clients.parking() };
            let mut client = client(&(dev.clone() as DeviceRef));
            client.submit(8, len);
            client.finish();
            drop(client);
            clients.assert_all_end_as(|at, status| at == 8 && allowed.contains(&status));
            join_all(std::mem::take(&mut *dev.threads.lock().unwrap()));
        });
    }
}

/// Ends each piece on a thread of its own.
fn on_threads(pieces: Vec<Bio>, statuses: &'static [Status]) -> Vec<JoinHandle<()>> {
    let ends = pieces.into_iter().zip(statuses);
    ends.map(|(piece, status)| thread::spawn(move || piece.complete_elsewhere(*status))).collect()
}

#[test]
fn a_bio_whose_pieces_end_on_three_threads_ends_once() {
    ends_as(3, |pieces| on_threads(pieces, &[Status::Ok, Status::Ok, Status::Ok]), &[Status::Ok]);
}

#[test]
fn success_on_another_thread_overwrites_no_error() {
    ends_as(3, |pieces| on_threads(pieces, &[Status::Ok, Status::Medium, Status::Ok]), &[Status::Medium]);
    ends_as(3, |pieces| on_threads(pieces, &[Status::Medium, Status::Ok, Status::Ok]), &[Status::Medium]);
    ends_as(3, |pieces| on_threads(pieces, &[Status::Ok, Status::Ok, Status::Medium]), &[Status::Medium]);
}

#[test]
fn of_two_errors_on_two_threads_the_bio_has_one() {
    let either = &[Status::Medium, Status::NoSpace];
    ends_as(2, |pieces| on_threads(pieces, &[Status::Medium, Status::NoSpace]), either);
}

#[test]
fn the_first_error_sticks() {
    ends_as(3, first_error_then_another, &[Status::Medium]);
}

/// The first error has happened before the second begins; the third piece races with both.
fn first_error_then_another(mut pieces: Vec<Bio>) -> Vec<JoinHandle<()>> {
    let rest = pieces.pop().unwrap();
    let other = thread::spawn(move || rest.complete_elsewhere(Status::Ok));
    let second = pieces.pop().unwrap();
    pieces.pop().unwrap().complete_elsewhere(Status::Medium);
    thread::spawn(move || second.complete_elsewhere(Status::NoSpace)).join().unwrap();
    vec![other]
}

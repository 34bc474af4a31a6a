//! What a sleeping allocation punts and what stays, and that a rescuer takes bios while it dispatches.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;
use udm_block::bio::Piece;
use udm_block::{Alloc, Bio, BioSet, Bytes, Device, DeviceRef, Geometry, Sectors, Status, submit};

use crate::check::check;
use crate::stack::{Bottom, Clients, Watched, heap, reserve_alone};

const SECTOR: Bytes = Bytes(512);

fn rescued(reserve: usize) -> BioSet<Piece> {
    BioSet::new(&reserve_alone("rescued", reserve), &heap(), ()).unwrap().rescued("rescued").unwrap()
}

/// Splits the first `len` off, and gives it with the rest.
fn split(bio: Bio, len: Bytes, set: &BioSet<Piece>) -> (Bio, Bio) {
    let split = bio.split(len, set, Alloc::Wait).expect("an allocation that may sleep");
    (split.front, split.rest)
}

/// Splits single sectors off, by turns from a set that runs dry and from one that has enough.
struct TwoSets<D> {
    lower: Arc<D>,
    dry: BioSet<Piece>,
    ample: BioSet<Piece>,
}

impl<D: Device + 'static> Device for TwoSets<D> {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, mut bio: Bio) {
        let lower: DeviceRef = self.lower.clone();
        for set in [&self.dry, &self.ample].into_iter().cycle().take(7) {
            let (piece, rest) = split(bio, SECTOR, set);
            submit(&lower, piece);
            bio = rest;
        }
        submit(&lower, bio);
    }
}

#[test]
fn the_sets_own_bios_are_punted_and_those_of_others_stay_each_in_order() {
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let ample = BioSet::new(&reserve_alone("ample", 3), &heap(), ()).unwrap();
        let top = Arc::new(TwoSets { lower: bottom.clone(), dry: rescued(2), ample });
        let clients = Clients::new(1);
        clients.client().submit(&(top.clone() as DeviceRef), 0, 8);
        clients.assert_all_end(|_| Status::Ok);
        let (here, punts) = (thread::current().id(), top.dry.punts());
        let stayed = bottom.seen.brought_by(here);
        let punted = bottom.seen.brought_by_others(here);
        drop(top);
        // The third piece of the dry set finds it dry, and punts the first two; whether the fourth does depends on
        // how far the rescuer has come.
        match punts {
            1 => assert_eq!((punted.as_slice(), stayed.as_slice()), (&[0, 2][..], &[1, 3, 4, 5, 6, 7][..])),
            2 => assert_eq!((punted.as_slice(), stayed.as_slice()), (&[0, 2, 4][..], &[1, 3, 5, 6, 7][..])),
            other => panic!("{other} punts"),
        }
    });
}

/// Splits `len` sectors off, from a set that another level may share.
struct Shares {
    lower: DeviceRef,
    set: Arc<BioSet<Piece>>,
    len: Sectors,
}

impl Device for Shares {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, mut bio: Bio) {
        while bio.sectors() > self.len {
            let (piece, rest) = split(bio, self.len.bytes(), &self.set);
            submit(&self.lower, piece);
            bio = rest;
        }
        submit(&self.lower, bio);
    }
}

/// Two levels that share a set, which no driver should do: only so do bios of the running driver's set wait among the
/// older ones. Five in reserve are enough: the upper level takes three; the lower one takes two for the first of
/// these, and then nothing is left but what waits: its own two, and the other two of the upper level.
fn sharing_levels(bottom: Arc<Watched<Bottom>>) -> DeviceRef {
    let set = Arc::new(rescued(5));
    let lower: DeviceRef = Arc::new(Shares { lower: bottom, set: set.clone(), len: Sectors(1) });
    Arc::new(Uneven { lower, set })
}

#[test]
fn older_bios_of_the_set_are_punted_behind_those_of_the_running_call() {
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let upper = sharing_levels(bottom.clone());
        let clients = Clients::new(1);
        clients.client().submit(&upper, 0, 7);
        clients.assert_all_end(|_| Status::Ok);
        let here = thread::current().id();
        let (stayed, punted) = (bottom.seen.brought_by(here), bottom.seen.brought_by_others(here));
        assert_eq!(stayed, [2, 3, 6], "what was older and of the set did not go to the rescuer");
        assert_eq!(punted, [0, 1, 4, 5], "the rescuer's order");
    });
}

#[test]
fn a_set_can_be_dropped_on_its_rescuers_thread() {
    // The last bios that wait for the rescuer keep the device, and so the set.
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let upper = sharing_levels(bottom.clone());
        let clients = Clients::new(1);
        clients.client().submit(&upper, 0, 7);
        drop(upper);
        clients.assert_all_end(|_| Status::Ok);
        bottom.seen.assert_each_once(7);
    });
}

/// Splits seven sectors into four, one, one and one.
struct Uneven {
    lower: DeviceRef,
    set: Arc<BioSet<Piece>>,
}

impl Device for Uneven {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, mut bio: Bio) {
        for len in [4, 1, 1] {
            let (piece, rest) = split(bio, Sectors(len).bytes(), &self.set);
            submit(&self.lower, piece);
            bio = rest;
        }
        submit(&self.lower, bio);
    }
}

/// Splits single sectors off while it holds a lock that the device below takes too.
struct Locks {
    lower: DeviceRef,
    lock: Arc<Mutex<()>>,
    set: Arc<BioSet<Piece>>,
}

impl Device for Locks {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, mut bio: Bio) {
        let held = self.lock.lock().unwrap();
        while bio.sectors() > Sectors(1) {
            let (piece, rest) = split(bio, SECTOR, &self.set);
            submit(&self.lower, piece);
            bio = rest;
        }
        drop(held);
        submit(&self.lower, bio);
    }
}

/// Takes a lock for each bio.
struct Locked {
    lower: DeviceRef,
    lock: Arc<Mutex<()>>,
}

impl Device for Locked {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, bio: Bio) {
        drop(self.lock.lock().unwrap());
        submit(&self.lower, bio);
    }
}

#[test]
fn a_rescuer_takes_bios_while_the_one_that_it_dispatches_sleeps() {
    // The rescuer sleeps in the lower device for the lock that the upper one holds, which sleeps for its second and
    // third bio. Another thread frees as many: so it goes on, unless a punt has to wait for the rescuer.
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let (set, lock) = (Arc::new(rescued(3)), Arc::new(Mutex::new(())));
        let lower: DeviceRef = Arc::new(Locked { lower: bottom.clone(), lock: lock.clone() });
        let upper: DeviceRef = Arc::new(Locks { lower, lock, set: set.clone() });
        let clients = Clients::new(2);
        let (first, rest) = split(clients.client().make(100, 3), SECTOR, &set);
        let (second, rest) = split(rest, SECTOR, &set);
        let other = thread::spawn(move || {
            for piece in [first, second, rest] {
                piece.complete(Status::Ok);
            }
        });
        clients.client().submit(&upper, 0, 4);
        clients.assert_all_end(|_| Status::Ok);
        other.join().unwrap();
        drop(upper);
        bottom.seen.assert_each_once(4);
    });
}

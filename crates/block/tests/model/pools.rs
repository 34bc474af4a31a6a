//! Sleepers, parked bios and the end of a set, each against frees on other threads: no wake-up is lost.

use std::sync::{Arc, Mutex};

use shuttle::thread;
use udm_block::bio::Piece;
use udm_block::submit::again;
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bytes, Device, DeviceRef, Geometry, Pad, PadBio, PagePool,
    PagePoolOptions, Sectors, Status, submit,
};

use crate::check::check;
use crate::stack::{Bottom, Clients, Watched, heap, join_all, reserve_alone};

struct Bare;

impl Pad for Bare {
    type Context = ();

    fn end_io(_: PadBio<Self>) {}
}

#[test]
fn sleepers_are_woken_by_frees_on_other_threads() {
    for reserve in [1, 2] {
        check(move || {
            let set = Arc::new(BioSet::new(&reserve_alone("sleepers", reserve), &heap(), ()).unwrap());
            let take = |set: &BioSet<Bare>| set.alloc(Bare, Alloc::Wait).ok().expect("may sleep");
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let set = set.clone();
                    // What one thread takes another one frees.
                    thread::spawn(move || {
                        for _ in 0..2 {
                            let bio = take(&set);
                            thread::spawn(move || drop(bio));
                        }
                    })
                })
                .collect();
            join_all(threads);
            let all: Vec<_> = (0..reserve).map(|_| take(&set)).collect();
            assert!(set.alloc(Bare, Alloc::NoWait).is_err(), "more than the reserve");
            drop(all);
        });
    }
}

#[test]
fn two_sleepers_have_the_reserve_of_two_at_once() {
    check(|| {
        let set = Arc::new(BioSet::new(&reserve_alone("sleepers", 2), &heap(), ()).unwrap());
        let take = |set: &BioSet<Bare>| set.alloc(Bare, Alloc::Wait).ok().expect("may sleep");
        let held = [take(&set), take(&set)];
        let both = Arc::new(shuttle::sync::Barrier::new(2));
        let threads = (0..2).map(|_| {
            let (set, both) = (set.clone(), both.clone());
            thread::spawn(move || {
                let bio = take(&set);
                both.wait();
                drop(bio);
            })
        });
        let threads = threads.collect();
        held.into_iter().for_each(drop);
        join_all(threads);
    });
}

#[test]
fn sleepers_for_pages_are_woken_by_frees_on_other_threads() {
    check(|| {
        let options = PagePoolOptions { name: "pages", largest: 4096, reserve: 1, limit: 0, magazine: 0 };
        let pool = Arc::new(PagePool::new(options, &heap()).unwrap());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                thread::spawn(move || {
                    let pages = pool.alloc(Bytes(4096), Alloc::Wait).expect("may sleep");
                    thread::spawn(move || drop(pages));
                })
            })
            .collect();
        join_all(threads);
    });
}

/// Splits single sectors off without sleeping: what finds the set dry is parked.
struct Parks {
    lower: DeviceRef,
    set: BioSet<Piece>,
}

impl Device for Parks {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, bio: Bio) {
        if bio.sectors() <= Sectors(1) {
            return submit(&self.lower, bio);
        }
        match bio.split(Sectors(1).bytes(), &self.set, Alloc::NoWait) {
            Ok(split) => {
                submit(&self.lower, split.front);
                again(split.rest);
            }
            Err(bio) => self.set.park(bio),
        }
    }
}

/// Clients of a driver that parks, over a disk: every bio ends, and each sector once.
fn parked_bios_end(options: BioSetOptions, clients: u64) {
    check(move || {
        let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
        let bottom = Watched::new(bottom);
        let set = BioSet::new(&options, &heap(), ()).unwrap();
        let dev: DeviceRef = Arc::new(Parks { lower: bottom.clone(), set });
        let all = Clients::new(clients as usize);
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (client, dev) = (all.client(), dev.clone());
                thread::spawn(move || client.submit(&dev, number * 3, 3))
            })
            .collect();
        all.assert_all_end(|_| Status::Ok);
        join_all(threads);
        bottom.device.stop();
        disk.join().unwrap();
        bottom.seen.assert_each_once(3 * clients);
        bottom.seen.assert_order_within(3, true);
    });
}

#[test]
fn parked_bios_are_woken_by_frees_on_another_thread() {
    parked_bios_end(reserve_alone("parks", 1), 2);
}

#[test]
fn parked_bios_of_three_clients_are_woken_with_two_in_reserve() {
    parked_bios_end(reserve_alone("parks", 2), 3);
}

#[test]
fn parked_bios_are_woken_by_frees_beyond_the_reserve() {
    parked_bios_end(BioSetOptions { limit: 1, magazine: 1, ..reserve_alone("parks", 1) }, 3);
}

#[test]
fn a_set_is_dropped_while_its_last_bios_are_freed_on_other_threads() {
    for (limit, magazine) in [(0, 0), (2, 0), (2, 1)] {
        check(move || {
            let options = BioSetOptions { limit, magazine, ..reserve_alone("dropped", 1) };
            let set = BioSet::new(&options, &heap(), ()).unwrap();
            let threads: Vec<_> = (0..=limit)
                .map(|_| {
                    let bio = set.alloc(Bare, Alloc::NoWait).ok().expect("reserve and limit");
                    thread::spawn(move || drop(bio))
                })
                .collect();
            drop(set);
            join_all(threads);
        });
    }
}

/// Takes a bio of its set for each bio, or ends it without: then what it was promised is another's.
struct Fickle {
    set: BioSet<Bare>,
    geometry: Geometry,
    /// How many bios have come, and in which order those were served that wanted one.
    came: Mutex<(usize, Vec<u64>)>,
}

impl Device for Fickle {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, bio: Bio) {
        let mut came = self.came.lock().unwrap();
        came.0 += 1;
        // The first that comes again makes no use of what it was promised.
        if came.0 == 4 {
            drop(came);
            return bio.complete(Status::Ok);
        }
        drop(came);
        let Ok(clone) = self.set.alloc(Bare, Alloc::NoWait) else { return self.set.park(bio) };
        self.came.lock().unwrap().1.push(bio.sector().0);
        drop(clone);
        bio.complete(Status::Ok);
    }
}

#[test]
fn what_a_woken_bio_does_not_use_goes_to_the_next_and_nobody_overtakes() {
    check(|| {
        let set = BioSet::new(&reserve_alone("fickle", 1), &heap(), ()).unwrap();
        let dev = Arc::new(Fickle { set, geometry: crate::stack::geometry(), came: Mutex::default() });
        let held = dev.set.alloc(Bare, Alloc::NoWait).ok().unwrap();
        let all = Clients::new(3);
        (0..3).for_each(|number| all.client().submit(&(dev.clone() as DeviceRef), number, 1));
        let sleeper = thread::spawn({
            let dev = dev.clone();
            move || drop(dev.set.alloc(Bare, Alloc::Wait))
        });
        drop(held);
        all.assert_all_end(|_| Status::Ok);
        sleeper.join().unwrap();
        assert_eq!(dev.came.lock().unwrap().1, [1, 2], "out of order");
    });
}

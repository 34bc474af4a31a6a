//! Sleepers, parked bios and the end of a set, each against frees on other threads: no wake-up is lost.

use std::sync::{Arc, Mutex};

use shuttle::thread;
use udm_block::bio::Piece;
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch,
    Geometry, OpenError, Opening, OwnBio, PadBio, PagePool, PagePoolOptions, Queue, Sectors, Status,
};

use crate::check::check;
use crate::left_behind::Needs;
use crate::stack::{Bare, Bottom, Clients, Taker, Watched, geometry, heap, join_all, reserve_alone};

/// Takes a bio on a queue of its own, which may sleep for it.
fn take(set: &BioSet<Bare>) -> PadBio<Bare> {
    Taker::of(set).take(Bare, Alloc::Wait).expect("may sleep")
}

#[test]
fn sleepers_are_woken_by_frees_on_other_threads() {
    for reserve in [1, 2] {
        check(move || {
            let set = BioSet::new(&reserve_alone("sleepers", reserve), &heap()).unwrap();
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
            assert!(Taker::of(&set).take(Bare, Alloc::NoWait).is_none(), "more than the reserve");
            drop(all);
        });
    }
}

#[test]
fn two_sleepers_have_the_reserve_of_two_at_once() {
    check(|| {
        let set = BioSet::new(&reserve_alone("sleepers", 2), &heap()).unwrap();
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
        let options = PagePoolOptions { name: "pages", largest: 4096, reserve: 1, limit: 0, stock: 0 };
        let pool = Arc::new(PagePool::new(options, &heap()).unwrap());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                thread::spawn(move || {
                    let mut queue = Queue::sleeping().unwrap();
                    let pages = pool.buffers().alloc(queue.cx(), Bytes(4096), Alloc::Wait);
                    let pages = pages.expect("may sleep");
                    thread::spawn(move || drop(pages));
                })
            })
            .collect();
        join_all(threads);
    });
}

/// Splits single sectors off without sleeping: what finds the set dry is parked.
pub struct Parks {
    pub lower: DeviceRef,
    pub set: BioSet<Piece>,
}

struct ParksChannel {
    lower: ChannelId,
    pieces: Bios<Piece>,
}

impl Device for Parks {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, pieces) = (opening.open(&self.lower)?, opening.bios(&self.set));
        Ok(Box::new(ParksChannel { lower, pieces }))
    }
}

impl Channel for ParksChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        if bio.sectors() <= Sectors(1) {
            return cx.submit(self.lower, bio);
        }
        match bio.split(cx, Sectors(1).bytes(), &mut self.pieces, Alloc::NoWait) {
            Ok(split) => {
                cx.submit(self.lower, split.front);
                cx.again(split.rest);
            }
            Err(bio) => self.pieces.park(cx, bio),
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let piece = self.pieces.claim(bio).ok().expect("its own piece");
        self.pieces.end_piece(cx, piece);
    }
}

/// Clients of a driver that parks, over a disk: every bio ends, and each sector once.
fn parked_bios_end(options: BioSetOptions, clients: u64) {
    check(move || {
        let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
        let bottom = Watched::new(bottom);
        let set = BioSet::new(&options, &heap()).unwrap();
        let dev: DeviceRef = Arc::new(Parks { lower: bottom.clone(), set });
        let all = Clients::new(clients as usize);
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (client, dev) = (all.parking(), dev.clone());
                thread::spawn(move || {
                    let mut client = client(&dev);
                    client.submit(number * 3, 3);
                    client.finish();
                })
            })
            .collect();
        join_all(threads);
        all.assert_all_end(|_| Status::Ok);
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
    parked_bios_end(BioSetOptions { limit: 1, stock: 1, ..reserve_alone("parks", 1) }, 3);
}

#[test]
fn a_bio_is_parked_while_the_only_element_comes_home_on_another_thread() {
    check(|| {
        let set = BioSet::new(&reserve_alone("scarce", 1), &heap()).unwrap();
        let held = take(&set);
        let needs = Needs { lower: Arc::new(Bottom::at_once(|_| Status::Ok)), set };
        let all = Clients::new(1);
        let mut client = all.parking()(&(Arc::new(needs) as DeviceRef));
        // Nothing is freed after it.
        let frees = thread::spawn(move || drop(held));
        client.submit(0, 1);
        client.finish();
        drop(client);
        frees.join().unwrap();
        all.assert_all_end(|_| Status::Ok);
    });
}

#[test]
fn a_set_is_dropped_while_its_last_bios_are_freed_on_other_threads() {
    for (limit, stock) in [(0, 0), (2, 0), (2, 1)] {
        check(move || {
            let options = BioSetOptions { limit, stock, ..reserve_alone("dropped", 1) };
            let mut taker = Taker::of(&BioSet::new(&options, &heap()).unwrap());
            let threads: Vec<_> = (0..=limit)
                .map(|_| {
                    let bio = taker.take(Bare, Alloc::NoWait).expect("reserve and limit");
                    thread::spawn(move || drop(bio))
                })
                .collect();
            drop(taker);
            join_all(threads);
        });
    }
}

/// Takes a bio of its set for each bio, or ends it without: then what it was promised is another's.
struct Fickle {
    set: BioSet<Bare>,
    came: Arc<Mutex<Came>>,
}

struct FickleChannel {
    bios: Bios<Bare>,
    came: Arc<Mutex<Came>>,
}

/// How many bios have come, and in which order those were served that wanted one.
#[derive(Default)]
struct Came(usize, Vec<u64>);

impl Device for Fickle {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(FickleChannel { bios: opening.bios(&self.set), came: Arc::clone(&self.came) }))
    }
}

impl Channel for FickleChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let mut came = self.came.lock().unwrap();
        came.0 += 1;
        // The first that comes again makes no use of what it was promised.
        if came.0 == 4 {
            drop(came);
            return cx.complete(bio, Status::Ok);
        }
        drop(came);
        let Ok(clone) = self.bios.alloc(cx, Bare, Alloc::NoWait) else { return self.bios.park(cx, bio) };
        self.came.lock().unwrap().1.push(bio.sector().0);
        drop(clone);
        cx.complete(bio, Status::Ok);
    }
}

#[test]
fn what_a_woken_bio_does_not_use_goes_to_the_next_and_nobody_overtakes() {
    check(|| {
        let set = BioSet::new(&reserve_alone("fickle", 1), &heap()).unwrap();
        let dev = Arc::new(Fickle { set: set.clone(), came: Arc::default() });
        let held = take(&set);
        let all = Clients::new(3);
        let mut client = all.parking()(&(dev.clone() as DeviceRef));
        (0..3).for_each(|number| client.submit(number, 1));
        let sleeper = thread::spawn(move || drop(take(&set)));
        drop(held);
        client.finish();
        drop(client);
        all.assert_all_end(|_| Status::Ok);
        sleeper.join().unwrap();
        assert_eq!(dev.came.lock().unwrap().1, [1, 2], "out of order");
    });
}

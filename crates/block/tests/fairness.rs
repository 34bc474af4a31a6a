//! Who waits for the reserve is served in order: threads that sleep and bios that are parked, in one queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Device, DeviceRef, Geometry, Op, Pad, PadBio, Sector, Sectors, Status,
};

/// The pad of a driver's clone.
struct Nothing;

impl Pad for Nothing {
    type Context = ();
    fn end_io(_: PadBio<Self>) {}
}

/// The pad of a client's bio.
struct Tell(Sender<u64>);

impl Pad for Tell {
    type Context = ();
    fn end_io(bio: PadBio<Self>) {
        bio.pad().0.send(bio.sector().0).unwrap();
    }
}

/// Needs a bio of its set for each bio, and parks those that find none.
struct Parks {
    set: BioSet<Nothing>,
    geometry: Geometry,
    served: Mutex<Vec<u64>>,
}

impl Parks {
    fn new(reserve: usize) -> Arc<Self> {
        let (set, geometry) = (set(reserve), Geometry::plain(Sectors(1 << 20)));
        Arc::new(Self { set, geometry, served: Mutex::default() })
    }

    fn waiting(&self) -> u64 {
        let waits = self.set.waits().0;
        waits.parked + waits.slept
    }
}

impl Device for Parks {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, bio: Bio) {
        let Ok(clone) = self.set.alloc(Nothing, Alloc::NoWait) else { return self.set.park(bio) };
        self.served.lock().unwrap().push(bio.sector().0);
        drop(clone);
        bio.complete(Status::Ok);
    }
}

/// No magazine and no normal memory: all is served by the reserve.
fn set<P: Pad<Context = ()>>(reserve: usize) -> BioSet<P> {
    let source: Source = Arc::new(Heap);
    let options = BioSetOptions { reserve, limit: 0, magazine: 0, ..BioSetOptions::named("fair") };
    BioSet::new(&options, &source, ()).unwrap()
}

#[test]
fn sleepers_and_parked_bios_are_served_in_the_order_in_which_they_came() {
    // Somebody who could overtake has the time until the first sleeper wakes, so one round may not show it.
    (0..50).for_each(|_| six_wait_and_one_comes_late());
}

fn six_wait_and_one_comes_late() {
    let dev = Parks::new(1);
    let (clients, (end, ended)) = (set::<Tell>(8), channel());
    let held = dev.set.alloc(Nothing, Alloc::Wait).ok().unwrap();
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    let mut overtook = false;
    thread::scope(|scope| {
        for waiter in 0..6 {
            if waiter % 2 == 0 {
                let (dev, gone) = (&dev, &gone);
                scope.spawn(move || {
                    let clone = dev.set.alloc(Nothing, Alloc::Wait);
                    dev.served.lock().unwrap().push(waiter);
                    gone.lock().unwrap().recv().unwrap();
                    drop(clone);
                });
            } else {
                let mut bio = clients.alloc(Tell(end.clone()), Alloc::NoWait).ok().unwrap();
                bio.prepare(Op::Flush, udm_block::Flags::NONE, Sector(waiter));
                bio.submit(&(dev.clone() as DeviceRef));
            }
            while dev.waiting() != waiter + 1 {
                thread::yield_now();
            }
        }
        drop(held);
        overtook = dev.set.alloc(Nothing, Alloc::NoWait).is_ok();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
    });
    assert!(!overtook, "somebody overtook those who wait");
    assert_eq!(*dev.served.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    // The next is served before a bio that was is completed, so their ends may pass one another.
    let mut ends: Vec<u64> = ended.try_iter().collect();
    ends.sort_unstable();
    assert_eq!(ends, [1, 3, 5]);
    assert_eq!(dev.set.waits().0.longest, 5);
}

#[test]
fn with_eight_threads_on_a_reserve_of_one_nobody_waits_for_more_than_seven_others() {
    const THREADS: u64 = 8;
    const EACH: u64 = 1_000;
    let set = set::<Nothing>(1);
    let completions = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let bio = set.alloc(Nothing, Alloc::Wait);
                    completions.fetch_add(1, Ordering::Relaxed);
                    // The others come while it is out.
                    thread::yield_now();
                    drop(bio);
                }
            });
        }
    });
    let waits = set.waits().0;
    println!("{waits:?} in {} completions", completions.load(Ordering::Relaxed));
    assert_eq!(completions.into_inner(), THREADS * EACH);
    assert!(waits.slept > EACH, "the threads hardly met");
    assert!(waits.longest < THREADS, "somebody waited for {} completions", waits.longest);
}

/// A driver whose set goes away under it.
struct Careless(Mutex<Option<BioSet<Nothing>>>, Geometry);

impl Device for Careless {
    fn geometry(&self) -> Geometry {
        self.1
    }

    fn submit(&self, bio: Bio) {
        self.0.lock().unwrap().as_ref().expect("a set").park(bio);
    }
}

#[test]
#[should_panic(expected = "the pool \"fair\" is dropped while bios are parked on it")]
fn a_set_that_is_dropped_while_a_bio_is_parked_on_it_is_caught() {
    let set = set::<Nothing>(1);
    let held = set.alloc(Nothing, Alloc::Wait).ok().unwrap();
    let dev = Arc::new(Careless(Mutex::new(Some(set)), Geometry::plain(Sectors(1))));
    let (clients, (end, ended)) = (self::set::<Tell>(1), channel());
    let mut bio = clients.alloc(Tell(end), Alloc::NoWait).ok().unwrap();
    bio.prepare(Op::Flush, udm_block::Flags::NONE, Sector(7));
    bio.submit(&(dev.clone() as DeviceRef));
    let dropped = dev.0.lock().unwrap().take();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(dropped)));
    assert_eq!(ended.try_recv(), Ok(7), "the client did not hear of it");
    drop(held);
    std::panic::resume_unwind(caught.unwrap_err());
}

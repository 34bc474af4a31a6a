//! Who waits for the reserve is served in order: threads that sleep and bios that are parked, in one queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Bare, Client, heap, reserve_alone};
use udm_block::{
    Alloc, Bio, BioSet, Bios, Bytes, Channel, Device, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening,
    PadBio, Queue, Sectors, Status,
};

/// Needs a bio of its set for each bio, and parks those that find none.
struct Parks {
    set: BioSet<Bare>,
    served: Arc<Mutex<Vec<u64>>>,
}

struct ParksChannel {
    bios: Bios<Bare>,
    served: Arc<Mutex<Vec<u64>>>,
}

impl Parks {
    fn new(reserve: usize) -> Arc<Self> {
        Arc::new(Self { set: set(reserve), served: Arc::default() })
    }

    fn waiting(&self) -> u64 {
        let waits = self.set.waits().0;
        waits.parked + waits.slept
    }
}

impl Device for Parks {
    fn geometry(&self) -> Geometry {
        Geometry::plain(Sectors(1 << 20))
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ParksChannel { bios: opening.bios(&self.set), served: Arc::clone(&self.served) }))
    }
}

impl Channel for ParksChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Ok(clone) = self.bios.alloc(cx, Bare, Alloc::NoWait) else { return self.bios.park(cx, bio) };
        self.served.lock().unwrap().push(bio.sector().0);
        self.bios.free(clone);
        cx.complete(bio, Status::Ok);
    }
}

/// No stock and no normal memory: all is served by the reserve.
fn set(reserve: usize) -> BioSet<Bare> {
    BioSet::new(&reserve_alone("fair", reserve), &heap()).unwrap()
}

/// A queue that may sleep, and its way to a set.
struct Sleeper(Queue, Bios<Bare>);

impl Sleeper {
    fn of(set: &BioSet<Bare>) -> Self {
        let queue = Queue::sleeping().unwrap();
        let bios = queue.bios(set);
        Self(queue, bios)
    }

    fn alloc(&mut self, how: Alloc) -> Option<PadBio<Bare>> {
        self.1.alloc(self.0.cx(), Bare, how).ok()
    }
}

#[test]
fn sleepers_and_parked_bios_are_served_in_the_order_in_which_they_came() {
    // Somebody who could overtake has the time until the first sleeper wakes, so one round may not show it.
    (0..50).for_each(|_| six_wait_and_one_comes_late());
}

fn six_wait_and_one_comes_late() {
    let dev = Parks::new(1);
    let mut client = Client::of(&(dev.clone() as DeviceRef), &set(8));
    let mut late = Sleeper::of(&dev.set);
    let held = late.alloc(Alloc::Wait).unwrap();
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    let mut overtook = false;
    thread::scope(|scope| {
        for waiter in 0..6 {
            if waiter % 2 == 0 {
                let (dev, gone) = (&dev, &gone);
                scope.spawn(move || {
                    let clone = Sleeper::of(&dev.set).alloc(Alloc::Wait);
                    dev.served.lock().unwrap().push(waiter);
                    gone.lock().unwrap().recv().unwrap();
                    drop(clone);
                });
            } else {
                client.submit(Op::Flush, waiter, Bytes(0));
            }
            while dev.waiting() != waiter + 1 {
                thread::yield_now();
            }
        }
        drop(held);
        overtook = late.alloc(Alloc::NoWait).is_some();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        // Its queue takes what was woken to the driver.
        for want in [1, 3, 5] {
            assert_eq!(client.wait(), (want, Status::Ok));
        }
    });
    assert!(!overtook, "somebody overtook those who wait");
    assert_eq!(*dev.served.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(dev.set.waits().0.longest, 5);
}

#[test]
fn with_eight_threads_on_a_reserve_of_one_nobody_waits_for_more_than_seven_others() {
    const THREADS: u64 = 8;
    const EACH: u64 = 1_000;
    let set = set(1);
    let completions = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut sleeper = Sleeper::of(&set);
                for _ in 0..EACH {
                    let bio = sleeper.alloc(Alloc::Wait);
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

#[test]
fn a_bio_that_is_parked_when_its_device_and_set_are_dropped_goes_on_with_the_next_free() {
    let dev = Parks::new(1);
    let mut client = Client::of(&(dev.clone() as DeviceRef), &set(1));
    let mut other = Sleeper::of(&dev.set);
    let held = other.alloc(Alloc::Wait).unwrap();
    client.submit(Op::Flush, 7, Bytes(0));
    drop(dev);
    assert_eq!(client.told(), None, "it is parked");
    drop(other);
    drop(held);
    assert_eq!(client.wait(), (7, Status::Ok));
}

#[test]
fn a_bio_that_is_parked_when_its_channel_is_closed_ends_with_an_error() {
    let dev = Parks::new(1);
    let mut client = Client::of(&(dev.clone() as DeviceRef), &set(1));
    let held = Sleeper::of(&dev.set).alloc(Alloc::Wait).unwrap();
    client.submit(Op::Flush, 7, Bytes(0));
    client.queue.close(client.channel);
    drop(held);
    assert_eq!(client.wait(), (7, Status::Offline));
}

#[test]
fn what_was_promised_to_a_bio_whose_channel_is_closed_goes_to_the_next_though_nobody_takes_the_bio() {
    let (dev, users) = (Parks::new(1), set(2));
    let mut client = Client::of(&(dev.clone() as DeviceRef), &users);
    let mut next = Client::of(&(dev.clone() as DeviceRef), &users);
    let held = Sleeper::of(&dev.set).alloc(Alloc::Wait).unwrap();
    client.submit(Op::Flush, 7, Bytes(0));
    next.submit(Op::Flush, 8, Bytes(0));
    client.queue.close(client.channel);
    drop(held);
    client.queue.run();
    next.queue.run();
    assert_eq!(next.told(), Some((8, Status::Ok)), "the promise is kept from it");
    assert_eq!(client.told(), Some((7, Status::Offline)));
}

//! A queue that ends while other threads send it messages and bring its bios home: nothing is lost, and nothing reaches the
//! queue that comes next. A bio that waits for a pool there leaves its turn to who is behind it.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Unmodelled};

use shuttle::thread;
use udm_block::{
    Address, Alloc, Bio, BioSet, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry, OpenError,
    Opening, OwnBio, Queue, Status,
};

use crate::check::check;
use crate::stack::{Bare, Bottom, Clients, Taker, geometry, heap, reserve_alone};

/// A bio that one queue gives another to work on. Whoever drops it has ended it.
struct Errand(Option<Bio>);

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(bio) = self.0.take() {
            bio.complete_elsewhere(Status::Offline);
        }
    }
}

/// Sends its bios to a channel of another queue.
struct Sends(Address);

impl Device for Sends {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

impl Channel for Sends {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        // Where that queue has ended, the errand comes back, and is dropped.
        drop(self.0.send(Box::new(Errand(Some(bio)))));
    }
}

/// Sends a clone of each bio that a message brings to a lower device; what finds no clone is parked.
struct Helper {
    lower: DeviceRef,
    set: BioSet<Bare>,
    /// Of each channel that was opened: where it is reached, and how many messages it was told.
    opened: Unmodelled<Vec<(Address, Arc<AtomicUsize>)>>,
}

struct HelperChannel {
    lower: ChannelId,
    clones: Bios<Bare>,
    told: Arc<AtomicUsize>,
}

impl Device for Helper {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let told = Arc::<AtomicUsize>::default();
        self.opened.lock().unwrap().push((opening.address(), Arc::clone(&told)));
        Ok(Box::new(HelperChannel {
            lower: opening.open(&self.lower)?,
            clones: opening.bios(&self.set),
            told,
        }))
    }
}

impl Channel for HelperChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        match self.clones.alloc(cx, Bare, Alloc::NoWait) {
            Ok(mut clone) => {
                clone.clone_of(bio);
                cx.submit(self.lower, clone.into_bio());
            }
            Err(_) => self.clones.park(cx, bio),
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let mut clone = self.clones.claim(bio).ok().expect("its own clone");
        let (status, bio) = (clone.status(), clone.take_parent().expect("what it is a clone of"));
        self.clones.free(clone);
        cx.complete(bio, status);
    }

    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        self.told.fetch_add(1, Ordering::Relaxed);
        let mut errand = message.downcast::<Errand>().expect("an errand");
        self.submit(opening.cx(), errand.0.take().expect("a bio"));
    }
}

/// A helper over a disk, and its queue.
struct Helped {
    helper: Arc<Helper>,
    queue: Queue,
    bottom: Arc<Bottom>,
    disk: thread::JoinHandle<()>,
}

impl Helped {
    fn start(clones: usize) -> Self {
        let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
        let (bottom, set) =
            (Arc::new(bottom), BioSet::new(&reserve_alone("clones", clones), &heap()).unwrap());
        let helper = Arc::new(Helper { lower: bottom.clone(), set, opened: Unmodelled::default() });
        let mut queue = Queue::new().unwrap();
        queue.open(&(helper.clone() as DeviceRef)).unwrap();
        Self { helper, queue, bottom, disk }
    }

    fn sends(&self) -> DeviceRef {
        Arc::new(Sends(self.helper.opened.lock().unwrap()[0].0.clone()))
    }
}

/// Some of the messages, and of the ends of what they bring, come before this returns; others come later.
fn serve_a_little(queue: &mut Queue) {
    for _ in 0..4 {
        queue.run();
        thread::yield_now();
    }
}

/// How often bios went through, and how often they came back.
#[derive(Default)]
struct Ends([AtomicUsize; 2]);

impl Ends {
    /// Notes how a bio ended, which may be with either.
    fn note(&self, status: Status) -> bool {
        let index = [Status::Ok, Status::Offline].iter().position(|one| *one == status);
        index.map(|index| self.0[index].fetch_add(1, Ordering::Relaxed)).is_some()
    }

    fn assert_both(&self) {
        let [through, back] = [0, 1].map(|index| self.0[index].load(Ordering::Relaxed));
        assert!(through > 0 && back > 0, "{through} bios went through, {back} came back");
    }
}

#[test]
fn what_is_sent_to_a_queue_that_ends_comes_back_and_reaches_nobody_else() {
    let ends = Arc::new(Ends::default());
    let noted = Arc::clone(&ends);
    check(move || {
        let helped = Helped::start(3);
        let (dev, clients) = (helped.sends(), Clients::new(3));
        let client = clients.parking();
        let sender = thread::spawn(move || {
            let mut client = client(&dev);
            (0..3).for_each(|sector| client.submit(sector, 1));
            client.finish();
        });
        let Helped { helper, mut queue, bottom, disk } = helped;
        serve_a_little(&mut queue);
        drop(queue);
        let mut next = Queue::new().unwrap();
        next.open(&(helper.clone() as DeviceRef)).unwrap();
        next.run();
        sender.join().unwrap();
        next.run();
        drop(next);
        clients.assert_all_end_as(|_, status| noted.note(status));
        bottom.stop();
        disk.join().unwrap();
        assert_eq!(helper.opened.lock().unwrap()[1].1.load(Ordering::Relaxed), 0, "another queue was told");
        let mut taker = Taker::of(&helper.set);
        let all: Vec<_> = std::iter::from_fn(|| taker.take(Bare, Alloc::NoWait)).collect();
        assert_eq!(all.len(), 3, "a clone was not freed");
    });
    ends.assert_both();
}

#[test]
fn a_bio_that_waits_on_a_queue_that_ends_leaves_its_turn_to_the_next() {
    let ends = Arc::new(Ends::default());
    let noted = Arc::clone(&ends);
    check(move || {
        let helped = Helped::start(1);
        let (dev, set) = (helped.sends(), helped.helper.set.clone());
        let held = Taker::of(&set).take(Bare, Alloc::NoWait).expect("reserved");
        let clients = Clients::new(1);
        let mut client = clients.parking()(&dev);
        client.submit(0, 1);
        let Helped { mut queue, bottom, disk, .. } = helped;
        let ending = thread::spawn(move || {
            serve_a_little(&mut queue);
            drop(queue);
        });
        // Who is behind it, in some schedules.
        let sleeper = thread::spawn(move || {
            let bio = Taker::of(&set).take(Bare, Alloc::Wait).expect("may sleep");
            drop(bio);
        });
        drop(held);
        ending.join().unwrap();
        // Nobody drives the client's queue until then.
        sleeper.join().unwrap();
        client.finish();
        drop(client);
        clients.assert_all_end_as(|_, status| noted.note(status));
        bottom.stop();
        disk.join().unwrap();
    });
    ends.assert_both();
}

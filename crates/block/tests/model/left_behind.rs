//! What a queue that ends leaves: bios of its user and of its channels that other threads end, messages to them, and what
//! they had been promised. Nothing is lost, and nobody else gets it but what was promised, which goes to the next.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Unmodelled};

use shuttle::thread::{self, JoinHandle};
use udm_block::bio::Piece;
use udm_block::{
    Address, Alloc, Bio, BioSet, Bios, Buffers, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch,
    Flags, Geometry, Op, OpenError, Opening, OwnBio, PagePool, PagePoolOptions, Queue, Sector, Sectors,
    Status,
};

use crate::check::check;
use crate::pools::Parks;
use crate::stack::{Bare, Bottom, Clients, Taker, geometry, heap, join_all, reserve_alone};

/// Keeps bios for another thread to end.
#[derive(Default)]
struct Keeps {
    kept: Arc<Unmodelled<Vec<Bio>>>,
    address: Unmodelled<Option<Address>>,
    /// How many messages its channels have heard.
    heard: Arc<AtomicUsize>,
}

struct KeepsChannel {
    kept: Arc<Unmodelled<Vec<Bio>>>,
    heard: Arc<AtomicUsize>,
}

impl Keeps {
    /// Ends what is kept, on a thread of its own.
    fn end_all(&self) -> JoinHandle<()> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        thread::spawn(move || kept.into_iter().for_each(|bio| bio.complete_elsewhere(Status::Ok)))
    }
}

impl Device for Keeps {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        *self.address.lock().unwrap() = Some(opening.address());
        Ok(Box::new(KeepsChannel { kept: Arc::clone(&self.kept), heard: Arc::clone(&self.heard) }))
    }
}

impl Channel for KeepsChannel {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        self.kept.lock().unwrap().push(bio);
    }

    fn message(&mut self, _: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        drop(message);
        self.heard.fetch_add(1, Ordering::Relaxed);
    }
}

/// A message that says when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_queue_ends_while_other_threads_end_its_bios_and_send_messages() {
    check(|| {
        let dev = Arc::new(Keeps::default());
        let clients = Clients::new(2);
        let mut client = clients.parking()(&(dev.clone() as DeviceRef));
        (0..2).for_each(|sector| client.submit(sector, 1));
        let ends = dev.end_all();
        let address = dev.address.lock().unwrap().clone().unwrap();
        // It keeps the mailbox, and what is left there.
        let kept = address.clone();
        let (dropped, handed_back) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (theirs, back) = (Arc::clone(&dropped), Arc::clone(&handed_back));
        let sends = thread::spawn(move || {
            for _ in 0..3 {
                if let Err(message) = address.send(Box::new(Dropped(Arc::clone(&theirs)))) {
                    assert!(message.is::<Dropped>(), "another message came back");
                    back.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        drop(client);
        let heard = dev.heard.load(Ordering::Relaxed);
        // The next queue of the device, which may have the place of the first.
        let mut next = Queue::new().unwrap();
        next.open(&(dev.clone() as DeviceRef)).unwrap();
        join_all(vec![ends, sends]);
        next.run();
        assert!(next.take_ended().is_none(), "a bio of another queue");
        assert_eq!(dev.heard.load(Ordering::Relaxed), heard, "a message to another queue");
        assert_eq!(dropped.load(Ordering::Relaxed), 3, "a message is left");
        drop(kept);
        assert!(heard + handed_back.load(Ordering::Relaxed) <= 3);
        clients.assert_all_freed();
    });
}

/// Ends each bio at once, and does I/O of its own for it below, of which no client hears.
struct Behind {
    lower: DeviceRef,
    set: BioSet<Bare>,
    sectors: u64,
}

struct BehindChannel {
    lower: ChannelId,
    bios: Bios<Bare>,
    sectors: u64,
}

impl Behind {
    /// With two bios of so many sectors each.
    fn over(lower: DeviceRef, sectors: u64) -> (BioSet<Bare>, DeviceRef) {
        let set = BioSet::new(&reserve_alone("behind", 2), &heap()).unwrap();
        (set.clone(), Arc::new(Self { lower, set, sectors }))
    }
}

impl Device for Behind {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, bios) = (opening.open(&self.lower)?, opening.bios(&self.set));
        Ok(Box::new(BehindChannel { lower, bios, sectors: self.sectors }))
    }
}

impl Channel for BehindChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        for number in 0..2 {
            let mut own = self.bios.alloc(cx, Bare, Alloc::NoWait).ok().expect("reserved");
            own.prepare(Op::Discard, Flags::NONE, Sector(8 * number));
            own.set_range(Sectors(self.sectors).bytes());
            cx.submit(self.lower, own.into_bio());
        }
        cx.complete(bio, Status::Ok);
    }

    fn end_io(&mut self, _: &mut Dispatch, bio: OwnBio) {
        let own = self.bios.claim(bio).ok().expect("its own bio");
        self.bios.free(own);
    }
}

/// That all of a set is free.
fn assert_home(set: &BioSet<Bare>, count: usize) {
    let mut taker = Taker::of(set);
    let all: Vec<_> = std::iter::from_fn(|| taker.take(Bare, Alloc::NoWait)).collect();
    assert_eq!(all.len(), count, "a bio was not freed");
}

#[test]
fn a_queue_ends_while_bios_of_its_channels_and_their_pieces_end_on_another_thread() {
    check(|| {
        let keeps = Arc::new(Keeps::default());
        let pieces = BioSet::<Piece>::new(&reserve_alone("pieces", 2), &heap()).unwrap();
        let (own, dev) = Behind::over(Arc::new(Parks { lower: keeps.clone(), set: pieces.clone() }), 2);
        let clients = Clients::new(1);
        let mut client = clients.parking()(&dev);
        client.submit(0, 1);
        let ends = keeps.end_all();
        drop(client);
        ends.join().unwrap();
        assert_home(&own, 2);
        let mut queue = Queue::new().unwrap();
        let bios = queue.bios(&pieces);
        drop((bios, queue.take_ended()));
        clients.assert_all_freed();
    });
}

/// Takes a bio of its set for each bio, and parks those that find none.
pub struct Needs {
    pub lower: DeviceRef,
    pub set: BioSet<Bare>,
}

struct NeedsChannel {
    lower: ChannelId,
    bios: Bios<Bare>,
}

impl Device for Needs {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(NeedsChannel { lower: opening.open(&self.lower)?, bios: opening.bios(&self.set) }))
    }
}

impl Channel for NeedsChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Ok(needed) = self.bios.alloc(cx, Bare, Alloc::NoWait) else { return self.bios.park(cx, bio) };
        self.bios.free(needed);
        cx.submit(self.lower, bio);
    }
}

#[test]
fn what_was_promised_to_a_parked_bio_whose_queue_ends_goes_to_the_next() {
    check(|| {
        let scarce = BioSet::new(&reserve_alone("scarce", 1), &heap()).unwrap();
        let held = Taker::of(&scarce).take(Bare, Alloc::Wait).unwrap();
        let bottom = Arc::new(Bottom::at_once(|_| Status::Ok));
        let needs: DeviceRef = Arc::new(Needs { lower: bottom, set: scarce.clone() });
        let (own, dev) = Behind::over(needs.clone(), 1);
        let clients = Clients::new(2);
        let mut first = clients.parking()(&dev);
        first.submit(0, 1);
        // Behind the two that are parked now: a bio of another queue, and a thread.
        let mut second = clients.parking()(&needs);
        second.submit(8, 1);
        let theirs = scarce.clone();
        let sleeper = thread::spawn(move || drop(Taker::of(&theirs).take(Bare, Alloc::Wait)));
        let frees = thread::spawn(move || drop(held));
        drop(first);
        second.finish();
        drop(second);
        join_all(vec![sleeper, frees]);
        assert_home(&own, 2);
        assert_home(&scarce, 1);
        clients.assert_all_freed();
    });
}

/// Ends each bio at once, and has a bio of its own wait for a buffer.
struct WantsPages {
    set: BioSet<Bare>,
    pages: PagePool,
}

struct WantsPagesChannel {
    bios: Bios<Bare>,
    buffers: Buffers,
}

const PAGE: Bytes = Bytes(4096);

impl Device for WantsPages {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(WantsPagesChannel { bios: opening.bios(&self.set), buffers: self.pages.buffers() }))
    }
}

impl Channel for WantsPagesChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        self.bios.alloc(cx, Bare, Alloc::NoWait).ok().expect("reserved").wait(&self.buffers);
        cx.complete(bio, Status::Ok);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let own = self.bios.claim(bio).ok().expect("its own bio");
        let pages = self.buffers.alloc(cx, PAGE, Alloc::NoWait).expect("promised");
        self.buffers.free(pages);
        self.bios.free(own);
    }
}

#[test]
fn a_buffer_that_was_promised_to_a_bio_whose_queue_ends_goes_to_the_next() {
    check(|| {
        let options = PagePoolOptions { name: "pages", largest: 4096, reserve: 1, limit: 0, stock: 0 };
        let pages = PagePool::new(options, &heap()).unwrap();
        let mut queue = Queue::sleeping().unwrap();
        let mut buffers = pages.buffers();
        let held = buffers.alloc(queue.cx(), PAGE, Alloc::Wait).unwrap();
        let set = BioSet::new(&reserve_alone("wants pages", 2), &heap()).unwrap();
        let dev: DeviceRef = Arc::new(WantsPages { set: set.clone(), pages });
        let clients = Clients::new(2);
        let [mut first, mut second] = [clients.parking()(&dev), clients.parking()(&dev)];
        first.submit(0, 1);
        second.submit(1, 1);
        let frees = thread::spawn(move || drop(held));
        drop(first);
        // Whoever waits behind it gets the buffer, though the second queue may end before its bio has it.
        drop(second);
        drop(buffers.alloc(queue.cx(), PAGE, Alloc::Wait));
        frees.join().unwrap();
        assert_home(&set, 2);
        clients.assert_all_freed();
    });
}

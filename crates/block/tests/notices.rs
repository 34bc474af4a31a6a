//! Notices: a thread that has a bio tells the channel that allocated it that something has changed.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{Bare, Client, heap};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Bytes, Channel, Device, DeviceRef, Dispatch, Geometry, Notice,
    Op, OpenError, Opening, OwnBio, Pad, PadBio, Sectors, Status,
};

/// The pad of the device's own bio.
struct Work;

impl Pad for Work {}

/// A device that gives each bio, with one of its own around it, to somebody else, and counts the notices of each channel.
struct Hands {
    set: BioSet<Work>,
    to: Mutex<Sender<PadBio<Work>>>,
    notices: Arc<AtomicUsize>,
}

struct HandsChannel {
    bios: Bios<Work>,
    to: Sender<PadBio<Work>>,
    notices: Arc<AtomicUsize>,
}

impl Hands {
    fn new() -> (Arc<Self>, Receiver<PadBio<Work>>) {
        let set = BioSet::new(&BioSetOptions::named("hands"), &heap()).unwrap();
        let (to, given) = channel();
        (Arc::new(Self { set, to: Mutex::new(to), notices: Arc::default() }), given)
    }

    fn notices(&self) -> usize {
        self.notices.load(Ordering::SeqCst)
    }
}

impl Device for Hands {
    fn geometry(&self) -> Geometry {
        Geometry { discard: true, ..Geometry::plain(Sectors(64)) }
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (bios, to) = (opening.bios(&self.set), self.to.lock().unwrap().clone());
        Ok(Box::new(HandsChannel { bios, to, notices: Arc::clone(&self.notices) }))
    }
}

impl Channel for HandsChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let mut work = self.bios.alloc(cx, Work, Alloc::NoWait).ok().expect("a bio");
        work.set_parent(bio);
        self.to.send(work).unwrap();
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let mut work = self.bios.claim(bio).ok().expect("its own bio");
        let bio = work.take_parent().expect("it is inside");
        self.bios.free(work);
        cx.complete(bio, Status::Ok);
    }

    fn message(&mut self, _: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        assert_eq!(message.downcast_ref(), Some(&Notice));
        self.notices.fetch_add(1, Ordering::SeqCst);
    }
}

fn client(dev: &Arc<Hands>) -> Client {
    let set: BioSet<Bare> = BioSet::new(&BioSetOptions::named("client"), &heap()).unwrap();
    Client::of(&(Arc::clone(dev) as DeviceRef), &set)
}

/// The bio has not ended, and nothing else wakes the queue.
#[test]
fn a_queue_that_sleeps_is_woken_by_a_notice() {
    let (dev, given) = Hands::new();
    let mut client = client(&dev);
    client.submit(Op::Discard, 0, Bytes(512));
    let work = given.recv().unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            work.notify_owner();
            work
        });
        while dev.notices() == 0 {
            client.queue.wait(&mut [], None).unwrap();
        }
        assert!(client.told().is_none());
        other.join().unwrap().into_bio().complete_elsewhere(Status::Ok);
    });
    assert_eq!((client.wait(), dev.notices()), ((0, Status::Ok), 1));
}

/// Each channel hears of what was for it, once for all notices that came since it last did.
#[test]
fn several_notices_to_one_channel_are_one_and_others_have_their_own() {
    let (devs, given): (Vec<_>, Vec<_>) = (0..3).map(|_| Hands::new()).unzip();
    let mut client = client(&devs[0]);
    let channels: Vec<_> =
        devs.iter().map(|dev| client.queue.open(&(Arc::clone(dev) as DeviceRef)).unwrap()).collect();
    for round in 1..=3 {
        let works: Vec<_> = (channels.iter().zip(&given))
            .map(|(channel, given)| {
                client.channel = *channel;
                client.submit(Op::Discard, 8, Bytes(512));
                given.recv().unwrap()
            })
            .collect();
        // The last of the three hears of nothing.
        let notify = |(number, work): (usize, PadBio<Work>)| {
            thread::spawn(move || {
                (0..100 * (2 - number.min(2))).for_each(|_| work.notify_owner());
                work
            })
        };
        let threads: Vec<_> = works.into_iter().enumerate().map(notify).collect();
        let works: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        client.queue.run();
        assert_eq!(devs.iter().map(|dev| dev.notices()).collect::<Vec<_>>(), [round, round, 0]);
        for work in works {
            work.into_bio().complete_elsewhere(Status::Ok);
        }
        (0..3).for_each(|_| assert_eq!(client.wait(), (8, Status::Ok)));
    }
}

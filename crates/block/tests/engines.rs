//! Engines: what a queue drives beside its channels. Nothing that an engine holds is left unsent while the queue sleeps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Client, heap, reserve_alone};
use rustix::event::{EventfdFlags, eventfd};
use udm_block::{
    Alloc, Bio, BioList, BioSet, Bios, Bytes, Channel, Device, DeviceRef, Dispatch, Ended, Engine, EngineId,
    Geometry, Op, OpenError, Opening, OwnBio, Pad, Sectors, Status,
};

/// An engine that sends what it holds when it is kicked, and gets all answers at once. It refuses the first so many.
struct Ring {
    wakes: OwnedFd,
    held: BioList,
    answered: BioList,
    refuses: usize,
    sent: Arc<AtomicUsize>,
}

impl Engine for Ring {
    fn wakes(&self) -> BorrowedFd<'_> {
        self.wakes.as_fd()
    }

    fn kick(&mut self, ended: &mut Ended) {
        while let Some(bio) = self.held.pop() {
            if self.refuses > 0 {
                self.refuses -= 1;
                ended.complete(bio, Status::DevResource);
            } else {
                self.sent.fetch_add(1, Ordering::Relaxed);
                self.answered.push(bio);
                rustix::io::write(&self.wakes, &1u64.to_ne_bytes()).unwrap();
            }
        }
    }

    fn reap(&mut self, ended: &mut Ended) -> usize {
        let _ = rustix::io::read(&self.wakes, &mut [0; 8]);
        let mut count = 0;
        while let Some(bio) = self.answered.pop() {
            ended.complete(bio, Status::Ok);
            count += 1;
        }
        count
    }
}

/// Does each I/O in several steps, one after another, each by the ring; what is refused it tries again.
struct Steps {
    set: BioSet<Step>,
    count: usize,
    refuses: usize,
    sent: Arc<AtomicUsize>,
}

/// The pad: how many steps are left.
struct Step(usize);

impl Pad for Step {}

struct StepsChannel {
    bios: Bios<Step>,
    count: usize,
    ring: EngineId<Ring>,
}

impl Device for Steps {
    fn geometry(&self) -> Geometry {
        Geometry::plain(Sectors(8))
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let make = || {
            Ok(Ring {
                wakes: eventfd(0, EventfdFlags::NONBLOCK).map_err(|error| OpenError::System {
                    what: "an event descriptor",
                    source: error.into(),
                })?,
                held: BioList::new(),
                answered: BioList::new(),
                refuses: self.refuses,
                sent: Arc::clone(&self.sent),
            })
        };
        let ring = opening.engine(make)?;
        Ok(Box::new(StepsChannel { bios: opening.bios(&self.set), count: self.count, ring }))
    }
}

impl Channel for StepsChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let mut step = self.bios.alloc(cx, Step(self.count), Alloc::NoWait).ok().expect("a bio");
        step.set_parent(bio);
        cx.engine(self.ring).held.push(step.into_bio());
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let mut step = self.bios.claim(bio).ok().expect("its own bio");
        if step.status().is_ok() {
            step.pad_mut().0 -= 1;
        }
        if step.pad().0 > 0 {
            step.rearm();
            return cx.engine(self.ring).held.push(step.into_bio());
        }
        let bio = step.take_parent().expect("put in by the driver");
        self.bios.free(step);
        cx.complete(bio, Status::Ok);
    }
}

/// A client of a device of so many steps, and how many were sent.
fn client(count: usize, refuses: usize) -> (Client, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let bios = BioSet::new(&reserve_alone("steps", 4), &heap()).unwrap();
    let dev: DeviceRef = Arc::new(Steps { set: bios, count, refuses, sent: Arc::clone(&sent) });
    (Client::of(&dev, &BioSet::new(&reserve_alone("client", 4), &heap()).unwrap()), sent)
}

/// One wait is enough for all steps: it does not return before something has ended for the user, or the time is over.
fn one_wait(client: &mut Client) {
    client.queue.wait(&mut [], Some(Duration::from_secs(3))).unwrap();
}

#[test]
fn what_a_refused_bio_is_tried_again_with_is_sent_before_the_queue_sleeps() {
    let (mut client, sent) = client(1, 3);
    client.submit(Op::Flush, 0, Bytes(0));
    assert_eq!((client.told(), sent.load(Ordering::Relaxed)), (None, 0), "nothing is sent before a wait");
    one_wait(&mut client);
    assert_eq!(client.told(), Some((0, Status::Ok)), "it waits unsent");
}

#[test]
fn each_step_is_sent_before_the_queue_sleeps() {
    let (mut client, sent) = client(5, 0);
    client.submit(Op::Flush, 0, Bytes(0));
    one_wait(&mut client);
    assert_eq!(
        (client.told(), sent.load(Ordering::Relaxed)),
        (Some((0, Status::Ok)), 5),
        "a step waits unsent"
    );
}

#[test]
fn an_engine_goes_with_the_last_channel_that_uses_it() {
    let (mut client, sent) = client(1, 0);
    let others = Arc::strong_count(&sent);
    client.queue.close(client.channel);
    assert_eq!(Arc::strong_count(&sent), others - 2, "the ring, or the device, is left");
}

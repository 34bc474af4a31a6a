//! Holding the bios of a device on all its queues by messages, as a managed device does: who waits for the answers waits for
//! no queue that has ended, and while all hold nothing is under way below.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use udm_block::{
    Address, Alloc, Bio, BioList, BioSet, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry,
    OpenError, Opening, OwnBio, Status,
};

use crate::check::check;
use crate::stack::{Bare, Bottom, Clients, geometry, heap, join_all, reserve_alone};

/// The answers that somebody waits for.
#[derive(Default)]
struct Acks {
    outstanding: Mutex<usize>,
    all_came: Condvar,
}

/// One of them: to drop it is to answer.
struct Ack(Arc<Acks>);

impl Acks {
    fn one(self: &Arc<Self>) -> Ack {
        *self.outstanding.lock().unwrap() += 1;
        Ack(Arc::clone(self))
    }

    fn wait(&self) {
        let outstanding = self.outstanding.lock().unwrap();
        drop(self.all_came.wait_while(outstanding, |outstanding| *outstanding > 0).unwrap());
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        *self.0.outstanding.lock().unwrap() -= 1;
        self.0.all_came.notify_all();
    }
}

enum Message {
    /// Answered when nothing is under way.
    Hold(Ack),
    Release,
}

/// The device: what holds for its channels, and where they are reached.
struct Gate {
    lower: DeviceRef,
    clones: BioSet<Bare>,
    state: Arc<Mutex<State>>,
    /// What has gone below and has not come home.
    below: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    holds: bool,
    open: Vec<Address>,
}

/// A channel's place among the others.
struct Registration(Arc<Mutex<State>>, Address);

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.lock().unwrap().open.retain(|address| *address != self.1);
    }
}

struct GateChannel {
    lower: ChannelId,
    clones: Bios<Bare>,
    holds: bool,
    held: BioList,
    under_way: usize,
    drained: Option<Ack>,
    below: Arc<AtomicUsize>,
}

impl Gate {
    /// Has all channels hold, or let go.
    fn tell(&self, holds: bool, message: impl Fn() -> Message) {
        let mut state = self.state.lock().unwrap();
        state.holds = holds;
        let open = state.open.clone();
        drop(state);
        for address in open {
            drop(address.send(Box::new(message())));
        }
    }

    /// Holds, looks whether nothing is below, and lets go.
    fn hold_once(&self) {
        let acks = Arc::<Acks>::default();
        self.tell(true, || Message::Hold(acks.one()));
        acks.wait();
        for _ in 0..3 {
            assert_eq!(self.below.load(Ordering::SeqCst), 0, "a bio is below while all channels hold");
            thread::yield_now();
        }
        self.tell(false, || Message::Release);
    }
}

impl Device for Gate {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let mut state = self.state.lock().unwrap();
        state.open.push(opening.address());
        let holds = state.holds;
        drop(state);
        opening.drop_when_closed(Box::new(Registration(Arc::clone(&self.state), opening.address())));
        Ok(Box::new(GateChannel {
            lower: opening.open(&self.lower)?,
            clones: opening.bios(&self.clones),
            holds,
            held: BioList::new(),
            under_way: 0,
            drained: None,
            below: Arc::clone(&self.below),
        }))
    }
}

impl Channel for GateChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        if self.holds {
            return self.held.push(bio);
        }
        let mut clone = self.clones.alloc(cx, Bare, Alloc::NoWait).ok().expect("reserved");
        clone.clone_of(bio);
        self.under_way += 1;
        self.below.fetch_add(1, Ordering::SeqCst);
        cx.submit(self.lower, clone.into_bio());
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let mut clone = self.clones.claim(bio).ok().expect("its own clone");
        let (status, bio) = (clone.status(), clone.take_parent().expect("what it is a clone of"));
        self.clones.free(clone);
        self.below.fetch_sub(1, Ordering::SeqCst);
        self.under_way -= 1;
        if self.under_way == 0 {
            self.drained = None;
        }
        cx.complete(bio, status);
    }

    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        match *message.downcast::<Message>().expect("a message of the gate's") {
            Message::Hold(ack) => {
                self.holds = true;
                self.drained = (self.under_way > 0).then_some(ack);
            }
            Message::Release => {
                (self.holds, self.drained) = (false, None);
                while let Some(bio) = self.held.pop() {
                    opening.cx().again(bio);
                }
            }
        }
    }
}

#[test]
fn all_queues_hold_and_let_go_while_one_is_opened_and_one_ends() {
    check(|| {
        let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
        let bottom = Arc::new(bottom);
        let clones = BioSet::new(&reserve_alone("clones", 4), &heap()).unwrap();
        let gate =
            Arc::new(Gate { lower: bottom.clone(), clones, state: Arc::default(), below: Arc::default() });
        let clients = Clients::new(4);
        // Each opens the device, has its bios served, and ends.
        let mut threads: Vec<_> = (0..2)
            .map(|number| {
                let (client, dev) = (clients.parking(), gate.clone() as DeviceRef);
                thread::spawn(move || {
                    let mut client = client(&dev);
                    (0..2).for_each(|bio| client.submit(2 * number + bio, 1));
                    client.finish();
                })
            })
            .collect();
        let control = gate.clone();
        threads.push(thread::spawn(move || (0..2).for_each(|_| control.hold_once())));
        join_all(threads);
        clients.assert_all_end(|_| Status::Ok);
        assert!(gate.state.lock().unwrap().open.is_empty(), "a channel that was closed is still told");
        bottom.stop();
        disk.join().unwrap();
    });
}

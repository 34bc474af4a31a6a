//! A queue that is put aside hears of messages whoever has it in hand: none is left unread, and nobody waits for ever.

use std::any::Any;
use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};
use udm_block::{
    Address, Aside, Bio, BioList, Channel, Device, DeviceRef, Dispatch, Geometry, HasQueue, OpenError,
    Opening, Queue, Status,
};

use crate::check::check;
use crate::messages::Acks;
use crate::stack::{Bottom, Client, Clients, geometry, join_all};

/// Keeps bios until its channel is told something, where it `keeps`; else it passes them on.
struct Hears {
    lower: DeviceRef,
    keeps: bool,
    address: Mutex<Option<Address>>,
}

struct HearsChannel {
    lower: udm_block::ChannelId,
    keeps: bool,
    kept: BioList,
}

impl Hears {
    fn over(lower: DeviceRef, keeps: bool) -> Arc<Self> {
        Arc::new(Self { lower, keeps, address: Mutex::default() })
    }
}

impl Device for Hears {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        *self.address.lock().unwrap() = Some(opening.address());
        let lower = opening.open(&self.lower)?;
        Ok(Box::new(HearsChannel { lower, keeps: self.keeps, kept: BioList::new() }))
    }
}

impl Channel for HearsChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        if self.keeps { self.kept.push(bio) } else { cx.submit(self.lower, bio) }
    }

    /// The message is dropped, which its sender waits for.
    fn message(&mut self, opening: &mut Opening<'_>, _: Box<dyn Any + Send>) {
        self.keeps = false;
        while let Some(bio) = self.kept.pop() {
            opening.cx().submit(self.lower, bio);
        }
    }
}

/// What is put aside.
struct User(Client);

impl HasQueue for User {
    fn queue(&mut self) -> &mut Queue {
        &mut self.0.queue
    }
}

/// Sends messages, and waits for each until it was heard, or dropped unread.
fn sends(address: &Address, count: usize) -> JoinHandle<()> {
    let address = address.clone();
    thread::spawn(move || {
        for _ in 0..count {
            let acks = Acks::default();
            let _ = address.send(Box::new(acks.one_more()));
            acks.wait();
        }
    })
}

/// The address of a user's channel, and the user.
fn user(clients: &Clients, dev: &Arc<Hears>) -> (Address, User) {
    let client = clients.parking()(&(dev.clone() as DeviceRef));
    let address = dev.address.lock().unwrap().clone().unwrap();
    (address, User(client))
}

/// A device that ends bios at once.
fn ready() -> DeviceRef {
    Arc::new(Bottom::at_once(|_| Status::Ok))
}

#[test]
fn messages_are_heard_while_a_queue_is_taken_and_put_back() {
    check(|| {
        let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
        let bottom = Arc::new(bottom);
        let (clients, dev) = (Clients::new(2), Hears::over(bottom.clone(), false));
        let (address, user) = user(&clients, &dev);
        let aside = Aside::new(user);
        let senders = (0..2).map(|_| sends(&address, 2)).collect();
        for sector in 0..2 {
            let mut user = aside.take();
            user.0.submit(sector, 1);
            user.0.finish();
        }
        // The messages that come now are for nobody but their senders to take in.
        join_all(senders);
        drop(aside);
        clients.assert_all_end(|_| Status::Ok);
        bottom.stop();
        disk.join().unwrap();
    });
}

#[test]
fn messages_of_two_senders_are_heard_while_nobody_takes_the_queue() {
    check(|| {
        let (clients, dev) = (Clients::new(0), Hears::over(ready(), false));
        let (address, user) = user(&clients, &dev);
        let aside = Aside::new(user);
        join_all((0..2).map(|_| sends(&address, 2)).collect());
        drop(aside);
    });
}

#[test]
fn a_message_that_is_sent_while_its_queue_is_put_aside_is_heard() {
    check(|| {
        let (clients, dev) = (Clients::new(0), Hears::over(ready(), false));
        let (address, user) = user(&clients, &dev);
        let sender = sends(&address, 1);
        // In some schedules it has sent by now, and found nobody to drive the queue.
        (0..4).for_each(|_| thread::yield_now());
        let aside = Aside::new(user);
        sender.join().unwrap();
        drop(aside);
    });
}

#[test]
fn who_has_a_queue_in_hand_and_waits_hears_of_messages() {
    check(|| {
        let (clients, dev) = (Clients::new(1), Hears::over(ready(), true));
        let (address, user) = user(&clients, &dev);
        let aside = Aside::new(user);
        let sender = sends(&address, 1);
        let mut user = aside.take();
        user.0.submit(0, 1);
        user.0.finish();
        drop(user);
        sender.join().unwrap();
        drop(aside);
        clients.assert_all_end(|_| Status::Ok);
    });
}

#[test]
fn a_queue_that_is_dropped_while_it_is_aside_keeps_no_sender_waiting() {
    check(|| {
        let (clients, dev) = (Clients::new(0), Hears::over(ready(), false));
        let (address, user) = user(&clients, &dev);
        let aside = Aside::new(user);
        let senders = (0..2).map(|_| sends(&address, 1)).collect();
        drop(aside);
        join_all(senders);
    });
}

//! A queue that is put aside: whoever sends it a message is answered, whether somebody has it in hand, takes it, puts it
//! back, or nobody ever comes.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::sync::mpsc::{Sender, channel};
use shuttle::thread;
use udm_block::{
    Address, Aside, Bio, Channel, Device, DeviceRef, Dispatch, Geometry, HasQueue, OpenError, Opening, Queue,
    Status,
};

use crate::check::check;
use crate::stack::{Client, Clients, geometry, join_all};

/// A device whose channel answers messages, and ends bios at once.
#[derive(Default)]
struct Answers {
    address: std::sync::OnceLock<Address>,
    told: Arc<AtomicUsize>,
}

struct AnswersChannel(Arc<AtomicUsize>);

impl Device for Answers {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        self.address.set(opening.address()).expect("it is opened once");
        Ok(Box::new(AnswersChannel(Arc::clone(&self.told))))
    }
}

impl Channel for AnswersChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.complete(bio, Status::Ok);
    }

    fn message(&mut self, _: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        message.downcast::<Sender<()>>().expect("who waits").send(()).expect("who waits");
    }
}

impl HasQueue for Client {
    fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

/// Sends so many messages, and waits for the answer to each.
fn asks(address: &Address, messages: usize) {
    for _ in 0..messages {
        let (send, answer) = channel::<()>();
        address.send(Box::new(send)).expect("the queue is there");
        answer.recv().expect("an answer");
    }
}

#[test]
fn a_message_is_answered_while_the_queue_is_put_aside_taken_and_put_back() {
    check(|| {
        let (dev, clients) = (Arc::new(Answers::default()), Clients::new(2));
        let client = clients.parking()(&(dev.clone() as DeviceRef));
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let address = dev.address.get().expect("it is open").clone();
                thread::spawn(move || asks(&address, 2))
            })
            .collect();
        // What was sent before this has found nobody.
        let aside = Arc::new(Aside::new(client));
        let theirs = Arc::clone(&aside);
        threads.push(thread::spawn(move || {
            for sector in 0..2 {
                let mut client = theirs.take();
                client.submit(sector, 1);
                client.finish();
            }
        }));
        join_all(threads);
        assert_eq!(dev.told.load(Ordering::Relaxed), 4);
        drop(aside);
        clients.assert_all_end(|_| Status::Ok);
    });
}

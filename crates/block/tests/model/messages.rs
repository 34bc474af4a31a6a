//! Messages to channels: none is slept over.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use udm_block::{
    Address, Bio, Channel, Device, DeviceRef, Dispatch, Geometry, OpenError, Opening, Queue, Status,
};

use crate::check::check;
use crate::stack::{geometry, join_all};

/// Counts what was sent and is not dropped yet: who waits for these drops.
#[derive(Clone, Default)]
pub struct Acks(Arc<(Mutex<usize>, Condvar)>);

/// One that has not come yet: it comes when this is dropped, by a channel or with its queue.
pub struct Ack(Acks);

impl Acks {
    pub fn one_more(&self) -> Ack {
        *self.0.0.lock().unwrap() += 1;
        Ack(self.clone())
    }

    /// Waits until all have come.
    pub fn wait(&self) {
        let count = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(count, |count| *count > 0).unwrap());
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        *self.0.0.0.lock().unwrap() -= 1;
        self.0.0.1.notify_all();
    }
}

/// Counts the messages that its channels hear.
#[derive(Default)]
struct Counts {
    heard: Arc<AtomicUsize>,
    address: Mutex<Option<Address>>,
}

struct CountsChannel(Arc<AtomicUsize>);

impl Device for Counts {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        *self.address.lock().unwrap() = Some(opening.address());
        Ok(Box::new(CountsChannel(Arc::clone(&self.heard))))
    }
}

impl Channel for CountsChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.complete(bio, Status::Ok);
    }

    fn message(&mut self, opening: &mut Opening<'_>, _: Box<dyn Any + Send>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Nothing has ended for the queue's user, who looks again after this.
        opening.cx().home().wake();
    }
}

#[test]
fn a_message_wakes_a_queue_that_is_about_to_sleep() {
    check(|| {
        let dev = Arc::new(Counts::default());
        let mut queue = Queue::new().unwrap();
        queue.open(&(dev.clone() as DeviceRef)).unwrap();
        let address = dev.address.lock().unwrap().clone().unwrap();
        let threads = (0..2).map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    address.send(Box::new(())).unwrap();
                }
            })
        });
        let threads = threads.collect();
        while dev.heard.load(Ordering::Relaxed) < 4 {
            queue.wait(&mut [], None).unwrap();
        }
        join_all(threads);
    });
}

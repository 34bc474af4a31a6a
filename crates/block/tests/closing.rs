//! What is dropped when a channel is closed, in which order, and what becomes of messages to it. Who waits for a drop knows
//! then what is gone.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use udm_block::{
    Address, Aside, Bio, Channel, Device, DeviceRef, Dispatch, Geometry, OpenError, Opening, Queue, Sectors,
};

/// What has been dropped, in order.
type Log = Arc<Mutex<Vec<&'static str>>>;

/// Says when it is dropped.
struct Note(Log, &'static str);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(self.1);
    }
}

/// Keeps something until its channels are closed, over `lower`, if there is one; fails to open on request.
struct Keeps {
    name: &'static str,
    log: Log,
    lower: Option<DeviceRef>,
    fails: bool,
    /// Where the last channel was.
    address: Mutex<Option<Address>>,
    heard: Arc<AtomicUsize>,
}

struct KeepsChannel {
    _note: Note,
    heard: Arc<AtomicUsize>,
}

impl Keeps {
    fn new(name: &'static str, log: &Log, lower: Option<DeviceRef>, fails: bool) -> Arc<Self> {
        let (log, heard) = (Arc::clone(log), Arc::default());
        Arc::new(Self { name, log, lower, fails, address: Mutex::default(), heard })
    }

    fn address(&self) -> Address {
        self.address.lock().unwrap().clone().expect("it was opened")
    }
}

impl Device for Keeps {
    fn geometry(&self) -> Geometry {
        Geometry::plain(Sectors(8))
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        *self.address.lock().unwrap() = Some(opening.address());
        opening.drop_when_closed(Box::new(Note(self.log.clone(), "kept")));
        if let Some(lower) = &self.lower {
            opening.open(lower)?;
        }
        if self.fails {
            return Err(OpenError::Gone);
        }
        Ok(Box::new(KeepsChannel { _note: Note(self.log.clone(), self.name), heard: self.heard.clone() }))
    }
}

impl Channel for KeepsChannel {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        unreachable!("{bio:?}")
    }

    fn message(&mut self, _: &mut Opening<'_>, _: Box<dyn Any + Send>) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }
}

fn take(log: &Log) -> Vec<&'static str> {
    std::mem::take(&mut log.lock().unwrap())
}

/// Two devices, one on the other.
fn two(log: &Log) -> Arc<Keeps> {
    Keeps::new("upper", log, Some(Keeps::new("lower", log, None, false)), false)
}

#[test]
fn what_is_kept_for_a_channel_is_dropped_when_all_that_it_has_opened_is_closed() {
    let log = Log::default();
    for closes in [true, false] {
        let device = two(&log);
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(&(device.clone() as DeviceRef)).unwrap();
        let again = queue.open(&(device as DeviceRef)).unwrap();
        queue.close(again);
        assert_eq!(take(&log), [""; 0], "it has another user");
        if closes {
            queue.close(channel);
        } else {
            drop(queue);
        }
        assert_eq!(take(&log), ["upper", "lower", "kept", "kept"], "closes: {closes}");
    }
}

#[test]
fn what_is_kept_for_a_channel_that_cannot_be_opened_is_dropped() {
    let log = Log::default();
    let fails = Keeps::new("fails", &log, Some(two(&log)), true);
    let mut queue = Queue::new().unwrap();
    assert!(matches!(queue.open(&(fails as DeviceRef)), Err(OpenError::Gone)));
    assert_eq!(take(&log), ["upper", "lower", "kept", "kept", "kept"]);
}

/// To drop a message is to say that its channel is gone.
#[test]
fn a_message_to_a_channel_that_is_gone_is_dropped() {
    let log = Log::default();
    let device = two(&log);
    let mut queue = Queue::new().unwrap();
    let channel = queue.open(&(device.clone() as DeviceRef)).unwrap();
    let address = device.address();
    let send = |name| address.send(Box::new(Note(log.clone(), name)));
    send("heard").unwrap();
    queue.run();
    assert_eq!((device.heard.load(Ordering::Relaxed), take(&log)), (1, vec!["heard"]));
    // One that is on its way when the channel goes.
    send("late").unwrap();
    queue.close(channel);
    take(&log);
    queue.run();
    assert_eq!((device.heard.load(Ordering::Relaxed), take(&log)), (1, vec!["late"]));
    // One that nobody takes in before the queue ends.
    send("last").unwrap();
    drop(queue);
    assert_eq!(take(&log), ["last"]);
    drop(send("too late").expect_err("the queue has ended"));
    assert_eq!(device.heard.load(Ordering::Relaxed), 1);
}

/// Whoever sends a message to a queue that is aside, or whoever has it in hand, takes it in: none is left lying.
#[test]
fn no_message_to_a_queue_that_is_aside_is_left() {
    const MESSAGES: usize = 20_000;
    let log = Log::default();
    let device = Keeps::new("device", &log, None, false);
    let mut queue = Queue::new().unwrap();
    queue.open(&(device.clone() as DeviceRef)).unwrap();
    let (aside, address) = (Aside::new(queue), device.address());
    for round in 1..=5 {
        thread::scope(|scope| {
            scope.spawn(|| (0..MESSAGES / 2).for_each(|_| drop(aside.take())));
            for _ in 0..2 {
                scope.spawn(|| (0..MESSAGES / 2).for_each(|_| address.send(Box::new(())).unwrap()));
            }
        });
        assert_eq!(device.heard.load(Ordering::Relaxed), round * MESSAGES);
    }
}

//! The rescuer of a bio set (the kernel's `bio_alloc_rescue`): a queue that dispatches the bios that a sleeping allocation
//! would block.
//!
//! A driver submits a piece, which its queue dispatches once the driver has returned, and sleeps for the next one: if the
//! set is dry, the piece that would refill it waits behind the sleep itself. So before it sleeps, an allocation gives the
//! bios of its set that wait on its own queue to the rescuer. They go there in the order in which the queue would have
//! dispatched them, and no bio of another set goes: these need no rescue by this one.

use std::io;
use std::sync::Arc;

use crate::channel::ChannelId;
use crate::device::{DeviceRef, key_of};
use crate::dispatch::Dispatch;
use crate::mailbox::Home;
use crate::queue::Queue;
use crate::sync::{AtomicBool, AtomicU64, Ordering, thread};

/// A thread that dispatches bios, and its end when dropped.
pub(crate) struct Rescuer {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    home: Home,
    /// Of each device that bios of the set go to, its channel on the rescuer's queue.
    channels: Vec<(usize, ChannelId)>,
    stops: AtomicBool,
    /// How often bios were given to it.
    punts: AtomicU64,
}

impl Rescuer {
    /// Starts the thread.
    // not on the I/O path: once, when its thread begins
    pub(crate) fn start(name: &str, lower: &[DeviceRef]) -> io::Result<Self> {
        let mut queue = Queue::sleeping()?;
        let open = |device: &DeviceRef| Ok((key_of(device), queue.open(device).map_err(io::Error::other)?));
        let channels = lower.iter().map(open).collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            home: queue.home().clone(),
            channels,
            stops: AtomicBool::new(false),
            punts: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        let dispatch = move || {
            while !theirs.stops.load(Ordering::SeqCst) {
                // Nothing but a wakeup ends the wait; where the system refuses it, it is tried again.
                let _ = queue.wait(&mut [], None);
            }
        };
        let thread = thread::Builder::new().name(format!("rescue {name}")).spawn(dispatch)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes the bios of the set `set` from the lists of a queue and dispatches them.
    pub(crate) fn punt(&self, cx: &mut Dispatch, set: usize) {
        let keys = std::mem::take(&mut cx.keys);
        let channel = |at: ChannelId| {
            let key = keys.get(at.index as usize);
            self.shared.channels.iter().find(|(of, _)| Some(of) == key).map(|(_, channel)| *channel)
        };
        let mut bios = cx.take_of_set(set, |bio| channel(bio.at()).is_some());
        if !bios.is_empty() {
            self.shared.punts.fetch_add(1, Ordering::Relaxed);
        }
        while let Some(mut bio) = bios.pop() {
            bio.set_at(channel(bio.at()).expect("taken for it"));
            if let Err(bio) = self.shared.home.mail_to_submit(bio) {
                bio.complete_elsewhere(crate::Status::IoErr);
            }
        }
        cx.keys = keys;
    }

    /// How often bios were given to it.
    pub(crate) fn punts(&self) -> u64 {
        self.shared.punts.load(Ordering::Relaxed)
    }
}

/// The thread ends when it has dispatched everything.
impl Drop for Rescuer {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        self.shared.home.wake();
        // The last reference to a set can go on its rescuer's own thread: it cannot wait for itself, and ends when it has
        // returned from there.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of a driver was reported where it happened.
            let _ = thread.join();
        }
    }
}

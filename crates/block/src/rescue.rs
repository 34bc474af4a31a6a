//! The rescuer of a bio set (the kernel's `bio_alloc_rescue`): a queue that dispatches the bios that a sleeping allocation
//! would block.
//!
//! A driver submits a piece, which its queue dispatches once the driver has returned, and sleeps for the next one: if the
//! set is dry, the piece that would refill it waits behind the sleep itself. So before it sleeps, an allocation gives the
//! bios of its set that wait on its own queue to the rescuer. They go there in the order in which the queue would have
//! dispatched them, and no bio of another set goes: these need no rescue by this one.

use std::io;
use std::sync::Arc;

use crate::bio::{BioSet, BioSetOptions, Pad, Rescue};
use crate::channel_id::ChannelId;
use crate::device::{DeviceRef, key_of};
use crate::dispatch::Dispatch;
use crate::home::Home;
use crate::memory::Source;
use crate::queue::Queue;
use crate::status::Status;
use crate::sync::{AtomicBool, AtomicU64, Ordering, thread};

impl<P: Pad> BioSet<P> {
    /// The set with a rescuer, for a driver that allocates with [`Alloc::Wait`](crate::Alloc::Wait) while bios of the set
    /// that it has submitted may still wait on its queue's lists: before it sleeps, these are given to a thread that
    /// dispatches them to `lower`, the devices that the driver submits to. A set whose bios never wait behind one another
    /// needs none.
    ///
    /// # Errors
    /// When there is no memory for the reserve, the system gives no thread, or a device cannot be opened.
    // not on the I/O path: once a set
    pub fn rescued(options: &BioSetOptions, source: &Source, lower: &[DeviceRef]) -> io::Result<Self> {
        let rescuer = Box::new(Rescuer::start(options.name, lower)?);
        Self::make(options, source, Some(rescuer)).map_err(io::Error::other)
    }
}

/// A thread that dispatches bios, and its end when dropped.
struct Rescuer {
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
    fn start(name: &str, lower: &[DeviceRef]) -> io::Result<Self> {
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
}

impl Rescue for Rescuer {
    fn punt(&self, cx: &mut Dispatch, set: usize) {
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
            if let Err(bio) = self.shared.home.mailbox().mail_to_submit(bio) {
                bio.complete_elsewhere(Status::IoErr);
            }
        }
        cx.keys = keys;
    }

    fn punts(&self) -> u64 {
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

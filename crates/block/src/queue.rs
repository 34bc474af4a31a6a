//! Queue threads: threads that drive I/O and never sleep for memory.
//!
//! A queue thread carries an I/O from request to reply. Engines (a ring, say) are registered with it by the back ends
//! that it reaches. A bio that ends on another thread is mailed home: each queue thread has a mailbox, and one wakeup
//! serves many messages.

use std::cell::{Cell, RefCell};
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use rustix::event::PollFlags;
use rustix::event::{EventfdFlags, PollFd, Timespec, eventfd, poll};

use crate::bio::{Bio, BioList, LocalList, Pad, PadBio};
use crate::status::Status;
use crate::submit;
use crate::sync::local;
#[cfg(shuttle)]
use crate::sync::{CellKey, RefCellKey};

/// How many queue threads there can be at once.
pub const MAX_QUEUES: usize = 128;
/// How many things a queue thread can wait for at once.
const MAX_WAITS: usize = 16;

/// Which queue thread: where its bios are mailed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Home {
    mailbox: u16,
    /// Mailboxes are used again: which of the queue threads that have had this one. What is mailed to one that has ended
    /// never reaches the next.
    tenant: NonZero<u32>,
}

/// Drives the I/O of one back end on one queue thread.
pub trait Engine {
    /// Becomes readable when something has ended.
    fn wakes(&self) -> BorrowedFd<'_>;

    /// Sends what was put to it since the last time.
    fn kick(&self);

    /// Completes what has ended: how many.
    fn reap(&self) -> usize;
}

/// A descriptor that a queue thread waits for beside its engines.
pub struct Interest<'a> {
    fd: BorrowedFd<'a>,
    events: PollFlags,
    ready: PollFlags,
}

impl<'a> Interest<'a> {
    /// Waits for `events` of `fd`.
    pub fn new(fd: BorrowedFd<'a>, events: PollFlags) -> Self {
        Self { fd, events, ready: PollFlags::empty() }
    }

    /// What was ready of it after the last wait: errors and hang-ups too.
    pub fn ready(&self) -> PollFlags {
        self.ready
    }
}

/// The messages that other threads have sent to a queue thread.
struct Mailbox {
    taken: AtomicBool,
    messages: Mutex<Messages>,
    /// Whether its thread sleeps, or is about to, and wants to be woken.
    sleeps: AtomicBool,
    /// The eventfd that wakes it.
    wakeup: OnceLock<OwnedFd>,
    /// The [`WIPES`] that its thread has seen.
    wiped: AtomicU64,
}

/// How often all stacks were to be wiped.
static WIPES: AtomicU64 = AtomicU64::new(0);

struct Messages {
    /// Who reads them.
    reader: Option<Home>,
    /// The number of the last tenant.
    tenants: u32,
    /// Bios that have been told of their end, for [`Queue::take_ended`].
    ended: BioList,
    /// Bios to be ended here.
    to_end: BioList,
    /// Bios to be submitted again here.
    to_submit: BioList,
}

static MAILBOXES: [Mailbox; MAX_QUEUES] = [const {
    Mailbox {
        taken: AtomicBool::new(false),
        messages: Mutex::new(Messages {
            reader: None,
            tenants: 0,
            ended: BioList::new(),
            to_end: BioList::new(),
            to_submit: BioList::new(),
        }),
        sleeps: AtomicBool::new(false),
        wakeup: OnceLock::new(),
        wiped: AtomicU64::new(0),
    }
}; MAX_QUEUES];

local! {
    static HERE: Cell<Option<Home>> = const { Cell::new(None) };
    static ENDED: LocalList = const { LocalList::new() };
    /// Where the process exits on a queue thread they are leaked, as what is in `ENDED` is: they would end bios.
    static ENGINES: RefCell<ManuallyDrop<Engines>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// The engines of a queue thread, if it has any.
type Engines = Option<Rc<[Rc<dyn Engine>]>>;

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    /// Whether this is the thread.
    pub fn is_here(self) -> bool {
        HERE.get() == Some(self)
    }

    fn mailbox(self) -> &'static Mailbox {
        &MAILBOXES[usize::from(self.mailbox)]
    }
}

/// Checks that this thread may sleep, in debug builds: a queue thread may not.
pub fn might_sleep() {
    debug_assert!(HERE.get().is_none(), "a queue thread is about to sleep");
}

/// Whether this is a queue thread.
pub fn is_queue_thread() -> bool {
    HERE.get().is_some()
}

/// Has each queue thread wipe its stack of what ciphers left there, and waits until all have, or have ended: whether all
/// did by `patience`. For whoever wiped a key that they worked with. Not on a queue thread.
pub fn wipe_stacks(patience: Duration) -> bool {
    might_sleep();
    let wipe = WIPES.fetch_add(1, Ordering::SeqCst) + 1;
    let start = Instant::now();
    MAILBOXES.iter().all(|mailbox| {
        let is_behind =
            || mailbox.taken.load(Ordering::Acquire) && mailbox.wiped.load(Ordering::Acquire) < wipe;
        while is_behind() && start.elapsed() < patience {
            mailbox.wake();
            std::thread::sleep(Duration::from_millis(1));
        }
        !is_behind()
    })
}

/// Adds an engine to this queue thread, for as long as the thread is one. Where it is none, hands it back.
///
/// # Errors
/// When this is not a queue thread.
pub fn register(engine: Rc<dyn Engine>) -> Result<(), Rc<dyn Engine>> {
    if HERE.get().is_none() {
        return Err(engine);
    }
    ENGINES.with_borrow_mut(|engines| {
        **engines = Some(engines.iter().flat_map(|all| all.iter().cloned()).chain([engine]).collect());
    });
    Ok(())
}

/// Brings a bio that ended to the queue thread that it belongs to, where [`Queue::take_ended`] finds it. Where there is
/// none any more, nobody can ask for the bio: it is freed, and that is loud.
pub fn deliver<P: Pad>(bio: PadBio<P>) {
    let mut bio = bio.into_bio();
    bio.mark_delivered();
    let home = bio.home();
    let unclaimed = match home {
        Some(home) if !home.is_here() => home.mail(bio, |messages| &mut messages.ended).err(),
        _ if is_queue_thread() => {
            ENDED.with(|ended| ended.push(bio));
            None
        }
        _ => Some(bio),
    };
    // Dropped here, outside the lock.
    drop(unclaimed);
}

/// Ends `bio` with `status` on the queue thread that it belongs to: for back ends whose own threads do the work. So
/// what its drivers free and decrypt on the way up stays with the thread that took it on the way down.
pub fn complete_at_home(bio: Bio, status: Status) {
    match bio.home() {
        Some(home) if !home.is_here() => {
            bio.record(status);
            if let Err(bio) = home.mail(bio, |messages| &mut messages.to_end) {
                bio.complete(status);
            }
        }
        _ => bio.complete(status),
    }
}

/// Has `bio` submitted by the queue thread that it belongs to, to the device where it was going; here where that thread
/// has ended.
pub(crate) fn mail_to_submit(home: Home, bio: Bio) {
    if let Err(bio) = home.mail(bio, |messages| &mut messages.to_submit) {
        submit::dispatch_here(bio);
    }
}

impl Home {
    /// Puts `bio` into a list of the mailbox, unless its thread has ended: then hands it back.
    fn mail(self, bio: Bio, list: impl FnOnce(&mut Messages) -> &mut BioList) -> Result<(), Bio> {
        let mailbox = self.mailbox();
        let mut messages = mailbox.lock();
        if messages.reader != Some(self) {
            return Err(bio);
        }
        list(&mut messages).push(bio);
        drop(messages);
        if mailbox.sleeps.swap(false, Ordering::SeqCst) {
            mailbox.wake();
        }
        Ok(())
    }

    /// Wakes the thread from its wait.
    pub fn wake(self) {
        self.mailbox().wake();
    }
}

impl Mailbox {
    fn wake(&self) {
        if let Some(wakeup) = self.wakeup.get() {
            // The counter is full only when a wakeup is pending already.
            let _ = rustix::io::write(wakeup, &1u64.to_ne_bytes());
        }
    }
}

/// This thread's being a queue thread, which ends when it is dropped.
pub struct Queue {
    home: Home,
    not_send: PhantomData<*const ()>,
}

impl Queue {
    /// Makes this thread a queue thread.
    ///
    /// # Errors
    /// When there are [`MAX_QUEUES`] already, or the system has no event descriptor left.
    ///
    /// # Panics
    /// When it is one.
    pub fn enter() -> io::Result<Self> {
        assert!(HERE.get().is_none(), "this thread is a queue thread already");
        let free = |mailbox: &Mailbox| !mailbox.taken.swap(true, Ordering::AcqRel);
        let index = MAILBOXES
            .iter()
            .position(free)
            .ok_or_else(|| io::Error::other(format!("there are {MAX_QUEUES} queue threads already")))?;
        let mailbox = &MAILBOXES[index];
        if mailbox.wakeup.get().is_none() {
            match eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) {
                Ok(wakeup) => drop(mailbox.wakeup.set(wakeup)),
                Err(error) => {
                    mailbox.taken.store(false, Ordering::Release);
                    return Err(error.into());
                }
            }
        }
        mailbox.wiped.store(WIPES.load(Ordering::SeqCst), Ordering::Release);
        let mut messages = mailbox.lock();
        messages.tenants = messages.tenants.checked_add(1).unwrap_or(1);
        let tenant = NonZero::new(messages.tenants).expect("counted from 1");
        let home = Home { mailbox: index as u16, tenant };
        messages.reader = Some(home);
        drop(messages);
        HERE.set(Some(home));
        Ok(Self { home, not_send: PhantomData })
    }

    /// Where its bios are mailed to.
    pub fn home(&self) -> Home {
        self.home
    }

    /// The next bio that ended and was delivered here.
    pub fn take_ended(&self) -> Option<Bio> {
        ENDED.with(LocalList::pop)
    }

    /// Sends what the engines hold, waits until something ends, one of `fds` is ready, or `timeout` is over, and takes
    /// what came. `fds` tell what is ready.
    ///
    /// # Errors
    /// What `poll` says.
    ///
    /// # Panics
    /// For more `fds` than it has room for.
    pub fn wait(&self, fds: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
        let engines = ENGINES.with_borrow(|engines| (**engines).clone());
        let engines = engines.as_deref().unwrap_or_default();
        for engine in engines {
            engine.kick();
        }
        if engines.iter().map(|engine| engine.reap()).sum::<usize>() > 0 {
            // What ended may have put more to any of them.
            for engine in engines {
                engine.kick();
            }
        }
        let mailbox = self.home.mailbox();
        mailbox.sleeps.store(true, Ordering::SeqCst);
        let busy = self.take_messages() | ENDED.with(|ended| !ended.is_empty());
        let timeout = if busy { Some(Duration::ZERO) } else { timeout };
        let ready = self.poll(engines, fds, timeout);
        mailbox.sleeps.store(false, Ordering::SeqCst);
        let wipes = WIPES.load(Ordering::Acquire);
        if mailbox.wiped.load(Ordering::Relaxed) != wipes {
            crate::stack::wipe();
            mailbox.wiped.store(wipes, Ordering::Release);
        }
        ready?;
        for engine in engines {
            engine.reap();
        }
        self.take_messages();
        Ok(())
    }

    /// Waits for engines, wakeup and `fds`.
    fn poll(
        &self,
        engines: &[Rc<dyn Engine>],
        fds: &mut [Interest<'_>],
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let wakeup = self.home.mailbox().wakeup.get().expect("made when the thread became a queue thread");
        assert!(fds.len() + engines.len() < MAX_WAITS, "{} descriptors to wait for", fds.len());
        let mut all: [PollFd<'_>; MAX_WAITS] = std::array::from_fn(|_| PollFd::new(wakeup, PollFlags::IN));
        let (own, theirs) = all.split_at_mut(1 + engines.len());
        for (fd, engine) in own[1..].iter_mut().zip(engines) {
            *fd = PollFd::from_borrowed_fd(engine.wakes(), PollFlags::IN);
        }
        for (all, fd) in theirs.iter_mut().zip(fds.iter()) {
            *all = PollFd::from_borrowed_fd(fd.fd, fd.events);
        }
        let count = 1 + engines.len() + fds.len();
        // What is longer than the system can count is for ever.
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        for fd in fds.iter_mut() {
            fd.ready = PollFlags::empty();
        }
        if cfg!(miri) {
            // The checker knows no poll: whoever waits looks again.
            std::thread::yield_now();
            return Ok(());
        }
        match poll(&mut all[..count], timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if !all[0].revents().is_empty() {
            let _ = rustix::io::read(wakeup.as_fd(), &mut [0u8; 8]);
        }
        for (fd, all) in fds.iter_mut().zip(&all[1 + engines.len()..count]) {
            fd.ready = all.revents();
        }
        Ok(())
    }

    /// Takes the messages in: whether there were any.
    fn take_messages(&self) -> bool {
        let mut messages = self.home.mailbox().lock();
        if messages.ended.is_empty() && messages.to_end.is_empty() && messages.to_submit.is_empty() {
            return false;
        }
        ENDED.with(|ended| ended.borrow_mut().append(&mut messages.ended));
        let work = messages.take_work();
        drop(messages);
        work.run(submit::resubmit);
        true
    }
}

/// What the messages ask for.
struct Work {
    to_end: BioList,
    to_submit: BioList,
}

impl Messages {
    fn take_work(&mut self) -> Work {
        let [to_end, to_submit] = [&mut self.to_end, &mut self.to_submit].map(std::mem::take);
        Work { to_end, to_submit }
    }
}

impl Work {
    fn run(mut self, submit: impl Fn(Bio)) {
        while let Some(bio) = self.to_end.pop() {
            submit::ended(bio);
        }
        while let Some(bio) = self.to_submit.pop() {
            submit(bio);
        }
    }
}

/// A queue thread leaves when none of its bios is out. Bios of it that are out all the same never reach the next queue
/// thread: what was delivered and not taken is freed, and so is loud; what comes later goes on where it ends.
impl Drop for Queue {
    fn drop(&mut self) {
        // Outside the borrow: an engine that waits for what is in flight ends bios, and these may come here again.
        drop(ManuallyDrop::into_inner(ENGINES.replace(ManuallyDrop::new(None))));
        crate::stack::wipe();
        HERE.set(None);
        let mailbox = self.home.mailbox();
        let mut messages = mailbox.lock();
        messages.reader = None;
        let mut left = ENDED.with(LocalList::take);
        left.append(&mut messages.ended);
        let work = messages.take_work();
        drop(messages);
        mailbox.taken.store(false, Ordering::Release);
        work.run(submit::dispatch_here);
        drop(left);
    }
}

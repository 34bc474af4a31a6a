//! Bios with memory of any cut, on a thread of either kind.
#![allow(unsafe_code, dead_code)]
#![allow(clippy::needless_pass_by_value, reason = "a buffer that is lent is lent whole")]

pub mod engines;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use udm_block::memory::{Heap, splitmix64};
use udm_block::queue::{self, Queue};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bytes, DeviceRef, Flags, Op, Pad, PadBio, Sector, Span, Status,
};

/// A seeded source of chance.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `below`.
    pub fn roll(&mut self, below: usize) -> usize {
        (splitmix64(&mut self.0) % below as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll(256) as u8).collect()
    }
}

/// Memory in up to eight runs with gaps between them.
pub struct Buffer {
    memory: Vec<u8>,
    runs: Vec<(usize, usize)>,
}

impl Buffer {
    /// Memory for `len` bytes, cut by chance; if `aligned`, at sectors, and each run at a multiple of 512.
    pub fn cut(len: usize, aligned: bool, dice: &mut Dice) -> Self {
        let unit = if aligned { 512 } else { 1 };
        let mut memory = vec![0xA5; len + 9 * 4096];
        let mut at = memory.as_ptr().align_offset(512) + if aligned { 0 } else { dice.roll(511) + 1 };
        let (mut runs, mut left) = (Vec::new(), len);
        while left > 0 {
            let last = runs.len() == 7;
            let run = if last { left } else { (dice.roll(left / unit) + 1) * unit };
            runs.push((at, run));
            left -= run;
            at += run + dice.roll(3) * unit;
        }
        memory.shrink_to_fit();
        Self { memory, runs }
    }

    /// Memory in one run at a page border.
    pub fn plain(len: usize) -> Self {
        let memory = vec![0xA5; len + 4096];
        let at = memory.as_ptr().align_offset(4096);
        Self { runs: vec![(at, len)], memory }
    }

    pub fn fill(&mut self, mut from: &[u8]) {
        for (at, len) in &self.runs {
            let (now, later) = from.split_at(*len);
            self.memory[*at..at + len].copy_from_slice(now);
            from = later;
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.runs.iter().flat_map(|(at, len)| &self.memory[*at..at + len]).copied().collect()
    }
}

/// The pad: which bio it is, and who is told on a thread that is no queue thread.
pub struct Tag(usize, Option<Sender<Ended>>);

impl Pad for Tag {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        match bio.pad().1.clone() {
            Some(to) => to.send((bio.pad().0, bio.status())).unwrap(),
            None => queue::deliver(bio),
        }
    }
}

/// A bio that ended, by its tag.
type Ended = (usize, Status);

/// A thread that submits bios to a device and waits for them.
pub struct Client {
    dev: DeviceRef,
    set: BioSet<Tag>,
    queue: Option<Queue>,
    channel: (Sender<Ended>, Receiver<Ended>),
}

impl Client {
    /// A client on this thread, which becomes a queue thread if so wanted.
    pub fn new(dev: DeviceRef, as_queue: bool) -> Self {
        let options =
            BioSetOptions { reserve: 1, limit: 4096, magazine: 1024, ..BioSetOptions::named("client") };
        let heap: udm_block::memory::Source = Arc::new(Heap);
        let queue = as_queue.then(|| Queue::enter().unwrap());
        Self { dev, set: BioSet::new(&options, &heap, ()).unwrap(), queue, channel: channel() }
    }

    /// Submits a bio for whole sectors; `buffer` must stay until it has ended.
    pub fn submit(
        &self,
        tag: usize,
        op: Op,
        flags: Flags,
        at: usize,
        len: usize,
        buffer: Option<&mut Buffer>,
    ) {
        let to = self.queue.is_none().then(|| self.channel.0.clone());
        let mut bio = self.set.alloc(Tag(tag, to), Alloc::NoWait).ok().expect("the set is large");
        bio.prepare(op, flags, Sector(at as u64 / 512));
        match buffer {
            Some(Buffer { memory, runs }) => {
                let mut spans = [Span::EMPTY; 8];
                let base = memory.as_mut_ptr();
                for (span, (at, len)) in spans.iter_mut().zip(runs.iter()) {
                    // SAFETY: the run is in the buffer, which the caller keeps until the bio has ended.
                    *span = unsafe { Span::from_raw(NonNull::new(base.add(*at)).unwrap(), *len) };
                }
                // SAFETY: as above.
                unsafe { bio.set_foreign(&spans[..runs.len()]) };
            }
            None => bio.set_range(Bytes(len as u64)),
        }
        if let Some(queue) = &self.queue {
            bio.set_home(queue.home());
        }
        bio.submit(&self.dev);
    }

    /// The next bio that has ended.
    pub fn wait(&self) -> Ended {
        let Some(queue) = &self.queue else {
            return self.channel.1.try_recv().expect("a thread that is no queue thread has waited already");
        };
        loop {
            if let Some(bio) = queue.take_ended() {
                let bio = self.set.claim(bio).unwrap();
                return (bio.pad().0, bio.status());
            }
            queue.wait(&mut [], None).unwrap();
        }
    }

    /// One operation on whole sectors, to its end.
    pub fn one(&self, op: Op, flags: Flags, at: usize, len: usize, buffer: Option<&mut Buffer>) -> Status {
        self.submit(0, op, flags, at, len, buffer);
        self.wait().1
    }

    pub fn read(&self, at: usize, len: usize) -> Result<Vec<u8>, Status> {
        let mut buffer = Buffer::plain(len);
        match self.one(Op::Read, Flags::NONE, at, len, Some(&mut buffer)) {
            Status::Ok => Ok(buffer.bytes()),
            status => Err(status),
        }
    }

    pub fn write(&self, flags: Flags, at: usize, bytes: &[u8]) -> Status {
        let mut buffer = Buffer::plain(bytes.len());
        buffer.fill(bytes);
        self.one(Op::Write, flags, at, bytes.len(), Some(&mut buffer))
    }
}

impl Client {
    /// Turns to another device, on the same ring.
    pub fn turn_to(&mut self, dev: DeviceRef) {
        self.dev = dev;
    }

    /// Lets go of the device and of all bios: the thread goes on being what it is.
    pub fn retire(self) -> Option<Queue> {
        self.queue
    }

    /// Stops being a queue thread with bios in flight, as no owner of bios may: in a debug build that is a panic.
    pub fn leave(mut self) {
        let queue = self.queue.take();
        let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(queue)));
        assert_eq!(left.is_err(), cfg!(debug_assertions), "bios that are lost are loud");
    }
}

/// Whether anybody has `file`, which is open for reading alone, open for writing: the kernel gives no read lease then.
pub fn has_writer(file: &std::fs::File) -> bool {
    use std::os::fd::AsRawFd;
    // SAFETY: a lease refers to no memory.
    let lease = |kind: i32| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if lease(libc::F_RDLCK) == 0 {
        assert_eq!(lease(libc::F_UNLCK), 0);
        return false;
    }
    let error = std::io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "the file system has no leases: {error}");
    true
}

/// Files may have up to `len` bytes from now on; what exceeds that is an error, and no signal. The limit can go up again.
pub fn limit_file_size(len: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // SAFETY: ignoring a signal has no handler that could do wrong.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: Some(len), maximum }).unwrap();
}

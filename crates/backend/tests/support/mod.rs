//! Bios with memory of any cut, on a queue of any kind.
#![allow(unsafe_code, dead_code)]
#![allow(clippy::needless_pass_by_value, reason = "a buffer that is lent is lent whole")]

pub mod engines;

use std::ptr::NonNull;
use std::sync::Arc;

use udm_block::memory::{Heap, splitmix64};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, Bytes, ChannelId, DeviceRef, Flags, Op, Pad, Queue, Sector, Span,
    Status,
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

/// The pad: which bio it is.
pub struct Tag(usize);

impl Pad for Tag {}

/// A bio that ended, by its tag.
type Ended = (usize, Status);

/// A queue that submits bios to a device and waits for them.
pub struct Client {
    pub queue: Queue,
    /// The device, as long as it is open.
    channel: Option<ChannelId>,
    bios: Bios<Tag>,
}

impl Client {
    /// A client whose queue never sleeps, or may.
    pub fn new(dev: DeviceRef, never_sleeps: bool) -> Self {
        Self::on(if never_sleeps { Queue::new() } else { Queue::sleeping() }.unwrap(), dev)
    }

    /// A client on `queue`.
    pub fn on(queue: Queue, dev: DeviceRef) -> Self {
        let options =
            BioSetOptions { reserve: 1, limit: 4096, stock: 1024, ..BioSetOptions::named("client") };
        let heap: udm_block::memory::Source = Arc::new(Heap);
        let bios = queue.bios(&BioSet::new(&options, &heap).unwrap());
        let mut client = Self { queue, channel: None, bios };
        client.turn_to(dev);
        client
    }

    /// Submits a bio for whole sectors; `buffer` must stay until it has ended.
    pub fn submit(
        &mut self,
        tag: usize,
        op: Op,
        flags: Flags,
        at: usize,
        len: usize,
        buffer: Option<&mut Buffer>,
    ) {
        let bio = self.bios.alloc(self.queue.cx(), Tag(tag), Alloc::NoWait);
        let mut bio = bio.ok().expect("the set is large");
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
        self.queue.submit(self.channel.expect("the device is open"), bio);
    }

    /// The next bio that has ended, without waiting.
    pub fn take(&mut self) -> Option<Ended> {
        let bio = self.bios.claim(self.queue.take_ended()?).ok().expect("a bio of its set");
        let ended = (bio.pad().0, bio.status());
        self.bios.free(bio);
        Some(ended)
    }

    /// The next bio that has ended.
    pub fn wait(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.take() {
                return ended;
            }
            self.queue.wait(&mut [], None).unwrap();
        }
    }

    /// One operation on whole sectors, to its end.
    pub fn one(
        &mut self,
        op: Op,
        flags: Flags,
        at: usize,
        len: usize,
        buffer: Option<&mut Buffer>,
    ) -> Status {
        self.submit(0, op, flags, at, len, buffer);
        self.wait().1
    }

    pub fn read(&mut self, at: usize, len: usize) -> Result<Vec<u8>, Status> {
        let mut buffer = Buffer::plain(len);
        match self.one(Op::Read, Flags::NONE, at, len, Some(&mut buffer)) {
            Status::Ok => Ok(buffer.bytes()),
            status => Err(status),
        }
    }

    pub fn write(&mut self, flags: Flags, at: usize, bytes: &[u8]) -> Status {
        let mut buffer = Buffer::plain(bytes.len());
        buffer.fill(bytes);
        self.one(Op::Write, flags, at, bytes.len(), Some(&mut buffer))
    }
}

impl Client {
    /// Turns to another device, on the same ring.
    pub fn turn_to(&mut self, dev: DeviceRef) {
        // Opened before the last one is closed: the queue keeps its ring.
        let next = self.queue.open(&dev).unwrap();
        self.close();
        self.channel = Some(next);
    }

    /// Closes the device, and its ring if no other has it.
    pub fn close(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.queue.close(channel);
        }
    }

    /// Lets go of the device and of all bios: the queue goes on.
    pub fn retire(mut self) -> Queue {
        self.close();
        self.queue
    }

    /// Drops the queue with bios in flight.
    pub fn leave(self) {
        drop(self.queue);
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

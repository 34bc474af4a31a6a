//! A client of a device: a queue, aside while nobody waits, that gives bios with memory cut anywhere, and looks that
//! nothing beside it is touched.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use udm_block::{
    Alloc, Aside, BioSet, BioSetOptions, Bios, Bytes, ChannelId, DeviceRef, Flags, HasQueue, Op, Pad, PadBio,
    Queue, Sector, Span, Status,
};

use super::cut::Cut;
use super::{heap, stream};

/// What lies around a client's runs.
const GUARD: u8 = 0xee;
/// How long a bio may take before the test says that it is lost.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 300 } else { 20 });

/// The pad: the number of the job.
struct Ticket(u64);

impl Pad for Ticket {}

/// Memory of a client: runs with bytes between them that belong to nobody.
pub struct Memory {
    arena: Vec<u8>,
    /// Where each run begins in the arena, and its length.
    runs: Vec<(usize, usize)>,
}

/// A bio that ended.
pub struct Ended {
    pub number: u64,
    pub status: Status,
    /// What was read or written.
    pub bytes: Vec<u8>,
}

/// A client of `dev`.
pub struct Client {
    pub dev: DeviceRef,
    under_way: HashMap<u64, Memory>,
    next: u64,
    front: Aside<Front>,
}

/// What drives its I/O.
struct Front {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Ticket>,
}

impl HasQueue for Front {
    fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

impl Front {
    fn bio(&mut self, number: u64, op: Op, flags: Flags, sector: u64) -> PadBio<Ticket> {
        let bio = self.bios.alloc(self.queue.cx(), Ticket(number), Alloc::NoWait);
        let mut bio = bio.ok().expect("a bio");
        bio.prepare(op, flags, Sector(sector));
        bio
    }
}

impl Memory {
    /// Runs of these lengths that hold `bytes`, one after another, at odd distances.
    fn new(runs: &[usize], bytes: &[u8]) -> Self {
        let mut memory = Self { arena: vec![GUARD; 5], runs: Vec::new() };
        let mut left = bytes;
        for (number, &len) in runs.iter().enumerate() {
            let (run, rest) = left.split_at(len);
            memory.runs.push((memory.arena.len(), len));
            memory.arena.extend_from_slice(run);
            memory.arena.extend(std::iter::repeat_n(GUARD, 1 + number % 3));
            left = rest;
        }
        assert!(left.is_empty(), "the runs are as long as the bytes");
        memory
    }

    /// The bytes of the runs.
    fn bytes(&self) -> Vec<u8> {
        let mut end = 0;
        let mut bytes = Vec::with_capacity(self.arena.len());
        for &(start, len) in &self.runs {
            assert!(
                self.arena[end..start].iter().all(|byte| *byte == GUARD),
                "memory beside a run was written"
            );
            end = start + len;
            bytes.extend_from_slice(&self.arena[start..end]);
        }
        assert!(self.arena[end..].iter().all(|byte| *byte == GUARD), "memory behind the runs was written");
        bytes
    }
}

impl Client {
    /// A client of `dev`.
    pub fn new(dev: &DeviceRef) -> Self {
        let options = BioSetOptions { reserve: 64, limit: 64, stock: 0, ..BioSetOptions::named("client") };
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(dev).unwrap();
        let bios = queue.bios(&BioSet::new(&options, &heap()).unwrap());
        let front = Aside::new(Front { queue, channel, bios });
        Self { dev: DeviceRef::clone(dev), under_way: HashMap::new(), next: 0, front }
    }

    /// Closes the device, and keeps the queue. Nothing is under way.
    pub fn close(&mut self) {
        let mut front = self.front.take();
        let channel = front.channel;
        front.queue.close(channel);
    }

    /// How many bios are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Starts a read or a write of `bytes` in these runs; what a read finds in its memory is `bytes`. Its number.
    pub fn start(&mut self, op: Op, flags: Flags, sector: u64, runs: &[usize], bytes: &[u8]) -> u64 {
        let mut memory = Memory::new(runs, bytes);
        let mut bio = self.front.take().bio(self.next, op, flags, sector);
        let arena = memory.arena.as_mut_ptr();
        // SAFETY: the runs lie within the arena, which nobody touches until the bio has ended: it is kept in
        // `under_way`, and leaked where the client goes first.
        unsafe {
            let spans: Vec<_> = (memory.runs.iter())
                .map(|&(start, len)| Span::from_raw(NonNull::new_unchecked(arena.add(start)), len))
                .collect();
            bio.set_foreign(&spans);
        }
        self.send(bio, memory)
    }

    /// Starts an operation without data on `len` bytes. Its number.
    pub fn start_range(&mut self, op: Op, flags: Flags, sector: u64, len: u64) -> u64 {
        let mut bio = self.front.take().bio(self.next, op, flags, sector);
        bio.set_range(Bytes(len));
        self.send(bio, Memory::new(&[], &[]))
    }

    fn send(&mut self, bio: PadBio<Ticket>, memory: Memory) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, memory);
        let mut front = self.front.take();
        let channel = front.channel;
        front.queue.submit(channel, bio);
        drop(front);
        number
    }

    /// Takes in what came for it, without waiting.
    pub fn look(&self) {
        self.front.take().queue.wait(&mut [], Some(Duration::ZERO)).unwrap();
    }

    /// Does `work` on another thread, and drives this client meanwhile: for what waits for its I/O, or for its queue.
    pub fn during<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let work = scope.spawn(work);
            while !work.is_finished() {
                self.front.take().queue.wait(&mut [], Some(Duration::from_millis(1))).unwrap();
            }
            work.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Waits for the next bio to end.
    pub fn wait(&mut self) -> Ended {
        assert!(!self.under_way.is_empty(), "nothing is under way");
        let mut front = self.front.take();
        loop {
            if let Some(bio) = front.queue.take_ended() {
                let Ok(bio) = front.bios.claim(bio) else { panic!("a bio of this client") };
                let (number, status) = (bio.pad().0, bio.status());
                front.bios.free(bio);
                let memory = self.under_way.remove(&number).expect("a bio ends once");
                return Ended { number, status, bytes: memory.bytes() };
            }
            let before = std::time::Instant::now();
            front.queue.wait(&mut [], Some(PATIENCE)).unwrap();
            assert!(before.elapsed() < PATIENCE, "{} bios never ended", self.under_way.len());
        }
    }

    /// One bio, to its end.
    pub fn one(&mut self, op: Op, flags: Flags, sector: u64, runs: &[usize], bytes: &[u8]) -> Ended {
        self.start(op, flags, sector, runs, bytes);
        self.wait()
    }

    /// One operation without data, to its end.
    pub fn range(&mut self, op: Op, flags: Flags, sector: u64, len: u64) -> Status {
        self.start_range(op, flags, sector, len);
        self.wait().status
    }

    /// Writes `bytes`, cut in this way.
    pub fn write(&mut self, sector: u64, bytes: &[u8], cut: Cut, unit: usize) {
        let mut at = 0;
        for runs in cut.bios(unit, bytes.len()) {
            let len: usize = runs.iter().sum();
            self.start(Op::Write, Flags::NONE, sector + at as u64 / 512, &runs, &bytes[at..at + len]);
            at += len;
            if self.under_way() == 32 {
                assert_eq!(self.wait().status, Status::Ok);
            }
        }
        while self.under_way() > 0 {
            assert_eq!(self.wait().status, Status::Ok);
        }
    }

    /// Reads `len` bytes, cut in this way.
    pub fn read(&mut self, sector: u64, len: usize, cut: Cut, unit: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        let noise = stream(!sector, len);
        for runs in cut.bios(unit, len) {
            let (at, size) = (bytes.len(), runs.iter().sum::<usize>());
            let ended =
                self.one(Op::Read, Flags::NONE, sector + at as u64 / 512, &runs, &noise[at..at + size]);
            assert_eq!(ended.status, Status::Ok);
            bytes.extend(ended.bytes);
        }
        bytes
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A bio that is under way still has the address of its memory.
        std::mem::take(&mut self.under_way).into_values().for_each(std::mem::forget);
    }
}

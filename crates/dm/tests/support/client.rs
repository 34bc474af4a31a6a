//! A client of a device: a queue thread that gives bios with memory cut anywhere, and looks that nothing beside it
//! is touched.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ptr::NonNull;
use std::time::Duration;

use udm_block::bio::{BioSet, BioSetOptions, Pad, PadBio};
use udm_block::queue::{self, Queue};
use udm_block::{Alloc, Bytes, DeviceRef, Flags, Op, Sector, Span, Status};

use super::cut::Cut;
use super::{heap, stream};

/// What lies around a client's runs.
const GUARD: u8 = 0xee;
/// How long a bio may take before the test says that it is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pad: the number of the job.
struct Ticket(u64);

impl Pad for Ticket {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        queue::deliver(bio);
    }
}

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

/// This thread as a client of `dev`.
pub struct Client {
    pub dev: DeviceRef,
    under_way: HashMap<u64, Memory>,
    next: u64,
    queue: Queue,
    set: BioSet<Ticket>,
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
    /// Makes this thread the client of `dev`.
    pub fn new(dev: &DeviceRef) -> Self {
        let options = BioSetOptions { reserve: 64, limit: 64, magazine: 0, ..BioSetOptions::named("client") };
        Self {
            dev: DeviceRef::clone(dev),
            under_way: HashMap::new(),
            next: 0,
            queue: Queue::enter().unwrap(),
            set: BioSet::new(&options, &heap(), ()).unwrap(),
        }
    }

    /// How many bios are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Starts a read or a write of `bytes` in these runs; what a read finds in its memory is `bytes`. Its number.
    pub fn start(&mut self, op: Op, flags: Flags, sector: u64, runs: &[usize], bytes: &[u8]) -> u64 {
        let mut memory = Memory::new(runs, bytes);
        let mut bio = self.set.alloc(Ticket(self.next), Alloc::NoWait).ok().expect("a bio");
        bio.prepare(op, flags, Sector(sector));
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
        let mut bio = self.set.alloc(Ticket(self.next), Alloc::NoWait).ok().expect("a bio");
        bio.prepare(op, flags, Sector(sector));
        bio.set_range(Bytes(len));
        self.send(bio, Memory::new(&[], &[]))
    }

    fn send(&mut self, mut bio: PadBio<Ticket>, memory: Memory) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, memory);
        bio.set_home(self.queue.home());
        bio.submit(&self.dev);
        number
    }

    /// Takes in what came for this thread, without waiting.
    pub fn look(&self) {
        self.queue.wait(&mut [], Some(Duration::ZERO)).unwrap();
    }

    /// Waits for the next bio to end.
    pub fn wait(&mut self) -> Ended {
        assert!(!self.under_way.is_empty(), "nothing is under way");
        loop {
            if let Some(bio) = self.queue.take_ended() {
                let bio = self.set.claim(bio).expect("a bio of this client");
                let (number, status) = (bio.pad().0, bio.status());
                drop(bio);
                let memory = self.under_way.remove(&number).expect("a bio ends once");
                return Ended { number, status, bytes: memory.bytes() };
            }
            let before = std::time::Instant::now();
            self.queue.wait(&mut [], Some(PATIENCE)).unwrap();
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
        std::mem::forget(std::mem::take(&mut self.under_way));
    }
}

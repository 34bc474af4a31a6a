//! Pools of one and no memory: a delay over stripes over two delays, on several queues. Once the stack is made the source of
//! normal memory refuses all, and nothing is allocated elsewhere, on the queues and on the threads of the delays. All I/O
//! ends, and the bytes are held against a model.
//!
//! It is the only test of its program: what the heap is asked for is counted for the whole process.
#![allow(unsafe_code)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use udm_block::blocking::Blocking;
use udm_block::memory::{Heap, Refuse, Source, Starving, splitmix64};
use udm_block::{Bytes, DeviceRef, Op, Status};
use udm_dm::load::load_with;
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

use support::{Disk, Shelf, parse};

/// Counts what the heap is asked for, when told.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: it passes on what the system's allocator promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

const CLIENTS: u64 = 4;
/// Each client's part of the device, in sectors: 64 KiB.
const PART: u64 = 128;
const IOS: usize = 40;
const ONE: Reserves = Reserves { bios: 1, buffers: 1 };

/// A delay over stripes over two delays. A chunk is 4 KiB, so that most I/O is split.
fn stack(source: &Source) -> DeviceRef {
    let half = CLIENTS * PART / 2;
    let open = |table: String, lower: &[DeviceRef]| -> DeviceRef {
        let loaded = load_with(&parse(&table), &Shelf(lower), &CipherChoice::default(), source, ONE);
        loaded.unwrap().into()
    };
    let slow = || open(format!("0 {half} delay a 0 0 a 0 1"), &[Arc::new(Disk::new(half))]);
    let stripes = open(format!("0 {} striped 2 8 a 0 b 0", 2 * half), &[slow(), slow()]);
    open(format!("0 {} delay a 0 1 a 0 0 a 0 1", 2 * half), &[stripes])
}

/// A thread with its part of the device, and all that it needs taken beforehand.
struct Client {
    front: Blocking,
    first: usize,
    model: Vec<u8>,
    buffer: Vec<u8>,
    seed: u64,
}

impl Client {
    fn new(device: &DeviceRef, number: u64) -> Self {
        let bytes = PART as usize * 512;
        let front = Blocking::new(DeviceRef::clone(device)).unwrap();
        Self {
            front,
            first: number as usize * bytes,
            model: vec![0; bytes],
            buffer: vec![0; bytes],
            seed: number,
        }
    }

    /// An I/O of each length that a buffer may have.
    fn begin(&self) -> Result<(), Status> {
        (0..8).try_for_each(|power| self.front.write_at(self.first as u64, &self.model[..512 << power]))
    }

    fn place(&mut self) -> Range<usize> {
        let sectors = 1 + splitmix64(&mut self.seed) % PART;
        let first = splitmix64(&mut self.seed) % (PART - sectors + 1);
        first as usize * 512..(first + sectors) as usize * 512
    }

    /// What is wrong, and where.
    fn run(&mut self) -> Result<(), (&'static str, Range<usize>)> {
        for _ in 0..IOS {
            let (place, kind) = (self.place(), splitmix64(&mut self.seed) % 10);
            let at = (self.first + place.start) as u64;
            let buffer = &mut self.buffer[..place.len()];
            let done = match kind {
                0 => self.front.flush(),
                1 => {
                    self.model[place.clone()].fill(0);
                    self.front.range(Op::WriteZeroes, at, Bytes(place.len() as u64))
                }
                2..6 => {
                    buffer
                        .iter_mut()
                        .enumerate()
                        .for_each(|(at, byte)| *byte = (at / 512 + at) as u8 ^ kind as u8);
                    self.model[place.clone()].copy_from_slice(buffer);
                    self.front.write_at(at, buffer)
                }
                _ => {
                    let read = self.front.read_at(at, buffer);
                    if read.is_ok() && *buffer != self.model[place.clone()] {
                        return Err(("other bytes than were written", place));
                    }
                    read
                }
            };
            done.map_err(|_| ("an error", place))?;
        }
        Ok(())
    }
}

/// Runs the clients on `device`. How often the heap was asked meanwhile.
fn run(device: &DeviceRef) -> u64 {
    let barrier = Barrier::new(CLIENTS as usize + 1);
    thread::scope(|scope| {
        let client = |number| {
            let (mut client, barrier) = (Client::new(device, number), &barrier);
            scope.spawn(move || {
                // A thread takes memory as it starts, and the front door at its first I/O of each length.
                let first = client.begin();
                barrier.wait();
                barrier.wait();
                // The others wait for one that panics too.
                let done = catch_unwind(AssertUnwindSafe(|| client.run()));
                barrier.wait();
                barrier.wait();
                first.expect("the first I/O");
                done
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        barrier.wait();
        ALLOCATIONS.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        barrier.wait();
        barrier.wait();
        COUNTS.store(false, Ordering::Relaxed);
        barrier.wait();
        for client in clients {
            client.join().unwrap().unwrap().unwrap();
        }
    });
    ALLOCATIONS.load(Ordering::Relaxed)
}

#[test]
fn with_no_memory_and_pools_of_one_all_io_ends() {
    let starving = Starving::new(Arc::new(Heap));
    let source = Arc::clone(&starving) as Source;
    let device = stack(&source);
    starving.refuse(Refuse::Always);
    let before = starving.counts();
    let allocations = run(&device);
    let after = starving.counts();
    println!("asked {} times, refused {}", after.0 - before.0, after.1 - before.1);
    assert_eq!(allocations, 0, "the heap was asked");
    let refused = after.1 - before.1;
    assert!(refused == after.0 - before.0 && refused > 1000, "{before:?} {after:?}");
    // The bad twin: with memory the pools take more, and the count sees it.
    let plenty: Source = Arc::new(Heap);
    assert!(run(&stack(&plenty)) > 0, "the heap is not counted");
}

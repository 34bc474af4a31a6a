//! An I/O in its steady state allocates nothing: counted by the allocator itself.
#![allow(unsafe_code)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{Buffer, Client};
use udm_backend::file::{self, Cache, EngineChoice, FileOptions};
use udm_block::{Flags, Op, Status};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator keeps the promise; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, addr: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(addr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More bios than a ring has slots, of every operation, each to its end.
fn round(client: &mut Client, buffers: &mut [Buffer]) {
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let at = index * 4096;
        match index % 8 {
            0 => client.submit(index, Op::Flush, Flags::NONE, 0, 0, None),
            1 => client.submit(index, Op::Discard, Flags::NONE, at, 4096, None),
            2 => client.submit(index, Op::Write, Flags::FUA | Flags::PREFLUSH, at, 4096, Some(buffer)),
            3 | 4 => client.submit(index, Op::Write, Flags::NONE, at, 4096, Some(buffer)),
            _ => client.submit(index, Op::Read, Flags::NONE, at, 4096, Some(buffer)),
        }
    }
    for _ in 0..buffers.len() {
        assert_eq!(client.wait().1, Status::Ok);
    }
}

// One test function: the count is of the whole process.
#[test]
fn an_io_allocates_nothing() {
    let dir = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for engine in [EngineChoice::Uring, EngineChoice::Threads] {
        for cache in [Cache::Auto, Cache::Writeback] {
            let path = dir.path().join("image");
            File::create(&path).unwrap().set_len(2 << 20).unwrap();
            let options = FileOptions { engine, cache, ..FileOptions::default() };
            let dev = match file::open(&path, &options) {
                Ok(dev) => Arc::new(dev),
                Err(error) => {
                    udm_testkit::skip(&format!("allocations with {engine:?} and {cache:?}"), error);
                    continue;
                }
            };
            let mut client = Client::new(dev, true);
            let mut buffers: Vec<Buffer> = (0..400).map(|_| Buffer::plain(4096)).collect();
            (0..3).for_each(|_| round(&mut client, &mut buffers));
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            (0..5).for_each(|_| round(&mut client, &mut buffers));
            let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(made, 0, "{engine:?} {cache:?}: allocations in 2000 I/Os");
        }
    }
    // The count can fail: this is one allocation.
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    drop(std::hint::black_box(Box::new(1)));
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before);
}

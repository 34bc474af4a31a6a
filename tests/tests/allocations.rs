//! The served path takes nothing from the heap once a connection runs, and no lock: counted by the process's own
//! allocator, and by the block layer.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use udm::backend::nbd::client::Client;
use udm::block::memory::{Heap, Source};
use udm::block::{Alloc, BioSet, BioSetOptions, Pad, Queue, locks_taken};
use udm::device::{DeviceOptions, open_table};
use udm::export::nbd::server::{Export, Server};
use udm::export::serving::MEMORY as MEMORY_PER_CONNECTION;
use udm::nbd::address::Address;
use udm_tests::volume::{Volume, noise};

/// Counts what every thread but the client's takes.
struct Counting;

static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: it passes everything on to the system's allocator and counts beside it, without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_CLIENT.get() {
            TAKEN.fetch_add(1, Ordering::Relaxed);
        }
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

/// How often the load is repeated.
const ROUNDS: usize = 4;
/// How many allocations a connection may come to with requests of one size: a few for each that is under way.
const FIXED: u64 = 200;

/// Writes and reads `rounds` times with 16 requests under way, and flushes: how many requests.
fn load(client: &mut Client, rounds: u64, data: &[u8]) -> u64 {
    let (mut requests, mut answer) = (0, Vec::with_capacity(data.len()));
    for round in 0..rounds {
        for cookie in 0..16 {
            let offset = (round * 16 + cookie) % 64 * data.len() as u64;
            if cookie % 2 == 0 {
                client.send_write(cookie, offset, data, cookie == 6).unwrap();
            } else {
                client.send_read(cookie, offset, data.len() as u32).unwrap();
            }
        }
        for _ in 0..16 {
            client.receive(&mut answer).unwrap().result.unwrap();
        }
        client.flush().unwrap();
        requests += 17;
    }
    requests
}

/// The pad of the twin's bio.
struct Bare;

impl Pad for Bare {}

#[test]
fn a_request_of_a_running_connection_allocates_nothing_and_takes_no_lock() {
    IS_CLIENT.set(true);
    for table in ["aes-xts-plain64", "aes-cbc-essiv:sha256"] {
        let volume = Volume::new(64 << 20, table, if table.contains("xts") { 64 } else { 32 }, "", 21);
        let text = std::fs::read_to_string(&volume.table).unwrap();
        let source: Source = Arc::new(Heap);
        let device = open_table(&text, &DeviceOptions::default()).unwrap();
        let export = Export::new("volume", "", device, false);
        let address = Address::unix(volume.path("sock")).unwrap();
        let server = Server::bind(std::slice::from_ref(&address), vec![export], 4).unwrap();
        let stopper = server.stopper();
        let server = thread::spawn(move || server.run());
        let mut client = Client::connect(&address, "volume").unwrap();
        for len in [4096, 64 << 10, 1 << 20] {
            let data = noise(22, len);
            // What is taken is kept, so only a new high-water mark of what is under way takes more: a fixed number a
            // connection, however many requests there are.
            let before = TAKEN.load(Ordering::Relaxed);
            let (mut requests, mut settled, mut fewest_locks) = (0, false, u64::MAX);
            for _ in 0..ROUNDS {
                let (warm, locks) = (TAKEN.load(Ordering::Relaxed), locks_taken());
                requests += load(&mut client, 64, &data);
                settled |= TAKEN.load(Ordering::Relaxed) == warm;
                fewest_locks = fewest_locks.min(locks_taken() - locks);
            }
            let taken = TAKEN.load(Ordering::Relaxed) - before;
            println!(
                "{table}, {len} bytes: {taken} allocations in {requests} requests, {fewest_locks} locks in the round with the fewest; {}",
                { if settled { "none in at least 1088 of them, one after another" } else { "never none" } }
            );
            assert!(settled, "the served path allocates all the time");
            // Requests that do not fit into a connection's memory together wait for one another, by the reserve's lock.
            if 16 * len <= MEMORY_PER_CONNECTION {
                assert_eq!(fewest_locks, 0, "the served path takes locks all the time");
            }
            assert!(taken <= FIXED, "{taken} allocations, more than the {FIXED} that a connection may take");
        }
        // The bad twin: what allocates on a server's thread is counted.
        let before = TAKEN.load(Ordering::Relaxed);
        let locks = locks_taken();
        thread::spawn(|| drop(std::hint::black_box(vec![0u8; 100]))).join().unwrap();
        assert!(TAKEN.load(Ordering::Relaxed) > before, "the allocator does not count");
        // And so is a lock: a bio that is dropped, and not freed where its channel keeps it, takes one on its way home.
        let mut queue = Queue::new().unwrap();
        let mut bios = queue.bios(&BioSet::new(&BioSetOptions::named("twin"), &source).unwrap());
        drop(bios.alloc(queue.cx(), Bare, Alloc::NoWait));
        assert!(!cfg!(debug_assertions) || locks_taken() > locks, "locks are not counted");
        stopper.stop();
        server.join().unwrap().unwrap();
    }
}

//! Memory that nobody uses serves whoever needs it: what threads keep for their next bio or buffer is counted in pieces
//! that can be under way at once, before and after others have used the pool.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use udm_block::memory::{Heap, Source};
use udm_block::{Alloc, BioSet, BioSetOptions, Bytes, Pad, PadBio, PagePool, PagePoolOptions, Pages};

const PAGE: Bytes = Bytes(4096);
const LARGEST: usize = 4 << 20;

fn heap() -> Source {
    Arc::new(Heap)
}

fn pool(reserve: usize, limit: usize, magazine: usize, largest: usize) -> PagePool {
    PagePool::new(PagePoolOptions { name: "test", largest, reserve, limit, magazine }, &heap()).unwrap()
}

/// As many buffers of `len` bytes as there are at once.
fn all_of(pool: &PagePool, len: Bytes) -> Vec<Pages> {
    std::iter::from_fn(|| pool.alloc(len, Alloc::NoWait)).collect()
}

/// A connection's pool, which one thread uses: a burst of the longest requests takes nothing from the short ones after it.
#[test]
fn a_burst_of_large_buffers_leaves_room_for_small_ones() {
    let pool = pool(1, LARGEST, LARGEST, LARGEST);
    let depth = |pool: &PagePool| all_of(pool, PAGE).len();
    // One buffer of the reserve, and the limit's pages.
    let before = depth(&pool);
    assert_eq!(before, 1 + LARGEST / 4096);
    for len in [LARGEST, 1 << 20, 256 << 10, 16 << 10] {
        let mut burst = all_of(&pool, Bytes(len as u64));
        assert_eq!(burst.len(), 1 + LARGEST / len, "buffers of {len} bytes");
        // The twin: while the large ones are in use there is no room.
        assert_eq!(depth(&pool), 0, "room beside buffers of {len} bytes that are in use");
        // Whichever is freed first takes the place of that of the reserve.
        drop(burst.pop());
        drop(burst);
        assert_eq!(depth(&pool), before, "after a burst of {len} bytes");
        let burst = all_of(&pool, Bytes(len as u64));
        drop(burst);
        assert_eq!(depth(&pool), before, "after another burst of {len} bytes");
        assert!(pool.taken() <= Bytes(LARGEST as u64), "the limit");
    }
}

/// A crypt row's pool, which all connections use: six that once wrote, and are idle or gone, take nothing from a seventh.
#[test]
fn idle_and_ended_threads_leave_their_buffers_to_others() {
    const LONGEST: usize = 256 << 10;
    let (reserve, limit) = (4, 12 << 20);
    let pool = Arc::new(pool(reserve, limit, 2 << 20, LONGEST));
    let sizes = [4 << 10, 16 << 10, 64 << 10, LONGEST];
    let counts = |pool: &PagePool| sizes.map(|size| all_of(pool, Bytes(size as u64)).len());
    let fresh = counts(&pool);
    assert_eq!(fresh, sizes.map(|size| reserve + limit / size));

    let (wrote, idle) = (Arc::new(Barrier::new(7)), Arc::new(Barrier::new(7)));
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let (pool, wrote, idle) = (pool.clone(), wrote.clone(), idle.clone());
            thread::spawn(move || {
                for size in sizes {
                    // What it keeps of each size from now on.
                    let count = (2 << 20) / size;
                    let used: Vec<_> =
                        (0..count).map_while(|_| pool.alloc(Bytes(size as u64), Alloc::NoWait)).collect();
                    drop(used);
                }
                wrote.wait();
                idle.wait();
            })
        })
        .collect();
    wrote.wait();
    assert!(pool.taken() > Bytes(8 << 20), "the threads keep something: {} bytes", pool.taken());
    assert_eq!(counts(&pool), fresh, "beside six that are idle");
    idle.wait();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counts(&pool), fresh, "after they have ended");
}

/// The reserve is for who finds nothing else, however much others keep.
#[test]
fn what_others_keep_goes_before_the_reserve_and_a_free_refills_the_reserve_first() {
    let pool = Arc::new(pool(1, 8 * 4096, 8 * 4096, 4096));
    let theirs = pool.clone();
    thread::spawn(move || drop(all_of(&theirs, PAGE))).join().unwrap();
    let eight: Vec<_> = (0..8).map(|_| pool.alloc(PAGE, Alloc::NoRetry).expect("nobody uses it")).collect();
    assert!(pool.alloc(PAGE, Alloc::NoRetry).is_none(), "the reserve is not for who can do without");
    let last = pool.alloc(PAGE, Alloc::NoWait).expect("the reserve");
    assert!(pool.alloc(PAGE, Alloc::NoWait).is_none());
    drop(eight);
    assert!(pool.alloc(PAGE, Alloc::NoWait).is_some(), "the reserve is there again");
    drop(last);
}

struct Bare;

impl Pad for Bare {
    type Context = ();

    fn end_io(_: PadBio<Self>) {}
}

/// What the reserve has lent, and what came home in its place, count for the limit as they did before.
#[test]
fn a_limit_is_the_same_after_the_reserve_was_used() {
    let options = BioSetOptions { reserve: 2, limit: 2, magazine: 0, ..BioSetOptions::named("test") };
    let set = BioSet::<Bare>::new(&options, &heap(), ()).unwrap();
    for round in 0..3 {
        let mut bios: Vec<_> = std::iter::from_fn(|| set.alloc(Bare, Alloc::NoWait).ok()).collect();
        assert_eq!(bios.len(), 4, "round {round}");
        // The first are of normal memory, and refill the reserve.
        bios.drain(..2).for_each(drop);
    }
}

/// The same for bios: their sets have magazines too.
#[test]
fn idle_threads_leave_their_bios_to_others() {
    let options = BioSetOptions { reserve: 1, limit: 64, magazine: 64, ..BioSetOptions::named("test") };
    let set = Arc::new(BioSet::<Bare>::new(&options, &heap(), ()).unwrap());
    let take = |set: &BioSet<Bare>| -> Vec<_> {
        std::iter::from_fn(|| set.alloc(Bare, Alloc::NoWait).ok()).collect()
    };
    let (used, told) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let theirs = set.clone();
    let thread = thread::spawn(move || {
        drop(take(&theirs));
        used.send(()).unwrap();
        let _ = ends.recv();
    });
    told.recv().unwrap();
    assert_eq!(take(&set).len(), 65);
    drop(end);
    thread.join().unwrap();
}

//! Memory that nobody uses serves whoever needs it: counted in pieces that can be under way at once, before and after others
//! have used the pool. What a channel keeps for itself makes room for its own other sizes; all channels together keep at
//! most half of a limit, and what the others leave is everybody's.

mod support;

use support::{Bare, heap};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, Buffers, Bytes, PadBio, PagePool, PagePoolOptions, Pages, Queue,
};

const PAGE: Bytes = Bytes(4096);
const LARGEST: usize = 4 << 20;

fn pool(reserve: usize, limit: usize, stock: usize, largest: usize) -> PagePool {
    PagePool::new(PagePoolOptions { name: "test", largest, reserve, limit, stock }, &heap()).unwrap()
}

/// A queue with a way to the buffers.
struct User(Queue, Buffers);

impl User {
    fn of(pool: &PagePool) -> Self {
        Self(Queue::new().unwrap(), pool.buffers())
    }

    fn alloc(&mut self, len: Bytes, how: Alloc) -> Option<Pages> {
        self.1.alloc(self.0.cx(), len, how)
    }

    fn free(&mut self, all: impl IntoIterator<Item = Pages>) {
        all.into_iter().for_each(|pages| self.1.free(pages));
    }

    /// As many buffers of `len` bytes as there are at once.
    fn all_of(&mut self, len: Bytes) -> Vec<Pages> {
        std::iter::from_fn(|| self.alloc(len, Alloc::NoWait)).collect()
    }

    fn count(&mut self, len: Bytes) -> usize {
        let all = self.all_of(len);
        let count = all.len();
        self.free(all);
        count
    }
}

/// A connection's pool, which one queue uses: a burst of the longest requests takes nothing from the short ones after it.
#[test]
fn a_burst_of_large_buffers_leaves_room_for_small_ones() {
    let pool = pool(1, LARGEST, LARGEST, LARGEST);
    let mut user = User::of(&pool);
    // One buffer of the reserve, and the limit's pages.
    let before = user.count(PAGE);
    assert_eq!(before, 1 + LARGEST / 4096);
    for len in [LARGEST, 1 << 20, 256 << 10, 16 << 10] {
        for how_often in ["once", "twice"] {
            let burst = user.all_of(Bytes(len as u64));
            assert_eq!(burst.len(), 1 + LARGEST / len, "buffers of {len} bytes");
            // The twin: while the large ones are in use there is no room.
            assert_eq!(user.count(PAGE), 0, "room beside buffers of {len} bytes that are in use");
            user.free(burst);
            assert_eq!(user.count(PAGE), before, "after bursts of {len} bytes, {how_often}");
        }
        assert!(pool.taken() <= Bytes(LARGEST as u64), "the limit");
    }
}

/// A crypt row's pool, which all connections use: six that once wrote, and are idle, leave a seventh half of it; once they
/// are gone it has all.
#[test]
fn idle_queues_keep_at_most_half_and_ended_ones_nothing() {
    const LONGEST: usize = 256 << 10;
    let (reserve, limit) = (4, 12 << 20);
    let pool = pool(reserve, limit, 2 << 20, LONGEST);
    let sizes = [4 << 10, 16 << 10, 64 << 10, LONGEST];
    let counts = |user: &mut User| sizes.map(|size| user.count(Bytes(size as u64)));
    let all = sizes.map(|size| reserve + limit / size);
    assert_eq!(counts(&mut User::of(&pool)), all);

    let mut six: Vec<_> = (0..6).map(|_| User::of(&pool)).collect();
    for user in &mut six {
        for size in sizes {
            let used: Vec<_> =
                (0..(2 << 20) / size).map_while(|_| user.alloc(Bytes(size as u64), Alloc::NoWait)).collect();
            user.free(used);
        }
    }
    let mut seventh = User::of(&pool);
    let beside = counts(&mut seventh);
    println!("{beside:?} beside six that are idle, of {all:?}");
    assert!(beside.iter().zip(all).all(|(beside, all)| 2 * beside >= all), "{beside:?} of {all:?}");
    assert!(beside[3] < all[3], "the six keep something");
    drop(six);
    assert_eq!(counts(&mut seventh), all, "after they have ended");
}

/// The reserve is for who finds nothing else, however much others have left.
#[test]
fn what_others_left_goes_before_the_reserve_and_a_free_refills_the_reserve_first() {
    let pool = pool(1, 8 * 4096, 8 * 4096, 4096);
    let (mut others, mut user) = (User::of(&pool), User::of(&pool));
    let all = others.all_of(PAGE);
    others.free(all);
    drop(others);
    let eight: Vec<_> = (0..8).map(|_| user.alloc(PAGE, Alloc::NoRetry).expect("nobody uses it")).collect();
    assert!(user.alloc(PAGE, Alloc::NoRetry).is_none(), "the reserve is not for who can do without");
    let last = user.alloc(PAGE, Alloc::NoWait).expect("the reserve");
    assert!(user.alloc(PAGE, Alloc::NoWait).is_none());
    drop(eight);
    assert!(user.alloc(PAGE, Alloc::NoWait).is_some(), "the reserve is there again");
    drop(last);
}

/// As many bios as there are at once.
fn take(queue: &mut Queue, bios: &mut Bios<Bare>) -> Vec<PadBio<Bare>> {
    std::iter::from_fn(|| bios.alloc(queue.cx(), Bare, Alloc::NoWait).ok()).collect()
}

/// What the reserve has lent, and what came home in its place, count for the limit as they did before.
#[test]
fn a_limit_is_the_same_after_the_reserve_was_used() {
    let options = BioSetOptions { reserve: 2, limit: 2, stock: 0, ..BioSetOptions::named("test") };
    let set = BioSet::<Bare>::new(&options, &heap()).unwrap();
    let mut queue = Queue::new().unwrap();
    let mut bios = queue.bios(&set);
    for round in 0..3 {
        let mut all = take(&mut queue, &mut bios);
        assert_eq!(all.len(), 4, "round {round}");
        // The first are of normal memory, and refill the reserve.
        all.drain(..2).for_each(|bio| bios.free(bio));
    }
}

/// Sixteen idle connections that have each used all of a set leave a seventeenth half of it, and all when they end.
#[test]
fn idle_queues_leave_bios_to_others() {
    let options = BioSetOptions { reserve: 1, limit: 1024, stock: 64, ..BioSetOptions::named("test") };
    let set = BioSet::<Bare>::new(&options, &heap()).unwrap();
    let user = || {
        let queue = Queue::new().unwrap();
        let bios = queue.bios(&set);
        (queue, bios)
    };
    let mut idle: Vec<_> = (0..16).map(|_| user()).collect();
    for (queue, bios) in &mut idle {
        let all = take(queue, bios);
        for bio in all {
            bios.free(bio);
        }
    }
    let (mut queue, mut bios) = user();
    let beside = take(&mut queue, &mut bios);
    println!("{} of 1025 beside sixteen that are idle", beside.len());
    assert!(beside.len() >= 512 && beside.len() < 1025);
    for bio in beside {
        bios.free(bio);
    }
    drop(idle);
    assert_eq!(take(&mut queue, &mut bios).len(), 1025);
}

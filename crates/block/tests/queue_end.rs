//! What becomes of bios that are out when their queue thread ends: nothing of one user reaches another, and a process may
//! exit at any time.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use udm_block::memory::Heap;
use udm_block::queue::{self, Queue};
use udm_block::{
    Alloc, Bio, BioList, BioSet, BioSetOptions, Bytes, Device, DeviceRef, Flags, Geometry, Op, Pad, PadBio,
    Sector, Sectors, Status,
};

/// A queue thread has the first mailbox that is free: these tests go one after another, so that the next has the same.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Client;

impl Pad for Client {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        queue::deliver(bio);
    }
}

/// Ends bios at once, or keeps them.
struct Disk {
    keeps: bool,
    kept: Mutex<BioList>,
}

impl Device for Disk {
    fn geometry(&self) -> Geometry {
        Geometry { discard: true, ..Geometry::plain(Sectors(1 << 20)) }
    }

    fn submit(&self, bio: Bio) {
        if self.keeps {
            self.kept.lock().unwrap().push(bio);
        } else {
            bio.complete(Status::Ok);
        }
    }
}

fn disk(keeps: bool) -> (Arc<Disk>, DeviceRef) {
    let disk = Arc::new(Disk { keeps, kept: Mutex::default() });
    (disk.clone(), disk)
}

fn set() -> BioSet<Client> {
    let options = BioSetOptions { reserve: 4, limit: 0, magazine: 0, ..BioSetOptions::named("client") };
    BioSet::new(&options, &(Arc::new(Heap) as _), ()).unwrap()
}

fn submit(set: &BioSet<Client>, queue: &Queue, dev: &DeviceRef) {
    let mut bio = set.alloc(Client, Alloc::NoWait).ok().expect("a bio");
    bio.prepare(Op::Discard, Flags::NONE, Sector(0));
    bio.set_range(Bytes(512));
    bio.set_home(queue.home());
    bio.submit(dev);
}

/// Whether what `work` does is loud in a debug build: a panic.
fn is_loud(work: impl FnOnce()) {
    let result = catch_unwind(AssertUnwindSafe(work));
    assert_eq!(result.is_err(), cfg!(debug_assertions), "a lost bio is loud");
}

/// What has come to this queue thread, without waiting.
fn came(queue: &Queue) -> bool {
    queue.wait(&mut [], Some(Duration::ZERO)).unwrap();
    queue.take_ended().is_some()
}

#[test]
fn what_was_delivered_to_a_thread_does_not_reach_its_next_queue() {
    let _alone = alone();
    let (set, (_, dev)) = (set(), disk(false));
    let queue = Queue::enter().unwrap();
    submit(&set, &queue, &dev);
    is_loud(|| drop(queue));
    let stranger = Queue::enter().unwrap();
    assert!(!came(&stranger), "a bio of another user");
    // The twin: its own do come.
    submit(&set, &stranger, &dev);
    let bio = stranger.take_ended().expect("its own bio");
    drop(set.claim(bio).expect("of this set"));
    // All bios are home: else this is loud.
    drop((stranger, set));
}

#[test]
fn what_ends_after_its_queue_does_not_reach_the_next_queue() {
    let _alone = alone();
    let (set, (disk, dev)) = (set(), disk(true));
    let queue = Queue::enter().unwrap();
    let first = queue.home();
    (0..2).for_each(|_| submit(&set, &queue, &dev));
    drop(queue);
    let stranger = Queue::enter().unwrap();
    assert_ne!(first, stranger.home(), "two queues with one name");
    let kept = std::mem::take(&mut *disk.kept.lock().unwrap());
    let mut kept = kept;
    // One is ended where its thread would be, the other here.
    let mailed = kept.pop().expect("it was kept");
    std::thread::scope(|scope| {
        scope.spawn(|| is_loud(|| queue::complete_at_home(mailed, Status::Ok)));
    });
    assert!(!came(&stranger), "a bio that was mailed to another user");
    let ended = kept.pop().expect("it was kept");
    is_loud(|| ended.complete(Status::Ok));
    assert!(!came(&stranger), "a bio that ended here");
    drop((stranger, set));
}

/// What is wrong with the end of a process that exits on a live queue thread.
fn exits(test: &str, how: &str) {
    const CHILD: &str = "UDM_EXITS_ON_A_QUEUE_THREAD";
    if let Ok(how) = std::env::var(CHILD) {
        child(&how);
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, how)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // No more than this is read: a process that does not stop saying things is ended.
    let mut said = String::new();
    child.stderr.take().unwrap().take(64 << 10).read_to_string(&mut said).unwrap();
    if said.len() == 64 << 10 {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(7), "{how}: {status}, and said: {said:.2000}");
    assert_eq!(said, "", "{how}: what it said");
}

fn child(how: &str) -> ! {
    /// Exits while bios that it was called with wait on the thread's lists.
    struct Exits(DeviceRef);
    impl Device for Exits {
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn submit(&self, bio: Bio) {
            udm_block::submit(&self.0, bio);
            std::process::exit(7)
        }
    }
    let (set, (_, dev), queue) = (set(), disk(false), Queue::enter().unwrap());
    match how {
        "delivered" => (0..3).for_each(|_| submit(&set, &queue, &dev)),
        _ => submit(&set, &queue, &(Arc::new(Exits(dev)) as DeviceRef)),
    }
    std::process::exit(7)
}

#[test]
fn a_process_exits_with_bios_delivered() {
    let _alone = alone();
    exits("a_process_exits_with_bios_delivered", "delivered");
}

#[test]
fn a_process_exits_in_a_driver_call() {
    let _alone = alone();
    exits("a_process_exits_in_a_driver_call", "submitted");
}

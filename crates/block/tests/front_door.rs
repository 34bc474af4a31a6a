//! The front door when things go wrong: a system that does not let it wait, drivers that panic. Oracle: what each sector of
//! the disk holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use udm_block::blocking::Blocking;
use udm_block::{Bio, Channel, Device, DeviceRef, Dispatch, Geometry, OpenError, Opening, Sectors, Status};

/// Limits are the process's.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each sector holds its number in all bytes; it ends bios on a thread of its own, when it is told to.
struct Slow {
    bios: Option<Sender<Bio>>,
    thread: Option<JoinHandle<()>>,
    /// Which call of the driver panics.
    panics_at: usize,
    calls: Arc<AtomicUsize>,
}

struct SlowChannel {
    bios: Sender<Bio>,
    panics_at: usize,
    calls: Arc<AtomicUsize>,
}

fn serve(bios: &Receiver<Bio>, go: &Receiver<()>) {
    let mut waits = true;
    for mut bio in bios {
        // Once its other end is gone nothing waits any more.
        waits = waits && go.recv().is_ok();
        let (first, sectors) = (bio.sector().0, bio.sectors().0);
        let mut data = bio.data_mut();
        for sector in 0..sectors {
            data.write(&[(first + sector) as u8; 512]);
        }
        bio.complete_elsewhere(Status::Ok);
    }
}

impl Slow {
    fn start(panics_at: usize) -> (DeviceRef, Sender<()>) {
        let ((send, bios), (go, told)) = (channel(), channel());
        let thread = Some(thread::spawn(move || serve(&bios, &told)));
        (Arc::new(Self { bios: Some(send), thread, panics_at, calls: Arc::default() }), go)
    }
}

impl Device for Slow {
    fn geometry(&self) -> Geometry {
        Geometry { write_cache: false, ..Geometry::plain(Sectors(4096)) }
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let bios = self.bios.clone().unwrap();
        Ok(Box::new(SlowChannel { bios, panics_at: self.panics_at, calls: Arc::clone(&self.calls) }))
    }
}

impl Channel for SlowChannel {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        assert_ne!(self.calls.fetch_add(1, Ordering::Relaxed), self.panics_at, "the driver panics");
        self.bios.send(bio).unwrap();
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.bios = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

/// That the front door still reads right.
fn assert_reads(front: &Blocking) {
    for sector in [7, 9] {
        let mut got = [0; 512];
        assert_eq!(front.read_at(sector * 512, &mut got), Ok(()));
        assert_eq!(got, [sector as u8; 512], "another request's bytes");
    }
}

/// Has `work` go on a little later, from another thread.
fn later(go: Sender<()>) -> JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        drop(go);
    })
}

#[test]
fn a_wait_that_fails_leaves_nothing_to_the_next_call() {
    let _alone = alone();
    let (dev, go) = Slow::start(usize::MAX);
    let front = Blocking::new(dev).unwrap();
    // With no descriptors allowed poll fails with EINVAL.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    let goes = later(go);
    let result = front.read_at(0, &mut vec![0; 1 << 20]);
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(result, Err(Status::IoErr));
    goes.join().unwrap();
    assert_reads(&front);
}

#[test]
fn a_driver_that_panics_leaves_nothing_to_the_next_call() {
    let _alone = alone();
    let (dev, go) = Slow::start(2);
    let front = Blocking::new(dev).unwrap();
    let goes = later(go);
    let result = catch_unwind(AssertUnwindSafe(|| front.read_at(0, &mut vec![0; 1 << 20])));
    assert!(result.is_err(), "the driver's panic goes on");
    goes.join().unwrap();
    assert_reads(&front);
}

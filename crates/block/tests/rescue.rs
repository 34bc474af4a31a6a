//! Stacked drivers that sleep for their bios, or for the tables of their runs, with a reserve of one and no normal
//! memory: they finish with a rescuer, and without one they do not.
#![allow(unsafe_code)]

#[path = "../examples/splitter.rs"]
mod splitter;

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{heap, reserve_alone, serves};
use splitter::{Bottom, Client, Splitter};
use udm_block::bio::Ending;
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, OwnBio, Pad, PadBio, Sector, Sectors, Span, Status,
};

/// Writes on a thread of its own, and tells of the end. Without progress the thread sleeps for ever: it ends with the
/// process.
fn write(dev: &DeviceRef, sector: u64, bytes: Vec<u8>, end: Sender<Status>) {
    let dev = DeviceRef::clone(dev);
    thread::spawn(move || {
        let _ = end.send(Client::of(&dev).unwrap().write(sector, &bytes));
    });
}

#[test]
fn two_stacked_splitters_finish_with_a_reserve_of_one() {
    let ((seen, order), (end, ended)) = (channel(), channel());
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(2), 1, true));
    let coarse = Arc::new(Splitter::new(fine.clone(), Sectors(8), 1, true));
    write(&(coarse.clone() as DeviceRef), 4, vec![0; 64 * 512], end);
    assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(Status::Ok));
    let mut seen: Vec<u64> = order.try_iter().collect();
    println!("the rescuers were needed {} and {} times", coarse.punts(), fine.punts());
    assert!(coarse.punts() > 0 && fine.punts() > 0, "the test does not need the rescuers");
    seen.sort_unstable();
    assert_eq!(
        seen,
        (0..32).map(|piece| 4 + 2 * piece).collect::<Vec<_>>(),
        "a piece was lost or came twice"
    );
}

#[test]
fn without_the_rescuer_they_deadlock() {
    let (seen, _order) = channel();
    let (end, ended) = channel();
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(2), 1, false));
    let dev: DeviceRef = Arc::new(Splitter::new(fine, Sectors(8), 1, false));
    write(&dev, 0, vec![0; 32 * 512], end);
    assert_eq!(ended.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout));
}

#[test]
fn eight_threads_on_one_stack_with_a_reserve_of_one_all_finish() {
    let (seen, order) = channel();
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(3), 1, true));
    let dev: DeviceRef = Arc::new(Splitter::new(fine, Sectors(7), 1, true));
    let (end, ended) = channel();
    thread::scope(|scope| {
        for thread in 0..8u64 {
            let (dev, end) = (&dev, end.clone());
            scope.spawn(move || {
                let mut client = Client::of(dev).unwrap();
                for bio in 0..200 {
                    let bytes = vec![0; 512 * (1 + (bio * 7 + thread) as usize % 60)];
                    end.send(client.write(thread * 5000 + bio * 16, &bytes)).unwrap();
                }
            });
        }
    });
    drop(end);
    assert_eq!(ended.iter().take(1600).filter(|status| status.is_ok()).count(), 1600);
    println!("{} pieces reached the bottom", order.try_iter().count());
}

/// Sends each sector of a bio down as a bio of its own, with its memory in runs of 16 bytes: many more than fit inside.
struct Shredder {
    lower: DeviceRef,
    shreds: BioSet<Shred>,
}

struct ShredderChannel {
    lower: ChannelId,
    shreds: Bios<Shred>,
}

/// The pad of a sector's bio: the bio that it is of, until the last one has ended.
struct Shred(Arc<Mutex<Shredded>>);

/// A bio, and how many of its shreds are out.
struct Shredded(Option<Bio>, u64);

const RUN: usize = 16;
const RUNS: usize = 512 / RUN;

impl Shredder {
    fn over(lower: DeviceRef, rescuer: bool) -> Arc<Self> {
        let options = BioSetOptions { runs: RUNS, ..reserve_alone("shreds", 1) };
        let shreds = if rescuer {
            BioSet::rescued(&options, &heap(), std::slice::from_ref(&lower)).unwrap()
        } else {
            BioSet::new(&options, &heap()).unwrap()
        };
        Arc::new(Self { lower, shreds })
    }
}

impl Device for Shredder {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, shreds) = (opening.open(&self.lower)?, opening.bios(&self.shreds));
        Ok(Box::new(ShredderChannel { lower, shreds }))
    }
}

impl Channel for ShredderChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let runs: Vec<(*const u8, usize)> = bio.data().map(|run| (run.as_ptr(), run.len())).collect();
        let [(begin, _)] = runs[..] else { return cx.complete(bio, Status::NotSupported) };
        let (first, sectors) = (bio.sector().0, bio.sectors().0);
        let whole = Arc::new(Mutex::new(Shredded(Some(bio), sectors)));
        for sector in 0..sectors {
            let pad = Shred(Arc::clone(&whole));
            let Ok(mut shred) = self.shreds.alloc_with(cx, pad, RUNS, Alloc::Wait) else {
                unreachable!("it waits")
            };
            shred.prepare(Op::Write, Flags::NONE, Sector(first + sector));
            let at = |run: usize| begin.wrapping_add(sector as usize * 512 + run * RUN).cast_mut();
            // SAFETY: the memory is that of the bio, which ends after its shreds.
            unsafe {
                let run = |run| Span::from_raw(std::ptr::NonNull::new(at(run)).unwrap(), RUN);
                shred.set_foreign(&(0..RUNS).map(run).collect::<Vec<_>>());
            }
            cx.submit(self.lower, shred.into_bio());
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let Ok(shred) = self.shreds.claim(bio) else { return };
        if let Some(whole) = end_shred(shred) {
            cx.complete(whole, Status::Ok);
        }
    }
}

impl Pad for Shred {
    const ENDING: Ending<Self> = Ending::Anywhere(|shred| {
        // It goes to its owner by a way of its own.
        if let Some(whole) = end_shred(shred) {
            whole.complete_elsewhere(Status::Ok);
        }
        None
    });
}

/// One shred less: the bio that it is of, when it was the last.
fn end_shred(shred: PadBio<Shred>) -> Option<Bio> {
    let whole = Arc::clone(&shred.pad().0);
    drop(shred);
    let mut whole = whole.lock().unwrap();
    whole.1 -= 1;
    if whole.1 == 0 { whole.0.take() } else { None }
}

/// Writes 8 sectors through a shredder, and tells of the end.
fn shred(rescuer: bool, end: Sender<Status>) -> (Arc<Shredder>, Arc<Mutex<Vec<u8>>>) {
    let medium = Arc::new(Mutex::new(vec![0; 8 * 512]));
    let theirs = Arc::clone(&medium);
    let disk = serves(Geometry::plain(Sectors(8)), move |cx: &mut Dispatch, bio: Bio| {
        assert_eq!(bio.data().count(), RUNS);
        let at = bio.sector().0 as usize * 512;
        bio.data().read(&mut theirs.lock().unwrap()[at..at + bio.len().0 as usize]);
        cx.complete(bio, Status::Ok);
    });
    let shredder = Shredder::over(disk, rescuer);
    write(&(shredder.clone() as DeviceRef), 0, (0..8 * 512).map(|at| (at % 251) as u8).collect(), end);
    (shredder, medium)
}

#[test]
fn bios_with_many_runs_finish_with_a_reserve_of_one_table() {
    // A rescuer that is quick may bring the table home before anybody sleeps for it.
    let someone_slept = (0..200).any(|_| {
        let (end, ended) = channel();
        let (shredder, disk) = shred(true, end);
        assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(Status::Ok));
        assert!(shredder.shreds.punts() > 0, "the test does not need the rescuer");
        assert!(disk.lock().unwrap().iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
        shredder.shreds.waits().1.slept > 0
    });
    assert!(someone_slept, "nobody slept for a table");
}

#[test]
fn without_the_rescuer_bios_with_many_runs_deadlock() {
    let (end, ended) = channel();
    let _kept = shred(false, end);
    assert_eq!(ended.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout));
}

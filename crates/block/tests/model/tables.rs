//! Tables of runs: a driver that takes several before it returns finishes with a reserve of one, as with bios.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::sync::Mutex;
use shuttle::thread;
use udm_block::bio::{Ending, INLINE_SPANS};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, OwnBio, Pad, PadBio, Sector, Sectors, Span, Status,
};

use crate::check::{check, fails};
use crate::splitter::Splitter;
use crate::stack::{Bottom, Clients, Watched, heap, join_all, reserve_alone};

/// One more than fits inside.
const RUNS: usize = INLINE_SPANS + 1;

/// Sends each sector of a bio below as a bio of its own, whose memory is in many runs.
struct Shredder {
    lower: DeviceRef,
    shreds: BioSet<Shred>,
}

struct ShredderChannel {
    lower: ChannelId,
    shreds: Bios<Shred>,
}

/// The pad of a sector's bio: the bio that it is of, and how many sectors of it are out.
struct Shred(Arc<Mutex<(Option<Bio>, u64)>>);

impl Shredder {
    fn new(lower: DeviceRef, reserve: usize, rescuer: bool) -> Self {
        let options = BioSetOptions { runs: RUNS, ..reserve_alone("shreds", reserve) };
        let shreds = if rescuer {
            BioSet::rescued(&options, &heap(), std::slice::from_ref(&lower)).unwrap()
        } else {
            BioSet::new(&options, &heap()).unwrap()
        };
        Self { lower, shreds }
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
        static BYTE: u8 = 0;
        let (first, sectors) = (bio.sector().0, bio.sectors().0);
        let whole = Arc::new(Mutex::new((Some(bio), sectors)));
        for sector in first..first + sectors {
            let pad = Shred(whole.clone());
            let Ok(mut shred) = self.shreds.alloc_with(cx, pad, RUNS, Alloc::Wait) else {
                unreachable!("it waits")
            };
            shred.prepare(Op::Discard, Flags::NONE, Sector(sector));
            // SAFETY: static memory, which nobody looks at.
            unsafe { shred.set_foreign(&[Span::from_raw(NonNull::from(&BYTE), 1); RUNS]) };
            shred.set_range(Sectors(1).bytes());
            cx.submit(self.lower, shred.into_bio());
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let shred = self.shreds.claim(bio).ok().expect("its own bio");
        let whole = Arc::clone(&shred.pad().0);
        self.shreds.free(shred);
        if let Some(whole) = one_less(&whole) {
            cx.complete(whole, Status::Ok);
        }
    }
}

impl Pad for Shred {
    const ENDING: Ending<Self> = Ending::Anywhere(|shred: PadBio<Self>| {
        let whole = Arc::clone(&shred.pad().0);
        drop(shred);
        if let Some(whole) = one_less(&whole) {
            whole.complete_elsewhere(Status::Ok);
        }
        None
    });
}

/// One sector of a bio has ended: the bio, where that was the last.
fn one_less(whole: &Mutex<(Option<Bio>, u64)>) -> Option<Bio> {
    let mut whole = whole.lock().unwrap();
    whole.1 -= 1;
    if whole.1 == 0 { Some(whole.0.take().expect("it ends once")) } else { None }
}

/// Two clients of a bio of four sectors each, over a splitter into halves, over a shredder. How often the shredder's
/// rescuer was needed.
fn run(clients: u64, reserve: usize, rescuer: bool) -> u64 {
    let (bottom, disk) = Bottom::with_disk(|_| Status::Ok);
    let bottom = Watched::new(bottom);
    let shredder = Arc::new(Shredder::new(bottom.clone(), reserve, rescuer));
    let dev: DeviceRef = Arc::new(Splitter::new(shredder.clone(), Sectors(2), reserve, rescuer));
    let all = Clients::new(clients as usize);
    let threads = (0..clients).map(|number| {
        let (client, dev) = (all.sleeping(), dev.clone());
        thread::spawn(move || {
            let mut client = client(&dev);
            client.submit(number * 4, 4);
            client.finish();
        })
    });
    join_all(threads.collect());
    all.assert_all_end(|_| Status::Ok);
    let punts = shredder.shreds.punts();
    drop((dev, shredder));
    bottom.device.stop();
    disk.join().unwrap();
    bottom.seen.assert_each_once(4 * clients);
    punts
}

fn finishes(clients: u64, reserve: usize) {
    let punts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&punts);
    check(move || _ = counted.fetch_add(run(clients, reserve, true), Ordering::Relaxed));
    assert!(punts.load(Ordering::Relaxed) > 0, "the model does not need the rescuer");
}

#[test]
fn two_clients_finish_with_one_table() {
    finishes(2, 1);
}

#[test]
fn three_clients_finish_with_one_table() {
    finishes(3, 1);
}

#[test]
fn two_clients_finish_with_two_tables() {
    check(|| _ = run(2, 2, true));
}

#[test]
fn without_the_rescuer_the_checker_finds_the_deadlock() {
    fails("deadlock!", || _ = run(2, 1, false));
}

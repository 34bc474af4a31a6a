//! Lower bios go before older ones: with the plain FIFO of Linux before 4.11, md over dm deadlocked ("blk: improve
//! order of bio handling in `generic_make_request`", 2017), whatever rescuers there were, since no pool is part of it.

use std::sync::Arc;

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use udm_block::bio::Piece;
use udm_block::{
    Alloc, Bio, BioSet, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry, OpenError, Opening,
    OwnBio, Pad, Sectors, Status,
};

use crate::check::check;
use crate::stack::{Bottom, Clients, Watched, heap, reserve_alone};

/// Raised while nothing may be under way, as md's for a resync: new bios wait until it is lowered, and it waits for
/// those that are under way.
#[derive(Default)]
struct Barrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    under_way: usize,
    raised: bool,
}

impl Barrier {
    fn pass(&self) {
        let state = self.state.lock().unwrap();
        let mut state = self.changed.wait_while(state, |state| state.raised).unwrap();
        state.under_way += 1;
    }

    fn passed(&self) {
        self.state.lock().unwrap().under_way -= 1;
        self.changed.notify_all();
    }

    /// Raises it, waits until nothing is under way, and lowers it.
    fn resync(&self) {
        let mut state = self.state.lock().unwrap();
        state.raised = true;
        state = self.changed.wait_while(state, |state| state.under_way > 0).unwrap();
        state.raised = false;
        drop(state);
        self.changed.notify_all();
    }
}

/// Sends sector by sector through its barrier, as raid1 does with its chunks.
struct Raid {
    lower: DeviceRef,
    pieces: BioSet<Piece>,
    passing: BioSet<Passing>,
    barrier: Arc<Barrier>,
}

struct RaidChannel {
    lower: ChannelId,
    pieces: Bios<Piece>,
    passing: Bios<Passing>,
    barrier: Arc<Barrier>,
}

/// The pad of what has passed the barrier.
struct Passing;

impl Pad for Passing {}

impl Raid {
    fn over(lower: DeviceRef, barrier: Arc<Barrier>) -> Self {
        let pieces = BioSet::new(&reserve_alone("pieces", 4), &heap()).unwrap();
        let passing = BioSet::new(&reserve_alone("passing", 4), &heap()).unwrap();
        Self { lower, pieces, passing, barrier }
    }
}

impl Device for Raid {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (pieces, passing) = (opening.bios(&self.pieces), opening.bios(&self.passing));
        let (lower, barrier) = (opening.open(&self.lower)?, Arc::clone(&self.barrier));
        Ok(Box::new(RaidChannel { lower, pieces, passing, barrier }))
    }
}

impl Channel for RaidChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        self.barrier.pass();
        let (front, rest) = if bio.sectors() > Sectors(1) {
            let split = bio.split(cx, Sectors(1).bytes(), &mut self.pieces, Alloc::NoWait).expect("reserved");
            (split.front, Some(split.rest))
        } else {
            (bio, None)
        };
        let mut clone = self.passing.alloc(cx, Passing, Alloc::NoWait).ok().expect("reserved");
        clone.clone_of(front);
        cx.submit(self.lower, clone.into_bio());
        if let Some(rest) = rest {
            cx.again(rest);
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let mut clone = match self.passing.claim(bio) {
            Ok(clone) => clone,
            Err(bio) => {
                let piece = self.pieces.claim(bio).ok().expect("its own piece");
                return self.pieces.end_piece(cx, piece);
            }
        };
        let status = clone.status();
        let parent = clone.take_parent().expect("put in by the driver");
        self.barrier.passed();
        self.passing.free(clone);
        cx.complete(parent, status);
    }
}

/// Passes bios on, as a linear row of a table.
struct Linear(DeviceRef);

struct LinearChannel(ChannelId);

impl Device for Linear {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(LinearChannel(opening.open(&self.0)?)))
    }
}

impl Channel for LinearChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.submit(self.0, bio);
    }
}

#[test]
fn a_lower_bio_goes_before_the_rest_that_waits_for_it() {
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let barrier = Arc::new(Barrier::default());
        let dev: DeviceRef = Arc::new(Raid::over(Arc::new(Linear(bottom.clone())), barrier.clone()));
        let resync = thread::spawn(move || barrier.resync());
        let clients = Clients::new(1);
        let mut client = clients.parking()(&dev);
        client.submit(0, 3);
        client.finish();
        drop(client);
        clients.assert_all_end(|_| Status::Ok);
        resync.join().unwrap();
        assert_eq!(bottom.seen.brought_by(thread::current().id()), [0, 1, 2]);
    });
}

//! What a sleeping allocation punts and what stays, and that a rescuer takes bios while it dispatches.

use std::any::Any;
use std::sync::{Arc, Mutex as Unmodelled};

use shuttle::sync::Mutex;
use shuttle::thread;
use udm_block::bio::Piece;
use udm_block::{
    Address, Alloc, Bio, BioSet, Bios, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry,
    OpenError, Opening, OwnBio, Sectors, Status,
};

use crate::check::{check, fails};
use crate::left_behind::Needs;
use crate::stack::{Bare, Bottom, Clients, Taker, Watched, geometry, heap, reserve_alone};

const SECTOR: Bytes = Bytes(512);

/// A set with a rescuer, of drivers that submit to `lower`.
fn rescued(reserve: usize, lower: &[DeviceRef]) -> BioSet<Piece> {
    BioSet::rescued(&reserve_alone("rescued", reserve), &heap(), lower).unwrap()
}

/// Splits the first `len` off, and gives it with the rest.
fn split(cx: &mut Dispatch, bio: Bio, len: Bytes, pieces: &mut Bios<Piece>) -> (Bio, Bio) {
    let split = bio.split(cx, len, pieces, Alloc::Wait).expect("an allocation that may sleep");
    (split.front, split.rest)
}

/// Takes a piece that has ended, of one of these.
fn end_piece(cx: &mut Dispatch, mut bio: OwnBio, all: &mut [&mut Bios<Piece>]) {
    for pieces in all {
        match pieces.claim(bio) {
            Ok(piece) => return pieces.end_piece(cx, piece),
            Err(other) => bio = other,
        }
    }
    panic!("a piece of no set");
}

/// Splits single sectors off, by turns from a set that runs dry and from one that has enough.
struct TwoSets {
    lower: DeviceRef,
    dry: BioSet<Piece>,
    ample: BioSet<Piece>,
}

struct TwoSetsChannel {
    lower: ChannelId,
    dry: Bios<Piece>,
    ample: Bios<Piece>,
}

impl Device for TwoSets {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (dry, ample) = (opening.bios(&self.dry), opening.bios(&self.ample));
        Ok(Box::new(TwoSetsChannel { lower: opening.open(&self.lower)?, dry, ample }))
    }
}

impl Channel for TwoSetsChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        for number in 0..7 {
            let pieces = if number % 2 == 0 { &mut self.dry } else { &mut self.ample };
            let (piece, rest) = split(cx, bio, SECTOR, pieces);
            cx.submit(self.lower, piece);
            bio = rest;
        }
        cx.submit(self.lower, bio);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        end_piece(cx, bio, &mut [&mut self.dry, &mut self.ample]);
    }
}

#[test]
fn the_sets_own_bios_are_punted_and_those_of_others_stay_each_in_order() {
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let lower: DeviceRef = bottom.clone();
        let ample = BioSet::new(&reserve_alone("ample", 3), &heap()).unwrap();
        let dry = rescued(2, std::slice::from_ref(&lower));
        let top: DeviceRef = Arc::new(TwoSets { lower, dry: dry.clone(), ample });
        let clients = Clients::new(1);
        let mut client = clients.sleeping()(&top);
        client.submit(0, 8);
        client.finish();
        drop(client);
        clients.assert_all_end(|_| Status::Ok);
        let (here, punts) = (thread::current().id(), dry.punts());
        let stayed = bottom.seen.brought_by(here);
        let punted = bottom.seen.brought_by_others(here);
        drop((top, dry));
        // The third piece of the dry set finds it dry, and punts the first two; whether the fourth does depends on
        // how far the rescuer has come.
        match punts {
            1 => assert_eq!((punted.as_slice(), stayed.as_slice()), (&[0, 2][..], &[1, 3, 4, 5, 6, 7][..])),
            2 => assert_eq!((punted.as_slice(), stayed.as_slice()), (&[0, 2, 4][..], &[1, 3, 5, 6, 7][..])),
            other => panic!("{other} punts"),
        }
    });
}

/// Splits pieces off, of a set that two levels share.
struct Shares {
    lower: DeviceRef,
    cuts: Cuts,
    set: Shared,
}

/// The set, which is made when its rescuer has opened the lower level: so the channels are told of it. A channel that is
/// opened later finds it here.
#[derive(Clone, Default)]
struct Shared(Arc<Unmodelled<(Option<BioSet<Piece>>, Vec<Address>)>>);

struct SharesChannel {
    lower: ChannelId,
    cuts: Cuts,
    pieces: Option<Bios<Piece>>,
}

/// Where a level splits.
#[derive(Clone, Copy)]
enum Cuts {
    /// Into single sectors.
    Even,
    /// Seven sectors into four, one, one and one.
    Uneven,
}

impl Shared {
    /// Makes the set, for a driver that submits to `lower`, and tells the channels that are open of it.
    fn make(&self, reserve: usize, lower: &[DeviceRef]) {
        let set = rescued(reserve, lower);
        for address in self.addresses() {
            address.send(Box::new(set.clone())).expect("the rescuer runs");
        }
        self.0.lock().unwrap().0 = Some(set);
    }

    fn addresses(&self) -> Vec<Address> {
        self.0.lock().unwrap().1.clone()
    }

    /// Has the rescuer's channels give up the set, which would keep its rescuer, and so them, for ever.
    fn leave(&self) {
        let set = self.0.lock().unwrap().0.take();
        drop(set);
        for address in self.addresses() {
            let _ = address.send(Box::new(()));
        }
    }
}

impl Device for Shares {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let lower = opening.open(&self.lower)?;
        let mut shared = self.set.0.lock().unwrap();
        let pieces = shared.0.as_ref().map(|set| opening.bios(set));
        if pieces.is_none() {
            shared.1.push(opening.address());
        }
        Ok(Box::new(SharesChannel { lower, cuts: self.cuts, pieces }))
    }
}

impl Channel for SharesChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let pieces = self.pieces.as_mut().expect("the set is made before the first bio");
        let cuts = match self.cuts {
            Cuts::Even => vec![1; bio.sectors().0 as usize - 1],
            Cuts::Uneven => vec![4, 1, 1],
        };
        for len in cuts {
            let (piece, rest) = split(cx, bio, Sectors(len).bytes(), pieces);
            cx.submit(self.lower, piece);
            bio = rest;
        }
        cx.submit(self.lower, bio);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        end_piece(cx, bio, &mut [self.pieces.as_mut().expect("its piece")]);
    }

    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        self.pieces = message.downcast::<BioSet<Piece>>().ok().map(|set| opening.bios(&set));
    }
}

/// Two levels that share a set, which no driver should do: only so do bios of the running driver's set wait among the
/// older ones. Five in reserve are enough: the upper level takes three; the lower one takes two for the first of
/// these, and then nothing is left but what waits: its own two, and the other two of the upper level.
fn sharing_levels(bottom: Arc<Watched<Bottom>>) -> (DeviceRef, Shared) {
    let (bottom, set): (DeviceRef, _) = (bottom, Shared::default());
    let lower: DeviceRef = Arc::new(Shares { lower: bottom.clone(), set: set.clone(), cuts: Cuts::Even });
    set.make(5, &[lower.clone(), bottom]);
    (Arc::new(Shares { lower, set: set.clone(), cuts: Cuts::Uneven }), set)
}

#[test]
fn older_bios_of_the_set_are_punted_behind_those_of_the_running_call() {
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let (upper, set) = sharing_levels(bottom.clone());
        let clients = Clients::new(1);
        let mut client = clients.sleeping()(&upper);
        client.submit(0, 7);
        client.finish();
        set.leave();
        drop(client);
        clients.assert_all_end(|_| Status::Ok);
        let here = thread::current().id();
        let (stayed, punted) = (bottom.seen.brought_by(here), bottom.seen.brought_by_others(here));
        assert_eq!(stayed, [2, 3, 6], "what was older and of the set did not go to the rescuer");
        assert_eq!(punted, [0, 1, 4, 5], "the rescuer's order");
    });
}

#[test]
fn a_set_can_be_dropped_on_its_rescuers_thread() {
    // A channel of the rescuer's queue has the last of the set, and gives it up when it is told to.
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let (upper, set) = sharing_levels(bottom.clone());
        let clients = Clients::new(1);
        let mut client = clients.sleeping()(&upper);
        client.submit(0, 7);
        client.finish();
        drop((client, upper));
        set.leave();
        clients.assert_all_end(|_| Status::Ok);
        bottom.seen.assert_each_once(7);
    });
}

/// Splits single sectors off.
struct Cutter {
    lower: DeviceRef,
    set: BioSet<Piece>,
}

struct CutterChannel {
    lower: ChannelId,
    pieces: Bios<Piece>,
}

impl Device for Cutter {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(CutterChannel { lower: opening.open(&self.lower)?, pieces: opening.bios(&self.set) }))
    }
}

impl Channel for CutterChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        while bio.sectors() > Sectors(1) {
            let (piece, rest) = split(cx, bio, SECTOR, &mut self.pieces);
            cx.submit(self.lower, piece);
            bio = rest;
        }
        cx.submit(self.lower, bio);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        end_piece(cx, bio, &mut [&mut self.pieces]);
    }
}

#[test]
fn a_set_and_its_device_are_dropped_while_bios_wait_for_the_rescuer() {
    // The queue keeps what its bios need, until the last has ended; then the rescuer ends with it, on the client's thread.
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let lower: DeviceRef = bottom.clone();
        let set = rescued(1, std::slice::from_ref(&lower));
        let upper: DeviceRef = Arc::new(Cutter { lower, set });
        let clients = Clients::new(1);
        let mut client = clients.sleeping()(&upper);
        drop(upper);
        client.submit(0, 4);
        // It waits for what has not ended yet.
        drop(client.queue);
        bottom.seen.assert_each_once(4);
        assert_eq!(Arc::strong_count(&bottom), 1, "the rescuer, or a channel, is left");
    });
}

/// Splits single sectors off while it holds a lock that the device below takes too.
struct Locks {
    lower: DeviceRef,
    lock: Arc<Mutex<()>>,
    set: BioSet<Piece>,
}

struct LocksChannel {
    within: CutterChannel,
    lock: Arc<Mutex<()>>,
}

impl Device for Locks {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, pieces) = (opening.open(&self.lower)?, opening.bios(&self.set));
        let within = CutterChannel { lower, pieces };
        Ok(Box::new(LocksChannel { within, lock: Arc::clone(&self.lock) }))
    }
}

impl Channel for LocksChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let held = self.lock.lock().unwrap();
        self.within.submit(cx, bio);
        drop(held);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        self.within.end_io(cx, bio);
    }
}

/// Takes a lock for each bio.
struct Locked {
    lower: DeviceRef,
    lock: Arc<Mutex<()>>,
}

struct LockedChannel {
    lower: ChannelId,
    lock: Arc<Mutex<()>>,
}

impl Device for Locked {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(LockedChannel { lower: opening.open(&self.lower)?, lock: Arc::clone(&self.lock) }))
    }
}

impl Channel for LockedChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        drop(self.lock.lock().unwrap());
        cx.submit(self.lower, bio);
    }
}

/// Splits single sectors off, and leaves them to others.
struct Leaves {
    set: BioSet<Piece>,
    left: Arc<Unmodelled<Vec<Bio>>>,
}

struct LeavesChannel {
    pieces: Bios<Piece>,
    left: Arc<Unmodelled<Vec<Bio>>>,
}

impl Device for Leaves {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(LeavesChannel { pieces: opening.bios(&self.set), left: Arc::clone(&self.left) }))
    }
}

impl Channel for LeavesChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        while bio.sectors() > Sectors(1) {
            let (piece, rest) = split(cx, bio, SECTOR, &mut self.pieces);
            self.left.lock().unwrap().push(piece);
            bio = rest;
        }
        self.left.lock().unwrap().push(bio);
    }
}

#[test]
fn a_rescuer_takes_bios_while_the_one_that_it_dispatches_sleeps() {
    // The rescuer sleeps in the lower device for the lock that the upper one holds, which sleeps for its second and
    // third bio. Another thread frees as many: so it goes on, unless a punt has to wait for the rescuer.
    check(|| {
        let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
        let lock = Arc::new(Mutex::new(()));
        let lower: DeviceRef = Arc::new(Locked { lower: bottom.clone(), lock: lock.clone() });
        let set = rescued(3, std::slice::from_ref(&lower));
        let left = Arc::default();
        let leaves: DeviceRef = Arc::new(Leaves { set: set.clone(), left: Arc::clone(&left) });
        let upper: DeviceRef = Arc::new(Locks { lower, lock, set });
        let clients = Clients::new(2);
        let mut first = clients.sleeping()(&leaves);
        first.submit(100, 3);
        let pieces = std::mem::take(&mut *left.lock().unwrap());
        let other = thread::spawn(move || {
            for piece in pieces {
                piece.complete_elsewhere(Status::Ok);
            }
        });
        let mut second = clients.sleeping()(&upper);
        second.submit(0, 4);
        second.finish();
        first.finish();
        drop((first, second));
        clients.assert_all_end(|_| Status::Ok);
        other.join().unwrap();
        drop((upper, leaves));
        bottom.seen.assert_each_once(4);
    });
}

/// A driver that sleeps over one that parks for want of a bio, which another thread frees when a client has submitted all of
/// its bios but the last. They are of so many sectors.
fn sleeps_over_parks(bios: &[u64]) {
    let bottom = Watched::new(Bottom::at_once(|_| Status::Ok));
    let scarce = BioSet::new(&reserve_alone("scarce", 1), &heap()).unwrap();
    let held = Taker::of(&scarce).take(Bare, Alloc::Wait).unwrap();
    let parks: DeviceRef = Arc::new(Needs { lower: bottom.clone(), set: scarce });
    let set = rescued(1, std::slice::from_ref(&parks));
    let dev: DeviceRef = Arc::new(Cutter { lower: parks, set });
    let clients = Clients::new(bios.len());
    let mut client = clients.sleeping()(&dev);
    let (last, first) = bios.split_last().unwrap();
    let mut at = 0;
    for sectors in first {
        client.submit(at, *sectors);
        at += sectors;
    }
    let frees = thread::spawn(move || drop(held));
    client.submit(at, *last);
    at += last;
    client.finish();
    drop(client);
    frees.join().unwrap();
    clients.assert_all_end(|_| Status::Ok);
    bottom.seen.assert_each_once(at);
}

#[test]
fn a_bio_that_is_parked_on_the_rescuers_queue_goes_on_there() {
    // It is a piece of the client's queue, whose thread sleeps for it.
    check(|| sleeps_over_parks(&[4]));
}

#[test]
fn a_driver_that_parks_below_one_that_sleeps_on_the_same_queue_deadlocks() {
    // What `Queue::sleeping` says: a piece of the first bio is parked, not on the lists that are punted. It is woken by the
    // queue, whose thread sleeps for that very piece, to split the second bio.
    fails("deadlock!", || sleeps_over_parks(&[2, 2]));
}

//! What becomes of bios and messages that are under way when their queue ends: nothing of one user reaches another, and a
//! process may exit at any time.

use std::any::Any;
use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{Bare, Client, heap, reserve_alone, serves};
use udm_block::bio::Piece;
use udm_block::{
    Address, Alloc, Bio, BioList, BioSet, Bios, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch,
    Flags, Geometry, Op, OpenError, Opening, OwnBio, Pad, PadBio, Queue, Sector, Sectors, Status,
};

fn geometry() -> Geometry {
    Geometry { discard: true, ..Geometry::plain(Sectors(1 << 20)) }
}

/// A disk that ends bios at once.
fn ready() -> DeviceRef {
    serves(geometry(), |cx: &mut Dispatch, bio| cx.complete(bio, Status::Ok))
}

/// A disk that keeps bios.
fn keeping() -> (Arc<Mutex<BioList>>, DeviceRef) {
    let kept = Arc::new(Mutex::new(BioList::new()));
    let theirs = Arc::clone(&kept);
    (kept, serves(geometry(), move |_: &mut Dispatch, bio| theirs.lock().unwrap().push(bio)))
}

fn set() -> BioSet<Bare> {
    BioSet::new(&reserve_alone("client", 4), &heap()).unwrap()
}

fn submit(client: &mut Client) {
    client.submit(Op::Discard, 0, Bytes(512));
}

/// That all of a set of four is free again.
fn assert_all_home(set: &BioSet<Bare>) {
    assert_home(set, 4);
}

fn assert_home(set: &BioSet<Bare>, count: usize) {
    let mut queue = Queue::new().unwrap();
    let mut bios = queue.bios(set);
    let all: Vec<_> = std::iter::from_fn(|| bios.alloc(queue.cx(), Bare, Alloc::NoWait).ok()).collect();
    assert_eq!(all.len(), count, "a bio is missing");
}

#[test]
fn what_ended_for_a_queue_does_not_reach_the_next() {
    let (set, dev) = (set(), ready());
    let mut client = Client::of(&dev, &set);
    submit(&mut client);
    drop(client);
    let mut stranger = Client::of(&dev, &set);
    stranger.queue.wait(&mut [], Some(Duration::ZERO)).unwrap();
    assert_eq!(stranger.told(), None, "a bio of another user");
    // The twin: its own do come.
    submit(&mut stranger);
    assert_eq!(stranger.told(), Some((0, Status::Ok)));
    drop(stranger);
    assert_all_home(&set);
}

#[test]
fn a_queue_that_is_dropped_waits_for_its_bios() {
    let (set, (kept, dev)) = (set(), keeping());
    let mut client = Client::of(&dev, &set);
    (0..2).for_each(|_| submit(&mut client));
    let ended = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&ended);
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        while let Some(bio) = { kept.lock().unwrap().pop() } {
            theirs.fetch_add(1, Ordering::SeqCst);
            bio.complete_elsewhere(Status::Ok);
        }
    });
    drop(client);
    assert_eq!(ended.load(Ordering::SeqCst), 2, "it did not wait");
    later.join().unwrap();
    assert_all_home(&set);
}

/// A device whose channels tell where they are reached, and what they are told.
struct Told {
    addresses: Mutex<Sender<Address>>,
    messages: Sender<u32>,
}

struct ToldChannel(Sender<u32>);

fn told() -> (DeviceRef, Receiver<Address>, Receiver<u32>) {
    let ((addresses, of), (messages, heard)) = (channel(), channel());
    (Arc::new(Told { addresses: Mutex::new(addresses), messages }), of, heard)
}

impl Device for Told {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        self.addresses.lock().unwrap().send(opening.address()).unwrap();
        Ok(Box::new(ToldChannel(self.messages.clone())))
    }
}

impl Channel for ToldChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.complete(bio, Status::Ok);
    }

    fn message(&mut self, _: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        self.0.send(*message.downcast().unwrap()).unwrap();
    }
}

/// A message that is counted while it is there.
struct Counted(#[expect(dead_code)] Arc<()>);

#[test]
fn a_queue_that_ends_with_messages_in_its_mailbox_leaves_them_to_nobody() {
    let (dev, addresses, heard) = told();
    let mut queue = Queue::new().unwrap();
    queue.open(&dev).unwrap();
    let address = addresses.recv().unwrap();
    // The twin: it hears of one that comes before.
    address.send(Box::new(1u32)).unwrap();
    queue.run();
    assert_eq!(heard.try_recv(), Ok(1));
    let dropped = Arc::new(());
    address.send(Box::new(2u32)).unwrap();
    drop(queue);
    assert_eq!(heard.try_recv(), Ok(2), "its own channel heard of it on the way out");
    let mut next = Queue::new().unwrap();
    next.open(&dev).unwrap();
    assert_ne!(addresses.recv().unwrap(), address, "two channels with one address");
    next.run();
    assert!(heard.try_recv().is_err(), "a message to another queue");
    // Whoever sends to a queue that has ended has the message back.
    let message = address.send(Box::new(Counted(Arc::clone(&dropped)))).expect_err("nobody reads it");
    assert_eq!(Arc::strong_count(&dropped), 2);
    drop(message);
    assert_eq!(Arc::strong_count(&dropped), 1);
}

#[test]
fn a_message_to_a_channel_that_was_closed_does_not_reach_the_next_one_in_its_place() {
    let (dev, addresses, heard) = told();
    let mut queue = Queue::new().unwrap();
    let first = queue.open(&dev).unwrap();
    let address = addresses.recv().unwrap();
    queue.close(first);
    let second = queue.open(&dev).unwrap();
    assert_ne!(first, second, "two channels with one number");
    address.send(Box::new(1u32)).unwrap();
    addresses.recv().unwrap().send(Box::new(2u32)).unwrap();
    queue.run();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_bio_to_a_channel_that_was_closed_ends() {
    let (set, dev) = (set(), ready());
    let mut client = Client::of(&dev, &set);
    client.queue.close(client.channel);
    submit(&mut client);
    assert_eq!(client.told(), Some((0, Status::Offline)));
}

/// What is wrong with the end of a process that exits on a live queue thread.
fn exits(test: &str, how: &str) {
    const CHILD: &str = "UDM_EXITS_ON_A_QUEUE_THREAD";
    if let Ok(how) = std::env::var(CHILD) {
        child(&how);
    }
    let mut child = udm_testkit::again(module_path!(), test)
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
    let set = set();
    // Exits while bios that it was called with wait on the queue's lists.
    let exits = serves(geometry(), |_: &mut Dispatch, _: Bio| std::process::exit(7));
    let mut client = Client::of(&if how == "delivered" { ready() } else { exits }, &set);
    (0..3).for_each(|_| submit(&mut client));
    std::process::exit(7)
}

#[test]
#[cfg_attr(miri, ignore = "it starts a process")]
fn a_process_exits_with_bios_delivered() {
    exits("a_process_exits_with_bios_delivered", "delivered");
}

#[test]
#[cfg_attr(miri, ignore = "it starts a process")]
fn a_process_exits_in_a_driver_call() {
    exits("a_process_exits_in_a_driver_call", "submitted");
}

/// Many more queues than there are processors, threads or bits in a word: each works as the first one does.
#[test]
fn three_hundred_queues_on_one_device_all_work() {
    const QUEUES: usize = if cfg!(miri) { 70 } else { 300 };
    let (set, dev) = (BioSet::new(&udm_block::BioSetOptions::named("many"), &heap()).unwrap(), ready());
    let mut clients: Vec<_> = (0..QUEUES).map(|_| Client::of(&dev, &set)).collect();
    for _ in 0..3 {
        for client in &mut clients {
            submit(client);
            assert_eq!(client.told(), Some((0, Status::Ok)));
        }
    }
}

/// Ends each bio at once, and does I/O of its own for it below, of which no client hears.
struct Behind {
    lower: DeviceRef,
    set: BioSet<Bare>,
    count: u64,
}

struct BehindChannel {
    lower: ChannelId,
    bios: Bios<Bare>,
    count: u64,
}

impl Device for Behind {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, bios) = (opening.open(&self.lower)?, opening.bios(&self.set));
        Ok(Box::new(BehindChannel { lower, bios, count: self.count }))
    }
}

impl Channel for BehindChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        for number in 0..self.count {
            let mut own = self.bios.alloc(cx, Bare, Alloc::NoWait).ok().expect("reserved");
            own.prepare(Op::Discard, Flags::NONE, Sector(2 * number));
            own.set_range(Bytes(1024));
            cx.submit(self.lower, own.into_bio());
        }
        cx.complete(bio, Status::Ok);
    }

    fn end_io(&mut self, _: &mut Dispatch, bio: OwnBio) {
        let own = self.bios.claim(bio).ok().expect("its own bio");
        self.bios.free(own);
    }
}

/// Hands bios on in two pieces, or as clones.
struct Hands<P: Pad> {
    lower: DeviceRef,
    set: BioSet<P>,
}

struct HandsChannel<P: Pad> {
    lower: ChannelId,
    bios: Bios<P>,
}

/// What hands a bio on, and how its own end.
trait Hand: Pad {
    fn hand_on(bios: &mut Bios<Self>, cx: &mut Dispatch, lower: ChannelId, bio: Bio);
    fn end(bios: &mut Bios<Self>, cx: &mut Dispatch, bio: PadBio<Self>);
}

impl Hand for Piece {
    fn hand_on(bios: &mut Bios<Self>, cx: &mut Dispatch, lower: ChannelId, bio: Bio) {
        let split = bio.split(cx, Bytes(512), bios, Alloc::NoWait).expect("reserved");
        cx.submit(lower, split.front);
        cx.submit(lower, split.rest);
    }

    fn end(bios: &mut Bios<Self>, cx: &mut Dispatch, bio: PadBio<Self>) {
        bios.end_piece(cx, bio);
    }
}

impl Hand for Bare {
    fn hand_on(bios: &mut Bios<Self>, cx: &mut Dispatch, lower: ChannelId, bio: Bio) {
        let mut clone = bios.alloc(cx, Bare, Alloc::NoWait).ok().expect("reserved");
        clone.clone_of(bio);
        cx.submit(lower, clone.into_bio());
    }

    fn end(bios: &mut Bios<Self>, cx: &mut Dispatch, mut bio: PadBio<Self>) {
        let (parent, status) = (bio.take_parent().expect("put in"), bio.status());
        bios.free(bio);
        cx.complete(parent, status);
    }
}

impl<P: Hand> Device for Hands<P> {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(HandsChannel { lower: opening.open(&self.lower)?, bios: opening.bios(&self.set) }))
    }
}

impl<P: Hand> Channel for HandsChannel<P> {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        P::hand_on(&mut self.bios, cx, self.lower, bio);
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let bio = self.bios.claim(bio).ok().expect("its own bio");
        P::end(&mut self.bios, cx, bio);
    }
}

/// A device's own bio is handed on by a driver whose bios end after their queue: all that hangs on them is free then.
fn what_ends_later_is_free<P: Hand>(pieces: u64) {
    let ((own, set), (kept, disk)) = ((set(), set()), keeping());
    let hands: DeviceRef =
        Arc::new(Hands::<P> { lower: disk, set: BioSet::new(&reserve_alone("hands", 4), &heap()).unwrap() });
    let mut client = Client::of(&(Arc::new(Behind { lower: hands, set: own.clone(), count: 2 }) as _), &set);
    submit(&mut client);
    assert_eq!(client.told(), Some((0, Status::Ok)));
    drop(client);
    let mut ended = 0;
    while let Some(bio) = { kept.lock().unwrap().pop() } {
        bio.complete_elsewhere(Status::Ok);
        ended += 1;
    }
    assert_eq!(ended, 2 * pieces);
    assert_all_home(&own);
    assert_all_home(&set);
}

#[test]
fn what_a_bio_that_ends_after_its_queue_is_a_piece_of_is_free_then() {
    what_ends_later_is_free::<Piece>(2);
}

#[test]
fn what_a_bio_that_ends_after_its_queue_is_a_clone_of_is_free_then() {
    what_ends_later_is_free::<Bare>(1);
}

/// Needs a bio of its set for each bio, and parks those that find none.
struct Parks(BioSet<Bare>);

struct ParksChannel(Bios<Bare>);

impl Device for Parks {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ParksChannel(opening.bios(&self.0))))
    }
}

impl Channel for ParksChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Ok(needed) = self.0.alloc(cx, Bare, Alloc::NoWait) else { return self.0.park(cx, bio) };
        self.0.free(needed);
        cx.complete(bio, Status::Ok);
    }
}

#[test]
fn bios_that_are_parked_when_their_queue_ends_leave_the_reserve_to_the_next_on_a_bounded_stack() {
    const PARKED: u64 = if cfg!(miri) { 50 } else { 20_000 };
    let own = BioSet::new(&reserve_alone("behind", PARKED as usize), &heap()).unwrap();
    let scarce = BioSet::new(&reserve_alone("scarce", 1), &heap()).unwrap();
    let parks: DeviceRef = Arc::new(Parks(scarce.clone()));
    let mut queue = Queue::new().unwrap();
    let held = queue.bios(&scarce).alloc(queue.cx(), Bare, Alloc::NoWait).ok().unwrap();
    let set = set();
    let behind = Arc::new(Behind { lower: parks.clone(), set: own.clone(), count: PARKED });
    let mut client = Client::of(&(behind as DeviceRef), &set);
    submit(&mut client);
    assert_eq!((client.told(), scarce.waits().0.parked), (Some((0, Status::Ok)), PARKED));
    let mut next = Client::of(&parks, &set);
    submit(&mut next);
    drop(client);
    assert_eq!(next.told(), None, "it waits behind them");
    drop(held);
    assert_eq!(next.wait(), (0, Status::Ok));
    assert_home(&own, PARKED as usize);
    assert_home(&scarce, 1);
}

#[test]
fn a_queue_that_is_dropped_ends_the_pieces_of_its_users_bios() {
    let (set, dev) = (set(), ready());
    let pieces = BioSet::<Piece>::new(&reserve_alone("pieces", 4), &heap()).unwrap();
    let mut client = Client::of(&dev, &set);
    let mut split = client.queue.bios(&pieces);
    let mut bio = client.bios.alloc(client.queue.cx(), Bare, Alloc::NoWait).ok().unwrap();
    bio.prepare(Op::Discard, Flags::NONE, Sector(0));
    bio.set_range(Bytes(1024));
    let split = bio.into_bio().split(client.queue.cx(), Bytes(512), &mut split, Alloc::NoWait).unwrap();
    client.queue.submit_part(client.channel, split.front);
    client.queue.submit_part(client.channel, split.rest);
    assert_eq!(client.queue.under_way(), 2);
    let (end, ended) = channel();
    thread::spawn(move || {
        drop(client);
        end.send(()).unwrap();
    });
    assert_eq!(
        ended.recv_timeout(Duration::from_secs(20)),
        Ok(()),
        "it waits for a bio whose pieces have ended"
    );
    assert_all_home(&set);
}

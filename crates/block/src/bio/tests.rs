//! Bios in a stack of small devices: order, splits, chains, errors, and pools that run dry.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bio::{INLINE_SPANS, MAX_SPANS, Piece};
use crate::memory::{Heap, Refuse, Source, Starving, splitmix64};
use crate::sync::Mutex;
use crate::*;

/// The pad of a client's bio.
struct Bare;

impl Pad for Bare {}

/// A client: a queue with a device open, and what it has heard of the ends of its bios.
struct Client {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Bare>,
}

type Told = (u64, Status);

impl Client {
    #[expect(clippy::needless_pass_by_value, reason = "each test makes its device in place")]
    fn of(dev: DeviceRef) -> Self {
        Self::with(&dev, &BioSetOptions::named("test"), &heap())
    }

    fn with(dev: &DeviceRef, options: &BioSetOptions, source: &Source) -> Self {
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(dev).unwrap();
        let bios = queue.bios(&BioSet::new(options, source).unwrap());
        Self { queue, channel, bios }
    }

    /// A write without memory: no device of these tests touches its data.
    fn make(&mut self, sector: u64, sectors: u64) -> PadBio<Bare> {
        let mut bio = self.bios.alloc(self.queue.cx(), Bare, Alloc::NoWait).ok().unwrap();
        bio.prepare(Op::Write, Flags::NONE, Sector(sector));
        bio.set_range(Sectors(sectors).bytes());
        bio
    }

    fn submit(&mut self, sector: u64, sectors: u64) {
        let bio = self.make(sector, sectors);
        self.queue.submit(self.channel, bio);
    }

    /// The next that has ended.
    fn told(&mut self) -> Option<Told> {
        let bio = self.bios.claim(self.queue.take_ended()?).ok().unwrap();
        let told = (bio.sector().0, bio.status());
        self.bios.free(bio);
        Some(told)
    }

    /// Waits for the next that ends.
    fn wait(&mut self) -> Told {
        loop {
            if let Some(told) = self.told() {
                return told;
            }
            self.queue.wait(&mut [], None).unwrap();
        }
    }

    /// One bio, to its end.
    fn end_of(&mut self, sector: u64, sectors: u64) -> Status {
        self.submit(sector, sectors);
        self.wait().1
    }
}

/// A driver that is a function, of no channel of its own.
struct Serves<F>(Geometry, F);

impl<F: Fn(&mut Dispatch, Bio) + Clone + Send + Sync + 'static> Device for Serves<F> {
    fn geometry(&self) -> Geometry {
        self.0
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(Served(self.1.clone())))
    }
}

struct Served<F>(F);

impl<F: Fn(&mut Dispatch, Bio) + Send> Channel for Served<F> {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        (self.0)(cx, bio);
    }
}

/// Ends every bio with a status, and remembers what it saw.
#[derive(Clone)]
struct Bottom {
    geometry: Geometry,
    seen: Arc<Mutex<Vec<(Op, u64, u64)>>>,
    status: fn(&Bio) -> Status,
}

impl Bottom {
    fn new(status: fn(&Bio) -> Status) -> Arc<Self> {
        let geometry = Geometry::plain(Sectors(1 << 30));
        Arc::new(Self { geometry, seen: Arc::new(Mutex::new(Vec::new())), status })
    }

    fn seen(&self) -> Vec<(Op, u64, u64)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Device for Bottom {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let this = self.clone();
        Ok(Box::new(Served(move |cx: &mut Dispatch, bio: Bio| {
            this.seen.lock().unwrap().push((bio.op(), bio.sector().0, bio.sectors().0));
            let status = (this.status)(&bio);
            cx.complete(bio, status);
        })))
    }
}

/// Splits bios at every `at` sectors, one piece a call, as a stacking driver does.
struct Splitter {
    lower: DeviceRef,
    at: u64,
    set: BioSet<Piece>,
}

impl Splitter {
    fn over(lower: DeviceRef, at: u64, reserve: usize, source: &Source) -> Arc<Self> {
        let options =
            BioSetOptions { reserve, limit: usize::MAX >> 16, stock: 4, ..BioSetOptions::named("splitter") };
        Arc::new(Self { lower, at, set: BioSet::new(&options, source).unwrap() })
    }
}

impl Device for Splitter {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, pieces) = (opening.open(&self.lower)?, opening.bios(&self.set));
        Ok(Box::new(SplitterChannel { lower, at: self.at, pieces }))
    }
}

struct SplitterChannel {
    lower: ChannelId,
    at: u64,
    pieces: Bios<Piece>,
}

impl Channel for SplitterChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let here = self.at - bio.sector().0 % self.at;
        if bio.sectors().0 <= here {
            return cx.submit(self.lower, bio);
        }
        match bio.split(cx, Sectors(here).bytes(), &mut self.pieces, Alloc::NoWait) {
            Ok(split) => {
                cx.submit(self.lower, split.front);
                // The rest comes to this driver again: the list makes that an iteration.
                cx.again(split.rest);
            }
            Err(bio) => self.pieces.park(cx, bio),
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let piece = self.pieces.claim(bio).ok().unwrap();
        self.pieces.end_piece(cx, piece);
    }
}

fn heap() -> Source {
    Arc::new(Heap)
}

/// Holds bios until they are let go, as a device whose medium is slow.
fn slow() -> (Arc<Mutex<BioList>>, DeviceRef) {
    let held = Arc::new(Mutex::new(BioList::new()));
    let theirs = Arc::clone(&held);
    let serve = move |_: &mut Dispatch, bio| theirs.lock().unwrap().push(bio);
    (held, Arc::new(Serves(Geometry::plain(Sectors(1 << 20)), serve)))
}

#[test]
fn a_bio_in_ten_thousand_pieces_through_sixty_four_layers_ends_on_a_small_stack() {
    const PIECES: u64 = if cfg!(miri) { 20 } else { 10_000 };
    const LAYERS: u32 = if cfg!(miri) { 8 } else { 64 };
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(|| {
        let bottom = Bottom::new(|_| Status::Ok);
        let mut dev: DeviceRef = bottom.clone();
        for layer in 0..LAYERS {
            // The lowest layer splits into single sectors, the others at coarser and coarser places.
            dev = Splitter::over(dev, 1 << (layer / LAYERS.div_ceil(11)), 1, &heap());
        }
        let mut client = Client::of(dev);
        client.submit(0, PIECES);
        assert_eq!(client.told(), Some((0, Status::Ok)));
        let seen = bottom.seen();
        assert_eq!(seen.len() as u64, PIECES);
        assert!(seen.iter().enumerate().all(|(i, piece)| *piece == (Op::Write, i as u64, 1)), "out of order");
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn lower_bios_go_before_the_rest_of_the_same_device() {
    // Depth first: all pieces of the first half reach the bottom before the second half is split at all.
    static SPLITS: AtomicUsize = AtomicUsize::new(0);
    let bottom = Bottom::new(|_| {
        SPLITS.fetch_add(1, Ordering::Relaxed);
        Status::Ok
    });
    let fine = Splitter::over(bottom.clone(), 2, 1, &heap());
    let mut client = Client::of(Splitter::over(fine, 8, 1, &heap()));
    let end = client.end_of(4, 16);
    let at: Vec<u64> = bottom.seen().iter().map(|seen| seen.1).collect();
    assert_eq!(at, [4, 6, 8, 10, 12, 14, 16, 18]);
    assert_eq!((end, SPLITS.load(Ordering::Relaxed)), (Status::Ok, 8));
}

#[test]
fn the_first_error_of_a_piece_sticks() {
    let bottom = Bottom::new(|bio| match bio.sector().0 {
        3 => Status::Medium,
        5 => Status::NoSpace,
        _ => Status::Ok,
    });
    let mut client = Client::of(Splitter::over(bottom, 1, 1, &heap()));
    assert_eq!(client.end_of(0, 8), Status::Medium);
    assert_eq!(client.end_of(6, 2), Status::Ok, "a status outlives its bio");
}

#[test]
fn what_a_device_cannot_take_is_refused_before_it_sees_it() {
    let mut bottom = Arc::try_unwrap(Bottom::new(|_| Status::Ok)).ok().unwrap();
    bottom.geometry = Geometry { logical_block: 4096, ..Geometry::plain(Sectors(64)) };
    let bottom = Arc::new(bottom);
    let mut client = Client::of(bottom.clone());
    for (sector, sectors, want) in [
        (56, 8, Status::Ok),
        (56, 16, Status::IoErr),
        (u64::MAX - 7, 8, Status::IoErr),
        (4, 8, Status::Invalid),
        (8, 4, Status::Invalid),
    ] {
        assert_eq!(client.end_of(sector, sectors), want, "{sectors} sectors at {sector}");
    }
    assert_eq!(bottom.seen().len(), 1);
}

#[test]
fn with_a_reserve_of_one_and_no_memory_parked_bios_are_served_in_order() {
    let source = Starving::new(heap());
    let (slow, disk) = slow();
    let mut client = Client::of(Splitter::over(disk, 4, 1, &(source.clone() as Source)));
    source.refuse(Refuse::Always);
    for sector in [0, 8, 16] {
        client.submit(sector, 8);
    }
    let mut served = Vec::new();
    loop {
        let Some(bio) = slow.lock().unwrap().pop() else { break };
        served.push(bio.sector().0);
        bio.complete_elsewhere(Status::Ok);
        client.queue.run();
    }
    // The first bio had the one piece. What was parked went on as pieces came home, first come, first served.
    assert_eq!(served, [0, 4, 8, 12, 16, 20]);
    let ends: Vec<u64> = std::iter::from_fn(|| client.told()).map(|told| told.0).collect();
    assert_eq!(ends, [0, 8, 16]);
}

#[test]
#[should_panic(expected = "a driver lost a bio")]
fn losing_a_bio_is_loud() {
    let mut client =
        Client::of(Arc::new(Serves(Geometry::plain(Sectors(8)), |_: &mut Dispatch, bio| drop(bio))));
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.submit(7, 1)));
    assert_eq!(client.wait(), (7, Status::IoErr), "the client did not hear of it");
    std::panic::resume_unwind(lost.unwrap_err());
}

#[test]
#[should_panic(expected = "a bio that had ended was not claimed")]
fn a_bio_that_nobody_claims_is_loud() {
    let mut client = Client::of(Bottom::new(|_| Status::Ok));
    client.submit(7, 1);
    drop(client.queue.take_ended());
}

#[test]
fn a_list_keeps_its_order() {
    let (slow, disk) = slow();
    let mut client = Client::of(disk);
    let mut make = |sector| {
        client.submit(sector, 1);
        slow.lock().unwrap().pop().unwrap()
    };
    let mut list = BioList::new();
    (0..5).for_each(|sector| list.push(make(sector)));
    list.pop().unwrap().complete_elsewhere(Status::Ok);
    list.push(make(5));
    let mut others = BioList::new();
    (10..13).for_each(|sector| others.push(make(sector)));
    list.prepend(&mut others);
    (20..22).for_each(|sector| others.push(make(sector)));
    list.append(&mut others);
    while let Some(bio) = list.pop() {
        bio.complete_elsewhere(Status::Ok);
    }
    client.queue.run();
    let order: Vec<u64> = std::iter::from_fn(|| client.told()).map(|told| told.0).collect();
    assert_eq!(order, [0, 10, 11, 12, 1, 2, 3, 4, 5, 20, 21]);
}

#[test]
fn a_read_in_pieces_comes_back_to_its_owner_whole() {
    const LEN: usize = if cfg!(miri) { 2 << 10 } else { 50 << 10 };
    let medium: Vec<u8> = (0..128).flat_map(|sector| [sector; SECTOR_SIZE]).take(1024 + LEN).collect();
    let geometry = Geometry::plain(Sectors::in_bytes(medium.len() as u64));
    let dev = threaded(Arc::new(Mutex::new(medium.clone())), geometry);
    let door = blocking::Blocking::new(Splitter::over(dev, 3, 1, &heap())).unwrap();
    let mut got = vec![0; LEN];
    door.read_at(1024, &mut got).unwrap();
    assert!(got == medium[1024..][..LEN], "a piece is missing or out of place");
}

/// A device in memory that ends every bio on another thread, to be read and written from the front door.
fn threaded(medium: Arc<Mutex<Vec<u8>>>, geometry: Geometry) -> DeviceRef {
    let serve = move |_: &mut Dispatch, mut bio: Bio| {
        let medium = Arc::clone(&medium);
        std::thread::spawn(move || {
            let at = bio.sector().0 as usize * SECTOR_SIZE;
            let range = at..at + bio.len().0 as usize;
            match bio.op() {
                Op::Read => bio.data_mut().write(&medium.lock().unwrap()[range]),
                Op::Write => bio.data().read(&mut medium.lock().unwrap()[range]),
                _ => {}
            }
            bio.complete_elsewhere(Status::Ok);
        });
    };
    Arc::new(Serves(geometry, serve))
}

#[test]
fn the_front_door_reads_and_writes_any_bytes_of_a_device_that_ends_bios_elsewhere() {
    // Miri looks at each byte.
    const KIB: usize = if cfg!(miri) { 6 } else { 1024 };
    const SHORT: u64 = if cfg!(miri) { 3000 } else { 9000 };
    let mut seed = 0x5EED_0001;
    println!("seed {seed:#x}");
    let mut model: Vec<u8> = (0..2048 * KIB).map(|_| splitmix64(&mut seed) as u8).collect();
    let medium = Arc::new(Mutex::new(model.clone()));
    let geometry = Geometry { logical_block: 4096, ..Geometry::plain(Sectors::in_bytes(model.len() as u64)) };
    let door = blocking::Blocking::new(threaded(medium.clone(), geometry)).unwrap();
    for round in if cfg!(miri) { 1..2 } else { 0..40u8 } {
        let len = (splitmix64(&mut seed) % if round % 4 == 0 { 1024 * KIB as u64 } else { SHORT }) as usize;
        let offset = (splitmix64(&mut seed) % (model.len() - len) as u64) as usize;
        let data = vec![round; len];
        door.write_at(offset as u64, &data).unwrap();
        model[offset..offset + len].copy_from_slice(&data);
        let (from, to) = (offset.saturating_sub(5000), (offset + len + 5000).min(model.len()));
        let mut got = vec![0; to - from];
        door.read_at(from as u64, &mut got).unwrap();
        assert!(got == model[from..to], "round {round}: {len} bytes at {offset}");
    }
    assert_eq!(door.range(Op::Discard, 1, Bytes(4096)), Err(Status::Invalid));
    assert_eq!(door.range(Op::Discard, 0, Bytes(4096)), Err(Status::NotSupported));
    door.flush().unwrap();
    assert!(*medium.lock().unwrap() == model);
}

#[test]
fn zeros_of_any_length_are_written_from_memory_that_is_always_there() {
    // Miri looks at each byte.
    let lens = [512, 65536, 65536 + 512, zeroes::LONGEST];
    let (size, lens) = if cfg!(miri) { (4096, &lens[..1]) } else { (1 << 20, &lens[..]) };
    let medium = Arc::new(Mutex::new(vec![7; size]));
    let geometry = Geometry::plain(Sectors::in_bytes(size as u64));
    let mut client = Client::of(threaded(medium.clone(), geometry));
    for &len in lens {
        let mut bio = client.make(1, 0);
        bio.prepare(Op::Write, Flags::NONE, Sector(1));
        zeroes::set_zeroes(&mut bio, Bytes(len));
        client.queue.submit(client.channel, bio);
        assert_eq!(client.wait().1, Status::Ok);
        let bytes = std::mem::replace(&mut *medium.lock().unwrap(), vec![7; size]);
        let end = 512 + len as usize;
        assert!(bytes[512..end].iter().all(|byte| *byte == 0), "{len} bytes");
        assert!(bytes[..512].iter().chain(&bytes[end..]).all(|byte| *byte == 7), "{len} bytes");
    }
}

#[test]
fn more_bios_than_the_reserve_are_parked_and_all_come_through() {
    // Elements beyond the reserve serve some of the parked bios: their frees must wake the others too.
    let source = Starving::new(heap());
    let (slow, disk) = slow();
    let mut client = Client::of(Splitter::over(disk, 4, 2, &(source.clone() as Source)));
    client.submit(0, 8);
    client.submit(8, 8);
    source.refuse(Refuse::Always);
    for bio in 2..32 {
        client.submit(8 * bio, 8);
    }
    source.refuse(Refuse::Never);
    loop {
        let Some(bio) = slow.lock().unwrap().pop() else { break };
        bio.complete_elsewhere(Status::Ok);
        client.queue.run();
    }
    assert_eq!(std::iter::from_fn(|| client.told()).count(), 32);
}

/// A bio with `count` runs of a byte each.
fn of_runs(client: &mut Client, bytes: &[u8], count: usize) -> Option<PadBio<Bare>> {
    let mut bio = client.bios.alloc_with(client.queue.cx(), Bare, count, Alloc::NoWait).ok()?;
    bio.prepare(Op::Write, Flags::NONE, Sector(0));
    let runs: Vec<Span<'_>> = bytes[..count].chunks(1).map(Span::new).collect();
    // SAFETY: the bytes outlive the bio, which never leaves its test.
    unsafe { bio.set_foreign(&runs) };
    Some(bio)
}

#[test]
fn many_runs_have_a_table_of_a_size_that_fits_and_one_is_in_reserve() {
    let source = Starving::new(heap());
    let options =
        BioSetOptions { reserve: 2, limit: 8, stock: 0, runs: MAX_SPANS, ..BioSetOptions::named("runs") };
    let mut client =
        Client::with(&(Bottom::new(|_| Status::Ok) as DeviceRef), &options, &(source.clone() as Source));
    let bytes: Vec<u8> = (0..=255).collect();
    for count in [1, INLINE_SPANS, INLINE_SPANS + 1, 16, 17, 64, 65, MAX_SPANS] {
        let bio = of_runs(&mut client, &bytes, count).unwrap();
        let mut read = vec![0; count];
        bio.data().read(&mut read);
        assert_eq!((bio.data().count(), read.as_slice()), (count, &bytes[..count]));
    }
    source.refuse(Refuse::Always);
    let others = bytes.clone();
    let both = [of_runs(&mut client, &bytes, 9), of_runs(&mut client, &others, MAX_SPANS)];
    assert!(both.iter().all(Option::is_some));
    assert!(of_runs(&mut client, &[0; 9], 9).is_none(), "the reserve has more than it was made with");
    drop(both);
    assert!(of_runs(&mut client, &[0; 9], 9).is_some());
}

#[test]
#[should_panic(expected = "9 runs in a bio of a set for fewer")]
fn more_runs_than_the_set_is_for_are_refused() {
    let mut client = Client::of(Bottom::new(|_| Status::Ok));
    of_runs(&mut client, &[0; 9], 9);
}

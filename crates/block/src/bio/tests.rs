//! Bios in a stack of small devices: order, splits, chains, errors, and pools that run dry.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::bio::{INLINE_SPANS, MAX_SPANS};
use crate::memory::{Heap, Refuse, Source, Starving, splitmix64};
use crate::sync::Mutex;
use crate::*;

/// Tells a channel how a bio ended.
struct Tell(Sender<(u64, Status)>);

impl Pad for Tell {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        let told = (bio.sector().0, bio.status());
        bio.pad().0.send(told).unwrap();
    }
}

/// Ends every bio with a status, and remembers what it saw.
struct Bottom {
    geometry: Geometry,
    seen: Mutex<Vec<(Op, u64, u64)>>,
    status: fn(&Bio) -> Status,
}

impl Bottom {
    fn new(status: fn(&Bio) -> Status) -> Arc<Self> {
        let geometry = Geometry::plain(Sectors(1 << 30));
        Arc::new(Self { geometry, seen: Mutex::new(Vec::new()), status })
    }

    fn seen(&self) -> Vec<(Op, u64, u64)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Device for Bottom {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, bio: Bio) {
        self.seen.lock().unwrap().push((bio.op(), bio.sector().0, bio.sectors().0));
        let status = (self.status)(&bio);
        bio.complete(status);
    }
}

/// Splits bios at every `at` sectors, one piece a call, as a stacking driver does.
struct Splitter {
    lower: DeviceRef,
    at: u64,
    set: BioSet<bio::Piece>,
}

impl Splitter {
    fn over(lower: DeviceRef, at: u64, reserve: usize, source: &Source) -> Arc<Self> {
        let options = BioSetOptions {
            reserve,
            limit: usize::MAX >> 16,
            magazine: 4,
            ..BioSetOptions::named("splitter")
        };
        Arc::new(Self { lower, at, set: BioSet::new(&options, source, ()).unwrap() })
    }
}

impl Device for Splitter {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn submit(&self, bio: Bio) {
        let here = self.at - bio.sector().0 % self.at;
        if bio.sectors().0 <= here {
            return submit(&self.lower, bio);
        }
        match bio.split(Sectors(here).bytes(), &self.set, Alloc::NoWait) {
            Ok(split) => {
                submit(&self.lower, split.front);
                // The rest comes to this driver again: the list makes that an iteration.
                crate::submit::again(split.rest);
            }
            Err(bio) => self.set.park(bio),
        }
    }
}

fn heap() -> Source {
    Arc::new(Heap)
}

type Told = (u64, Status);

fn teller() -> (BioSet<Tell>, Sender<Told>, Receiver<Told>) {
    let (send, receive) = channel();
    (BioSet::new(&BioSetOptions::named("test"), &heap(), ()).unwrap(), send, receive)
}

fn discard(set: &BioSet<Tell>, send: &Sender<(u64, Status)>, sector: u64, sectors: u64) -> PadBio<Tell> {
    let mut bio = set.alloc(Tell(send.clone()), Alloc::NoWait).ok().unwrap();
    bio.prepare(Op::Write, Flags::NONE, Sector(sector));
    // SAFETY: no device of these tests touches the data.
    unsafe {
        let run = Span::from_raw(std::ptr::NonNull::dangling(), Sectors(sectors).bytes().0 as usize);
        bio.set_foreign(&[run]);
    }
    bio
}

#[test]
fn a_bio_in_ten_thousand_pieces_through_sixty_four_layers_ends_on_a_small_stack() {
    const PIECES: u64 = if cfg!(miri) { 60 } else { 10_000 };
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(|| {
        let bottom = Bottom::new(|_| Status::Ok);
        let mut dev: DeviceRef = bottom.clone();
        for layer in 0..64 {
            // The lowest layer splits into single sectors, the others at coarser and coarser places.
            dev = Splitter::over(dev, 1 << (layer / 6), 1, &heap());
        }
        let (set, send, receive) = teller();
        discard(&set, &send, 0, PIECES).submit(&dev);
        assert_eq!(receive.recv().unwrap(), (0, Status::Ok));
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
    let coarse: DeviceRef = Splitter::over(fine, 8, 1, &heap());
    let (set, send, receive) = teller();
    discard(&set, &send, 4, 16).submit(&coarse);
    let at: Vec<u64> = bottom.seen().iter().map(|seen| seen.1).collect();
    assert_eq!(at, [4, 6, 8, 10, 12, 14, 16, 18]);
    assert_eq!((receive.recv().unwrap().1, SPLITS.load(Ordering::Relaxed)), (Status::Ok, 8));
}

#[test]
fn the_first_error_of_a_piece_sticks() {
    let bottom = Bottom::new(|bio| match bio.sector().0 {
        3 => Status::Medium,
        5 => Status::NoSpace,
        _ => Status::Ok,
    });
    let dev: DeviceRef = Splitter::over(bottom, 1, 1, &heap());
    let (set, send, receive) = teller();
    discard(&set, &send, 0, 8).submit(&dev);
    assert_eq!(receive.recv().unwrap().1, Status::Medium);
    discard(&set, &send, 6, 2).submit(&dev);
    assert_eq!(receive.recv().unwrap().1, Status::Ok, "a status outlives its bio");
}

#[test]
fn what_a_device_cannot_take_is_refused_before_it_sees_it() {
    let mut bottom = Arc::try_unwrap(Bottom::new(|_| Status::Ok)).ok().unwrap();
    bottom.geometry = Geometry { logical_block: 4096, ..Geometry::plain(Sectors(64)) };
    let bottom = Arc::new(bottom);
    let dev: DeviceRef = bottom.clone();
    let (set, send, receive) = teller();
    for (sector, sectors, want) in [
        (56, 8, Status::Ok),
        (56, 16, Status::IoErr),
        (u64::MAX - 7, 8, Status::IoErr),
        (4, 8, Status::Invalid),
        (8, 4, Status::Invalid),
    ] {
        discard(&set, &send, sector, sectors).submit(&dev);
        assert_eq!(receive.recv().unwrap().1, want, "{sectors} sectors at {sector}");
    }
    assert_eq!(bottom.seen().len(), 1);
}

/// Holds bios until they are let go, as a device whose medium is slow.
struct Slow(Mutex<BioList>, Geometry);

impl Device for Slow {
    fn geometry(&self) -> Geometry {
        self.1
    }

    fn submit(&self, bio: Bio) {
        self.0.lock().unwrap().push(bio);
    }
}

#[test]
fn with_a_reserve_of_one_and_no_memory_parked_bios_are_served_in_order() {
    let source = Starving::new(heap());
    let slow = Arc::new(Slow(Mutex::new(BioList::new()), Geometry::plain(Sectors(1 << 20))));
    let dev: DeviceRef = Splitter::over(slow.clone(), 4, 1, &(source.clone() as Source));
    source.refuse(Refuse::Always);
    let (set, send, receive) = teller();
    for sector in [0, 8, 16] {
        discard(&set, &send, sector, 8).submit(&dev);
    }
    let mut served = Vec::new();
    loop {
        let Some(bio) = slow.0.lock().unwrap().pop() else { break };
        served.push(bio.sector().0);
        bio.complete(Status::Ok);
    }
    // The first bio had the one piece. What was parked went on as pieces came home, first come, first served.
    assert_eq!(served, [0, 4, 8, 12, 16, 20]);
    let ends: Vec<u64> = receive.try_iter().map(|(sector, _)| sector).collect();
    assert_eq!(ends, [0, 8, 16]);
}

#[test]
#[should_panic(expected = "a driver lost a bio")]
fn losing_a_bio_is_loud() {
    let (set, send, receive) = teller();
    let bio = discard(&set, &send, 7, 1).into_bio();
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(bio)));
    assert_eq!(receive.recv().unwrap(), (7, Status::IoErr), "the client did not hear of it");
    std::panic::resume_unwind(lost.unwrap_err());
}

#[test]
fn a_list_keeps_its_order() {
    let (set, send, receive) = teller();
    let make = |sector| discard(&set, &send, sector, 1).into_bio();
    let mut list = BioList::new();
    (0..5).for_each(|sector| list.push(make(sector)));
    list.pop().unwrap().complete(Status::Ok);
    list.push(make(5));
    let mut others = BioList::new();
    (10..13).for_each(|sector| others.push(make(sector)));
    list.prepend(&mut others);
    (20..22).for_each(|sector| others.push(make(sector)));
    list.append(&mut others);
    while let Some(bio) = list.pop() {
        bio.complete(Status::Ok);
    }
    let order: Vec<u64> = receive.try_iter().map(|(sector, _)| sector).collect();
    assert_eq!(order, [0, 10, 11, 12, 1, 2, 3, 4, 5, 20, 21]);
}

#[test]
fn a_read_in_pieces_comes_back_to_its_owner_whole() {
    const LEN: usize = if cfg!(miri) { 5 << 10 } else { 50 << 10 };
    let medium: Vec<u8> = (0..64 << 10).map(|at| (at / 512) as u8).collect();
    let geometry = Geometry::plain(Sectors(128));
    let dev = Arc::new(Threaded(Arc::new(Mutex::new(medium.clone())), geometry));
    let door = blocking::Blocking::new(Splitter::over(dev, 3, 1, &heap())).unwrap();
    let mut got = vec![0; LEN];
    door.read_at(1024, &mut got).unwrap();
    assert!(got == medium[1024..][..LEN], "a piece is missing or out of place");
}

/// A device in memory that ends every bio on another thread, to be read and written from the front door.
struct Threaded(Arc<Mutex<Vec<u8>>>, Geometry);

impl Device for Threaded {
    fn geometry(&self) -> Geometry {
        self.1
    }

    fn submit(&self, bio: Bio) {
        let medium = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let at = bio.sector().0 as usize * SECTOR_SIZE;
            let range = at..at + bio.len().0 as usize;
            match bio.op() {
                Op::Read => bio.data().write(&medium.lock().unwrap()[range]),
                Op::Write => bio.data().read(&mut medium.lock().unwrap()[range]),
                _ => {}
            }
            bio.complete(Status::Ok);
        });
    }
}

#[test]
fn the_front_door_reads_and_writes_any_bytes_of_a_device_that_ends_bios_elsewhere() {
    // Miri looks at each byte.
    const KIB: usize = if cfg!(miri) { 16 } else { 1024 };
    let mut seed = 0x5EED_0001;
    println!("seed {seed:#x}");
    let mut model: Vec<u8> = (0..2048 * KIB).map(|_| splitmix64(&mut seed) as u8).collect();
    let medium = Arc::new(Mutex::new(model.clone()));
    let geometry = Geometry { logical_block: 4096, ..Geometry::plain(Sectors::in_bytes(model.len() as u64)) };
    let door = blocking::Blocking::new(Arc::new(Threaded(medium.clone(), geometry))).unwrap();
    for round in 0..if cfg!(miri) { 2 } else { 40u8 } {
        let len = (splitmix64(&mut seed) % if round % 4 == 0 { 1024 * KIB as u64 } else { 9000 }) as usize;
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
    let dev: DeviceRef = Arc::new(Threaded(medium.clone(), Geometry::plain(Sectors::in_bytes(size as u64))));
    let (set, send, receive) = teller();
    for &len in lens {
        let mut bio = discard(&set, &send, 1, 0);
        bio.prepare(Op::Write, Flags::NONE, Sector(1));
        zeroes::set_zeroes(&mut bio, Bytes(len));
        bio.submit(&dev);
        assert_eq!(receive.recv().unwrap().1, Status::Ok);
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
    let slow = Arc::new(Slow(Mutex::new(BioList::new()), Geometry::plain(Sectors(1 << 20))));
    let dev: DeviceRef = Splitter::over(slow.clone(), 4, 2, &(source.clone() as Source));
    let (set, send, receive) = teller();
    discard(&set, &send, 0, 8).submit(&dev);
    discard(&set, &send, 8, 8).submit(&dev);
    source.refuse(Refuse::Always);
    for bio in 2..32 {
        discard(&set, &send, 8 * bio, 8).submit(&dev);
    }
    source.refuse(Refuse::Never);
    loop {
        let Some(bio) = slow.0.lock().unwrap().pop() else { break };
        bio.complete(Status::Ok);
    }
    assert_eq!(receive.try_iter().count(), 32);
}

/// A bio of `set` with `count` runs of a byte each.
fn of_runs(set: &BioSet<Tell>, send: &Sender<Told>, bytes: &mut [u8], count: usize) -> Option<PadBio<Tell>> {
    let mut bio = set.alloc_with(Tell(send.clone()), count, Alloc::NoWait).ok()?;
    bio.prepare(Op::Write, Flags::NONE, Sector(0));
    let runs: Vec<Span<'_>> = bytes[..count].chunks_mut(1).map(Span::new).collect();
    // SAFETY: the bytes outlive the bio, which never leaves its test.
    unsafe { bio.set_foreign(&runs) };
    Some(bio)
}

#[test]
fn many_runs_have_a_table_of_a_size_that_fits_and_one_is_in_reserve() {
    let source = Starving::new(heap());
    let options = BioSetOptions { reserve: 2, magazine: 0, runs: MAX_SPANS, ..BioSetOptions::named("runs") };
    let set = BioSet::<Tell>::new(&options, &(source.clone() as Source), ()).unwrap();
    let (send, _receive) = channel();
    let mut bytes: Vec<u8> = (0..=255).collect();
    for count in [1, INLINE_SPANS, INLINE_SPANS + 1, 16, 17, 64, 65, MAX_SPANS] {
        let bio = of_runs(&set, &send, &mut bytes, count).unwrap();
        let mut read = vec![0; count];
        bio.data().read(&mut read);
        assert_eq!((bio.data().count(), read.as_slice()), (count, &bytes[..count]));
    }
    source.refuse(Refuse::Always);
    let mut others = bytes.clone();
    let both = [of_runs(&set, &send, &mut bytes, 9), of_runs(&set, &send, &mut others, MAX_SPANS)];
    assert!(both.iter().all(Option::is_some));
    assert!(of_runs(&set, &send, &mut [0; 9], 9).is_none(), "the reserve has more than it was made with");
    drop(both);
    assert!(of_runs(&set, &send, &mut [0; 9], 9).is_some());
}

#[test]
#[should_panic(expected = "9 runs in a bio of a set for fewer")]
fn more_runs_than_the_set_is_for_are_refused() {
    let (set, send, _receive) = teller();
    of_runs(&set, &send, &mut [0; 9], 9);
}

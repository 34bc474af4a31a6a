//! Disks in memory, and the device of a table over them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use udm_block::memory::{Heap, Source};
use udm_block::{
    Bio, Channel, Device, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sectors, Status,
};
use udm_dm::load::{LoadError, Lookup, LookupError, load};
use udm_dm::table::Table;
use udm_dm::targets::crypt::CipherChoice;

/// How many operations there are.
const OPS: usize = 5;

/// A disk in memory. It allocates nothing when it is used.
#[derive(Clone)]
pub struct Disk(Arc<Medium>);

struct Medium {
    geometry: Geometry,
    bytes: Mutex<Vec<u8>>,
    /// How often each operation came.
    seen: [AtomicUsize; OPS],
    fails: AtomicBool,
}

impl Disk {
    pub fn new(sectors: u64) -> Self {
        Self::with(Geometry { discard: true, write_zeroes: true, ..Geometry::plain(Sectors(sectors)) })
    }

    pub fn with(geometry: Geometry) -> Self {
        let bytes = Mutex::new(vec![0; geometry.size.bytes().0 as usize]);
        Self(Arc::new(Medium { geometry, bytes, seen: Default::default(), fails: AtomicBool::new(false) }))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.bytes.lock().unwrap().clone()
    }

    /// How many bios of this operation came since it was last asked.
    pub fn seen(&self, op: Op) -> usize {
        self.0.seen[op as usize].swap(0, Ordering::Relaxed)
    }

    pub fn fail(&self) {
        self.0.fails.store(true, Ordering::Relaxed);
    }

    fn serve(&self, bio: &mut Bio) -> Status {
        self.0.seen[bio.op() as usize].fetch_add(1, Ordering::Relaxed);
        if self.0.fails.load(Ordering::Relaxed) {
            return Status::IoErr;
        }
        let mut bytes = self.0.bytes.lock().unwrap();
        let at = bio.sector().0 as usize * 512;
        let place = &mut bytes[at..at + bio.len().0 as usize];
        match bio.op() {
            Op::Read => bio.data_mut().write(place),
            Op::Write => bio.data().read(place),
            Op::Discard | Op::WriteZeroes => place.fill(0),
            Op::Flush => {}
        }
        Status::Ok
    }
}

impl Device for Disk {
    fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

impl Channel for Disk {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let status = self.serve(&mut bio);
        cx.complete(bio, status);
    }
}

/// The devices `a`, `b`, `c`.
pub struct Shelf<'a>(pub &'a [DeviceRef]);

impl Lookup for Shelf<'_> {
    fn device(&self, name: &str, _: u32) -> Result<DeviceRef, LookupError> {
        let index = ["a", "b", "c"].iter().position(|known| *known == name).ok_or(LookupError::NotFound)?;
        Ok(DeviceRef::clone(&self.0[index]))
    }
}

pub fn parse(text: &str) -> Table {
    Table::parse_with(udm_targets::all(), text).unwrap_or_else(|error| panic!("{error}"))
}

/// The disks as devices.
pub fn refs(disks: &[Disk]) -> Vec<DeviceRef> {
    disks.iter().map(|disk| Arc::new(disk.clone()) as DeviceRef).collect()
}

/// The device of a table over `disks`.
pub fn open(text: &str, disks: &[Disk]) -> Result<DeviceRef, LoadError> {
    let source: Source = Arc::new(Heap);
    Ok(load(&parse(text), &Shelf(&refs(disks)), &CipherChoice::default(), &source)?.into())
}

/// Bytes that differ from sector to sector.
pub fn stream(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 512 * 7 + at % 251) as u8).collect()
}

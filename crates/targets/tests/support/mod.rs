//! Disks in memory, and the device of a table over them.

use std::sync::{Arc, Mutex};

use udm_block::memory::Heap;
use udm_block::{
    Bio, Channel, Device, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sectors, Status,
};
use udm_dm::load::{LoadError, Lookup, LookupError, load};
use udm_dm::table::Table;
use udm_dm::targets::crypt::CipherChoice;

/// A disk in memory.
#[derive(Clone)]
pub struct Disk(Arc<Medium>);

struct Medium {
    geometry: Geometry,
    bytes: Mutex<Vec<u8>>,
    /// The operations that came.
    seen: Mutex<Vec<Op>>,
    fails: Mutex<bool>,
}

impl Disk {
    pub fn new(sectors: u64) -> Self {
        Self::with(Geometry { discard: true, write_zeroes: true, ..Geometry::plain(Sectors(sectors)) })
    }

    pub fn with(geometry: Geometry) -> Self {
        let bytes = Mutex::new(vec![0; geometry.size.bytes().0 as usize]);
        Self(Arc::new(Medium { geometry, bytes, seen: Mutex::default(), fails: Mutex::default() }))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.bytes.lock().unwrap().clone()
    }

    /// How many bios of this operation came since it was last asked.
    pub fn seen(&self, op: Op) -> usize {
        std::mem::take(&mut *self.0.seen.lock().unwrap()).iter().filter(|seen| **seen == op).count()
    }

    pub fn fail(&self) {
        *self.0.fails.lock().unwrap() = true;
    }

    fn serve(&self, bio: &Bio) -> Status {
        self.0.seen.lock().unwrap().push(bio.op());
        if *self.0.fails.lock().unwrap() {
            return Status::IoErr;
        }
        let mut bytes = self.0.bytes.lock().unwrap();
        let at = bio.sector().0 as usize * 512;
        let place = &mut bytes[at..at + bio.len().0 as usize];
        match bio.op() {
            Op::Read => bio.data().write(place),
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
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let status = self.serve(&bio);
        cx.complete(bio, status);
    }
}

/// The disks `a`, `b`, `c`.
pub struct Shelf<'a>(pub &'a [Disk]);

impl Lookup for Shelf<'_> {
    fn device(&self, name: &str, _: u32) -> Result<DeviceRef, LookupError> {
        let index = ["a", "b", "c"].iter().position(|known| *known == name).ok_or(LookupError::NotFound)?;
        Ok(Arc::new(self.0[index].clone()))
    }
}

pub fn parse(text: &str) -> Table {
    Table::parse_with(udm_targets::all(), text).unwrap_or_else(|error| panic!("{error}"))
}

/// The device of a table over `disks`.
pub fn open(text: &str, disks: &[Disk]) -> Result<DeviceRef, LoadError> {
    let source: udm_block::memory::Source = Arc::new(Heap);
    Ok(load(&parse(text), &Shelf(disks), &CipherChoice::default(), &source)?.into())
}

/// Bytes that differ from sector to sector.
pub fn stream(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 512 * 7 + at % 251) as u8).collect()
}

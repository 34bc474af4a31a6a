//! Media in memory: one that ends a bio at once, and one that ends bios on a thread of its own, out of order.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use udm_block::{Bio, Device, Flags, Geometry, Op, Sectors, Status};

use super::Dice;

/// A bio that a disk has served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub op: Op,
    pub flags: Flags,
    pub sector: u64,
    pub sectors: u64,
}

/// A disk in memory that serves a bio in the call.
pub struct Ram {
    bytes: Mutex<Vec<u8>>,
    geometry: Geometry,
    seen: Mutex<Vec<Seen>>,
}

impl Ram {
    /// A disk of zeros that takes everything.
    pub fn new(sectors: u64) -> Arc<Self> {
        let geometry = Geometry::plain(Sectors(sectors));
        Self::with(Geometry { discard: true, write_zeroes: true, ..geometry })
    }

    /// A disk of zeros with this geometry.
    pub fn with(geometry: Geometry) -> Arc<Self> {
        let bytes = vec![0; geometry.size.bytes().0 as usize];
        Arc::new(Self { bytes: Mutex::new(bytes), geometry, seen: Mutex::new(Vec::new()) })
    }

    /// What is on it.
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap()
    }

    /// The bios since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn serve(&self, bio: &Bio) -> Status {
        let (sector, sectors) = (bio.sector().0, bio.sectors().0);
        self.seen.lock().unwrap().push(Seen { op: bio.op(), flags: bio.flags(), sector, sectors });
        if bio.op() == Op::Flush {
            return Status::Ok;
        }
        let mut bytes = self.bytes();
        let place = &mut bytes[sector as usize * 512..][..bio.len().0 as usize];
        match bio.op() {
            Op::Read => bio.data().write(place),
            Op::Write => bio.data().read(place),
            Op::Discard | Op::WriteZeroes => place.fill(0),
            Op::Flush => {}
        }
        Status::Ok
    }
}

impl Device for Ram {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, bio: Bio) {
        let status = self.serve(&bio);
        bio.complete(status);
    }
}

/// A disk that ends bios on a thread of its own, in an order that dice decide.
pub struct Late {
    pub ram: Arc<Ram>,
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Waiting {
    /// The bios, and whether the disk is gone.
    bios: Mutex<(Vec<Bio>, bool)>,
    came: Condvar,
}

impl Late {
    /// `ram`, served by a thread.
    pub fn over(ram: Arc<Ram>, seed: u64) -> Arc<Self> {
        let waiting = Arc::<Waiting>::default();
        let (disk, bios) = (Arc::clone(&ram), Arc::clone(&waiting));
        let thread = Some(thread::spawn(move || serve_all(&disk, &bios, Dice(seed))));
        Arc::new(Self { ram, waiting, thread })
    }
}

fn serve_all(ram: &Ram, waiting: &Waiting, mut dice: Dice) {
    loop {
        let mut bios = waiting.bios.lock().unwrap();
        while bios.0.is_empty() {
            if bios.1 {
                return;
            }
            bios = waiting.came.wait(bios).unwrap();
        }
        let which = dice.below(bios.0.len() as u64) as usize;
        let bio = bios.0.swap_remove(which);
        drop(bios);
        ram.submit(bio);
        if dice.below(4) == 0 {
            thread::yield_now();
        }
    }
}

impl Device for Late {
    fn geometry(&self) -> Geometry {
        self.ram.geometry()
    }

    fn submit(&self, bio: Bio) {
        self.waiting.bios.lock().unwrap().0.push(bio);
        self.waiting.came.notify_one();
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.waiting.bios.lock().unwrap().1 = true;
        self.waiting.came.notify_one();
        // The thread itself may drop the last reference; it leaves on its own then.
        if let Some(thread) = self.thread.take().filter(|own| own.thread().id() != thread::current().id()) {
            thread.join().unwrap();
        }
    }
}

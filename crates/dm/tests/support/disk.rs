//! Media in memory: one that ends a bio at once, and one that ends bios on a thread of its own, out of order.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use udm_block::{Bio, Channel, Device, Dispatch, Flags, Geometry, Op, OpenError, Opening, Sectors, Status};

use super::Dice;

/// A device that does one thing with each bio, on every queue.
pub struct Does<F>(Geometry, Arc<F>);

/// A device of this geometry that does `work` with each bio.
pub fn does<F: Fn(&mut Dispatch, Bio) + Send + Sync + 'static>(geometry: Geometry, work: F) -> Arc<Does<F>> {
    Arc::new(Does(geometry, Arc::new(work)))
}

struct DoesChannel<F>(Arc<F>);

impl<F: Fn(&mut Dispatch, Bio) + Send + Sync + 'static> Device for Does<F> {
    fn geometry(&self) -> Geometry {
        self.0
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(DoesChannel(Arc::clone(&self.1))))
    }
}

impl<F: Fn(&mut Dispatch, Bio) + Send + Sync + 'static> Channel for DoesChannel<F> {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        (self.0)(cx, bio);
    }
}

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
    medium: Arc<Medium>,
    geometry: Geometry,
}

struct Medium {
    bytes: Mutex<Vec<u8>>,
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
        let medium = Medium { bytes: Mutex::new(bytes), seen: Mutex::new(Vec::new()) };
        Arc::new(Self { medium: Arc::new(medium), geometry })
    }

    /// What is on it.
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.medium.bytes.lock().unwrap()
    }

    /// The bios since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.medium.seen.lock().unwrap())
    }

    /// Serves a bio in a driver call.
    pub fn serve(&self, cx: &mut Dispatch, mut bio: Bio) {
        let status = self.medium.serve(&mut bio);
        cx.complete(bio, status);
    }

    /// Serves a bio on any thread.
    pub fn serve_elsewhere(&self, mut bio: Bio) {
        let status = self.medium.serve(&mut bio);
        bio.complete_elsewhere(status);
    }
}

impl Medium {
    fn serve(&self, bio: &mut Bio) -> Status {
        let (sector, sectors) = (bio.sector().0, bio.sectors().0);
        self.seen.lock().unwrap().push(Seen { op: bio.op(), flags: bio.flags(), sector, sectors });
        if bio.op() == Op::Flush {
            return Status::Ok;
        }
        let mut bytes = self.bytes.lock().unwrap();
        let place = &mut bytes[sector as usize * 512..][..bio.len().0 as usize];
        match bio.op() {
            Op::Read => bio.data_mut().write(place),
            Op::Write => bio.data().read(place),
            Op::Discard | Op::WriteZeroes => place.fill(0),
            Op::Flush => {}
        }
        Status::Ok
    }
}

struct RamChannel(Arc<Medium>);

impl Device for Ram {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(RamChannel(Arc::clone(&self.medium))))
    }
}

impl Channel for RamChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let status = self.0.serve(&mut bio);
        cx.complete(bio, status);
    }
}

/// A disk that ends bios on a thread of its own, in an order that dice decide.
pub struct Late {
    pub ram: Arc<Ram>,
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

struct LateChannel(Arc<Waiting>);

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
        ram.serve_elsewhere(bio);
        if dice.below(4) == 0 {
            thread::yield_now();
        }
    }
}

impl Device for Late {
    fn geometry(&self) -> Geometry {
        self.ram.geometry()
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(LateChannel(Arc::clone(&self.waiting))))
    }
}

impl Channel for LateChannel {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        self.0.bios.lock().unwrap().0.push(bio);
        self.0.came.notify_one();
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

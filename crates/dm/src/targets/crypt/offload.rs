//! What there is for the conversion of a clone's sectors by an asynchronous driver, on any thread.
//!
//! All sectors that one IV rule numbers go in one request. That takes memory: for IVs that are made one by one, and for
//! what the driver wants. It is asked for once, without waiting (Mikulas Patocka's review of "dm crypt: batch all sectors
//! of a bio per crypto request"): where there is none the clone is marked for good and goes on in single-unit mode, with
//! what its pad holds. So a retry cannot loop, and no write fails for want of memory.

use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::memory::{PAGE_SIZE, Source};
use udm_block::mempool::NoReserve;
use udm_block::{Alloc, BioList, Buffers, Bytes, Dispatch, PadBio, PagePool, PagePoolOptions, Pages, Status};
use udm_crypto::{Direction, Iv};

use super::convert::Converter;
use super::crypt_io::CryptIo;
use super::limits::LONGEST;
use super::params::CryptOptions;

/// How much optional memory a target takes at most, in bytes.
const LIMIT: usize = 1 << 20;

/// What a target has for an asynchronous driver.
pub(super) struct Offload {
    /// Which way sectors go to it.
    encrypts: bool,
    decrypts: bool,
    /// Optional memory: it has no reserve.
    optional: PagePool,
    /// What a request of several units takes of it for each; 0 where it takes none.
    pub(super) bytes_per_unit: usize,
}

/// What one channel has for it.
pub(super) struct OffloadChannel {
    pub(super) optional: Buffers,
    pub(super) backlog: HeldClones,
}

static ASKED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// How often the crypt targets of this process asked for memory that an I/O can do without.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OptionalMemory {
    /// By how many clones, each once.
    pub asked: u64,
    /// How many of them went on without.
    pub refused: u64,
}

impl OptionalMemory {
    /// The counts so far.
    pub fn counts() -> Self {
        let [asked, refused] = [&ASKED, &REFUSED].map(|count| count.load(Ordering::Relaxed));
        Self { asked, refused }
    }
}

impl Offload {
    /// What the driver of `converter` needs, where it is asynchronous. Where `options` keep a direction from work queues, or
    /// all work on its processor, the driver is not to be asynchronous.
    ///
    /// # Errors
    /// Never: there is no reserve.
    pub(super) fn of(
        converter: &Converter,
        options: &CryptOptions,
        source: &Source,
    ) -> Result<Option<Self>, NoReserve> {
        let [encrypts, decrypts] = [Direction::Encrypt, Direction::Decrypt].map(|way| options.may_wait(way));
        let Some(later) = converter.later().filter(|_| encrypts || decrypts) else { return Ok(None) };
        let of_ivs = if converter.iv().is_vector() { size_of::<Iv>() } else { 0 };
        let bytes_per_unit = of_ivs + later.bytes_per_unit;
        let largest = (LONGEST / converter.unit_size() * bytes_per_unit).next_power_of_two().max(PAGE_SIZE);
        let pool =
            PagePoolOptions { name: "crypt requests", largest, reserve: 0, limit: LIMIT, stock: LIMIT / 4 };
        let optional = PagePool::new(pool, source)?;
        Ok(Some(Self { encrypts, decrypts, optional, bytes_per_unit }))
    }

    /// Whether sectors that go this way go to the asynchronous driver.
    pub(super) fn takes(&self, direction: Direction) -> bool {
        match direction {
            Direction::Encrypt => self.encrypts,
            Direction::Decrypt => self.decrypts,
        }
    }
}

impl OffloadChannel {
    // not on the I/O path: once a channel
    pub(super) fn of(offload: &Offload) -> Self {
        Self { optional: offload.optional.buffers(), backlog: HeldClones::default() }
    }

    /// Memory of `len` bytes, if there is some.
    pub(super) fn ask(&mut self, cx: &mut Dispatch, len: usize) -> Option<Pages> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        let pages = self.optional.alloc(cx, Bytes(len as u64), Alloc::NoRetry);
        if pages.is_none() {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        pages
    }

    /// The driver has admitted what it was busy for.
    pub(super) fn has_room(&mut self, cx: &mut Dispatch) {
        self.backlog.has_room(cx);
    }
}

/// Clones that wait because the driver has asked for no more. It asks so once, since nothing is sent to it from then on, and
/// notifies the channel when it has room; the channel hears of that when it has seen the answer.
#[derive(Default)]
pub(super) struct HeldClones {
    pub(super) is_full: bool,
    held: BioList,
}

impl HeldClones {
    /// Keeps `clone` while the driver has no room, else hands it back.
    pub(super) fn hold(&mut self, clone: PadBio<CryptIo>) -> Option<PadBio<CryptIo>> {
        if !self.is_full {
            return Some(clone);
        }
        self.held.push(clone.into_bio());
        None
    }

    /// The driver has admitted what it was busy for. Those that waited try again, with a stage that has not changed.
    fn has_room(&mut self, cx: &mut Dispatch) {
        self.is_full = false;
        while let Some(bio) = self.held.pop() {
            cx.complete(bio, Status::Ok);
        }
    }
}

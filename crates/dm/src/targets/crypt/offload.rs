//! The conversion of a clone's sectors by an asynchronous driver, on any thread.
//!
//! All sectors that one IV rule numbers go in one request. That takes memory: for IVs that are made one by one, and for
//! what the driver wants. It is asked for once, without waiting (Mikulas Patocka's review of "dm crypt: batch all sectors
//! of a bio per crypto request"): where there is none the clone is marked for good and goes on in single-unit mode, with
//! what its pad holds. So a retry cannot loop, and no write fails for want of memory.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::memory::{PAGE_SIZE, Source};
use udm_block::mempool::NoReserve;
use udm_block::{
    Alloc, BioList, Buffers, Bytes, Dispatch, PadBio, PagePool, PagePoolOptions, Pages, SpanIter,
    SpanIterMut, SpanMut, Status,
};
use udm_crypto::{Answer, Carrier, CryptError, Direction, Iv, IvRule, Job, Request};

use super::channel::CryptChannel;
use super::convert::{Run, after};
use super::crypt_io::{CryptIo, Stage};
use super::params::CryptOptions;
use super::{Converter, LONGEST};

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
    bytes_per_unit: usize,
}

/// What one channel has for it.
pub(super) struct OffloadChannel {
    optional: Buffers,
    backlog: Backlog,
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
        Self { optional: offload.optional.buffers(), backlog: Backlog::default() }
    }

    /// Memory of `len` bytes, if there is some.
    fn ask(&mut self, cx: &mut Dispatch, len: usize) -> Option<Pages> {
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

/// How far the conversion of a clone is, and the one request of it that is with the driver.
pub(super) struct Conversion {
    direction: Direction,
    /// The sector of the request, with `iv_offset` in it.
    sector: u64,
    /// Bytes before the request, and of it.
    done: usize,
    len: usize,
    units: usize,
    /// What numbers the sectors of the request.
    rule: IvRule<'static>,
    /// Whether the IVs are made one by one.
    vector: bool,
    /// Whether the IV mode has put into the destination what the cipher is to work on.
    in_place: bool,
    /// Room for the one IV of a request of one unit.
    iv: Iv,
    /// Memory for requests of several units: their IVs, and behind these what the driver wants.
    memory: Option<Pages>,
}

impl CryptChannel {
    /// Begins with the clone's first sector.
    pub(super) fn begin_conversion(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        let volume = &*self.volume;
        let (Some(of_all), Some(own)) = (&volume.offload, &mut self.offload) else {
            return self.fail(cx, clone);
        };
        // For all sectors, though a number may wrap among them and so make two requests of them.
        let units = volume.converter.most_units().min(total(&clone) / volume.converter.unit_size());
        let takes_memory = of_all.bytes_per_unit > 0;
        let asks = takes_memory && units > 1 && !clone.is_single_unit();
        let memory = if asks { own.ask(cx, units * of_all.bytes_per_unit) } else { None };
        if takes_memory && memory.is_none() {
            clone.mark_single_unit();
        }
        let conversion = Conversion::new(&clone, &volume.converter, memory);
        clone.pad_mut().stage = Stage::Cipher(conversion);
        self.request_next(cx, clone);
    }

    /// The driver has carried a request out, or takes requests again.
    pub(super) fn go_on(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        if let Stage::Cipher(conversion) = &clone.pad().stage
            && conversion.len > 0
        {
            // SAFETY: the driver has finished the request, and no other is made before this one is gone.
            let mut numbered = unsafe { conversion.numbered(&clone) };
            if self.volume.converter.iv().after(&mut numbered).is_err() {
                return self.fail(cx, clone);
            }
        }
        if let Stage::Cipher(conversion) = &mut clone.pad_mut().stage {
            conversion.done += conversion.len;
            conversion.sector = after(conversion.sector, conversion.len);
            conversion.len = 0;
        }
        self.request_next(cx, clone);
    }

    /// Gives the driver the next request of the clone, or ends the stage when there is none.
    fn request_next(&mut self, cx: &mut Dispatch, clone: PadBio<CryptIo>) {
        let (total, single) = (total(&clone), clone.is_single_unit());
        let (converter, Some(own)) = (&self.volume.converter, &mut self.offload) else {
            return self.fail(cx, clone);
        };
        let Some(mut clone) = own.backlog.hold(clone) else { return };
        // It is taken out of the pad, for the IV mode looks at the clone's data while it makes the IVs.
        let Stage::Cipher(mut conversion) = std::mem::replace(&mut clone.pad_mut().stage, Stage::Below)
        else {
            return self.fail(cx, clone);
        };
        if conversion.done == total {
            return self.finish(cx, clone, conversion);
        }
        let left = if single { converter.unit_size() } else { total - conversion.done };
        let run = converter.run(conversion.sector, left);
        let is_set_up = conversion.set_up(&clone, converter, run).is_ok();
        clone.pad_mut().stage = Stage::Cipher(conversion);
        if !is_set_up {
            return self.fail(cx, clone);
        }
        match converter.cipher(run.key).start(Job::new(Sent(clone))) {
            Answer::Busy => own.backlog.is_full = true,
            Answer::Done | Answer::Queued => {}
        }
    }

    /// All sectors are converted.
    fn finish(&mut self, cx: &mut Dispatch, clone: PadBio<CryptIo>, mut conversion: Conversion) {
        if let Some(memory) = conversion.take_memory() {
            self.free_optional(memory);
        }
        match conversion.direction {
            Direction::Encrypt => self.send(cx, clone),
            Direction::Decrypt => self.end(cx, clone),
        }
    }

    /// Takes back what a conversion was given.
    pub(super) fn free_optional(&mut self, memory: Pages) {
        match &mut self.offload {
            Some(own) => own.optional.free(memory),
            None => drop(memory),
        }
    }
}

/// The bytes of the clone's sectors.
fn total(clone: &PadBio<CryptIo>) -> usize {
    let bio = clone.pad().writes.as_ref().or(clone.parent());
    bio.map_or(0, |bio| bio.len().0 as usize)
}

impl Conversion {
    /// The conversion of all sectors of `clone`, none of which is done yet.
    fn new(clone: &PadBio<CryptIo>, converter: &Converter, memory: Option<Pages>) -> Self {
        Self {
            direction: clone.pad().direction(),
            sector: clone.pad().sector.0.wrapping_add(converter.iv_offset()),
            done: 0,
            len: 0,
            units: 0,
            rule: IvRule::Constant(Iv::default()),
            vector: converter.iv().is_vector(),
            in_place: false,
            iv: Iv::default(),
            memory,
        }
    }

    /// Takes the memory back. No request is with the driver.
    pub(super) fn take_memory(&mut self) -> Option<Pages> {
        self.memory.take()
    }

    /// Makes the request of this run.
    fn set_up(&mut self, clone: &PadBio<CryptIo>, converter: &Converter, run: Run) -> Result<(), CryptError> {
        (self.len, self.units, self.rule) = (run.len, run.len / converter.unit_size(), run.rule);
        if !self.vector {
            return Ok(());
        }
        // SAFETY: no request of the clone is with the driver, and no other is made before this one is gone.
        let mut request = unsafe { self.numbered(clone) };
        self.in_place = converter.iv().before(&mut request)?;
        converter.iv().fill(run.key, &request, self.ivs_mut())
    }

    /// The sectors of the request, with the rule that numbers them.
    ///
    /// # Safety
    /// While it is used, nothing else writes the data of the clone or makes such a request.
    unsafe fn numbered<'a>(&self, clone: &'a PadBio<CryptIo>) -> Request<'a> {
        let (src, dst) = match (&clone.pad().writes, clone.parent()) {
            (Some(bio), _) => (bio.data(), clone.data()),
            (None, Some(bio)) => (bio.data(), bio.data()),
            (None, None) => (SpanIter::EMPTY, SpanIter::EMPTY),
        };
        let (src, dst) = (src.after(self.done).first(self.len), dst.after(self.done).first(self.len));
        // SAFETY: it is the clone's own pages, or the data of a client's read, which may be written; and there is no other
        // writer, by this function's contract.
        let dst = unsafe { SpanIterMut::from_iter(dst) };
        let unit_size = self.len / self.units;
        Request { direction: self.direction, src, dst, unit_size, iv: self.rule }
    }

    /// The request.
    ///
    /// # Safety
    /// As for [`numbered`](Self::numbered).
    unsafe fn request<'a>(&'a self, clone: &'a PadBio<CryptIo>) -> Request<'a> {
        // SAFETY: by this function's contract.
        let numbered = unsafe { self.numbered(clone) };
        let src = if self.in_place { clone.data().after(self.done).first(self.len) } else { numbered.src };
        Request { src, iv: self.rule(), ..numbered }
    }

    /// Where the IVs of the request are, where they are made one by one.
    fn ivs_mut(&mut self) -> &mut [Iv] {
        match self.ivs_in_memory() {
            // SAFETY: the driver has the part behind them alone, and while it has the request nobody borrows them mutably.
            Some((first, units)) => unsafe { std::slice::from_raw_parts_mut(first, units) },
            None => std::slice::from_mut(&mut self.iv),
        }
    }

    /// How the units of the request get their IVs.
    fn rule(&self) -> IvRule<'_> {
        match self.ivs_in_memory() {
            _ if !self.vector => self.rule,
            // SAFETY: `ivs_mut` gave each a value; the memory stays until the request is finished.
            Some((first, units)) => IvRule::Vector(unsafe { std::slice::from_raw_parts(first, units) }),
            None => IvRule::Vector(std::slice::from_ref(&self.iv)),
        }
    }

    /// The place for the IVs of several units, at the beginning of the memory.
    fn ivs_in_memory(&self) -> Option<(*mut Iv, usize)> {
        let memory = self.memory.as_ref().filter(|_| self.units > 1)?;
        Some((memory.span(Bytes(self.ivs_len() as u64)).as_ptr().cast_mut().cast(), self.units))
    }

    /// The bytes of these.
    fn ivs_len(&self) -> usize {
        if self.vector { self.units * size_of::<Iv>() } else { 0 }
    }

    /// The part of the memory that the driver has.
    ///
    /// # Safety
    /// While it is used, it is not asked for again.
    unsafe fn of_driver(&self) -> SpanMut<'_> {
        match &self.memory {
            Some(memory) if self.units > 1 => {
                let all = memory.span(Bytes(memory.len() as u64));
                let part = all.slice(self.ivs_len(), memory.len() - self.ivs_len());
                // SAFETY: the pages are the conversion's, which uses the part before this one alone; and there is no other
                // writer, by this function's contract.
                unsafe { SpanMut::from_raw(NonNull::new_unchecked(part.as_ptr().cast_mut()), part.len()) }
            }
            _ => SpanMut::EMPTY,
        }
    }
}

/// A clone whose request is with the driver.
struct Sent(PadBio<CryptIo>);

impl Sent {
    fn conversion(&self) -> &Conversion {
        match &self.0.pad().stage {
            Stage::Cipher(conversion) => conversion,
            Stage::Pages | Stage::Below => unreachable!("it is in this stage until its request is finished"),
        }
    }
}

// SAFETY: a `Sent` is the address of a bio. All of the request is behind it: the conversion in its pad, with its memory,
// and the bios that have the data, which wait inside.
unsafe impl Carrier for Sent {
    fn into_raw(self) -> NonNull<()> {
        self.0.into_raw()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: by the caller's promise.
        Self(unsafe { PadBio::from_raw(raw) })
    }

    unsafe fn request(&self) -> Request<'_> {
        // SAFETY: the clone is the driver's until the request is finished, and there is one at a time, by the trait's
        // contract.
        unsafe { self.conversion().request(&self.0) }
    }

    unsafe fn memory(&self) -> SpanMut<'_> {
        // SAFETY: as in `request`.
        unsafe { self.conversion().of_driver() }
    }

    fn admitted(&self) {
        // Its channel goes on with what it holds.
        self.0.notify_owner();
    }

    fn finish(self, result: Result<(), CryptError>) {
        self.0.into_bio().complete_elsewhere(result.map_or(Status::IoErr, |()| Status::Ok));
    }
}

/// Clones that wait because the driver has asked for no more. It asks so once, since nothing is sent to it from then on, and
/// notifies the channel when it has room; the channel hears of that when it has seen the answer.
#[derive(Default)]
struct Backlog {
    is_full: bool,
    held: BioList,
}

impl Backlog {
    /// Keeps `clone` while the driver has no room, else hands it back.
    fn hold(&mut self, clone: PadBio<CryptIo>) -> Option<PadBio<CryptIo>> {
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

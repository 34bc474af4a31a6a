//! The requests of a clone that are with an asynchronous driver.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use udm_block::{Bytes, PadBio, Pages, SpanIter, SpanIterMut, SpanMut, Status};
use udm_crypto::{Carrier, CryptError, Iv, IvRule, Request};

use super::convert::{Converter, Run};
use super::crypt_io::{Conversion, CryptIo, Stage};

/// The bytes of the clone's sectors.
pub(super) fn total(clone: &PadBio<CryptIo>) -> usize {
    let bio = clone.pad().writes.as_ref().or(clone.parent());
    bio.map_or(0, |bio| bio.len().0 as usize)
}

impl Conversion {
    /// The conversion of all sectors of `clone`, none of which is done yet.
    pub(super) fn new(clone: &PadBio<CryptIo>, converter: &Converter, memory: Option<Pages>) -> Self {
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
    pub(super) fn set_up(
        &mut self,
        clone: &PadBio<CryptIo>,
        converter: &Converter,
        run: Run,
    ) -> Result<(), CryptError> {
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
    pub(super) unsafe fn numbered<'a>(&self, clone: &'a PadBio<CryptIo>) -> Request<'a> {
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
pub(super) struct Sent(pub(super) PadBio<CryptIo>);

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

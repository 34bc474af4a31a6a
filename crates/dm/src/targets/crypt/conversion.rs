//! The requests of a clone that are with an asynchronous driver.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::slice;

use udm_block::{Bio, Bytes, PadBio, Pages, SpanIterMut, SpanMut, Status};
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

    /// Makes the request of this run. The conversion is not in the clone's pad meanwhile.
    pub(super) fn set_up(
        &mut self,
        clone: &mut PadBio<CryptIo>,
        converter: &Converter,
        run: Run,
    ) -> Result<(), CryptError> {
        (self.len, self.units, self.rule) = (run.len, run.len / converter.unit_size(), run.rule);
        if !self.vector {
            return Ok(());
        }
        let (pad, data) = clone.pad_and_data_mut();
        let mut request = self.numbered(pad.writes.as_ref(), data);
        self.in_place = converter.iv().before(&mut request)?;
        converter.iv().fill(run.key, &request, self.ivs_and_rest().0)
    }

    /// The sectors of the request, with the rule that numbers them. `data` is that of the clone: the pages of a write, whose
    /// source is the client's bio, or the client's memory.
    pub(super) fn numbered<'a>(&self, writes: Option<&'a Bio>, mut data: SpanIterMut<'a>) -> Request<'a> {
        let _ = data.take_first(self.done);
        let data = data.take_first(self.len);
        let (src, dst) = match writes {
            Some(bio) => (bio.data().after(self.done).first(self.len), data),
            None => data.into_in_place(),
        };
        let unit_size = self.len / self.units;
        Request { direction: self.direction, src, dst, unit_size, iv: self.rule }
    }

    /// The request, and the memory that the driver has.
    fn request<'a>(
        &'a mut self,
        writes: Option<&'a Bio>,
        data: SpanIterMut<'a>,
    ) -> (Request<'a>, SpanMut<'a>) {
        let Request { direction, mut src, mut dst, unit_size, iv } = self.numbered(writes, data);
        if self.in_place {
            (src, dst) = dst.into_in_place();
        }
        let vector = self.vector;
        let (ivs, rest) = self.ivs_and_rest();
        let iv = if vector { IvRule::Vector(ivs) } else { iv };
        (Request { direction, src, dst, unit_size, iv }, rest)
    }

    /// Where the IVs of the request are, where they are made one by one; and the rest of the memory, for the driver.
    fn ivs_and_rest(&mut self) -> (&mut [Iv], SpanMut<'_>) {
        let Some(memory) = self.memory.as_mut().filter(|_| self.units > 1) else {
            return (slice::from_mut(&mut self.iv), SpanMut::EMPTY);
        };
        let count = if self.vector { self.units } else { 0 };
        let all = memory.span_mut(Bytes(memory.len() as u64));
        let (mut ivs, rest) = all.split_at(count * size_of::<Iv>());
        // SAFETY: the run has room for so many IVs, which may be any bytes at any address. It is of the conversion's own pages,
        // which are borrowed for as long as the IVs are, and of which nobody else has this part.
        (unsafe { slice::from_raw_parts_mut(ivs.as_mut_ptr().cast(), count) }, rest)
    }
}

/// A clone whose request is with the driver.
pub(super) struct Sent(pub(super) PadBio<CryptIo>);

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

    fn request(&mut self) -> (Request<'_>, SpanMut<'_>) {
        let (CryptIo { writes, stage, .. }, data) = self.0.pad_and_data_mut();
        match stage {
            Stage::Cipher(conversion) => conversion.request(writes.as_ref(), data),
            Stage::Pages | Stage::Below => unreachable!("it is in this stage until its request is finished"),
        }
    }

    fn admitted(&self) {
        // Its channel goes on with what it holds.
        self.0.notify_owner();
    }

    fn finish(self, result: Result<(), CryptError>) {
        self.0.into_bio().complete_elsewhere(result.map_or(Status::IoErr, |()| Status::Ok));
    }
}

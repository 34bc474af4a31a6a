//! The stages of a clone. The end of each begins the next one, in `end_io`: so a clone may wait for pages, for an
//! asynchronous cipher, and for the device below, and no stage is on the stack of another.
//!
//! A write has its clone before it waits for pages, and what has pages waits for nothing of its target. So a
//! bio waits at most once for each, and two never wait for each other.

use udm_block::{Alloc, Bio, Bytes, Dispatch, Pad, PadBio, Sector, Status};
use udm_crypto::Direction;

use super::channel::CryptChannel;
use super::offload::Conversion;

/// The pad of a clone.
pub(super) struct CryptIo {
    /// The first sector, counted from the target's start.
    pub(super) sector: Sector,
    /// The client's bio, when the clone is a write.
    pub(super) writes: Option<Bio>,
    pub(super) stage: Stage,
}

/// What has to end before the clone goes on.
pub(super) enum Stage {
    /// The wait for pages, of a write.
    Pages,
    /// The work of an asynchronous cipher.
    Cipher(Conversion),
    /// The I/O below.
    Below,
}

impl CryptIo {
    /// The pad of a read, which goes below as it is.
    pub(super) fn read(sector: Sector) -> Self {
        Self { sector, writes: None, stage: Stage::Below }
    }

    /// The pad of a write, which has no pages yet.
    pub(super) fn write(sector: Sector) -> Self {
        Self { sector, writes: None, stage: Stage::Pages }
    }

    /// Which way its sectors go.
    pub(super) fn direction(&self) -> Direction {
        if self.writes.is_some() { Direction::Encrypt } else { Direction::Decrypt }
    }
}

impl Pad for CryptIo {}

impl CryptChannel {
    /// Takes pages and encrypts into them.
    pub(super) fn begin_write(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        let len = clone.pad().writes.as_ref().map_or(Bytes(0), Bio::len);
        let Some(pages) = self.pages.alloc(cx, len, Alloc::NoWait) else { return clone.wait(&self.pages) };
        clone.set_pages(pages, len);
        if self.volume.offload(Direction::Encrypt).is_some() {
            return self.begin_conversion(cx, clone);
        }
        let (pad, dst) = clone.pad_and_data_mut();
        let Some(bio) = &pad.writes else { return };
        match self.volume.converter.convert(Direction::Encrypt, bio.data(), dst, pad.sector.0) {
            Ok(()) => self.send(cx, clone),
            Err(_) => self.fail(cx, clone),
        }
    }

    /// Sends a write below, whose pages are encrypted.
    pub(super) fn send(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        clone.pad_mut().stage = Stage::Below;
        cx.submit(self.lower, clone.into_bio());
    }

    /// Decrypts what a read has brought.
    pub(super) fn decrypt(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        if self.volume.offload(Direction::Decrypt).is_some() {
            return self.begin_conversion(cx, clone);
        }
        // The client's bio has the whole range still. The clone has what is left of it after devices below split.
        let sector = clone.pad().sector.0;
        let Some(mut data) = clone.parent_data_mut() else { return };
        let (src, dst) = data.in_place();
        match self.volume.converter.convert(Direction::Decrypt, src, dst, sector) {
            Ok(()) => self.end(cx, clone),
            Err(_) => self.fail(cx, clone),
        }
    }

    /// The cipher failed.
    pub(super) fn fail(&mut self, cx: &mut Dispatch, clone: PadBio<CryptIo>) {
        clone.record(Status::IoErr);
        self.end(cx, clone);
    }

    /// Everything is done, or something failed: the client's bio ends. Clone and pages are free before the client hears of
    /// it: its next bio may need them.
    pub(super) fn end(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        let status = clone.status();
        let bio = clone.pad_mut().writes.take().or_else(|| clone.take_parent());
        self.free(clone);
        if let Some(bio) = bio {
            cx.complete(bio, status);
        }
    }

    /// Takes back a clone, with the memory that it has.
    fn free(&mut self, mut clone: PadBio<CryptIo>) {
        if let Stage::Cipher(conversion) = &mut clone.pad_mut().stage
            && let Some(memory) = conversion.take_memory()
        {
            self.free_optional(memory);
        }
        if let Some(pages) = clone.take_pages() {
            self.pages.free(pages);
        }
        self.clones.free(clone);
    }
}

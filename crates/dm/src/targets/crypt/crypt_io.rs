//! The stages of a clone. The end of each begins the next one, in `end_io`: so a clone may wait for pages, for an
//! asynchronous cipher, and for the device below, and no stage is on the stack of another.
//!
//! A write has its clone before it waits for pages, and what has pages waits for nothing of its target. So a
//! bio waits at most once for each, and two never wait for each other.

use std::sync::Arc;

use udm_block::{Alloc, Bio, Bytes, DeviceRef, Pad, PadBio, Sector, Status};
use udm_crypto::Direction;

use super::Volume;
use super::offload::{self, Conversion};

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

impl Pad for CryptIo {
    type Context = Arc<Volume>;

    fn end_io(clone: PadBio<Self>) {
        let ok = clone.status().is_ok();
        match &clone.pad().stage {
            _ if !ok => end(clone),
            Stage::Pages => {
                let volume = Arc::clone(clone.context());
                begin_write(clone, &volume);
            }
            Stage::Cipher(_) => offload::go_on(clone),
            Stage::Below if clone.pad().writes.is_some() => end(clone),
            Stage::Below => decrypt(clone),
        }
    }
}

/// Takes pages and encrypts into them.
pub(super) fn begin_write(mut clone: PadBio<CryptIo>, volume: &Volume) {
    let len = clone.pad().writes.as_ref().map_or(Bytes(0), Bio::len);
    let Some(pages) = volume.pages.alloc(len, Alloc::NoWait) else { return clone.wait(&volume.pages) };
    clone.set_pages(pages, len);
    if volume.offload(Direction::Encrypt).is_some() {
        return offload::begin(clone);
    }
    let (Some(bio), sector) = (&clone.pad().writes, clone.pad().sector.0) else { return };
    match volume.converter.convert(Direction::Encrypt, bio.data(), clone.data(), sector) {
        Ok(()) => send(clone, &volume.lower),
        Err(_) => fail(clone),
    }
}

/// Sends a write below, whose pages are encrypted.
pub(super) fn send(mut clone: PadBio<CryptIo>, lower: &DeviceRef) {
    clone.pad_mut().stage = Stage::Below;
    clone.submit(lower);
}

/// Decrypts what a read has brought.
fn decrypt(clone: PadBio<CryptIo>) {
    if clone.context().offload(Direction::Decrypt).is_some() {
        return offload::begin(clone);
    }
    // The client's bio has the whole range still. The clone has what is left of it after devices below split.
    let Some(bio) = clone.parent() else { return };
    let (data, sector) = (bio.data(), clone.pad().sector.0);
    match clone.context().converter.convert(Direction::Decrypt, data, data, sector) {
        Ok(()) => end(clone),
        Err(_) => fail(clone),
    }
}

/// The cipher failed.
pub(super) fn fail(clone: PadBio<CryptIo>) {
    clone.record(Status::IoErr);
    end(clone);
}

/// Everything is done, or something failed: the client's bio ends. Clone and pages are home before the client hears of
/// it: its next bio may need them.
pub(super) fn end(mut clone: PadBio<CryptIo>) {
    let status = clone.status();
    let bio = clone.pad_mut().writes.take().or_else(|| clone.take_parent());
    drop(clone);
    if let Some(bio) = bio {
        bio.complete(status);
    }
}

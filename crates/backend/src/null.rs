//! A device that keeps nothing (the kernel's `dm-zero`): for measuring what lies above it.

use std::sync::Arc;

use udm_block::{Bio, Channel, Device, Dispatch, Geometry, Op, Opening, Sectors, Status};

use crate::scratch::ScratchType;

/// Reads as zeros, and forgets what is written. It ends each bio at once.
///
/// A read is filled, although leaving the buffer as it is would be faster: the buffer may hold what another client
/// wrote or read before, and an export would send it out.
pub struct Null {
    geometry: Geometry,
}

impl Null {
    /// A device of `size`.
    ///
    /// # Panics
    /// Where `size` exceeds [`udm_block::LONGEST_DEVICE`].
    pub fn new(size: Sectors) -> Self {
        let geometry =
            Geometry { discard: true, write_zeroes: true, write_cache: false, ..Geometry::plain(size) };
        Self { geometry }
    }

    /// The same with blocks of `logical_block` bytes, read-only if so wanted.
    #[must_use]
    pub fn offering(mut self, logical_block: u32, read_only: bool) -> Self {
        (self.geometry.logical_block, self.geometry.read_only) = (logical_block, read_only);
        self
    }
}

impl Device for Null {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    // not on the I/O path: once a channel
    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, udm_block::OpenError> {
        Ok(Box::new(NullChannel))
    }
}

struct NullChannel;

impl Channel for NullChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        if bio.op() == Op::Read {
            bio.data_mut().fill(0);
        }
        cx.complete(bio, Status::Ok);
    }
}

/// `null:SIZE`.
pub(crate) const TYPE: ScratchType = ScratchType {
    prefixes: &["null:"],
    example: "null:SIZE",
    // not on the I/O path: once a device
    make: |size, block, read_only| Ok(Arc::new(Null::new(size).offering(block, read_only))),
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use udm_block::Bytes;
    use udm_block::blocking::Blocking;

    #[test]
    fn what_is_written_reads_as_zeros() {
        let front = Blocking::new(Arc::new(Null::new(Sectors(64)))).unwrap();
        front.write_at(100, &[7; 3000]).unwrap();
        let mut got = [9; 3000];
        front.read_at(100, &mut got).unwrap();
        assert_eq!(got, [0; 3000]);
        front.range(Op::Discard, 512, Bytes(1024)).unwrap();
        front.range(Op::WriteZeroes, 512, Bytes(1024)).unwrap();
        front.flush().unwrap();
        assert_eq!(front.read_at(64 * 512 - 1, &mut got[..2]), Err(Status::IoErr));
    }
}

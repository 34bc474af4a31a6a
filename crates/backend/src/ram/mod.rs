//! A device in memory.

mod mapping;

use std::sync::Arc;

use mapping::Mapping;
use udm_block::{
    Bio, Channel, Device, Dispatch, Geometry, LONGEST_DEVICE, Op, Opening, SECTOR_SIZE, Sectors, Status,
};

use crate::OpenError;
use crate::scratch::ScratchType;

/// A device in memory: it reads as zeros at first, and takes memory for the pages that are written alone. What is
/// discarded or zeroed goes back to the system. It ends each bio at once.
///
/// Bios that overlap and are under way on several queues at once may interleave byte by byte, as on a disk sector by
/// sector: who writes to one place twice waits in between.
pub struct Ram {
    geometry: Geometry,
    mapping: Arc<Mapping>,
}

impl Ram {
    /// A device of `size`, which may be much larger than the memory of the machine.
    ///
    /// # Errors
    /// When the system refuses so many addresses; for a size of zero too.
    // not on the I/O path: once, when it is made
    pub fn new(size: Sectors) -> Result<Self, OpenError> {
        let no_memory = |source| OpenError::NoMemory { size, source };
        let bytes = size
            .0
            .checked_mul(SECTOR_SIZE as u64)
            .filter(|_| size <= LONGEST_DEVICE)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| no_memory(std::io::ErrorKind::InvalidInput.into()))?;
        let mapping = Arc::new(Mapping::new(bytes).map_err(no_memory)?);
        let geometry =
            Geometry { discard: true, write_zeroes: true, write_cache: false, ..Geometry::plain(size) };
        Ok(Self { geometry, mapping })
    }

    /// The same with blocks of `logical_block` bytes, read-only if so wanted.
    #[must_use]
    pub fn offering(mut self, logical_block: u32, read_only: bool) -> Self {
        (self.geometry.logical_block, self.geometry.read_only) = (logical_block, read_only);
        self
    }
}

impl Device for Ram {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    // not on the I/O path: once a channel
    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, udm_block::OpenError> {
        Ok(Box::new(RamChannel { mapping: Arc::clone(&self.mapping) }))
    }
}

struct RamChannel {
    mapping: Arc<Mapping>,
}

impl Channel for RamChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        let mut at = bio.sector().0 as usize * SECTOR_SIZE;
        match bio.op() {
            Op::Read => {
                for mut run in bio.data_mut() {
                    self.mapping.read(at, &mut run);
                    at += run.len();
                }
            }
            Op::Write => {
                for run in bio.data() {
                    self.mapping.write(at, run);
                    at += run.len();
                }
            }
            Op::Discard | Op::WriteZeroes => self.mapping.zero(at, bio.len().0 as usize),
            Op::Flush => {}
        }
        cx.complete(bio, Status::Ok);
    }
}

/// `ram:SIZE`.
pub(crate) const TYPE: ScratchType = ScratchType {
    prefixes: &["ram:"],
    example: "ram:SIZE",
    // not on the I/O path: once a device
    make: |size, block, read_only| Ok(Arc::new(Ram::new(size)?.offering(block, read_only))),
};

#[cfg(test)]
mod tests {
    use super::*;
    use udm_block::Bytes;
    use udm_block::blocking::Blocking;
    use udm_block::memory::splitmix64;

    /// The oracle is a plain vector of bytes.
    #[test]
    fn it_keeps_what_a_vector_keeps() {
        const SIZE: usize = 1 << 20;
        let mut seed = 0x7261_6d31;
        println!("seed {seed:#x}");
        let mut dice = |below: usize| splitmix64(&mut seed) as usize % below;
        let mut model = vec![0u8; SIZE];
        let front = Blocking::new(Arc::new(Ram::new(Sectors::in_bytes(SIZE as u64)).unwrap())).unwrap();
        for round in 0..300 {
            let at = dice(SIZE);
            let len = dice((SIZE - at).min(70_000)) + 1;
            match dice(4) {
                0 => {
                    let mut got = vec![1; len];
                    front.read_at(at as u64, &mut got).unwrap();
                    assert!(got == model[at..at + len], "round {round}: {len} bytes at {at}");
                }
                1 => {
                    let (at, len) = (at / 512 * 512, len / 512 * 512);
                    let op = [Op::Discard, Op::WriteZeroes][dice(2)];
                    front.range(op, at as u64, Bytes(len as u64)).unwrap();
                    model[at..at + len].fill(0);
                }
                _ => {
                    let fill: Vec<u8> = (0..len).map(|_| dice(256) as u8).collect();
                    front.write_at(at as u64, &fill).unwrap();
                    model[at..at + len].copy_from_slice(&fill);
                }
            }
        }
        let mut got = vec![1; SIZE];
        front.read_at(0, &mut got).unwrap();
        assert!(got == model);
    }

    #[test]
    fn sixteen_tebibytes_cost_nothing_until_they_are_written() {
        let front = Blocking::new(Arc::new(Ram::new(Sectors::in_bytes(16 << 40)).unwrap())).unwrap();
        let last = (16 << 40) - 5;
        front.write_at(last, b"hello").unwrap();
        let mut got = [0; 5];
        front.read_at(last, &mut got).unwrap();
        assert_eq!(&got, b"hello");
    }

    #[test]
    fn a_size_that_no_machine_has_is_refused() {
        let error = Ram::new(Sectors(u64::MAX)).err().unwrap().to_string();
        for part in [&format!("{} sectors of 512 bytes", u64::MAX), "a smaller one would do"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(Ram::new(Sectors(0)).is_err());
    }
}

//! What else a device may hold: file systems, partition tables, RAID and LVM members, disk images, archives.
//!
//! The names are those of `blkid`; for what it does not know, those of `qemu-img` and of the programs that write it. The
//! table of signatures is [`table::SIGNATURES`].

mod check;
mod table;

use std::io;

use crate::source::ReadAt;

pub use table::SIGNATURES;

/// What kind of thing a signature tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A whole volume that is encrypted.
    Encrypted,
    /// A table that cuts a disk into partitions.
    PartitionTable,
    /// A file system, or swap.
    FileSystem,
    /// A part of something larger: an LVM physical volume, a member of a RAID.
    Member,
    /// A disk in a format that is not that of its bytes.
    DiskImage,
    /// A file that was compressed or packed.
    Archive,
}

/// A row of the table: how one format is known, and what it is called.
#[derive(Debug)]
pub struct Signature {
    /// The name, as `blkid` prints it: `ext4`, `LVM2_member`, `gpt`.
    pub name: &'static str,
    /// The name in a sentence, with its article: "an LVM physical volume".
    pub title: &'static str,
    /// What kind of thing it is.
    pub kind: Kind,
    magics: &'static [Magic],
    /// What must hold besides the magic.
    check: Option<fn(&Probe<'_>, u64) -> bool>,
}

/// Bytes by which a format is known.
#[derive(Debug)]
struct Magic {
    at: At,
    bytes: &'static [u8],
}

/// A place on the device.
#[derive(Clone, Copy, Debug)]
enum At {
    /// So many bytes from the beginning.
    Start(u64),
    /// So many bytes before the end.
    End(u64),
    /// So many bytes before the end, rounded down to a multiple of the second number first.
    Aligned(u64, u64),
}

/// A signature that was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its row.
    pub signature: &'static Signature,
    /// Where its magic begins, in bytes.
    pub offset: u64,
}

/// All signatures that `device` has, in the order of the table: what is most likely meant comes first.
///
/// # Errors
/// Where the device cannot be read.
pub fn probe(device: &dyn ReadAt) -> io::Result<Vec<Found>> {
    let probe = Probe::new(device)?;
    let mut found = Vec::new();
    for signature in SIGNATURES {
        if let Some(offset) = probe.find(signature)? {
            found.push(Found { signature, offset });
        }
    }
    Ok(found)
}

/// How much of the beginning, and of the end, is read at once: most magics are there.
const WINDOW: u64 = 68 << 10;

/// A device that is being looked at.
struct Probe<'a> {
    device: &'a dyn ReadAt,
    size: u64,
    begin: Vec<u8>,
    /// The last bytes, which a short device has in `begin` too.
    end: Vec<u8>,
}

impl<'a> Probe<'a> {
    fn new(device: &'a dyn ReadAt) -> io::Result<Self> {
        let size = device.size()?;
        let window = size.min(WINDOW);
        let read = |at| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; window as usize];
            device.read_at(at, &mut bytes)?;
            Ok(bytes)
        };
        Ok(Self { device, size, begin: read(0)?, end: read(size - window)? })
    }

    /// Where the first magic of `signature` is that passes its check.
    fn find(&self, signature: &Signature) -> io::Result<Option<u64>> {
        for magic in signature.magics {
            let at = match magic.at {
                At::Start(at) => Some(at),
                At::End(before) => self.size.checked_sub(before),
                At::Aligned(before, unit) => (self.size / unit * unit).checked_sub(before),
            };
            let mut bytes = [0; 32];
            let bytes = &mut bytes[..magic.bytes.len()];
            if let Some(at) = at
                && self.read(at, bytes)?
                && bytes == magic.bytes
                && signature.check.is_none_or(|check| check(self, at))
            {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Fills `bytes` from byte `at` on, and says whether the device is so long.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let Some(end) = at.checked_add(bytes.len() as u64).filter(|end| *end <= self.size) else {
            return Ok(false);
        };
        let tail = self.size - self.end.len() as u64;
        if end <= self.begin.len() as u64 {
            bytes.copy_from_slice(&self.begin[at as usize..end as usize]);
        } else if at >= tail {
            bytes.copy_from_slice(&self.end[(at - tail) as usize..(end - tail) as usize]);
        } else {
            self.device.read_at(at, bytes)?;
        }
        Ok(true)
    }

    /// The bytes at `at`; zeros where there are none, or where they cannot be read.
    fn bytes<const LEN: usize>(&self, at: u64) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        match self.read(at, &mut bytes) {
            Ok(true) => bytes,
            _ => [0; LEN],
        }
    }

    /// The little-endian number at `at`.
    fn le32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }
}

impl Found {
    /// Whether this is a format that `qemu-nbd` and `qemu-img` open, and by which name of theirs.
    pub fn qemu_format(&self) -> Option<&'static str> {
        (self.signature.kind == Kind::DiskImage && table::QEMU.contains(&self.signature.name))
            .then_some(self.signature.name)
    }
}

//! A header with all its key slots, kept in a file, and restored from it.

use std::io::Write;

use crate::error::{Error, shown};
use crate::format::wipe_old;
use crate::luks2::segments::FINISH;
use crate::source::{ReadAt, Storage};
use crate::volume::{Header, HeaderPlace, Volume};
use udm_block::SECTOR_SIZE;

/// What is copied at a time, in bytes.
const PIECE: usize = 64 << 10;

impl<S: ReadAt> Volume<S> {
    /// Writes the header with all its key slots to `file`, as it is on the device (`luksHeaderBackup`). Who has it and an
    /// old passphrase opens the volume, also after that one's key slot was killed.
    ///
    /// # Errors
    /// Where its copies are not both whole and the same, or it cannot be read or written.
    pub fn back_up(&self, mut file: impl Write) -> Result<(), Error> {
        if let Header::Luks2(header) = &self.header {
            header.copies.check()?;
        }
        let (end, mut at) = (self.header.end(), 0);
        let mut buffer = vec![0; PIECE];
        while at < end {
            let piece = &mut buffer[..(end - at).min(PIECE as u64) as usize];
            self.source.read_at(at, piece).map_err(Error::io("the header"))?;
            file.write_all(piece).map_err(Error::writing("the backup"))?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

impl Header {
    /// Where the areas of its key slots end, in bytes.
    pub fn end(&self) -> u64 {
        match self {
            Self::Luks1(header) => header.end(),
            Self::Luks2(header) => header.end(),
        }
    }

    /// The requirement that says that a reencryption is under way, where one does.
    fn reencryption(&self) -> Option<&str> {
        match self {
            Self::Luks1(_) => None,
            Self::Luks2(header) => header.metadata.config.reencryption(),
        }
    }

    /// Where the data begin, and the bytes of their key: what a header must have in common with the one that it replaces.
    fn data(&self) -> (Option<u64>, Vec<usize>) {
        match self {
            Self::Luks1(header) => (Some(header.segment().offset), vec![header.key_size]),
            Self::Luks2(header) => {
                let metadata = &header.metadata;
                let offset =
                    metadata.segments.iter().filter_map(|entry| entry.segment.as_ref()).map(|at| at.offset);
                let bound = metadata.digests.iter().filter(|digest| !digest.segments.is_empty());
                let slots: Vec<_> = bound.flat_map(|digest| &digest.key_slots).collect();
                let keys = metadata.slots.iter().filter(|(id, _)| slots.contains(&id));
                let mut sizes: Vec<_> = keys.filter_map(|(_, slot)| Some(slot.key()?.key_size)).collect();
                sizes.dedup();
                (offset.min(), sizes)
            }
        }
    }
}

/// Writes a header that was backed up over that of `storage` (`luksHeaderRestore`).
///
/// The old header goes first and the new one comes last: when the power fails between, nothing opens, and it is to be
/// done again. No mixture of both ever opens.
///
/// # Errors
/// Where the backup is none or not whole, or of a volume whose data are elsewhere, and nothing has been written; or where
/// it cannot be written.
pub fn restore(storage: &mut impl Storage, backup: &[u8]) -> Result<(), Error> {
    let volume = Volume::open(backup, HeaderPlace::Detached)?;
    let refused = |field: &str, found: String, why: &str| {
        Err(Error::request(field, found, why, "take the backup that was made of this volume"))
    };
    if let Header::Luks2(header) = volume.header()
        && let Err(error) = header.copies.check()
    {
        return refused("the backup", "damaged".into(), &error.to_string());
    }
    let (header, end) = (volume.header(), volume.header().end());
    if (backup.len() as u64) < end {
        return refused("the backup", format!("{} bytes", backup.len()), "it ends before its key slots do");
    }
    let size = storage.size().map_err(Error::io("the size of the device"))?;
    if size < end {
        let found = format!("{size} bytes");
        return refused("the device's size", found, "the header of the backup is longer");
    }
    if let Some(name) = header.reencryption() {
        return refused("the backup", shown(name), "it was made while a reencryption was under way");
    }
    if let Ok(old) = Volume::open(&*storage, HeaderPlace::Detached) {
        if let Some(name) = old.header().reencryption() {
            let why = "a reencryption is under way, and without its header the data would be lost";
            return Err(Error::request("the device's header", shown(name), why, FINISH));
        }
        let ((old_at, old_sizes), (at, sizes)) = (old.header().data(), header.data());
        let differ = !old_sizes.is_empty() && !sizes.is_empty() && old_sizes != sizes;
        if old_at != at || differ {
            let why = format!("those of the device are {}", told(old_at, &old_sizes));
            return refused("the place of the data in the backup", told(at, &sizes), &why);
        }
    }
    wipe_old(storage, &(0..end))?;
    write(storage, header, &backup[..end as usize])
}

/// Where the data begin, and the sizes of their keys, in words.
fn told(at: Option<u64>, sizes: &[usize]) -> String {
    let at = at.map_or("not said".into(), |at| format!("byte {at}"));
    let sizes: Vec<_> = sizes.iter().map(ToString::to_string).collect();
    if sizes.is_empty() { at } else { format!("{at}, with a key of {} bytes", sizes.join(" or ")) }
}

/// Writes the key slots, then the header itself.
fn write(storage: &mut impl Storage, header: &Header, bytes: &[u8]) -> Result<(), Error> {
    let heads = match header {
        // Its first sector makes it a header.
        Header::Luks1(_) => vec![SECTOR_SIZE..2 * SECTOR_SIZE, 0..SECTOR_SIZE],
        Header::Luks2(header) => {
            let size = header.binary.header_size as usize;
            vec![size..2 * size, 0..size]
        }
    };
    let areas = heads[0].end..bytes.len();
    for part in [areas].into_iter().chain(heads) {
        storage.write_at(part.start as u64, &bytes[part]).map_err(Error::writing("the header"))?;
        storage.sync().map_err(Error::writing("the header"))?;
    }
    Ok(())
}

//! Key slots of LUKS1 that are not in use. Their places are in the header all the same, and a new key goes there; a partition
//! table that was written over the header, say, leaves them wrong.

use udm_block::SECTOR_SIZE;

use super::{DISABLED, ENABLED, HEADER_SIZE, Header, KEY_SLOTS, SLOT_SIZE, SLOTS, number};
use crate::error::{Error, Finding};
use crate::keyslot::STRIPES;

/// What is wrong with the places of those that are not in use, by cryptsetup's rules.
pub(super) fn faults(header: &Header) -> Vec<Finding> {
    let hint = "udm luks repair puts it right; nothing is changed before";
    let mut faults = Vec::new();
    let mut fault = |id: usize, field: &str, found: String, why: String| {
        faults.push(*Finding::new(format!("key-slot-{id}.{field}"), found, why, hint));
    };
    let areas: Vec<_> = (0..KEY_SLOTS).map(|id| header.area(id)).collect();
    let data = header.segment().offset;
    for id in (0..KEY_SLOTS).filter(|id| header.slots[*id].is_none()) {
        let stripes = header.stripes(id);
        if stripes as usize != STRIPES {
            fault(id, "stripes", stripes.to_string(), format!("there are {STRIPES} in each key slot"));
            continue;
        }
        let area = &areas[id];
        let mut misplaced = |why| fault(id, "key-material-offset", format!("byte {}", area.start), why);
        if area.start < HEADER_SIZE as u64 {
            misplaced("the header itself is there".to_owned());
        } else if data != 0 && area.end > data {
            let size = area.end - area.start;
            misplaced(format!("its {size} bytes would overlap the data at byte {data}"));
        } else if let Some(other) = (0..KEY_SLOTS)
            .find(|other| *other != id && areas[*other].start < area.end && area.start < areas[*other].end)
        {
            misplaced(format!("it would overlap key slot {other}"));
        }
    }
    faults
}

impl Header {
    /// What the header marks key slot `id` with.
    fn mark(&self, id: usize) -> u32 {
        number(&self.bytes, SLOTS + id * SLOT_SIZE)
    }

    /// The stripes of key slot `id`, in use or not.
    pub(super) fn stripes(&self, id: usize) -> u32 {
        number(&self.bytes, SLOTS + id * SLOT_SIZE + 44)
    }

    /// The area of key slot `id`, in use or not, in bytes.
    pub(crate) fn area(&self, id: usize) -> std::ops::Range<u64> {
        let start = u64::from(number(&self.bytes, SLOTS + id * SLOT_SIZE + 40)) * SECTOR_SIZE as u64;
        // One that is not in use would have as many as all new ones.
        let stripes = self.slots[id].as_ref().map_or(STRIPES, |slot| slot.stripes);
        start..start + ((self.key_size * stripes) as u64).next_multiple_of(SECTOR_SIZE as u64)
    }

    /// Whether key slot `id` can take a new key.
    pub fn is_free(&self, id: usize) -> bool {
        id < KEY_SLOTS && self.mark(id) == DISABLED
    }

    /// What key slot `id` is marked with, where that is neither of the two marks.
    pub fn odd_mark(&self, id: usize) -> Option<u32> {
        Some(self.mark(id)).filter(|mark| ![ENABLED, DISABLED].contains(mark))
    }

    /// What a person should know of the key slots that are not in use, though the volume can be opened.
    pub(crate) fn notice(&self) -> Option<String> {
        let first = self.faults.first()?;
        let more = match self.faults.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more of this kind)"),
        };
        let hint = "the key slot is not in use, so the volume opens; udm luks repair puts it right";
        Some(format!("{}{more}; {hint}", first.without_hint()))
    }

    /// Whether the header may be changed.
    ///
    /// # Errors
    /// The first fault of a key slot that is not in use.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        match self.faults.first() {
            None => Ok(()),
            Some(fault) => Err(Error::Damaged(Box::new(fault.clone()))),
        }
    }
}

//! Putting right what is known to go wrong in a LUKS1 header, as cryptsetup's repair does: the places of key slots that are
//! not in use, the name of a hash in capital letters, and an IV mode for ecb, which takes none.

use udm_block::SECTOR_SIZE;

use super::draft::Draft;
use super::{AREA_ALIGNMENT, Header, KEY_SLOTS, RESTORE};
use crate::error::{Error, Finding};
use crate::keyslot::STRIPES;

/// The key slot whose salt reaches over the place of a partition table's signature, and that place.
const SIGNED_SLOT: usize = 6;
const SIGNATURE: std::ops::Range<usize> = 510..512;

impl Header {
    /// The header as it would be put right, and each thing that is different then; `None` where nothing is wrong.
    ///
    /// # Errors
    /// Where it is wrong in a way that is not known how to put right.
    pub(crate) fn repaired(&self) -> Result<Option<(Draft, Vec<String>)>, Error> {
        let mode = self.cipher_mode.strip_prefix("ecb-").map(|_| "ecb");
        let name = self.hash_as_written();
        let lower = name.to_ascii_lowercase();
        if self.faults.is_empty() && mode.is_none() && lower == name {
            return Ok(None);
        }
        self.check_known_layout()?;
        let (mut draft, mut steps) = (Draft::unchecked(self), Vec::new());
        if let Some(mode) = mode {
            steps.push(format!("cipher-mode is {} and becomes {mode}", self.cipher_mode));
            draft.set_mode(mode)?;
        }
        if lower != name {
            steps.push(format!("hash-spec is {name} and becomes {lower}"));
            draft.set_hash(&lower)?;
        }
        let size = ((self.key_size * STRIPES) as u64).next_multiple_of(AREA_ALIGNMENT);
        for id in (0..KEY_SLOTS).filter(|id| self.slots[*id].is_none()) {
            let (offset, found) = (AREA_ALIGNMENT + id as u64 * size, self.area(id).start);
            let mut wrong = Vec::new();
            if found != offset {
                wrong.push(format!("key-material-offset is byte {found} and becomes byte {offset}"));
            }
            if self.stripes(id) as usize != STRIPES {
                wrong.push(format!("stripes are {} and become {STRIPES}", self.stripes(id)));
            }
            if id == SIGNED_SLOT && self.bytes[SIGNATURE] == [0x55, 0xaa] {
                wrong.push("a partition table's signature goes".into());
            }
            if !wrong.is_empty() {
                steps.push(format!("key slot {id}, which is not in use: {}", wrong.join("; ")));
                draft.free(id, (offset / SECTOR_SIZE as u64) as u32);
            }
        }
        // A header that is still wrong then is better left as it is.
        draft.parse()?.check_writable().map_err(|error| unknown(&error))?;
        Ok(Some((draft, steps)))
    }

    /// Whether the areas lie as they do in all headers of the last fifteen years, so that their places are known.
    fn check_known_layout(&self) -> Result<(), Error> {
        let hint = "put it right by hand, or restore a backup of the header (udm luks header-restore)";
        if ![16, 32, 64].contains(&self.key_size) {
            let why = "where its key slots lie is known for 16, 32 and 64 bytes alone";
            return Err(Error::Unsupported(Finding::new("key-bytes", self.key_size, why, hint)));
        }
        let first = self.area(0).start;
        if first < AREA_ALIGNMENT {
            let (field, found) = ("key-slot-0.key-material-offset", format!("byte {first}"));
            let why = "where its other key slots lie is known for byte 4096 alone";
            return Err(Error::Unsupported(Finding::new(field, found, why, hint)));
        }
        Ok(())
    }

    fn hash_as_written(&self) -> String {
        String::from_utf8_lossy(super::field(&self.bytes, 72, 32)).into_owned()
    }
}

fn unknown(error: &Error) -> Error {
    let (field, found) = error.finding().map_or(("the header".into(), String::new()), |finding| {
        (finding.field.clone(), finding.found.clone())
    });
    let why = "it would still be wrong when all is put right that is known to go wrong";
    Error::Unsupported(Finding::new(field, found, why, RESTORE))
}

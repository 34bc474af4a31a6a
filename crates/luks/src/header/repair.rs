//! Putting a header right, which is done only when it is asked for.

use crate::error::Error;
use crate::luks2::binary::Which;
use crate::source::{ReadAt, Storage};
use crate::volume::{Header, Volume};

impl<S: ReadAt> Volume<S> {
    /// What [`repair`](Volume::repair) would do, a sentence a thing; empty where there is nothing to repair.
    ///
    /// # Errors
    /// Where the header is wrong in a way that is not known how to put right.
    pub fn repairs(&self) -> Result<Vec<String>, Error> {
        match &self.header {
            Header::Luks1(header) => Ok(header.repaired()?.map(|(_, steps)| steps).unwrap_or_default()),
            Header::Luks2(header) => Ok(header.copies.repairs()),
        }
    }
}

impl<S: Storage> Volume<S> {
    /// Puts the header right; `false` where nothing is wrong.
    ///
    /// Of LUKS2 the copy that was read is written over the other one, where that is damaged, older, or another one of the same
    /// sequence. The good one is written last. Of LUKS1 the key slots that are not in use get their places back.
    ///
    /// # Errors
    /// Where it is wrong in a way that is not known how to put right, or cannot be written.
    pub fn repair(&mut self) -> Result<bool, Error> {
        match &self.header {
            Header::Luks1(header) => {
                let Some((draft, _)) = header.repaired()? else { return Ok(false) };
                let header = draft.commit(Some(header), &mut self.source)?;
                self.header = Header::Luks1(Box::new(header));
            }
            Header::Luks2(header) if header.copies.is_whole() => return Ok(false),
            Header::Luks2(header) => {
                let used = header.copies.used;
                let copies = header.draft_unchecked().encode()?;
                let header = copies.write_last(&mut self.source, used)?;
                debug_assert_eq!(header.copies.used, Which::Primary);
                self.header = Header::Luks2(Box::new(header));
            }
        }
        Ok(true)
    }
}

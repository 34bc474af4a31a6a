//! Making both copies of a LUKS2 header the same again, which is done only when it is asked for.

use crate::error::Error;
use crate::luks2::binary::Which;
use crate::source::Storage;
use crate::volume::{Header, Volume};

impl<S: Storage> Volume<S> {
    /// Writes the copy that was read over the other one, where that is damaged or older; `false` where both are whole and
    /// the same. The good one is written last.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn repair(&mut self) -> Result<bool, Error> {
        let Header::Luks2(header) = &self.header else { return Ok(false) };
        let (used, is_whole) = (header.copies.used, header.copies.notice().is_none());
        if is_whole {
            return Ok(false);
        }
        let copies = header.draft_unchecked().encode()?;
        let header = copies.write_last(&mut self.source, used)?;
        debug_assert_eq!(header.copies.used, Which::Primary);
        self.header = Header::Luks2(Box::new(header));
        Ok(true)
    }
}

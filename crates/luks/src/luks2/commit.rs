//! Writing a LUKS2 header so that the power may fail at any time.
//!
//! There are two copies, and a reader takes the newer one that is whole (LUKS2 On-Disk Format Specification, section 2.4).
//! So they are written one after another with a sync behind each, under a sequence number that is higher than both had:
//! until the first is whole the other one is the old header, and from then on the first is the new one. For that both
//! must be whole and the same before: [`Header::check_writable`](super::Header::check_writable).

use super::binary::{Binary, Which};
use super::json::Json;
use super::{Header, Metadata};
use crate::error::Error;
use crate::random;
use crate::source::Storage;

/// Both copies of a header, ready to be written.
#[derive(Debug)]
pub struct EncodedHeader {
    /// What they say.
    header: Header,
    primary: Vec<u8>,
    secondary: Vec<u8>,
}

impl EncodedHeader {
    /// The copies of the next header, which says `json`.
    ///
    /// # Errors
    /// Where it does not fit, or would be one that is not read again.
    pub fn encode(mut binary: Binary, json: &Json) -> Result<Self, Error> {
        binary.sequence = binary.sequence.checked_add(1).ok_or_else(|| {
            let why = "there is no higher one, so nothing could tell which copy is the newer";
            Error::request("seqid", binary.sequence, why, "restore a backup of the header")
        })?;
        let text = json.to_bytes();
        let metadata = Metadata::parse(&text, binary.header_size)?;
        let copy = |which| binary.encode(which, &text, &random::bytes()?);
        let (primary, secondary) = (copy(Which::Primary)?, copy(Which::Secondary)?);
        let copies = super::Copies::whole(binary.sequence);
        Ok(Self { header: Header { binary, metadata, copies }, primary, secondary })
    }

    /// Writes them in turn, the secondary first, and gives the header that they are.
    ///
    /// # Errors
    /// Where they cannot be written. Then one of them may have been.
    pub fn write(self, storage: &mut impl Storage) -> Result<Header, Error> {
        self.write_last(storage, Which::Primary)
    }

    /// Writes them in turn, and `last` only when the other one is whole.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write_last(self, storage: &mut impl Storage, last: Which) -> Result<Header, Error> {
        let secondary = (Which::Secondary, self.header.binary.header_size, &self.secondary);
        let mut order = [secondary, (Which::Primary, 0, &self.primary)];
        if last == Which::Secondary {
            order.reverse();
        }
        for (which, at, bytes) in order {
            let what = format!("the {which} header");
            storage.write_at(at, bytes).map_err(Error::writing(&what))?;
            storage.sync().map_err(Error::writing(&what))?;
        }
        Ok(self.header)
    }
}

//! The tokens object of the metadata: how others get at passphrases (LUKS2 On-Disk Format Specification, section 3.6).
//! No token is used here; each stays as it is.

use super::field::Field;
use crate::error::Error;

/// How many tokens there may be.
pub const MAX_TOKENS: u32 = 32;

/// A token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// Its type.
    pub kind: String,
    /// The key slots that it opens.
    pub key_slots: Vec<u32>,
}

/// Reads the object. The key slots that it refers to must be there.
///
/// # Errors
/// At the first that is not as the specification has it.
pub fn read(object: &Field<'_>, key_slots: &[u32]) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    for (id, field) in object.numbered(MAX_TOKENS)? {
        let kind = field.need("type")?.text()?.into_owned();
        tokens.push(Token {
            id,
            kind,
            key_slots: field.need("keyslots")?.references(key_slots, "key slot")?,
        });
    }
    Ok(tokens)
}

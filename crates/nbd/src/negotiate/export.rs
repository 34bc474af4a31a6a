//! The exports that a server offers, and the check that the protocol can describe them.

use super::error::Quoted;
use crate::wire::{BlockSizes, MAX_STRING, TransmissionFlags};

/// One export, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportInfo {
    /// The name that chooses it. At most [`MAX_STRING`] bytes, without NUL.
    pub name: String,
    /// Words for a person; may be empty. At most [`MAX_STRING`] bytes, without NUL.
    pub description: String,
    /// The size in bytes.
    pub size: u64,
    /// What it can do. When the flags are sent, `HAS_FLAGS` is added and flags that need structured replies are left out.
    pub flags: TransmissionFlags,
    /// The block sizes in bytes.
    pub block_sizes: BlockSizes,
}

/// An export that cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportInfoError {
    /// The name or the description does not fit the protocol.
    #[error("export {}: the {what} is {length} bytes long, it should be at most {MAX_STRING}", Quoted(.name))]
    TooLong {
        /// The export.
        name: String,
        /// The name or the description.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// The name or the description contains a NUL.
    #[error("export {}: the {what} contains a NUL character, it should have none", Quoted(.name))]
    Nul {
        /// The export.
        name: String,
        /// The name or the description.
        what: &'static str,
    },
    /// The block sizes are not what the protocol allows.
    #[error(
        "export {}: block sizes of {} (least), {} (preferred) and {} (most) bytes; the first two should be powers of \
         two, the least at most 64 KiB, and all three in order",
        Quoted(.name), .sizes.min, .sizes.preferred, .sizes.max
    )]
    BlockSizes {
        /// The export.
        name: String,
        /// Its block sizes.
        sizes: BlockSizes,
    },
    /// Two exports have the same name.
    #[error("two exports are named {}, each should have a name of its own", Quoted(.name))]
    SameName {
        /// The name.
        name: String,
    },
}

impl ExportInfo {
    /// An export without a description, with the protocol's default block sizes.
    pub fn new(name: impl Into<String>, size: u64, flags: TransmissionFlags) -> Self {
        Self { name: name.into(), description: String::new(), size, flags, block_sizes: BlockSizes::DEFAULT }
    }

    fn check(&self) -> Result<(), ExportInfoError> {
        let name = || self.name.clone();
        for (what, text) in [("name", &self.name), ("description", &self.description)] {
            if text.len() > MAX_STRING {
                return Err(ExportInfoError::TooLong { name: name(), what, length: text.len() });
            }
            if text.contains('\0') {
                return Err(ExportInfoError::Nul { name: name(), what });
            }
        }
        let sizes = self.block_sizes;
        if sizes.are_sound() && u64::from(sizes.max) >= self.size.min(u64::from(sizes.preferred)) {
            Ok(())
        } else {
            Err(ExportInfoError::BlockSizes { name: name(), sizes })
        }
    }
}

/// Checks the exports that a server is about to offer.
///
/// # Errors
/// The first export that the protocol cannot describe to a client, or a name that two exports have.
pub fn check_exports(exports: &[ExportInfo]) -> Result<(), ExportInfoError> {
    for (at, export) in exports.iter().enumerate() {
        export.check()?;
        if exports[..at].iter().any(|earlier| earlier.name == export.name) {
            return Err(ExportInfoError::SameName { name: export.name.clone() });
        }
    }
    Ok(())
}

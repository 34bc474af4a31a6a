//! Changing the keys of a volume.
//!
//! Whatever is changed, the power may fail at any time, and the old or the new header opens: LUKS2's by its two copies
//! (`luks2/commit.rs`), LUKS1's by the order of its sectors (`luks1/draft.rs`). So every operation follows one order:
//! 1. the new material goes where no header refers to, and is synced;
//! 2. the header is written that refers to it;
//! 3. material that is to go is overwritten, and synced, while the header still knows it;
//! 4. the header is written that has forgotten it.
//!
//! A change of a passphrase is all four, so that at no time neither of both opens.
//!
//! Whoever changes a volume has it locked ([`Locked`](crate::locked::Locked)), and read since.

mod add;
mod change;
mod find;
mod remove;

pub use find::VolumeKey;
pub use remove::LastKey;

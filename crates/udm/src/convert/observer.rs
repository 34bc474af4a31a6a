//! Who watches a conversion, and may stop it.

use std::io;

/// A pass over the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Pass {
    /// They are copied.
    Copy,
    /// Both sides are read and compared.
    Compare,
}

/// Who watches a conversion. All of it is called on the thread that converts, between two transfers: what takes long
/// here, makes the conversion slow.
pub trait Observer {
    /// From here on something is left behind when the process ends at once. Who catches signals begins to do so.
    ///
    /// # Errors
    /// The conversion ends with it, before anything is made.
    fn begins(&self) -> io::Result<()> {
        Ok(())
    }

    /// A pass over `size` bytes begins, at byte `begin`.
    fn pass(&self, _pass: Pass, _size: u64, _begin: u64) {}

    /// All before byte `position` is done. Called often.
    fn reached(&self, _position: u64) {}

    /// The pass has ended, well or not.
    fn ended(&self) {}

    /// Whether the conversion is to stop where it is. What was done is remembered, as far as there is a journal.
    fn stops(&self) -> bool {
        false
    }
}

/// Nobody watches, and nobody stops it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unwatched;

impl Observer for Unwatched {}

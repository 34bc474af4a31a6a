//! Where a bio lives in memory, and who may touch what of it. All of the bio's `unsafe` is here.
//!
//! A bio is one block: the driver's pad, the head that all layers see, and the way home to its pool. `Bio` is the
//! right of its one holder to the head's own part. What several may touch at once (the status and the count of
//! pieces) is atomic. A piece that was split off keeps its parent's block through a count (`ChainRef`).
//!
//! * `head`: `Bio`, the handle, and what all layers see through it.
//! * `block`: the memory around it; `PadBio`, the owner's view of it with the pad.
//! * `runs`: where its data is.

mod block;
mod head;
mod runs;

pub(super) use block::{BioMemory, layout};
pub use block::{Ending, OwnBio, Pad, PadBio};
pub use head::{Bio, BioList, INLINE_SPANS};
pub(crate) use head::{BioChunk, BioMailbox};
pub(super) use head::{ChainRef, MARK_ANYWHERE, MARK_ENDS, MARK_SINGLE_UNIT, Memory, NO_SPANS};

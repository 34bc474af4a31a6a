//! NBD clients of others that need more than a test has: `nbdfuse` needs root and a FUSE device, and `nbd-tester-client` has
//! to be built.

mod fuse;
mod served;
mod source;
mod tester;

pub use fuse::step as nbdfuse;
pub use tester::step as nbd_tester;

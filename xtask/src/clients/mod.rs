//! NBD clients of others that need more than a test has: `nbdfuse` needs root and a FUSE device.

mod fuse;
mod served;

pub use fuse::step as nbdfuse;

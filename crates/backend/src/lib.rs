//! Where sectors live: files and block devices, exports of NBD servers, memory, and nowhere.
//!
//! [`locate::open_named`] opens what a table or a command line names. [`file`](mod@file) is the back end that matters;
//! [`Ram`] and [`Null`] are for tests, benchmarks and scratch space.

mod error;
pub mod file;
pub mod locate;
pub mod nbd;
mod null;
mod ram;

pub use error::OpenError;
pub use file::{Cache, EngineChoice, FileDevice, FileOptions};
pub use locate::open_named;
pub use null::Null;
pub use ram::Ram;

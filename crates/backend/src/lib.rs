//! Where sectors live: files and block devices, exports of NBD servers, memory, and nowhere.
//!
//! [`open_named`] opens what a table or a command line names. [`file`](mod@file) is the back end that matters;
//! [`Ram`] and [`Null`] are for tests, benchmarks and scratch space.

mod error;
pub mod file;
pub mod nbd;
mod null;
mod path_name;
mod ram;
mod registry;
mod scratch;
mod size;

pub use error::OpenError;
pub use file::{Cache, EngineChoice, FileDevice, FileOptions};
pub use null::Null;
pub use path_name::{name_of, path_of};
pub use ram::Ram;
pub use registry::{BackendType, BackendTypes, Location, Opened, open_named};
pub use size::{SizeError, parse_size};

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

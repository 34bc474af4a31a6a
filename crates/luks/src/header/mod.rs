//! Changing what a header says, apart from its keys; keeping it, and getting it back.
//!
//! Each is durable when it returns, and at any power cut before the old or the new header opens; but for
//! [`restore`](backup::restore), which see.

pub mod backup;
mod config;
mod repair;
mod tokens;

pub use tokens::keyring_token;

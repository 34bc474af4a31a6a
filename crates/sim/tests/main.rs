//! The tests of this crate from outside, in one program. Those that need a process of their own are programs beside it.

mod crypt;
mod determinism;
mod disk;
mod lies;
mod support;
mod targets;

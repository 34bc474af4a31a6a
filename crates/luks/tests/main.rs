//! The tests of this crate from outside, in one program. Those that need a process of their own are programs beside it.

mod cryptsetup;
mod differences;
mod foreign;
mod format;
mod keys;
mod malformed;
mod power_cuts;
mod repair;
mod sequences;
mod signatures;
mod support;
mod vectors;

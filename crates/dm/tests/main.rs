//! The tests of this crate from outside, in one program. Those that need a process of their own are programs beside it.

mod behaviour;
mod definitions;
mod equivalence;
mod explain;
mod foreign_type;
mod kernel_lines;
mod keyring;
mod loading;
mod malformed_lines;
mod managed;
mod mapped;
mod open_channels;
mod small;
mod starving;
mod support;
mod under_way;
mod vectors;

//! What the tests of udm's crates share: nothing of it is in the program.

pub mod loops;
mod skip;

pub use skip::{skip, skip_for_machine};

//! What the tests of udm's crates share: nothing of it is in the program.

mod skip;

pub use skip::{skip, skip_for_machine};

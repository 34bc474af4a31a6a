//! What the tests of udm's crates share: nothing of it is in the program.

mod again;
pub mod loops;
pub mod secrets;
mod skip;

pub use again::again;
pub use skip::{skip, skip_for_machine};

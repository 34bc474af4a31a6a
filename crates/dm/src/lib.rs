//! The device mapper: the table language, the mapped device, and its targets.

pub mod keyring;
pub mod load;
pub mod managed;
pub mod mapped;
pub mod table;
pub mod targets;

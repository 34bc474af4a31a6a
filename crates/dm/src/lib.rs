//! The device mapper: the table language, the mapped device, and its targets.

pub mod load;
pub mod mapped;
pub mod table;
pub mod targets;

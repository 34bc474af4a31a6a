//! The commands, a file each.

pub(crate) mod bench;
pub(crate) mod ciphers;
pub(crate) mod convert;
pub(crate) mod dm;
pub(crate) mod luks;
pub(crate) mod manual;
pub(crate) mod quickstart;
pub(crate) mod read;
pub(crate) mod serve;
pub(crate) mod table;
pub(crate) mod verify;
pub(crate) mod write;

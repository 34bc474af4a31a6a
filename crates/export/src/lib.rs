//! udm-export: how others reach a device. Each way has a folder of its own; this crate knows no table and no cipher.

pub mod nbd;
pub mod socket_file;

//! udm-export: how others reach a device. This crate knows no table and no cipher.
//!
//! | module | holds |
//! |---|---|
//! | [`serving`] | the serving core, which every export stands on: listeners, slots for connections, a queue and memory for each, the stop |
//! | [`nbd`] | the NBD server on it |

pub mod nbd;
pub mod serving;

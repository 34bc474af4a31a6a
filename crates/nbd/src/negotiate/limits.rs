//! What a client may cost.

/// The most bytes of data that are skipped to answer `NBD_REP_ERR_TOO_BIG`; a longer option ends the session.
pub const MAX_SKIPPED_DATA: u32 = 16 << 20;
/// The most options of one session.
pub const MAX_OPTIONS: u32 = 1000;

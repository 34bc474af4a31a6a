//! The names of device-mapper's targets.

/// Device-mapper's targets, apart from crypt, whoever has them. None of them has a secret among its words.
pub(super) const TARGETS: &[&str] = &[
    "linear",
    "zero",
    "error",
    "striped",
    "mirror",
    "snapshot",
    "snapshot-origin",
    "snapshot-merge",
    "thin",
    "thin-pool",
    "cache",
    "writecache",
    "verity",
    "integrity",
    "raid",
    "delay",
    "flakey",
    "dust",
    "ebs",
    "era",
    "multipath",
    "switch",
    "unstriped",
    "zoned",
    "log-writes",
    "clone",
    "vdo",
    "pcache",
];

/// `count` of `thing`, which takes an s where there are several.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

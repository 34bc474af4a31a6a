//! What the rules are told about this project. Every row has its reason; a row that no longer applies is a finding.

/// Files that may hold `unsafe` code, and why each must.
pub const UNSAFE_MODULES: &[(&str, &str)] =
    &[("crates/block/src/span.rs", "memory that a client or a guest may change is reached by address alone")];

/// Files that every I/O runs through, where nothing may allocate.
pub const IO_PATH: &[&str] = &[];

/// Files (`path`) and functions (`path::name`) that may be longer than the rule says, and why.
pub const LONG: &[(&str, &str)] = &[];

/// Which of our own packages each may depend on: each floor looks only down.
pub const FLOORS: &[(&str, &[&str])] = &[
    ("udm-block", &[]),
    ("udm-crypto", &["udm-block"]),
    ("udm-dm", &["udm-block", "udm-crypto"]),
    ("udm-luks", &["udm-block", "udm-crypto"]),
    ("udm-backend", &["udm-block"]),
    ("udm-export", &["udm-block"]),
    ("udm", &["udm-block", "udm-crypto", "udm-dm", "udm-luks", "udm-backend", "udm-export"]),
    // Checks and chores stand beside the building: nothing depends on them.
    ("udm-tests", &["udm", "udm-block", "udm-crypto", "udm-dm", "udm-luks", "udm-backend", "udm-export"]),
    ("udm-fuzz", &["udm", "udm-block", "udm-crypto", "udm-dm", "udm-luks", "udm-backend", "udm-export"]),
    ("xtask", &[]),
];

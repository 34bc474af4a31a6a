//! Targets that are not part of the device mapper's crate: they use what any program can use to add its own.
//!
//! Read [`striped`] first: it says step by step how a target is written; [`delay`] shows one that keeps bios.
//!
//! ```
//! use udm_dm::table::Table;
//!
//! let table = Table::parse_with(udm_targets::all(), "0 32 striped 2 8 a 0 b 0")?;
//! assert_eq!(table.rows[0].devices().len(), 2);
//! # Ok::<(), udm_dm::table::TableError>(())
//! ```

pub mod delay;
pub mod striped;

use std::sync::{Arc, LazyLock};

use udm_dm::targets::TargetTypes;

static ALL: LazyLock<TargetTypes> = LazyLock::new(|| {
    let mut types = TargetTypes::builtin().clone();
    register(&mut types);
    types
});

/// Adds the targets of this crate.
pub fn register(types: &mut TargetTypes) {
    types.register(Arc::new(striped::StripedType));
    types.register(Arc::new(delay::DelayType));
}

/// The targets of `udm-dm` and of this crate.
pub fn all() -> &'static TargetTypes {
    &ALL
}

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

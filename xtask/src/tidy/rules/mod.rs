//! The rules, a file each. A rule looks at the whole tree and gives what it finds.

mod allocation;
mod circles;
mod declared;
mod dependencies;
mod first_line;
mod floors;
mod length;
mod machine_paths;
mod names;
mod prints;
mod proofs;
mod words;

use super::Finding;
use super::tree::Tree;

/// A rule.
type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule.
pub const ALL: &[Rule] = &[
    first_line::check,
    declared::check,
    proofs::check,
    floors::check,
    length::check,
    names::check,
    words::check,
    prints::check,
    allocation::check,
    machine_paths::check,
    dependencies::check,
    circles::check,
];

//! The faults that are planted in the NBD server and in the device over an NBD client.

use crate::mutants::{Build, Mutant};

const GUARD: &str = "crates/export/src/nbd/server/guard.rs";
const EXPORT: Build = Build::Tests { package: "udm-export", target: "--lib" };

/// Which writes wait for each other, and what is sent again.
pub const ALL: &[Mutant] = &[
    Mutant {
        name: "a partial write does not wait for the whole ones that are under way",
        file: GUARD,
        find: "no_counted && !list.writes",
        replace: "(no_counted || true) && !list.writes",
        build: EXPORT,
        test: "nbd::server::tests::unaligned::a_partial_write_reads_its_block_after_the_whole_one_that_came_before",
        says: "the block was read too early",
    },
    Mutant {
        name: "a whole write does not see that a partial one is there",
        file: GUARD,
        find: "SeqCst) >= PARTIAL {",
        replace: "SeqCst) == u64::MAX {",
        build: EXPORT,
        test: "nbd::server::tests::unaligned::a_whole_write_to_a_block_waits_for_the_partial_one_that_reads_it",
        says: "the whole write did not wait",
    },
];

//! Faults of what is done to LUKS headers.

use crate::mutants::{Build, Mutant};

const TESTS: Build = Build::Tests { package: "udm-luks", target: "--test=all" };
const LUKS_COMMIT: &str = "crates/luks/src/luks2/commit.rs";

pub const ALL: &[Mutant] = &[
    Mutant {
        name: "both copies of a LUKS2 header are written at once",
        file: LUKS_COMMIT,
        find: "storage.sync().map_err(Error::writing(&what))?;",
        replace: "",
        build: TESTS,
        test: "power_cuts::the_old_or_the_new_volume_opens_at_every_power_cut",
        says: "the LUKS header is damaged",
    },
    Mutant {
        name: "a repair begins with the copy that is whole",
        file: LUKS_COMMIT,
        find: "order.reverse();",
        replace: "",
        build: TESTS,
        test: "power_cuts::what_a_cut_leaves_can_be_repaired",
        says: "the LUKS header is damaged",
    },
    Mutant {
        name: "a header refers to a key slot that is not durable yet",
        file: "crates/luks/src/keys/add.rs",
        find: "storage.sync().map_err(Error::writing(\"the key slot\"))",
        replace: "Ok(())",
        build: TESTS,
        // Nothing is lost by it, but the new header would know a key slot that nothing opens.
        test: "power_cuts::the_old_or_the_new_volume_opens_at_every_power_cut",
        says: "ab3",
    },
    Mutant {
        name: "a header forgets a key slot before its material is gone",
        file: "crates/luks/src/keys/remove.rs",
        find: "storage.sync().map_err(Error::writing(\"over key material\"))",
        replace: "Ok(())",
        build: TESTS,
        test: "power_cuts::material_is_gone_before_the_header_forgets_it",
        says: "sectors of the material are left",
    },
    Mutant {
        name: "Argon2's threads are not waited for",
        file: "crates/luks/src/kdf.rs",
        find: "threads.into_iter().map(std::thread::JoinHandle::join)",
        replace: "threads.into_iter().take(0).map(std::thread::JoinHandle::join)",
        build: Build::Tests { package: "udm-luks", target: "--test=lanes" },
        test: "no_lane_outlives_the_key",
        says: "a lane's thread still lived",
    },
];

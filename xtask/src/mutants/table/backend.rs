//! The faults that are planted in the back ends.

use crate::mutants::{Build, Mutant};

const REGISTERED: &str = "crates/backend/src/file/uring/registered.rs";
const CLOSING: Build = Build::Tests { package: "udm-backend", target: "--test=closing" };

/// A ring and the files that it knows by number.
pub const ALL: &[Mutant] = &[
    Mutant {
        name: "a ring keeps the files of an image that is dropped",
        file: REGISTERED,
        find: "table.take_back(index);",
        replace: "let _ = (&table, index);",
        build: CLOSING,
        test: "a_dropped_device_is_closed_at_once_while_the_threads_that_served_it_go_on",
        says: "the dropped device is still open",
    },
    Mutant {
        name: "a ring that goes leaves its files to the kernel",
        file: REGISTERED,
        find: "IoringRegisterOp::UnregisterFiles, ptr::null(), 0",
        replace: "IoringRegisterOp::UnregisterFiles, ptr::null(), 1",
        build: CLOSING,
        test: "a_dropped_device_is_closed_at_once_after_the_threads_that_served_it",
        says: "the dropped device is still open",
    },
    Mutant {
        name: "the numbers of one image serve another",
        file: REGISTERED,
        find: "holder if holder == address(image) =>",
        replace: "holder if holder != FREE =>",
        build: CLOSING,
        test: "one_ring_never_mistakes_one_of_many_files_for_another",
        says: "round 40 file",
    },
];

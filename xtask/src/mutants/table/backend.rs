//! The faults that are planted in the back ends.

use crate::mutants::{Build, Mutant};

const TESTS: Build = Build::Tests { package: "udm-backend", target: "--test=all" };
const REGISTERED: &str = "crates/backend/src/file/uring/registered.rs";

const LIB: Build = Build::Tests { package: "udm-backend", target: "--lib" };
const TRANSFER: &str = "crates/backend/src/file/transfer/mod.rs";

/// A ring and the files that it knows by number.
pub const ALL: &[Mutant] = &[
    Mutant {
        name: "a ring keeps the files of an image that is dropped",
        file: REGISTERED,
        find: "table.take_back(index);",
        replace: "let _ = (&table, index);",
        build: TESTS,
        test: "closing::a_dropped_device_is_closed_at_once_while_the_queues_that_served_it_go_on",
        says: "the dropped device is still open",
    },
    Mutant {
        name: "a ring that goes leaves its files to the kernel",
        file: REGISTERED,
        find: "IoringRegisterOp::UnregisterFiles, ptr::null(), 0",
        replace: "IoringRegisterOp::UnregisterFiles, ptr::null(), 1",
        build: TESTS,
        test: "closing::a_dropped_device_is_closed_at_once_after_the_queues_that_served_it",
        says: "the dropped device is still open",
    },
    Mutant {
        name: "the numbers of one image serve another",
        file: REGISTERED,
        find: "holder if holder == address(image) =>",
        replace: "holder if holder != FREE =>",
        build: TESTS,
        test: "closing::one_ring_never_mistakes_one_of_many_files_for_another",
        says: "round 40 file",
    },
    Mutant {
        name: "a ring that goes does not wait for what is in flight",
        file: "crates/backend/src/file/uring/ring.rs",
        find: "while self.free.len() < SLOTS || self.backlog.waiting() > 0 {",
        replace: "while self.free.len() > SLOTS {",
        build: Build::Tests { package: "udm-backend", target: "--test=rings" },
        test: "a_ring_that_goes_waits_for_what_is_in_flight",
        says: "a driver lost a bio",
    },
    Mutant {
        name: "a flush is acknowledged while the error of another's sync is on its way",
        file: "crates/backend/src/file/syncs.rs",
        find: "if state.open.is_empty() {",
        replace: "if state.open.len() < 100 {",
        build: LIB,
        test: "file::syncs::tests::a_flush_is_held_for_the_syncs_that_began_before_it_ended_and_for_no_others",
        says: "holds(flush(1))",
    },
    Mutant {
        name: "a durable write that fails is only a write that fails",
        file: TRANSFER,
        find: "|| (durable_write && !only_full)",
        replace: "|| (durable_write && only_full)",
        build: LIB,
        test: "file::transfer::tests::a_durable_write_that_fails_may_be_a_sync_that_failed",
        says: "Unsynced",
    },
    Mutant {
        name: "the kernel writes the zeros that a disk cannot make",
        file: TRANSFER,
        find: "self.unmap && !self.medium.is_block_device",
        replace: "self.unmap",
        build: LIB,
        test: "file::transfer::tests::a_disk_is_discarded_and_its_zeros_are_never_written_by_the_kernel",
        says: "NotSupported",
    },
    Mutant {
        name: "what a file has not is what the memory had",
        file: "crates/backend/src/file/image.rs",
        find: "bio.data_mut().after(stored as usize).fill(0);",
        replace: "let _ = (&*bio, stored);",
        build: TESTS,
        test: "file::a_block_that_is_stored_in_part_keeps_its_bytes",
        says: "it reads as something else",
    },
    Mutant {
        name: "what was not flushed is not sent again to a server that died",
        file: "crates/backend/src/nbd/device/session.rs",
        find: "let sent = unflushed.send_again(&mut client);",
        replace: "let sent: Result<(), ClientError> = Ok(());",
        build: LIB,
        test: "nbd::device::tests::requests_wait_so_long_then_they_fail_and_when_the_server_is_back_they_go_on",
        says: "the write was not sent again",
    },
];

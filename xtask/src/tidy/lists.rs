//! What the rules are told about this project. Every row has its reason; a row that no longer applies is a finding.

/// Files that may hold `unsafe` code, and why each must.
pub const UNSAFE_MODULES: &[(&str, &str)] = &[
    ("crates/backend/src/file/calls.rs", "system calls that take the address of a bio's memory"),
    ("crates/backend/src/file/uring/ring.rs", "the ring's entries refer to memory that the slots keep"),
    ("crates/backend/src/file/uring/sqe.rs", "entries are made of addresses"),
    ("crates/backend/src/ram/mapping.rs", "anonymous memory that is mapped, and reached by address"),
    ("crates/backend/tests/allocations.rs", "a global allocator that counts"),
    ("crates/backend/tests/support/mod.rs", "bios over memory that a test keeps"),
    ("crates/block/src/bio/raw.rs", "where a bio lives: front pad, head, and the way home"),
    ("crates/block/src/bio/tests.rs", "bios without memory, for devices that do not look at it"),
    ("crates/block/src/magazine.rs", "each thread's own slot of a shared table"),
    ("crates/block/src/memory.rs", "memory from the allocator"),
    ("crates/block/src/mempool.rs", "elements refer to their pool without counting"),
    ("crates/block/src/pages.rs", "a buffer is reached by its address"),
    ("crates/block/src/promise.rs", "a promise refers to its pool without counting"),
    ("crates/block/src/sealed.rs", "memory that is kept to be given out again"),
    ("crates/block/src/span.rs", "memory that a client or a guest may change is reached by address alone"),
    ("crates/block/src/submit.rs", "the driver that is being called, for a bio that it parks"),
    ("crates/block/src/zeroes.rs", "zeros that are written from static memory"),
    ("crates/block/tests/rescue.rs", "bios over the memory of others"),
    (
        "crates/block/tests/loom/main.rs",
        "cells that loom watches, for the order that the count of pieces gives",
    ),
    ("crates/block/tests/model/tables.rs", "bios over static memory"),
    ("crates/crypto/src/job.rs", "a request's owner behind one pointer, without an allocation"),
    ("crates/crypto/src/library.rs", "the C interface of aws-lc"),
    ("crates/crypto/src/portable/tests.rs", "looks at a key's memory after it was wiped"),
    (
        "crates/crypto/src/threads/slot.rs",
        "a request whose parts are with several threads while its job waits",
    ),
    ("crates/crypto/src/threads/tests.rs", "a carrier for the pool"),
    ("crates/crypto/src/waiting.rs", "a request that its driver has while its caller waits"),
    ("crates/crypto/tests/contract/jobs.rs", "a carrier for asynchronous drivers"),
    ("crates/dm/src/targets/crypt/offload.rs", "a cipher request that is a bio behind one pointer"),
    (
        "crates/dm/tests/no_memory.rs",
        "a global allocator that counts, and bios over memory that the test keeps",
    ),
    ("crates/dm/tests/support/client.rs", "bios over memory that a test keeps"),
    ("tests/benches/cost.rs", "bios over static memory"),
    ("crates/sim/src/client/memory.rs", "bios over memory that the simulated client keeps"),
    ("tests/src/bin/swap_guest/attach.rs", "calls of the kernel's nbd driver"),
    ("tests/src/bin/swap_guest/touch.rs", "advice on memory, by its address"),
    ("tests/tests/allocations.rs", "a global allocator that counts"),
    ("crates/luks/src/secret.rs", "memory for keys that is mapped, locked, and kept out of core dumps"),
    ("crates/udm/src/locked/heap.rs", "the C library's call that settles its allocator"),
    ("crates/udm/src/locked/urgency.rs", "the C library's call that sets a thread's scheduling"),
    ("crates/export/src/nbd/server/socket.rs", "socket calls that take the address of a bio's memory"),
];

/// Files that every I/O runs through, where nothing may allocate.
pub const IO_PATH: &[&str] = &[
    "crates/backend/src/file/calls.rs",
    "crates/backend/src/file/image.rs",
    "crates/backend/src/file/uring/sqe.rs",
    "crates/block/src/bio/list.rs",
    "crates/block/src/bio/mod.rs",
    "crates/block/src/bio/raw.rs",
    "crates/block/src/bio/split.rs",
    "crates/block/src/device.rs",
    "crates/block/src/promise.rs",
    "crates/block/src/span.rs",
    "crates/block/src/submit.rs",
    "crates/crypto/src/split.rs",
    "crates/crypto/src/threads/slot.rs",
    "crates/crypto/src/walk.rs",
    "crates/dm/src/targets/linear.rs",
    "crates/dm/src/targets/crypt/by_key.rs",
    "crates/dm/src/targets/crypt/clone.rs",
    "crates/dm/src/targets/zero.rs",
    "crates/dm/src/targets/crypt/iv/benbi.rs",
    "crates/dm/src/targets/crypt/iv/eboiv.rs",
    "crates/dm/src/targets/crypt/iv/elephant.rs",
    "crates/dm/src/targets/crypt/iv/essiv.rs",
    "crates/dm/src/targets/crypt/iv/lmk.rs",
    "crates/dm/src/targets/crypt/iv/mod.rs",
    "crates/dm/src/targets/crypt/iv/null.rs",
    "crates/dm/src/targets/crypt/iv/plain.rs",
    "crates/dm/src/targets/crypt/iv/plain64.rs",
    "crates/dm/src/targets/crypt/iv/plain64be.rs",
    "crates/dm/src/targets/crypt/iv/tcw.rs",
    "crates/export/src/nbd/server/request.rs",
    "crates/export/src/nbd/server/socket.rs",
    "crates/export/src/nbd/wire/transmission.rs",
];

/// Files (`path`) and functions (`path::name`) that may be longer than the rule says, and why.
pub const LONG: &[(&str, &str)] = &[];

/// Which of our own packages each may depend on: each floor looks only down.
pub const FLOORS: &[(&str, &[&str])] = &[
    ("udm-block", &[]),
    ("udm-crypto", &["udm-block"]),
    // What tests hold udm against shares no code with it.
    ("udm-reference", &[]),
    ("udm-dm", &["udm-block", "udm-crypto", "udm-reference"]),
    ("udm-luks", &["udm-block", "udm-crypto"]),
    ("udm-backend", &["udm-block"]),
    ("udm-export", &["udm-block"]),
    ("udm", &["udm-block", "udm-crypto", "udm-dm", "udm-luks", "udm-backend", "udm-export"]),
    // Its own tests run the targets of dm in it.
    ("udm-sim", &["udm-block", "udm-crypto", "udm-dm"]),
    // Checks and chores stand beside the building: nothing depends on them.
    (
        "udm-tests",
        &[
            "udm",
            "udm-reference",
            "udm-block",
            "udm-crypto",
            "udm-dm",
            "udm-luks",
            "udm-backend",
            "udm-export",
        ],
    ),
    ("udm-fuzz", &["udm", "udm-block", "udm-crypto", "udm-dm", "udm-luks", "udm-backend", "udm-export"]),
    ("xtask", &[]),
];

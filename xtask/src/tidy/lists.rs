//! What the rules are told about this project. Every row has its reason; a row that no longer applies is a finding.

/// Files that may hold `unsafe` code, and why each must.
pub const UNSAFE_MODULES: &[(&str, &str)] = &[
    ("crates/backend/src/file/calls.rs", "system calls that take the address of a bio's memory"),
    ("crates/backend/src/file/lock.rs", "locks of bytes, whose calls take the address of a structure"),
    ("crates/backend/src/file/uring/registered.rs", "the call that changes a ring's table takes addresses"),
    ("crates/backend/src/file/uring/ring.rs", "the ring's entries refer to memory that the slots keep"),
    ("crates/backend/src/file/uring/sqe.rs", "entries are made of addresses"),
    ("crates/backend/src/ram/mapping.rs", "anonymous memory that is mapped, and reached by address"),
    ("crates/backend/tests/allocations.rs", "a global allocator that counts"),
    ("crates/backend/tests/support/mod.rs", "bios over memory that a test keeps"),
    ("crates/block/src/bio/data.rs", "the memory of a bio has one writer, its holder"),
    ("crates/block/src/bio/raw/mod.rs", "where a bio lives: front pad, head, and the way home"),
    ("crates/block/src/bio/raw/runs.rs", "a bio's runs of memory, which its pieces borrow"),
    ("crates/block/src/bio/tests.rs", "bios without memory, for devices that do not look at it"),
    ("crates/block/src/memory.rs", "memory from the allocator"),
    ("crates/block/src/pages.rs", "a buffer is reached by its address"),
    ("crates/block/src/sealed.rs", "memory that is kept to be given out again"),
    ("crates/block/src/span/copy.rs", "copies of memory that somebody outside changes"),
    ("crates/block/src/span/cursor.rs", "a cursor that writes is made of one that reads"),
    (
        "crates/block/src/span/mod.rs",
        "memory that a client or a guest may change is reached by address alone",
    ),
    ("crates/block/src/zeroes.rs", "zeros that are written from static memory"),
    ("crates/block/tests/rescue.rs", "bios over the memory of others"),
    (
        "crates/block/tests/loom/pieces.rs",
        "cells that loom watches, for the order that the count of pieces gives",
    ),
    ("crates/block/tests/model/tables.rs", "bios over static memory"),
    ("crates/crypto/src/aes/cbc/decrypt.rs", "blocks of memory that others may change, by their addresses"),
    ("crates/crypto/src/aes/cbc/encrypt.rs", "blocks of memory that others may change, by their addresses"),
    ("crates/crypto/src/aes/ecb.rs", "blocks of memory that others may change, by their addresses"),
    ("crates/crypto/src/aes/lanes/mod.rs", "instructions that not every machine has"),
    ("crates/crypto/src/aes/lanes/xmm.rs", "instructions that not every machine has"),
    ("crates/crypto/src/aes/lanes/ymm.rs", "instructions that not every machine has"),
    ("crates/crypto/src/aes/lanes/zmm.rs", "instructions that not every machine has"),
    ("crates/crypto/src/aes/rounds.rs", "registers that are loaded from and stored at addresses"),
    ("crates/crypto/src/aes/tests.rs", "looks at a key's memory after it was wiped"),
    ("crates/crypto/src/aes/tweaks/bytes.rs", "instructions that not every machine has"),
    ("crates/crypto/src/aes/tweaks/general.rs", "masks that are written where registers are read from"),
    (
        "crates/crypto/src/aes/tweaks/mod.rs",
        "the contract of masks that are written where registers are read from",
    ),
    ("crates/crypto/src/aes/tweaks/shifts.rs", "instructions that not every machine has"),
    ("crates/crypto/src/aes/xts/ahead.rs", "masks that are written where registers are read from"),
    ("crates/crypto/src/aes/xts/rows.rs", "blocks of memory that others may change, by their addresses"),
    ("crates/crypto/src/job.rs", "a request's owner behind one pointer, without an allocation"),
    ("crates/crypto/src/library.rs", "the C interface of aws-lc"),
    ("crates/crypto/src/portable/tests.rs", "looks at a key's memory after it was wiped"),
    (
        "crates/crypto/src/threads/slot.rs",
        "a request whose parts are with several threads while its job waits",
    ),
    ("crates/crypto/src/threads/tests.rs", "a carrier for the pool"),
    ("crates/crypto/src/waiting.rs", "a request that its driver has while its caller waits"),
    ("crates/crypto/tests/contract/bounds.rs", "memory between pages that may not be touched"),
    ("crates/crypto/tests/contract/jobs.rs", "a carrier for asynchronous drivers"),
    ("crates/dm/src/targets/crypt/conversion.rs", "a cipher request that is a bio behind one pointer"),
    ("crates/dm/src/targets/crypt/offload_stages.rs", "requests are numbered while no driver has one"),
    (
        "crates/dm/tests/no_memory.rs",
        "a global allocator that counts, and bios over memory that the test keeps",
    ),
    ("crates/dm/tests/support/client.rs", "bios over memory that a test keeps"),
    ("tests/benches/cost.rs", "bios over static memory"),
    ("crates/sim/src/client/memory.rs", "bios over memory that the simulated client keeps"),
    ("crates/targets/tests/no_memory.rs", "a global allocator that counts"),
    ("tests/src/bin/swap_guest/attach.rs", "calls of the kernel's nbd driver"),
    ("tests/src/bin/swap_guest/touch.rs", "advice on memory, by its address"),
    ("tests/tests/allocations.rs", "a global allocator that counts"),
    ("crates/luks/src/secret.rs", "memory for keys that is mapped, locked, and kept out of core dumps"),
    (
        "crates/udm-cli/src/input/inherited.rs",
        "descriptors that are named by number, and what was closed before `main`",
    ),
    (
        "crates/udm-cli/src/terminal/signals.rs",
        "the C library's calls that set a signal's handler and put it back",
    ),
    (
        "crates/udm-cli/src/allocator.rs",
        "the program's global allocator, and the end of a process without memory",
    ),
    ("crates/udm-cli/src/locked/heap.rs", "the C library's call that settles its allocator"),
    ("crates/udm-cli/src/locked/urgency.rs", "the C library's call that sets a thread's scheduling"),
    ("crates/export/src/nbd/server/socket.rs", "socket calls that take the address of a bio's memory"),
];

/// Folders and files that I/O passes, where nothing may allocate. An export of another server is not among them: what goes
/// over a network is copied, and kept until it is durable there.
pub const IO_PATH: &[&str] = &[
    "crates/backend/src/file/",
    "crates/backend/src/null.rs",
    "crates/backend/src/ram/",
    "crates/block/src/",
    "crates/crypto/src/aes/",
    "crates/crypto/src/job.rs",
    "crates/crypto/src/library.rs",
    "crates/crypto/src/portable/",
    "crates/crypto/src/request.rs",
    "crates/crypto/src/skcipher.rs",
    "crates/crypto/src/split.rs",
    "crates/crypto/src/threads/",
    "crates/crypto/src/walk.rs",
    "crates/dm/src/managed/channel.rs",
    "crates/dm/src/mapped/",
    "crates/dm/src/targets/",
    "crates/export/src/nbd/server/",
    "crates/nbd/src/wire/",
    "crates/targets/src/",
];

/// Files in the folders of `IO_PATH` that no I/O passes: they make, open, change or describe things.
pub const OFF_PATH: &[&str] = &[
    "crates/backend/src/file/direct.rs",
    "crates/backend/src/file/held.rs",
    "crates/backend/src/file/limits.rs",
    "crates/backend/src/file/lock.rs",
    "crates/backend/src/file/open.rs",
    "crates/backend/src/file/uring/probe.rs",
    "crates/block/src/blocking.rs",
    "crates/block/src/memory.rs",
    "crates/block/src/opening.rs",
    "crates/block/src/sealed.rs",
    "crates/crypto/src/portable/mod.rs",
    "crates/crypto/src/portable/twofish/schedule.rs",
    "crates/dm/src/targets/crypt/explain.rs",
    "crates/dm/src/targets/crypt/params/",
    "crates/dm/src/targets/crypt/target_type.rs",
    "crates/dm/src/targets/registry.rs",
    "crates/dm/src/targets/target_type.rs",
    "crates/export/src/nbd/server/export.rs",
    "crates/export/src/nbd/server/handshake.rs",
    "crates/export/src/nbd/server/mod.rs",
    "crates/targets/src/delay/target_type.rs",
    "crates/targets/src/lib.rs",
    "crates/targets/src/striped/target_type.rs",
];

/// Files (`path`) and functions (`path::name`) that may be longer than the rule says, and why.
pub const LONG: &[(&str, &str)] = &[];

/// Which of our own packages each may depend on: each floor looks only down.
pub const FLOORS: &[(&str, &[&str])] = &[
    ("udm-block", &["udm-testkit"]),
    // What tests share depends on none of ours, so that every crate's tests can use it.
    ("udm-testkit", &[]),
    ("udm-crypto", &["udm-block", "udm-testkit"]),
    // What tests hold udm against shares no code with it.
    ("udm-reference", &[]),
    ("udm-dm", &["udm-block", "udm-crypto", "udm-reference", "udm-testkit"]),
    // It uses what any program can use to add targets.
    ("udm-targets", &["udm-block", "udm-dm"]),
    ("udm-luks", &["udm-block", "udm-crypto", "udm-testkit"]),
    // The protocol alone, for programs without the rest.
    ("udm-nbd", &[]),
    ("udm-backend", &["udm-block", "udm-nbd", "udm-testkit"]),
    // Its tests connect with the client.
    ("udm-export", &["udm-block", "udm-nbd", "udm-backend", "udm-testkit"]),
    (
        "udm",
        &[
            "udm-block",
            "udm-crypto",
            "udm-dm",
            "udm-targets",
            "udm-luks",
            "udm-nbd",
            "udm-backend",
            "udm-export",
            "udm-testkit",
        ],
    ),
    (
        "udm-cli",
        &[
            "udm",
            "udm-block",
            "udm-crypto",
            "udm-dm",
            "udm-targets",
            "udm-luks",
            "udm-nbd",
            "udm-backend",
            "udm-export",
            "udm-testkit",
        ],
    ),
    // Its own tests run the targets of dm in it.
    ("udm-sim", &["udm-block", "udm-crypto", "udm-dm", "udm-targets"]),
    // Checks and chores stand beside the building: nothing depends on them.
    (
        "udm-tests",
        &[
            "udm",
            "udm-reference",
            "udm-testkit",
            "udm-block",
            "udm-crypto",
            "udm-dm",
            "udm-luks",
            "udm-nbd",
            "udm-backend",
            "udm-export",
        ],
    ),
    (
        "udm-fuzz",
        &[
            "udm",
            "udm-block",
            "udm-crypto",
            "udm-dm",
            "udm-targets",
            "udm-luks",
            "udm-nbd",
            "udm-backend",
            "udm-export",
        ],
    ),
    ("xtask", &[]),
];

/// Files that import each other and may: the contract of the block layer, whose nouns refer to each other. A bio knows the
/// queue that it comes home to and the pool that it may wait on; these hold bios; a device is opened through what knows
/// devices. The list may only become shorter.
pub const CIRCLES: &[&[&str]] = &[&[
    "crates/block/src/bio/mod.rs",
    "crates/block/src/bio/table.rs",
    "crates/block/src/channel.rs",
    "crates/block/src/channels.rs",
    "crates/block/src/classes.rs",
    "crates/block/src/device.rs",
    "crates/block/src/dispatch.rs",
    "crates/block/src/engine.rs",
    "crates/block/src/lent.rs",
    "crates/block/src/mailbox.rs",
    "crates/block/src/mempool.rs",
    "crates/block/src/opening.rs",
    "crates/block/src/pages.rs",
    "crates/block/src/reserve.rs",
    "crates/block/src/stock.rs",
]];

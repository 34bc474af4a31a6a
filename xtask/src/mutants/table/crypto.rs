//! Faults of the ciphers.

use crate::mutants::{Build, Mutant};

pub const ALL: &[Mutant] = &[
    Mutant {
        name: "a part of a request begins with the IV of the whole",
        file: "crates/crypto/src/request.rs",
        find: "Self::CounterLe64 { first: self.iv(first), stride }",
        replace: "*self",
        build: Build::Tests { package: "udm-dm", target: "--test=vectors" },
        test: "what_the_kernel_wrote_is_read_back",
        says: "by threads",
    },
    Mutant {
        name: "an engine takes lost descriptors for good ones",
        file: "crates/crypto/src/offload/descriptor.rs",
        find: "(sum(content) == *found)",
        replace: "(sum(content) == *found || at == 0)",
        build: Build::Tests { package: "udm-crypto", target: "--lib" },
        test: "offload::tests::an_engine_that_loses_its_memory_begins_again_or_says_so",
        says: "and had wrong data",
    },
    Mutant {
        name: "a tweak of XTS is folded by another polynomial",
        file: "crates/crypto/src/aes/lanes/tweak.rs",
        find: "& 0x87;",
        replace: "& 0x86;",
        build: Build::Tests { package: "udm-crypto", target: "--lib" },
        test: "aes::tests::masks_are_tweaks_times_powers_of_x_with_the_key_added",
        says: "x^",
    },
    Mutant {
        name: "a request is not waited for where its driver panics",
        file: "crates/crypto/src/waiting.rs",
        find: "let finished = Finished(&waiting);",
        replace: "let finished = Some(std::mem::ManuallyDrop::new(Finished(&waiting)));",
        build: Build::Tests { package: "udm-crypto", target: "--test=contract" },
        test: "jobs::a_job_that_was_handed_on_before_a_panic_is_waited_for",
        says: "the memory went while a thread had it",
    },
];

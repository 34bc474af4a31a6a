//! Faults of the ciphers.

use crate::mutants::{Build, Mutant};

pub const ALL: &[Mutant] = &[
    Mutant {
        name: "a part of a request begins with the IV of the whole",
        file: "crates/crypto/src/request.rs",
        find: "Self::CounterLe64 { first: self.iv(first), stride }",
        replace: "*self",
        build: Build::Tests { package: "udm-dm", target: "--test=all" },
        test: "vectors::what_the_kernel_wrote_is_read_back",
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
        file: "crates/crypto/src/aes/tweaks/general.rs",
        find: "& 0x87;",
        replace: "& 0x86;",
        build: Build::Tests { package: "udm-crypto", target: "--lib" },
        test: "aes::tests::masks_are_tweaks_times_powers_of_x_with_the_key_added",
        says: "x^",
    },
    Mutant {
        name: "the slower of two ways to make masks is chosen",
        file: "crates/crypto/src/aes/tuning.rs",
        find: "usize::from(second < first)",
        replace: "usize::from(second > first)",
        build: Build::Tests { package: "udm-crypto", target: "--lib" },
        test: "aes::tuning::tests::the_faster_of_two_ways_is_chosen",
        says: "left == right",
    },
    Mutant {
        name: "a request is not waited for where its driver panics",
        file: "crates/crypto/src/waiting.rs",
        find: "let finished = Finished(&waiting);",
        replace: "let finished = Some(std::mem::ManuallyDrop::new(Finished(&waiting)));",
        build: Build::Tests { package: "udm-crypto", target: "--test=all" },
        test: "contract::jobs::a_job_that_was_handed_on_before_a_panic_is_waited_for",
        says: "the memory went while a thread had it",
    },
    // Cipher strings.
    Mutant {
        name: "an error points before the piece that is wrong",
        file: "crates/crypto/src/spec/piece.rs",
        find: "Self::new(&self.text[at + 1..], self.at + at + 1)",
        replace: "Self::new(&self.text[at + 1..], self.at + at)",
        build: Build::Tests { package: "udm-crypto", target: "--lib" },
        test: "spec::tests::an_error_has_the_part_its_bytes_and_what_would_do",
        says: "left == right",
    },
    Mutant {
        name: "an IV mode that nobody knows is taken for one that the kernel stores",
        file: "crates/crypto/src/spec/names.rs",
        find: "name.text == RANDOM",
        replace: "IvMode::from_name(name.text).is_none()",
        build: Build::Tests { package: "udm-crypto", target: "--test=all" },
        test: "contract::spec::the_strings_that_the_kernel_refuses_are_refused_for_the_same_reason",
        says: "Invalid IV mode, and here",
    },
];

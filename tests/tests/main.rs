//! The tests of the whole program, in one. What counts the allocations of its process is a program beside it.

mod attached;
mod bench;
mod command_line;
mod conditions;
mod control;
mod convert;
mod convert_exact;
mod convert_interrupted;
mod convert_resumed;
mod cycles;
mod descriptors;
mod fairness;
mod judges;
mod locked;
mod luks;
mod luks_judges;
mod luks_keys;
mod memory;
mod names;
mod options;
mod outputs;
mod prompts;
mod restart;
mod server_life;

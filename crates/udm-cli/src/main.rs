//! The command `udm`: arguments, prompts and messages around the library of the same name.

use std::process::ExitCode;

use allocator::Allocator;

mod allocator;
mod bench;
mod cli;
mod commands;
mod compare;
mod control;
mod failure;
mod input;
mod locked;
mod log;
mod output;
mod passphrase;
mod pipeline;
mod progress;
mod scratch;
mod terminal;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    cli::main()
}

//! The command `udm`.

use std::process::ExitCode;

use udm::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    udm::cli::main()
}

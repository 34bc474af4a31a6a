//! The command `udm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    udm::cli::main()
}

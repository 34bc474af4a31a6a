//! `udm man` and `udm completions`: made from the same definitions as `--help`.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::cli::{Cli, Failure};

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "udm", &mut script);
    write_out(&script)
}

/// Prints udm(1), or writes all pages into `directory`.
pub(crate) fn man(directory: Option<&Path>) -> Result<(), Failure> {
    let command = Cli::command();
    if let Some(directory) = directory {
        return clap_mangen::generate_to(command, directory)
            .map_err(|error| Failure::work(format!("{}: {error}", directory.display())));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Failure::work)?;
    write_out(&page)
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::stdout(&error))
}

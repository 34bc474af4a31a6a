//! `udm man` and `udm completions`: made from the same definitions as `--help`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::{Cli, Failure, ManArgs};
use crate::output::{self, Existing, Output};

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "udm", &mut script);
    write_out(&script)
}

/// Prints udm(1), or writes all pages into a folder: all of them, or none where one is there already.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    let Some(directory) = &args.directory else {
        return write_out(&render(&Man::new(command))?);
    };
    command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write_pages(&command, directory, Existing::forced(args.force), &mut pages)?;
    pages.into_iter().try_for_each(Output::finish)
}

/// Writes the pages of a command and of those below it.
fn write_pages(
    command: &clap::Command,
    directory: &Path,
    existing: Existing,
    pages: &mut Vec<Output>,
) -> Result<(), Failure> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, directory, existing, pages)?;
    }
    let page = Man::new(command.clone());
    let path: PathBuf = directory.join(page.get_filename());
    let mut file = Output::create(&path, 0o666, existing, &[])?;
    file.write_all(&render(&page)?).map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
    pages.push(file);
    Ok(())
}

fn render(page: &Man) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    page.render(&mut text).map_err(Failure::work)?;
    Ok(text)
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = output::stdout()?;
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::stdout(&error))
}

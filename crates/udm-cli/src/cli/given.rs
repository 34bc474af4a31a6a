//! The options that stand on the command line, each with what it is about: one that has no meaning for what is named is
//! refused, before anything is opened.
//!
//! They are taken from clap's own list, so none can be forgotten: a test goes through the definition of every command and
//! fails where an option of one that takes devices stands in no row of [`ABOUT`].

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Failure;
use udm::device::Takes;

/// What an option is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    /// How a LUKS volume is unlocked.
    Unlocking,
    /// How files and block devices are read and written.
    Files,
    /// How sectors are encrypted.
    Cipher,
    /// How the volume that a conversion writes into is unlocked, or what opens the one that it makes.
    Destination,
    /// What a volume is that a conversion makes.
    NewVolume,
    /// How zeros are left out of a destination that is not encrypted.
    Zeros,
    /// How a conversion goes on after it was interrupted.
    Journal,
    /// The command itself, whatever is named.
    Command,
}

/// What each option is about, in the commands that take devices.
const ABOUT: &[(About, &[&str])] = &[
    (
        About::Unlocking,
        &[
            "key-file",
            "key-fd",
            "key-credential",
            "keyfile-offset",
            "keyfile-size",
            "key-slot",
            "header",
            "allow-discards",
            "pbkdf-memory-max",
            "pbkdf-iterations-max",
            "pbkdf-passes-max",
        ],
    ),
    (About::Files, &["cache", "engine"]),
    (About::Cipher, &["driver"]),
    (About::Destination, &["dst-key-file", "dst-keyfile-offset", "dst-keyfile-size", "dst-key-credential"]),
    (
        About::NewVolume,
        &[
            "type",
            "cipher",
            "key-size",
            "sector-size",
            "label",
            "uuid",
            "hash",
            "pbkdf",
            "iter-time",
            "pbkdf-memory",
            "pbkdf-parallel",
            "pbkdf-force-iterations",
            "keyslot-cipher",
            "keyslot-key-size",
        ],
    ),
    (About::Zeros, &["sparse-size"]),
    (About::Journal, &["resume", "checkpoint"]),
    (
        About::Command,
        &[
            "json",
            "verbose",
            "quiet",
            "help",
            "version",
            "table",
            "table-file",
            "dst-table",
            "dst-table-file",
            "offset",
            "length",
            "output",
            "input",
            "nbd",
            "read-only",
            "max-connections",
            "locked",
            "control",
            "no-create",
            "force",
            "verify",
            "journal",
        ],
    ),
];

/// What an option is about.
fn about(option: &str) -> Option<About> {
    ABOUT.iter().find(|(_, options)| options.contains(&option)).map(|(about, _)| *about)
}

/// The options that were given to a command, without their dashes.
#[derive(Debug, Default)]
pub(crate) struct Given(Vec<String>);

impl Given {
    /// Those of the command that `matches` is of, below `command`.
    pub(crate) fn of(command: &clap::Command, matches: &ArgMatches) -> Self {
        let (mut command, mut matches) = (command, matches);
        while let Some((name, below)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else { break };
            (command, matches) = (found, below);
        }
        let given = command.get_arguments().filter(|argument| {
            matches.try_contains_id(argument.get_id().as_str()).is_ok()
                && matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
        });
        Self(given.filter_map(|argument| argument.get_long().map(str::to_owned)).collect())
    }

    /// The options about something of `kind`, for a message: `--key-file`.
    pub(crate) fn about(&self, kind: About) -> Option<String> {
        let option = self.0.iter().find(|option| about(option) == Some(kind))?;
        Some(format!("--{option}"))
    }

    /// Refuses what has no meaning for what is named: that is called `named`, and takes `takes`.
    ///
    /// # Errors
    /// Which option has none, why, and what would do.
    pub(crate) fn check(&self, named: &str, takes: Takes) -> Result<(), Failure> {
        let refusals = [
            (About::Unlocking, takes.unlocking, "is for unlocking a LUKS volume", "none"),
            (About::Files, takes.files, "is for reading and writing files and block devices", "neither"),
            (About::Cipher, takes.cipher, "is for encrypting sectors", "not encrypted by udm"),
        ];
        for (kind, is_taken, what, none) in refusals {
            if let Some(option) = self.about(kind).filter(|_| !is_taken) {
                return Err(refused(&option, what, named, none));
            }
        }
        Ok(())
    }
}

/// The refusal of an option.
pub(crate) fn refused(option: &str, what: &str, named: &str, none: &str) -> Failure {
    let hint = if named.contains("raw:") {
        "; leave the option out, or leave out raw: where it is a LUKS volume"
    } else {
        "; leave the option out"
    };
    Failure::request(format!("{option} {what}, and {named} is {none}{hint}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_option_of_a_command_that_takes_devices_says_what_it_is_about() {
        let mut command = Cli::command();
        command.build();
        for name in ["read", "write", "serve", "convert", "verify"] {
            let command = command.find_subcommand(name).unwrap();
            for argument in command.get_arguments() {
                if let Some(option) = argument.get_long() {
                    assert!(about(option).is_some(), "{name} --{option} is about nothing that is known");
                }
            }
        }
        // The twin: a name that no command has.
        assert_eq!(about("no-such-option"), None);
    }

    #[test]
    fn each_option_that_is_about_something_stands_once_and_is_of_a_command() {
        let mut all: Vec<_> = ABOUT.iter().flat_map(|(_, options)| options.iter()).collect();
        let len = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), len);
    }
}

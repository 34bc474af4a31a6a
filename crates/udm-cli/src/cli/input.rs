//! Arguments that name what is read and written, and the check that no file is meant for two things.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::Failure;
use crate::input::{FileId, Inherited, Input};
use udm::device::name::split_name;
use udm::device::{DeviceName, NameError};

/// Parses a file name, of which `-` is stdin. The descriptor is taken here, before the program has opened any of its own.
#[derive(Clone, Copy, Debug)]
pub struct InputParser;

impl TypedValueParser for InputParser {
    type Value = Input;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Input, clap::Error> {
        let named = |path| Input::named(path).map_err(|error| not_open(0, &error));
        PathBufValueParser::new().try_map(named).parse_ref(command, arg, value)
    }
}

impl ValueParserFactory for Input {
    type Parser = InputParser;

    fn value_parser() -> InputParser {
        InputParser
    }
}

/// Parses the number of a descriptor.
pub(crate) fn parse_descriptor(text: &str) -> Result<Input, String> {
    let number: RawFd = text.parse().map_err(|_| "it is the number of an open descriptor".to_owned())?;
    Inherited::take(number).map(Input::Descriptor).map_err(|error| not_open(number, &error))
}

fn not_open(number: RawFd, error: &std::io::Error) -> String {
    match (error.raw_os_error(), number) {
        (Some(libc::EBADF), 0) => "stdin is closed".into(),
        (Some(libc::EBADF | libc::EINVAL), _) => {
            format!("descriptor {number} is not open: a shell opens it as in {number}<FILE")
        }
        _ => format!("descriptor {number}: {error}"),
    }
}

/// What is read, under a name of its own where it was given one: `NAME=FILE`.
#[derive(Clone, Debug)]
pub struct NamedInput {
    /// The name.
    pub name: Option<String>,
    /// What is read.
    pub input: Input,
}

/// Parses `NAME=FILE`, or `FILE`.
#[derive(Clone, Copy, Debug)]
pub struct NamedInputParser;

impl TypedValueParser for NamedInputParser {
    type Value = NamedInput;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<NamedInput, clap::Error> {
        let refused = |error: NameError| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"));
        let (name, file) = split_name(value).map_err(refused)?;
        Ok(NamedInput { name, input: InputParser.parse_ref(command, arg, &file)? })
    }
}

impl ValueParserFactory for NamedInput {
    type Parser = NamedInputParser;

    fn value_parser() -> NamedInputParser {
        NamedInputParser
    }
}

/// A file that is written; `-` is stdout, where the command says so.
#[derive(Clone, Debug)]
pub struct OutputPath(PathBuf);

impl OutputPath {
    /// The path, whatever it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path, where it is not stdout.
    pub fn file(&self) -> Option<&Path> {
        Some(self.path()).filter(|path| path.as_os_str() != "-")
    }
}

impl From<OsString> for OutputPath {
    fn from(path: OsString) -> Self {
        Self(path.into())
    }
}

/// What an argument is to the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// A device or its header: it is opened, and may be changed.
    Volume,
    /// It is read: a key, a table, data.
    Input,
    /// It is made.
    Output,
}

/// The arguments that name volumes, in all commands.
const VOLUMES: [&str; 6] = ["image", "header", "device", "devices", "source", "destination"];

/// Refuses arguments that mean one file for two things, of which one would destroy the other: a descriptor that is to be
/// read twice (the second time, nothing or something else is left of it), a key or data from the volume itself, and a file to
/// be made that is read. An argument that is left out counts where it has a default.
///
/// # Errors
/// Which two.
pub(super) fn check_files(command: &Command, matches: &ArgMatches) -> Result<(), Failure> {
    let mut descriptors: BTreeMap<RawFd, String> = BTreeMap::new();
    let mut files: Vec<(Role, FileId, String)> = Vec::new();
    let (mut command, mut matches) = (command, matches);
    loop {
        for arg in command.get_arguments() {
            let name = called(arg, matches);
            for number in inputs(matches, arg).iter().filter_map(number) {
                if let Some(other) = descriptors.insert(number, name.clone()) {
                    let what = if number == 0 { "stdin".into() } else { format!("descriptor {number}") };
                    return Err(Failure::request(format!(
                        "{other} and {name} would both read {what}: give one of them a file, or another descriptor"
                    )));
                }
            }
            for (role, id) in roles(matches, arg) {
                // Two volumes may be one file, as in a conversion in place, and so may two keys.
                let same = files.iter().find(|(other, theirs, _)| *theirs == id && *other != role);
                if let Some((_, _, other)) = same {
                    return Err(Failure::request(format!(
                        "{other} and {name} are the same file: name another one"
                    )));
                }
                files.push((role, id, name.clone()));
            }
        }
        let Some((name, inner)) = matches.subcommand() else { return Ok(()) };
        let Some(found) = command.find_subcommand(name) else { return Ok(()) };
        (command, matches) = (found, inner);
    }
}

/// What the values of an argument are to the command.
fn roles(matches: &ArgMatches, arg: &clap::Arg) -> Vec<(Role, FileId)> {
    let id = arg.get_id().as_str();
    let inputs = inputs(matches, arg).into_iter().filter_map(|input| Some((Role::Input, input.id()?)));
    let outputs = matches.try_get_many::<OutputPath>(id).ok().flatten().into_iter().flatten();
    let outputs = outputs.filter_map(|output| Some((Role::Output, FileId::of(output.file()?)?)));
    let mut roles: Vec<_> = inputs.chain(outputs).collect();
    if VOLUMES.contains(&id) {
        let paths = matches.try_get_many::<PathBuf>(id).ok().flatten().into_iter().flatten();
        roles.extend(paths.filter_map(|path| Some((Role::Volume, FileId::of(path)?))));
        let words = matches.try_get_many::<OsString>(id).ok().flatten().into_iter().flatten();
        let rests = words.filter_map(|word| {
            if id == "devices" { Some(split_name(word).ok()?.1) } else { Some(word.clone()) }
        });
        let names = rests.filter_map(|word| DeviceName::parse(&word).ok());
        roles.extend(names.filter_map(|name| Some((Role::Volume, FileId::of(name.path()?)?))));
    }
    roles
}

/// The values of an argument that are read.
fn inputs(matches: &ArgMatches, arg: &clap::Arg) -> Vec<Input> {
    let id = arg.get_id().as_str();
    let plain = matches.try_get_many::<Input>(id).ok().flatten().into_iter().flatten().cloned();
    let named = matches.try_get_many::<NamedInput>(id).ok().flatten().into_iter().flatten();
    plain.chain(named.map(|named| named.input.clone())).collect()
}

fn number(input: &Input) -> Option<RawFd> {
    match input {
        Input::Descriptor(descriptor) => Some(descriptor.number()),
        Input::Path(_) => None,
    }
}

/// What a person calls an argument.
fn called(arg: &clap::Arg, matches: &ArgMatches) -> String {
    let id = arg.get_id().as_str();
    let value = arg.get_value_names().and_then(|names| names.first()).map_or(id, |name| name.as_str());
    let name = arg.get_long().map_or_else(|| value.to_owned(), |long| format!("--{long}"));
    match matches.value_source(id) {
        Some(ValueSource::DefaultValue) => format!("{name}, which was left out,"),
        _ => name,
    }
}

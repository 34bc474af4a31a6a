//! `udm dm`: asks a server that runs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::cli::{DmArgs, DmCommand, DmDevice, DmMessage, Failure, print, read_secret};
use crate::control::{Command, Request, ask};

pub(crate) fn run(args: &DmArgs, json: bool) -> Result<(), Failure> {
    let request = request(&args.command)?;
    let command = request.command;
    let output = ask(&args.socket, &request)?.map_err(|(errno, why)| match errno {
        // What does not exist or was written wrong, as opposed to what did not work.
        6 | 22 => Failure::request(why),
        _ => Failure::work(why),
    })?;
    if json {
        return print(&told(command, &output).to_string());
    }
    output.lines().try_for_each(print)
}

/// The request that the arguments are.
fn request(command: &DmCommand) -> Result<Request, Failure> {
    let of = |command, device: &DmDevice, text: Zeroizing<String>| Request {
        command,
        name: device.device.clone().unwrap_or_default(),
        text,
    };
    let plain = |command, device: &DmDevice| of(command, device, Zeroizing::default());
    Ok(match command {
        DmCommand::Ls => plain(Command::Ls, &DmDevice { device: None }),
        DmCommand::Status(device) => plain(Command::Status, device),
        DmCommand::Info(device) => plain(Command::Info, device),
        DmCommand::Deps(device) => plain(Command::Deps, device),
        DmCommand::Resume(device) => plain(Command::Resume, device),
        DmCommand::Clear(device) => plain(Command::Clear, device),
        DmCommand::Table(args) => {
            let words = [(args.showkeys, "showkeys"), (args.inactive, "inactive")];
            let words: Vec<_> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            of(Command::Table, &args.device, Zeroizing::new(words.join(" ")))
        }
        DmCommand::Suspend(args) => {
            let mut words = String::from(if args.noflush { "noflush" } else { "" });
            if let Some(seconds) = args.timeout {
                let _ = write!(words, " timeout={seconds}");
            }
            of(Command::Suspend, &args.device, Zeroizing::new(words))
        }
        DmCommand::Load(args) => of(Command::Load, &args.device, args.table.required()?),
        DmCommand::Message(args) => {
            let device = DmDevice { device: Some(args.device.clone()) };
            of(Command::Message, &device, message(args)?)
        }
    })
}

/// The text of a message, with the key from its file.
fn message(args: &DmMessage) -> Result<Zeroizing<String>, Failure> {
    let sets = matches!(&args.words[..], [key, set, ..]
        if key.eq_ignore_ascii_case("key") && set.eq_ignore_ascii_case("set"));
    let shown = args.words.get(2).filter(|word| sets && !word.starts_with(':') && *word != "-");
    if shown.is_some() {
        return Err(Failure::request(
            "every user of the machine can see a key among the arguments: put it into a file that only you can read, \
             and use --key-file FILE (or - for stdin)",
        ));
    }
    let key = args.key_file.as_ref().map(|input| read_secret(input, "the key")).transpose()?;
    if key.is_some() && !(sets && args.words.len() == 2) {
        return Err(Failure::request("--key-file is for the message: key set"));
    }
    let key = key.as_ref().map_or("", |key| key.trim());
    let words = args.words.join(" ");
    // Room for all at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(words.len() + key.len() + 32));
    let _ = write!(text, "{} {words} {key}", args.sector);
    let len = text.trim_end().len();
    text.truncate(len);
    Ok(text)
}

/// An answer for a program: an object of what `info` says, lines of everything else.
fn told(command: Command, output: &str) -> Value {
    if command != Command::Info {
        return json!({ "output": output.lines().collect::<Vec<_>>() });
    }
    let pairs = output.lines().filter_map(|line| line.split_once(": "));
    let key = |name: &str| name.to_lowercase().replace([' ', '/'], "_");
    Value::Object(pairs.map(|(name, value)| (key(name), json!(value))).collect::<Map<_, _>>())
}

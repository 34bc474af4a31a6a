//! `udm luks`: volumes made, looked at, and changed.
//!
//! - `dump` prints what headers say; `format` makes volumes.
//! - `keys` adds, changes and destroys key slots; `change` changes one where there is no room for new material.
//! - `header` sets labels and the like, keeps headers and restores them; `tokens` does what there is to do with these.
//! - `ask` asks a person before something is lost.

mod ask;
mod change;
mod dump;
mod format;
mod header;
mod keys;
mod tokens;

use std::os::fd::AsFd;
use std::path::Path;

use serde_json::{Value, json};
use udm_backend::file::keep_qemu_out;
use udm_luks::{HeaderPlace, Locked, Patience, Secret, Volume};

use crate::cli::{Failure, LuksArgs, LuksCommand, LuksImageArgs, LuksTestArgs, print};
use crate::input::Input;
use crate::passphrase::{Passphrase, PassphraseError};
use udm::device::DeviceError;
use udm::luks::{LuksError, Unlocking};

/// How results are told, and whether anybody is asked.
#[derive(Clone, Copy, Debug)]
struct Manner {
    json: bool,
    quiet: bool,
}

pub(crate) fn run(args: &LuksArgs, json: bool, quiet: bool) -> Result<(), Failure> {
    let manner = Manner { json, quiet };
    match &args.command {
        LuksCommand::Format(args) => format::format(args, manner),
        LuksCommand::Dump(args) => dump::dump(args, json),
        LuksCommand::TestPassphrase(args) => test_passphrase(args, json),
        LuksCommand::AddKey(args) => keys::add(args, manner),
        LuksCommand::ChangeKey(args) => keys::change(args, manner),
        LuksCommand::ConvertKey(args) => keys::convert(args, manner),
        LuksCommand::RemoveKey(args) => keys::remove(args, manner),
        LuksCommand::KillSlot(args) => keys::kill(args, manner),
        LuksCommand::Erase(args) => keys::erase(args, manner),
        LuksCommand::Config(args) => header::config(args, manner),
        LuksCommand::Uuid(args) => header::uuid(args, manner),
        LuksCommand::Token(command) => tokens::run(command, manner),
        LuksCommand::HeaderBackup(args) => header::back_up(args, manner),
        LuksCommand::HeaderRestore(args) => header::restore(args, manner),
        LuksCommand::Repair(args) => header::repair(args, manner),
    }
}

impl Manner {
    /// Tells what was done, and for a program with what result.
    fn done(self, text: &str, result: &Value) -> Result<(), Failure> {
        match self {
            Self { json: true, .. } => print(&result.to_string()),
            Self { quiet: true, .. } => Ok(()),
            // It is done, also where nobody can be told so.
            _ => print(text).or(Ok(())),
        }
    }

    /// The same of one key slot.
    fn done_slot(self, slot: u32, what: &str) -> Result<(), Failure> {
        self.done(&format!("Key slot {slot} {what}."), &json!({ "key_slot": slot }))
    }
}

fn test_passphrase(args: &LuksTestArgs, json: bool) -> Result<(), Failure> {
    if args.unlock.allow_discards {
        return Err(Failure::request(
            "--allow-discards is for a volume that is opened, and this opens none; leave the option out",
        ));
    }
    let unlocking = args.unlock.unlocking();
    let volume = unlocking.volume(&args.image).map_err(DeviceError::from)?;
    volume.check_test_passphrase(&unlocking.options).map_err(failed(&args.image))?;
    let passphrase = args.unlock.key.passphrase().get(&args.image)?;
    let slot = volume.test_passphrase(&passphrase, &unlocking.options).map_err(failed(&args.image))?;
    Manner { json, quiet: false }.done_slot(slot, "unlocked")
}

/// The volume, to be looked at.
fn open(image: &LuksImageArgs) -> Result<Volume<std::fs::File>, Failure> {
    let unlocking = Unlocking { header: image.header.clone(), ..Unlocking::default() };
    Ok(unlocking.volume(&image.image).map_err(DeviceError::from)?)
}

/// The volume of a header that is to be changed. That it may be written is known before anybody is asked for anything.
fn open_to_change(image: &LuksImageArgs) -> Result<Volume<std::fs::File>, Failure> {
    let volume = open(image)?;
    let path = image.path();
    std::fs::File::options().write(true).open(path).map_err(no_file(path))?;
    Ok(volume)
}

/// The volume, to be changed: nobody else changes it meanwhile.
fn open_locked(image: &LuksImageArgs) -> Result<Volume<Locked>, Failure> {
    let path = image.path();
    let place = if image.header.is_some() { HeaderPlace::Detached } else { HeaderPlace::Attached };
    Volume::open(lock(path)?, place).map_err(failed(path))
}

fn lock(path: &Path) -> Result<Locked, Failure> {
    let locked = Locked::open_with(path, &mut Patience::usual(&mut waiting(path)));
    without_qemu(path, locked.map_err(no_file(path))?)
}

/// The same of what nobody uses.
fn lock_unused(path: &Path) -> Result<Locked, Failure> {
    let locked = Locked::open_unused(path, &mut Patience::usual(&mut waiting(path)));
    without_qemu(path, locked.map_err(no_file(path))?)
}

/// QEMU looks at locks of its own, which are those of data too.
fn without_qemu(path: &Path, locked: Locked) -> Result<Locked, Failure> {
    keep_qemu_out(path, locked.file().as_fd()).map_err(DeviceError::from)?;
    Ok(locked)
}

/// Tells that another process has `path` locked, and that this one waits.
fn waiting(path: &Path) -> impl FnMut(&str) {
    move |who| tracing::warn!("{}: waiting: {who} has it locked", path.display())
}

fn no_file(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |source| DeviceError::from(LuksError::File { path: path.into(), source }).into()
}

/// A volume key from a file.
fn read_key(input: &Input) -> Result<Secret, Failure> {
    let key = Passphrase::file(input).get(Path::new("the volume key"))?;
    Secret::copy_of(&key).map_err(Failure::work)
}

/// What the library says is wrong with the volume in `path`.
fn failed(path: &Path) -> impl FnOnce(udm_luks::Error) -> Failure {
    move |error| DeviceError::from(LuksError::Luks { path: path.into(), error }).into()
}

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        Self::request(error)
    }
}

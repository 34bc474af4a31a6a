//! What changes key slots. Whatever a person is asked, is asked before the volume is locked.

use udm_luks::{Header, LastKey, Secret, SlotOptions, UnlockOptions, Version, Volume, random};

use super::change::Change;
use super::{Manner, ask, failed, open_locked, open_to_change, read_key};
use crate::cli::{
    Failure, LuksAddKeyArgs, LuksChangeKeyArgs, LuksConvertKeyArgs, LuksEraseArgs, LuksImageArgs,
    LuksKillSlotArgs, LuksRemoveKeyArgs,
};
use crate::passphrase::Passphrase;

/// The bytes of a new unbound key.
const UNBOUND_KEY_SIZE: usize = 64;

pub(super) fn add(args: &LuksAddKeyArgs, manner: Manner) -> Result<(), Failure> {
    let (image, path) = (&args.image, args.image.path());
    // Without --new-key-slot, --key-slot is the new one, as cryptsetup has it.
    let (unlocked, wanted) = match args.new_key_slot {
        Some(wanted) => (args.key_slot, Some(wanted)),
        None => (None, args.key_slot),
    };
    let unlock = UnlockOptions { key_slot: unlocked, limits: args.limits.limits() };
    let volume = open_to_change(image)?;
    volume.check_writable().map_err(failed(path))?;
    let key = args.volume_key_file.as_ref().map(read_key).transpose()?;
    if key.is_none() && !args.unbound {
        volume.check_find_key(&unlock).map_err(failed(path))?;
    }
    let version = version(volume.header());
    drop(volume);
    let old = match key {
        None if !args.unbound => Some(args.key.passphrase().get(&image.image)?),
        _ => None,
    };
    let new = args.new.passphrase().get_new(&image.image)?;
    let options = SlotOptions { id: wanted, ..args.slot.options(version)? };
    let mut volume = open_locked(image)?;
    let slot = if args.unbound {
        let key = unbound_key(key, args.key_size).map_err(failed(path))?;
        volume.add_unbound_key(&key, &new, &options)
    } else {
        let key = match (key, old) {
            (Some(key), _) => volume.known_key(key, &unlock),
            (None, Some(old)) => volume.find_key(&old, &unlock),
            (None, None) => unreachable!("one of both was asked for"),
        };
        volume.add_key(&key.map_err(failed(path))?, &new, &options)
    };
    manner.done_slot(slot.map_err(failed(path))?, "created")
}

/// The key that was given, or a new one.
fn unbound_key(given: Option<Secret>, size: Option<usize>) -> Result<Secret, udm_luks::Error> {
    if let Some(key) = given {
        return Ok(key);
    }
    let mut key = Secret::zeroed(size.unwrap_or(UNBOUND_KEY_SIZE))?;
    random::fill(&mut key)?;
    Ok(key)
}

pub(super) fn change(args: &LuksChangeKeyArgs, manner: Manner) -> Result<(), Failure> {
    let options = args.slot.options(check_change(&args.image, &args.unlock.options())?)?;
    let old = args.unlock.key.passphrase().get(&args.image.image)?;
    let new = args.new.passphrase().get_new(&args.image.image)?;
    let change = Change { image: &args.image, unlock: args.unlock.options(), place: &args.place };
    let slot = change.make(&old, &new, &options)?;
    manner.done_slot(slot, "has the new passphrase")
}

pub(super) fn convert(args: &LuksConvertKeyArgs, manner: Manner) -> Result<(), Failure> {
    let options = args.slot.options(check_change(&args.image, &args.unlock.options())?)?;
    let passphrase = args.unlock.key.passphrase().get(&args.image.image)?;
    let change = Change { image: &args.image, unlock: args.unlock.options(), place: &args.place };
    let slot = change.make(&passphrase, &passphrase, &options)?;
    manner.done_slot(slot, "has the new costs")
}

/// What can be refused before anybody is asked for a passphrase; the volume's version.
fn check_change(image: &LuksImageArgs, unlock: &UnlockOptions) -> Result<Version, Failure> {
    let volume = open_to_change(image)?;
    volume.check_writable().and_then(|()| volume.check_find_key(unlock)).map_err(failed(image.path()))?;
    Ok(version(volume.header()))
}

pub(super) fn remove(args: &LuksRemoveKeyArgs, manner: Manner) -> Result<(), Failure> {
    let image = &args.image;
    let source = match &args.old_key {
        Some(input) => Passphrase::file(input),
        None => args.unlock.key.passphrase(),
    };
    let volume = open_to_change(image)?;
    let options = args.unlock.options();
    volume.check_test_passphrase(&options).map_err(failed(image.path()))?;
    let passphrase = source.get(&image.image)?;
    let slot = volume.test_passphrase(&passphrase, &options).map_err(failed(image.path()))?;
    let last = last_key(&volume, slot, args.batch_mode || manner.quiet)?;
    drop(volume);
    let mut volume = open_locked(image)?;
    // It may be another volume by now: what the passphrase opens then is what goes.
    let options = UnlockOptions { key_slot: Some(slot), ..options };
    let slot = volume.test_passphrase(&passphrase, &options).map_err(failed(image.path()))?;
    volume.kill_slot(slot, last).map_err(failed(image.path()))?;
    manner.done_slot(slot, "destroyed")
}

pub(super) fn kill(args: &LuksKillSlotArgs, manner: Manner) -> Result<(), Failure> {
    let (image, batch) = (&args.image, args.batch_mode || manner.quiet);
    let volume = open_to_change(image)?;
    volume.check_in_use(args.slot).map_err(failed(image.path()))?;
    let last = last_key(&volume, args.slot, batch)?;
    // Who can open it otherwise will not miss this one.
    if last == LastKey::Stays && (args.key.is_given() || !batch) {
        let passphrase = args.key.passphrase().get(&image.image)?;
        let other = volume.test_other_passphrase(&passphrase, args.slot, &args.limits.limits());
        other.map_err(failed(image.path()))?;
    }
    drop(volume);
    let mut volume = open_locked(image)?;
    volume.kill_slot(args.slot, last).map_err(failed(image.path()))?;
    manner.done_slot(args.slot, "destroyed")
}

pub(super) fn erase(args: &LuksEraseArgs, manner: Manner) -> Result<(), Failure> {
    let image = &args.image;
    open_to_change(image)?;
    if !args.batch_mode && !manner.quiet {
        let path = image.path().display();
        ask::confirm(&format!("All key slots of {path} are going to be destroyed, and with them all data"))?;
    }
    open_locked(image)?.erase().map_err(failed(image.path()))?;
    manner.done("All key slots destroyed.", &serde_json::json!({ "erased": true }))
}

/// Whether the last key may go: that is asked twice.
fn last_key<S: udm_luks::ReadAt>(volume: &Volume<S>, slot: u32, batch: bool) -> Result<LastKey, Failure> {
    if !volume.is_last_key(slot) {
        return Ok(LastKey::Stays);
    }
    if !batch {
        ask::confirm(&format!("Key slot {slot} is the last one: without it nobody gets at the data"))?;
        ask::confirm("There is no way back but a backup of the header")?;
    }
    Ok(LastKey::MayGo)
}

fn version(header: &Header) -> Version {
    match header {
        Header::Luks1(_) => Version::Luks1,
        Header::Luks2(_) => Version::Luks2,
    }
}

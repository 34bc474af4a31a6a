//! What changes key slots. Whatever a person is asked, is asked before the volume is locked.

use udm_luks::{
    Header, LastKey, Locked, Secret, SlotOptions, UnlockOptions, Version, Volume, VolumeKey, random,
};

use super::{Manner, ask, failed, open, open_locked, read_key};
use crate::cli::{
    Failure, LuksAddKeyArgs, LuksChangeKeyArgs, LuksConvertKeyArgs, LuksEraseArgs, LuksImageArgs,
    LuksKillSlotArgs, LuksRemoveKeyArgs, SlotArgs,
};
use crate::luks::Passphrase;

/// The bytes of a new unbound key.
const UNBOUND_KEY_SIZE: usize = 64;

pub(super) fn add(args: &LuksAddKeyArgs, manner: Manner) -> Result<(), Failure> {
    let image = &args.image;
    let version = version(open(image)?.header());
    let key = args.volume_key_file.as_deref().map(read_key).transpose()?;
    let old = match key {
        None if !args.unbound => Some(args.key.passphrase().get(&image.image)?),
        _ => None,
    };
    let new = args.new.passphrase().get_new(&image.image)?;
    // Without --new-key-slot, --key-slot is the new one, as cryptsetup has it.
    let (unlocked, wanted) = match args.new_key_slot {
        Some(wanted) => (args.key_slot, Some(wanted)),
        None => (None, args.key_slot),
    };
    let unlock = UnlockOptions { key_slot: unlocked, limits: args.limits.limits() };
    let options = SlotOptions { id: wanted, ..slot_options(&args.slot, version) };
    let mut volume = open_locked(image)?;
    let path = image.path();
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
    let image = &args.image;
    let version = version(open(image)?.header());
    let old = args.unlock.key.passphrase().get(&image.image)?;
    let new = args.new.passphrase().get_new(&image.image)?;
    let mut volume = open_locked(image)?;
    let key = volume.find_key(&old, &args.unlock.options()).map_err(failed(image.path()))?;
    let slot = change_to(&mut volume, image, &key, &new, &slot_options(&args.slot, version))?;
    manner.done_slot(slot, "has the new passphrase")
}

pub(super) fn convert(args: &LuksConvertKeyArgs, manner: Manner) -> Result<(), Failure> {
    let image = &args.image;
    let version = version(open(image)?.header());
    let passphrase = args.unlock.key.passphrase().get(&image.image)?;
    let mut volume = open_locked(image)?;
    let key = volume.find_key(&passphrase, &args.unlock.options()).map_err(failed(image.path()))?;
    let slot = change_to(&mut volume, image, &key, &passphrase, &slot_options(&args.slot, version))?;
    manner.done_slot(slot, "has the new costs")
}

fn change_to(
    volume: &mut Volume<Locked>,
    image: &LuksImageArgs,
    key: &VolumeKey,
    passphrase: &[u8],
    options: &SlotOptions,
) -> Result<u32, Failure> {
    volume.change_key(key, passphrase, options).map_err(failed(image.path()))
}

pub(super) fn remove(args: &LuksRemoveKeyArgs, manner: Manner) -> Result<(), Failure> {
    let image = &args.image;
    let source = match &args.old_key {
        Some(path) => Passphrase::File { path: path.clone(), offset: 0, size: None },
        None => args.unlock.key.passphrase(),
    };
    let volume = open(image)?;
    let passphrase = source.get(&image.image)?;
    let options = args.unlock.options();
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
    let volume = open(image)?;
    let last = last_key(&volume, args.slot, batch)?;
    // Who can open it otherwise will not miss this one.
    if last == LastKey::Stays && (args.key.is_given() || !batch) {
        let passphrase = args.key.passphrase().get(&image.image)?;
        let options = UnlockOptions { key_slot: None, limits: args.limits.limits() };
        let opened = volume.test_passphrase(&passphrase, &options).map_err(failed(image.path()))?;
        if opened == args.slot {
            return Err(Failure::request(format!(
                "the passphrase is that of key slot {opened} itself: give one that stays, or use remove-key"
            )));
        }
    }
    drop(volume);
    let mut volume = open_locked(image)?;
    volume.kill_slot(args.slot, last).map_err(failed(image.path()))?;
    manner.done_slot(args.slot, "destroyed")
}

pub(super) fn erase(args: &LuksEraseArgs, manner: Manner) -> Result<(), Failure> {
    let image = &args.image;
    open(image)?;
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

fn slot_options(args: &SlotArgs, version: Version) -> SlotOptions {
    SlotOptions { cipher: args.cipher(), ..SlotOptions::new(args.kdf(version)) }
}

fn version(header: &Header) -> Version {
    match header {
        Header::Luks1(_) => Version::Luks1,
        Header::Luks2(_) => Version::Luks2,
    }
}

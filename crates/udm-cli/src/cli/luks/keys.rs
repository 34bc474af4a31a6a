//! The arguments of what changes key slots.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use udm_luks::UnlockOptions;

use super::format::parse_bits;
use super::{KeyArgs, LimitArgs, LuksImageArgs, NewKeyArgs, SlotArgs};
use crate::input::Input;

/// Arguments of `luks add-key`.
#[derive(Args, Debug)]
pub struct LuksAddKeyArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    #[command(flatten)]
    pub new: NewKeyArgs,
    #[command(flatten)]
    pub key: KeyArgs,
    /// The number of the new key slot [default: the first that is free]. With --new-key-slot, the one that is unlocked
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    /// The number of the new key slot
    #[arg(long, value_name = "N")]
    pub new_key_slot: Option<u32>,
    /// A file with the volume key, instead of a passphrase that there is
    #[arg(long, value_name = "FILE", alias = "master-key-file", value_hint = ValueHint::FilePath)]
    pub volume_key_file: Option<Input>,
    /// Have the key slot hold a key of its own, which enciphers no data: that of --volume-key-file, or a new one
    #[arg(long)]
    pub unbound: bool,
    /// The bits of the new key of --unbound
    #[arg(short = 's', long, value_name = "BITS", value_parser = parse_bits, requires = "unbound")]
    pub key_size: Option<usize>,
    #[command(flatten)]
    pub slot: SlotArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Arguments of `luks change-key`.
#[derive(Args, Debug)]
pub struct LuksChangeKeyArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    #[command(flatten)]
    pub new: NewKeyArgs,
    #[command(flatten)]
    pub unlock: SlotUnlockArgs,
    #[command(flatten)]
    pub slot: SlotArgs,
    #[command(flatten)]
    pub place: InPlaceArgs,
}

/// Where a key slot may be changed in place.
#[derive(Args, Debug, Clone)]
pub struct InPlaceArgs {
    /// Where a backup of the header is kept while the key slot is overwritten, which is done only where the header has no
    /// room for new key material; it is destroyed in the end [default: beside the image, with .header-backup added]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header_backup_file: Option<PathBuf>,
}

/// Arguments of `luks convert-key`.
#[derive(Args, Debug)]
pub struct LuksConvertKeyArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    #[command(flatten)]
    pub unlock: SlotUnlockArgs,
    #[command(flatten)]
    pub slot: SlotArgs,
    #[command(flatten)]
    pub place: InPlaceArgs,
}

/// How the key slot is unlocked that is to be changed.
#[derive(Args, Debug, Clone)]
pub struct SlotUnlockArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    /// The one key slot that is tried
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

impl SlotUnlockArgs {
    /// As options of the library.
    pub(crate) fn options(&self) -> UnlockOptions {
        UnlockOptions { key_slot: self.key_slot, limits: self.limits.limits() }
    }
}

/// Arguments of `luks remove-key`.
#[derive(Args, Debug)]
pub struct LuksRemoveKeyArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// A file whose bytes are the passphrase that goes, as --key-file
    #[arg(value_name = "KEY_FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["key_file", "key_fd", "key_credential"])]
    pub old_key: Option<Input>,
    #[command(flatten)]
    pub unlock: SlotUnlockArgs,
    /// Do not ask before the last key goes (-q, too)
    #[arg(long)]
    pub batch_mode: bool,
}

/// Arguments of `luks kill-slot`.
#[derive(Args, Debug)]
pub struct LuksKillSlotArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The number of the key slot that goes
    #[arg(value_name = "N")]
    pub slot: u32,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Ask for no other passphrase, and not before the last key goes (-q, too)
    #[arg(long)]
    pub batch_mode: bool,
}

/// Arguments of `luks erase`.
#[derive(Args, Debug)]
pub struct LuksEraseArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// Do not ask (-q, too)
    #[arg(long)]
    pub batch_mode: bool,
}

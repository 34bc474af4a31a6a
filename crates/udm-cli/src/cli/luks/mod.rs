//! The arguments of `udm luks`, in cryptsetup's words.

mod format;
mod header;
mod keys;
mod unlock;

pub use format::*;
pub use header::*;
pub use keys::*;
pub use unlock::*;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};

/// Arguments of `luks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  udm luks format disk.img --size 1G
  udm luks add-key disk.img
  udm luks dump disk.img
  udm luks test-passphrase disk.img --key-file key
  udm luks header-backup disk.img --header-backup-file disk.header
  udm read disk.img --key-file key --offset 0 --length 4K | hexdump -C
  printf %s \"$PASSPHRASE\" | udm serve disk.img --key-file - --nbd ./disk.sock")]
pub struct LuksArgs {
    /// What to do
    #[command(subcommand)]
    pub command: LuksCommand,
}

/// What can be done with a LUKS volume.
#[derive(Subcommand, Debug)]
pub enum LuksCommand {
    /// Make a volume, as `cryptsetup luksFormat` does; what was there is lost
    Format(Box<LuksFormatArgs>),
    /// Print what the header says, as `cryptsetup luksDump` does; no key is needed, and none is printed
    Dump(LuksDumpArgs),
    /// Say which key slot a passphrase opens, as `cryptsetup open --test-passphrase` does
    TestPassphrase(LuksTestArgs),
    /// Have another passphrase open the volume, too
    AddKey(Box<LuksAddKeyArgs>),
    /// Have another passphrase open the volume instead of one
    ChangeKey(Box<LuksChangeKeyArgs>),
    /// Have the same passphrase cost more or less
    ConvertKey(Box<LuksConvertKeyArgs>),
    /// Destroy the key slot that a passphrase opens
    RemoveKey(LuksRemoveKeyArgs),
    /// Destroy a key slot by its number
    KillSlot(LuksKillSlotArgs),
    /// Destroy all key slots: nothing opens the volume any more
    Erase(LuksEraseArgs),
    /// Set labels, priorities of key slots, and persistent flags
    Config(LuksConfigArgs),
    /// Print the UUID, or set another
    Uuid(LuksUuidArgs),
    /// Add, import, export and remove tokens, which tell others where a passphrase is
    #[command(subcommand)]
    Token(LuksTokenCommand),
    /// Keep a copy of the header with all its key slots
    HeaderBackup(LuksBackupArgs),
    /// Write such a copy back
    HeaderRestore(LuksRestoreArgs),
    /// Make both copies of a LUKS2 header the same, where one is damaged or older
    Repair(LuksRepairArgs),
}

/// Which volume is meant.
#[derive(Args, Debug, Clone)]
pub struct LuksImageArgs {
    /// The image or device
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// The file or device with the header, where it is not before the data
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header: Option<PathBuf>,
}

impl LuksImageArgs {
    /// Where the header is.
    pub(crate) fn path(&self) -> &Path {
        self.header.as_deref().unwrap_or(&self.image)
    }
}

/// Arguments of `luks dump`.
#[derive(Args, Debug)]
pub struct LuksDumpArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
}

/// Arguments of `luks test-passphrase`.
#[derive(Args, Debug)]
pub struct LuksTestArgs {
    /// The image or device
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

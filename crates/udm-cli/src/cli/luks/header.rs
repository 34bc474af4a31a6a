//! The arguments of what changes a header apart from its keys.

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use udm_luks::ActivationFlags;
use udm_luks::keyslot::Priority;

use super::LuksImageArgs;
use crate::cli::OutputPath;
use crate::input::Input;

/// Arguments of `luks config`.
#[derive(Args, Debug)]
pub struct LuksConfigArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The label
    #[arg(long)]
    pub label: Option<String>,
    /// The second label
    #[arg(long)]
    pub subsystem: Option<String>,
    /// When the key slot is tried
    #[arg(long, value_name = "PRIORITY", requires = "key_slot")]
    pub priority: Option<PriorityName>,
    /// The key slot of --priority
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    #[command(flatten)]
    pub flags: FlagArgs,
}

/// The flags that a header has the volume activated with.
#[derive(Args, Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of cryptsetup's")]
pub struct FlagArgs {
    /// Have the header say exactly these flags, and none without any
    #[arg(long)]
    pub persistent: bool,
    /// Pass discards on
    #[arg(long, requires = "persistent")]
    pub allow_discards: bool,
    /// Encrypt on the processor that submitted
    #[arg(long = "perf-same_cpu_crypt", requires = "persistent")]
    pub same_cpu_crypt: bool,
    /// Submit from the processor that encrypted
    #[arg(long = "perf-submit_from_crypt_cpus", requires = "persistent")]
    pub submit_from_crypt_cpus: bool,
    /// Decrypt without a queue
    #[arg(long = "perf-no_read_workqueue", requires = "persistent")]
    pub no_read_workqueue: bool,
    /// Encrypt without a queue
    #[arg(long = "perf-no_write_workqueue", requires = "persistent")]
    pub no_write_workqueue: bool,
}

impl From<FlagArgs> for ActivationFlags {
    fn from(flags: FlagArgs) -> Self {
        Self {
            allow_discards: flags.allow_discards,
            same_cpu_crypt: flags.same_cpu_crypt,
            submit_from_crypt_cpus: flags.submit_from_crypt_cpus,
            no_read_workqueue: flags.no_read_workqueue,
            no_write_workqueue: flags.no_write_workqueue,
        }
    }
}

/// When a key slot is tried.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum PriorityName {
    /// Only where it is named
    Ignore,
    /// After those that are preferred
    Normal,
    /// First
    Prefer,
}

impl From<PriorityName> for Priority {
    fn from(priority: PriorityName) -> Self {
        match priority {
            PriorityName::Ignore => Self::Ignore,
            PriorityName::Normal => Self::Normal,
            PriorityName::Prefer => Self::Prefer,
        }
    }
}

/// Arguments of `luks uuid`.
#[derive(Args, Debug)]
pub struct LuksUuidArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The UUID that it gets
    #[arg(long)]
    pub uuid: Option<String>,
}

/// What can be done with tokens.
#[derive(Subcommand, Debug)]
pub enum LuksTokenCommand {
    /// Add one that names a key of the kernel's keyring, which holds the passphrase
    Add(TokenAddArgs),
    /// Add one from JSON
    Import(TokenImportArgs),
    /// Print one as JSON
    Export(TokenExportArgs),
    /// Remove one
    Remove(TokenRemoveArgs),
}

/// Arguments of `luks token add`.
#[derive(Args, Debug)]
pub struct TokenAddArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The description of the key
    #[arg(long, value_name = "TEXT")]
    pub key_description: String,
    /// The key slot that it opens [default: all that are in use]
    #[arg(short = 'S', long, value_name = "N", conflicts_with = "unbound")]
    pub key_slot: Option<u32>,
    /// It opens none yet
    #[arg(long)]
    pub unbound: bool,
    #[command(flatten)]
    pub place: TokenPlaceArgs,
}

/// Arguments of `luks token import`.
#[derive(Args, Debug)]
pub struct TokenImportArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The file with the JSON; - is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    pub json_file: Input,
    /// A key slot that it opens, too
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    #[command(flatten)]
    pub place: TokenPlaceArgs,
}

/// Where a token goes.
#[derive(Args, Debug, Clone, Copy)]
pub struct TokenPlaceArgs {
    /// Its number [default: the first that is free]
    #[arg(long, value_name = "N")]
    pub token_id: Option<u32>,
    /// It takes the place of the one that is there
    #[arg(long, requires = "token_id")]
    pub token_replace: bool,
}

/// Arguments of `luks token export`.
#[derive(Args, Debug)]
pub struct TokenExportArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// Its number
    #[arg(long, value_name = "N")]
    pub token_id: u32,
    /// The file for the JSON, which is made for this user alone; - is stdout
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    pub json_file: OutputPath,
    /// Replace what is at FILE
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `luks token remove`.
#[derive(Args, Debug)]
pub struct TokenRemoveArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// Its number
    #[arg(long, value_name = "N")]
    pub token_id: u32,
}

/// Arguments of `luks header-backup`.
#[derive(Args, Debug)]
pub struct LuksBackupArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The file that is made; what is there already stays
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header_backup_file: OutputPath,
}

/// Arguments of `luks repair`.
#[derive(Args, Debug)]
pub struct LuksRepairArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// Do not ask (-q, too)
    #[arg(long)]
    pub batch_mode: bool,
}

/// Arguments of `luks header-restore`.
#[derive(Args, Debug)]
pub struct LuksRestoreArgs {
    #[command(flatten)]
    pub image: LuksImageArgs,
    /// The file with the backup; - is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header_backup_file: Input,
    /// Do not ask (-q, too)
    #[arg(long)]
    pub batch_mode: bool,
}

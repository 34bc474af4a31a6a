//! The arguments of `udm dm`, in dmsetup's words.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::TableArgs;
use crate::input::Input;

/// Arguments of `dm`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  udm serve --table-file volume.table --nbd ./volume.sock --control ./control.sock
  udm dm ./control.sock info volume
  udm dm ./control.sock suspend volume
  udm dm ./control.sock message volume 0 key wipe
  udm dm ./control.sock message volume 0 key set --key-file key.hex
  udm dm ./control.sock resume volume

While a device is suspended its clients wait. A key is wiped from all memory of the server; until another one is set \
the device cannot be resumed.")]
pub struct DmArgs {
    /// The socket of `udm serve --control`
    #[arg(value_name = "SOCKET", value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: DmCommand,
}

/// What can be asked of a server.
#[derive(Subcommand, Debug)]
pub enum DmCommand {
    /// List the devices
    Ls,
    /// Print the live table's rows with what their targets say
    Status(DmDevice),
    /// Print the live table
    Table(DmTable),
    /// Say what a device is doing
    Info(DmDevice),
    /// List what the live table lies on
    Deps(DmDevice),
    /// Hold new I/O, wait for what is under way, and flush
    Suspend(DmSuspend),
    /// Let I/O through again, with the loaded table where there is one
    Resume(DmDevice),
    /// Load a table, which the next resume takes up
    #[command(visible_alias = "reload")]
    Load(DmLoad),
    /// Drop a table that was loaded
    Clear(DmDevice),
    /// Tell a target something: key wipe, or key set, on a suspended device
    Message(DmMessage),
}

/// A device of the server's.
#[derive(Args, Debug)]
pub struct DmDevice {
    /// The device, by its export's name; not needed where there is one alone
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,
}

/// Arguments of `dm table`.
#[derive(Args, Debug)]
pub struct DmTable {
    #[command(flatten)]
    pub device: DmDevice,
    /// Print keys; without it they are zeros
    #[arg(long)]
    pub showkeys: bool,
    /// Print the table that was loaded and is not live yet
    #[arg(long)]
    pub inactive: bool,
}

/// Arguments of `dm suspend`.
#[derive(Args, Debug)]
pub struct DmSuspend {
    #[command(flatten)]
    pub device: DmDevice,
    /// Do not flush the devices below
    #[arg(long)]
    pub noflush: bool,
    /// Run on when the I/O under way has not ended in so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

/// Arguments of `dm load`.
#[derive(Args, Debug)]
pub struct DmLoad {
    #[command(flatten)]
    pub device: DmDevice,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Arguments of `dm message`.
#[derive(Args, Debug)]
pub struct DmMessage {
    /// The device, by its export's name
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// A sector of the row that is meant
    #[arg(value_name = "SECTOR")]
    pub sector: u64,
    /// The message's words: key wipe, or key set. A key of the keyring may follow (:64:user:NAME), and another one not:
    /// every user of the machine could see it
    #[arg(value_name = "WORD", required = true)]
    pub words: Vec<String>,
    /// A file with the key of key set, in hexadecimal; - is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key_file: Option<Input>,
}

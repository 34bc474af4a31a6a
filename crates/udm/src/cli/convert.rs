//! The arguments of `udm convert`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use udm_backend::locate::parse_size;

use super::{OpenArgs, TableArgs, UnlockArgs};

/// Arguments of `convert`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    override_usage = "udm convert [OPTIONS] SRC DST\n       udm convert [OPTIONS] --table-file FILE DST\n       \
                      udm convert [OPTIONS] SRC --dst-table-file FILE",
    after_long_help = CONVERT_HELP,
    after_help = "More with --help."
)]
pub struct ConvertArgs {
    /// What is converted: an image with a LUKS header, or raw:PATH for bytes as they are
    #[arg(value_name = "SRC", value_hint = ValueHint::FilePath)]
    pub source: Option<String>,
    /// What it becomes: an image with a LUKS header, or raw:PATH for bytes as they are. It is made, unless --no-create says
    /// otherwise
    #[arg(value_name = "DST", value_hint = ValueHint::FilePath)]
    pub destination: Option<String>,
    /// Write into what is at DST, and keep it as it is otherwise: its size, its header and its keys
    #[arg(short = 'n', long)]
    pub no_create: bool,
    /// Replace what is at DST, and begin anew where a conversion was interrupted
    #[arg(short, long)]
    pub force: bool,
    /// Go on with a conversion that was interrupted, from where it was durable; begin it where there is none
    #[arg(long)]
    pub resume: bool,
    /// Read both sides again when all is written, and compare them
    #[arg(long)]
    pub verify: bool,
    /// The fewest zeros in a row that become a hole of a DST that is not encrypted; 0 for none
    #[arg(long, value_name = "BYTES", default_value = "4K", value_parser = parse_size)]
    pub sparse_size: u64,
    /// How much is copied at most until it is durable and remembered, for --resume
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = parse_size)]
    pub checkpoint: u64,
    /// The file that remembers how far it is [default: DST.udm-convert, where DST is a file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would be taken for help")]
    pub open: OpenArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would be taken for help")]
    pub table: TableArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would be taken for help")]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would be taken for help")]
    pub target: DestinationArgs,
}

/// How the destination of a conversion is opened.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Destination")]
pub struct DestinationArgs {
    /// DST as a table in dmsetup's syntax. A key in it can be seen by every user of the machine: rather use --dst-table-file
    #[arg(long, value_name = "LINES")]
    pub dst_table: Option<String>,
    /// A file with a table for DST
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dst_table")]
    pub dst_table_file: Option<PathBuf>,
    /// A file whose bytes are the passphrase of DST, newlines too. Without it, the terminal is asked
    #[arg(long, alias = "new-keyfile", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dst_key_file: Option<PathBuf>,
}

/// What `convert --help` says besides.
const CONVERT_HELP: &str = "\
Zeros: holes of a plain file are not read. In a DST that is not encrypted they become holes, and so do the zeros of SRC \
(--sparse-size). In one that is encrypted they are encrypted like all data: a hole in ciphertext reads as garbage, and \
shows where there are no data.

Interruptions: a DST that is made is called DST.udm-part until it is whole, so what is at DST is a whole conversion or \
none. DST.udm-convert remembers what is converted into what and up to where that is durable; it has no key. The same \
command with --resume goes on from there after SIGINT, kill -9, a full disk or a power cut, if both sides are what they were. \
Into a DST that is there already (--no-create) the bytes go at once: until it is done, it is a mixture.";

//! The arguments of `udm convert`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueHint};
use udm_backend::parse_size;
use udm_luks::{FormatOptions, Version};

use super::{Failure, OpenArgs, SlotArgs, TableArgs, UnlockArgs, VolumeArgs, default_key_size};
use crate::input::Input;
use crate::passphrase::Passphrase;

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
    /// What is converted: a LUKS volume in a file, a block device or an export (an NBD URI); raw:PATH or raw:URI for the
    /// bytes as they are
    #[arg(value_name = "SRC", value_hint = ValueHint::FilePath)]
    pub source: Option<OsString>,
    /// What it becomes: a LUKS volume, or raw:PATH or raw:URI for bytes as they are. A file is made, unless --no-create
    /// says otherwise; an export must be there
    #[arg(value_name = "DST", value_hint = ValueHint::FilePath)]
    pub destination: Option<OsString>,
    /// Write into what is at DST, and keep it as it is otherwise: its size, its header and its keys
    #[arg(short = 'n', long)]
    pub no_create: bool,
    /// Replace what is at DST, and begin anew where a conversion was interrupted
    #[arg(short, long)]
    pub force: bool,
    /// Go on with a conversion that was interrupted, from where it was durable; begin it where there is none. Where nobody
    /// can tell whether a side has changed (block devices, NBD, tables), what was copied is compared first
    #[arg(long)]
    pub resume: bool,
    /// Read both sides again when all is written, and compare them
    #[arg(long)]
    pub verify: bool,
    /// The fewest zeros in a row that become a hole of a DST that is not encrypted; 0 for none
    #[arg(long, value_name = "BYTES", default_value = "4K", value_parser = parse_size)]
    pub sparse_size: u64,
    /// How much is copied at most until it is durable and remembered, for --resume
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_size)]
    pub checkpoint: u64,
    /// The file that remembers how far it is; it is made, and no file of anything else is replaced
    /// [default: DST.udm-convert, where DST is a file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    pub target: DestinationArgs,
    #[command(flatten, next_help_heading = "New volume")]
    pub volume: VolumeArgs,
    #[command(flatten)]
    pub slot: SlotArgs,
    /// What of a new volume was asked for
    #[arg(skip)]
    pub given: Asked,
}

/// The options of a new volume, with their text.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Those of the command line.
    pub(crate) asked: Vec<(&'static str, String)>,
    /// Those of the key slot, also where their text is the default one.
    pub(crate) key_slot: Vec<(&'static str, Option<String>)>,
}

/// What says how a new volume is to be: the name for clap, and for people.
const OF_VOLUME: [(&str, &str); 6] = [
    ("version", "--type"),
    ("cipher", "--cipher"),
    ("key_size", "--key-size"),
    ("sector_size", "--sector-size"),
    ("label", "--label"),
    ("uuid", "--uuid"),
];

/// The same of its key slot.
const OF_KEY_SLOT: [(&str, &str); 8] = [
    ("pbkdf", "--pbkdf"),
    ("hash", "--hash"),
    ("iter_time", "--iter-time"),
    ("pbkdf_memory", "--pbkdf-memory"),
    ("pbkdf_parallel", "--pbkdf-parallel"),
    ("pbkdf_force_iterations", "--pbkdf-force-iterations"),
    ("keyslot_cipher", "--keyslot-cipher"),
    ("keyslot_key_size", "--keyslot-key-size"),
];

impl Asked {
    /// What the command line has of it.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let text = |id: &str| {
            let mut words = matches.get_raw(id)?;
            words.next().map(|word| word.to_string_lossy().into_owned())
        };
        let is_asked = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let both = OF_VOLUME.iter().chain(&OF_KEY_SLOT);
        Self {
            asked: both
                .filter(|(id, _)| is_asked(id))
                .filter_map(|(id, option)| Some((*option, text(id)?)))
                .collect(),
            key_slot: OF_KEY_SLOT.iter().map(|(id, option)| (*option, text(id))).collect(),
        }
    }
}

/// How the destination of a conversion is opened.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Destination")]
#[expect(clippy::struct_field_names, reason = "these are the names of its options")]
pub struct DestinationArgs {
    /// DST as a table in dmsetup's syntax. A key in it can be seen by every user of the machine: rather use --dst-table-file
    #[arg(long, value_name = "LINES")]
    pub dst_table: Option<String>,
    /// A file with a table for DST
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dst_table")]
    pub dst_table_file: Option<Input>,
    /// A file whose bytes are the passphrase of DST, newlines too. Without it, the terminal is asked
    #[arg(long, alias = "new-keyfile", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dst_key_file: Option<Input>,
    /// How many bytes at the beginning of that file are left out
    #[arg(long, value_name = "BYTES", value_parser = parse_size, requires = "dst_key_file")]
    pub dst_keyfile_offset: Option<u64>,
    /// How many bytes of that file are taken
    #[arg(long, value_name = "BYTES", value_parser = parse_size, requires = "dst_key_file")]
    pub dst_keyfile_size: Option<u64>,
    /// The systemd credential of this name has the passphrase of DST
    #[arg(long, value_name = "NAME", conflicts_with = "dst_key_file")]
    pub dst_key_credential: Option<String>,
}

impl DestinationArgs {
    /// Where the passphrase of the destination comes from.
    pub(crate) fn passphrase(&self) -> Passphrase {
        match (&self.dst_key_file, &self.dst_key_credential) {
            (Some(input), _) => Passphrase::File {
                input: input.clone(),
                offset: self.dst_keyfile_offset.unwrap_or(0),
                size: self.dst_keyfile_size.and_then(|size| usize::try_from(size).ok()),
            },
            (None, Some(name)) => Passphrase::Credential(name.clone()),
            (None, None) => Passphrase::Ask,
        }
    }
}

impl ConvertArgs {
    /// How a new volume is to be.
    ///
    /// # Errors
    /// When two options do not go together.
    pub(crate) fn format_options(&self) -> Result<FormatOptions, Failure> {
        let (volume, version) = (&self.volume, Version::from(self.volume.version));
        Ok(FormatOptions {
            version,
            encryption: volume.cipher.clone(),
            key_size: volume.key_size.unwrap_or_else(|| default_key_size(&volume.cipher)),
            hash: self.slot.hash,
            slot: self.slot.options(version)?,
            sector_size: volume.sector_size,
            label: volume.label.clone(),
            uuid: volume.uuid.clone(),
            ..FormatOptions::luks2()
        })
    }
}

/// What `convert --help` says besides.
const CONVERT_HELP: &str = "\
Zeros: holes of a plain file are not read. In a DST that is not encrypted they become holes, and so do the zeros of SRC \
(--sparse-size). In one that is encrypted they are encrypted like all data: a hole in ciphertext reads as garbage, and \
shows where there are no data.

Sizes: a DST that is not encrypted gets exactly the bytes of SRC, whatever their number. One that is encrypted holds whole \
sectors, and is refused where SRC is not as many.

Interruptions: a DST that is made is called DST.udm-part until it is whole, so what is at DST is a whole conversion or \
none. DST.udm-convert remembers what is converted into what and up to where that is durable; it has no key. The same \
command with --resume goes on from there after SIGINT, kill -9, a full disk or a power cut, if both sides are what they were. \
A file is known by its number, its times and its size. Nobody can tell whether a block device, an NBD export or what a table \
maps has changed: then what was copied is read from both sides and compared before it goes on. Options of a new volume \
must be those that it was begun with, or be left out. No file is replaced or removed that this conversion did not \
make, but DST with --force. \
Into a DST that is there already (--no-create) the bytes go at once: until it is done, it is a mixture.

Other formats: whatever qemu-nbd serves.
  qemu-nbd --read-only --shared 4 --format qcow2 --socket $PWD/disk.sock disk.qcow2 &
  udm convert \"raw:nbd+unix:///?socket=$PWD/disk.sock\" disk.img

Examples:
  udm convert raw:plain.img disk.img --verify
  udm convert disk.img raw:plain.img --key-file key
  udm convert old.img new.img --key-file old-key --dst-key-file new-key --sector-size 4096
  udm convert --force disk.img disk.img             (another passphrase, and a new volume key)";

//! The arguments of every command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use udm_backend::parse_size;
use udm_dm::targets::TargetType;
use udm_nbd::address::Address;

use super::device::AddressParser;
use super::{
    ConvertArgs, DeviceArgs, DmArgs, LuksArgs, NamedInput, OpenArgs, OutputPath, TableArgs, UnlockArgs,
};
use crate::input::Input;

/// The device mapper in userspace: encrypted volumes without root, kernel module or device-mapper.
#[derive(Parser, Debug)]
#[command(
    name = "udm",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Begin with:  udm quickstart

Exit status: 0 done, 1 the work failed, 2 the request was wrong.
Messages go to stderr, data to stdout."
)]
pub struct Cli {
    /// Print results and errors as JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more of what happens (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a small encrypted volume, serve it, check it, and show what to do next
    Quickstart(QuickstartArgs),
    /// Serve devices to clients
    Serve(ServeArgs),
    /// Read from a device without serving it
    Read(ReadArgs),
    /// Write to a device without serving it
    Write(WriteArgs),
    /// Copy a device or image into another one: encrypted, decrypted, or under another key
    Convert(Box<ConvertArgs>),
    /// Check or print a table
    Table(TableCommandArgs),
    /// Suspend, resume, reload and look at the devices of a server that runs, and change their keys
    Dm(DmArgs),
    /// Make LUKS volumes, look at their headers, and change their keys
    Luks(LuksArgs),
    /// List the cipher drivers of this machine
    Ciphers(CiphersArgs),
    /// Hold whole-bio encryption against per-sector encryption, byte for byte
    Verify(VerifyArgs),
    /// Measure what encryption costs on this machine, beside its bound and what others do
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print or write the manual pages
    Man(ManArgs),
}

/// Arguments of `quickstart`.
#[derive(Args, Debug)]
pub struct QuickstartArgs {
    /// The size of the volume
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = parse_size)]
    pub size: u64,
}

/// Arguments of `serve`.
#[derive(Args, Debug)]
#[command(after_long_help = MEMORY_HELP, after_help = "More with --help.")]
pub struct ServeArgs {
    /// Where to listen for NBD clients: a path, unix:PATH, PORT (on the loopback), or HOST:PORT. May be repeated
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = AddressParser)]
    pub nbd: Vec<Address>,
    /// A LUKS volume: a file, a block device, or the NBD URI of another server's export. With raw: before it, its bytes as
    /// they are. NAME=DEVICE serves it under another name than its file's
    #[arg(value_name = "DEVICE", value_hint = ValueHint::FilePath)]
    pub devices: Vec<OsString>,
    /// A table in dmsetup's syntax, or NAME=TABLE. May be repeated. A key in it can be seen by every user of the
    /// machine: rather use --table-file
    #[arg(long, value_name = "LINES")]
    pub table: Vec<String>,
    /// A file with a table in dmsetup's syntax, or NAME=FILE; - is stdin. May be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub table_file: Vec<NamedInput>,
    /// Refuse writes
    #[arg(short, long)]
    pub read_only: bool,
    /// How many clients there may be at once, from 1 to 4096 [default: 16; with --locked 4]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// For devices that are swapped to: take all memory at the start and lock it. Does not serve where that is not
    /// safe; best-effort serves all the same, and says so
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    pub locked: Option<LockedArg>,
    /// Let the devices of tables be suspended, reloaded and given other keys by `udm dm` at this Unix socket, which only
    /// this user can reach
    #[arg(long, value_name = "SOCKET", value_hint = ValueHint::FilePath, conflicts_with = "locked")]
    pub control: Option<PathBuf>,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

/// The choices of `--locked`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockedArg {
    /// Serve only where it is safe to swap to what is served
    Strict,
    /// Serve with what can be had, and say what could not
    BestEffort,
}

/// What `serve --help` promises of memory.
const MEMORY_HELP: &str = "\
Memory: besides about 16 MiB for the program itself, at most 8 MiB for each connected client and 16 MiB for each crypt \
row of the tables, whatever the clients do. A client may have 128 requests under way, of at most 4 MiB each; those that \
find no memory wait.

Swapping to a served device: --locked takes all memory before the first request, locks it, and never asks for more. \
It needs CAP_IPC_LOCK (or a limit, ulimit -l, that has room for all), CAP_SYS_RESOURCE (so that the kernel does not \
swap to make room for the server, and does not end it when memory is short), CAP_SYS_NICE (a real-time thread may take \
from the memory that the kernel keeps back, for its replies), Unix sockets, and files or block devices \
that can be read and written past the page cache and have no holes. It says what it took and what it lacks. A \
request moves at most 256 KiB then (Linux's nbd driver asks for 128 KiB at most), and a client takes 10 MiB. On \
SIGUSR1 and at the end it prints one line: page faults of the I/O threads, and how often memory was asked for in vain.

A client is told to use `udm`'s exports with several connections at once: a flush on one of them covers what all of \
them wrote.

SIGTERM, SIGINT and SIGHUP stop the server, the last two unless it was started to ignore them (nohup). It finishes and \
answers the requests that it took, flushes the devices, and ends with status 0. A second signal ends it at once. Requests \
that a suspended device holds are answered with an error then, as are long zeroings and trims that are not done; a client \
that leaves ends its own. A device that ends no request for 30 seconds is given up: the server says what is left, tries \
to flush, and ends with status 1.

Nobody waits for the log: lines that stderr does not take are counted, and the number is written when it can be. A \
client has a place among --max-connections when it has chosen an export, so that one that says nothing keeps nobody out.

Examples:
  udm serve --table-file volume.table --nbd /run/user/1000/volume.sock
  udm serve one=raw:one.img two=raw:two.img --nbd 10809
  qemu-img convert -n -f raw -O raw plain.img 'nbd+unix:///volume?socket=/run/user/1000/volume.sock'";

/// Arguments of `read`.
#[derive(Args, Debug)]
#[command(after_help = "Example: udm read --table-file volume.table --offset 1M --length 4K | hexdump -C")]
pub struct ReadArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Where to begin, in bytes (with K, M, G, T or P behind it for powers of 1024)
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = parse_size)]
    pub offset: u64,
    /// How much to read; without it, up to the end
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub length: Option<u64>,
    /// The file to write to, which is made for this user alone; - is stdout
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    pub output: OutputPath,
    /// Replace what is at FILE
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `write`.
#[derive(Args, Debug)]
#[command(after_help = "Example: udm write --table-file volume.table --offset 0 --input filesystem.img")]
pub struct WriteArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Where to begin, in bytes (with K, M, G, T or P behind it for powers of 1024)
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub offset: u64,
    /// The file to read from; - is stdin
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    pub input: Input,
}

/// The targets that a table may name.
fn targets() -> String {
    let names: Vec<_> = udm_targets::all().iter().map(TargetType::name).collect();
    format!(
        "Targets: {}. A table has dmsetup's syntax, and each target the kernel's arguments.",
        names.join(", ")
    )
}

/// Arguments of `table`.
#[derive(Args, Debug)]
#[command(after_help = targets())]
pub struct TableCommandArgs {
    /// What to do with it
    #[command(subcommand)]
    pub command: TableCommand,
}

/// What can be done with a table.
#[derive(Subcommand, Debug)]
pub enum TableCommand {
    /// Say whether a table is right, and what is wrong with it
    Check(TableCheckArgs),
    /// Print a table as `dmsetup table` would
    Show(TableShowArgs),
}

/// Arguments of `table check`.
#[derive(Args, Debug)]
pub struct TableCheckArgs {
    #[command(flatten)]
    pub table: TableArgs,
    /// Open the devices too, for reading, to see whether they fit
    #[arg(long)]
    pub open: bool,
}

/// Arguments of `table show`.
#[derive(Args, Debug)]
pub struct TableShowArgs {
    #[command(flatten)]
    pub table: TableArgs,
    /// Print keys; without it they are zeros
    #[arg(long)]
    pub showkeys: bool,
    /// Say below each crypt row which driver has its key, on which way its sectors go through the cipher, and why
    #[arg(long)]
    pub explain: bool,
    /// Explain the row with this cipher driver, by its name in `udm ciphers`: "vaes512:bytes" is the driver "vaes512" and
    /// one of its ways to work, and "vaes512" the way that is faster here
    #[arg(long, value_name = "NAME", requires = "explain")]
    pub driver: Option<String>,
}

/// Arguments of `ciphers`.
#[derive(Args, Debug)]
pub struct CiphersArgs {
    /// List the drivers for tests too
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// How much to look at from the beginning; without it, everything
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub length: Option<u64>,
}

/// Arguments of `bench`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
Every figure is the median of rounds in which each way has its turn, with half the width of their middle half; a ratio \
is the median of the rounds' ratios. Other work on the machine widens the first and hardly moves the second; a round in \
which somebody else's thread was on the same core does not count, where there are enough others.

Examples:
  udm bench
  udm bench cipher --cipher aes-cbc-plain64 --key-size 128 --plot .
  udm bench stack --cipher aes-cbc-essiv:sha256 --decrypt")]
pub struct BenchArgs {
    /// What to measure; without a word, cipher and stack
    #[arg(value_name = "WHAT")]
    pub what: Vec<BenchWhat>,
    /// The cipher, as a table has it
    #[arg(long, value_name = "CIPHER", default_value = "aes-xts-plain64")]
    pub cipher: String,
    /// The size of its key; without it, the longest
    #[arg(long, value_name = "BITS")]
    pub key_size: Option<usize>,
    /// The size of an encryption sector, for the stack
    #[arg(long, value_name = "BYTES", default_value = "512")]
    pub sector_size: usize,
    /// Decrypt, in place of encrypting
    #[arg(long)]
    pub decrypt: bool,
    /// Leave the results where the data were, for the cipher
    #[arg(long)]
    pub in_place: bool,
    /// How much the cipher gets at once: what a core's cache holds
    #[arg(long, value_name = "BYTES", default_value = "128K", value_parser = parse_size)]
    pub run: u64,
    /// The cipher driver, by its name in `udm ciphers`: "vaes512:bytes" is the driver "vaes512" and one of its ways to
    /// work, and "vaes512" the way that is faster here
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    /// Measure the installed OpenSSL beside the cipher, a call a unit, by its own `openssl speed`; takes a second a round
    /// and size
    #[arg(long)]
    pub openssl: bool,
    /// Measure with units, or bios, of this size alone, one of those that are measured otherwise
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub size: Option<u64>,
    /// The size of each served device, for the export: what the page cache holds four times
    #[arg(long, value_name = "BYTES", default_value = "512M", value_parser = parse_size)]
    pub device_size: u64,
    /// How many rounds to measure
    #[arg(long, value_name = "N", default_value = "31")]
    pub rounds: usize,
    /// Draw what was measured as SVG pictures into this directory
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub plot: Option<PathBuf>,
    /// Replace pictures that are there
    #[arg(short, long, requires = "plot")]
    pub force: bool,
}

/// What can be measured.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchWhat {
    /// The cipher by itself, over memory in a core's cache
    Cipher,
    /// The layers above it, a bio at a time, on a device that does nothing
    Stack,
    /// What a longer device costs, and what more processors bring
    Scale,
    /// A volume over NBD, beside qemu-nbd and nbdkit where these are installed
    Export,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write a page for each command into this directory, in place of udm(1) to stdout
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// Replace pages that are there
    #[arg(short, long, requires = "directory")]
    pub force: bool,
}

//! The arguments that name devices, and say how they are opened.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Read;

use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum, ValueHint};
use udm_backend::{Cache, EngineChoice};
use udm_block::DeviceRef;
use udm_dm::table::Table;
use udm_dm::targets::crypt::CipherChoice;
use udm_nbd::address::Address;
use zeroize::Zeroizing;

use super::{Failure, Given, UnlockArgs};
use crate::input::Input;
use udm::device::{DeviceName, DeviceOptions, Files, Takes};

/// A table.
#[derive(Args, Debug, Clone, Default)]
pub struct TableArgs {
    /// A table in dmsetup's syntax. A key in it can be seen by every user of the machine: rather use --table-file
    #[arg(long, value_name = "LINES")]
    pub table: Option<String>,
    /// A file with a table in dmsetup's syntax; - is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "table")]
    pub table_file: Option<Input>,
}

/// How a device is opened.
#[derive(Args, Debug, Clone)]
pub struct OpenArgs {
    /// Whether files go through the page cache: auto goes past it where the file system and the sector size allow
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub cache: CacheArg,
    /// How files are read and written: auto takes `io_uring` where the kernel allows it
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub engine: EngineArg,
    /// The cipher driver, by its name in `udm ciphers`: "threads" spreads long reads and writes over all processors, and
    /// "vaes512:bytes" is the driver "vaes512" with one of its ways to work, of which the faster is taken otherwise
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
}

/// A device.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// A LUKS volume: a file, a block device, or the NBD URI of a server's export. With raw: before it, its bytes as they
    /// are
    #[arg(value_name = "DEVICE", value_hint = ValueHint::FilePath)]
    pub device: Option<OsString>,
    #[command(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

impl DeviceArgs {
    /// What messages call the device.
    pub(crate) fn shown(&self) -> String {
        self.device.as_ref().map_or("the table's device".into(), |name| name.to_string_lossy().into_owned())
    }
}

/// The choices of `--cache`, in qemu-nbd's words.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheArg {
    /// Past the page cache where that works
    Auto,
    /// Past the page cache (`O_DIRECT`)
    None,
    /// Through the page cache
    Writeback,
}

/// The choices of `--engine`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineArg {
    /// The best that the kernel allows
    Auto,
    /// A ring for each thread
    IoUring,
    /// A few threads that wait in the kernel
    Threads,
}

impl TableArgs {
    /// The table's text, when one was given.
    pub(crate) fn text(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match (&self.table, &self.table_file) {
            (Some(text), _) => Ok(Some(Zeroizing::new(text.clone()))),
            (None, Some(input)) => read_table(input).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The table's text.
    pub(crate) fn required(&self) -> Result<Zeroizing<String>, Failure> {
        self.text()?
            .ok_or_else(|| Failure::request("no table was given: use --table-file FILE, or --table LINES"))
    }
}

/// The longest table that is read, in bytes.
const LONGEST_TABLE: usize = 1 << 20;

/// The text of a table's file. It may hold a key, so no copy of it stays in memory. Bytes of paths that are not UTF-8 become
/// what a table has for them, `\\xNN`.
pub(crate) fn read_table(input: &Input) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_bytes(input, "the table")?;
    let broken: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() + 4 * broken));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\\\x{byte:02x}");
        }
    }
    Ok(text)
}

/// The text of a file that may hold a key, `what` for messages.
pub(crate) fn read_secret(input: &Input, what: &str) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_bytes(input, what)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => Err(Failure::request(format!(
            "{input}: {what} is text, and this is none: its byte {} is not UTF-8; is it the right file?",
            error.valid_up_to()
        ))),
    }
}

/// The bytes of a file that may hold a key, `what` for messages.
fn read_bytes(input: &Input, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::request(format!("{input}: cannot read {what}: {why}"));
    // Room for the longest at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_TABLE + 1));
    let most = LONGEST_TABLE as u64 + 1;
    match input.open().and_then(|reader| reader.take(most).read_to_end(&mut bytes)) {
        Ok(len) if len > LONGEST_TABLE => Err(fail(&"it is longer than 1 MiB; is it the right file?")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(fail(&error)),
    }
}

impl OpenArgs {
    /// As options of the library.
    pub(crate) fn options(&self, read_only: bool) -> DeviceOptions {
        DeviceOptions {
            read_only,
            cache: match self.cache {
                CacheArg::Auto => Cache::Auto,
                CacheArg::None => Cache::None,
                CacheArg::Writeback => Cache::Writeback,
            },
            engine: match self.engine {
                EngineArg::Auto => EngineChoice::Auto,
                EngineArg::IoUring => EngineChoice::Uring,
                EngineArg::Threads => EngineChoice::Threads,
            },
            cipher: CipherChoice { driver: self.driver.clone(), ..CipherChoice::default() },
            ..DeviceOptions::default()
        }
    }
}

/// Reads an address, whose path may have any bytes.
#[derive(Clone)]
pub(super) struct AddressParser;

impl TypedValueParser for AddressParser {
    type Value = Address;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Address, clap::Error> {
        // clap's own parser of texts says where on the command line an address stands that is wrong.
        let from_text = |text: &str| text.parse::<Address>();
        match Address::from_os(value) {
            Ok(address) => Ok(address),
            Err(_) => from_text.parse_ref(command, argument, OsStr::new(&*value.to_string_lossy())),
        }
    }
}

/// The one device that was named.
pub(crate) enum Named {
    /// By its name.
    Device(DeviceName),
    /// By its table.
    Table(Table),
}

impl DeviceArgs {
    /// The one device that was named. An option that has no meaning for it is refused.
    pub(crate) fn named(&self, given: &Given) -> Result<Named, Failure> {
        match (&self.device, self.table.text()?) {
            (Some(word), None) => {
                let name = DeviceName::parse(word).map_err(Failure::request)?;
                given.check(&name.to_string(), name.takes())?;
                Ok(Named::Device(name))
            }
            (None, Some(text)) => {
                let table = Table::parse_with(udm_targets::all(), &text)?;
                given.check("what a table names", Takes::of_table(&table))?;
                Ok(Named::Table(table))
            }
            (None, None) => Err(Failure::request(
                "no device was given: name a LUKS volume, or raw:PATH, or use --table-file FILE",
            )),
            (Some(_), Some(_)) => Err(Failure::request("both a device and a table were given: one would do")),
        }
    }

    /// Opens the one device that was named: it, and what it lies on, by its name in a table.
    pub(crate) fn open(&self, read_only: bool, given: &Given) -> Result<(DeviceRef, Vec<String>), Failure> {
        let named = self.named(given)?;
        let files = Files::new(&self.open.options(read_only));
        let device = match named {
            Named::Device(name @ DeviceName::Raw(_)) => files.open_device(&name, None)?,
            Named::Device(name) => files.open_device(&name, Some(&self.unlock.unlocking()))?,
            Named::Table(table) => files.load(&table)?,
        };
        Ok((device, files.names()))
    }
}

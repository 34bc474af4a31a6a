//! How LUKS images are unlocked, and the arguments of `udm luks`; in cryptsetup's words.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use udm_backend::locate::parse_size;
use udm_luks::{Limits, UnlockOptions};

use crate::luks::{Passphrase, Unlocking};

/// How LUKS images are unlocked.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "LUKS")]
pub struct UnlockArgs {
    /// A file whose bytes are the passphrase, newlines too; - is stdin. Without it, systemd's credential
    /// cryptsetup.passphrase is taken, where there is one, or the terminal is asked
    #[arg(short = 'd', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// How many bytes at the beginning of the key file are left out
    #[arg(long, value_name = "BYTES", value_parser = parse_size, requires = "key_file")]
    pub keyfile_offset: Option<u64>,
    /// How many bytes of the key file are taken
    #[arg(long, value_name = "BYTES", value_parser = parse_keyfile_size, requires = "key_file")]
    pub keyfile_size: Option<usize>,
    /// The one key slot to try; without it, all that are bound to the data, by their priority
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    /// The file or device with the header, where it is not before the data
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header: Option<PathBuf>,
    /// Pass discards on, also where the header does not say so
    #[arg(long)]
    pub allow_discards: bool,
    /// The most memory that unlocking may take [default: 4194304, 4 GiB]
    #[arg(long, value_name = "KIB")]
    pub pbkdf_memory_max: Option<u64>,
    /// The most iterations of PBKDF2 that unlocking may take [default: 200000000]
    #[arg(long, value_name = "N")]
    pub pbkdf_iterations_max: Option<u64>,
    /// The most passes of Argon2 over all the memory that it may take [default: 64; more over less memory]
    #[arg(long, value_name = "N")]
    pub pbkdf_passes_max: Option<u64>,
}

/// Arguments of `luks`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  udm luks dump disk.img
  udm luks test-passphrase disk.img --key-file key
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
    /// Print what the header says, as `cryptsetup luksDump` does; no key is needed, and none is printed
    Dump(LuksDumpArgs),
    /// Say which key slot a passphrase opens, as `cryptsetup open --test-passphrase` does
    TestPassphrase(LuksTestArgs),
}

/// Arguments of `luks dump`.
#[derive(Args, Debug)]
pub struct LuksDumpArgs {
    /// The image or device, or its detached header
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
}

/// Arguments of `luks test-passphrase`.
#[derive(Args, Debug)]
pub struct LuksTestArgs {
    /// The image or device
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would be taken for help")]
    pub unlock: UnlockArgs,
}

impl UnlockArgs {
    /// As options of the library.
    pub(crate) fn unlocking(&self) -> Unlocking {
        let mut limits = Limits::default();
        if let Some(memory) = self.pbkdf_memory_max {
            limits = limits.with_memory_kib(memory);
        }
        if let Some(passes) = self.pbkdf_passes_max {
            limits = limits.with_passes(passes);
        }
        limits.iterations = self.pbkdf_iterations_max.unwrap_or(limits.iterations);
        let passphrase = match &self.key_file {
            Some(path) => Passphrase::File {
                path: path.clone(),
                offset: self.keyfile_offset.unwrap_or(0),
                size: self.keyfile_size,
            },
            None => Passphrase::Ask,
        };
        Unlocking {
            header: self.header.clone(),
            passphrase,
            options: UnlockOptions { key_slot: self.key_slot, limits },
            allow_discards: self.allow_discards,
        }
    }
}

fn parse_keyfile_size(text: &str) -> Result<usize, String> {
    const MOST: u64 = 8 << 20;
    match parse_size(text)? {
        size if size <= MOST => Ok(size as usize),
        size => Err(format!("{size} bytes are more than the 8 MiB that a key file can have")),
    }
}

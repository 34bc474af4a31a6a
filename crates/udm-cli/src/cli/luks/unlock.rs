//! Where passphrases come from, and how LUKS images are unlocked.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};
use udm_backend::parse_size;
use udm_luks::{Limits, UnlockOptions};

use crate::cli::parse_descriptor;
use crate::input::Input;
use crate::passphrase::Passphrase;
use udm::luks::Unlocking;

/// How LUKS images are unlocked.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "LUKS")]
pub struct UnlockArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    /// The one key slot to try; without it, all that are bound to the data, by their priority
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    /// The file or device with the header, where it is not before the data
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header: Option<PathBuf>,
    /// Pass discards on, also where the header does not say so
    #[arg(long)]
    pub allow_discards: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Where a passphrase comes from.
#[derive(Args, Debug, Clone, Default)]
pub struct KeyArgs {
    /// A file whose bytes are the passphrase, newlines too; - is stdin. Without it, systemd's credential
    /// cryptsetup.passphrase is taken, where there is one, or the terminal is asked
    #[arg(short = 'd', long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "key_bytes")]
    pub key_file: Option<Input>,
    /// An open file descriptor to read the passphrase from
    #[arg(long, value_name = "N", value_parser = parse_descriptor, group = "key_bytes", conflicts_with = "key_file")]
    pub key_fd: Option<Input>,
    /// The systemd credential of this name has the passphrase
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key_file", "key_fd"])]
    pub key_credential: Option<String>,
    /// How many bytes at the beginning of the key file are left out
    #[arg(long, value_name = "BYTES", value_parser = parse_size, requires = "key_bytes")]
    pub keyfile_offset: Option<u64>,
    /// How many bytes of the key file are taken
    #[arg(long, value_name = "BYTES", value_parser = parse_keyfile_size, requires = "key_bytes")]
    pub keyfile_size: Option<usize>,
}

/// Where a new passphrase comes from.
#[derive(Args, Debug, Clone, Default)]
#[expect(clippy::struct_field_names, reason = "these are the names of its options")]
pub struct NewKeyArgs {
    /// A file whose bytes are the new passphrase; without it, the terminal is asked twice
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "new_key_bytes", conflicts_with = "new_key")]
    pub new_keyfile: Option<Input>,
    /// The same
    #[arg(value_name = "NEW_KEY_FILE", value_hint = ValueHint::FilePath, group = "new_key_bytes")]
    pub new_key: Option<Input>,
    /// An open file descriptor to read the new passphrase from
    #[arg(long, value_name = "N", value_parser = parse_descriptor, group = "new_key_bytes", conflicts_with_all = ["new_keyfile", "new_key"])]
    pub new_key_fd: Option<Input>,
    /// The systemd credential of this name has the new passphrase
    #[arg(long, value_name = "NAME", conflicts_with_all = ["new_keyfile", "new_key", "new_key_fd"])]
    pub new_key_credential: Option<String>,
    /// How many bytes at the beginning of the new key file are left out
    #[arg(long, value_name = "BYTES", value_parser = parse_size, requires = "new_key_bytes")]
    pub new_keyfile_offset: Option<u64>,
    /// How many bytes of the new key file are taken
    #[arg(long, value_name = "BYTES", value_parser = parse_keyfile_size, requires = "new_key_bytes")]
    pub new_keyfile_size: Option<usize>,
}

/// What an unlocking may cost.
#[derive(Args, Debug, Clone, Default)]
#[expect(clippy::struct_field_names, reason = "these are the names of its options")]
pub struct LimitArgs {
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

impl UnlockArgs {
    /// As options of the library.
    pub(crate) fn unlocking(&self) -> Unlocking {
        Unlocking {
            header: self.header.clone(),
            passphrase: Arc::new(self.key.passphrase()),
            options: UnlockOptions { key_slot: self.key_slot, limits: self.limits.limits() },
            allow_discards: self.allow_discards,
        }
    }
}

impl KeyArgs {
    /// Where the passphrase comes from.
    pub(crate) fn passphrase(&self) -> Passphrase {
        let (offset, size) = (self.keyfile_offset, self.keyfile_size);
        source(
            self.key_file.clone().or_else(|| self.key_fd.clone()),
            self.key_credential.clone(),
            offset,
            size,
        )
    }

    /// Whether it is said where it comes from.
    pub(crate) fn is_given(&self) -> bool {
        !matches!(self.passphrase(), Passphrase::Ask)
    }
}

impl NewKeyArgs {
    /// Where the new passphrase comes from.
    pub(crate) fn passphrase(&self) -> Passphrase {
        let files = [&self.new_keyfile, &self.new_key, &self.new_key_fd];
        let input = files.into_iter().find_map(Option::clone);
        let (offset, size) = (self.new_keyfile_offset, self.new_keyfile_size);
        source(input, self.new_key_credential.clone(), offset, size)
    }
}

impl LimitArgs {
    /// As limits of the library.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(memory) = self.pbkdf_memory_max {
            limits = limits.with_memory_kib(memory);
        }
        if let Some(passes) = self.pbkdf_passes_max {
            limits = limits.with_passes(passes);
        }
        limits.iterations = self.pbkdf_iterations_max.unwrap_or(limits.iterations);
        limits
    }
}

fn source(
    input: Option<Input>,
    credential: Option<String>,
    offset: Option<u64>,
    size: Option<usize>,
) -> Passphrase {
    match (input, credential) {
        (Some(input), _) => Passphrase::File { input, offset: offset.unwrap_or(0), size },
        (None, Some(name)) => Passphrase::Credential(name),
        (None, None) => Passphrase::Ask,
    }
}

fn parse_keyfile_size(text: &str) -> Result<usize, String> {
    const MOST: u64 = 8 << 20;
    match parse_size(text).map_err(|error| error.to_string())? {
        size if size <= MOST => Ok(size as usize),
        size => Err(format!("{size} bytes are more than the 8 MiB that a key file can have")),
    }
}

//! The arguments of `udm luks format`, and what a new passphrase is to cost.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use udm_backend::parse_size;
use udm_crypto::{CipherSpec, Mode};
use udm_luks::Hash;
use udm_luks::kdf::Argon2Kind;
use udm_luks::memory::{Choice, Room};
use udm_luks::{KdfKind, KdfOptions, SlotOptions, Version};

use super::KeyArgs;
use crate::cli::Failure;
use crate::input::Input;

/// What a new LUKS volume is.
#[derive(Args, Debug, Clone)]
pub struct VolumeArgs {
    /// The version of the header
    #[arg(short = 'M', long = "type", value_name = "TYPE", default_value = "luks2")]
    pub version: LuksType,
    /// The cipher, with its mode and IV mode
    #[arg(short, long, default_value = "aes-xts-plain64")]
    pub cipher: String,
    /// The bits of the volume key [default: 512 for xts, 256 else]
    #[arg(short = 's', long, value_name = "BITS", value_parser = parse_bits)]
    pub key_size: Option<usize>,
    /// The bytes that share one IV [default: 4096 where the data are whole sectors of it, else 512]. 512 where the volume
    /// holds an image with a partition table or a file system of 512-byte sectors, and the kernel is to open it: its
    /// device has blocks of this size. udm serves any size by NBD, but a write of a part of a sector costs a read
    #[arg(long, value_name = "BYTES")]
    pub sector_size: Option<u32>,
    /// A label
    #[arg(long, default_value = "", hide_default_value = true)]
    pub label: String,
    /// The UUID [default: a new one]
    #[arg(long)]
    pub uuid: Option<String>,
}

/// Arguments of `luks format`.
#[derive(Args, Debug)]
pub struct LuksFormatArgs {
    /// The image or device; with --header, that of the data
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// A file whose bytes are the passphrase, as --key-file; without either, the terminal is asked twice
    #[arg(value_name = "KEY_FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["key_file", "key_fd", "key_credential"])]
    pub new_key: Option<Input>,
    /// Make the image, a sparse file of this size
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub size: Option<u64>,
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// A second label
    #[arg(long, default_value = "", hide_default_value = true)]
    pub subsystem: String,
    /// The number of the key slot [default: 0]
    #[arg(short = 'S', long, value_name = "N")]
    pub key_slot: Option<u32>,
    /// Where the header is to be, in a file or device of its own. A file is made, where there is none
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub header: Option<PathBuf>,
    /// Where the data begin, in sectors of 512 bytes [default: behind the header]
    #[arg(short = 'o', long, value_name = "SECTORS")]
    pub offset: Option<u64>,
    /// The bytes of one of the two copies of a LUKS2 header, key slots apart
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "16K")]
    pub luks2_metadata_size: u64,
    /// The bytes for all key slots of a LUKS2 header [default: what is left up to 16 MiB or --offset]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub luks2_keyslots_size: Option<u64>,
    /// A file with the volume key [default: a new one]
    #[arg(long, value_name = "FILE", alias = "master-key-file", value_hint = ValueHint::FilePath)]
    pub volume_key_file: Option<Input>,
    /// Do not ask before what is there is lost (-q, too)
    #[arg(long)]
    pub batch_mode: bool,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub slot: SlotArgs,
}

/// A version of the header.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LuksType {
    /// LUKS1
    Luks1,
    /// LUKS2
    #[value(alias = "luks")]
    Luks2,
}

impl From<LuksType> for Version {
    fn from(version: LuksType) -> Self {
        match version {
            LuksType::Luks1 => Self::Luks1,
            LuksType::Luks2 => Self::Luks2,
        }
    }
}

/// What a passphrase is to cost, and how its key slot is enciphered.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Key slot")]
pub struct SlotArgs {
    /// The key derivation [default: argon2id, and pbkdf2 in LUKS1]
    #[arg(long, value_name = "NAME")]
    pub pbkdf: Option<PbkdfName>,
    /// The hash of pbkdf2; of a new volume also of everything else
    #[arg(long, default_value = "sha256", value_parser = parse_hash)]
    pub hash: Hash,
    /// How long an unlocking is to take on this machine, in milliseconds
    #[arg(short = 'i', long, value_name = "MS", default_value_t = 2000)]
    pub iter_time: u64,
    /// The most memory of argon2, in KiB [default: 1048576, or half of what is free, but at least 65536]
    #[arg(long, value_name = "KIB")]
    pub pbkdf_memory: Option<u32>,
    /// The threads of argon2 [default: as many as there are processors, up to 4]
    #[arg(long, value_name = "N")]
    pub pbkdf_parallel: Option<u32>,
    /// The iterations of pbkdf2, or the passes of argon2: nothing is measured
    #[arg(long, value_name = "N", conflicts_with = "iter_time")]
    pub pbkdf_force_iterations: Option<u32>,
    /// The cipher of the key slot [default: the volume's]
    #[arg(long, value_name = "CIPHER")]
    pub keyslot_cipher: Option<String>,
    /// The bits of that cipher's key [default: 512 for xts, 256 else]
    #[arg(long, value_name = "BITS", value_parser = parse_bits, requires = "keyslot_cipher")]
    pub keyslot_key_size: Option<usize>,
}

/// A key derivation.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum PbkdfName {
    /// RFC 8018
    Pbkdf2,
    /// RFC 9106
    Argon2i,
    /// RFC 9106
    Argon2id,
}

impl SlotArgs {
    /// A key slot of a volume of this version, whichever is free.
    ///
    /// # Errors
    /// When an option has no meaning for its derivation.
    pub(crate) fn options(&self, version: Version) -> Result<SlotOptions, Failure> {
        Ok(SlotOptions { cipher: self.cipher(), ..SlotOptions::new(self.kdf(version)?) })
    }

    /// What the passphrase is to cost, in a volume of this version.
    fn kdf(&self, version: Version) -> Result<KdfOptions, Failure> {
        let kind = match (self.pbkdf, version) {
            (Some(PbkdfName::Pbkdf2), _) | (None, Version::Luks1) => KdfKind::Pbkdf2(self.hash),
            (Some(PbkdfName::Argon2i), _) => KdfKind::Argon2(Argon2Kind::I),
            (Some(PbkdfName::Argon2id), _) | (None, Version::Luks2) => KdfKind::Argon2(Argon2Kind::Id),
        };
        let of_argon2 = [
            ("--pbkdf-memory", self.pbkdf_memory.is_some()),
            ("--pbkdf-parallel", self.pbkdf_parallel.is_some()),
        ];
        if let (KdfKind::Pbkdf2(_), Some((option, _))) = (kind, of_argon2.iter().find(|(_, given)| *given)) {
            return Err(Failure::request(format!(
                "{option} is for argon2id and argon2i, and the key slot gets pbkdf2, which takes no memory and one \
                 thread: leave it out, or use --pbkdf argon2id in a LUKS2 volume"
            )));
        }
        let defaults = KdfOptions::default();
        if let (KdfKind::Argon2(_), None, Choice { kib, why: Some(why) }) =
            (kind, self.pbkdf_memory, Room::here().choice())
        {
            tracing::warn!(
                "the key slot gets at most {kib} KiB of memory: {why}; --pbkdf-memory says otherwise"
            );
        }
        Ok(KdfOptions {
            kind,
            iterations: self.pbkdf_force_iterations,
            memory_kib: self.pbkdf_memory.unwrap_or(defaults.memory_kib),
            lanes: self.pbkdf_parallel.unwrap_or(defaults.lanes),
            time: Duration::from_millis(self.iter_time),
        })
    }

    /// The key slot's own cipher, and the bytes of its key.
    fn cipher(&self) -> Option<(String, usize)> {
        let cipher = self.keyslot_cipher.clone()?;
        let size = self.keyslot_key_size.unwrap_or_else(|| default_key_size(&cipher));
        Some((cipher, size))
    }
}

/// The bytes of a key of `cipher`: 256 bits, and twice that for xts, which has two keys.
pub(crate) fn default_key_size(cipher: &str) -> usize {
    let is_xts = CipherSpec::parse(cipher).is_ok_and(|spec| spec.algorithm.mode == Mode::Xts);
    if is_xts { 64 } else { 32 }
}

fn parse_hash(name: &str) -> Result<Hash, String> {
    Hash::from_luks_name(name).map_err(|error| error.to_string())
}

/// A number of bits, as bytes.
pub(crate) fn parse_bits(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(bits) if bits > 0 && bits.is_multiple_of(8) => Ok(bits / 8),
        _ => Err("it is a number of bits, a multiple of 8".into()),
    }
}

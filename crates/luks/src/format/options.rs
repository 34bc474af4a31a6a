//! What a new volume is to be like, in cryptsetup's words and with its defaults.

use crate::cost::KdfOptions;
use crate::keyslot::SlotOptions;
use crate::secret::Secret;
use crate::volume::HeaderPlace;
use udm_crypto::Hash;

/// The version of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// LUKS1.
    Luks1,
    /// LUKS2.
    Luks2,
}

/// What a new volume is to be like. Sizes and offsets are in bytes.
///
/// New fields come with a new major version only.
#[derive(Debug)]
pub struct FormatOptions {
    /// `--type`
    pub version: Version,
    /// `--cipher`, as a dm-crypt table has it. Whether dm-crypt has it is the caller's to know.
    pub encryption: String,
    /// `--key-size`: the bytes of the volume key.
    pub key_size: usize,
    /// `--hash`: of the anti-forensic splitter and of the digest; of LUKS1 also of PBKDF2.
    pub hash: Hash,
    /// The first key slot. Its number is 0, where it is not said.
    pub slot: SlotOptions,
    /// `--sector-size`; without it 4096 where the data are as many whole sectors, and 512 where they are not.
    pub sector_size: Option<u32>,
    /// `--label`
    pub label: String,
    /// `--subsystem`
    pub subsystem: String,
    /// `--uuid`; without it, a new one.
    pub uuid: Option<String>,
    /// `--header`: whether the header is on the device of the data.
    pub place: HeaderPlace,
    /// `--offset`: where the data begin; without it behind the header, or at 0 where that is detached.
    pub data_offset: Option<u64>,
    /// The bytes of the data's device, where the header is detached and they are known.
    pub data_device_size: Option<u64>,
    /// `--luks2-metadata-size`: of one copy of the header.
    pub metadata_size: u64,
    /// `--luks2-keyslots-size`: of all areas of key slots; without it, what is left up to the data.
    pub keyslots_size: Option<u64>,
    /// `--volume-key-file`; without it, a new key.
    pub volume_key: Option<Secret>,
}

impl FormatOptions {
    /// A LUKS2 volume as cryptsetup makes it: aes-xts-plain64 with a key of 512 bits, Argon2id, 16 MiB of header.
    pub fn luks2() -> Self {
        Self {
            version: Version::Luks2,
            encryption: "aes-xts-plain64".into(),
            key_size: 64,
            hash: Hash::Sha256,
            slot: SlotOptions::new(KdfOptions::default()),
            sector_size: None,
            label: String::new(),
            subsystem: String::new(),
            uuid: None,
            place: HeaderPlace::Attached,
            data_offset: None,
            data_device_size: None,
            metadata_size: 16 << 10,
            keyslots_size: None,
            volume_key: None,
        }
    }

    /// A LUKS1 volume as cryptsetup makes it: PBKDF2 with `hash`.
    pub fn luks1(hash: Hash) -> Self {
        let slot = SlotOptions::new(KdfOptions::pbkdf2(hash));
        Self { version: Version::Luks1, hash, slot, ..Self::luks2() }
    }
}

//! Where a volume's data are, and how they are enciphered: what a dm-crypt target is made of.

use std::fmt;

use crate::secret::Secret;

/// A run of enciphered data, as the header describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its first byte on the device of the data; a multiple of 512.
    pub offset: u64,
    /// How many bytes it has; `None` where it reaches to the device's end.
    pub size: Option<u64>,
    /// The cipher and IV mode, as a dm-crypt table has them: `aes-xts-plain64`.
    pub encryption: String,
    /// What is added to a sector's number before it becomes an IV, in sectors of 512 bytes, whatever the sector size is.
    pub iv_tweak: u64,
    /// The bytes that share one IV: 512, 1024, 2048 or 4096. IVs count sectors of 512 bytes all the same.
    pub sector_size: u32,
}

/// The persistent flags that tell how a volume is activated (LUKS2 specification, the config object). Flags of other
/// names stay in the metadata and mean nothing here, as in cryptsetup.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the format")]
pub struct ActivationFlags {
    /// `allow-discards`
    pub allow_discards: bool,
    /// `same-cpu-crypt`
    pub same_cpu_crypt: bool,
    /// `submit-from-crypt-cpus`
    pub submit_from_crypt_cpus: bool,
    /// `no-read-workqueue`
    pub no_read_workqueue: bool,
    /// `no-write-workqueue`
    pub no_write_workqueue: bool,
}

impl ActivationFlags {
    /// The names of all flags.
    pub const NAMES: [&str; 5] = [
        "allow-discards",
        "same-cpu-crypt",
        "submit-from-crypt-cpus",
        "no-read-workqueue",
        "no-write-workqueue",
    ];

    /// The flags that are set among `names`.
    pub fn from_names(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|found| found == name);
        Self {
            allow_discards: has(Self::NAMES[0]),
            same_cpu_crypt: has(Self::NAMES[1]),
            submit_from_crypt_cpus: has(Self::NAMES[2]),
            no_read_workqueue: has(Self::NAMES[3]),
            no_write_workqueue: has(Self::NAMES[4]),
        }
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = [
            self.allow_discards,
            self.same_cpu_crypt,
            self.submit_from_crypt_cpus,
            self.no_read_workqueue,
            self.no_write_workqueue,
        ];
        Self::NAMES.into_iter().zip(set).filter_map(|(name, is_set)| is_set.then_some(name))
    }

    /// Whether a flag has this name.
    pub fn is_name(name: &str) -> bool {
        Self::NAMES.contains(&name)
    }
}

/// An unlocked volume: all that a dm-crypt target needs.
pub struct Unlocked {
    /// The key slot that the passphrase opened.
    pub key_slot: u32,
    /// The volume key.
    pub key: Secret,
    /// Where the data are.
    pub segment: Segment,
    /// How they are activated.
    pub flags: ActivationFlags,
}

/// Without the key.
impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocked")
            .field("key_slot", &self.key_slot)
            .field("segment", &self.segment)
            .finish_non_exhaustive()
    }
}

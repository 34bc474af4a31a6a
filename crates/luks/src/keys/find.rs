//! The key that is to get another key slot.

use std::fmt;

use crate::error::Error;
use crate::luks2;
use crate::secret::Secret;
use crate::source::ReadAt;
use crate::volume::{Bound, Header, UnlockOptions, Volume, check_costs};

/// A key that the volume has a digest of.
pub struct VolumeKey {
    /// The key slot that it was in; `None` where it was given.
    pub key_slot: Option<u32>,
    /// The number of its digest. LUKS1 has but one.
    pub(crate) digest: u32,
    /// The key.
    pub(crate) key: Secret,
}

/// Without the key.
impl fmt::Debug for VolumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VolumeKey").field("key_slot", &self.key_slot).finish_non_exhaustive()
    }
}

/// A key of the data, or of any key slot that is named.
fn bound_of(options: &UnlockOptions) -> Bound {
    if options.key_slot.is_some() { Bound::Any } else { Bound::Data }
}

impl<S: ReadAt> Volume<S> {
    /// The key of the key slot that `passphrase` opens: of the data, or of any key slot that is named.
    ///
    /// # Errors
    /// Where no key slot opens.
    pub fn find_key(&self, passphrase: &[u8], options: &UnlockOptions) -> Result<VolumeKey, Error> {
        let (candidates, left_out) = self.candidates(options.key_slot, bound_of(options))?;
        let (slot, key) = self.find(&candidates, left_out, passphrase, &options.limits)?;
        Ok(VolumeKey { key_slot: Some(slot), digest: self.digest_of(slot), key })
    }

    /// Whether [`find_key`](Self::find_key) would refuse every passphrase.
    ///
    /// # Errors
    /// Those of [`find_key`](Self::find_key) that do not depend on the passphrase.
    pub fn check_find_key(&self, options: &UnlockOptions) -> Result<(), Error> {
        let (candidates, _) = self.candidates(options.key_slot, bound_of(options))?;
        check_costs(&candidates, &options.limits)
    }

    /// Whether keys can be added and changed.
    ///
    /// # Errors
    /// Where a reader of the header must know what is not known here, or its copies are not both whole and the same.
    pub fn check_writable(&self) -> Result<(), Error> {
        match &self.header {
            Header::Luks1(header) => header.check_writable(),
            Header::Luks2(header) => header.check_writable(),
        }
    }

    /// `key`, where it is one that the volume has a digest of.
    ///
    /// # Errors
    /// Where it is another one.
    pub fn known_key(&self, key: Secret, options: &UnlockOptions) -> Result<VolumeKey, Error> {
        let digests: Vec<_> = match &self.header {
            Header::Luks1(header) => vec![(0, &header.digest)],
            Header::Luks2(header) => {
                let digests = header.metadata.digests.iter();
                digests.filter_map(|digest| Some((digest.id, digest.digest.as_ref()?))).collect()
            }
        };
        for (id, digest) in digests {
            if digest.is_of(&key, &options.limits)? {
                return Ok(VolumeKey { key_slot: None, digest: id, key });
            }
        }
        let why = "it is not a key of this volume";
        Err(Error::request("--volume-key-file", format!("{} bytes", key.len()), why, "give its own key"))
    }

    fn digest_of(&self, slot: u32) -> u32 {
        let of_slot = |header: &luks2::Header| {
            header
                .metadata
                .digests
                .iter()
                .find(|digest| digest.key_slots.contains(&slot))
                .map(|digest| digest.id)
        };
        match &self.header {
            Header::Luks1(_) => 0,
            Header::Luks2(header) => of_slot(header).unwrap_or(0),
        }
    }
}

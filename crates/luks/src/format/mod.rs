//! Making a volume: cryptsetup's `luksFormat`.
//!
//! - [`options`] is what can be asked for, with cryptsetup's defaults.
//! - `plan` finds the place of everything, and refuses what cannot be, before anything is destroyed.
//! - `old` wipes what was there.
//! - `luks1` and `luks2` write the header.

mod luks1;
mod luks2;
mod old;
pub mod options;
mod plan;

pub(crate) use old::wipe as wipe_old;
pub use options::{FormatOptions, Version};

use crate::error::Error;
use crate::random;
use crate::secret::Secret;
use crate::segment::{ActivationFlags, Unlocked};
use crate::source::Storage;

use plan::Plan;

/// Makes a volume on `storage`, of which `passphrase` opens the one key slot. All that was there is lost.
///
/// The header that makes it a volume is written last: when the power fails before, nothing opens, the old volume neither.
///
/// # Errors
/// Where what was asked for cannot be, and nothing has been written; or where it cannot be written.
pub fn format(
    storage: &mut impl Storage,
    options: &FormatOptions,
    passphrase: &[u8],
) -> Result<Unlocked, Error> {
    let size = storage.size().map_err(Error::io("the size of the device"))?;
    let plan = Plan::new(options, size)?;
    let key = volume_key(options)?;
    let key_slot = match options.version {
        Version::Luks1 => luks1::write(storage, options, &plan, &key, passphrase)?,
        Version::Luks2 => luks2::write(storage, options, &plan, &key, passphrase)?,
    };
    Ok(Unlocked { key_slot, key, segment: plan.segment, flags: ActivationFlags::default() })
}

/// How many bytes a header in a file of its own has, which must be there for [`format()`].
///
/// # Errors
/// Where what was asked for cannot be.
pub fn header_size(options: &FormatOptions) -> Result<u64, Error> {
    Ok(Plan::new(options, u64::MAX)?.end)
}

/// The key that was given, or a new one.
fn volume_key(options: &FormatOptions) -> Result<Secret, Error> {
    let Some(given) = &options.volume_key else {
        let mut key = Secret::zeroed(options.key_size)?;
        random::fill(&mut key)?;
        return Ok(key);
    };
    if given.len() != options.key_size {
        let why = format!("{} has a key of {} bytes", options.encryption, options.key_size);
        let hint = "--key-size says how many bits it has";
        return Err(Error::request("--volume-key-file", format!("{} bytes", given.len()), why, hint));
    }
    Ok(Secret::copy_of(given)?)
}

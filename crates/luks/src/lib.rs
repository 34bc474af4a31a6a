//! LUKS1 and LUKS2 volumes: what their headers say, the volume key for a passphrase, and how both are made and changed.
//!
//! A [`Volume`] is a header that was read and checked. [`Volume::unlock`] gives what a dm-crypt target needs: where the
//! data are, under what cipher, and the key in memory that is locked, in no core dump, and wiped.
//!
//! ```no_run
//! use std::fs::File;
//! use udm_luks::{HeaderPlace, UnlockOptions, Volume};
//!
//! let volume = Volume::open(File::open("disk.img")?, HeaderPlace::Attached)?;
//! let unlocked = volume.unlock(b"correct horse", &UnlockOptions::default())?;
//! println!("{} from byte {} on", unlocked.segment.encryption, unlocked.segment.offset);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A volume is made by [`format()`](format::format), and changed through whatever has [`Storage`]; a file is [`Locked`]
//! meanwhile. At any power cut the old or the new header opens.
//!
//! ```no_run
//! use udm_luks::{FormatOptions, Locked, HeaderPlace, SlotOptions, UnlockOptions, Volume, format};
//!
//! let mut image = Locked::open("disk.img".as_ref())?;
//! let options = FormatOptions::luks2();
//! format(&mut image, &options, b"correct horse")?;
//!
//! let mut volume = Volume::open(image, HeaderPlace::Attached)?;
//! let key = volume.find_key(b"correct horse", &UnlockOptions::default())?;
//! volume.add_key(&key, b"battery staple", &SlotOptions::new(options.slot.kdf))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A header may come from anybody. What it may ask for is bounded by [`Limits`] before any work is done; an [`Error`] says
//! which field is wrong, what was found there, and whose fault it is.
//!
//! The formats are those of the LUKS1 On-Disk Format Specification 1.2.3 and the LUKS2 On-Disk Format Specification 1.1.4.

pub mod af;
pub mod area;
pub mod cost;
pub mod digest;
pub mod error;
pub mod format;
pub mod header;
pub mod kdf;
pub mod keys;
pub mod keyslot;
pub mod limits;
pub mod locked;
pub mod luks1;
pub mod luks2;
pub mod memory;
pub mod random;
pub mod secret;
pub mod segment;
pub mod signature;
pub mod source;
pub mod volume;
mod wipe;

pub use cost::{KdfKind, KdfOptions};
pub use error::{Error, ErrorClass, Finding};
pub use format::{FormatOptions, Version, format};
pub use keys::{LastKey, VolumeKey};
pub use keyslot::SlotOptions;
pub use limits::Limits;
pub use locked::{Locked, Patience};
pub use luks2::binary::{MAGIC, SECOND_MAGIC};
pub use secret::Secret;
pub use segment::{ActivationFlags, Segment, Unlocked};
pub use source::{ReadAt, Storage};
pub use udm_crypto::Hash;
pub use volume::{Header, HeaderPlace, UnlockOptions, Volume};

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

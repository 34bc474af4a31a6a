//! The device mapper in userspace: the front door of its library.
//!
//! A program that wants an encrypted volume without the kernel opens a [`device`] and reads and writes it with
//! [`Blocking`](block::blocking::Blocking), or serves it with [`export`]:
//!
//! ```
//! use udm::device::{DeviceOptions, open_table};
//! use udm::block::blocking::Blocking;
//!
//! let table = "0 2048 crypt aes-cbc-essiv:sha256 00112233445566778899aabbccddeeff 0 ram:1M 0";
//! let volume = Blocking::new(open_table(table, &DeviceOptions::default())?)?;
//! volume.write_at(1000, b"any bytes, at any place")?;
//! let mut back = [0; 9];
//! volume.read_at(1000, &mut back)?;
//! assert_eq!(&back, b"any bytes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Open a LUKS volume and read from it
//! The volume is made first, by `udm-luks`, in a file of 32 MiB.
//!
//! ```
//! use std::fs::File;
//! use std::sync::Arc;
//!
//! use udm::block::blocking::Blocking;
//! use udm::device::{DeviceOptions, open_image};
//! use udm::luks::Unlocking;
//! use udm_luks::{FormatOptions, Hash, KdfOptions, Locked, Secret, SlotOptions, format};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("disk.img");
//! File::create(&path)?.set_len(32 << 20)?;
//! // So few iterations are for an example. Without them, it measures what takes two seconds on this machine.
//! let kdf = KdfOptions { iterations: Some(1000), ..KdfOptions::pbkdf2(Hash::Sha256) };
//! let options = FormatOptions { slot: SlotOptions::new(kdf), ..FormatOptions::luks2() };
//! format(&mut Locked::open(&path)?, &options, b"correct horse")?;
//!
//! // A program may also ask its user, by a `PassphraseSource` of its own.
//! let passphrase = Arc::new(Secret::copy_of(b"correct horse")?);
//! let unlocking = Unlocking::with(passphrase);
//! let device = open_image(&path, &DeviceOptions::default(), Some(&unlocking))?;
//! let volume = Blocking::new(device)?;
//! volume.write_at(4000, b"across the border of two sectors")?;
//! volume.flush()?;
//! let mut back = [0; 6];
//! volume.read_at(4000, &mut back)?;
//! assert_eq!(&back, b"across");
//!
//! // The image is locked while it is open. Afterwards, another passphrase does not open it.
//! drop(volume);
//! let wrong = Unlocking::with(Arc::new(Secret::copy_of(b"wrong horse")?));
//! let error = open_image(&path, &DeviceOptions::default(), Some(&wrong)).err().ok_or("it opens")?;
//! assert!(error.is_request(), "{error}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use udm_backend as backend;
pub use udm_block as block;
pub use udm_crypto as crypto;
pub use udm_dm as dm;
pub use udm_export as export;
pub use udm_nbd as nbd;

pub mod convert;
pub mod device;
pub mod luks;
mod size;
pub mod unfinished;

pub use size::human;

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

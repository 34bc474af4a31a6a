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

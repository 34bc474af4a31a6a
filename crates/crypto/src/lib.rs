//! Length-preserving encryption of many data units in one request.
//!
//! A [`Skcipher`] is a key under an [`Algorithm`], held by a driver that a [`Registry`] chose. Its callers make a
//! [`Request`]: source and destination spans cut anywhere, a unit size, and an [`IvRule`] that says how each unit gets
//! its IV. They never ask what the driver can do: where it is not native for many units, the request is split unit by
//! unit, with the same bytes as the result.
//!
//! ```
//! use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};
//! use udm_crypto::{Algorithm, Choice, Direction, IvRule, Mode, Registry, Request, Skcipher};
//!
//! let key: Vec<u8> = (0..64).collect();
//! let xts = Skcipher::new(Registry::global(), Choice::Best, Algorithm::aes(Mode::Xts), &key)?;
//! let (mut plain, mut secret) = ([7u8; 1024], [0u8; 1024]);
//! let (from, mut to) = ([Span::new(&plain)], [SpanMut::new(&mut secret)]);
//! xts.crypt(&mut Request {
//!     direction: Direction::Encrypt,
//!     src: SpanIter::new(&from),
//!     dst: SpanIterMut::new(&mut to),
//!     unit_size: 512,
//!     iv: IvRule::CounterLe64 { first: [0; 16], stride: 1 },
//! })?;
//! assert_ne!(secret[..512], secret[512..]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`spec`] reads the cipher strings of tables and LUKS headers, such as `aes-xts-plain64`.
//!
//! To write a driver, read [`driver`]; [`walk::runs`] gives it whole runs of units. To write an asynchronous one, read
//! [`job`] too.

pub mod aes;
pub mod algorithm;
pub mod driver;
mod drivers;
pub mod error;
pub mod hash;
pub mod job;
#[cfg(all(feature = "aws-lc", not(miri)))]
pub mod library;
pub mod offload;
pub mod portable;
pub mod registry;
pub mod request;
mod selftest;
pub mod skcipher;
pub mod spec;
mod split;
pub mod threads;
pub mod waiting;
pub mod walk;

pub use algorithm::{Algorithm, Cipher, Mode, Unfit};
pub use driver::{Answer, Driver, DriverInfo, KeyedCipher, Later, MultiUnit, Speed};
pub use error::{CryptError, KeyError};
pub use hash::Hash;
pub use job::{Carrier, Job};
pub use registry::{Choice, Listing, Registry, Standing};
pub use request::{Direction, Iv, IvRule, MAX_UNIT_SIZE, Request, WideIv};
pub use skcipher::Skcipher;
pub use spec::CipherSpec;

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

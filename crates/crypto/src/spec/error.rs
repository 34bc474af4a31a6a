//! What is wrong with a cipher string: which part, where, what stands there, and why; and the sentences made of that.

use std::fmt;
use std::ops::Range;

use super::near::{either, list};
use super::piece::Piece;
use crate::algorithm::{Algorithm, Cipher, Mode, Unfit};

/// The most characters of a string that [`SpecError`]'s own text repeats.
const MOST_SHOWN: usize = 60;
/// The longest string that a hint repeats, in bytes.
const MOST_REPEATED: usize = 32;

/// Why a cipher string, or the name of a hash, is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpecError {
    /// The part that is wrong.
    pub part: Part,
    /// The bytes of the string where it stands. The range is empty where the part is missing.
    pub at: Range<usize>,
    /// What stands there; or what a short form means by it, as `cbc` in `chacha20-plain`.
    pub found: String,
    /// Why it is wrong.
    pub why: Why,
}

/// A part of a cipher string.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Part {
    /// The string as a whole.
    Whole,
    /// The block cipher, as `aes`.
    Cipher,
    /// The mode around it, as `xts`.
    Mode,
    /// The crypto API's name of cipher and mode, as `xts(aes)`.
    Name,
    /// The number of keys, as `64` in `aes:64-cbc-lmk`.
    KeyCount,
    /// The IV mode, as `plain64`.
    IvMode,
    /// The hash of essiv.
    EssivHash,
    /// A hash that stands by itself, in a field of a LUKS header.
    Hash,
}

/// Why a part is wrong. Names in `instead` are those that would do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Why {
    /// Nobody knows the name.
    Unknown {
        /// The name, here or in the kernel, that was probably meant.
        near: Option<&'static str>,
        /// The names that are known here.
        instead: Vec<&'static str>,
    },
    /// This crate was built without it.
    NotBuilt {
        /// The feature of this crate that has it.
        feature: &'static str,
    },
    /// Only the kernel has it.
    KernelOnly {
        /// The names that are known here.
        instead: Vec<&'static str>,
    },
    /// It authenticates, and its tags need a place beside the sectors.
    Authenticated,
    /// It stores its IVs beside the sectors.
    StoredIvs,
    /// A parenthesis stands in a string that does not begin with `capi:`.
    NoCapi,
    /// Parentheses are not closed, or closed twice.
    Unbalanced,
    /// The crypto API takes no name of so many bytes.
    TooLong {
        /// The bytes of the name.
        bytes: usize,
    },
    /// It is not a power of two.
    KeyCount,
    /// There is no IV mode.
    NoIvMode,
    /// There is no IV mode in the crypto API's form. The kernel takes that, and reads back other data than were written.
    IvNeverSet,
    /// The mode does not take the cipher.
    Unfit(Unfit),
    /// The name is not one of a cipher with its mode.
    NoMode {
        /// The cipher, where it is the name of one.
        cipher: Option<Cipher>,
    },
    /// essiv has no hash.
    EssivWithoutHash,
    /// essiv stands twice.
    EssivTwice,
    /// The IV of the algorithm is not one block of a block cipher, which essiv makes.
    EssivUnfit {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// The digest is not as long as a key of the cipher.
    Digest {
        /// The bytes of the digest.
        bytes: usize,
        /// The cipher.
        cipher: Cipher,
        /// The hashes whose digests are.
        instead: Vec<&'static str>,
    },
    /// The IV mode writes something else than a number, and essiv enciphers numbers.
    NotANumber,
    /// The IV mode makes an IV of one block, and the algorithm takes another one.
    NotOneBlock {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// What is written with the IV mode cannot be read back: lmk needs cbc.
    NotReadable {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// The IV mode makes a shorter IV than the algorithm takes.
    ShortIv {
        /// The algorithm.
        algorithm: Algorithm,
        /// The bytes of an IV of the mode.
        bytes: usize,
    },
}

impl Part {
    /// What it is called in a message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole | Self::Cipher => "cipher",
            Self::Mode => "cipher mode",
            Self::Name => "crypto API name",
            Self::KeyCount => "number of keys",
            Self::IvMode => "IV mode",
            Self::EssivHash => "essiv's hash",
            Self::Hash => "hash",
        }
    }
}

impl SpecError {
    pub(super) fn new(part: Part, piece: Piece<'_>, why: Why) -> Self {
        Self { part, at: piece.range(), found: piece.text.to_owned(), why }
    }

    /// What is wrong, in one line. `quote` makes text of the string fit to be shown: in quotes and of bounded length, and
    /// without control characters and keys where these may be in it.
    pub fn message(&self, quote: impl Fn(&str) -> String) -> String {
        let (part, found) = (self.part.name(), quote(&self.found));
        match &self.why {
            Why::Unknown { .. } if self.found.is_empty() => format!("{part} is missing"),
            Why::Unknown { .. } => format!("{part} {found} is not known"),
            Why::NotBuilt { .. } if self.part == Part::EssivHash => format!("this build has no hash {found}"),
            Why::NotBuilt { .. } => format!("this build has no {part} {found}"),
            Why::KernelOnly { .. } => format!("udm does not have {part} {found} yet"),
            Why::Authenticated => format!(
                "udm does not have authenticated encryption yet, which {found} is: it needs dm-integrity"
            ),
            Why::StoredIvs => format!(
                "{part} {found} stores its IVs beside the sectors, and udm does not have dm-integrity for that yet"
            ),
            Why::NoCapi => format!("the cipher has a parenthesis {found} but no capi: before it"),
            Why::Unbalanced => format!("the parentheses of {found} do not match"),
            Why::TooLong { bytes } => {
                format!("the cipher's name is too long for the crypto API: {bytes} bytes")
            }
            Why::KeyCount if self.found.is_empty() => {
                "the number of keys is nothing, which is not a power of two".into()
            }
            Why::KeyCount => format!("the number of keys is {found}, which is not a power of two"),
            Why::NoIvMode => format!("the cipher {found} has no IV mode"),
            Why::IvNeverSet => format!("the cipher {found} has no IV mode, so nothing would set its IV"),
            Why::Unfit(unfit) => unfit.to_string(),
            Why::NoMode { .. } => format!("{found} is not a cipher with its mode"),
            Why::EssivWithoutHash => format!("{part} {found} has no hash"),
            Why::EssivTwice => format!("{found} stands twice"),
            Why::EssivUnfit { algorithm } if algorithm.iv_size() == 0 => {
                format!("essiv makes an IV, and {algorithm} takes none")
            }
            Why::EssivUnfit { algorithm } => {
                format!("essiv makes an IV of one cipher block, and {algorithm} takes another one")
            }
            Why::Digest { bytes, cipher, .. } => format!(
                "{part} {found} has a digest of {bytes} bytes, which is not a key size of {}",
                cipher.name()
            ),
            Why::NotANumber => {
                format!("essiv enciphers a sector's number, and {part} {found} makes something else")
            }
            Why::NotOneBlock { algorithm } => format!(
                "{part} {found} makes an IV of one block; that of {algorithm} has {} bytes, in blocks of {}",
                algorithm.iv_size(),
                algorithm.block_size()
            ),
            Why::NotReadable { algorithm } => {
                format!("what {algorithm} writes with {part} {found} cannot be read back")
            }
            Why::ShortIv { algorithm, bytes } => format!(
                "{part} {found} has an IV of {bytes} bytes, and {algorithm} takes {}",
                algorithm.iv_size()
            ),
        }
    }

    /// What would do.
    pub fn hint(&self) -> String {
        match &self.why {
            Why::Unknown { near: Some(near), .. } => format!("try {near}"),
            Why::NotBuilt { feature } => format!("build it with the feature {feature}"),
            Why::KernelOnly { instead } => format!("it has {}", list(instead, "and")),
            Why::Authenticated => "use a mode without integrity, such as aes-xts-plain64".into(),
            Why::StoredIvs => "use plain64, whose IVs are not stored, as in aes-xts-plain64".into(),
            Why::NoCapi => "write capi:<mode>(<cipher>)-<ivmode>, such as capi:xts(aes)-plain64".into(),
            Why::Unbalanced => "write each ( with its ), as in capi:xts(aes)-plain64".into(),
            Why::TooLong { .. } => "use aes-xts-plain64".into(),
            Why::KeyCount => {
                "write 1, 2, 4, 8 and so on, as in aes:2-cbc-plain64, or leave the colon and the number out"
                    .into()
            }
            Why::NoIvMode if self.found.len() < MOST_REPEATED => format!("write {}-plain64", self.found),
            Why::NoIvMode => "write <cipher>-<mode>-plain64".into(),
            Why::IvNeverSet => "write -plain64 after the cipher".into(),
            Why::Unfit(unfit) => instead_of(*unfit),
            Why::NoMode { cipher } => with_mode(*cipher),
            Why::EssivWithoutHash => "write essiv:sha256".into(),
            Why::EssivTwice => {
                "leave one of them out: capi:essiv(cbc(aes),sha256)-plain64, or capi:cbc(aes)-essiv:sha256"
                    .into()
            }
            Why::EssivUnfit { .. } => "use cbc instead, or leave essiv out".into(),
            Why::Digest { instead, .. } if instead.is_empty() => {
                "use plain64 with this cipher: no hash is as long as its key".into()
            }
            Why::Unknown { instead, .. } | Why::Digest { instead, .. } => {
                format!("use {}", either(instead))
            }
            Why::NotANumber => "use plain64 within essiv, or leave essiv out".into(),
            Why::NotOneBlock { .. } => "use cbc or xts, or plain64".into(),
            Why::NotReadable { .. } => "use cbc, as in aes:64-cbc-lmk".into(),
            Why::ShortIv { .. } => "use cbc, as in aes-cbc-tcw, or plain64".into(),
        }
    }
}

/// What would do for a cipher in a mode that does not take it.
fn instead_of(Unfit { cipher, .. }: Unfit) -> String {
    if cipher.is_stream() {
        return format!("write capi:{}-plain64", cipher.name());
    }
    let modes: Vec<_> = Mode::ALL.into_iter().filter(|mode| mode.takes(cipher)).map(Mode::name).collect();
    format!("use {} in {}", cipher.name(), either(&modes))
}

/// What would do for the crypto API's name of a cipher that needs a mode around it.
fn with_mode(cipher: Option<Cipher>) -> String {
    match cipher {
        Some(cipher) if cipher.is_pair() => format!("write capi:adiantum({})", cipher.name()),
        Some(Cipher::CipherNull) => "write capi:ecb(cipher_null)".into(),
        Some(cipher) if cipher.block_size() == 16 => {
            format!("write capi:xts({0}) or capi:cbc({0})", cipher.name())
        }
        Some(cipher) => format!("write capi:cbc({})", cipher.name()),
        None => "write capi:<mode>(<cipher>), such as capi:xts(aes)".into(),
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |text: &str| {
            let rest = if text.chars().nth(MOST_SHOWN).is_some() { "..." } else { "" };
            format!("\"{}{rest}\"", text.chars().take(MOST_SHOWN).collect::<String>().escape_debug())
        };
        write!(f, "{}: {}", self.message(quote), self.hint())
    }
}

impl std::error::Error for SpecError {}

//! The binary header of LUKS2: 4096 bytes, big-endian, of which there are two copies, each with its JSON area behind it
//! (LUKS2 On-Disk Format Specification, section 2.1).

use subtle::ConstantTimeEq;

use super::json::Text;
use crate::error::{Error, Finding, NO_HASH, shown};
use crate::source::ReadAt;
use udm_crypto::Hash;
use udm_crypto::hash::MAX_DIGEST;

/// The bytes of the binary header alone.
pub const BINARY_SIZE: usize = 4096;
/// The sizes of a header with its JSON area, which are also where the second copy can be.
pub const SIZES: [u64; 9] =
    [16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
/// What the first copy begins with, and LUKS1, too.
pub const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// What the second copy begins with.
pub const SECOND_MAGIC: [u8; 6] = *b"SKUL\xba\xbe";
/// The bytes of the salt of a copy.
pub const SALT_SIZE: usize = 64;
/// The checksum's place.
const CHECKSUM: std::ops::Range<usize> = 448..512;

/// One of the two copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// At the beginning.
    Primary,
    /// Behind it.
    Secondary,
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// A binary header whose checksum is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binary {
    /// The bytes of it and its JSON area: one of [`SIZES`].
    pub header_size: u64,
    /// How often the header was written: the copy with the higher one is the newer.
    pub sequence: u64,
    /// The volume's label, which may be empty.
    pub label: Text,
    /// The label of a second kind.
    pub subsystem: Text,
    /// The hash of the checksum.
    pub checksum: Hash,
    /// The UUID, as text. None of the three need be UTF-8.
    pub uuid: Text,
}

impl Binary {
    /// Reads the copy at byte `offset`: the header, and its JSON area as far as there is text in it.
    ///
    /// # Errors
    /// [`Error::NoHeader`] where there is none, [`Error::Damaged`] where it or its checksum is wrong.
    pub fn read(
        source: &(impl ReadAt + ?Sized),
        which: Which,
        offset: u64,
    ) -> Result<(Self, Vec<u8>), Error> {
        let what = format!("the {which} header");
        let size = source.size().map_err(Error::io(&what))?;
        let fits = |bytes: u64| offset.checked_add(bytes).is_some_and(|end| end <= size);
        if !fits(BINARY_SIZE as u64) {
            return Err(Error::NoHeader);
        }
        let mut bytes = vec![0; BINARY_SIZE];
        source.read_at(offset, &mut bytes).map_err(Error::io(&what))?;
        let header_size = sizes(&bytes, which, offset)?;
        if !fits(header_size) {
            return Err(damaged(
                "hdr_size",
                header_size,
                format!("it ends past the {size} bytes that there are"),
            ));
        }
        bytes.resize(header_size as usize, 0);
        source.read_at(offset, &mut bytes).map_err(Error::io(&what))?;
        let checksum = check_sum(&mut bytes)?;
        let header = Self {
            header_size,
            sequence: number(&bytes, 16),
            label: text(&bytes, 24, 48),
            subsystem: text(&bytes, 208, 48),
            checksum,
            uuid: text(&bytes, 168, 40),
        };
        let json = &bytes[BINARY_SIZE..];
        let end = json.iter().position(|byte| *byte == 0).ok_or_else(|| {
            damaged("JSON area", format!("{} bytes of text", json.len()), "a zero byte must end it")
        })?;
        if json[end..].iter().any(|byte| *byte != 0) {
            return Err(damaged("JSON area", format!("{end} bytes of text"), "zeros alone must follow it"));
        }
        Ok((header, json[..end].to_vec()))
    }
}

impl Binary {
    /// The bytes of one copy with `text` as its JSON. Both copies get the same sequence, and each a salt of its own, so
    /// that their checksums never are the same.
    ///
    /// # Errors
    /// Where the text does not fit.
    pub fn encode(&self, which: Which, text: &[u8], salt: &[u8; SALT_SIZE]) -> Result<Vec<u8>, Error> {
        let room = self.header_size as usize - BINARY_SIZE;
        // A zero byte ends it.
        if text.len() >= room {
            let why = format!("the metadata have room for {} bytes", room - 1);
            let hint = "remove a token or a key slot; --luks2-metadata-size gives new volumes more room";
            return Err(Error::request("JSON area", format!("{} bytes", text.len()), why, hint));
        }
        let mut bytes = vec![0; self.header_size as usize];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let (magic, offset) = match which {
            Which::Primary => (MAGIC, 0),
            Which::Secondary => (SECOND_MAGIC, self.header_size),
        };
        put(0, &magic);
        put(6, &2u16.to_be_bytes());
        put(8, &self.header_size.to_be_bytes());
        put(16, &self.sequence.to_be_bytes());
        put(24, fitting("--label", &self.label, 48)?);
        put(72, self.checksum.name().as_bytes());
        put(104, salt);
        put(168, fitting("--uuid", &self.uuid, 40)?);
        put(208, fitting("--subsystem", &self.subsystem, 48)?);
        put(256, &offset.to_be_bytes());
        put(BINARY_SIZE, text);
        let mut sum = [0; MAX_DIGEST];
        self.checksum.digest_into(&[&bytes], &mut sum);
        bytes[CHECKSUM].copy_from_slice(&sum);
        Ok(bytes)
    }
}

/// The bytes of `text`, which leave at least one of the `room` to the zero byte that ends it.
fn fitting<'a>(field: &str, text: &'a Text, room: usize) -> Result<&'a [u8], Error> {
    let bytes = text.as_bytes();
    if bytes.len() < room && !bytes.contains(&0) {
        return Ok(bytes);
    }
    let why = format!("it has at most {} bytes, none of them zero", room - 1);
    Err(Error::request(field, shown(&text.lossy()), why, "choose a shorter one"))
}

/// Looks at magic, version and place, and gives the size.
fn sizes(bytes: &[u8], which: Which, offset: u64) -> Result<u64, Error> {
    let magic = match which {
        Which::Primary => MAGIC,
        Which::Secondary => SECOND_MAGIC,
    };
    if bytes[..6] != magic {
        return Err(Error::NoHeader);
    }
    let version = u16::from_be_bytes([bytes[6], bytes[7]]);
    if version != 2 {
        return Err(damaged("version", version, "it is 2 in a header of LUKS2"));
    }
    let header_size = number(bytes, 8);
    if !SIZES.contains(&header_size) {
        return Err(damaged("hdr_size", header_size, "it is a power of two from 16 KiB to 4 MiB"));
    }
    let place = number(bytes, 256);
    if place != offset || (which == Which::Secondary && offset != header_size) {
        return Err(damaged("hdr_offset", place, format!("the header is at byte {offset}")));
    }
    Ok(header_size)
}

/// Looks at the checksum of a whole copy, in which it counts as zeros.
fn check_sum(bytes: &mut [u8]) -> Result<Hash, Error> {
    let name = text(bytes, 72, 32);
    let name = name.lossy();
    let hash = Hash::from_luks_name(&name).map_err(|_| damaged("csum_alg", shown(&name), NO_HASH))?;
    let (mut found, mut sum) = ([0; MAX_DIGEST], [0; MAX_DIGEST]);
    found.copy_from_slice(&bytes[CHECKSUM]);
    bytes[CHECKSUM].fill(0);
    hash.digest_into(&[bytes], &mut sum);
    let len = hash.digest_size();
    // It is no secret; the comparison is the one that is used everywhere.
    if !bool::from(found[..len].ct_eq(&sum[..len])) {
        let begin = format!("{}...", base16ct::lower::encode_string(&found[..4]));
        return Err(damaged("csum", begin, format!("the {name} of the header is another")));
    }
    Ok(hash)
}

fn damaged(field: &str, found: impl std::fmt::Display, why: impl Into<String>) -> Error {
    // Where the other copy is good, this one is a notice, which says what would do.
    let hint = "the other copy is not whole either: restore a backup of the header (udm luks header-restore)";
    Error::Damaged(Finding::new(field, found, why, hint))
}

/// The big-endian number of 64 bits at `at`.
fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|index| bytes[at + index]))
}

/// The text at `at`, which ends with a zero byte or with its field.
fn text(bytes: &[u8], at: usize, len: usize) -> Text {
    bytes[at..at + len].split(|byte| *byte == 0).next().unwrap_or_default().into()
}

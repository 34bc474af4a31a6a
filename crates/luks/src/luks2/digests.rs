//! The digests object of the metadata: which keys there are, which key slots hold each, and which segments it enciphers
//! (LUKS2 On-Disk Format Specification, section 3.4).

use base64ct::{Base64, Encoding};

use super::field::Field;
use super::json::Json;
use crate::digest::Digest;
use crate::error::Error;
use crate::kdf::SALT_SIZES;

/// How many digests there may be.
pub const MAX_DIGESTS: u32 = 8;

/// A key, by its digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyDigest {
    /// Its number.
    pub id: u32,
    /// The digest; `None` where its type is not known here.
    pub digest: Option<Digest>,
    /// The key slots that hold the key.
    pub key_slots: Vec<u32>,
    /// The segments that it enciphers; none for a key that is bound to no data.
    pub segments: Vec<u32>,
}

/// Reads the object. What it refers to must be there.
///
/// # Errors
/// At the first that is not as the specification has it.
pub fn read(object: &Field<'_>, key_slots: &[u32], segments: &[u32]) -> Result<Vec<KeyDigest>, Error> {
    let mut digests = Vec::new();
    for (id, field) in object.numbered(MAX_DIGESTS)? {
        digests.push(KeyDigest {
            id,
            digest: digest(&field)?,
            key_slots: field.need("keyslots")?.references(key_slots, "key slot")?,
            segments: field.need("segments")?.references(segments, "segment")?,
        });
    }
    Ok(digests)
}

/// The object of a digest.
pub fn write(digest: &Digest, key_slots: &[u32], segments: &[u32]) -> Json {
    Json::object([
        ("type", "pbkdf2".into()),
        ("keyslots", Json::references(key_slots)),
        ("segments", Json::references(segments)),
        ("hash", digest.hash.luks_name().into()),
        ("iterations", digest.iterations.get().into()),
        ("salt", (&*Base64::encode_string(&digest.salt)).into()),
        ("digest", (&*Base64::encode_string(&digest.digest)).into()),
    ])
}

fn digest(field: &Field<'_>) -> Result<Option<Digest>, Error> {
    if field.need("type")?.word()? != "pbkdf2" {
        return Ok(None);
    }
    let hash = field.need("hash")?.hash()?;
    let iterations = field.need("iterations")?;
    Ok(Some(Digest {
        iterations_field: iterations.path().to_owned(),
        hash,
        iterations: iterations.count()?,
        salt: field.need("salt")?.bytes(SALT_SIZES)?,
        digest: field.need("digest")?.bytes(hash.digest_size()..=hash.digest_size())?,
    }))
}

//! The config object of the metadata: sizes, persistent flags, and what a reader must know (LUKS2 On-Disk Format
//! Specification, section 3.5).

use super::binary::BINARY_SIZE;
use super::field::Field;
use super::json::Json;
use super::keyslots::AREA_ALIGNMENT;
use super::segments::FINISH;
use crate::error::Error;
use crate::segment::ActivationFlags;

/// The most bytes of all areas of key slots.
pub const MAX_AREAS: u64 = 128 << 20;

/// What the config object says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The bytes of all areas of key slots.
    pub keyslots_size: u64,
    /// The persistent flags, as they are written.
    pub flags: Vec<String>,
    /// What a reader must know, as it is written.
    pub requirements: Vec<String>,
}

impl Config {
    /// Reads the object of a header of `header_size` bytes.
    ///
    /// # Errors
    /// At the first that is not as the specification has it.
    pub fn read(object: &Field<'_>, header_size: u64) -> Result<Self, Error> {
        let json_size = object.need("json_size")?;
        if json_size.long()? != header_size - BINARY_SIZE as u64 {
            return Err(json_size.damaged(format!("the header has {header_size} bytes with it")));
        }
        let keyslots_size = object.need("keyslots_size")?;
        let size = keyslots_size.long()?;
        if size > MAX_AREAS || !size.is_multiple_of(AREA_ALIGNMENT) {
            let why = format!("it is a multiple of {AREA_ALIGNMENT}, up to {MAX_AREAS}");
            return Err(keyslots_size.damaged(why));
        }
        let words = |field: Option<Field<'_>>| -> Result<Vec<String>, Error> {
            let Some(field) = field else { return Ok(Vec::new()) };
            field.items()?.map(|item| Ok(item.text()?.into_owned())).collect()
        };
        let requirements = match object.get("requirements")? {
            Some(requirements) => words(requirements.get("mandatory")?)?,
            None => Vec::new(),
        };
        Ok(Self { keyslots_size: size, flags: words(object.get("flags")?)?, requirements })
    }

    /// The requirement of a reencryption that is under way, where there is one.
    pub fn reencryption(&self) -> Option<&str> {
        let is_one = |name: &&String| name.contains("line-reencrypt");
        self.requirements.iter().find(is_one).map(String::as_str)
    }

    /// What the flags mean for activation.
    pub fn activation(&self) -> ActivationFlags {
        ActivationFlags::from_names(&self.flags)
    }
}

/// The object of a new header.
pub(crate) fn write(header_size: u64, keyslots_size: u64) -> Json {
    Json::object([
        ("json_size", Json::long(header_size - BINARY_SIZE as u64)),
        ("keyslots_size", Json::long(keyslots_size)),
    ])
}

/// Why a volume that has this requirement is not opened, and what would do.
pub(super) fn refusal(requirement: &str) -> (&'static str, &'static str) {
    let is = |name: &str| requirement == name || requirement.starts_with(&format!("{name}-v"));
    if is("online-reencrypt") {
        ("a reencryption is under way, and udm does not go on with one yet", FINISH)
    } else if is("offline-reencrypt") {
        ("an offline reencryption is under way", "finish it with the cryptsetup-reencrypt that began it")
    } else if is("inline-hw-tags") {
        (
            "its tags are kept by the drive's own hardware",
            "open it on that drive, with cryptsetup 2.8 or newer",
        )
    } else if is("opal") {
        ("the drive itself encrypts it (OPAL)", "open it on that drive, with cryptsetup 2.7 or newer")
    } else {
        (
            "udm does not know this requirement, and without it the data would be read wrongly",
            "use a newer cryptsetup",
        )
    }
}

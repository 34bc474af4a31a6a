//! The keyslots object of the metadata (LUKS2 On-Disk Format Specification, section 3.2).

use std::ops::Range;

use base64ct::{Base64, Encoding};

use super::field::Field;
use super::json::Json;
use crate::error::{Error, Finding};
use crate::kdf::{Argon2Kind, KIB_A_LANE, Kdf, SALT_SIZES};
use crate::keyslot::{Area, KeySlot, MAX_KEY_SIZE, MAX_MATERIAL, MAX_STRIPES, Priority};

/// How many key slots there may be.
pub const MAX_SLOTS: u32 = 32;
/// What areas of key slots lie on multiples of, in bytes.
pub const AREA_ALIGNMENT: u64 = 4096;

/// A member of the keyslots object.
///
/// All kinds of them may have an area, also those that are not known here: see [`areas`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slot {
    /// One that a passphrase opens.
    Key(KeySlot),
    /// One that a passphrase opens, by what is not done here. It stays as it is, and others open all the same.
    Unsupported(Box<Finding>),
    /// What a reencryption that is under way keeps its state in.
    Reencrypt,
    /// One of a type that is not known here. It stays as it is.
    Other(String),
}

impl Slot {
    /// The key slot, where it is one.
    pub fn key(&self) -> Option<&KeySlot> {
        match self {
            Self::Key(slot) => Some(slot),
            _ => None,
        }
    }
}

/// Reads the object. Areas must lie within `place`, and none on another.
///
/// # Errors
/// At the first that is not as the specification has it.
pub fn read(object: &Field<'_>, place: &Range<u64>) -> Result<Vec<(u32, Slot)>, Error> {
    let mut slots = Vec::new();
    let mut areas: Vec<(Range<u64>, u32)> = Vec::new();
    for (id, field) in object.numbered(MAX_SLOTS)? {
        let slot = match &*field.need("type")?.text()? {
            "luks2" => match key_slot(id, &field) {
                Ok(slot) => Slot::Key(slot),
                Err(Error::Unsupported(finding)) => Slot::Unsupported(finding),
                Err(error) => return Err(error),
            },
            "reencrypt" => Slot::Reencrypt,
            other => Slot::Other(other.to_owned()),
        };
        if let Some(area) = field.get("area")? {
            let range = area_range(&area, place)?;
            let other = areas.iter().find(|(other, _)| other.start < range.end && range.start < other.end);
            if let Some((_, other)) = other {
                let why = format!("its area overlaps that of key slot {other}");
                return Err(area.need("offset")?.damaged(why));
            }
            areas.push((range, id));
        }
        slots.push((id, slot));
    }
    Ok(slots)
}

/// The areas of all key slots, of whatever type they are, as far as they were read before.
pub fn areas(object: &Json) -> Vec<Range<u64>> {
    let Json::Object(slots) = object else { return Vec::new() };
    slots.iter().filter_map(|(_, slot)| area_of(slot)).collect()
}

/// The area of one key slot, where it has one.
pub fn area_of(slot: &Json) -> Option<Range<u64>> {
    let area = slot.get("area")?;
    let long = |name| area.get(name)?.as_str()?.parse::<u64>().ok();
    let (offset, size) = (long("offset")?, long("size")?);
    Some(offset..offset.checked_add(size)?)
}

/// The object of `slot`.
pub fn write(slot: &KeySlot) -> Json {
    let mut object = Json::object([
        ("type", "luks2".into()),
        ("key_size", (slot.key_size as u32).into()),
        (
            "af",
            Json::object([
                ("type", "luks1".into()),
                ("stripes", (slot.stripes as u32).into()),
                ("hash", slot.af_hash.luks_name().into()),
            ]),
        ),
        (
            "area",
            Json::object([
                ("type", "raw".into()),
                ("offset", Json::long(slot.area.offset)),
                ("size", Json::long(slot.area.size)),
                ("encryption", (&*slot.area.encryption).into()),
                ("key_size", (slot.area.key_size as u32).into()),
            ]),
        ),
        ("kdf", write_kdf(&slot.kdf)),
    ]);
    set_priority(&mut object, slot.priority);
    object
}

/// Sets the priority of a key slot's object. The normal one is not said, as cryptsetup does not.
pub fn set_priority(slot: &mut Json, priority: Priority) {
    match priority {
        Priority::Ignore => slot.set("priority", 0.into()),
        Priority::Normal => drop(slot.remove("priority")),
        Priority::Prefer => slot.set("priority", 2.into()),
    }
}

fn write_kdf(kdf: &Kdf) -> Json {
    let salt = Json::from(&*Base64::encode_string(kdf.salt()));
    match kdf {
        Kdf::Pbkdf2 { hash, iterations, .. } => Json::object([
            ("type", kdf.name().into()),
            ("hash", hash.luks_name().into()),
            ("iterations", iterations.get().into()),
            ("salt", salt),
        ]),
        Kdf::Argon2 { time, memory_kib, lanes, .. } => Json::object([
            ("type", kdf.name().into()),
            ("time", time.get().into()),
            ("memory", (*memory_kib).into()),
            ("cpus", lanes.get().into()),
            ("salt", salt),
        ]),
    }
}

/// Where an area is, which must be within `place`.
fn area_range(area: &Field<'_>, place: &Range<u64>) -> Result<Range<u64>, Error> {
    let (offset, size) = (area.need("offset")?, area.need("size")?);
    let (start, length) = (offset.long()?, size.long()?);
    if !start.is_multiple_of(AREA_ALIGNMENT) {
        return Err(offset.damaged(format!("areas begin at multiples of {AREA_ALIGNMENT}")));
    }
    if length == 0 || !length.is_multiple_of(AREA_ALIGNMENT) {
        return Err(
            size.damaged(format!("areas have a multiple of {AREA_ALIGNMENT} bytes, and at least that"))
        );
    }
    if start < place.start || start >= place.end {
        let why = format!("areas of key slots lie from byte {} to {}", place.start, place.end);
        return Err(offset.damaged(why));
    }
    match start.checked_add(length).filter(|end| *end <= place.end) {
        Some(end) => Ok(start..end),
        None => Err(size.damaged(format!("the area ends past byte {}, where all of them end", place.end))),
    }
}

/// The whole number that cryptsetup reads in a value of any kind: a string may have one, and what has none is 0.
fn whole(value: &Json) -> i64 {
    let leading = |text: &str| {
        let text = text.trim_start();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
        text[..text.len() - digits.len() + len].parse().unwrap_or(0)
    };
    match value {
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => leading(number.as_str()),
        Json::String(text) => leading(&text.lossy()),
        Json::Null | Json::Array(_) | Json::Object(_) => 0,
    }
}

/// Reads a key slot of the type luks2.
fn key_slot(id: u32, field: &Field<'_>) -> Result<KeySlot, Error> {
    let priority = match field.get("priority")? {
        None => Priority::Normal,
        Some(priority) => match whole(priority.value()) {
            1 => Priority::Normal,
            2 => Priority::Prefer,
            // cryptsetup tries those of other numbers only where they are named, too.
            _ => Priority::Ignore,
        },
    };
    let key_size = field.need("key_size")?.number(1, MAX_KEY_SIZE as u32)? as usize;
    let af = field.need("af")?;
    let kind = af.need("type")?;
    if kind.word()? != "luks1" {
        return Err(
            kind.unsupported("the only anti-forensic splitter here is luks1", "use a newer cryptsetup")
        );
    }
    let stripes = af.need("stripes")?.number(1, MAX_STRIPES as u32)? as usize;
    let area = area(&field.need("area")?, key_size, stripes)?;
    Ok(KeySlot {
        id,
        path: field.path().to_owned(),
        priority,
        key_size,
        kdf: kdf(&field.need("kdf")?)?,
        af_hash: af.need("hash")?.hash()?,
        stripes,
        area,
    })
}

/// Reads an area, which must have room for the stripes.
fn area(field: &Field<'_>, key_size: usize, stripes: usize) -> Result<Area, Error> {
    let kind = field.need("type")?;
    if kind.word()? != "raw" {
        return Err(kind.unsupported("the only area of a key slot here is raw", "use a newer cryptsetup"));
    }
    let size = field.need("size")?;
    let area = Area {
        offset: field.need("offset")?.long()?,
        size: size.long()?,
        encryption: field.need("encryption")?.word()?.into_owned(),
        key_size: field.need("key_size")?.number(1, MAX_KEY_SIZE as u32)? as usize,
    };
    let material = (key_size * stripes).next_multiple_of(udm_block::SECTOR_SIZE);
    if material > MAX_MATERIAL || (material as u64) > area.size {
        let why = format!("{stripes} stripes of {key_size} bytes need {material}");
        return Err(size.damaged(why));
    }
    Ok(area)
}

/// Reads a key derivation.
fn kdf(field: &Field<'_>) -> Result<Kdf, Error> {
    let kind = field.need("type")?;
    let salt = field.need("salt")?.bytes(SALT_SIZES)?;
    let argon2 = |kind| -> Result<Kdf, Error> {
        let lanes = field.need("cpus")?;
        let lanes = (lanes.count()?, lanes);
        let memory = field.need("memory")?;
        let memory_kib = memory.number(1, u32::MAX)?;
        if lanes.0.get() >= 1 << 24 {
            return Err(lanes.1.damaged("Argon2 has fewer than 2^24 lanes"));
        }
        let least = lanes.0.get() * KIB_A_LANE;
        if memory_kib < least {
            return Err(memory.damaged(format!("{} lanes need {least} KiB", lanes.0)));
        }
        Ok(Kdf::Argon2 {
            kind,
            time: field.need("time")?.count()?,
            memory_kib,
            lanes: lanes.0,
            salt: salt.clone(),
        })
    };
    match &*kind.word()? {
        "pbkdf2" => Ok(Kdf::Pbkdf2 {
            hash: field.need("hash")?.hash()?,
            iterations: field.need("iterations")?.count()?,
            salt,
        }),
        "argon2i" => argon2(Argon2Kind::I),
        "argon2id" => argon2(Argon2Kind::Id),
        _ => Err(kind.unsupported(
            "the key derivations here are pbkdf2, argon2i and argon2id",
            "use a newer cryptsetup",
        )),
    }
}

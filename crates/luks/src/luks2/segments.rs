//! The segments object of the metadata: where the data are (LUKS2 On-Disk Format Specification, section 3.3).

use super::field::Field;
use super::json::Json;
use crate::error::Error;
use crate::segment::Segment;
use udm_block::SECTOR_SIZE;

/// How many segments there may be.
pub const MAX_SEGMENTS: u32 = 32;
/// The sizes of a sector that dm-crypt has.
pub const SECTOR_SIZES: [u32; 4] = [512, 1024, 2048, 4096];
/// Flags of segments that a reencryption keeps for its end, and that are not data now.
const BACKUP: &str = "backup-";
/// What would do about a reencryption under way.
pub(crate) const FINISH: &str = "finish it with cryptsetup reencrypt --resume-only";

/// A member of the segments object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number.
    pub id: u32,
    /// Its type: `crypt`, `linear`, or one that is not known here.
    pub kind: String,
    /// What dm-crypt would make of it, where its type is `crypt`.
    pub segment: Option<Segment>,
    /// What it is authenticated with, where it is.
    pub integrity: Option<String>,
    /// Its flags.
    pub flags: Vec<String>,
}

impl Entry {
    /// Whether it is data now.
    pub fn is_active(&self) -> bool {
        !self.flags.iter().any(|flag| flag.starts_with(BACKUP))
    }
}

/// Reads the object. The areas of key slots end at byte `end`, before the data, unless these begin at 0: then they are on
/// another device.
///
/// # Errors
/// At the first that is not as the specification has it.
pub fn read(object: &Field<'_>, end: u64) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for (id, field) in object.numbered(MAX_SEGMENTS)? {
        let entry = entry(id, &field)?;
        let data = entry.segment.as_ref().filter(|_| entry.is_active());
        if data.is_some_and(|data| data.offset != 0 && data.offset < end) {
            let why = format!("the areas of key slots end only at byte {end}, and would be written over it");
            return Err(field.need("offset")?.damaged(why));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The object of a crypt segment.
pub fn write(segment: &Segment) -> Json {
    Json::object([
        ("type", "crypt".into()),
        ("offset", Json::long(segment.offset)),
        ("size", segment.size.map_or("dynamic".into(), Json::long)),
        ("iv_tweak", Json::long(segment.iv_tweak)),
        ("encryption", (&*segment.encryption).into()),
        ("sector_size", segment.sector_size.into()),
    ])
}

fn entry(id: u32, field: &Field<'_>) -> Result<Entry, Error> {
    let kind = field.need("type")?.text()?.into_owned();
    let mut flags = Vec::new();
    if let Some(field) = field.get("flags")? {
        for flag in field.items()? {
            flags.push(flag.text()?.into_owned());
        }
    }
    let integrity = match field.get("integrity")? {
        Some(integrity) => Some(integrity.need("type")?.text()?.into_owned()),
        None => None,
    };
    let segment = if kind == "crypt" { Some(crypt(field)?) } else { None };
    Ok(Entry { id, kind, segment, integrity, flags })
}

fn crypt(field: &Field<'_>) -> Result<Segment, Error> {
    let size_field = field.need("sector_size")?;
    let sector_size = size_field.number(512, 4096)?;
    if !SECTOR_SIZES.contains(&sector_size) {
        return Err(size_field.damaged("a sector has 512, 1024, 2048 or 4096 bytes"));
    }
    let unit = u64::from(sector_size);
    let offset = field.need("offset")?;
    let start = offset.long()?;
    if !start.is_multiple_of(unit) {
        return Err(offset.damaged(format!("it must be a multiple of the sector size, {unit}")));
    }
    let size_field = field.need("size")?;
    let size = if size_field.word()? == "dynamic" {
        None
    } else {
        let size = size_field.long()?;
        if size == 0 || !size.is_multiple_of(unit) {
            return Err(
                size_field.damaged(format!("it must be a multiple of the sector size, {unit}, and not 0"))
            );
        }
        Some(size)
    };
    if start.checked_add(size.unwrap_or(unit)).is_none_or(|end| end > i64::MAX as u64) {
        return Err(offset.damaged("the segment ends past 2^63 bytes, where every device ends"));
    }
    let tweak = field.need("iv_tweak")?;
    let iv_tweak = tweak.long()?;
    if !iv_tweak.is_multiple_of(unit / SECTOR_SIZE as u64) {
        return Err(tweak.damaged(format!("it must be a multiple of the sector size, {unit}")));
    }
    let encryption = field.need("encryption")?;
    if encryption.word()?.is_empty() {
        return Err(encryption.damaged("the cipher has no name"));
    }
    Ok(Segment { offset: start, size, encryption: encryption.word()?.into_owned(), iv_tweak, sector_size })
}

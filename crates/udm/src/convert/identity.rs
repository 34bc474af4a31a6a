//! What identifies the two sides of a conversion, so that nothing else is taken for them when it goes on.
//!
//! A regular file is identified by its number and by when it was made (a number is given to another file when the first
//! one is gone), and a source also by when it was changed. Nobody can tell whether a block device, an export of an NBD
//! server, or what a table maps has changed: where such a side takes part, what was copied is compared before the
//! conversion goes on.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use udm_backend::name_of;

use super::error::ConvertError;
use super::name::Name;
use crate::device::{DeviceName, Place};
use base16ct::lower::encode_string;

/// Fields that may change for a good reason: the number of a file system at another boot, the time at which a file got
/// other rights. Where they differ, nothing is certain.
const SOFT: [&str; 2] = ["device", "changed"];

/// What one side is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// For the journal.
    pub(super) value: Value,
    /// Why nobody can tell whether its bytes have changed, where that is so.
    pub(super) unsure: Option<&'static str>,
}

impl Identity {
    /// A side of this kind at `path`, if it is at one. A source must not change.
    pub(super) fn new(
        mut value: Value,
        name: &Name,
        path: Option<&Path>,
        is_source: bool,
    ) -> Result<Self, ConvertError> {
        let unsure = match name {
            Name::Device(name) if name.path().is_none() => {
                Some("an NBD server does not say whether its export has changed")
            }
            Name::Table(_) => Some("a table does not say whether its devices have changed"),
            Name::Device(_) => None,
        };
        let Some(path) = path else { return Ok(Self { value, unsure }) };
        let found = fs::metadata(path).map_err(ConvertError::file(path, "cannot be looked at"))?;
        if !found.is_file() {
            return Ok(Self { value, unsure: Some("a block device does not say whether it has changed") });
        }
        add_file(&mut value, &found);
        if is_source {
            value["modified"] = json!(modified(&found));
            value["changed"] = json!(format!("{}.{:09}", found.ctime(), found.ctime_nsec()));
        }
        Ok(Self { value, unsure })
    }
}

/// Adds what identifies a regular file, whatever it is called.
pub(super) fn add_file(value: &mut Value, found: &Metadata) {
    let born = found.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    value["inode"] = json!(found.ino());
    value["born"] = json!(born.map(|born| format!("{}.{:09}", born.as_secs(), born.subsec_nanos())));
    value["device"] = json!(found.dev());
}

/// When a file was changed last.
pub(super) fn modified(found: &Metadata) -> String {
    format!("{}.{:09}", found.mtime(), found.mtime_nsec())
}

/// Whether a file is the one that `value` is about.
pub(super) fn is_file(value: &Value, found: &Metadata) -> bool {
    let mut now = json!({});
    add_file(&mut now, found);
    // Without the time at which it was made, its number must do, with that of the file system.
    let told = |field: &str| value[field] == now[field];
    found.is_file() && told("inode") && told("born") && (!now["born"].is_null() || told("device"))
}

/// Whether a side is what it was: why nothing is certain, where that is so.
///
/// # Errors
/// What differs, where it is something else.
pub(super) fn compare(side: &str, then: &Value, now: &Identity) -> Result<Option<String>, String> {
    let fields = || now.value.as_object().into_iter().flat_map(|fields| fields.keys());
    let differs = |field: &&String| then[*field] != now.value[*field];
    if let Some(field) = fields().filter(|field| !SOFT.contains(&field.as_str())).find(differs) {
        return Err(difference(side, field, &then[field], &now.value[field]));
    }
    let soft = fields().find(differs).map(|field| match field.as_str() {
        "device" => format!("the {side}: its file system has another number than before"),
        _ => format!("the {side}: its owner, rights or links have changed"),
    });
    Ok(soft.or(now.unsure.map(|why| format!("the {side}: {why}"))))
}

/// A field that differs, in words.
fn difference(side: &str, field: &str, then: &Value, now: &Value) -> String {
    match field {
        "size" => format!("the {side} had {then} bytes, and has {now} now"),
        "modified" => format!("the {side} was written to since"),
        "inode" | "born" => format!("the {side} is another file, which has the old one's name"),
        "table" => format!("the {side} has another volume key, or other devices"),
        _ => format!("the {side} differs in {field}, which was {then} and is {now} now"),
    }
}

/// What a side is called, whatever is there.
pub(super) fn name(name: &Name) -> String {
    match name {
        Name::Device(DeviceName::Raw(Place::Path(path))) => format!("raw:{}", name_of(&resolved(path))),
        Name::Device(DeviceName::Luks(Place::Path(path))) => name_of(&resolved(path)),
        Name::Device(name) => name.to_string(),
        Name::Table(text) => format!("the table {}", digest(text)),
    }
}

/// What tells a table from others. It is made with the key: who has the ciphertext can try keys on that as well.
pub(super) fn digest(text: &str) -> String {
    encode_string(&Sha256::new().chain_update("udm convert\0").chain_update(text.as_bytes()).finalize())
}

/// The one path of a file that may not be there yet.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        Some(folder.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.into())
}

//! What is known of a conversion that was interrupted: a small file beside the destination.
//!
//! It says what is converted into what, and up to where that is durable. It is written anew and renamed each time, so that
//! there is a whole one at any moment.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::ConvertError;

/// The longest file that is one, in bytes.
const LONGEST: u64 = 64 << 10;
/// What stands in each.
const FORMAT: &str = "udm convert, 1";

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    identity: Value,
}

/// What was found in it.
#[derive(Debug)]
pub(super) struct Found {
    /// What was converted into what.
    pub(super) identity: Value,
    /// All before this byte is durable.
    pub(super) position: u64,
}

impl Journal {
    /// The file at `path`, of the conversion of `identity`; it is not written yet.
    pub(super) fn new(path: PathBuf, identity: Value) -> Self {
        Self { path, identity }
    }

    /// What is in the file, where there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub(super) fn find(path: &Path) -> Result<Option<Found>, ConvertError> {
        let mut text = String::new();
        match File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ConvertError::file(path, "cannot be read")(error)),
        }
        let found: Option<Value> = serde_json::from_str(&text).ok();
        let found = found.filter(|value| value["format"] == FORMAT).and_then(|mut value| {
            let position = value["position"].as_u64()?;
            Some(Found { identity: value["identity"].take(), position })
        });
        let what = format!(
            "{} is no record of a conversion by this version of udm; --force begins anew without it",
            path.display()
        );
        found.map(Some).ok_or(ConvertError::Request(what))
    }

    /// Remembers that all before byte `position` is durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn record(&self, position: u64) -> Result<(), ConvertError> {
        let told = json!({ "format": FORMAT, "identity": self.identity, "position": position });
        let new = beside(&self.path, ".new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(format!("{told:#}\n").as_bytes())?;
            file.sync_data()
        });
        written
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(ConvertError::file(&self.path, "cannot be written"))
    }

    /// Forgets the conversion, which is done.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn remove(self) -> Result<(), ConvertError> {
        remove(&self.path)
    }
}

/// Removes a file that may be there.
pub(super) fn remove(path: &Path) -> Result<(), ConvertError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(ConvertError::file(path, "cannot be removed")(error))
        }
        _ => Ok(()),
    }
}

/// The path with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Found {
    /// Whether it is of the conversion of `identity`.
    ///
    /// # Errors
    /// What differs, where it is not.
    pub(super) fn check(&self, identity: &Value, path: &Path) -> Result<(), ConvertError> {
        for side in ["source", "destination"] {
            let (then, now) = (&self.identity[side], &identity[side]);
            let fields = now.as_object().into_iter().flat_map(|fields| fields.keys());
            if let Some(field) = fields.clone().find(|field| then[*field] != now[*field]) {
                return Err(ConvertError::Request(format!(
                    "{} is of another conversion: of the {side}, {field} was {}, and is {} now; \
                     --force begins anew",
                    path.display(),
                    then[field],
                    now[field],
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_found_and_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.udm-convert");
        assert!(Journal::find(&path).unwrap().is_none());
        let identity = json!({ "source": { "kind": "raw", "size": 7 }, "destination": { "kind": "luks" } });
        let journal = Journal::new(path.clone(), identity.clone());
        for position in [0, 1 << 40] {
            journal.record(position).unwrap();
            let found = Journal::find(&path).unwrap().unwrap();
            assert_eq!(found.position, position);
            found.check(&identity, &path).unwrap();
            let mut other = identity.clone();
            other["source"]["size"] = json!(8);
            let told = found.check(&other, &path).unwrap_err().to_string();
            assert!(told.contains("of the source, size was 7, and is 8 now"), "{told}");
        }
        journal.remove().unwrap();
        assert!(Journal::find(&path).unwrap().is_none());
        for other in ["", "{}", "{\"format\": \"udm convert, 2\", \"position\": 1}", "disk"] {
            fs::write(&path, other).unwrap();
            let told = Journal::find(&path).unwrap_err().to_string();
            assert!(told.contains("no record of a conversion"), "{told}");
        }
    }
}

//! A file that is made: it has another name until it is whole, so what is at the destination's name is a whole conversion
//! or none. Nothing that is there already is taken for it, or replaced by it, but what the user said.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::error::ConvertError;
use super::identity::{self, add_file, resolved};
use super::journal::{Record, beside};
use super::lock::lock;

/// Behind the name of a file that is not whole yet.
const PART: &str = ".udm-part";

/// A file that is made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// What it will be called.
    pub(super) path: PathBuf,
    /// What it is called until then.
    pub(super) part: PathBuf,
}

impl Made {
    /// The file that will be at `path`, or where that leads to.
    pub(super) fn at(path: &Path) -> Self {
        let path = resolved(path);
        Self { part: beside(&path, PART), path }
    }

    /// Makes it, empty; with `mode` as far as the user's mask permits.
    pub(super) fn create(&self, mode: u32) -> Result<File, ConvertError> {
        let file = File::options().read(true).write(true).create_new(true).mode(mode).open(&self.part);
        file.map_err(ConvertError::file(&self.part, "cannot be made"))
    }

    /// Gives it `size` bytes that read as zeros.
    pub(super) fn lengthen(&self, file: &File, size: u64) -> Result<(), ConvertError> {
        file.set_len(size).map_err(ConvertError::file(&self.part, "cannot have the size of the source"))
    }

    /// Takes all of its room, so that there is none missing later: what is encrypted has no holes.
    pub(super) fn reserve(&self, file: &File, size: u64) -> Result<(), ConvertError> {
        match fallocate(file, FallocateFlags::empty(), 0, size) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(()),
            Err(error) => Err(ConvertError::NoRoom { path: self.path.clone(), size, source: error.into() }),
        }
    }

    /// Removes what an earlier conversion left, of which the record is `left`.
    ///
    /// # Errors
    /// When what is there is not that conversion's, or is in use.
    pub(super) fn clear(&self, left: Option<&Record>) -> Result<(), ConvertError> {
        let failed = || ConvertError::file(&self.part, "cannot be replaced");
        let there = match fs::symlink_metadata(&self.part) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed()(error)),
        };
        if !left.is_some_and(|left| left.has_made(&there)) {
            return Err(ConvertError::Request(format!(
                "{} is there, and no record says that this conversion made it, so it is left as it is: move it away, or \
                 name the record with --journal",
                self.part.display()
            )));
        }
        File::open(&self.part).and_then(|file| lock(&file)).map_err(failed())?;
        fs::remove_file(&self.part).map_err(failed())
    }

    /// What identifies the file that it will replace, where there is one.
    pub(super) fn replaces(&self) -> Value {
        fs::metadata(&self.path).map_or(Value::Null, |there| {
            let mut value = json!({});
            add_file(&mut value, &there);
            value
        })
    }

    /// Gives it its name, durably: it is whole. It replaces `replaces`, and nothing else.
    pub(super) fn finish(&self, replaces: &Value) -> Result<(), ConvertError> {
        let meanwhile = || {
            let why = format!("another file was made there; what was converted is {}", self.part.display());
            let error = io::Error::new(ErrorKind::AlreadyExists, why);
            ConvertError::file(&self.path, "is not replaced")(error)
        };
        match fs::symlink_metadata(&self.path) {
            Ok(there) if !identity::is_file(replaces, &there) => return Err(meanwhile()),
            Ok(_) => fs::rename(&self.part, &self.path),
            Err(_) => match renameat_with(CWD, &self.part, CWD, &self.path, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => return Err(meanwhile()),
                // A file system that cannot promise it.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(&self.part, &self.path),
                renamed => renamed.map_err(io::Error::from),
            },
        }
        .map_err(ConvertError::file(&self.part, "cannot be renamed"))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(ConvertError::file(folder, "cannot be made durable"))
    }
}

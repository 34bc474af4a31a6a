//! A file that is being made: it has its name when it is whole.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use tempfile::{Builder, NamedTempFile};

/// A file that is being made.
#[derive(Debug)]
pub enum Unfinished {
    /// It gets its name in the end. Nothing is left of it, however the process ends.
    Nameless(File),
    /// The same where the file system has no such files.
    Named(NamedTempFile),
    /// A pipe, a terminal or a device such as /dev/null, of which nothing can be lost.
    Stream(File),
}

impl Unfinished {
    /// A file without a name in the folder of `path`, with `mode` as far as the user's mask permits; with another name where
    /// the file system has no such files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).mode(mode).custom_flags(OFlags::TMPFILE.bits() as i32);
        match options.open(folder(path)) {
            Ok(file) if fs::metadata(by_number(&file)).is_ok() => Ok(Self::Nameless(file)),
            // The file system has no such files, or there is no /proc to name one by.
            _ => Self::create_named(path, mode),
        }
    }

    /// The same with another name, on every file system.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_named(path: &Path, mode: u32) -> io::Result<Self> {
        let permissions = fs::Permissions::from_mode(mode);
        Ok(Self::Named(temporary(path).permissions(permissions).tempfile_in(folder(path))?))
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        match self {
            Self::Nameless(file) | Self::Stream(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    /// Makes it durable, and gives it its name. What has the name is replaced, or is an error.
    ///
    /// # Errors
    /// When it cannot be made durable or named.
    pub fn give_name(self, path: &Path, replaces: bool) -> io::Result<File> {
        match self {
            Self::Stream(file) => Ok(file),
            Self::Nameless(file) => {
                file.sync_all()?;
                if replaces {
                    let named = temporary(path).make_in(folder(path), |name| link(&file, name))?;
                    named.into_temp_path().persist(path).map_err(|error| error.error)?;
                } else {
                    link(&file, path)?;
                }
                Ok(file)
            }
            Self::Named(file) => {
                file.as_file().sync_all()?;
                let (file, name) = file.into_parts();
                let named = if replaces { name.persist(path) } else { name.persist_noclobber(path) };
                named.map(|()| file).map_err(|error| error.error)
            }
        }
    }
}

/// Names for what is not whole, which tell what it would have been.
fn temporary(path: &Path) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    if let Some(name) = path.file_name() {
        builder.prefix(name);
    }
    builder.suffix(".udm-part");
    builder
}

/// Gives a file without a name one that nothing else has.
fn link(file: &File, name: &Path) -> io::Result<()> {
    Ok(linkat(CWD, by_number(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

fn by_number(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// When the file system cannot, or does not sync folders: then it may need none.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

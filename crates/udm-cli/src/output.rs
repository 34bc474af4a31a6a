//! What a command writes for its user: stdout, or a file that is there when it is whole, and that replaces nothing unless it
//! was asked to.

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, StdoutLock, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use udm::unfinished::{Unfinished, sync_folder};

use crate::failure::Failure;
use crate::input::{FileId, was_closed};

/// Stdout, which is not what Rust's runtime opens where it is closed: what is written there would be lost without a word.
pub(crate) fn stdout() -> Result<StdoutLock<'static>, Failure> {
    if was_closed(1) {
        return Err(Failure::work("stdout is closed: there is nowhere to write to"));
    }
    Ok(io::stdout().lock())
}

/// What becomes of a file that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Existing {
    /// It stays, and nothing is written; the word of the command line that would replace it, where there is one.
    Refuse(Option<&'static str>),
    /// It is replaced, all at once, when the new one is whole.
    Replace,
}

impl Existing {
    /// As the flag `--force` says.
    pub(crate) fn forced(force: bool) -> Self {
        if force { Self::Replace } else { Self::Refuse(Some("--force")) }
    }
}

/// A file that is being written. It has no name, or one of its own, until it is finished; when it is not, nothing is left of
/// it.
pub(crate) struct Output {
    path: PathBuf,
    existing: Existing,
    file: Unfinished,
}

impl Output {
    /// Begins to write the file at `path`, with `mode` as far as the user's mask permits. It is none of `read`, which the
    /// command reads.
    ///
    /// # Errors
    /// When something is there that stays.
    pub(crate) fn create(
        path: &Path,
        mode: u32,
        existing: Existing,
        read: &[FileId],
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::work(format!("{}: {error}", path.display()));
        let refused = |why: String| Failure::request(format!("{} {why}", path.display()));
        let file = match fs::metadata(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Err(_) if path.is_symlink() => {
                return Err(refused("is a symbolic link to nothing: name the file itself".into()));
            }
            Err(_) => None,
            Ok(found) => existing_file(path, found.file_type(), existing, read).map_err(refused)?,
        };
        if let Some(stream) = file {
            let file = Unfinished::Stream(stream.map_err(failed)?);
            return Ok(Self { path: path.into(), existing, file });
        }
        // A link stays, and what it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let file = Unfinished::create(&path, mode).map_err(failed)?;
        Ok(Self { path, existing, file })
    }

    /// Makes it durable, and gives it its name.
    ///
    /// # Errors
    /// When it cannot be written, or something is at its name by now.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let path = self.path.clone();
        let replaces = self.existing == Existing::Replace;
        let finished = self.file().flush().and_then(|()| self.file.give_name(&path, replaces).map(drop));
        // A file system may not sync its folders: then it needs none.
        let _ = sync_folder(&path);
        finished.map_err(|error| Failure::work(format!("{}: {error}", path.display())))
    }

    /// The file, as far as it is.
    pub(crate) fn file(&mut self) -> &mut File {
        self.file.file()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

/// What is at `path`, where it can be written to as it is; nothing, where it is replaced; or why it stays.
fn existing_file(
    path: &Path,
    kind: FileType,
    existing: Existing,
    read: &[FileId],
) -> Result<Option<io::Result<File>>, String> {
    if kind.is_fifo() || kind.is_char_device() {
        return Ok(Some(File::options().write(true).open(path)));
    }
    if kind.is_block_device() {
        return Err("is a block device: udm convert writes to these".into());
    }
    if !kind.is_file() {
        return Err(format!("is {}: name a file", if kind.is_dir() { "a folder" } else { "no file" }));
    }
    match existing {
        Existing::Refuse(None) => Err("is there already: name a file that is not".into()),
        Existing::Refuse(Some(word)) => Err(format!("is there already: {word} replaces it")),
        Existing::Replace if FileId::of(path).is_some_and(|id| read.contains(&id)) => {
            Err("is what is read: name another file".into())
        }
        Existing::Replace => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Both kinds of unfinished files, as not every file system has both.
    fn outputs(path: &Path, existing: Existing) -> [Output; 2] {
        let named = Unfinished::create_named(path, 0o600).unwrap();
        let named = Output { path: path.into(), existing, file: named };
        [Output::create(path, 0o600, existing, &[]).unwrap(), named]
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_replaces_none_that_came_meanwhile() {
        for kind in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("made");
            let mut output = outputs(&path, Existing::Refuse(None)).into_iter().nth(kind).unwrap();
            output.write_all(b"whole").unwrap();
            assert!(!path.exists());
            output.finish().unwrap();
            assert_eq!(
                (fs::read(&path).unwrap(), names(folder.path())),
                (b"whole".into(), vec!["made".into()])
            );
            assert!(Output::create(&path, 0o600, Existing::Refuse(None), &[]).is_err());

            let path = folder.path().join("raced");
            let output = outputs(&path, Existing::Refuse(None)).into_iter().nth(kind).unwrap();
            fs::write(&path, "of somebody else").unwrap();
            assert!(output.finish().is_err());
            assert_eq!(fs::read(&path).unwrap(), b"of somebody else");
            assert_eq!(names(folder.path()).len(), 2, "something is left behind");
        }
    }

    #[test]
    fn what_is_not_finished_leaves_what_was_there() {
        for kind in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("there");
            fs::write(&path, "before").unwrap();
            let mut output = outputs(&path, Existing::Replace).into_iter().nth(kind).unwrap();
            output.write_all(b"half").unwrap();
            drop(output);
            assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"before".into(), 1));
            let mut output = outputs(&path, Existing::Replace).into_iter().nth(kind).unwrap();
            output.write_all(b"whole").unwrap();
            output.finish().unwrap();
            assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"whole".into(), 1));
        }
    }

    /// The bad twin is the same without the file among those that are read: then it is replaced.
    #[test]
    fn what_is_read_is_not_replaced_by_any_name_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("read"), "before").unwrap();
        fs::hard_link(path("read"), path("hard")).unwrap();
        std::os::unix::fs::symlink(path("read"), path("soft")).unwrap();
        let read = [FileId::of(&path("read")).unwrap()];
        for name in ["read", "hard", "soft"] {
            assert!(Output::create(&path(name), 0o600, Existing::Replace, &read).is_err(), "{name}");
        }
        let mut output = Output::create(&path("soft"), 0o600, Existing::Replace, &[]).unwrap();
        output.write_all(b"behind").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(path("read")).unwrap(), b"behind");
        assert!(path("soft").is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_a_folder_is_not() {
        let mut null = Output::create(Path::new("/dev/null"), 0o600, Existing::Refuse(None), &[]).unwrap();
        null.write_all(b"gone").unwrap();
        null.finish().unwrap();
        let mut full = Output::create(Path::new("/dev/full"), 0o600, Existing::Refuse(None), &[]).unwrap();
        assert!(full.write_all(b"gone").is_err());
        assert!(Output::create(Path::new("/tmp"), 0o600, Existing::Replace, &[]).is_err());
    }
}

//! What a command reads for its user: a file by its name, or a descriptor that the program was started with.

mod identity;
mod inherited;

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};

use crate::terminal::Terminal;
pub use identity::FileId;
pub use inherited::Inherited;
pub(crate) use inherited::was_closed;

/// Something to read from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file.
    Path(PathBuf),
    /// A descriptor, from where it stands: 0 is stdin.
    Descriptor(Inherited),
}

impl Input {
    /// What a person means by a file name: `-` is stdin.
    ///
    /// # Errors
    /// When it is stdin, and that is closed.
    pub fn named(name: PathBuf) -> io::Result<Self> {
        if name.as_os_str() == "-" { Ok(Self::Descriptor(Inherited::take(0)?)) } else { Ok(Self::Path(name)) }
    }

    /// Opens it, for reading. A descriptor can be read once.
    ///
    /// # Errors
    /// When it cannot be opened, or is a descriptor that was read already.
    pub fn open(&self) -> io::Result<Reader> {
        Ok(Reader(match self {
            Self::Path(path) => File::open(path)?,
            Self::Descriptor(descriptor) => descriptor.open()?.into(),
        }))
    }

    /// The terminal that it is, if it is one.
    pub fn terminal(&self) -> Option<Terminal> {
        Terminal::of(match self {
            Self::Path(path) => {
                // Not to be waited for, as a FIFO without a writer would be.
                let is_device = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device());
                is_device.then(|| File::open(path).ok())??.into()
            }
            Self::Descriptor(descriptor) => descriptor.as_fd().try_clone_to_owned().ok()?,
        })
    }

    /// Which file it is, where it can be told.
    pub fn id(&self) -> Option<FileId> {
        match self {
            Self::Path(path) => FileId::of(path),
            Self::Descriptor(descriptor) => FileId::of_open(descriptor),
        }
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

/// As a person would call it.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Descriptor(descriptor) if descriptor.number() == 0 => f.write_str("stdin"),
            Self::Descriptor(descriptor) => write!(f, "descriptor {}", descriptor.number()),
        }
    }
}

/// An input that is open. It has no buffer, which would keep copies of keys and take more than was asked for.
#[derive(Debug)]
pub struct Reader(File);

impl Reader {
    /// The file.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Leaves out the next `bytes`; what cannot seek is read. Past the end there is nothing, as always.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let distance = i64::try_from(bytes).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        if bytes == 0 || self.0.seek(SeekFrom::Current(distance)).is_ok() {
            return Ok(());
        }
        let mut skipped = zeroize::Zeroizing::new([0; 4096]);
        let mut left = bytes;
        while left > 0 {
            let most = left.min(skipped.len() as u64) as usize;
            match self.read(&mut skipped[..most]) {
                Ok(0) => break,
                Ok(read) => left -= read as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for Reader {
    /// Waits also where whoever made the descriptor had it not wait.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
                    poll(&mut fds, None)?;
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    /// The bad twin is a path to the same file, which begins at its beginning.
    #[test]
    fn a_descriptor_is_read_from_where_it_stands_and_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before behind").unwrap();
        file.seek(SeekFrom::Start(6)).unwrap();
        let input = Input::Descriptor(Inherited::take(file.as_raw_fd()).unwrap());
        let mut text = String::new();
        let mut reader = input.open().unwrap();
        reader.skip(1).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "behind");
        assert!(input.open().unwrap_err().to_string().contains("already"));
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert_eq!(std::fs::read(path).unwrap(), b"before behind");
    }

    #[test]
    fn what_cannot_seek_is_skipped_by_reading_and_what_does_not_wait_is_waited_for() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let input = Input::Descriptor(Inherited::take(ours.as_raw_fd()).unwrap());
        let writer = std::thread::spawn(move || {
            for piece in [&[b'.'; 5000][..], b"the ", b"key"] {
                theirs.write_all(piece).unwrap();
            }
        });
        let mut reader = input.open().unwrap();
        reader.skip(5000).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the key");
        writer.join().unwrap();
    }

    #[test]
    fn a_number_that_is_not_open_is_no_input() {
        let closed = tempfile::tempfile().unwrap().as_raw_fd() + 1000;
        assert_eq!(Inherited::take(closed).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert!(Inherited::take(-1).is_err());
    }
}

//! Whether two names, or a name and a descriptor, are of one file.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Stat, fstat, stat};

/// A file as the kernel tells it from others, through symbolic and hard links too. A block device is its number, by
/// whatever node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileId {
    /// The device and the inode.
    Inode(u64, u64),
    /// The number of a block device.
    Block(u64),
}

impl FileId {
    /// The file at `path`, where there is one.
    pub fn of(path: &Path) -> Option<Self> {
        stat(path).ok().map(|stat| Self::from(&stat))
    }

    /// The file that is open.
    pub fn of_open(file: impl AsFd) -> Option<Self> {
        fstat(file).ok().map(|stat| Self::from(&stat))
    }
}

impl From<&Stat> for FileId {
    fn from(stat: &Stat) -> Self {
        if FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice {
            Self::Block(stat.st_rdev)
        } else {
            Self::Inode(stat.st_dev, stat.st_ino)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The bad twin is a copy, which has the same bytes and is another file.
    #[test]
    fn links_are_the_file_and_a_copy_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "bytes").unwrap();
        fs::hard_link(path("file"), path("hard")).unwrap();
        std::os::unix::fs::symlink("file", path("soft")).unwrap();
        fs::copy(path("file"), path("copy")).unwrap();
        let id = FileId::of(&path("file"));
        assert!(id.is_some());
        assert_eq!(FileId::of(&path("hard")), id);
        assert_eq!(FileId::of(&path("soft")), id);
        assert_eq!(FileId::of_open(fs::File::open(path("soft")).unwrap()), id);
        assert_ne!(FileId::of(&path("copy")), id);
        assert_eq!(FileId::of(&path("missing")), None);
    }
}

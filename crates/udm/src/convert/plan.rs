//! What is copied next: pieces of the source in order, with its holes left out.

use std::fs::File;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// A hole that is shorter is read with what lies around it, in bytes: to leave it out costs more.
const SHORTEST_HOLE: u64 = 64 << 10;
/// Borders of holes are moved outwards to a multiple of this, in bytes: no device has larger blocks.
const BLOCK: u64 = 4096;

/// A piece of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// Where it begins, in bytes.
    pub(super) at: u64,
    /// How many bytes it has.
    pub(super) len: u64,
    /// Whether the file system knows that it has zeros alone.
    pub(super) is_hole: bool,
}

/// What of the source is left to copy.
pub(super) struct Plan<'a> {
    /// The file, where it can be asked for holes.
    file: Option<&'a File>,
    at: u64,
    end: u64,
    /// Where the data that were asked for last begin and end.
    data: (u64, u64),
}

impl<'a> Plan<'a> {
    /// The bytes from `at` up to `end` of `file`, or of what cannot tell where its holes are.
    pub(super) fn new(file: Option<&'a File>, at: u64, end: u64) -> Self {
        Self { file, at, end, data: (0, 0) }
    }

    /// Where the next piece begins.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The next piece: at most `most` bytes of data, which end at a multiple of it, or `most_hole` of a hole.
    pub(super) fn next(&mut self, most: u64, most_hole: u64) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let (at, left) = (self.at, self.end - self.at);
        let hole = (self.data_from(at) / BLOCK * BLOCK).min(self.end).saturating_sub(at);
        let is_hole = hole >= SHORTEST_HOLE.min(left);
        let len = if is_hole { hole.min(most_hole) } else { left.min(most - at % most) };
        self.at += len;
        Some(Piece { at, len, is_hole })
    }

    /// Where the next data are, from `at` on.
    fn data_from(&mut self, at: u64) -> u64 {
        let Some(file) = self.file else { return at };
        if at >= self.data.1 {
            self.data = match seek(file, SeekFrom::Data(at)) {
                Ok(begin) => (begin, seek(file, SeekFrom::Hole(begin)).unwrap_or(self.end)),
                Err(Errno::NXIO) => (self.end, u64::MAX),
                // A file system that does not tell: all of it are data.
                Err(_) => (at, self.end),
            };
        }
        self.data.0.max(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// The oracle is what was written where.
    #[test]
    fn pieces_cover_everything_and_holes_have_no_data() {
        const MIB: u64 = 1 << 20;
        let file = tempfile::tempfile().unwrap();
        file.set_len(40 * MIB + 512).unwrap();
        let written = [(0, 100), (3 * MIB + 7, 5000), (9 * MIB, 3 * MIB), (40 * MIB, 512)];
        for (at, len) in written {
            file.write_all_at(&vec![1; len as usize], at).unwrap();
        }
        let end = 40 * MIB + 512;
        for (file, from) in [(Some(&file), 0), (Some(&file), 2 * MIB), (None, 0)] {
            let mut plan = Plan::new(file, from, end);
            let (mut at, mut holes) = (from, 0);
            while let Some(piece) = plan.next(MIB, 4 * MIB) {
                assert!(piece.at == at && piece.len > 0, "{piece:?} does not begin at {at}");
                at += piece.len;
                assert_eq!(plan.position(), at);
                if piece.is_hole {
                    holes += piece.len;
                    let hit = written.iter().any(|(begin, len)| *begin < at && piece.at < begin + len);
                    assert!(!hit && piece.len <= 4 * MIB, "{piece:?} has data");
                } else {
                    assert!(piece.len <= MIB, "{piece:?}");
                }
            }
            assert_eq!(at, end);
            assert!(holes > 30 * MIB || file.is_none() && holes == 0, "{holes} bytes of holes were found");
        }
    }
}

//! Lines that wait to be written: as many as fit, and a count of the others.

use std::collections::VecDeque;
use std::io::Write;

use rustix::io::Errno;

/// How many bytes may wait.
pub(super) const ROOM: usize = 64 << 10;

/// The lines, and how many have no place among them.
pub(super) struct Buffer {
    bytes: VecDeque<u8>,
    lost: u64,
    /// Why they could not be written; none when nobody took them in time.
    why: Option<Errno>,
    /// Whether `bytes` came after those that are lost, and not before.
    came_after: bool,
}

/// What is to be written next.
pub(super) enum Taken {
    /// Nothing.
    None,
    /// So many bytes of lines.
    Lines(usize),
    /// So many bytes, which say how many lines are lost.
    Notice { len: usize, lost: u64 },
}

impl Buffer {
    pub(super) const fn new() -> Self {
        Self { bytes: VecDeque::new(), lost: 0, why: None, came_after: false }
    }

    /// Takes all the memory that it will ever have.
    pub(super) fn reserve(&mut self) {
        self.bytes.reserve_exact(ROOM);
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes a line, in parts, or loses it. Once one is lost, all are until those before it are written: one notice
    /// stands in their place, and not one for each.
    pub(super) fn put(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.lost > 0 && self.bytes.is_empty() {
            self.came_after = true;
        }
        if self.bytes.len() + len > ROOM || (self.lost > 0 && !self.came_after) {
            self.lost += 1;
            return;
        }
        for part in parts {
            self.bytes.extend(*part);
        }
    }

    /// Moves what is to be written next to `chunk`.
    pub(super) fn take(&mut self, chunk: &mut [u8]) -> Taken {
        // What could not be written is tried again with the next line, and not for ever.
        let notice_is_due = self.came_after || (self.bytes.is_empty() && self.why.is_none());
        if self.lost > 0 && notice_is_due {
            let len = chunk.len();
            let mut left = &mut *chunk;
            let lines = if self.lost == 1 { "line" } else { "lines" };
            // A notice is shorter than a chunk.
            let _ = write!(left, "udm: {} {lines} of this log were lost: ", self.lost);
            let _ = match self.why {
                None => writeln!(left, "nobody read stderr in time"),
                Some(why) => writeln!(left, "writing to stderr: {why}"),
            };
            return Taken::Notice { len: len - left.len(), lost: self.lost };
        }
        let len = self.bytes.len().min(chunk.len());
        chunk.iter_mut().zip(self.bytes.drain(..len)).for_each(|(to, from)| *to = from);
        if len == 0 { Taken::None } else { Taken::Lines(len) }
    }

    /// A notice of so many lost lines is written.
    pub(super) fn told(&mut self, lost: u64) {
        self.lost -= lost;
        (self.why, self.came_after) = (None, false);
    }

    /// Lines could not be written: these bytes of them, and so none of the others.
    pub(super) fn lose(&mut self, bytes: &[u8], why: Errno) {
        let lines = bytes.iter().chain(&self.bytes).filter(|byte| **byte == b'\n').count();
        self.lost += lines as u64;
        self.bytes.clear();
        (self.why, self.came_after) = (Some(why), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log would hold that takes all.
    fn drain(buffer: &mut Buffer) -> String {
        let (mut chunk, mut all) = ([0; 4096], Vec::new());
        loop {
            match buffer.take(&mut chunk) {
                Taken::None => return String::from_utf8(all).unwrap(),
                Taken::Lines(len) => all.extend_from_slice(&chunk[..len]),
                Taken::Notice { len, lost } => {
                    buffer.told(lost);
                    all.extend_from_slice(&chunk[..len]);
                }
            }
        }
    }

    fn put_all(buffer: &mut Buffer, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| buffer.put(&[format!("{number:063}").as_bytes(), b"\n"]));
    }

    #[test]
    fn as_many_lines_as_fit_are_kept_and_the_others_counted_in_their_place() {
        let mut buffer = Buffer::new();
        buffer.reserve();
        let memory = buffer.bytes.capacity();
        put_all(&mut buffer, 0..ROOM / 64 + 10);
        // One is taken, and those that come are lost all the same: they would stand before the notice.
        assert!(matches!(buffer.take(&mut [0; 64]), Taken::Lines(64)));
        put_all(&mut buffer, 2000..2001);
        let log = drain(&mut buffer);
        assert_eq!(log.lines().count(), ROOM / 64 - 1 + 1);
        assert_eq!(
            log.lines().last().unwrap(),
            "udm: 11 lines of this log were lost: nobody read stderr in time"
        );
        put_all(&mut buffer, 3000..3001);
        assert_eq!(drain(&mut buffer), format!("{:063}\n", 3000));
        assert_eq!(buffer.bytes.capacity(), memory, "the buffer has grown");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_until_a_notice_is() {
        let mut buffer = Buffer::new();
        let mut chunk = [0; 128];
        put_all(&mut buffer, 0..5);
        assert!(matches!(buffer.take(&mut chunk), Taken::Lines(128)));
        // Half of the second line was written.
        buffer.lose(&chunk[96..], Errno::NOSPC);
        assert!(buffer.is_empty() && matches!(buffer.take(&mut chunk), Taken::None), "it is tried for ever");
        for number in 5..8 {
            put_all(&mut buffer, number..number + 1);
            let Taken::Notice { lost, .. } = buffer.take(&mut chunk) else { panic!("no notice") };
            assert_eq!(lost, number as u64 - 1);
            buffer.lose(&[], Errno::NOSPC);
        }
        put_all(&mut buffer, 8..10);
        let why = Errno::NOSPC;
        let lines = format!("{:063}\n{:063}\n", 8, 9);
        assert_eq!(
            drain(&mut buffer),
            format!("udm: 7 lines of this log were lost: writing to stderr: {why}\n{lines}")
        );
    }
}

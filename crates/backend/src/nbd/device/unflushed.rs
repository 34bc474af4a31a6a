//! Writes that a server has acknowledged and no flush has covered.
//!
//! A server that dies may take them with it, and the next flush would be answered by one that never had them. So they are
//! kept until a flush covers them (as an NFS client keeps what is not committed), and sent again to a server that is
//! connected to anew. What is kept is bounded: beyond that a flush comes first.

use std::collections::VecDeque;

use udm_block::{Bio, Flags, Op};

use crate::nbd::client::{Client, ClientError};
use udm_nbd::wire::{CommandFlags, TransmissionFlags};

/// How many bytes are kept before a flush comes first.
pub(super) const MOST: usize = 64 << 20;
/// How many writes are kept before a flush comes first.
const MOST_WRITES: usize = 1 << 16;

struct Write {
    number: u64,
    op: Op,
    flags: Flags,
    offset: u64,
    len: u64,
    data: Vec<u8>,
}

/// The writes since the last flush, in the order in which they were answered.
#[derive(Default)]
pub(super) struct Unflushed {
    writes: VecDeque<Write>,
    bytes: usize,
    next: u64,
}

impl Unflushed {
    /// Keeps a write that was acknowledged, of `len` bytes at byte `offset`: a bio may reach beyond the export's end.
    pub(super) fn keep(&mut self, bio: &Bio, offset: u64, len: u64) {
        let mut data = vec![0; if bio.op().has_data() { len as usize } else { 0 }];
        bio.data().read(&mut data);
        self.bytes += data.len();
        self.writes.push_back(Write {
            number: self.next,
            op: bio.op(),
            flags: bio.flags(),
            offset,
            len,
            data,
        });
        self.next += 1;
    }

    /// What a flush that is sent now covers: the writes before this number.
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// A flush with this mark has succeeded.
    pub(super) fn flushed(&mut self, mark: u64) {
        while self.writes.front().is_some_and(|write| write.number < mark) {
            self.bytes -= self.writes.pop_front().map_or(0, |write| write.data.len());
        }
    }

    /// Whether a flush is due before there are more.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > MOST || self.writes.len() > MOST_WRITES
    }

    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Sends them again.
    ///
    /// # Errors
    /// What the server says, or a connection that is lost again.
    pub(super) fn send_again(&self, client: &mut Client) -> Result<(), ClientError> {
        for write in &self.writes {
            match write.op {
                Op::Write => client.write(write.offset, &write.data, false)?,
                Op::WriteZeroes => {
                    let keeps = write.flags.has(Flags::NO_UNMAP);
                    let flags = if keeps { CommandFlags::NO_HOLE } else { CommandFlags::NONE };
                    client.write_zeroes(write.offset, write.len, flags)?;
                }
                // What a trim leaves behind is not said, and later writes to the range follow.
                Op::Discard if client.flags().contains(TransmissionFlags::SEND_TRIM) => {
                    client.trim(write.offset, write.len)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

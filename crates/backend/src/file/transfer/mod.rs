//! What one bio takes in calls to the system, and what the answer of each call means: the part that all engines share.
//!
//! Nothing here touches a file. An engine asks for the first [`Next`], makes the call it names, tells the answer, and
//! gets the next one, until it is told how the bio ends.

use udm_block::{Flags, Op, Status};

/// Through which descriptor bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Through the page cache.
    Buffered,
    /// Past the page cache, with the bio's own memory.
    Direct,
    /// Past the page cache, with memory that the bytes of a write are copied to first: its own is not aligned.
    Bounce,
}

/// A call to the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// `fdatasync`.
    Sync,
    /// Reads `len` bytes at byte `at`, into the data from byte `skip` on.
    Read { way: Way, at: u64, skip: usize, len: usize },
    /// Writes `len` bytes at byte `at`, from the data from byte `skip` on; durable when it returns if so said.
    Write { way: Way, at: u64, skip: usize, len: usize, durable: bool },
    /// `BLKDISCARD`: the range of a block device may lose its bytes.
    Discard { at: u64, len: u64 },
    /// `fallocate`: the range has no blocks any more and reads as zeros.
    Punch { at: u64, len: u64 },
    /// `fallocate`: the range reads as zeros and keeps its blocks.
    Zero { at: u64, len: u64 },
}

impl Call {
    /// Whether its error may be of what others wrote, so that they must hear of it.
    pub(super) fn may_tell_of_others(self) -> bool {
        matches!(self, Self::Sync | Self::Write { durable: true, way: Way::Buffered, .. })
    }
}

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Make this call.
    Call(Call),
    /// The bio ends so.
    End(Status),
    /// The file ends before the device does: it became shorter. The bio ends with `Offline`.
    Shrank,
    /// The bio ends so, and writes that were acknowledged before may be lost: a call failed that makes them durable.
    Unsynced(Status),
}

/// What the bytes are on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Medium {
    /// What places and lengths of direct transfers must be multiples of, in bytes.
    pub(super) align: u32,
    /// A block device, and not a file.
    pub(super) is_block_device: bool,
}

/// How often in a row a call may bring nothing (`EINTR`, `EAGAIN`) before the bio fails.
const FRUITLESS_MAX: u16 = 1000;

const EINTR: i32 = libc::EINTR;
const EAGAIN: i32 = libc::EAGAIN;
const EINVAL: i32 = libc::EINVAL;
const ENOSYS: i32 = libc::ENOSYS;
const EOPNOTSUPP: i32 = libc::EOPNOTSUPP;
const EPERM: i32 = libc::EPERM;
const ECANCELED: i32 = libc::ECANCELED;

/// Where a bio stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Makes durable what was acknowledged before.
    Preflush,
    /// Does what the bio asks for.
    Body,
    /// Makes durable what the body did.
    Postflush,
}

/// One bio on its way to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    op: Op,
    stage: Stage,
    way: Way,
    medium: Medium,
    /// Where on the file it begins, in bytes.
    at: u64,
    len: u64,
    /// Bytes that have been transferred.
    done: u64,
    /// Whether each write is to be durable of itself.
    durable: bool,
    postflush: bool,
    /// Whether zeros may be made by taking blocks away.
    unmap: bool,
    fruitless: u16,
}

impl Transfer {
    /// A bio of `len` bytes at byte `at`.
    pub(super) fn new(op: Op, flags: Flags, at: u64, len: u64, way: Way, medium: Medium) -> Self {
        let preflush = flags.has(Flags::PREFLUSH) && op != Op::Flush;
        let fua = flags.has(Flags::FUA) && op.is_write();
        Self {
            op,
            stage: if preflush { Stage::Preflush } else { Stage::Body },
            way,
            medium,
            at,
            len,
            done: 0,
            durable: fua && op == Op::Write,
            postflush: fua && op != Op::Write,
            unmap: !flags.has(Flags::NO_UNMAP),
            fruitless: 0,
        }
    }

    /// What is to be done first.
    pub(super) fn begin(&self) -> Next {
        if self.stage == Stage::Body && self.len == 0 && self.op != Op::Flush {
            return Next::End(Status::Ok);
        }
        Next::Call(self.call())
    }

    /// The call that is due.
    fn call(&self) -> Call {
        if self.stage != Stage::Body {
            return Call::Sync;
        }
        let (way, at, skip, len) = (self.way, self.at + self.done, self.done as usize, self.rest() as usize);
        match self.op {
            Op::Flush => Call::Sync,
            Op::Read => Call::Read { way, at, skip, len },
            Op::Write => Call::Write { way, at, skip, len, durable: self.durable },
            Op::WriteZeroes if !self.unmap => Call::Zero { at: self.at, len: self.len },
            // A hole in a block device is a range of zeros: a device that can discard may not have these.
            Op::Discard if self.medium.is_block_device => Call::Discard { at: self.at, len: self.len },
            Op::Discard | Op::WriteZeroes => Call::Punch { at: self.at, len: self.len },
        }
    }

    fn rest(&self) -> u64 {
        self.len - self.done
    }

    /// Takes the answer of the call that was due, bytes or an errno: what is to be done next.
    pub(super) fn answer(&mut self, answer: Result<usize, i32>) -> Next {
        match answer {
            Err(errno) => self.failed(errno),
            Ok(_) if self.stage != Stage::Body || !self.op.has_data() => self.stage_is_over(),
            Ok(bytes) => self.moved(bytes as u64),
        }
    }

    fn stage_is_over(&mut self) -> Next {
        self.fruitless = 0;
        self.stage = match self.stage {
            Stage::Preflush if self.len > 0 => Stage::Body,
            Stage::Body if self.postflush => Stage::Postflush,
            _ => return Next::End(Status::Ok),
        };
        Next::Call(self.call())
    }

    /// So many bytes came, or went.
    fn moved(&mut self, bytes: u64) -> Next {
        if bytes >= self.rest() {
            debug_assert!(bytes == self.rest(), "{bytes} bytes moved of {}", self.rest());
            self.done = self.len;
            return self.stage_is_over();
        }
        let whole = match self.way {
            Way::Buffered => bytes,
            // The rest must begin at a border again; a few bytes are transferred twice then.
            Way::Direct | Way::Bounce => bytes - bytes % u64::from(self.medium.align),
        };
        // Only the end of a file makes a read stop at nothing, or a direct one within a block.
        if self.op == Op::Read && (bytes == 0 || whole != bytes) {
            return Next::Shrank;
        }
        if whole == 0 {
            return self.again(EAGAIN);
        }
        self.done += whole;
        self.fruitless = 0;
        Next::Call(self.call())
    }

    fn failed(&mut self, errno: i32) -> Next {
        let body = self.stage == Stage::Body;
        match (errno, self.way) {
            (EINTR | EAGAIN | ECANCELED, _) => return self.again(errno),
            // A seccomp filter may refuse `pwritev2`, which has the flag.
            (EOPNOTSUPP | ENOSYS | EPERM, _) if body && self.durable => {
                (self.durable, self.postflush) = (false, true);
            }
            // On a block device, the kernel would write the zeros now.
            (EOPNOTSUPP, _)
                if body && self.op == Op::WriteZeroes && self.unmap && !self.medium.is_block_device =>
            {
                self.unmap = false;
            }
            // The alignment that the file promised did not do. A read may go through the page cache; a write may not
            // while others go past it (see `direct`), so it is first tried from aligned memory.
            (EINVAL, Way::Direct) if body && self.op == Op::Read => self.way = Way::Buffered,
            (EINVAL, Way::Direct) if body && self.op == Op::Write => self.way = Way::Bounce,
            (EINVAL, Way::Bounce) if body => self.way = Way::Buffered,
            _ => return self.end(Status::from_errno(errno)),
        }
        Next::Call(self.call())
    }

    /// The bio ends with an error.
    ///
    /// A durable write is a write and a sync in one, and its error does not tell which of them failed. Without the page
    /// cache, a full disk can only have refused the write; else it may have refused to write back other pages.
    fn end(&self, status: Status) -> Next {
        let durable_write = self.stage == Stage::Body && self.op == Op::Write && self.durable;
        let only_full = status == Status::NoSpace && self.way != Way::Buffered;
        let syncs = self.stage != Stage::Body || self.op == Op::Flush || (durable_write && !only_full);
        if syncs { Next::Unsynced(status) } else { Next::End(status) }
    }

    /// The same call once more, if it has not been tried too often.
    fn again(&mut self, errno: i32) -> Next {
        self.fruitless += 1;
        if self.fruitless > FRUITLESS_MAX {
            return self.end(if errno == EAGAIN { Status::DevResource } else { Status::IoErr });
        }
        Next::Call(self.call())
    }
}

#[cfg(test)]
mod tests;

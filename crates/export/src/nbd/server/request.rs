//! From a request on the wire to what it asks of the device, or to the error that it is answered with.

use std::ops::Range;

use udm_block::{Flags, Geometry, Op};

use super::export::Export;
use udm_nbd::wire::{BlockSizes, Command, CommandFlags, ErrorNumber, Request};

/// The longest read or write, in bytes: twice what the protocol has every server take of clients that asked for no sizes.
/// Some send longer requests all the same, and a long one costs no more memory.
pub(super) const LONGEST_TAKEN: u32 = 2 * BlockSizes::DEFAULT.max;

/// What a good request asks of the device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Work {
    pub(super) op: Op,
    pub(super) flags: Flags,
    /// The bytes that it is about; of a flush none.
    pub(super) bytes: Range<u64>,
}

/// What `request` asks of `export`, whose device is `geometry` now, or why it is refused (section "Request types" of the protocol).
///
/// # Errors
/// The number that the client is answered with.
pub(super) fn work(request: &Request, export: &Export, geometry: &Geometry) -> Result<Work, ErrorNumber> {
    // DF is for structured replies, which no client of ours has.
    let (op, allowed) = match request.command {
        Command::Read => (Op::Read, CommandFlags::NONE),
        Command::Write => (Op::Write, CommandFlags::NONE),
        Command::Flush => (Op::Flush, CommandFlags::NONE),
        Command::Trim => (Op::Discard, CommandFlags::NONE),
        Command::WriteZeroes => (Op::WriteZeroes, CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO),
        _ => return Err(ErrorNumber::Inval),
    };
    // FUA is allowed on every command, and means nothing on those that write nothing.
    if !request.flags.without(allowed | CommandFlags::FUA).is_empty() {
        return Err(ErrorNumber::Inval);
    }
    if op.is_write() && export.is_read_only() {
        return Err(ErrorNumber::Perm);
    }
    if op == Op::Flush {
        return if request.offset == 0 && request.length == 0 {
            Ok(Work { op, flags: Flags::NONE, bytes: 0..0 })
        } else {
            Err(ErrorNumber::Inval)
        };
    }
    let bytes = range(request, op, geometry)?;
    let wished = |wish, flag| if request.flags.contains(wish) { flag } else { Flags::NONE };
    let mut flags =
        wished(CommandFlags::NO_HOLE, Flags::NO_UNMAP) | wished(CommandFlags::FAST_ZERO, Flags::FAST);
    if op.is_write() {
        flags |= wished(CommandFlags::FUA, Flags::FUA);
    }
    Ok(Work { op, flags, bytes })
}

/// The bytes of the request, where they are on the device.
fn range(request: &Request, op: Op, geometry: &Geometry) -> Result<Range<u64>, ErrorNumber> {
    let end = request.offset.checked_add(u64::from(request.length));
    let Some(end) = end.filter(|end| *end <= geometry.stored().0) else {
        let grows = matches!(op, Op::Write | Op::WriteZeroes);
        return Err(if grows { ErrorNumber::NoSpc } else { ErrorNumber::Inval });
    };
    if request.length == 0 || op.has_data() && request.length > LONGEST_TAKEN {
        return Err(ErrorNumber::Inval);
    }
    Ok(request.offset..end)
}

//! From a request on the wire to a bio, or to the error that it is answered with.

use udm_block::queue;
use udm_block::{Bytes, Flags, Op, Pad, PadBio, SECTOR_SIZE, Sector};

use super::export::Export;
use crate::nbd::wire::{Command, CommandFlags, ErrorNumber, Request};

/// The pad of a client's bio: how to answer it.
pub(super) struct Pending {
    pub(super) cookie: u64,
    pub(super) replies_with_data: bool,
}

impl Pad for Pending {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        queue::deliver(bio);
    }
}

/// What a good request asks of the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Work {
    pub(super) op: Op,
    pub(super) flags: Flags,
    pub(super) sector: Sector,
    pub(super) len: Bytes,
    /// Whether zeros may be written where the device has no operation for them.
    pub(super) may_write_zeroes: bool,
}

/// What `request` asks of `export`, or why it is refused (section "Request types" of the protocol).
///
/// # Errors
/// The number that the client is answered with.
pub(super) fn work(request: &Request, export: &Export) -> Result<Work, ErrorNumber> {
    let (op, allowed) = match request.command {
        Command::Read => (Op::Read, CommandFlags::DF),
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
    let len = Bytes(u64::from(request.length));
    if op != Op::Flush {
        check_range(request, op, export)?;
    }
    let mut flags = Flags::NONE;
    if op.is_write() && request.flags.contains(CommandFlags::FUA) {
        flags |= Flags::FUA;
    }
    if request.flags.contains(CommandFlags::NO_HOLE) {
        flags |= Flags::NO_UNMAP;
    }
    Ok(Work {
        op,
        flags,
        sector: Sector(if op == Op::Flush { 0 } else { request.offset / SECTOR_SIZE as u64 }),
        len: if op == Op::Flush { Bytes(0) } else { len },
        may_write_zeroes: !request.flags.contains(CommandFlags::FAST_ZERO),
    })
}

/// Whether the range is on the export and on its blocks.
fn check_range(request: &Request, op: Op, export: &Export) -> Result<(), ErrorNumber> {
    let end = request.offset.checked_add(u64::from(request.length));
    if end.is_none_or(|end| end > export.size()) {
        let grows = matches!(op, Op::Write | Op::WriteZeroes);
        return Err(if grows { ErrorNumber::NoSpc } else { ErrorNumber::Inval });
    }
    let block = u64::from(export.info.block_sizes.min);
    let on_blocks = request.offset.is_multiple_of(block) && u64::from(request.length).is_multiple_of(block);
    if request.length == 0 || !on_blocks {
        return Err(ErrorNumber::Inval);
    }
    if op.has_data() && request.length > export.info.block_sizes.max {
        return Err(if op == Op::Read { ErrorNumber::Overflow } else { ErrorNumber::Inval });
    }
    Ok(())
}

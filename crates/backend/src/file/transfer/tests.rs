//! Scripts of answers that a system may give, and the calls that must follow. The oracle is the manual of each call.

use super::*;

const ENOSPC: i32 = libc::ENOSPC;
const EIO: i32 = libc::EIO;
const FUA: Flags = Flags::FUA;
const PREFLUSH: Flags = Flags::PREFLUSH;

const FILE: Medium = Medium { align: 512, is_block_device: false };
const DISK: Medium = Medium { align: 512, is_block_device: true };

fn new(op: Op, flags: Flags, way: Way) -> Transfer {
    Transfer::new(op, flags, 8192, 4096, way, FILE)
}

fn read(way: Way, done: u64) -> Next {
    Next::Call(Call::Read { way, at: 8192 + done, skip: done as usize, len: 4096 - done as usize })
}

fn write(way: Way, done: u64, durable: bool) -> Next {
    let (at, skip, len) = (8192 + done, done as usize, 4096 - done as usize);
    Next::Call(Call::Write { way, at, skip, len, durable })
}

const SYNC: Next = Next::Call(Call::Sync);
const OK: Next = Next::End(Status::Ok);
const PUNCH: Next = Next::Call(Call::Punch { at: 8192, len: 4096 });
const ZERO: Next = Next::Call(Call::Zero { at: 8192, len: 4096 });

/// Runs `transfer` against answers, each with what must follow it.
#[track_caller]
fn script(mut transfer: Transfer, first: Next, steps: &[(Result<usize, i32>, Next)]) {
    assert_eq!(transfer.begin(), first);
    for (index, (answer, next)) in steps.iter().enumerate() {
        assert_eq!(transfer.answer(*answer), *next, "step {index}: {answer:?}");
    }
}

#[test]
fn a_short_transfer_goes_on_behind_the_bytes_that_came() {
    let steps = [(Ok(1), read(Way::Buffered, 1)), (Ok(999), read(Way::Buffered, 1000)), (Ok(3096), OK)];
    script(new(Op::Read, Flags::NONE, Way::Buffered), read(Way::Buffered, 0), &steps);
    let steps = [(Ok(100), write(Way::Buffered, 100, false)), (Ok(3996), OK)];
    script(new(Op::Write, Flags::NONE, Way::Buffered), write(Way::Buffered, 0, false), &steps);
}

#[test]
fn a_short_direct_write_goes_on_at_a_block_border() {
    let steps = [(Ok(1000), write(Way::Direct, 512, false)), (Ok(512), write(Way::Direct, 1024, false))];
    script(new(Op::Write, Flags::NONE, Way::Direct), write(Way::Direct, 0, false), &steps);
}

#[test]
fn a_read_that_finds_the_end_of_the_file_is_never_data() {
    for way in [Way::Buffered, Way::Direct] {
        let steps = [(Ok(512), read(way, 512)), (Ok(0), Next::Shrank)];
        script(new(Op::Read, Flags::NONE, way), read(way, 0), &steps);
    }
    script(new(Op::Read, Flags::NONE, Way::Direct), read(Way::Direct, 0), &[(Ok(1000), Next::Shrank)]);
}

#[test]
fn an_interrupted_call_is_made_again_but_not_for_ever() {
    let first = write(Way::Buffered, 0, false);
    for (errno, status) in [(EINTR, Status::IoErr), (EAGAIN, Status::DevResource)] {
        let mut transfer = new(Op::Write, Flags::NONE, Way::Buffered);
        for _ in 0..FRUITLESS_MAX {
            assert_eq!(transfer.answer(Err(errno)), first);
        }
        assert_eq!(transfer.answer(Err(errno)), Next::End(status));
        // Progress in between starts the count anew.
        let mut transfer = new(Op::Write, Flags::NONE, Way::Buffered);
        for done in 1..=5 {
            for _ in 0..FRUITLESS_MAX {
                transfer.answer(Err(errno));
            }
            assert_eq!(transfer.answer(Ok(1)), write(Way::Buffered, done, false));
        }
    }
    let mut transfer = new(Op::Write, Flags::NONE, Way::Buffered);
    let ends = (0..=FRUITLESS_MAX).map(|_| transfer.answer(Ok(0))).last();
    assert_eq!(ends, Some(Next::End(Status::DevResource)));
}

#[test]
fn errors_end_the_bio_with_their_status() {
    for (errno, status) in [
        (ENOSPC, Status::NoSpace),
        (libc::EDQUOT, Status::NoSpace),
        (EIO, Status::IoErr),
        (EINVAL, Status::Invalid),
    ] {
        let steps = [(Ok(512), write(Way::Buffered, 512, false)), (Err(errno), Next::End(status))];
        script(new(Op::Write, Flags::NONE, Way::Buffered), write(Way::Buffered, 0, false), &steps);
        script(new(Op::Flush, Flags::NONE, Way::Buffered), SYNC, &[(Err(errno), Next::Unsynced(status))]);
    }
}

#[test]
fn a_refused_direct_transfer_is_tried_once_in_each_other_way() {
    let steps = [(Err(EINVAL), read(Way::Buffered, 0)), (Err(EINVAL), Next::End(Status::Invalid))];
    script(new(Op::Read, Flags::NONE, Way::Direct), read(Way::Direct, 0), &steps);
    let steps = [
        (Err(EINVAL), write(Way::Bounce, 0, false)),
        (Ok(2048), write(Way::Bounce, 2048, false)),
        (Err(EINVAL), write(Way::Buffered, 2048, false)),
        (Err(EINVAL), Next::End(Status::Invalid)),
    ];
    script(new(Op::Write, Flags::NONE, Way::Direct), write(Way::Direct, 0, false), &steps);
}

#[test]
fn flushes_come_before_and_after() {
    let both = PREFLUSH | FUA;
    let steps = [(Ok(0), write(Way::Direct, 0, true)), (Ok(4096), OK)];
    script(new(Op::Write, both, Way::Direct), SYNC, &steps);
    // Where a write cannot be durable of itself, it is followed by a flush.
    for unsupported in [EOPNOTSUPP, ENOSYS, EPERM] {
        let steps = [
            (Ok(0), write(Way::Direct, 0, true)),
            (Err(unsupported), write(Way::Direct, 0, false)),
            (Ok(4096), SYNC),
            (Ok(0), OK),
        ];
        script(new(Op::Write, both, Way::Direct), SYNC, &steps);
    }
    let steps = [(Err(EPERM), write(Way::Buffered, 0, false)), (Err(EPERM), Next::End(Status::Protection))];
    script(new(Op::Write, FUA, Way::Buffered), write(Way::Buffered, 0, true), &steps);
    script(new(Op::Discard, both, Way::Buffered), SYNC, &[(Ok(0), PUNCH), (Ok(0), SYNC), (Ok(0), OK)]);
    script(
        new(Op::Discard, FUA, Way::Buffered),
        PUNCH,
        &[(Ok(0), SYNC), (Err(EIO), Next::Unsynced(Status::IoErr))],
    );
    script(new(Op::Flush, both, Way::Buffered), SYNC, &[(Ok(0), OK)]);
    // A failed flush is not followed by the write.
    script(new(Op::Write, both, Way::Buffered), SYNC, &[(Err(EIO), Next::Unsynced(Status::IoErr))]);
}

/// `write(2)` with `RWF_DSYNC` also returns the error of a sync that others' writes suffered from.
#[test]
fn a_durable_write_that_fails_may_be_a_sync_that_failed() {
    let lost = |errno| (Err(errno), Next::Unsynced(Status::from_errno(errno)));
    let ended = |errno| (Err(errno), Next::End(Status::from_errno(errno)));
    for (flags, way, step) in [
        (FUA, Way::Buffered, lost(EIO)),
        (FUA, Way::Buffered, lost(ENOSPC)),
        (FUA, Way::Direct, lost(EIO)),
        (FUA, Way::Bounce, lost(EIO)),
        // A full disk refused the write itself: nothing that was acknowledged is lost.
        (FUA, Way::Direct, ended(ENOSPC)),
        (Flags::NONE, Way::Buffered, ended(EIO)),
        (Flags::NONE, Way::Direct, ended(EIO)),
    ] {
        script(new(Op::Write, flags, way), write(way, 0, flags == FUA), &[step]);
    }
    // A punch that fails before its sync has synced nothing.
    script(new(Op::Discard, FUA, Way::Buffered), PUNCH, &[(Err(EIO), Next::End(Status::IoErr))]);
    // A sync that is interrupted for ever never told what it wrote.
    let mut flush = new(Op::Flush, Flags::NONE, Way::Buffered);
    let end = (0..=FRUITLESS_MAX).map(|_| flush.answer(Err(EINTR))).last();
    assert_eq!(end, Some(Next::Unsynced(Status::IoErr)));
}

#[test]
fn a_write_of_nothing_is_its_flush() {
    let nothing = |flags| Transfer::new(Op::Write, flags, 0, 0, Way::Buffered, FILE);
    script(nothing(Flags::NONE), OK, &[]);
    script(nothing(PREFLUSH | FUA), SYNC, &[(Ok(0), OK)]);
}

#[test]
fn zeros_keep_their_blocks_where_that_is_asked_for_or_nothing_else_works() {
    let unsupported = Err(EOPNOTSUPP);
    let refused = Next::End(Status::NotSupported);
    script(new(Op::WriteZeroes, Flags::NONE, Way::Buffered), PUNCH, &[(Ok(0), OK)]);
    let steps = [(unsupported, ZERO), (unsupported, refused)];
    script(new(Op::WriteZeroes, Flags::NONE, Way::Buffered), PUNCH, &steps);
    script(new(Op::WriteZeroes, Flags::NO_UNMAP, Way::Buffered), ZERO, &[(unsupported, refused)]);
    script(new(Op::Discard, Flags::NONE, Way::Buffered), PUNCH, &[(unsupported, refused)]);
}

/// `BLKDISCARD` asks for no zeros. Where a disk makes none itself, `FALLOC_FL_ZERO_RANGE` would have the kernel write them.
#[test]
fn a_disk_is_discarded_and_its_zeros_are_never_written_by_the_kernel() {
    let on_disk = |op, flags| Transfer::new(op, flags, 8192, 4096, Way::Buffered, DISK);
    let discard = Next::Call(Call::Discard { at: 8192, len: 4096 });
    let (unsupported, refused) = (Err(EOPNOTSUPP), Next::End(Status::NotSupported));
    script(on_disk(Op::Discard, Flags::NONE), discard, &[(Ok(0), OK)]);
    script(on_disk(Op::Discard, FUA), discard, &[(Ok(0), SYNC), (Ok(0), OK)]);
    script(on_disk(Op::Discard, Flags::NONE), discard, &[(unsupported, refused)]);
    script(on_disk(Op::WriteZeroes, Flags::NONE), PUNCH, &[(unsupported, refused)]);
    script(on_disk(Op::WriteZeroes, Flags::NO_UNMAP), ZERO, &[(unsupported, refused)]);
}

//! Places near the end of all numbers: nothing wraps, in a debug build or in a release build. Oracle: what each sector of the
//! longest device holds, and that nothing else reaches a driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::serves;
use udm_block::blocking::Blocking;
use udm_block::{Bio, Bytes, Dispatch, Geometry, LONGEST_DEVICE, Op, Sectors, Status};

/// A disk of any size that counts what reaches it.
fn vast(sectors: u64) -> (Arc<AtomicUsize>, Blocking) {
    let geometry = Geometry { size: Sectors(sectors), discard: true, ..Geometry::plain(Sectors(0)) };
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&count);
    let disk = serves(geometry, move |cx: &mut Dispatch, mut bio: Bio| {
        theirs.fetch_add(1, Ordering::Relaxed);
        if bio.op() == Op::Read {
            let at = bio.sector().checked_bytes().expect("an offset that does not wrap");
            let sectors = bio.sectors().0;
            let mut data = bio.data_mut();
            (0..sectors).for_each(|sector| data.write(&[((at >> 9) + sector) as u8; 512]));
        }
        cx.complete(bio, Status::Ok);
    });
    (count, Blocking::new(disk).unwrap())
}

#[test]
fn no_place_near_the_end_of_all_numbers_wraps() {
    let end = LONGEST_DEVICE.bytes().0;
    // The twin: on the longest device the last sector is read, and nothing behind it.
    let (disk, front) = vast(LONGEST_DEVICE.0);
    let mut got = [0; 512];
    assert_eq!(front.read_at(end - 512, &mut got), Ok(()));
    assert_eq!((got, disk.swap(0, Ordering::Relaxed)), ([0xff; 512], 1));
    assert_eq!(front.range(Op::Discard, end - 512, Bytes(512)), Ok(()));
    drop(front);
    for sectors in [LONGEST_DEVICE.0, LONGEST_DEVICE.0 + 1, (1 << 55) + 8, u64::MAX] {
        let (disk, front) = vast(sectors);
        let longer = sectors > LONGEST_DEVICE.0;
        for at in [end - 1, end, u64::MAX - 511, u64::MAX - 510, u64::MAX] {
            for len in [2, 512, 513, 1 << 20] {
                let mut bytes = vec![0; len];
                assert_eq!(
                    front.read_at(at, &mut bytes),
                    Err(Status::IoErr),
                    "{len} bytes at {at} of {sectors}"
                );
                assert_eq!(
                    front.write_at(at, &bytes),
                    Err(Status::IoErr),
                    "{len} bytes at {at} of {sectors}"
                );
            }
            let range = front.range(Op::Discard, at / 512 * 512, Bytes(u64::MAX / 512 * 512));
            assert_eq!(range, Err(Status::IoErr), "a discard at {at} of {sectors}");
        }
        // A device that is longer than any is refused whole.
        let first = front.read_at(0, &mut [0; 512]);
        assert_eq!(first.is_err(), longer, "the first sector of {sectors}");
        drop(front);
        // Nothing but parts within the longest device has reached it.
        if longer {
            assert_eq!(disk.load(Ordering::Relaxed), 0, "a bio of a device of {sectors} sectors");
        }
    }
}

#[test]
#[should_panic(expected = "a device of more than 2^63 bytes")]
fn a_geometry_is_not_longer_than_the_longest_device() {
    let _ = Geometry::plain(Sectors(LONGEST_DEVICE.0 + 1));
}

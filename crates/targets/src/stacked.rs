//! What a target over several devices can do.

use udm_block::{DeviceRef, Geometry, LONGEST_DEVICE};

/// The limits and abilities that all of `devices` have.
pub(crate) fn geometry(devices: &[DeviceRef]) -> Geometry {
    let start =
        Geometry { discard: true, write_zeroes: true, write_cache: false, ..Geometry::plain(LONGEST_DEVICE) };
    devices.iter().map(|device| device.geometry()).fold(start, |all, one| Geometry {
        logical_block: all.logical_block.max(one.logical_block),
        max_transfer: all.max_transfer.min(one.max_transfer),
        memory_alignment: all.memory_alignment.max(one.memory_alignment),
        read_only: all.read_only || one.read_only,
        discard: all.discard && one.discard,
        write_zeroes: all.write_zeroes && one.write_zeroes,
        write_cache: all.write_cache || one.write_cache,
        ..all
    })
}

//! What a managed device has, and where in its life it is.

use crate::load::Devices;
use crate::mapped::MappedDevice;
use crate::table::Table;

/// The tables, and where in its life the device is. Held for moments: never while I/O is waited for.
#[derive(Default)]
pub(super) struct State {
    /// The live table. Its device is in [`super::channels::Current`].
    pub(super) live: Option<Loaded>,
    /// A table that the next resume takes up, with its device.
    pub(super) inactive: Option<(Loaded, MappedDevice)>,
    pub(super) suspended: bool,
    pub(super) removed: bool,
    /// It is about to go: no more changes.
    pub(super) closing: bool,
}

/// A table with the devices that it names.
pub(super) struct Loaded {
    pub(super) table: Table,
    pub(super) devices: Devices,
}

/// Which of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableSlot {
    /// The one that serves.
    Live,
    /// The one that was loaded and waits for a resume.
    Inactive,
}

/// What `dmsetup info` says of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Info {
    /// There is a live table.
    pub live: bool,
    /// There is an inactive one.
    pub inactive: bool,
    /// I/O is held.
    pub suspended: bool,
    /// A key of the live table is wiped.
    pub key_wiped: bool,
    /// It takes no writes.
    pub read_only: bool,
    /// How many have it open.
    pub open: usize,
    /// How many rows the live table has.
    pub rows: usize,
    /// How many bios wait for a resume.
    pub held: usize,
    /// How many bios are under way: a guess while it is not suspended.
    pub under_way: usize,
}

impl Info {
    /// The four letters of `dmsetup info -c -o attr`: live, inactive, suspended, and whether it takes writes.
    pub fn attributes(&self) -> String {
        let letter = |is: bool, letter| if is { letter } else { '-' };
        let read_only = if self.read_only { 'r' } else { 'w' };
        [letter(self.live, 'L'), letter(self.inactive, 'I'), letter(self.suspended, 's'), read_only]
            .iter()
            .collect()
    }
}

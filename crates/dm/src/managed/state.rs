//! What a managed device has, and what it says of itself.

use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::ManagedDevice;
use crate::load::Devices;
use crate::mapped::MappedDevice;
use crate::table::{Row, ShowKeys, Table};

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

impl ManagedDevice {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is doing.
    pub fn info(&self) -> Info {
        let state = self.state();
        Info {
            live: state.live.is_some(),
            inactive: state.inactive.is_some(),
            suspended: state.suspended,
            key_wiped: state.live.as_ref().is_some_and(|live| live.table.has_wiped_key()),
            read_only: self.options.read_only,
            open: self.opens.load(Ordering::Relaxed),
            rows: state.live.as_ref().map_or(0, |live| live.table.rows.len()),
            held: self.channels.held(),
            under_way: self.channels.under_way(),
        }
    }

    /// A table as `dmsetup table` prints it, a line a row; nothing where there is none.
    pub fn table(&self, slot: TableSlot, keys: ShowKeys) -> Zeroizing<String> {
        let text = |table: &Table| table.to_text(keys);
        Zeroizing::new(self.with_table(slot, text).unwrap_or_default())
    }

    /// The live table's rows as `dmsetup status` prints them: start, length, target, and what the target says of
    /// itself. A table whose key is wiped has no targets that could.
    pub fn status(&self) -> String {
        let said = self.channels.status();
        let line = |(index, row): (usize, &Row)| {
            let status = said.get(index).filter(|status| !status.is_empty());
            let status = status.map_or_else(String::new, |status| format!(" {status}"));
            format!("{} {} {}{status}\n", row.start, row.length, row.target.name())
        };
        let lines = |table: &Table| table.rows.iter().enumerate().map(line).collect();
        self.with_table(TableSlot::Live, lines).unwrap_or_default()
    }

    /// The devices that the live table names.
    pub fn deps(&self) -> Vec<String> {
        let state = self.state();
        let mut names: Vec<_> = state.live.iter().flat_map(|live| live.devices.keys().cloned()).collect();
        names.sort();
        names
    }

    fn with_table<R>(&self, slot: TableSlot, say: impl FnOnce(&Table) -> R) -> Option<R> {
        let state = self.state();
        match slot {
            TableSlot::Live => state.live.as_ref(),
            TableSlot::Inactive => state.inactive.as_ref().map(|(loaded, _)| loaded),
        }
        .map(|loaded| say(&loaded.table))
    }
}

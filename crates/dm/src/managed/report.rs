//! What a managed device says of itself.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::ManagedDevice;
use super::state::{Info, State, TableSlot};
use crate::table::{Row, ShowKeys, Table};

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

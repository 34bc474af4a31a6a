//! What can be done to a managed device: load, clear, suspend, resume, remove (the kernel's `dm-ioctl.c` and `dm.c`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use udm_block::blocking::Blocking;
use udm_block::{Device, DeviceRef, Status};

use super::error::{ManageError, Refusal, errno};
use super::state::{Loaded, State};
use super::{ManagedDevice, ManagedOptions};
use crate::load::{Devices, LoadError, Lookup, LookupError, build, open_all};
use crate::mapped::MappedDevice;
use crate::table::Table;
use crate::targets::Target;

/// How a device is suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspend {
    /// Whether what lies below is flushed when the I/O has ended (dm's `noflush` is false).
    pub flush: bool,
    /// How long the I/O under way may take. Then the device runs on.
    pub patience: Option<Duration>,
}

impl Default for Suspend {
    fn default() -> Self {
        Self { flush: true, patience: None }
    }
}

/// Somebody's use of a device, which cannot be removed meanwhile.
pub struct Open(Arc<ManagedDevice>);

impl Open {
    /// The device, to do I/O on.
    pub fn device(&self) -> DeviceRef {
        Arc::clone(&self.0) as DeviceRef
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.opens.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds a device again that the live table has open: a reload is about the same disk, and scratch memory of the same
/// name is the same memory.
struct Reuse<'a>(&'a Devices, &'a dyn Lookup);

impl Lookup for Reuse<'_> {
    fn device(&self, name: &str, block_size: u32) -> Result<DeviceRef, LookupError> {
        self.0.get(name).map_or_else(|| self.1.device(name, block_size), |known| Ok(DeviceRef::clone(known)))
    }
}

impl ManagedDevice {
    /// A device with this table, resumed (`dmsetup create`).
    ///
    /// # Errors
    /// Those of [`ManagedDevice::load`], or when there is no memory.
    pub fn create(
        name: impl Into<String>,
        table: Table,
        lookup: &dyn Lookup,
        options: ManagedOptions,
    ) -> Result<Arc<Self>, ManageError> {
        let device = Self::new(name, options).map_err(LoadError::from)?;
        device.load(table, lookup)?;
        device.resume()?;
        Ok(device)
    }

    /// Counts a user of the device.
    ///
    /// # Errors
    /// When it is removed.
    pub fn open(self: &Arc<Self>) -> Result<Open, ManageError> {
        let state = self.changeable()?;
        self.opens.fetch_add(1, Ordering::Relaxed);
        drop(state);
        Ok(Open(Arc::clone(self)))
    }

    /// Makes `table` the inactive one, in place of the one there is; the next resume takes it up. The devices of the
    /// live table are used again where it names them, others come from `lookup`.
    ///
    /// # Errors
    /// When the table does not fit what it names, or there is no memory; then nothing has changed.
    pub fn load(&self, table: Table, lookup: &dyn Lookup) -> Result<(), ManageError> {
        let _changing = self.change();
        let known = self.changeable()?.live.as_ref().map(|live| live.devices.clone()).unwrap_or_default();
        let devices = open_all(&table, &Reuse(&known, lookup)).map_err(LoadError::from)?;
        let mapped = self.build(&table, &devices)?;
        // A key of the former one is wiped outside the lock.
        let old = self.state().inactive.replace((Loaded { table, devices }, mapped));
        drop(old);
        Ok(())
    }

    /// Drops the inactive table, if there is one.
    ///
    /// # Errors
    /// When the device is removed.
    pub fn clear(&self) -> Result<(), ManageError> {
        let _changing = self.change();
        let old = self.changeable()?.inactive.take();
        drop(old);
        Ok(())
    }

    /// Holds new I/O, waits for what is under way, and flushes what lies below. A suspended device stays as it is.
    /// It waits for every queue that has the device open: not for the owner of one.
    ///
    /// # Errors
    /// When the I/O under way does not end in time, or a flush fails: then the device runs on.
    pub fn suspend(&self, how: Suspend) -> Result<(), ManageError> {
        let _changing = self.change();
        if self.changeable()?.suspended {
            return Ok(());
        }
        self.suspend_running(how)
    }

    /// Lets I/O through again, that which was held first; takes the inactive table up where there is one. That
    /// suspends a device which is not, and waits as [`ManagedDevice::suspend`] does.
    ///
    /// # Errors
    /// When there is no table, a key of it is wiped (`EAGAIN`), or the suspend fails.
    pub fn resume(&self) -> Result<(), ManageError> {
        let _changing = self.change();
        let (runs, swaps) = {
            let state = self.changeable()?;
            (state.live.is_some() && !state.suspended, state.inactive.is_some())
        };
        if swaps {
            if runs {
                self.suspend_running(Suspend::default())?;
            }
            self.swap();
        } else if runs {
            return Ok(());
        }
        self.ready()?;
        self.each_target(|target| target.resume());
        self.state().suspended = false;
        self.channels.release();
        Ok(())
    }

    /// Ends the device: its tables go, and with them every key.
    ///
    /// # Errors
    /// While somebody has it open (`EBUSY`).
    pub fn remove(&self) -> Result<(), ManageError> {
        let _changing = self.change();
        let mut state = self.changeable()?;
        let open = self.opens.load(Ordering::Relaxed);
        if open > 0 {
            let message = format!("device {} is in use by {open}", self.name);
            return Err(Refusal::new(errno::EBUSY, message, "close it first").into());
        }
        state.removed = true;
        drop(state);
        // Whatever happens from here on, nobody waits for a device that does not come back.
        let hold = self.channels.hold();
        self.each_target(|target| target.suspend());
        self.channels.refuse(Status::Offline);
        hold.wait(None);
        hold.stay();
        let (live, inactive) = {
            let mut state = self.state();
            (state.live.take(), state.inactive.take())
        };
        self.take_away();
        drop((live, inactive));
        Ok(())
    }

    /// For a program that ends: what is held, and whatever comes while the device is suspended, ends with
    /// [`Status::Offline`], so that nobody waits for a resume that nobody will ask for; the device takes no more changes.
    /// I/O on a device that is not suspended goes on.
    pub fn close(&self) {
        self.state().closing = true;
        self.channels.refuse(Status::Offline);
    }

    /// Makes durable, on every device below, what was acknowledged, also while suspended. It waits for that.
    ///
    /// # Errors
    /// What the first device that fails says.
    pub fn flush_below(&self) -> Result<(), Status> {
        let devices: Vec<_> =
            self.state().live.iter().flat_map(|live| live.devices.values().cloned()).collect();
        for device in devices {
            let geometry = device.geometry();
            if geometry.write_cache && !geometry.read_only {
                Blocking::new(device).map_err(|_| Status::DevResource)?.flush()?;
            }
        }
        Ok(())
    }

    /// Suspends a device that is not. The caller changes it.
    fn suspend_running(&self, how: Suspend) -> Result<(), ManageError> {
        let done = self.suspend_targets(how);
        if done.is_err() {
            self.each_target(|target| target.resume());
        }
        done
    }

    fn suspend_targets(&self, how: Suspend) -> Result<(), ManageError> {
        let hold = self.channels.hold();
        self.each_target(|target| target.suspend());
        // A time that the clock cannot name does not come: that long is for ever.
        if !hold.wait(how.patience.and_then(|patience| Instant::now().checked_add(patience))) {
            return Err(self.late().into());
        }
        if how.flush
            && let Err(status) = self.flush_below()
        {
            let message =
                format!("flushing below device {} failed ({status}), so it was not suspended", self.name);
            return Err(Refusal::new(errno::EIO, message, "suspend it without a flush (--noflush)").into());
        }
        self.state().suspended = true;
        hold.stay();
        Ok(())
    }

    /// What is said of a device that could not be suspended in time.
    fn late(&self) -> Refusal {
        let name = &self.name;
        let (message, hint) = match self.channels.under_way() {
            0 => (
                format!(
                    "a program that has device {name} open has not answered in time, so it was not suspended"
                ),
                "try again, or close the device there",
            ),
            left => (
                format!("{left} I/Os of device {name} have not ended in time, so it was not suspended"),
                "look at the devices below it",
            ),
        };
        Refusal::new(errno::ETIMEDOUT, message, hint)
    }

    /// Calls `tell` with each target of the live table, in the order of the rows.
    pub(super) fn each_target(&self, tell: impl FnMut(&dyn Target)) {
        if let Some(table) = self.channels.table() {
            table.targets().for_each(tell);
        }
    }

    /// Takes the inactive table up. Nothing is under way.
    fn swap(&self) {
        let Some((loaded, mapped)) = self.state().inactive.take() else { return };
        self.take_up(mapped);
        let old = self.state().live.replace(loaded);
        drop(old);
    }

    /// Has I/O go to `mapped` from now on. All channels hold.
    pub(super) fn take_up(&self, mapped: MappedDevice) {
        let mut geometry = mapped.geometry();
        geometry.read_only |= self.options.read_only;
        self.channels.take_up(Some(&Arc::new(mapped)), geometry);
    }

    /// Takes the live table's device away; what clients are told of it stays. All channels hold.
    pub(super) fn take_away(&self) {
        self.channels.take_up(None, self.channels.geometry());
    }

    /// Whether the device can be resumed.
    fn ready(&self) -> Result<(), ManageError> {
        if self.channels.has_table() {
            return Ok(());
        }
        if self.state().live.is_none() {
            let message = format!("device {} has no table", self.name);
            return Err(Refusal::new(errno::EINVAL, message, "load one first").into());
        }
        let message = format!("device {} has no key, as it was wiped", self.name);
        let refusal = Refusal::new(errno::EAGAIN, message, "set it (message 0 key set), and resume then");
        Err(refusal.with_log("crypt: aborting resume - crypt key is not set.").into())
    }

    /// The device of a table.
    pub(super) fn build(&self, table: &Table, devices: &Devices) -> Result<MappedDevice, LoadError> {
        let ManagedOptions { cipher, source, reserves, .. } = &self.options;
        build(table, devices, cipher, source, *reserves)
    }

    /// Only one thread changes the device at a time.
    pub(super) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a device that is there.
    ///
    /// # Errors
    /// When it is removed, or about to go.
    pub(super) fn changeable(&self) -> Result<MutexGuard<'_, State>, ManageError> {
        let state = self.state();
        if state.removed || state.closing {
            let what = if state.removed { "is removed" } else { "is being closed" };
            let message = format!("device {} {what}", self.name);
            return Err(Refusal::new(errno::ENXIO, message, "create it again").into());
        }
        Ok(state)
    }
}

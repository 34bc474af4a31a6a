//! What a request has a device do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use udm_block::{Device, Sector};
use udm_dm::load::Lookup;
use udm_dm::managed::{ManageError, ManagedDevice, Suspend, TableSlot};
use udm_dm::table::{ShowKeys, Table};
use zeroize::Zeroizing;

use super::wire::{Answer, Command, Request};

const ENXIO: i32 = 6;
const EINVAL: i32 = 22;

/// The devices that can be controlled.
pub(super) struct Devices {
    pub(super) all: Vec<Arc<ManagedDevice>>,
    /// Where tables that are loaded find what they name.
    pub(super) files: Mutex<Box<dyn Lookup + Send>>,
}

impl Devices {
    /// Does what was asked for.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if request.command == Command::Ls {
            let names: String = self.all.iter().map(|device| device.name().to_owned() + "\n").collect();
            return Ok(names.into());
        }
        let device = self.find(&request.name)?;
        let text = request.text.as_str();
        let has = |option: &str| text.split_ascii_whitespace().any(|word| word == option);
        match request.command {
            Command::Ls | Command::Status => Ok(device.status().into()),
            Command::Deps => {
                Ok(device.deps().iter().map(|name| name.clone() + "\n").collect::<String>().into())
            }
            Command::Info => Ok(info(device).into()),
            Command::Table => {
                let slot = if has("inactive") { TableSlot::Inactive } else { TableSlot::Live };
                let keys = if has("showkeys") { ShowKeys::Shown } else { ShowKeys::Hidden };
                Ok(device.table(slot, keys))
            }
            Command::Suspend => {
                let patience = text.split_ascii_whitespace().find_map(|word| word.strip_prefix("timeout="));
                let patience = patience.map(|seconds| {
                    seconds
                        .parse()
                        .map(Duration::from_secs)
                        .map_err(|_| (EINVAL, "a timeout is in seconds".into()))
                });
                done(device.suspend(Suspend { flush: !has("noflush"), patience: patience.transpose()? }))
            }
            Command::Resume => done(device.resume()),
            Command::Clear => done(device.clear()),
            Command::Load => {
                let table = Table::parse_with(udm_targets::all(), text)
                    .map_err(|error| (EINVAL, error.to_string()))?;
                let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                done(device.load(table, &**files))
            }
            Command::Message => {
                let (sector, message) = text.split_once(' ').unwrap_or((text, ""));
                let sector =
                    sector.parse().map_err(|_| (EINVAL, "a message begins with a sector's number".into()))?;
                done(device.message(Sector(sector), message))
            }
        }
    }

    /// The device of this name; the only one where there is no name.
    fn find(&self, name: &str) -> Result<&ManagedDevice, (i32, String)> {
        let names = || self.all.iter().map(|device| device.name()).collect::<Vec<_>>().join(", ");
        match &self.all[..] {
            [only] if name.is_empty() => Ok(only),
            all if name.is_empty() => {
                Err((EINVAL, format!("there are {} devices: name one of {}", all.len(), names())))
            }
            all => {
                let found = all.iter().find(|device| device.name() == name).map(|device| &**device);
                found.ok_or_else(|| {
                    (ENXIO, format!("there is no device {name:?} here: there are {}", names()))
                })
            }
        }
    }
}

/// A line for each thing, as `dmsetup info` has them.
fn info(device: &ManagedDevice) -> String {
    let info = device.info();
    let state = match (info.suspended, info.key_wiped) {
        (true, true) => "SUSPENDED, key wiped",
        (true, false) => "SUSPENDED",
        (false, _) => "ACTIVE",
    };
    let tables = match (info.live, info.inactive) {
        (true, true) => "LIVE & INACTIVE",
        (true, false) => "LIVE",
        (false, true) => "INACTIVE",
        (false, false) => "None",
    };
    let (name, sectors) = (device.name(), device.geometry().size);
    format!(
        "Name: {name}\nState: {state}\nRead only: {}\nTables present: {tables}\nNumber of targets: {}\nSectors: \
         {sectors}\nI/Os held: {}\nI/Os under way: {}\n",
        if info.read_only { "yes" } else { "no" },
        info.rows,
        info.held,
        info.under_way,
    )
}

fn done(result: Result<(), ManageError>) -> Answer {
    result.map(|()| Zeroizing::default()).map_err(|error| (error.errno(), error.to_string()))
}

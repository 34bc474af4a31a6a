//! The machine of the transcript: three disks, and the devices that dmsetup makes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use udm_block::{Device, DeviceRef, Geometry, Sector, Sectors};
use udm_dm::load::Lookup;
use udm_dm::managed::{ManageError, ManagedDevice, ManagedOptions, Open, Suspend, TableSlot};
use udm_dm::table::{ShowKeys, Table};
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::CipherChoice;

use crate::support::disk::Ram;
use crate::support::heap;

/// What a command printed, its exit status, and what the kernel would have logged.
#[derive(Default)]
pub struct Answer {
    pub output: String,
    pub status: i32,
    pub log: Vec<String>,
}

impl Answer {
    pub fn ok(output: impl Into<String>) -> Self {
        Self { output: output.into(), ..Self::default() }
    }

    pub fn failed(output: impl Into<String>) -> Self {
        Self { output: output.into(), status: 1, ..Self::default() }
    }
}

pub struct Machine {
    disks: HashMap<&'static str, DeviceRef>,
    pub devices: HashMap<String, Arc<ManagedDevice>>,
    /// Files that commands write and read.
    pub files: HashMap<String, Vec<u8>>,
    /// The descriptor that `exec 8<` opens.
    pub descriptor: Option<Open>,
}

/// Finds disks by their path, and devices under `/dev/mapper`.
struct Nodes<'a>(&'a Machine);

impl Lookup for Nodes<'_> {
    fn device(&self, name: &str, _block_size: u32) -> Result<DeviceRef, udm_dm::load::LookupError> {
        self.0.node(name).ok_or(udm_dm::load::LookupError::NotFound)
    }
}

impl Machine {
    pub fn new() -> Self {
        let plain = Geometry { discard: true, write_zeroes: true, ..Geometry::plain(Sectors(4096)) };
        let disks: [(&str, DeviceRef); 3] = [
            ("/dev/vda", Ram::with(plain)),
            ("/dev/vdb", Ram::with(Geometry { logical_block: 4096, ..plain })),
            ("/dev/vdc", Ram::with(Geometry { read_only: true, ..plain })),
        ];
        Self { disks: disks.into(), devices: HashMap::new(), files: HashMap::new(), descriptor: None }
    }

    /// The device of a path.
    pub fn node(&self, path: &str) -> Option<DeviceRef> {
        if let Some(name) = path.strip_prefix("/dev/mapper/") {
            return self.devices.get(name).map(|device| Arc::clone(device) as DeviceRef);
        }
        self.disks.get(path).cloned()
    }

    /// `dmsetup` with these words.
    pub fn dmsetup(&mut self, words: &[&str]) -> Answer {
        let Some((command, rest)) = words.split_first() else { panic!("dmsetup without a command") };
        let option = |name: &str| rest.iter().position(|word| *word == name).map(|at| rest[at + 1]);
        let names: Vec<_> = positional(rest);
        let name = *names.first().expect("a device's name");
        if *command == "create" {
            return self.create(name, option("--table").expect("a table"), rest.contains(&"-r"));
        }
        let Some(device) = self.devices.get(name).cloned() else {
            return no_such_device(command, name);
        };
        let done = match *command {
            "status" => return Answer::ok(device.status()),
            "table" => {
                let slot = if rest.contains(&"--inactive") { TableSlot::Inactive } else { TableSlot::Live };
                let keys = if rest.contains(&"--showkeys") { ShowKeys::Shown } else { ShowKeys::Hidden };
                return Answer::ok(device.table(slot, keys).as_str());
            }
            "deps" => {
                let deps = device.deps();
                return Answer::ok(format!("{} dependencies\t: ({})\n", deps.len(), deps.join(") (")));
            }
            "info" => return Answer::ok(info(&device, option("-o").expect("columns"))),
            "suspend" => device.suspend(Suspend::default()),
            "resume" => device.resume(),
            "load" => match Table::parse(option("--table").expect("a table")) {
                Ok(table) => device.load(table, &Nodes(self)),
                Err(error) => panic!("{error}"),
            },
            "message" => {
                let sector = Sector(names[1].parse().expect("a sector"));
                device.message(sector, &names[2..].join(" "))
            }
            "remove" => device.remove().map(|()| drop(self.devices.remove(name))),
            other => panic!("dmsetup {other}"),
        };
        done.map_or_else(|error| refused(command, name, &error), |()| Answer::default())
    }

    fn create(&mut self, name: &str, table: &str, read_only: bool) -> Answer {
        if self.devices.contains_key(name) {
            return Answer::failed(failed("create", &format!("{name} "), 16));
        }
        let options = ManagedOptions {
            read_only,
            cipher: CipherChoice::default(),
            source: heap(),
            reserves: Reserves::default(),
        };
        let table = Table::parse(table).unwrap_or_else(|error| panic!("{error}"));
        match ManagedDevice::create(name, table, &Nodes(self), options) {
            Ok(device) => {
                self.devices.insert(name.to_owned(), device);
                Answer::default()
            }
            // dmsetup names the device by its number, too, as it exists for a moment.
            Err(error) => {
                let mut answer = refused("reload", name, &error);
                answer.output = failed("reload", &format!("{name} (<maj>:0)"), error.errno());
                answer
            }
        }
    }
}

/// The words that are no options.
fn positional<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--table" | "-o" => drop(words.next()),
            option if option.starts_with('-') => {}
            name => names.push(name),
        }
    }
    names
}

/// The columns of `dmsetup info -c`.
fn info(device: &ManagedDevice, columns: &str) -> String {
    let info = device.info();
    let mut shown = String::new();
    for column in columns.split(',') {
        let column = match column {
            "name" => device.name().to_owned(),
            "attr" => info.attributes(),
            "open" => info.open.to_string(),
            "segments" => info.rows.to_string(),
            // No target here has events.
            "events" => "0".to_owned(),
            other => panic!("column {other}"),
        };
        let colon = if shown.is_empty() { "" } else { ":" };
        let _ = write!(shown, "{colon}{column}");
    }
    shown + "\n"
}

fn no_such_device(command: &str, name: &str) -> Answer {
    Answer::failed(failed(command, &format!("{name} "), 6))
}

/// What dmsetup prints when the kernel says no.
fn refused(command: &str, name: &str, error: &ManageError) -> Answer {
    let output = failed(command, &format!("{name} "), error.errno());
    Answer { log: error.kernel_log().map(str::to_owned).into_iter().collect(), ..Answer::failed(output) }
}

fn failed(command: &str, name: &str, errno: i32) -> String {
    format!("device-mapper: {command} ioctl on {name} failed: {}\nCommand failed.\n", strerror(errno))
}

/// The C library's words for an errno.
pub fn strerror(errno: i32) -> &'static str {
    match errno {
        1 => "Operation not permitted",
        5 => "Input/output error",
        6 => "No such device or address",
        11 => "Resource temporarily unavailable",
        16 => "Device or resource busy",
        22 => "Invalid argument",
        28 => "No space left on device",
        95 => "Operation not supported",
        other => panic!("errno {other}"),
    }
}

/// A number of `/sys/block/DEVICE/queue`, where it has a meaning here.
pub fn queue_limit(device: &dyn Device, file: &str) -> Option<String> {
    let geometry = device.geometry();
    let block = geometry.logical_block;
    Some(match file {
        "logical_block_size" | "physical_block_size" | "minimum_io_size" => block.to_string(),
        "optimal_io_size" => "0".into(),
        // The kernel cuts a discard into what its numbers can hold; here it has no limit of its own.
        "discard_max_bytes" => if geometry.discard { "2147483136" } else { "0" }.into(),
        "discard_granularity" => if geometry.discard { block } else { 0 }.to_string(),
        "write_zeroes_max_bytes" => if geometry.write_zeroes { "some" } else { "0" }.into(),
        "write_cache" => if geometry.write_cache { "write back" } else { "write through" }.into(),
        _ => return None,
    })
}

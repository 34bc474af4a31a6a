//! `udm serve`: devices for clients, until a signal.

mod ending;

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use udm_block::DeviceRef;
use udm_dm::managed::ManagedDevice;
use udm_dm::table::Table;
use udm_export::nbd::server::{Export, Server};
use udm_export::serving::{MAX_CONNECTIONS, MOST_CONNECTIONS, MemoryLockGuard};
use udm_nbd::address::Address;

use crate::cli::{Failure, Given, NamedInput, ServeArgs, human, print, read_table};
use crate::control::Control;
use crate::input::Input;
use crate::locked::{self, Counters, Locked};
use crate::log;
use crate::passphrase::Passphrase;
use udm::device::name::split_name;
use udm::device::{DeviceName, Files, Place, Takes};
use udm::luks::Unlocking;

/// The stack of the thread that prints where the exports are, in bytes.
const STACK: usize = 128 << 10;

/// A device under the name that clients know it by.
struct Named {
    name: String,
    device: DeviceRef,
    /// The same where `udm dm` can change it.
    managed: Option<Arc<ManagedDevice>>,
}

pub(crate) fn run(args: &ServeArgs, given: &Given, json: bool) -> Result<(), Failure> {
    let most = max_connections(args)?;
    let wanted = wanted(args, given)?;
    let options = args.open.options(args.read_only);
    let Some(mode) = args.locked else {
        log::start_thread().map_err(|error| Failure::thread(&error))?;
        let files = Files::new(&options);
        let devices = open_all(wanted, args, &files)?;
        let server = Server::bind(&args.nbd, exports(args, &devices), most);
        let server = server.map_err(Failure::work)?;
        let control = args.control.as_ref().map(|path| control(path, &devices, files)).transpose()?;
        let result = serve(args, server, devices, None, json);
        drop(control);
        return result;
    };
    let mut locked = Locked::begin(mode);
    log::start_thread().map_err(|error| Failure::thread(&error))?;
    let files = locked.files(Files::new(&options));
    let devices = open_all(wanted, args, &files)?;
    locked.look(&files, &args.nbd);
    let exports = exports(args, &devices);
    let counters = locked.counters();
    let lock_guard = Arc::clone(&counters) as Arc<dyn MemoryLockGuard>;
    let server = Server::bind_sealed(&args.nbd, exports, most, lock_guard).map_err(Failure::work)?;
    locked.close(devices.len(), most)?;
    serve(args, server, devices, Some(counters), json)
}

/// How many clients there may be at once.
fn max_connections(args: &ServeArgs) -> Result<usize, Failure> {
    match args.max_connections {
        None if args.locked.is_some() => Ok(locked::MAX_CONNECTIONS),
        None => Ok(MAX_CONNECTIONS),
        Some(most @ 1..=MOST_CONNECTIONS) => Ok(most),
        Some(most) => Err(Failure::request(format!(
            "--max-connections {most}: a server takes from 1 to {MOST_CONNECTIONS} clients at once"
        ))),
    }
}

/// Listens for `udm dm`.
fn control(path: &Path, devices: &[Named], files: Files) -> Result<Control, Failure> {
    let managed: Vec<_> = devices.iter().filter_map(|named| named.managed.clone()).collect();
    if managed.is_empty() {
        return Err(Failure::request("--control is for devices with a table: use --table-file FILE"));
    }
    Control::start(path, managed, files)
        .map_err(|error| Failure::work(format!("cannot listen for control at {}: {error}", path.display())))
}

/// What clients are told of the devices.
fn exports(args: &ServeArgs, devices: &[Named]) -> Vec<Export> {
    let exports = devices.iter().map(|named| {
        let size = named.device.geometry().stored().0;
        let description = format!("{}, served by udm", human(size));
        Export::new(&named.name, description, DeviceRef::clone(&named.device), args.read_only)
    });
    exports.collect()
}

/// Serves until a signal.
fn serve(
    args: &ServeArgs,
    server: Server,
    devices: Vec<Named>,
    counters: Option<Arc<Counters>>,
    json: bool,
) -> Result<(), Failure> {
    // Signals are caught before anybody is told that they may be sent.
    let managed = devices.iter().filter_map(|named| named.managed.clone()).collect();
    ending::listen_to_signals(server.stopper(), managed, counters.clone(), json)?;
    announce(&server.addresses().map_err(Failure::work)?, &devices, json);
    // Whatever ends it, what was acknowledged is flushed.
    let ended = catch_unwind(AssertUnwindSafe(|| server.run().map_err(Failure::work)));
    let ended = ended.unwrap_or_else(|_| Err(Failure::work("a fault ended the server")));
    if let Some(counters) = counters {
        ending::tell(&counters, json);
    }
    let flushed = if args.read_only { Ok(()) } else { ending::flush_all(devices, ended.is_err()) };
    ended.and(flushed)
}

/// What is to be served, and under which name.
enum Wanted {
    Device(Option<String>, DeviceName),
    Table(String, Table),
}

/// What was named, none of which is opened yet. An option that has no meaning for any of it is refused.
fn wanted(args: &ServeArgs, given: &Given) -> Result<Vec<Wanted>, Failure> {
    let split = |word: &OsStr| split_name(word).map_err(Failure::request);
    let mut all = Vec::new();
    for word in &args.devices {
        let (name, device) = split(word)?;
        all.push(Wanted::Device(name, DeviceName::parse(&device).map_err(Failure::request)?));
    }
    for text in &args.table {
        let (name, table) = match text.split_once('=') {
            Some((name, table)) if !name.is_empty() && !name.contains(['/', ' ', ':']) => (Some(name), table),
            _ => (None, text.as_str()),
        };
        all.push(Wanted::Table(
            name.unwrap_or("volume").to_owned(),
            Table::parse_with(udm_targets::all(), table)?,
        ));
    }
    for NamedInput { name, input } in &args.table_file {
        let text = read_table(input)?;
        let name = name.clone().or_else(|| stem(input)).unwrap_or_else(|| "volume".into());
        all.push(Wanted::Table(name, Table::parse_with(udm_targets::all(), &text)?));
    }
    if all.is_empty() {
        return Err(Failure::request(
            "no device was given: name a LUKS volume, or raw:PATH, or use --table-file FILE",
        ));
    }
    let takes = all.iter().fold(Takes::default(), |takes, wanted| match wanted {
        Wanted::Device(_, device) => takes.or(device.takes()),
        Wanted::Table(_, table) => takes.or(Takes::of_table(table)),
    });
    let named = match &all[..] {
        [Wanted::Device(_, device)] => device.to_string(),
        [Wanted::Table(..)] => "what the table names".into(),
        _ => "what is served here".into(),
    };
    given.check(&named, takes)?;
    let volumes = all.iter().filter(|wanted| matches!(wanted, Wanted::Device(_, DeviceName::Luks(_))));
    if args.unlock.header.is_some() && volumes.count() > 1 {
        return Err(Failure::request(
            "--header is of one LUKS volume, and several are named: serve each by a server of its own",
        ));
    }
    Ok(all)
}

/// How LUKS volumes are unlocked: with one passphrase from a file for all of them, as stdin can be read once.
fn unlocking(args: &ServeArgs, wanted: &[Wanted]) -> Result<Unlocking, Failure> {
    let unlocking = args.unlock.unlocking();
    let mut volumes = wanted.iter().filter_map(|wanted| match wanted {
        Wanted::Device(_, DeviceName::Luks(place)) => Some(place),
        _ => None,
    });
    let passphrase = args.unlock.key.passphrase();
    match volumes.next() {
        Some(place) if matches!(passphrase, Passphrase::File { .. }) => {
            let read = passphrase.get(Path::new(&place.to_string())).map_err(Failure::request)?;
            Ok(Unlocking { passphrase: Arc::new(read), ..unlocking })
        }
        _ => Ok(unlocking),
    }
}

/// Opens what was named, with a name for each.
fn open_all(wanted: Vec<Wanted>, args: &ServeArgs, files: &Files) -> Result<Vec<Named>, Failure> {
    // Dropped when all are open: a server keeps no passphrase.
    let unlocking = unlocking(args, &wanted)?;
    let open = |wanted| match wanted {
        Wanted::Table(name, table) => open_table(name, table, args, files),
        Wanted::Device(name, device) => {
            let name = name.or_else(|| device.place().short_name()).unwrap_or_else(|| "volume".into());
            match &device {
                DeviceName::Raw(_) => {
                    Ok(Named { name, device: files.open_device(&device, None)?, managed: None })
                }
                DeviceName::Luks(place) => {
                    open_table(name, files.luks_table(place, &unlocking)?, args, files)
                }
            }
        }
    };
    wanted.into_iter().map(open).collect()
}

/// The device of a table.
fn open_table(name: String, table: Table, args: &ServeArgs, files: &Files) -> Result<Named, Failure> {
    if args.control.is_none() {
        return Ok(Named { name, device: files.load(&table)?, managed: None });
    }
    let managed = files.open_managed(&name, table)?;
    Ok(Named { name, device: Arc::clone(&managed) as DeviceRef, managed: Some(managed) })
}

/// The name of a table's file up to its first point.
fn stem(input: &Input) -> Option<String> {
    let Input::Path(path) = input else { return None };
    let name = Place::Path(path.clone()).short_name()?;
    name.split('.').next().filter(|stem| !stem.is_empty()).map(str::to_owned)
}

/// Tells where each export is, one URI a line: clients may connect from now on. Whether anybody reads that is nothing to
/// the clients, so nobody waits for it.
fn announce(addresses: &[Address], devices: &[Named], json: bool) {
    let mut lines = Vec::new();
    for named in devices {
        let size = named.device.geometry().stored().0;
        tracing::info!("serving \"{}\", {}", named.name, human(size));
        for address in addresses {
            let uri = address.uri(&named.name);
            let told = json!({ "export": named.name, "uri": uri, "size": size });
            lines.push(if json { told.to_string() } else { uri });
        }
    }
    let print_all = move || {
        if let Err(error) = print(&lines.join("\n")) {
            tracing::warn!("{error}; serving all the same");
        }
    };
    let thread = thread::Builder::new().name("udm-announce".into()).stack_size(STACK);
    if let Err(error) = thread.spawn(print_all) {
        tracing::warn!(%error, "cannot start the thread that prints the URIs");
    }
}

//! `udm serve`: devices for clients, until a signal.

use std::sync::Arc;
use std::thread;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use udm_block::DeviceRef;
use udm_block::blocking::Blocking;
use udm_block::memory::{Heap, Source};
use udm_export::nbd::address::Address;
use udm_export::nbd::server::{Export, Server, Stopper};

use crate::cli::{Failure, ServeArgs, human, print, read_table};
use crate::device::{Files, open_image};

/// A device under the name that clients know it by.
struct Named {
    name: String,
    device: DeviceRef,
}

pub(crate) fn run(args: &ServeArgs, json: bool) -> Result<(), Failure> {
    let devices = open_all(args)?;
    let source: Source = Arc::new(Heap);
    let exports = devices.iter().map(|named| {
        let size = named.device.geometry().size.bytes().0;
        let description = format!("{}, served by udm", human(size));
        Export::new(&named.name, description, DeviceRef::clone(&named.device), args.read_only, &source)
    });
    let exports = exports.collect::<Result<Vec<_>, _>>().map_err(Failure::work)?;
    let server = Server::bind(&args.nbd, exports, args.max_connections).map_err(Failure::work)?;
    // Signals are caught before anybody is told that they may be sent.
    stop_on_signals(server.stopper())?;
    announce(&server.addresses().map_err(Failure::work)?, &devices, json)?;
    server.run().map_err(|error| Failure::work(format!("cannot serve on: {error}")))?;
    if args.read_only { Ok(()) } else { flush_all(devices) }
}

/// Opens what was named, with a name for each.
fn open_all(args: &ServeArgs) -> Result<Vec<Named>, Failure> {
    let options = args.open.options(args.read_only);
    let files = Files::new(&options);
    let mut all = Vec::new();
    for given in &args.devices {
        let (name, device) = split_name(given);
        let path = device.strip_prefix("raw:").unwrap_or(device);
        all.push(Named {
            name: name.unwrap_or_else(|| file_name(path)),
            device: open_image(device, &options)?,
        });
    }
    for given in &args.table {
        let (name, table) = split_name(given);
        all.push(open_named_table(name, "volume", table, &files)?);
    }
    for given in &args.table_file {
        let (name, path) = split_name(given);
        let stem = file_name(path).split('.').next().filter(|stem| !stem.is_empty()).map(str::to_owned);
        let text = read_table(path.as_ref())?;
        all.push(open_named_table(name, stem.as_deref().unwrap_or("volume"), &text, &files)?);
    }
    if all.is_empty() {
        return Err(Failure::request("no device was given: use --table-file FILE, or raw:PATH"));
    }
    Ok(all)
}

fn open_named_table(
    name: Option<String>,
    default: &str,
    text: &str,
    files: &Files<'_>,
) -> Result<Named, Failure> {
    Ok(Named { name: name.unwrap_or_else(|| default.into()), device: files.open_table(text)? })
}

/// `NAME=REST`, where NAME could not be the beginning of a path or a table.
fn split_name(given: &str) -> (Option<String>, &str) {
    match given.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !name.contains(['/', ' ', ':']) => {
            (Some(name.into()), rest)
        }
        _ => (None, given),
    }
}

fn file_name(path: &str) -> String {
    let path = std::path::Path::new(path);
    path.file_name().map_or_else(|| "volume".into(), |name| name.to_string_lossy().into_owned())
}

/// Tells where each export is, one URI a line: clients may connect from now on.
fn announce(addresses: &[Address], devices: &[Named], json: bool) -> Result<(), Failure> {
    for named in devices {
        let size = named.device.geometry().size.bytes().0;
        tracing::info!("serving \"{}\", {}", named.name, human(size));
        for address in addresses {
            let uri = address.uri(&named.name);
            let told = json!({ "export": named.name, "uri": uri, "size": size });
            print(&if json { told.to_string() } else { uri })?;
        }
    }
    Ok(())
}

/// Stops the server at the first signal, and the program at the second.
fn stop_on_signals(stopper: Stopper) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::work)?;
    thread::Builder::new()
        .name("udm-signals".into())
        .spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                tracing::info!("stopping: a second signal ends the program at once");
                stopper.stop();
            }
            if signals.next().is_some() {
                tracing::error!("ended by a second signal: what was not flushed may be lost");
                std::process::exit(1);
            }
        })
        .map_err(Failure::work)?;
    Ok(())
}

/// Makes everything durable that was acknowledged.
fn flush_all(devices: Vec<Named>) -> Result<(), Failure> {
    let mut failed = None;
    for Named { name, device } in devices {
        if device.geometry().read_only {
            continue;
        }
        let flushed = Blocking::new(device).map_err(|error| error.to_string());
        if let Err(why) = flushed.and_then(|device| device.flush().map_err(|status| status.to_string())) {
            tracing::error!("flushing \"{name}\": {why}");
            failed = Some(Failure::work(format!("\"{name}\" could not be flushed: {why}")));
        }
    }
    failed.map_or(Ok(()), Err)
}

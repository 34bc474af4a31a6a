//! `udm write`: plaintext in, without serving.

use std::fs::File;
use std::io::{Read, Seek};

use serde_json::json;
use udm_backend::path_of;
use udm_block::blocking::Blocking;

use crate::cli::{Failure, Given, WriteArgs, print};
use crate::input::FileId;

/// How much is written at once, in bytes.
const CHUNK: u64 = 4 << 20;

pub(crate) fn run(args: &WriteArgs, given: &Given, json: bool) -> Result<(), Failure> {
    let (device, names) = args.device.open(false, given)?;
    let input = args.input.id();
    if let Some(name) = names.iter().find(|name| input.is_some() && FileId::of(&path_of(name)) == input) {
        return Err(Failure::request(format!("{} is {name}, which would be written to", args.input)));
    }
    let device = Blocking::new(device).map_err(Failure::work)?;
    let size = device.device().geometry().stored().0;
    if args.offset > size {
        return Err(Failure::request(format!(
            "byte {} is not on {}, which has {size} bytes",
            args.offset,
            args.device.shown()
        )));
    }
    let (name, to) = (args.input.to_string(), args.device.shown());
    let flush = || device.flush().map_err(|status| Failure::work(format!("{to}: flushing: {status}")));
    let mut input = args.input.open().map_err(|error| Failure::request(format!("{name}: {error}")))?;
    check_fits(input.file(), args.offset, size)?;
    let mut chunk = Vec::with_capacity(CHUNK as usize);
    let mut at = args.offset;
    loop {
        chunk.clear();
        let got = (&mut input).take(CHUNK).read_to_end(&mut chunk);
        got.map_err(|error| Failure::work(format!("{name}: {error}")))?;
        if chunk.is_empty() {
            break;
        }
        let fits = chunk.len().min((size - at) as usize);
        device
            .write_at(at, &chunk[..fits])
            .map_err(|status| Failure::work(format!("{to}: writing {fits} bytes at byte {at}: {status}")))?;
        at += fits as u64;
        if fits < chunk.len() {
            flush()?;
            let written = at - args.offset;
            return Err(Failure::work(format!("{to} is full: {written} bytes of {name} are on it")));
        }
    }
    flush()?;
    if json { print(&json!({ "written": at - args.offset }).to_string()) } else { Ok(()) }
}

/// Refuses a file of which more is to be read than what is left of the device, before anything is written.
fn check_fits(mut file: &File, offset: u64, size: u64) -> Result<(), Failure> {
    let Ok(found) = file.metadata() else { return Ok(()) };
    let left = found.len().saturating_sub(file.stream_position().unwrap_or(0));
    if !found.is_file() || left <= size - offset {
        return Ok(());
    }
    Err(Failure::request(format!(
        "the file has {left} bytes, and only {} fit behind byte {offset}: nothing was written",
        size - offset
    )))
}

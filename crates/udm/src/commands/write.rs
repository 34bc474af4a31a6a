//! `udm write`: plaintext in, without serving.

use std::fs::File;
use std::io::Read;

use serde_json::json;
use udm_block::blocking::Blocking;

use crate::cli::{Failure, WriteArgs, print};

/// How much is written at once, in bytes.
const CHUNK: u64 = 4 << 20;

pub(crate) fn run(args: &WriteArgs, json: bool) -> Result<(), Failure> {
    let device = Blocking::new(args.device.open(false)?).map_err(Failure::work)?;
    let size = device.device().geometry().stored().0;
    if args.offset > size {
        return Err(Failure::request(format!(
            "byte {} is not on the device, which has {size} bytes",
            args.offset
        )));
    }
    let (mut input, name): (Box<dyn Read>, String) = match &args.input {
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Failure::request(format!("{}: {error}", path.display())))?;
            check_fits(&file, args.offset, size)?;
            (Box::new(file), path.display().to_string())
        }
        None => (Box::new(std::io::stdin().lock()), "stdin".into()),
    };
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
            .map_err(|status| Failure::work(format!("writing {fits} bytes at {at}: {status}")))?;
        at += fits as u64;
        if fits < chunk.len() {
            device.flush().map_err(|status| Failure::work(format!("flushing: {status}")))?;
            let written = at - args.offset;
            return Err(Failure::work(format!("the device is full: {written} bytes of {name} are on it")));
        }
    }
    device.flush().map_err(|status| Failure::work(format!("flushing: {status}")))?;
    if json { print(&json!({ "written": at - args.offset }).to_string()) } else { Ok(()) }
}

/// Refuses a file that is longer than what is left of the device, before anything is written.
fn check_fits(file: &File, offset: u64, size: u64) -> Result<(), Failure> {
    match file.metadata() {
        Ok(found) if found.is_file() && found.len() > size - offset => Err(Failure::request(format!(
            "the file has {} bytes, and only {} fit behind byte {offset}: nothing was written",
            found.len(),
            size - offset
        ))),
        _ => Ok(()),
    }
}

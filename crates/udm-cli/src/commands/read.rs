//! `udm read`: plaintext out, without serving.

use std::io::{self, IsTerminal, Write};

use udm_backend::path_of;
use udm_block::Status;
use udm_block::blocking::Blocking;

use crate::cli::{Failure, Given, ReadArgs};
use crate::input::FileId;
use crate::output::{self, Existing, Output};

/// How much is read at once, in bytes.
const CHUNK: u64 = 4 << 20;

pub(crate) fn run(args: &ReadArgs, given: &Given) -> Result<(), Failure> {
    let (device, names) = args.device.open(true, given)?;
    let device = Blocking::new(device).map_err(Failure::work)?;
    let size = device.device().geometry().stored().0;
    let length = args.length.unwrap_or_else(|| size.saturating_sub(args.offset));
    if args.offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(Failure::request(format!(
            "{length} bytes at byte {} do not fit {}, which has {size} bytes",
            args.offset,
            args.device.shown()
        )));
    }
    let unread = |at, len, status| {
        Failure::work(format!("{}: reading {len} bytes at byte {at}: {status}", args.device.shown()))
    };
    let Some(path) = args.output.file() else {
        if std::io::stdout().is_terminal() {
            return Err(Failure::request("the bytes would go to the terminal: use -o FILE, or a pipe"));
        }
        let mut out = output::stdout()?;
        copy(&device, args.offset, length, &mut out, &unread, &|error| Failure::stdout(&error))?;
        return out.flush().map_err(|error| Failure::stdout(&error));
    };
    // What was encrypted is not for everybody.
    let read: Vec<_> = names.iter().filter_map(|name| FileId::of(&path_of(name))).collect();
    let mut file = Output::create(path, 0o600, Existing::forced(args.force), &read)?;
    let failed = |error| Failure::work(format!("{}: {error}", path.display()));
    copy(&device, args.offset, length, &mut file, &unread, &failed)?;
    file.finish()
}

/// Copies `length` bytes at `offset` to `out`.
fn copy(
    device: &Blocking,
    offset: u64,
    length: u64,
    out: &mut dyn Write,
    unread: &dyn Fn(u64, usize, Status) -> Failure,
    failed: &dyn Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut chunk = vec![0; length.min(CHUNK) as usize];
    let mut done = 0;
    while done < length {
        let chunk = &mut chunk[..(length - done).min(CHUNK) as usize];
        let at = offset + done;
        device.read_at(at, chunk).map_err(|status| unread(at, chunk.len(), status))?;
        out.write_all(chunk).map_err(failed)?;
        done += chunk.len() as u64;
    }
    Ok(())
}

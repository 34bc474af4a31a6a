//! `udm read`: plaintext out, without serving.

use std::fs::File;
use std::io::{IsTerminal, Write};

use udm_block::blocking::Blocking;

use crate::cli::{Failure, ReadArgs};

/// Says that the bytes could not be written where they go.
type Failed<'a> = Box<dyn Fn(std::io::Error) -> Failure + 'a>;

/// How much is read at once, in bytes.
const CHUNK: u64 = 4 << 20;

pub(crate) fn run(args: &ReadArgs) -> Result<(), Failure> {
    let device = Blocking::new(args.device.open(true)?).map_err(Failure::work)?;
    let size = device.device().geometry().stored().0;
    let length = args.length.unwrap_or_else(|| size.saturating_sub(args.offset));
    if args.offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(Failure::request(format!(
            "{length} bytes at {} leave the device, which has {size} bytes",
            args.offset
        )));
    }
    let (mut out, failed): (Box<dyn Write>, Failed) = match &args.output {
        Some(path) => {
            let failed = |error| Failure::work(format!("{}: {error}", path.display()));
            (Box::new(File::create(path).map_err(failed)?), Box::new(failed))
        }
        None if std::io::stdout().is_terminal() => {
            return Err(Failure::request("the bytes would go to the terminal: use -o FILE, or a pipe"));
        }
        None => (Box::new(std::io::stdout().lock()), Box::new(|error| Failure::stdout(&error))),
    };
    let mut chunk = vec![0; length.min(CHUNK) as usize];
    let mut done = 0;
    while done < length {
        let chunk = &mut chunk[..(length - done).min(CHUNK) as usize];
        let at = args.offset + done;
        device
            .read_at(at, chunk)
            .map_err(|status| Failure::work(format!("reading {} bytes at {at}: {status}", chunk.len())))?;
        out.write_all(chunk).map_err(&failed)?;
        done += chunk.len() as u64;
    }
    out.flush().map_err(&failed)
}

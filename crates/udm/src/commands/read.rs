//! `udm read`: plaintext out, without serving.

use std::fs::File;
use std::io::{IsTerminal, Write};

use udm_block::blocking::Blocking;

use crate::cli::{Failure, ReadArgs};

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
    let (mut out, name): (Box<dyn Write>, String) = match &args.output {
        Some(path) => {
            let file =
                File::create(path).map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
            (Box::new(file), path.display().to_string())
        }
        None if std::io::stdout().is_terminal() => {
            return Err(Failure::request("the bytes would go to the terminal: use -o FILE, or a pipe"));
        }
        None => (Box::new(std::io::stdout().lock()), "stdout".into()),
    };
    let mut chunk = vec![0; length.min(CHUNK) as usize];
    let mut done = 0;
    while done < length {
        let chunk = &mut chunk[..(length - done).min(CHUNK) as usize];
        let at = args.offset + done;
        device
            .read_at(at, chunk)
            .map_err(|status| Failure::work(format!("reading {} bytes at {at}: {status}", chunk.len())))?;
        out.write_all(chunk).map_err(|error| Failure::work(format!("{name}: {error}")))?;
        done += chunk.len() as u64;
    }
    out.flush().map_err(|error| Failure::work(format!("{name}: {error}")))
}

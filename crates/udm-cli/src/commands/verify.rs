//! `udm verify`: whole-bio against per-sector encryption, over a device.

use serde_json::json;
use udm_block::blocking::Blocking;
use udm_dm::load::Lookup;
use udm_dm::table::Row;
use udm_dm::targets::crypt::CipherChoice;
use udm_dm::targets::crypt::params::CryptSpec;

use crate::cli::{Failure, Given, Named, VerifyArgs, human, print};
use crate::compare::{Comparison, Outcome};
use udm::device::{DeviceName, Files};

/// How much is compared at once, in bytes: what stays in a core's second-level cache.
const CHUNK: u64 = 128 << 10;

pub(crate) fn run(args: &VerifyArgs, given: &Given, json: bool) -> Result<(), Failure> {
    let nothing = "there is nothing to verify: a LUKS volume is needed, or a table with a crypt row (--table-file FILE)";
    let options = args.device.open.options(true);
    let files = Files::new(&options);
    let table = match args.device.named(given)? {
        Named::Device(DeviceName::Raw(_)) => return Err(Failure::request(nothing)),
        Named::Device(DeviceName::Luks(place)) => {
            files.luks_table(&place, &args.device.unlock.unlocking())?
        }
        Named::Table(table) => table,
    };
    // Checks everything that only the opened devices can tell, with its own messages.
    drop(files.load(&table)?);
    let mut left = args.length.unwrap_or(u64::MAX);
    let mut rows = 0;
    for row in &table.rows {
        if let Some(spec) = row.target.downcast_ref::<CryptSpec>() {
            let length = row.length.bytes().0.min(left) / spec.options.sector_size as u64;
            let length = length * spec.options.sector_size as u64;
            verify_row(row, spec, length, &files, &options.cipher, json)?;
            rows += 1;
        }
        left = left.saturating_sub(row.length.bytes().0);
    }
    if rows == 0 { Err(Failure::request(nothing)) } else { Ok(()) }
}

/// Compares the first `length` bytes of a row.
fn verify_row(
    row: &Row,
    spec: &CryptSpec,
    length: u64,
    files: &Files,
    cipher: &CipherChoice,
    json: bool,
) -> Result<(), Failure> {
    let lower = files.device(&spec.device.name, spec.options.sector_size as u32).map_err(Failure::request)?;
    let lower = Blocking::new(lower).map_err(Failure::work)?;
    let mut comparison = Comparison::new(spec, cipher).map_err(Failure::request)?;
    let mut chunk = vec![0; CHUNK.min(length) as usize];
    let mut done = 0;
    while done < length {
        let chunk = &mut chunk[..(length - done).min(CHUNK) as usize];
        let at = spec.device.start.0.saturating_mul(512).saturating_add(done);
        lower.read_at(at, chunk).map_err(|status| {
            Failure::work(format!("reading {} at byte {at}: {status}", spec.device.name))
        })?;
        comparison
            .add(chunk, done / 512)
            .map_err(|error| Failure::work(format!("row at sector {}: {error}", row.start)))?;
        done += chunk.len() as u64;
    }
    let [whole, per_sector] = comparison.outcomes();
    if json {
        let side = |side: &Outcome| {
            json!({ "plaintext_sha256": side.digest,
                    "encrypt_bytes_per_s": side.encrypts, "decrypt_bytes_per_s": side.decrypts })
        };
        let told = json!({
            "row": row.start.0, "bytes": comparison.bytes(), "cipher": spec.cipher.text,
            "driver": comparison.driver(), "same": true,
            "whole_bio": side(&whole), "per_sector": side(&per_sector),
        });
        return print(&told.to_string());
    }
    print(&format!(
        "row at sector {}: {}, {}-byte sectors, driver {}",
        row.start,
        spec.cipher.text,
        spec.options.sector_size,
        comparison.driver()
    ))?;
    for (way, side) in [("whole bio ", &whole), ("per sector", &per_sector)] {
        print(&format!(
            "  {way}  encrypts {:5.2} GB/s  decrypts {:5.2} GB/s  plaintext {}",
            side.encrypts / 1e9,
            side.decrypts / 1e9,
            side.digest
        ))?;
    }
    print(&format!("  the same, byte for byte: {} bytes ({})", comparison.bytes(), human(comparison.bytes())))
}

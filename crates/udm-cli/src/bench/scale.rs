//! `udm bench scale`: what a longer device costs, and what more processors bring.

use std::fs::File;
use std::path::Path;

use udm_block::Op;
use udm_dm::targets::crypt::{CipherChoice, Requests};

use super::chart::{Chart, Measure};
use super::race::{Clock, Effort, Kind, Way};
use super::sender::{Places, Sender};
use super::{BenchError, Subject};

/// The lengths of devices, in bytes.
const LENGTHS: [u64; 4] = [1 << 30, 1 << 35, 1 << 40, 1 << 44];

/// The sizes of bios whose sectors go over all processors.
const SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// What reads of 4 KiB anywhere cost on sparse files of several lengths in `folder`, and what spreading a bio over
/// threads brings.
///
/// # Errors
/// When a file cannot be so long, or no driver takes the key.
pub(crate) fn charts(subject: &Subject, folder: &Path, effort: Effort) -> Result<[Chart; 2], BenchError> {
    Ok([lengths(subject, folder, effort)?, threads(subject, effort)?])
}

/// Reads of what the page cache has of devices of several lengths.
fn lengths(subject: &Subject, folder: &Path, effort: Effort) -> Result<Chart, BenchError> {
    const SIZE: usize = 4 << 10;
    let title = "reading 4 KiB anywhere in a sparse file by its length, one thread: nanoseconds a bio".into();
    let mut chart = Chart { measure: Measure::Time, ..Chart::new("device", title, "length") };
    for length in LENGTHS {
        // The longest file of ext4 is a page short of the last length.
        let sectors = length / 512 - 8;
        let make = |name: &str| {
            let path = folder.join(format!("{length}.{name}"));
            let made = File::create(&path).and_then(|file| file.set_len(sectors * 512));
            made.map_err(|error| BenchError(format!("{}: {error}", path.display())))?;
            Ok(path.display().to_string())
        };
        let crypt = subject.table(sectors, &make("crypt")?)?;
        let linear = format!("0 {sectors} linear {} 0", make("linear")?);
        let places = Places::Anywhere { sectors: length / 1024 };
        let open = |table: &str| {
            let cipher = CipherChoice { driver: subject.driver.clone(), requests: Requests::WholeBio };
            Sender::new(table, cipher, Op::Read, places, SIZE)
        };
        let (mut crypt, mut linear) = (open(&crypt)?, open(&linear)?);
        let mut ways = [
            Way::new("crypt", Kind::Ours, || crypt.send()),
            Way::new("linear", Kind::Bound, || linear.send()),
        ];
        chart.measure(length, SIZE as u64, &mut ways, effort)?;
    }
    chart.compare_ours();
    Ok(chart)
}

/// A bio on its queue thread, and spread over a thread a processor.
fn threads(subject: &Subject, effort: Effort) -> Result<Chart, BenchError> {
    let title = format!("{}, {}, a bio spread over all processors", subject.cipher, subject.verb());
    let mut chart = Chart::new("threads", title, "bio");
    let table = subject.table(SECTORS, "null:1G")?;
    for size in subject.sizes(&SIZES) {
        let places = Places::InOrder { sectors: SECTORS };
        let open = |driver: Option<String>| {
            let cipher = CipherChoice { driver, requests: Requests::WholeBio };
            Sender::new(&table, cipher, subject.op(), places, size)
        };
        let (mut spread, mut alone) = (open(Some("threads".into()))?, open(subject.driver.clone())?);
        let mut ways = [
            Way::new("a thread a processor", Kind::Ours, || spread.send()),
            Way::new("the queue thread", Kind::PerSector, || alone.send()),
        ];
        chart.measure(size as u64, size as u64, &mut ways, Effort { clock: Clock::Wall, ..effort })?;
    }
    chart.compare_ours();
    Ok(chart)
}

/// How long the device is that does nothing, in sectors.
const SECTORS: u64 = 1 << 20;

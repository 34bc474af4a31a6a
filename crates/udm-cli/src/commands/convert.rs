//! `udm convert`: a device becomes another.

use std::io::IsTerminal;

use serde_json::json;
use udm_block::SECTOR_SIZE;
use udm_dm::table::Table;
use zeroize::Zeroizing;

use crate::cli::{About, ConvertArgs, Failure, Given, TableArgs, human, print, refused};
use crate::progress::Person;
use udm::convert::{ConvertError, Existing, Interrupted, Job, Name, NewVolume, Outcome, convert};
use udm::device::{DeviceName, Takes};
use udm::luks::{Unlocking, check_cipher};

pub(crate) fn run(args: &ConvertArgs, given: &Given, json: bool) -> Result<(), Failure> {
    let job = job(args, given)?;
    let sees = !json && tracing::enabled!(tracing::Level::INFO) && std::io::stderr().is_terminal();
    let outcome = convert(&job, &Person::new(sees)).map_err(|error| failure(&error, &job))?;
    tell(&outcome, json)
}

/// What the arguments ask for.
fn job(args: &ConvertArgs, given: &Given) -> Result<Job, Failure> {
    let (source, destination) = names(args)?;
    check(args, given, &source, &destination)?;
    let volume = args.format_options()?;
    check_cipher(&volume.encryption, volume.key_size, volume.sector_size.unwrap_or(512))
        .map_err(|fault| Failure::request(format!("--cipher: {fault}")))?;
    if !args.sparse_size.is_multiple_of(SECTOR_SIZE as u64) {
        let why =
            format!("--sparse-size {} is not a multiple of {SECTOR_SIZE}; 4K would do", args.sparse_size);
        return Err(Failure::request(why));
    }
    let volume = NewVolume::new(volume).map_err(Failure::request)?;
    let mut job = Job::new(source, destination, volume);
    job.options = args.open.options(false);
    job.source_unlocking = args.unlock.unlocking();
    job.destination_unlocking = Unlocking::with(args.target.passphrase());
    job.existing = match (args.no_create, args.force) {
        (true, _) => Existing::Keep,
        (_, true) => Existing::Replace,
        _ => Existing::Refuse,
    };
    job.interrupted = match (args.resume, args.force) {
        (true, _) => Interrupted::GoOn,
        (_, true) => Interrupted::Forget,
        _ => Interrupted::Refuse,
    };
    job.verify = args.verify;
    job.sparse = usize::try_from(args.sparse_size).unwrap_or(usize::MAX);
    job.interval = args.checkpoint.max(1);
    job.journal.clone_from(&args.journal);
    job.asked.clone_from(&args.given.asked);
    job.key_slot = args.given.key_slot.iter().map(|(option, text)| ((*option).into(), json!(text))).collect();
    Ok(job)
}

/// The two sides: of the words, those that no table stands for.
fn names(args: &ConvertArgs) -> Result<(Name, Name), Failure> {
    let to =
        TableArgs { table: args.target.dst_table.clone(), table_file: args.target.dst_table_file.clone() };
    let mut words = [&args.source, &args.destination].into_iter().flatten();
    let mut name = |table: Option<Zeroizing<String>>, missing: &str| -> Result<Name, Failure> {
        if let Some(text) = table {
            return Ok(Name::Table(text));
        }
        let word = words.next().ok_or_else(|| Failure::request(missing))?;
        Ok(Name::Device(DeviceName::parse(word).map_err(Failure::request)?))
    };
    let source = name(args.table.text()?, "no source was given: name a LUKS volume, or raw:PATH")?;
    let destination = name(to.text()?, "no destination was given: name the file to be made, or raw:PATH")?;
    match words.next() {
        None => Ok((source, destination)),
        Some(word) => Err(Failure::request(format!(
            "{} is one name too many: a table stands for SRC or DST",
            word.display()
        ))),
    }
}

/// Refuses options that have no meaning for the two sides, before either is opened.
fn check(args: &ConvertArgs, given: &Given, source: &Name, destination: &Name) -> Result<(), Failure> {
    let (of_source, of_destination) = (takes(source)?, takes(destination)?);
    let from = named(source, "the table of SRC");
    let to = named(destination, "the table of DST");
    given.check(&from, Takes { files: true, cipher: true, ..of_source })?;
    let either = of_source.or(of_destination);
    given.check(&format!("what {from} and {to} name"), Takes { unlocking: true, ..either })?;
    let is_volume = matches!(destination, Name::Device(DeviceName::Luks(_)));
    let is_file = matches!(destination, Name::Device(name) if name.path().is_some());
    let is_encrypted = of_destination.cipher;
    let has_journal = is_file || args.journal.is_some();
    let made = is_volume && is_file;
    if is_volume && !is_file && !args.no_create {
        return Err(Failure::request(format!(
            "{to} is not a file: a new volume is made in files and on block devices alone; --no-create writes into the \
             volume that is there"
        )));
    }
    let refusals = [
        (About::Destination, is_volume, "is for a volume that DST is or becomes", "none"),
        (About::NewVolume, made, "is for a volume that is made", "none"),
        (About::Zeros, !is_encrypted, "is for a DST that is not encrypted", "encrypted"),
        (
            About::Journal,
            has_journal,
            "needs to remember how far it is (--journal FILE)",
            "no file beside which to do so",
        ),
    ];
    for (about, is_taken, what, none) in refusals {
        if let Some(option) = given.about(about).filter(|_| !is_taken) {
            return Err(refused(&option, what, &to, none));
        }
    }
    Ok(())
}

/// The options that have a meaning for one side.
fn takes(name: &Name) -> Result<Takes, Failure> {
    match name {
        Name::Device(name) => Ok(name.takes()),
        Name::Table(text) => Ok(Takes::of_table(&Table::parse_with(udm_targets::all(), text)?)),
    }
}

fn named(name: &Name, table: &str) -> String {
    match name {
        Name::Device(name) => name.to_string(),
        Name::Table(_) => table.into(),
    }
}

/// An error, and what would do.
fn failure(error: &ConvertError, job: &Job) -> Failure {
    let goes_on = "; the same command with --resume goes on";
    match error {
        error if error.is_request() => Failure::request(error),
        ConvertError::Io { .. } | ConvertError::Stopped { .. } if job.can_resume() => {
            Failure::work(format!("{error}{goes_on}"))
        }
        error => Failure::work(error),
    }
}

fn tell(outcome: &Outcome, json: bool) -> Result<(), Failure> {
    let Outcome { size, begin, read, written, zeros, time, sha256, .. } = outcome;
    let rate = (size - begin) as f64 / time.as_secs_f64().max(1e-9);
    if json {
        return print(
            &json!({
                "bytes": size, "resumed_at": begin, "read": read, "written": written, "zeros": zeros,
                "seconds": time.as_secs_f64(), "verified": sha256.is_some(), "sha256": sha256,
            })
            .to_string(),
        );
    }
    let resumed = if *begin > 0 { format!(", from byte {begin} on") } else { String::new() };
    tracing::info!(
        "converted {} in {:.1} s, {:.2} GB/s{resumed}: {} written, {} of zeros left out",
        human(*size),
        time.as_secs_f64(),
        rate / 1e9,
        human(*written),
        human(*zeros)
    );
    match sha256 {
        Some(digest) => print(&format!("{digest}  both sides, byte for byte")),
        None => Ok(()),
    }
}

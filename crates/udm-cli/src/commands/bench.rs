//! `udm bench`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use udm_crypto::Direction;

use crate::bench::chart::{Chart, Measure};
use crate::bench::machine::Machine;
use crate::bench::{Clock, Effort, Subject, cipher, export, scale, server, stack};
use crate::cli::{BenchArgs, BenchWhat, Failure, print};
use crate::output::{Existing, Output};
use crate::scratch::Scratch;

/// How long a way has its turn in a round.
const ROUND: Duration = Duration::from_millis(4);

pub(crate) fn run(args: &BenchArgs, json: bool) -> Result<(), Failure> {
    let (subject, machine) = (subject(args)?, Machine::here());
    let effort = Effort { rounds: args.rounds, round: ROUND, clock: Clock::Thread };
    let what = if args.what.is_empty() { &[BenchWhat::Cipher, BenchWhat::Stack] } else { &*args.what };
    if !json {
        print(&machine.to_line())?;
    }
    if let Some(directory) = &args.plot {
        check_pictures(directory, what, args.force)?;
    }
    let mut charts = Vec::new();
    for what in what {
        let some = match what {
            BenchWhat::Cipher => vec![cipher::chart(&subject, effort).map_err(Failure::request)?],
            BenchWhat::Export => export(args, json)?,
            BenchWhat::Scale => scale(&subject, effort)?.into(),
            BenchWhat::Stack => stack::charts(&subject, effort).map_err(Failure::request)?.into(),
        };
        if let (Some(chart), Some(size)) = (some.iter().find(|chart| chart.rows.is_empty()), args.size) {
            let message =
                format!("--size {size}: {} is not measured with it; see without --size", chart.name);
            return Err(Failure::request(message));
        }
        if !json {
            some.iter().try_for_each(|chart| print(&format!("\n{}", chart.to_table().trim_end())))?;
        }
        charts.extend(some);
    }
    if let Some(directory) = &args.plot {
        plot(directory, &charts, &machine, args.force, json)?;
    }
    if json {
        let charts: Vec<_> = charts.iter().map(Chart::to_json).collect();
        print(&json!({ "machine": machine.to_json(), "rounds": args.rounds, "charts": charts }).to_string())?;
    }
    Ok(())
}

/// How many rounds the servers have: each takes a second or so.
const EXPORT_ROUNDS: usize = 9;

fn export(args: &BenchArgs, json: bool) -> Result<Vec<Chart>, Failure> {
    let folder = Scratch::new("udm-bench-")?;
    let bytes = args.device_size;
    if !(16 << 20..=1 << 40).contains(&bytes) || !bytes.is_power_of_two() {
        return Err(Failure::request(format!("devices of {bytes} bytes: use a power of two from 16M to 1T")));
    }
    let place = server::Site { folder: folder.path(), size: bytes };
    let (servers, lacking) = server::start_all(place, args.driver.as_deref()).map_err(Failure::work)?;
    if !json {
        lacking.iter().try_for_each(|line| print(line))?;
    }
    export::charts(&servers, args.rounds.min(EXPORT_ROUNDS)).map_err(Failure::work)
}

fn scale(subject: &Subject, effort: Effort) -> Result<[Chart; 2], Failure> {
    let folder = Scratch::new("udm-bench-")?;
    scale::charts(subject, folder.path(), effort).map_err(Failure::request)
}

fn subject(args: &BenchArgs) -> Result<Subject, Failure> {
    if args.rounds == 0 {
        return Err(Failure::request("0 rounds measure nothing: 31 would do"));
    }
    let run = usize::try_from(args.run).ok().filter(|run| (4096..=64 << 20).contains(run) && run % 4096 == 0);
    let run = run.ok_or_else(|| {
        Failure::request(format!("a run of {} bytes: use a multiple of 4K up to 64M", args.run))
    })?;
    Ok(Subject {
        cipher: args.cipher.clone(),
        key_size: args.key_size,
        sector_size: args.sector_size,
        direction: if args.decrypt { Direction::Decrypt } else { Direction::Encrypt },
        in_place: args.in_place,
        run,
        driver: args.driver.clone(),
        openssl: args.openssl,
        size: args.size.map(|size| size as usize),
    })
}

/// Refuses before all the measuring what would be refused behind it.
fn check_pictures(directory: &Path, what: &[BenchWhat], force: bool) -> Result<(), Failure> {
    if !directory.is_dir() {
        return Err(Failure::request(format!("{} is not a folder: make it first", directory.display())));
    }
    let drawn = |name: &str| {
        Path::new(name).extension().is_some_and(|extension| extension == "svg")
            && what.iter().any(|what| match what {
                BenchWhat::Cipher => name.starts_with("cipher"),
                BenchWhat::Stack => name.starts_with("stack"),
                BenchWhat::Scale => name.starts_with("threads"),
                BenchWhat::Export => name.starts_with("export-"),
            })
    };
    let names = directory.read_dir().into_iter().flatten().flatten();
    match names.into_iter().find(|entry| !force && drawn(&entry.file_name().to_string_lossy())) {
        Some(there) => {
            Err(Failure::request(format!("{} is there already: --force replaces it", there.path().display())))
        }
        None => Ok(()),
    }
}

/// Draws the charts that show how rates change with sizes.
fn plot(
    directory: &Path,
    charts: &[Chart],
    machine: &Machine,
    force: bool,
    json: bool,
) -> Result<(), Failure> {
    for chart in charts.iter().filter(|chart| chart.measure == Measure::Rate && chart.rows.len() > 1) {
        let path = directory.join(format!("{}.svg", chart.name));
        let svg = chart.to_svg(&machine.to_line()).map_err(Failure::work)?;
        let mut file = Output::create(&path, 0o666, Existing::forced(force), &[])?;
        file.write_all(svg.as_bytes())
            .map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
        file.finish()?;
        if !json {
            print(&format!("drew {}", path.display()))?;
        }
    }
    Ok(())
}

//! `udm ciphers`: what this machine has.

use serde_json::json;
use udm_crypto::driver::without_way;
use udm_crypto::{Cipher, Listing, Mode, MultiUnit, Registry, Speed, Standing};

use crate::cli::{CiphersArgs, Failure, print};

pub(crate) fn run(args: &CiphersArgs, json: bool) -> Result<(), Failure> {
    let mut listings = Registry::global().list();
    listings.retain(|line| args.all || !line.info.for_tests);
    if json {
        let all: Vec<_> = listings
            .iter()
            .map(|line| {
                json!({
                    "algorithm": line.algorithm.to_string(),
                    "driver": line.info.name,
                    "multi_unit": multi_unit(line.info.multi_unit),
                    "speed": speed(line.info.speed),
                    "standing": standing(line),
                    "description": line.info.description,
                })
            })
            .collect();
        return print(&json!(all).to_string());
    }
    let rows = rows(&listings);
    let heads = ["CIPHER", "MODES", "DRIVER", "UNITS", "SPEED", "STANDING"].map(str::to_owned);
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().chain([&heads]).map(|row| row[column].len()).max().unwrap_or(0)
    });
    for row in [&heads].into_iter().chain(&rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        print(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A line for each cipher and driver; modes that differ in nothing else share it.
fn rows(listings: &[Listing<'_>]) -> Vec<[String; 6]> {
    let mut rows: Vec<[String; 6]> = Vec::new();
    for line in listings {
        let cipher = line.algorithm.cipher.name();
        let (units, speed) = (multi_unit(line.info.multi_unit), speed(line.info.speed));
        let standing = standing(line);
        let cells = [cipher, "", line.info.name, units, speed, &standing];
        let same = |row: &[String; 6]| (0..6).all(|at| at == 1 || row[at] == cells[at]);
        let mode = match line.algorithm.mode {
            Mode::Stream => "-",
            mode => mode.name(),
        };
        if let Some(row) = rows.iter_mut().find(|row| same(row)) {
            row[1] = format!("{} {mode}", row[1]);
        } else {
            let mut row = cells.map(str::to_owned);
            mode.clone_into(&mut row[1]);
            rows.push(row);
        }
    }
    // The drivers of a cipher stand together, in the order in which they came.
    rows.sort_by_key(|row| Cipher::ALL.iter().position(|cipher| cipher.name() == row[0]));
    rows
}

/// Whether all sectors of a bio go to the driver at once, or one by one.
fn multi_unit(multi_unit: MultiUnit) -> &'static str {
    match multi_unit {
        MultiUnit::Native => "native",
        MultiUnit::Split => "split",
    }
}

fn speed(speed: Speed) -> &'static str {
    match speed {
        Speed::Software => "software",
        Speed::Instructions => "instructions",
        Speed::Wide => "wide",
    }
}

fn standing(line: &Listing<'_>) -> String {
    match line.standing {
        Standing::First => "first choice".into(),
        Standing::Behind(faster) if without_way(faster) == without_way(line.info.name) => {
            format!("no faster here than {faster}: both were timed")
        }
        Standing::Behind(name) => format!("for keys that {name} does not take"),
        Standing::ByName => "when asked for by name".into(),
        Standing::Lacking(what) => format!("not on this machine: {what}"),
        Standing::Failed(how) => format!("NOT USED, it failed its self-test: {how}"),
    }
}

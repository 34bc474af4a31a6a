//! `udm ciphers`: what this machine has.

use serde_json::json;
use udm_crypto::{MultiUnit, Registry, Speed, Standing};

use crate::cli::{Failure, print};

pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let listings = Registry::global().list();
    if json {
        let all: Vec<_> = listings
            .iter()
            .map(|line| {
                json!({
                    "algorithm": line.algorithm.to_string(),
                    "driver": line.info.name,
                    "multi_unit": multi_unit(line.info.multi_unit),
                    "speed": speed(line.info.speed),
                    "standing": standing(line.standing),
                    "description": line.info.description,
                })
            })
            .collect();
        return print(&json!(all).to_string());
    }
    let row = |cells: [&str; 5]| {
        let [algorithm, driver, units, speed, standing] = cells;
        format!("{algorithm:<10}  {driver:<10}  {units:<6}  {speed:<12}  {standing}")
    };
    print(&row(["ALGORITHM", "DRIVER", "UNITS", "SPEED", "STANDING"]))?;
    for line in listings {
        let algorithm = line.algorithm.to_string();
        let (units, speed, standing) =
            (multi_unit(line.info.multi_unit), speed(line.info.speed), standing(line.standing));
        print(&row([&algorithm, line.info.name, units, speed, &standing]))?;
    }
    Ok(())
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

fn standing(standing: Standing<'_>) -> String {
    match standing {
        Standing::First => "first choice".into(),
        Standing::Behind(name) => format!("for keys that {name} does not take"),
        Standing::Lacking(what) => format!("not on this machine: {what}"),
        Standing::Failed(how) => format!("NOT USED, it failed its self-test: {how}"),
    }
}

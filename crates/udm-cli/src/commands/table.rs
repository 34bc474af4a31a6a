//! `udm table check` and `udm table show`.

use serde_json::{Value, json};
use udm_dm::load::explain;
use udm_dm::table::{ShowKeys, Table};
use udm_dm::targets::crypt::{CipherChoice, Decision};

use crate::cli::{
    Failure, Given, TableCheckArgs, TableCommand, TableCommandArgs, TableShowArgs, human, print,
};
use udm::device::{DeviceOptions, Takes, open_table};

pub(crate) fn run(args: &TableCommandArgs, given: &Given, json: bool) -> Result<(), Failure> {
    match &args.command {
        TableCommand::Check(args) => check(args, json),
        TableCommand::Show(args) => show(args, given, json),
    }
}

fn check(args: &TableCheckArgs, json: bool) -> Result<(), Failure> {
    let text = args.table.required()?;
    let table = Table::parse_with(udm_targets::all(), &text)?;
    if args.open {
        open_table(&text, &DeviceOptions { read_only: true, ..DeviceOptions::default() })?;
    }
    let (rows, sectors) = (table.rows.len(), table.sectors().0);
    if json {
        return print(&json!({ "rows": rows, "sectors": sectors }).to_string());
    }
    let plural = if rows == 1 { "row" } else { "rows" };
    print(&format!("the table is right: {rows} {plural}, {sectors} sectors ({})", human(sectors * 512)))
}

fn show(args: &TableShowArgs, given: &Given, json: bool) -> Result<(), Failure> {
    let table = Table::parse_with(udm_targets::all(), &args.table.required()?)?;
    given.check("what the table names", Takes::of_table(&table))?;
    let keys = if args.showkeys { ShowKeys::Shown } else { ShowKeys::Hidden };
    let cipher = CipherChoice { driver: args.driver.clone(), ..CipherChoice::default() };
    let decided = if args.explain { explain(&table, &cipher)? } else { vec![Vec::new(); table.rows.len()] };
    for (row, decisions) in table.rows.iter().zip(&decided) {
        let line = row.to_line(keys);
        if json {
            let mut told = json!({
                "start": row.start.0,
                "length": row.length.0,
                "target": row.target.name(),
                "device": row.devices().first().map(|device| &device.name),
                "line": line,
            });
            if args.explain {
                told["explain"] = decisions.iter().map(to_json).collect();
            }
            print(&told.to_string())?;
        } else {
            print(&line)?;
            print_decisions(decisions)?;
        }
    }
    Ok(())
}

/// A decision as a field and its value.
fn to_json(decision: &Decision) -> (String, Value) {
    (decision.what.into(), json!({ "is": decision.is, "why": decision.why }))
}

/// Prints decisions in columns, set in below their row.
fn print_decisions(decisions: &[Decision]) -> Result<(), Failure> {
    let width = decisions.iter().map(|decision| decision.is.chars().count()).max().unwrap_or(0);
    decisions
        .iter()
        .try_for_each(|Decision { what, is, why }| print(&format!("  {what:8}  {is:width$}  {why}")))
}

//! `udm table check` and `udm table show`.

use serde_json::json;
use udm_dm::table::{ShowKeys, Table};

use crate::cli::{Failure, TableCheckArgs, TableCommand, TableCommandArgs, TableShowArgs, human, print};
use crate::device::{DeviceOptions, open_table};

pub(crate) fn run(args: &TableCommandArgs, json: bool) -> Result<(), Failure> {
    match &args.command {
        TableCommand::Check(args) => check(args, json),
        TableCommand::Show(args) => show(args, json),
    }
}

fn check(args: &TableCheckArgs, json: bool) -> Result<(), Failure> {
    let text = args.table.required()?;
    let table = Table::parse(&text)?;
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

fn show(args: &TableShowArgs, json: bool) -> Result<(), Failure> {
    let table = Table::parse(&args.table.required()?)?;
    let keys = if args.showkeys { ShowKeys::Shown } else { ShowKeys::Hidden };
    for row in &table.rows {
        let line = row.to_line(keys);
        if json {
            let told = json!({
                "start": row.start.0,
                "length": row.length.0,
                "target": row.target.name(),
                "device": row.device().map(|(name, _)| name),
                "line": line,
            });
            print(&told.to_string())?;
        } else {
            print(&line)?;
        }
    }
    Ok(())
}

//! `docs/performance.md`: the figures of one run between the page's marks. What is around them is written by people.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Outcome, output, program, shown};
use crate::run;

const PAGE: &str = "docs/performance.md";
const PICTURES: &str = "docs/performance";
const BEGIN: &str = "<!-- What follows is written by cargo xtask bench --write. -->\n";
const END: &str = "<!-- Here it ends. -->\n";

/// Puts `outcomes`, and the tables and pictures of one more run, into the page.
///
/// # Errors
/// The page has no marks, or something cannot be run or written.
pub(super) fn write(outcomes: &[Outcome]) -> Result<()> {
    let root = run::root();
    let (path, pictures) = (root.join(PAGE), root.join(PICTURES));
    fs::create_dir_all(&pictures)?;
    let mut bench = Command::new(program());
    bench.args(["bench", "cipher", "stack", "scale", "export", "--force", "--plot"]).arg(&pictures);
    let measured = output(&mut bench)?;
    ensure!(
        measured.status.success(),
        "{}: {}",
        run::line(&bench),
        String::from_utf8_lossy(&measured.stderr)
    );
    let page = fs::read_to_string(&path).with_context(|| PAGE.to_owned())?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no line {END}"))?;
    let figures = figures(outcomes, &String::from_utf8_lossy(&measured.stdout))?;
    Ok(fs::write(&path, [before, BEGIN, &figures, END, after].concat())?)
}

fn figures(outcomes: &[Outcome], measured: &str) -> Result<String> {
    let mut lines: Vec<&str> = measured.lines().map(str::trim_end).collect();
    lines.retain(|line| !line.starts_with("drew "));
    let (machine, charts) = lines.split_first().context("udm bench printed nothing")?;
    let mut page = format!("\n{machine}\n\n| what | measured | target | |\n|---|---|---|---|\n");
    for outcome in outcomes {
        let limit = shown(outcome.target.limit);
        writeln!(page, "| {} | {} | {limit} | {} |", outcome.target.what, outcome.shown(), outcome.remark())?;
    }
    page.push('\n');
    for chart in ["cipher", "stack", "threads"] {
        writeln!(page, "![{chart}](performance/{chart}.svg)\n")?;
    }
    writeln!(page, "```text\n{}\n```\n", charts.join("\n").trim())?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::targets::ALL;

    #[test]
    fn a_page_has_every_target_and_the_tables() {
        let outcomes =
            [Outcome { target: &ALL[0], figure: Some(0.5) }, Outcome { target: &ALL[1], figure: None }];
        let page = figures(&outcomes, "A machine\n\n  unit   ours\n  512    1.0\ndrew x.svg\n").unwrap();
        assert!(page.contains("| 0.50 | >= 0.90 | FALLS SHORT |"), "{page}");
        assert!(page.contains("| - | >= 0.95 | not measured on this machine |"), "{page}");
        assert!(page.contains("A machine\n") && page.contains("  512    1.0\n```") && !page.contains("drew"));
    }
}

//! A chart as a table on a terminal.

use std::fmt::Write as _;

use super::chart::{Chart, Measure};
use crate::cli::human;

impl Chart {
    /// The chart as lines of text: GB/s of each way, with half of the middle half's width, and ratios.
    pub fn to_table(&self) -> String {
        let heads = std::iter::once(self.of.to_owned())
            .chain(self.series.iter().map(|(name, _)| name.clone()))
            .chain(self.ratios.iter().map(|(_, of)| format!("/ {}", self.series[*of].0)));
        let mut rows = vec![heads.collect::<Vec<_>>()];
        for row in &self.rows {
            let figures = (0..self.series.len()).map(|way| {
                let figure = row.figure(way);
                match self.measure {
                    Measure::Rate => {
                        format!("{:.2} ±{:.2}", figure.rate / 1e9, (figure.high - figure.low) / 2e9)
                    }
                    Measure::Time => format!("{:.1}", figure.ns),
                }
            });
            let ratios = self.ratios.iter().map(|(way, of)| format!("{:.2}", row.times.ratio(*way, *of)));
            rows.push(std::iter::once(human(row.size)).chain(figures).chain(ratios).collect());
        }
        format!("{}\n{}", self.title, columns(&rows))
    }
}

/// Rows of cells in columns, the first on the left, the others on the right.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let _ = if column == 0 { write!(text, "  {cell}{pad}") } else { write!(text, "   {pad}{cell}") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

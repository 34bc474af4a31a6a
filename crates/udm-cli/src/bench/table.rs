//! A chart as a table on a terminal.

use std::fmt::Write as _;

use super::chart::{Chart, Row};
use crate::cli::human;

impl Chart {
    /// The chart as lines of text: the figures of each way, with half of the middle half's width, and ratios.
    pub fn to_table(&self) -> String {
        let rows = match &*self.rows {
            [row] => self.ways(row),
            rows => self.sizes(rows),
        };
        format!("{}\n{}{}", self.title, columns(&rows), self.footnote())
    }

    /// What the reader must know of the rounds.
    fn footnote(&self) -> String {
        match self.rows.iter().map(|row| row.times.shared).sum() {
            0 => String::new(),
            shared => format!(
                "  ({shared} of the rounds on a core that somebody else's thread was on: no others came)\n"
            ),
        }
    }

    /// A line for each size.
    fn sizes(&self, rows: &[Row]) -> Vec<Vec<String>> {
        let heads = std::iter::once(self.of.to_owned())
            .chain(self.series.iter().map(|(name, _)| name.clone()))
            .chain(self.ratios.iter().map(|(_, of)| format!("/ {}", self.series[*of].0)));
        let line = |row: &Row| {
            let figures = (0..self.series.len()).map(|way| self.measure.text(row.figure(way)));
            let ratios = self.ratios.iter().map(|(way, of)| format!("{:.2}", row.times.ratio(*way, *of)));
            std::iter::once(human(row.size)).chain(figures).chain(ratios).collect()
        };
        std::iter::once(heads.collect()).chain(rows.iter().map(line)).collect()
    }

    /// A line for each way at the one size that there is.
    fn ways(&self, row: &Row) -> Vec<Vec<String>> {
        let line = |(way, (name, _)): (usize, &(String, _))| {
            let ratio = self.ratios.iter().find(|(_, of)| *of == way);
            let ratio = ratio.map(|(ours, of)| {
                format!("{:.2} times as much: {}", row.times.ratio(*ours, *of), self.series[*ours].0)
            });
            vec![name.clone(), self.measure.text(row.figure(way)), ratio.unwrap_or_default()]
        };
        self.series.iter().enumerate().map(line).collect()
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

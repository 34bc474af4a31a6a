//! What was measured: some ways, each at several sizes.

use serde_json::{Value, json};

use super::BenchError;
use super::race::{Effort, Kind, Times, Way, race};

/// Some ways at several sizes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// A word for programs and files.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// What is shown to people.
    pub measure: Measure,
    /// What the sizes are of.
    pub of: &'static str,
    /// The ways.
    pub series: Vec<(String, Kind)>,
    /// Which ways are to be compared: the first, in how many times the second.
    pub ratios: Vec<(usize, usize)>,
    /// The sizes, and what came of each.
    pub rows: Vec<Row>,
}

/// What people are shown of a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// GB/s.
    Rate,
    /// GB in each second of processor time.
    RateOfProcessor,
    /// Nanoseconds.
    Time,
}

impl Measure {
    /// What its figures are in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Rate => "GB/s",
            Self::RateOfProcessor => "GB a CPU second",
            Self::Time => "ns",
        }
    }

    /// A figure as text.
    pub(super) fn text(self, figure: Figure) -> String {
        let Figure { rate, low, high, ns } = figure;
        match self {
            Self::Rate | Self::RateOfProcessor => format!("{:.2} ±{:.2}", rate / 1e9, (high - low) / 2e9),
            Self::Time => format!("{ns:.1}"),
        }
    }
}

/// What came of one size.
#[derive(Clone, Debug)]
pub struct Row {
    /// In bytes.
    pub size: u64,
    /// How many bytes the work moves.
    pub bytes: u64,
    /// How long it took.
    pub times: Times,
}

/// One way at one size.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Bytes a second: the median.
    pub rate: f64,
    /// The slower end of the middle half.
    pub low: f64,
    /// Its faster end.
    pub high: f64,
    /// Nanoseconds for the work once: the median.
    pub ns: f64,
}

impl Row {
    /// What a way came to.
    pub fn figure(&self, way: usize) -> Figure {
        let [median, fast, slow] = self.times.spread(way);
        let rate = |seconds: f64| self.bytes as f64 / seconds;
        Figure { rate: rate(median), low: rate(slow), high: rate(fast), ns: median * 1e9 }
    }
}

impl Chart {
    /// A chart without rows.
    pub fn new(name: &str, title: String, of: &'static str) -> Self {
        Self {
            name: name.into(),
            title,
            measure: Measure::Rate,
            of,
            series: Vec::new(),
            ratios: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Measures `ways`, each of which moves `bytes` bytes, and adds what came of it as a row. All rows have ways of
    /// the same names.
    ///
    /// # Errors
    /// When a way fails.
    pub fn measure(
        &mut self,
        size: u64,
        bytes: u64,
        ways: &mut [Way<'_>],
        effort: Effort,
    ) -> Result<(), BenchError> {
        if self.series.is_empty() {
            self.series = ways.iter().map(|way| (way.name.clone(), way.kind)).collect();
        }
        self.add(size, bytes, race(ways, effort)?);
        Ok(())
    }

    /// Adds what was measured elsewhere as a row.
    pub(super) fn add(&mut self, size: u64, bytes: u64, times: Times) {
        self.rows.push(Row { size, bytes, times });
    }

    /// Compares what udm does with each of the others.
    pub fn compare_ours(&mut self) {
        let ours = self.series.iter().position(|(_, kind)| *kind == Kind::Ours);
        let others = (0..self.series.len()).filter(|way| self.series[*way].1 != Kind::Ours);
        self.ratios =
            ours.into_iter().flat_map(|ours| others.clone().map(move |other| (ours, other))).collect();
    }

    /// The ways and the ratios, for programs.
    pub fn to_json(&self) -> Value {
        let series = self.series.iter().enumerate().map(|(way, (name, kind))| {
            let points = self.rows.iter().map(|row| {
                let Figure { rate, low, high, ns } = row.figure(way);
                json!({ "size": row.size, "bytes_per_s": rate, "low": low, "high": high, "ns": ns })
            });
            json!({ "name": name, "kind": kind.name(), "points": points.collect::<Vec<_>>() })
        });
        let ratios = self.ratios.iter().map(|(way, of)| {
            let points =
                self.rows.iter().map(|row| json!({ "size": row.size, "ratio": row.times.ratio(*way, *of) }));
            json!({
                "name": self.series[*way].0, "of": self.series[*of].0, "kind": self.series[*of].1.name(),
                "points": points.collect::<Vec<_>>(),
            })
        });
        json!({
            "name": self.name, "title": self.title, "sizes_of": self.of,
            "series": series.collect::<Vec<_>>(), "ratios": ratios.collect::<Vec<_>>(),
            "shared_rounds": self.rows.iter().map(|row| row.times.shared).sum::<usize>(),
        })
    }
}

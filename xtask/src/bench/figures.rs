//! Figures out of what `udm bench --json` prints.

use serde_json::Value;

/// Which figure.
#[derive(Clone, Copy)]
pub enum Source {
    /// How many times as fast ours is as the way whose name holds `of`, at a size.
    Ratio { chart: &'static str, of: &'static str, size: u64 },
    /// The nanoseconds that ours takes longer than the way whose name holds `of`.
    Over { chart: &'static str, of: &'static str, size: u64 },
    /// The nanoseconds that ours takes.
    Nanoseconds { chart: &'static str, size: u64 },
    /// How much the cost of a byte of ours rises at most from a size to the next.
    Rise { chart: &'static str },
}

impl Source {
    /// The figure, where the run has it.
    pub fn find(self, run: &Value) -> Option<f64> {
        match self {
            Self::Ratio { chart, of, size } => {
                let ratios = self::chart(run, chart)?["ratios"].as_array()?;
                let ratio = ratios.iter().find(|ratio| name_holds(&ratio["of"], of))?;
                at(ratio, size)?["ratio"].as_f64()
            }
            Self::Over { chart, of, size } => {
                let series = self::chart(run, chart)?["series"].as_array()?;
                let other = series.iter().find(|series| name_holds(&series["name"], of))?;
                Some(at(ours(series)?, size)?["ns"].as_f64()? - at(other, size)?["ns"].as_f64()?)
            }
            Self::Nanoseconds { chart, size } => {
                at(ours(self::chart(run, chart)?["series"].as_array()?)?, size)?["ns"].as_f64()
            }
            Self::Rise { chart } => {
                let points = ours(self::chart(run, chart)?["series"].as_array()?)?["points"].as_array()?;
                let costs = points.iter().map(|point| point["bytes_per_s"].as_f64().map(f64::recip));
                let costs: Vec<f64> = costs.collect::<Option<_>>()?;
                costs.windows(2).map(|pair| pair[1] / pair[0]).reduce(f64::max)
            }
        }
    }
}

fn chart<'v>(run: &'v Value, name: &str) -> Option<&'v Value> {
    run["charts"].as_array()?.iter().find(|chart| chart["name"] == name)
}

fn ours(series: &[Value]) -> Option<&Value> {
    series.iter().find(|series| series["kind"] == "ours")
}

fn name_holds(name: &Value, part: &str) -> bool {
    name.as_str().is_some_and(|name| name.contains(part))
}

/// The point of a size.
fn at(of: &Value, size: u64) -> Option<&Value> {
    of["points"].as_array()?.iter().find(|point| point["size"] == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_and_what_is_not_there_is_not() {
        let run = serde_json::json!({ "charts": [{
            "name": "stack",
            "series": [
                { "name": "crypt", "kind": "ours", "points": [
                    { "size": 4096, "ns": 500.0, "bytes_per_s": 8.0 }, { "size": 8192, "ns": 900.0, "bytes_per_s": 10.0 },
                    { "size": 16384, "ns": 2000.0, "bytes_per_s": 8.0 },
                ] },
                { "name": "the cipher alone", "kind": "bound", "points": [{ "size": 4096, "ns": 420.0 }] },
            ],
            "ratios": [{ "name": "crypt", "of": "the cipher alone", "points": [{ "size": 4096, "ratio": 0.84 }] }],
        }] });
        let is = |source: Source, figure: f64| {
            source.find(&run).is_some_and(|found| (found - figure).abs() < 1e-9)
        };
        let (chart, of) = ("stack", "cipher");
        assert!(is(Source::Ratio { chart, of, size: 4096 }, 0.84));
        assert!(is(Source::Over { chart, of, size: 4096 }, 80.0));
        assert!(is(Source::Nanoseconds { chart, size: 8192 }, 900.0));
        assert!(is(Source::Rise { chart }, 1.25));
        assert_eq!(Source::Ratio { chart, of, size: 8192 }.find(&run), None);
        assert_eq!(Source::Ratio { chart, of: "qemu", size: 4096 }.find(&run), None);
        assert_eq!(Source::Rise { chart: "export" }.find(&run), None);
    }
}

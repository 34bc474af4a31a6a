//! A chart as a picture.

use plotters::prelude::*;

use super::BenchError;
use super::chart::Chart;
use super::race::Kind;
use crate::cli::human;

/// Its size in pixels; it is vectors, so that this says only how large letters are.
const SIZE: (u32, u32) = (900, 560);

/// Colours that those with poor sight for colours tell apart (Okabe and Ito's).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const FONT: &str = "sans-serif";

impl Chart {
    /// The chart as SVG: GB/s over the size, with the middle half of the rounds as bars; below it stands `foot`.
    ///
    /// # Errors
    /// Where the picture cannot be drawn.
    pub fn to_svg(&self, foot: &str) -> Result<String, BenchError> {
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), foot)
            .map_err(BenchError::of)?;
        Ok(svg)
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        foot: &str,
    ) -> Result<(), Box<dyn std::error::Error + '_>> {
        let figures = || self.rows.iter().flat_map(|row| (0..self.series.len()).map(|way| row.figure(way)));
        let top = figures().map(|figure| figure.high / 1e9).fold(0.0, f64::max) * 1.08;
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return Ok(()) };
        let log = |size: u64| (size as f64).log2();
        let text = |size: u32| (FONT, size).into_font().color(&BLACK.mix(0.8));
        area.fill(&WHITE)?;
        let (upper, lower) = area.split_vertically(SIZE.1 - 28);
        lower.draw(&Text::new(foot.to_owned(), (24, 4), text(13)))?;
        let mut chart = ChartBuilder::on(&upper)
            .caption(&self.title, text(19))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(log(first.size) - 0.15..log(last.size) + 0.15, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(BLACK.mix(0.5))
            .x_desc(self.of)
            .y_desc("GB/s")
            .x_labels(self.rows.len() + 1)
            .x_label_formatter(&|x| {
                if (x - x.round()).abs() < 1e-6 { human(1 << x.round() as u32) } else { String::new() }
            })
            .y_label_formatter(&|y| format!("{y:.0}"))
            .label_style(text(14))
            .draw()?;
        for (way, (name, kind)) in self.series.iter().enumerate() {
            let colour = if *kind == Kind::Bound { BLACK.to_rgba() } else { COLOURS[way % 6].to_rgba() };
            let width = if *kind == Kind::Ours { 3 } else { 2 };
            let points = self.rows.iter().map(|row| (log(row.size), row.figure(way)));
            let line = points.clone().map(|(x, figure)| (x, figure.rate / 1e9));
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(width));
            if *kind == Kind::Bound {
                let dashed = DashedLineSeries::new(line, 6, 5, colour.stroke_width(width));
                chart.draw_series(dashed)?.label(name).legend(legend);
            } else {
                chart
                    .draw_series(LineSeries::new(line, colour.stroke_width(width)))?
                    .label(name)
                    .legend(legend);
            }
            chart.draw_series(points.clone().map(|(x, figure)| {
                PathElement::new([(x, figure.low / 1e9), (x, figure.high / 1e9)], colour.stroke_width(1))
            }))?;
            chart.draw_series(
                points.map(|(x, figure)| Circle::new((x, figure.rate / 1e9), 4, colour.filled())),
            )?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(text(14))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

//! Curves of training.

use std::path::Path;

use keras_spec::{Error, Result};
use plotters::prelude::*;

use crate::callbacks::History;

const SIZE: (u32, u32) = (960, 420);

impl History {
    /// The history as an SVG picture: one chart per metric, training and validation in it.
    ///
    /// # Errors
    /// If there are no epochs, or the picture cannot be drawn.
    pub fn plot_svg(&self) -> Result<String> {
        let names: Vec<&String> = self.history.keys().filter(|n| !n.starts_with("val_")).collect();
        if names.is_empty() || self.epoch.is_empty() {
            return Err(Error::argument("history", "at least one epoch", "none"));
        }
        let mut svg = String::new();
        self.draw(&names, &mut svg).map_err(|e| Error::other(format!("the history cannot be drawn: {e}")))?;
        Ok(svg)
    }

    /// Writes the history to an SVG file.
    ///
    /// # Errors
    /// If there are no epochs, or the file cannot be written.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.plot_svg()?).map_err(|e| Error::other(format!("{}: {e}", path.display())))
    }

    fn draw(
        &self,
        names: &[&String],
        svg: &mut String,
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, name) in root.split_evenly((1, names.len())).iter().zip(names) {
            let validation = format!("val_{name}");
            let curves = [((*name).as_str(), BLUE), (validation.as_str(), RED)];
            let values = || curves.iter().flat_map(|(n, _)| self.get(n)).copied().filter(|v| v.is_finite());
            let low = values().fold(f64::INFINITY, f64::min).min(0.0);
            let high = values().fold(low + 1e-9, f64::max);
            let last = self.epoch.len().max(2);
            let mut chart = ChartBuilder::on(area)
                .caption(*name, ("sans-serif", 20))
                .margin(12)
                .x_label_area_size(32)
                .y_label_area_size(48)
                .build_cartesian_2d(1..last, low..high * 1.05)?;
            chart.configure_mesh().x_desc("epoch").light_line_style(WHITE).draw()?;
            for (curve, colour) in curves.iter().filter(|(n, _)| !self.get(n).is_empty()) {
                let points = self.get(curve).iter().enumerate().map(|(i, &v)| (i + 1, v));
                let colour = *colour;
                chart
                    .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                    .label(*curve)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
            }
            chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        }
        root.present()?;
        Ok(())
    }
}

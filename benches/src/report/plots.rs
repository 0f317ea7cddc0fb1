//! The plots: SVG files that a person can read at a glance.

use std::error::Error;
use std::path::Path;

use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::coord::{Shift, cartesian::Cartesian2d};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Report;
use super::tables::machines_with_bytes;
use crate::backends::MODELS;
use crate::frames::Pattern;
use crate::slow::boot;

/// A plot's size. Units: pixels.
const SIZE: (u32, u32) = (900, 440);
/// A colour per model, in the order of [`MODELS`].
const COLOURS: [RGBColor; 3] =
    [RGBColor(0x1b, 0x6c, 0xa8), RGBColor(0xd9, 0x8e, 0x04), RGBColor(0x3a, 0x8f, 0x4e)];
/// The font of all text.
const FONT: &str = "sans-serif";

/// A number at an axis: what arithmetic adds to it behind the second place is noise.
fn tick(number: &f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

/// Bars in groups.
struct Bars {
    title: String,
    unit: &'static str,
    /// Name of the group, and a height and a strength of colour per bar; bars are in the order of the legend.
    groups: Vec<(String, Vec<Option<f64>>)>,
    legend: Vec<(String, RGBAColor)>,
}

/// Draws every plot that has data.
pub(super) fn all(report: &Report<'_>, folder: &Path) -> Result<(), String> {
    let said = |error: Box<dyn Error>| error.to_string();
    for machine in report.machines {
        let file = folder.join(format!("lookup-{machine}.svg"));
        lookups(report, machine).draw(&file).map_err(said)?;
    }
    bytes(report).draw(&folder.join("bytes.svg")).map_err(said)?;
    growth(report, &folder.join("boot.svg")).map_err(said)
}

/// Unchecked and checked lookups by pattern.
fn lookups(report: &Report<'_>, machine: &str) -> Bars {
    let questions = ["unchecked", "checked"];
    let subjects = || questions.into_iter().flat_map(|question| MODELS.map(|model| (question, model)));
    let groups = Pattern::ALL.into_iter().map(|pattern| {
        let time = |(question, model)| report.results.time(question, model, pattern.name(), machine);
        (pattern.name().to_owned(), subjects().map(time).collect::<Vec<_>>())
    });
    let groups = groups.filter(|(_, heights)| heights.iter().any(Option::is_some)).collect();
    let colours = questions.into_iter().flat_map(|question| {
        let strength = if question == "unchecked" { 0.55 } else { 1.0 };
        COLOURS.map(|colour| colour.mix(strength))
    });
    let names = subjects().map(|(question, model)| format!("{model}, {question}"));
    let title = format!("Nanoseconds per lookup on {machine}");
    Bars { title, unit: "ns", groups, legend: names.zip(colours).collect() }
}

/// Bytes beside descriptors by machine.
fn bytes(report: &Report<'_>) -> Bars {
    let beside = |machine: &str, model: &str| {
        let of = |question: &str| report.results.find(question, model, "", machine)?.bytes;
        let descriptors = of(boot::PARTS[2].0)?;
        Some((of(boot::TOTAL)? - descriptors) as f64 / 1024.0)
    };
    let groups = machines_with_bytes(report)
        .into_iter()
        .map(|machine| (machine.replace("x86-", ""), MODELS.map(|model| beside(machine, model)).to_vec()));
    let legend = MODELS.into_iter().zip(COLOURS).map(|(model, colour)| (model.to_owned(), colour.mix(1.0)));
    Bars {
        title: "Metadata beside descriptors, KiB".to_owned(),
        unit: "KiB",
        groups: groups.collect(),
        legend: legend.collect(),
    }
}

impl Bars {
    /// Draws the bars, if there are any.
    fn draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let heights = || self.groups.iter().flat_map(|(_, heights)| heights.iter().flatten().copied());
        let (lowest, highest) = (heights().fold(f64::INFINITY, f64::min), heights().fold(0.0, f64::max));
        if highest <= 0.0 {
            return Ok(());
        }
        // Heights of very different sizes are readable on a logarithmic axis only.
        let floor = if highest / lowest > 50.0 { lowest / 2.0 } else { 0.0 };
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&root);
        builder.caption(&self.title, (FONT, 20)).margin(12).x_label_area_size(36).y_label_area_size(70);
        let across = 0.0..self.groups.len() as f64;
        if floor > 0.0 {
            let chart = builder.build_cartesian_2d(across, (floor..highest * 4.0).log_scale())?;
            self.fill(&root, chart, floor)?;
        } else {
            let chart = builder.build_cartesian_2d(across, 0.0..highest * 1.25)?;
            self.fill(&root, chart, 0.0)?;
        }
        self.legend(&root)?;
        root.present()?;
        Ok(())
    }

    /// Axis, bars, and the names of the groups below them.
    fn fill<'c, Y>(&self, root: &Area<'c>, mut chart: Chart<'c, Y>, floor: f64) -> Result<(), Box<dyn Error>>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .light_line_style(WHITE)
            .y_label_formatter(&tick)
            .y_desc(self.unit)
            .draw()?;
        chart.draw_series(self.rectangles(floor))?;
        let centred = Pos::new(HPos::Center, VPos::Top);
        let style = TextStyle::from((FONT, if self.groups.len() > 6 { 10 } else { 13 })).pos(centred);
        for (group, (name, _)) in self.groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, floor));
            // Long names go below each other.
            let y = y + 8 + if self.groups.len() > 6 { 12 * i32::from(group % 2 == 1) } else { 0 };
            root.draw(&Text::new(name.clone(), (x, y), style.clone()))?;
        }
        Ok(())
    }

    fn rectangles(&self, floor: f64) -> Vec<Rectangle<(f64, f64)>> {
        let width = 0.8 / self.legend.len() as f64;
        let mut rectangles = Vec::new();
        for (group, (_, heights)) in self.groups.iter().enumerate() {
            for (bar, height) in heights.iter().enumerate() {
                let Some(height) = height else { continue };
                let left = group as f64 + 0.1 + bar as f64 * width;
                let corners = [(left, floor), (left + width * 0.92, *height)];
                rectangles.push(Rectangle::new(corners, self.legend[bar].1.filled()));
            }
        }
        rectangles
    }

    /// Names of the bars, in the upper part, beside each other.
    fn legend(&self, root: &Area<'_>) -> Result<(), Box<dyn Error>> {
        for (at, (name, colour)) in self.legend.iter().enumerate() {
            let (column, line) = (at % 3, at / 3);
            let (x, y) = (100 + 240 * i32::try_from(column)?, 46 + 18 * i32::try_from(line)?);
            root.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
            root.draw(&Text::new(name.clone(), (x + 18, y), (FONT, 13)))?;
        }
        Ok(())
    }
}

/// Time per section against memory, one line per model.
fn growth(report: &Report<'_>, file: &Path) -> Result<(), Box<dyn Error>> {
    let points = |model: &str| {
        let point = |(name, bytes): &(&str, u64)| {
            Some((
                *bytes as f64 / (1_u64 << 30) as f64,
                report.results.time(boot::PER_SECTION, model, "", name)?,
            ))
        };
        boot::FULL.iter().filter_map(point).collect::<Vec<(f64, f64)>>()
    };
    let lines = MODELS.map(points);
    let all = || lines.iter().flatten();
    if all().next().is_none() {
        return Ok(());
    }
    let highest = all().map(|(_, time)| *time).fold(0.0, f64::max);
    let largest = all().map(|(size, _)| *size).fold(1.0, f64::max);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Boot: nanoseconds per section", (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((1.0..largest * 1.2).log_scale(), 0.0..highest * 1.2)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("memory, GiB")
        .y_label_formatter(&tick)
        .x_label_formatter(&tick)
        .y_desc("ns")
        .draw()?;
    for ((line, colour), model) in lines.iter().zip(COLOURS).zip(MODELS) {
        chart
            .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(model)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperMiddle)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

//! The picture: how far each figure is from its target, and two curves.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Outcome;
use crate::athena::TERMINATING;
use crate::figure::{Figure, memory_target};
use crate::results::{Floor, Phase, Report, Results};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A name, a colour and points.
type Curve<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);
type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: i32 = 1_000;
const MARGIN: i32 = 24;
const FONT: &str = "sans-serif";

/// From the top to the first bar.
const HEAD: i32 = 96;
const ROW: i32 = 25;
const BAR: i32 = 15;
/// Between the bars of two scenarios.
const GAP: i32 = 10;
/// Where the columns begin.
const NAMES: i32 = 150;
const BARS: Range<i32> = 375..790;
const FIGURES: i32 = 812;
const PANEL: i32 = 340;
/// From the top of a panel to the names of its curves.
const LEGEND: i32 = 50;
/// Longer bars end here, and say how long they are.
const LONGEST: f64 = 3.0;

const INK: RGBColor = RGBColor(31, 41, 55);
const GREY: RGBColor = RGBColor(107, 114, 128);
const LIGHT: RGBColor = RGBColor(176, 183, 195);
const GRID: RGBColor = RGBColor(229, 231, 235);
const MET: RGBColor = RGBColor(13, 148, 136);
const MISSED: RGBColor = RGBColor(217, 70, 39);

/// The SVG.
pub fn draw(report: &Report) -> Outcome<String> {
    let figures: Vec<_> = report.figures.iter().filter(|figure| figure.target.is_some()).collect();
    let mut svg = String::new();
    draw_in(&mut svg, report, &figures).map_err(|error| format!("the picture: {error}"))?;
    Ok(svg)
}

fn draw_in(svg: &mut String, report: &Report, figures: &[&Figure]) -> Drawn {
    let gaps = figures.windows(2).filter(|pair| pair[0].scenario != pair[1].scenario).count();
    let bars = HEAD + ROW * i32::try_from(figures.len())? + GAP * i32::try_from(gaps)? + MARGIN;
    let rates: Vec<_> = report.scenarios.iter().filter(|results| !results.rate.is_empty()).collect();
    let panels = if rates.is_empty() { PANEL } else { 2 * PANEL };
    let size = (u32::try_from(WIDTH)?, u32::try_from(bars + panels)?);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(bars);
    let (lower, lowest) = lower.split_vertically(PANEL);
    text(&upper, report.title(), (MARGIN, 32), 24, INK, HPos::Left)?;
    let reading = "Each bar is what was measured, as a share of its target: the shorter the better, and at most 1.";
    text(&upper, reading, (MARGIN, 58), 16, GREY, HPos::Left)?;
    draw_bars(&upper, figures, bars - MARGIN)?;
    let (left, right) = lower.split_horizontally(WIDTH / 2);
    let deleted = report.scenarios.iter().filter_map(|it| Some((it, it.deletion.as_ref()?, it.floor.as_ref()?)));
    if let Some((results, deletion, floor)) = deleted.min_by_key(|(results, ..)| results.objects) {
        draw_deletion(&left, results, deletion, floor)?;
    }
    if let Some(results) = report.scenarios.iter().rev().max_by_key(|it| (it.objects, it.deletion.is_some())) {
        draw_memory(&right, results)?;
    }
    if !rates.is_empty() {
        draw_rates(&lowest, &rates)?;
    }
    root.present()?;
    Ok(())
}

fn draw_bars(area: &Area, figures: &[&Figure], bottom: i32) -> Drawn {
    let ratios = figures.iter().map(|figure| ratio(figure)).filter(|ratio| ratio.is_finite());
    let longest = ratios.fold(1.25, f64::max).min(LONGEST);
    let x = |ratio: f64| BARS.start + (f64::from(BARS.end - BARS.start) * ratio.min(longest) / longest) as i32;
    for half in 0..=(longest * 2.0) as i32 {
        let at = f64::from(half) / 2.0;
        text(area, format!("{at}"), (x(at), HEAD - 18), 14, GREY, HPos::Center)?;
        line(area, [(x(at), HEAD - 8), (x(at), bottom)], GRID, 1)?;
    }
    let mut y = HEAD;
    let mut scenario = "";
    for figure in figures {
        if figure.scenario != scenario {
            y += if scenario.is_empty() { 0 } else { GAP };
            scenario = &figure.scenario;
            text(area, scenario, (MARGIN, y + ROW / 2), 16, INK, HPos::Left)?;
        }
        text(area, figure.name, (NAMES, y + ROW / 2), 16, INK, HPos::Left)?;
        let ratio = ratio(figure);
        let colour = if figure.is_met() == Some(false) { MISSED } else { MET };
        let top = y + (ROW - BAR) / 2;
        let end = x(ratio).max(BARS.start + 2);
        area.draw(&Rectangle::new([(BARS.start, top), (end, top + BAR)], colour.filled()))?;
        if ratio > longest {
            let times = if ratio.is_finite() { format!("{ratio:.0} × →") } else { "→".to_owned() };
            text(area, times, (end - 6, y + ROW / 2), 14, WHITE, HPos::Right)?;
        }
        let target = figure.unit.print(figure.target.unwrap_or_default());
        let figures = format!("{} of {target}", figure.unit.print(figure.measured));
        text(area, figures, (FIGURES, y + ROW / 2), 16, colour, HPos::Left)?;
        y += ROW;
    }
    line(area, [(x(1.0), HEAD - 8), (x(1.0), bottom)], INK, 2)
}

/// Of a target of zero, nothing is within it and anything is beyond all measure.
fn ratio(figure: &Figure) -> f64 {
    match figure.target {
        Some(target) if target > 0.0 => figure.measured / target,
        _ if figure.measured > 0.0 => f64::INFINITY,
        _ => 0.0,
    }
}

fn draw_deletion(area: &Area, results: &Results, deletion: &Phase, floor: &Floor) -> Drawn {
    let left = |curve: &[(f64, usize)]| {
        let points = curve.iter().map(|(seconds, gone)| (*seconds, (results.objects - gone) as f64));
        points.collect::<Vec<_>>()
    };
    let panel = Panel {
        title: format!("{} objects deleted: how many are left", grouped(results.objects)),
        seconds: deletion.seconds.max(floor.seconds + TERMINATING.as_secs_f64()),
        most: results.objects as f64,
    };
    let bare = left(&floor.curve);
    let ends_in = TERMINATING.as_secs_f64();
    let ideal = bare.iter().map(|(seconds, left)| (seconds + ends_in, *left)).collect();
    let later = format!("{ends_in} s after it");
    panel.draw(
        area,
        &[("a bare client", GREY, bare), (&later, LIGHT, ideal), ("the operator", MET, left(&deletion.curve))],
    )
}

/// How the rate is found out.
fn draw_rates(area: &Area, scenarios: &[&Results]) -> Drawn {
    let all = || scenarios.iter().flat_map(|results| &results.rate);
    let panel = Panel {
        title: "Ends a second that the operator allows itself".to_owned(),
        seconds: all().map(|(seconds, _)| *seconds).fold(1.0, f64::max),
        most: all().map(|(_, rate)| *rate).fold(1.0, f64::max),
    };
    let curves = scenarios.iter().zip([MET, GREY, MISSED, LIGHT].into_iter().cycle());
    let curves: Vec<_> =
        curves.map(|(results, colour)| (results.scenario.as_str(), colour, results.rate.clone())).collect();
    panel.draw(area, &curves)
}

fn draw_memory(area: &Area, results: &Results) -> Drawn {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let rss = results.usage.iter().map(|sample| (sample.seconds, mib(sample.rss_bytes))).collect();
    let seconds = results.usage.last().map_or(1.0, |sample| sample.seconds);
    let mut curves = vec![("resident", MET, rss)];
    if let Some(target) = memory_target(results.objects) {
        curves.push(("target", INK, vec![(0.0, target), (seconds, target)]));
    }
    let panel = Panel {
        title: format!("{}: the operator's memory, MiB", results.scenario),
        seconds,
        most: mib(results.memory.peak).max(memory_target(results.objects).unwrap_or_default()) * 1.05,
    };
    panel.draw(area, &curves)
}

struct Panel {
    title: String,
    seconds: f64,
    most: f64,
}

impl Panel {
    fn draw(&self, area: &Area, curves: &[Curve]) -> Drawn {
        text(area, self.title.as_str(), (MARGIN, 24), 18, INK, HPos::Left)?;
        let mut chart = ChartBuilder::on(area)
            .margin_left(MARGIN)
            .margin_right(MARGIN)
            .margin_top(LEGEND as u32 + 20)
            .margin_bottom(12)
            .x_label_area_size(44)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..self.seconds * 1.02, 0.0..self.most * 1.02)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GREY)
            .label_style((FONT, 14).into_font().color(&GREY))
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|seconds| short(*seconds))
            .y_label_formatter(&|figure| short(*figure))
            .x_desc("seconds")
            .draw()?;
        // Above the curves, where it hides none of them.
        let mut x = MARGIN;
        for (name, colour, points) in curves {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            line(area, [(x, LEGEND), (x + 18, LEGEND)], *colour, 2)?;
            text(area, name, (x + 25, LEGEND), 15, INK, HPos::Left)?;
            x += 25 + i32::try_from(name.chars().count())? * 7 + 20;
        }
        Ok(())
    }
}

/// `y` is the middle of the text.
fn text(area: &Area, text: impl AsRef<str>, at: (i32, i32), size: i32, colour: RGBColor, anchor: HPos) -> Drawn {
    let style = (FONT, size).into_font().color(&colour).pos(Pos::new(anchor, VPos::Center));
    area.draw_text(text.as_ref(), &style, at)?;
    Ok(())
}

fn line(area: &Area, ends: [(i32, i32); 2], colour: RGBColor, width: u32) -> Drawn {
    area.draw(&PathElement::new(ends, colour.stroke_width(width)))?;
    Ok(())
}

/// A figure of an axis.
fn short(figure: f64) -> String {
    if figure.fract().abs() < 1e-9 { grouped(figure.round() as usize) } else { format!("{figure:.1}") }
}

/// With a comma between the thousands.
fn grouped(number: usize) -> String {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    if thousands == 0 { rest.to_string() } else { format!("{},{rest:03}", grouped(thousands)) }
}

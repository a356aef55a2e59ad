//! The table on stdout.

use std::io::{Write, stdout};

use crate::results::Report;

/// Prints each figure beside its target.
pub fn print(report: &Report) {
    let head = ["SCENARIO", "FIGURE", "MEASURED", "AT MOST", "", "NOTE"].map(str::to_owned);
    let rows = report.figures.iter().map(|figure| {
        let verdict = match figure.is_met() {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        [
            figure.scenario.clone(),
            figure.name.to_owned(),
            figure.unit.print(figure.measured),
            figure.target.map(|target| figure.unit.print(target)).unwrap_or_default(),
            verdict.to_owned(),
            figure.note.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = format!("{}\n\n", report.title());
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            // Figures.
            2 | 3 => format!("{cell:>width$}"),
            _ => format!("{cell:width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    // A reader that has gone, as `head` does, is no reason to write no files.
    let _ = stdout().write_all(text.as_bytes());
}

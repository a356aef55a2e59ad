//! What was measured, as it stands in bench.json.

use std::collections::BTreeMap;
use std::thread::available_parallelism;
use std::time::Instant;

use serde::Serialize;

use crate::Outcome;
use crate::athena::Calls;
use crate::figure::{Figure, figures};
use crate::operator::Sample;
use crate::requests::Counts;
use crate::scenario::Kind;

/// So many points draw a curve well.
const POINTS: usize = 120;

/// All scenarios of a run.
pub struct Report {
    operator: String,
    cores: usize,
    /// Each with its target, as the table shows them.
    pub figures: Vec<Figure>,
    pub scenarios: Vec<Results>,
}

impl Report {
    pub fn new(operator: &str) -> Self {
        let cores = available_parallelism().map_or(0, usize::from);
        Self { operator: operator.to_owned(), cores, figures: vec![], scenarios: vec![] }
    }

    pub fn add(&mut self, results: Results) {
        self.figures.extend(figures(&results));
        self.scenarios.push(results);
    }

    /// What was measured, and on what.
    pub fn title(&self) -> String {
        format!("{} on {} cores", self.operator, self.cores)
    }

    /// With a line for each figure and each scenario, so that two runs compare well.
    pub fn to_json(&self) -> Outcome<String> {
        let operator = json(&self.operator)?;
        let figures = json_lines(&self.figures)?;
        let scenarios = json_lines(&self.scenarios)?;
        let cores = self.cores;
        Ok(format!(
            "{{\n  \"operator\": {operator},\n  \"cores\": {cores},\n  \"figures\": {figures},\n  \"scenarios\": {scenarios}\n}}\n"
        ))
    }
}

fn json(value: &impl Serialize) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn json_lines(values: &[impl Serialize]) -> Outcome<String> {
    let lines: Vec<_> = values.iter().map(json).collect::<Outcome<_>>()?;
    Ok(format!("[\n    {}\n  ]", lines.join(",\n    ")))
}

/// A scenario.
#[derive(Serialize)]
pub struct Results {
    pub scenario: String,
    #[serde(skip)]
    pub kind: Kind,
    pub objects: usize,
    pub adoption: Phase,
    /// Not where Athena had quotas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_arithmetic_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Phase>,
    /// How many ends a second the operator allowed itself, after how many seconds, where it had to find that out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<(f64, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flips: Option<Flips>,
    pub memory: Memory,
    /// All that Athena was asked, from the operator's start to the end.
    pub athena_calls: Calls,
    /// The operator's own metrics at the end, where it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<BTreeMap<String, f64>>,
    /// What the operator used over time.
    pub usage: Vec<Sample>,
}

/// What the operator did and used while something happened to all objects.
#[derive(Serialize)]
pub struct Phase {
    /// From the first request until the watch had shown the last object to be adopted, or gone.
    pub seconds: f64,
    /// Until the API server had accepted the last request for it.
    pub requested_seconds: f64,
    /// The operator's processor time, with the seconds after the end until it wrote nothing more.
    pub cpu_seconds: f64,
    pub athena_calls: Calls,
    /// The operator's requests to the API server.
    pub api_requests: Counts,
    /// How many objects were there, after how many seconds.
    pub curve: Vec<(f64, usize)>,
}

/// A bare client that deletes as many objects and removes their finalizers.
#[derive(Serialize)]
pub struct Floor {
    /// From the first request until the watch had shown the last object to be gone.
    pub seconds: f64,
    /// How many objects were gone, after how many seconds.
    pub curve: Vec<(f64, usize)>,
}

/// Sessions that changed between IDLE and BUSY.
#[derive(Serialize)]
pub struct Flips {
    /// How many changes there were.
    pub flips: usize,
    /// How many objects said the wrong state at the end.
    pub missed: usize,
    /// From the last change until all objects said the right state.
    pub caught_up_seconds: f64,
    pub phase: Phase,
}

/// The operator's resident memory, in bytes.
#[derive(Serialize)]
pub struct Memory {
    /// When it watched, and there were no objects.
    pub empty: u64,
    /// When all objects were adopted.
    pub adopted: u64,
    /// The most that it ever was.
    pub peak: u64,
}

/// A curve out of the moments at which something happened to one object more.
pub fn curve(started: Instant, moments: &[Instant]) -> Vec<(f64, usize)> {
    let seconds = |moment: &Instant| rounded(moment.saturating_duration_since(started).as_secs_f64());
    let points = moments.iter().zip(1..).map(|(moment, count)| (seconds(moment), count));
    std::iter::once((0.0, 0)).chain(thin(&points.collect::<Vec<_>>())).collect()
}

/// To three decimals, milliseconds where it is seconds: the rest is noise.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

/// Some of many, evenly, with the first and the last.
pub fn thin<T: Copy>(all: &[T]) -> Vec<T> {
    if all.len() <= POINTS {
        return all.to_vec();
    }
    (0..POINTS).map(|point| all[point * (all.len() - 1) / (POINTS - 1)]).collect()
}

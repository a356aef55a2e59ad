//! What is made of the measurements: figures, and what they shall be at the most.

use serde::Serialize;

use crate::athena::TERMINATING;
use crate::results::{Results, rounded};
use crate::scenario::Kind;

/// One figure of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub scenario: String,
    pub name: &'static str,
    pub unit: Unit,
    pub measured: f64,
    /// What it shall be at the most; none: it is there to compare with.
    pub target: Option<f64>,
    /// Where the target comes from, or how the figure is made.
    pub note: String,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    Milliseconds,
    Count,
    Percent,
    Mebibytes,
    Kibibytes,
}

impl Unit {
    /// A figure as people read it.
    pub fn print(self, figure: f64) -> String {
        match self {
            Self::Seconds => format!("{figure:.2} s"),
            Self::Milliseconds => format!("{figure:.1} ms"),
            Self::Count if figure.fract() == 0.0 => format!("{figure}"),
            Self::Count => format!("{figure:.2}"),
            Self::Percent => format!("{figure:.1} %"),
            Self::Mebibytes => format!("{figure:.1} MiB"),
            Self::Kibibytes => format!("{figure:.1} KiB"),
        }
    }
}

impl Figure {
    /// Whether the target is reached; none where there is none.
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| self.measured <= target)
    }
}

/// The figures of a scenario, in the order of the table.
pub fn figures(results: &Results) -> Vec<Figure> {
    let mut list = List::of(results.scenario.clone());
    let count = results.objects as f64;
    let at = |objects: usize, target: f64| (results.objects == objects).then_some(target);
    if let Some(deletion) = &results.deletion {
        let adoption = &results.adoption;
        let accepted = format!("created within {:.2} s", adoption.requested_seconds);
        let without_quota = results.floor.is_some();
        let target = at(1_000, 5.0).filter(|_| without_quota);
        list.add("created → adopted", Unit::Seconds, adoption.seconds, target, &accepted);
        let writes = adoption.api_requests.object_writes as f64 / count;
        list.add("writes per adoption", Unit::Count, writes, Some(2.0), "");
        let ends_in = TERMINATING.as_secs_f64();
        if let Some(floor) = &results.floor {
            list.add("floor: a bare client", Unit::Seconds, floor.seconds, None, "deletes, and removes finalizers");
            let target = at(1_000, 1.25 * (floor.seconds + ends_in));
            let note = format!("floor + {ends_in} s is {:.2} s", floor.seconds + ends_in);
            list.add("deleted → gone", Unit::Seconds, deletion.seconds, target, &note);
        }
        if let Some(arithmetic) = results.quota_arithmetic_seconds {
            list.add("floor: the quota's arithmetic", Unit::Seconds, arithmetic, None, "(N − burst) ÷ rate + 2 s");
            let factor = if results.kind == Kind::Found { 1.3 } else { 1.1 };
            let (target, note) = (Some(factor * arithmetic), format!("{factor} × the floor"));
            list.add("deleted → gone", Unit::Seconds, deletion.seconds, target, &note);
            let calls = &deletion.athena_calls;
            let share = 100.0 * calls.throttled as f64 / (calls.to_athena() as f64).max(1.0);
            list.add("calls throttled", Unit::Percent, share, Some(3.0), "of those of the deletion");
        }
        if results.kind == Kind::Default {
            list.add("deleted → gone", Unit::Seconds, deletion.seconds, at(1_000, 40.0), "in default settings");
        }
        let calls = deletion.athena_calls.to_athena() as f64 / count;
        list.add("Athena calls per deletion", Unit::Count, calls, at(1_000, 1.2), "");
        let requests = &deletion.api_requests;
        list.add("writes per deletion", Unit::Count, requests.object_writes as f64 / count, Some(2.0), "");
        list.add("events per deletion", Unit::Count, requests.events as f64 / count, Some(2.0), "");
        let cpu = (adoption.cpu_seconds + deletion.cpu_seconds) * 1_000.0 / count;
        let target = without_quota.then_some(2.0);
        list.add("CPU per 1,000 objects", Unit::Seconds, cpu, target, "adopted and deleted");
    }
    if let Some(idle) = &results.idle {
        let a_minute = 60.0 / idle.seconds;
        let calls = idle.athena_calls.to_athena() as f64 * a_minute;
        let target = at(10_000, 110.0).or(at(100_000, 1_050.0));
        list.add("Athena calls a minute", Unit::Count, calls, target, "");
        let writes = idle.api_requests.object_writes as f64 * a_minute;
        list.add("writes a minute", Unit::Count, writes, Some(0.0), "");
        list.add("CPU a minute", Unit::Seconds, idle.cpu_seconds * a_minute, at(100_000, 8.0), "");
    }
    if let Some(flips) = &results.flips {
        let phase = &flips.phase;
        let a_minute = 60.0 / phase.seconds;
        let writes = phase.api_requests.object_writes as f64 / flips.flips as f64;
        list.add("writes per change", Unit::Count, writes, Some(1.0), &format!("{} changes", flips.flips));
        list.add("changes missed at the end", Unit::Count, flips.missed as f64, Some(0.0), "");
        list.add("last change → all known", Unit::Seconds, flips.caught_up_seconds, None, "");
        let calls = phase.athena_calls.to_athena() as f64 * a_minute;
        list.add("Athena calls a minute", Unit::Count, calls.round(), None, "");
        list.add("CPU a minute", Unit::Seconds, phase.cpu_seconds * a_minute, None, "");
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory = &results.memory;
    let note = format!("{:.1} MiB without objects", mib(memory.empty));
    list.add("peak RSS", Unit::Mebibytes, mib(memory.peak), memory_target(results.objects), &note);
    let per_object = memory.adopted.saturating_sub(memory.empty) as f64 / 1024.0 / count;
    list.add("RSS per object", Unit::Kibibytes, per_object, None, "when all are adopted");
    if let Some(metrics) = &results.metrics {
        let counted: f64 = metrics.iter().filter(|(name, _)| name.starts_with(CALLS_METRIC)).map(|it| it.1).sum();
        let asked = results.athena_calls.by_operation.values().sum::<usize>() as f64;
        list.add("calls in /metrics", Unit::Count, counted, None, &format!("Athena counted {asked}"));
    }
    list.figures
}

/// The most resident memory, in MiB, with so many objects.
pub fn memory_target(objects: usize) -> Option<f64> {
    match objects {
        10_000 => Some(80.0),
        100_000 => Some(500.0),
        _ => None,
    }
}

const CALLS_METRIC: &str = "athena_session_operator_athena_calls_total{";

/// The figures of a scenario, as far as they are made.
pub struct List {
    scenario: String,
    pub figures: Vec<Figure>,
}

impl List {
    /// None yet.
    pub fn of(scenario: String) -> Self {
        Self { scenario, figures: vec![] }
    }

    /// One more; see [`Figure`].
    pub fn add(&mut self, name: &'static str, unit: Unit, measured: f64, target: Option<f64>, note: &str) {
        let scenario = self.scenario.clone();
        let (measured, target) = (rounded(measured), target.map(rounded));
        self.figures.push(Figure { scenario, name, unit, measured, target, note: note.to_owned() });
    }
}

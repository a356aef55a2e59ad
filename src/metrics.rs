//! Metrics, in OpenMetrics and in Prometheus' text format: what each one means is in `docs/reference/metrics.md`.
//!
//! Names are controller-runtime's where they mean the same, so that its dashboards work. Every label has
//! a bounded set of values; a work group's series go with it.

mod codes;
mod format;
mod process;
mod scrape;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use self::codes::known;
pub use self::format::Format;
use self::format::text_of;
use self::process::Process;
use self::scrape::Scrape;
pub use self::scrape::WorkGroup;
use crate::api::session::TerminationReason;
use crate::athena::types::{CallError, ErrorClass, Operation};

/// Upper bounds in seconds: some of controller-runtime's.
const PASS_SECONDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds in seconds: --aws-timeout is among them.
const CALL_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const TERMINATION_SECONDS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of the process. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// The metrics that are made at each scrape.
    pub scrape: Arc<Scrape>,
    reconciles: Family<Labels<2>, Counter>,
    reconcile_errors: Family<Labels<1>, Counter>,
    reconcile_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    active_workers: Family<Labels<1>, Gauge>,
    max_concurrent: Family<Labels<1>, Gauge>,
    queue_depth: Family<Labels<1>, Gauge>,
    terminations: Family<Labels<1>, Counter>,
    termination_seconds: Histogram,
    calls: Family<Labels<2>, Counter>,
    throttled: Family<Labels<1>, Counter>,
    call_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    Success,
    RequeueAfter,
    /// It was given up, and is tried again.
    Error,
}

impl ReconcileResult {
    const ALL: [Self; 3] = [Self::Success, Self::RequeueAfter, Self::Error];

    /// controller-runtime's word.
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequeueAfter => "requeue_after",
            Self::Error => "error",
        }
    }
}

impl Metrics {
    /// Makes the metrics. Call it once for a process, since the process' own metrics are among them.
    #[expect(clippy::new_without_default, reason = "a process has one")]
    pub fn new() -> Self {
        let (reconcile_seconds, call_seconds) = (|| Histogram::new(PASS_SECONDS), || Histogram::new(CALL_SECONDS));
        let scrape = Arc::new(Scrape::default());
        let mut all = Registry::default();
        all.register_collector(Box::new(Arc::clone(&scrape)));
        all.register_collector(Box::new(Process::new()));
        let build: Family<Labels<1>, Gauge> = new(&mut all, "athena_session_operator_build_info", "always 1");
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        Self {
            scrape,
            queue_depth: new(&mut all, "workqueue_depth", "objects that wait for their reconciliation"),
            reconciles: new(
                &mut all,
                "controller_runtime_reconcile",
                "reconciliations of objects; result is success, requeue_after or error",
            ),
            reconcile_errors: new(
                &mut all,
                "controller_runtime_reconcile_errors",
                "reconciliations that failed, nearly always because of the API server",
            ),
            active_workers: new(&mut all, "controller_runtime_active_workers", "reconciliations under way"),
            max_concurrent: new(
                &mut all,
                "controller_runtime_max_concurrent_reconciles",
                "the most reconciliations at once",
            ),
            reconcile_seconds: add(
                &mut all,
                "controller_runtime_reconcile_time_seconds",
                "how long reconciliations took",
                Family::new_with_constructor(reconcile_seconds as fn() -> _),
            ),
            terminations: new(
                &mut all,
                "athena_session_operator_terminations",
                "sessions that ended after their end had been asked for (deletion, terminate, endWith or a limit)",
            ),
            termination_seconds: add(
                &mut all,
                "athena_session_operator_termination_duration_seconds",
                "from the moment that the operator noticed the request for an end until the end",
                Histogram::new(TERMINATION_SECONDS),
            ),
            calls: new(
                &mut all,
                "athena_session_operator_athena_calls",
                "calls to AWS; code is OK, the error's code, UnusablePage and the like for answers that can't be used, or Other",
            ),
            throttled: new(&mut all, "athena_session_operator_athena_throttled", "calls that AWS throttled"),
            call_seconds: add(
                &mut all,
                "athena_session_operator_athena_call_duration_seconds",
                "how long calls to AWS took, without the wait for a token before",
                Family::new_with_constructor(call_seconds as fn() -> _),
            ),
            registry: Arc::new(all),
        }
    }

    /// Declares a controller, so that its series are there, at 0, before anything happens.
    pub fn controller(&self, controller: &'static str, max_concurrent: u16) {
        let labels = [("controller", controller)];
        for result in ReconcileResult::ALL {
            drop(self.reconciles.get_or_create(&[labels[0], ("result", result.as_str())]));
        }
        drop(self.reconcile_errors.get_or_create(&labels));
        drop(self.active_workers.get_or_create(&labels));
        self.max_concurrent.get_or_create(&labels).set(max_concurrent.into());
        self.queue_depth(controller, 0);
    }

    /// A reconciliation begins. It counts as under way until the returned value is dropped.
    pub fn reconciliation(&self, controller: &'static str) -> Reconciliation {
        let active = self.active_workers.get_or_create_owned(&[("controller", controller)]);
        active.inc();
        Reconciliation { metrics: self.clone(), controller, active, begun: Instant::now() }
    }

    pub(crate) fn queue_depth(&self, controller: &'static str, objects: usize) {
        self.queue_depth.get_or_create(&[("name", controller)]).set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// A session ended as the operator asked; `took` is from the request (deletion, `spec.terminate`) to the end.
    pub fn terminated(&self, reason: TerminationReason, took: Duration) {
        self.terminations.get_or_create(&[("reason", reason.as_str())]).inc();
        self.termination_seconds.observe(took.as_secs_f64());
    }

    /// A call to AWS has ended after `took`. The wait for its token isn't part of that.
    pub fn called(&self, operation: Operation, failure: Option<&CallError>, took: Duration) {
        let label = ("operation", operation.as_str());
        let code = failure.map_or("OK", |error| known(&error.code));
        self.calls.get_or_create(&[label, ("code", code)]).inc();
        let throttled = self.throttled.get_or_create_owned(&[label]);
        if failure.is_some_and(|error| error.class == ErrorClass::Throttled) {
            throttled.inc();
        }
        self.call_seconds.get_or_create(&[label]).observe(took.as_secs_f64());
    }

    pub fn text(&self, format: Format) -> String {
        let mut text = String::new();
        // Writing to a String doesn't fail.
        let _ = encode(&mut text, &self.registry);
        match format {
            Format::OpenMetrics => text,
            Format::Text => text_of(&text),
        }
    }
}

#[derive(Debug)]
pub struct Reconciliation {
    metrics: Metrics,
    controller: &'static str,
    active: Gauge,
    begun: Instant,
}

impl Reconciliation {
    /// Counts the reconciliation as ended. One that is dropped without this, by a panic or at shutdown, isn't counted.
    pub fn ended(self, result: ReconcileResult) {
        let label = ("controller", self.controller);
        self.metrics.reconciles.get_or_create(&[label, ("result", result.as_str())]).inc();
        if result == ReconcileResult::Error {
            self.metrics.reconcile_errors.get_or_create(&[label]).inc();
        }
        self.metrics.reconcile_seconds.get_or_create(&[label]).observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Drop for Reconciliation {
    fn drop(&mut self) {
        self.active.dec();
    }
}

fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add(registry, name, help, M::default())
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;

//! What is told of the engine of a work group or a session. PURE.

use super::finding::Finding;
use crate::athena::engine::{ASKED_HOURLY, Engine, EngineKnowledge};
use crate::session::observed::{Described, Seen};
use crate::session::rules::Case;
use crate::session::rules::engine::of_session;
use crate::status::reason::Reason;

/// Why no session can be started as the object asks, by what is known of the engine of its work group.
pub(super) fn refuses(case: &Case<'_>) -> Option<Finding> {
    let facts = case.facts;
    let start = facts.object.spec.start.as_ref()?;
    let engine = facts.access.engine.known()?;
    let work_group = facts.access.work_group.as_deref().unwrap_or_default();
    if let Engine::NotSpark(_) = engine {
        let message = format!(
            "Work group {work_group} runs {engine}, not Spark: no session can be started there. Create another \
             AthenaSession, for a work group of Spark. {ASKED_HOURLY}"
        );
        return Some(Finding { reason: Reason::WorkGroupNotSpark, message });
    }
    let fields = engine.refused(start.engine_configuration.as_ref()?)?;
    let has_properties = fields.contains(".sparkProperties") || fields.contains(".classifications");
    let instead = match engine {
        _ if !has_properties => "",
        Engine::Spark35 => " For this engine write Spark's properties into classifications, as spark-defaults.",
        _ => " For this engine write Spark's properties into sparkProperties.",
    };
    let them = if fields.contains(',') { "these fields" } else { "this field" };
    let message = format!(
        "Work group {work_group} runs {engine}, which doesn't support {fields}. The operator doesn't call \
         StartSession. Create another AthenaSession without {them}.{instead} {ASKED_HOURLY}"
    );
    Some(Finding { reason: Reason::EngineRefuses, message })
}

/// The message for a session that is CREATED, and can't be used as far as the operator knows.
pub(super) fn created(case: &Case<'_>, seen: &Seen) -> String {
    if of_session(case.facts, seen).is_some() || case.facts.observed.session.described == Described::No {
        return "Athena is starting the session.".to_owned();
    }
    let why = match &case.facts.access.engine {
        EngineKnowledge::NotKnown(Some(error)) => format!(" ({error}): allow {}", error.operation.iam_action()),
        _ => String::new(),
    };
    format!(
        "The session is CREATED. On Spark 3.5 it could be used now, on PySpark 3 it is still being started, and the \
         operator doesn't know its engine{why}."
    )
}

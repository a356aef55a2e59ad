//! What depends on the engine of the work group or of the session: whether a session that is CREATED can be used, and which
//! starts the engine doesn't take. PURE.

use super::conditions::Finding;
use super::observed::{Described, Seen};
use super::view::View;
use crate::athena::engine::{ASKED_HOURLY, Engine, EngineKnowledge};
use crate::athena::types::SessionState;
use crate::status::reason::Reason;

/// The engine of a session: its own, where Athena has shown that; else that of its work group.
#[must_use]
pub fn of_session<'a>(view: &View<'a>, seen: &'a Seen) -> Option<&'a Engine> {
    seen.status.engine.as_ref().or_else(|| view.access.engine.known())
}

/// Whether the session can be used in the state CREATED. On Spark 3.5 it can: the session stays CREATED until somebody
/// connects. On PySpark 3 a CREATED session takes no calculation yet.
#[must_use]
pub fn is_usable_as_created(view: &View<'_>, seen: &Seen) -> bool {
    of_session(view, seen) == Some(&Engine::Spark35)
}

/// Whether GetSession has to be called for the session's engine: the session is CREATED, nothing else shows the engine, and
/// the engine decides whether the session can be used.
#[must_use]
pub fn is_wanted(view: &View<'_>, seen: &Seen) -> bool {
    seen.status.state == SessionState::Created
        && of_session(view, seen).is_none()
        && view.access.engine != EngineKnowledge::Awaited
        && view.observed.described == Described::No
}

/// The message for a session that is CREATED, and can't be used as far as the operator knows.
#[must_use]
pub fn created(view: &View<'_>, seen: &Seen) -> String {
    if of_session(view, seen).is_some() || view.observed.described == Described::No {
        return "Athena is starting the session.".to_owned();
    }
    let why = match &view.access.engine {
        EngineKnowledge::NotKnown(Some(error)) => format!(" ({error}): allow {}", error.operation.iam_action()),
        _ => String::new(),
    };
    format!(
        "The session is CREATED. On Spark 3.5 it could be used now, on PySpark 3 it is still being started, and the \
         operator doesn't know its engine{why}."
    )
}

/// Why no session can be started as the object asks, by what is known of the engine of its work group.
pub(super) fn refusal(view: &View<'_>) -> Option<Finding> {
    let start = view.object.spec.start.as_ref()?;
    let engine = view.access.engine.known()?;
    let work_group = view.access.work_group.as_deref().unwrap_or_default();
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
        "Work group {work_group} runs {engine}, which doesn't take {fields}: StartSession isn't called. Create another \
         AthenaSession without {them}.{instead} {ASKED_HOURLY}"
    );
    Some(Finding { reason: Reason::EngineRefuses, message })
}

//! What depends on the engine of the work group or of the session: whether a session that is CREATED can be used, and which
//! starts the engine doesn't take. PURE.

use super::facts::Facts;
use crate::athena::engine::{Engine, EngineKnowledge};
use crate::athena::types::SessionState;
use crate::session::observed::{Described, Seen};

/// The engine of a session: its own, where Athena has shown that; else that of its work group.
pub fn of_session<'a>(facts: &Facts<'a>, seen: &'a Seen) -> Option<&'a Engine> {
    seen.status.engine.as_ref().or_else(|| facts.access.engine.known())
}

/// Whether the session can be used in the state CREATED. On Spark 3.5 it can: the session stays CREATED until somebody
/// connects. On PySpark 3 a CREATED session takes no calculation yet.
pub fn is_usable_as_created(facts: &Facts<'_>, seen: &Seen) -> bool {
    of_session(facts, seen) == Some(&Engine::Spark35)
}

/// Whether GetSession has to be called for the session's engine: the session is CREATED, nothing else shows the engine, and
/// the engine decides whether the session can be used.
pub fn needs_get_session(facts: &Facts<'_>, seen: &Seen) -> bool {
    seen.status.state == SessionState::Created
        && of_session(facts, seen).is_none()
        && facts.access.engine != EngineKnowledge::Awaited
        && facts.observed.session.described == Described::No
}

//! When a session that is up will be ended, as messages say it: by maxIdle, by maxLifetime, or when somebody asks for it. PURE.

use jiff::Timestamp;

use super::words::reference;
use crate::api::session::DeletionPolicy;
use crate::session::rules::limits::{self, Bound, Counted, SetBy};
use crate::session::rules::{Case, Evidence};
use crate::status::condition;
use crate::text::duration;

/// All that ends the session, as a part of a sentence: "when spec.terminate is set, or at …".
pub(super) fn ways_to_end(case: &Case<'_>) -> String {
    let spec = &case.facts.object.spec;
    let mut ways = Vec::new();
    if spec.deletion_policy == DeletionPolicy::Terminate {
        ways.push("when this object is deleted".to_owned());
    }
    ways.push("when spec.terminate is set".to_owned());
    if let Some(bound) = Bound::smaller(case.facts, Counted::IdleTime).filter(|_| case.keeps_idle()) {
        let moment = reached_at(case, bound).map_or_else(String::new, |at| format!(", which will be at {at}"));
        ways.push(format!("when it has been IDLE for {}{moment} ({})", duration(bound.long), name(case, bound)));
    }
    if let Some(bound) = Bound::smaller(case.facts, Counted::Lifetime)
        && let Some(at) = reached_at(case, bound)
    {
        ways.push(format!("at {at} ({})", name(case, bound)));
    }
    let retains = match spec.deletion_policy {
        DeletionPolicy::Terminate => "",
        DeletionPolicy::Retain => ". Deleting this object leaves it running, since spec.deletionPolicy is Retain",
    };
    let last = ways.pop().unwrap_or_default();
    let ways = if ways.is_empty() { last } else { format!("{}, or {last}", ways.join(", ")) };
    format!("{ways}{retains}")
}

/// The name of the field that sets the limit.
pub(super) fn name(case: &Case<'_>, bound: Bound) -> String {
    let field = match bound.counted {
        Counted::Lifetime => "maxLifetime",
        Counted::IdleTime => "maxIdle",
    };
    match bound.set_by {
        SetBy::Object => format!("spec.{field}"),
        SetBy::WorkGroup => format!("spec.limits.{field} of AthenaWorkGroup {}", reference(case)),
    }
}

/// When the session reaches the limit, as far as that is known, in whole seconds. It changes only when Athena's times of the
/// session change, which the status shows, too: so the message causes no write of its own.
fn reached_at(case: &Case<'_>, bound: Bound) -> Option<Timestamp> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let times = limits::times(case.facts, seen);
    let since = match bound.counted {
        Counted::Lifetime => times.started_at?,
        Counted::IdleTime => times.idle_since?,
    };
    Some(condition::time(limits::after(since, bound.long)).0)
}

/// The sentence where `maxIdle` doesn't end the session; empty where it does, or isn't set.
pub(super) fn unkept_idle(case: &Case<'_>) -> String {
    let Some(bound) = Bound::smaller(case.facts, Counted::IdleTime).filter(|_| !case.keeps_idle()) else {
        return String::new();
    };
    let is_limited = Bound::smaller(case.facts, Counted::Lifetime).is_some();
    let instead = if is_limited { "" } else { " Set spec.maxLifetime." };
    let (name, idle) = (name(case, bound), duration(bound.long));
    format!(" {name} ({idle}) doesn't end it: Athena doesn't say since when the session is idle.{instead}")
}

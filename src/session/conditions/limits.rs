//! What is told of when a session that is up is ended: maxIdle, maxLifetime, and what else ends it. PURE.

use jiff::Timestamp;

use crate::api::session::DeletionPolicy;
use crate::session::rules::limits::{self, positive};
use crate::session::rules::{Case, Evidence};
use crate::status::condition;
use crate::text::duration;

pub(super) fn ways_to_end(case: &Case<'_>) -> String {
    let spec = &case.facts.object.spec;
    let mut ways = Vec::new();
    if spec.deletion_policy == DeletionPolicy::Terminate {
        ways.push("when this object is deleted".to_owned());
    }
    ways.push("when spec.terminate is set".to_owned());
    if let Some(idle) = spec.max_idle.filter(|it| positive(*it).is_some() && case.keeps_idle()) {
        ways.push(format!("when it has been IDLE for {} (spec.maxIdle)", duration(idle.into())));
    }
    if let Some(at) = lifetime_over_at(case) {
        ways.push(format!("at {at} (spec.maxLifetime)"));
    }
    let retains = match spec.deletion_policy {
        DeletionPolicy::Terminate => "",
        DeletionPolicy::Retain => ". Deleting this object leaves it running, since spec.deletionPolicy is Retain",
    };
    let last = ways.pop().unwrap_or_default();
    let ways = if ways.is_empty() { last } else { format!("{}, or {last}", ways.join(", ")) };
    format!("{ways}{retains}")
}

/// When the session has lived long enough, where that is limited and known, in whole seconds.
fn lifetime_over_at(case: &Case<'_>) -> Option<Timestamp> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let longest = case.facts.object.spec.max_lifetime.and_then(positive)?;
    let over_at = limits::after(limits::times(case.facts, seen).started_at?, longest);
    Some(condition::time(over_at).0)
}

/// The sentence where `spec.maxIdle` doesn't end the session; empty where it does, or isn't set.
pub(super) fn unkept_idle(case: &Case<'_>) -> String {
    let spec = &case.facts.object.spec;
    let Some(idle) = spec.max_idle.filter(|it| positive(*it).is_some() && !case.keeps_idle()) else {
        return String::new();
    };
    let instead = if spec.max_lifetime.is_some() { "" } else { " Set spec.maxLifetime." };
    let idle = duration(idle.into());
    format!(" spec.maxIdle ({idle}) doesn't end it: Athena doesn't say since when the session is idle.{instead}")
}

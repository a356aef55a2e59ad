//! What to do next for one object. PURE: no client, no clock, no error, nothing async.
//!
//! [`decide`] maps the facts to one [`Step`]. The reconciler takes the step, adds what was learned, and asks again, until the step is
//! to wait.
//!
//! ```text
//!                   no finalizer ── being deleted ─► wait (not ours)
//!                        ├───────── no grant, or another object's session ─► wait, and say so
//!                        └───────── otherwise ─────► add the finalizer
//!   deleted, Retain ── it started the session ─────► try once to tag the session ► remove the finalizer
//!                   └─ otherwise ──────────────────► remove the finalizer
//!   another object's session, another work group's ► wait; deleted: remove the finalizer
//!   another account or Region than recorded ───────► wait, and say so
//!   ended, or proven absent ── deleted ────────────► remove the finalizer
//!                           └─ kept ───────────────► record it
//!   an end is asked for ── no grant, or suspended ─► wait, and say so
//!                       ├─ BUSY, in its grace period ► record why ► wait
//!                       └─ state known, active ────► record why ► end it ► look until it has ended
//!   a limit is reached ────────────────────────────► look ► reached: as an end that is asked for
//!   otherwise ─────────────────────────────────────► look, now and then
//! ```

mod config_map;
mod end;
mod events;
mod finalizer;
mod interest;
mod poll;
mod priority;
mod retain;
mod start;
mod status;
mod step;
mod ttl;
mod usage;
mod waiting;
mod workloads;

use std::time::Duration;

pub use self::interest::{Interest, Prolonged, of as interest};
pub use self::priority::of as priority;
pub use self::step::Step;

use self::poll::look_first;
use self::waiting::{by_then, call, due_beside_session, interval, sooner, wait_for_others};
use super::conditions::{self, Findings};
use super::rules::{Case, Evidence, Facts, Proof, engine};
use crate::athena::quota::Priority;
use crate::athena::types::SessionState;
use crate::index::access::Denied;
use crate::index::session_quota::Usage;
use crate::session::observed::Retain;

/// What to do next for one object, and what follows from that for others.
#[derive(Debug)]
pub struct Decision {
    pub step: Step,
    /// How urgent the call is that the step makes.
    pub priority: Priority,
    /// How long the object waits for the quota of that call, until its next step is decided anew.
    pub awaits_quota_for: Duration,
    pub interest: Option<Interest>,
    /// Where the object waits only for the poller to show its session again: how that wait is prolonged.
    pub prolonged: Option<Prolonged>,
    /// What the object reports of its share of the sessions of its namespace.
    pub usage: Option<Usage>,
    /// It is certain that nobody asks for the session's end.
    pub is_no_end_wanted: bool,
    /// The object is about to start a session, and must know the engine of its work group first.
    pub awaits_engine: bool,
}

pub fn decide(facts: &Facts<'_>) -> Decision {
    let case = Case::of(facts);
    let findings = conditions::of(&case);
    let step = next(&case, &findings);
    let after = if let Step::Wait(after) = step { Some(after) } else { None };
    Decision {
        priority: priority::of(&case, &step),
        awaits_quota_for: retain::time_left(facts).unwrap_or(facts.timing.steady),
        interest: after.and_then(|_| interest::of(&case, &findings)),
        prolonged: after.and_then(|after| interest::prolonged(&case, &findings, after)),
        usage: usage::of(&case, &findings),
        is_no_end_wanted: case.end_reason.is_none() && matches!(case.evidence, Evidence::Alive(_)),
        awaits_engine: start::awaits_engine(&case, &findings),
        step,
    }
}

/// The next step: for the session, then for its ConfigMap and its workloads, then the status, then the object's own deletion.
fn next(case: &Case<'_>, findings: &Findings) -> Step {
    let step = for_session(case, findings);
    let Step::Wait(after) = step else { return step };
    let is_let_go = !case.facts.is_held() || case.facts.observed.retain != Retain::No;
    if case.facts.is_deleted() && is_let_go {
        return step;
    }
    if let Some(step) = config_map::due(case, findings).or_else(|| workloads::due(case)) {
        return step;
    }
    let after = sooner(after, due_beside_session(case, findings));
    // An end is recorded before its object goes.
    let Some(write) = status::due(case, findings) else {
        return ttl::due(case).unwrap_or(Step::Wait(sooner(after, ttl::wait(case))));
    };
    match before_overwriting(case, findings) {
        None => write,
        Some(Step::Wait(soon)) => Step::Wait(sooner(after, soon)),
        Some(step) => step,
    }
}

/// What to do before a status that somebody else wrote is replaced. Another operator may have newer answers than this
/// one. Two operators that each write their own last answer would overwrite each other for ever.
fn before_overwriting(case: &Case<'_>, findings: &Findings) -> Option<Step> {
    let (facts, observed) = (case.facts, case.facts.observed);
    let theirs = observed.recorded_status.others_wrote_at()?;
    let patience = theirs + facts.timing.steady;
    if patience <= facts.now.tick {
        return None;
    }
    let wait = Step::Wait(Some(facts.until(patience)));
    // Where the session can't be polled, or only the texts differ, one write each `--poll-interval` is enough.
    let recorded = facts.recorded().and_then(|status| status.state.as_deref());
    let says_the_same = recorded == observed.session.state().map(SessionState::as_str);
    match case.evidence {
        Evidence::Alive(seen) if seen.at >= theirs => says_the_same.then_some(wait),
        Evidence::Alive(_) if findings.wrong_target.is_none() => match call(facts, poll::read(facts)) {
            Step::Wait(_) => Some(wait),
            look => Some(look),
        },
        Evidence::Ended => says_the_same.then_some(wait),
        _ => Some(wait),
    }
}

fn for_session(case: &Case<'_>, findings: &Findings) -> Step {
    let facts = case.facts;
    if !facts.is_held() {
        return finalizer::take_on(case, findings);
    }
    if let Some(step) = finalizer::settled(case, findings) {
        return step;
    }
    // A session that the object itself may have started is ended even where its namespace isn't selected any more.
    if let Some(refusal) = facts.access.denied
        && (refusal == Denied::WorkGroupNotFound || !(facts.was_adopted() || case.ends_its_own()))
    {
        return wait_for_others(facts, findings.told.as_ref().map(|told| told.reason));
    }
    if let Some(wrong_target) = &findings.wrong_target {
        return Step::Wait(Some(interval(facts, wrong_target.reason)));
    }
    if case.start.state.is_pending() {
        return start::next(case, findings);
    }
    by_evidence(case, findings)
}

/// The next step for an object whose session is known, by how that session stands.
fn by_evidence(case: &Case<'_>, findings: &Findings) -> Step {
    let facts = case.facts;
    match case.evidence {
        Evidence::None => look_first(facts),
        Evidence::Absent if facts.is_deleted() => finalizer::release(case),
        Evidence::Ended => poll::get_final_figures(facts),
        Evidence::Unconfirmed(seen) => end::confirm_end(case, findings, seen),
        // Proven and final, as an end is.
        Evidence::Absent if facts.once_seen() => Step::Wait(None),
        Evidence::Absent | Evidence::Missing(Proof::NotToBeHad) => poll::look_seldom(facts),
        Evidence::Missing(Proof::AnotherLook { after }) => poll::look_for(facts, after),
        Evidence::Missing(Proof::FreshLook) => call(facts, poll::read(facts)),
        Evidence::Missing(Proof::Account) => poll::prove(facts, Step::GetCallerIdentity),
        Evidence::Missing(Proof::Listing { work_group, after }) => {
            let wanted = poll::list_for_session(facts, work_group, Some(after));
            poll::prove(facts, Step::ListSessions { wanted })
        }
        Evidence::Alive(seen) => match case.end_reason {
            Some(reason) if findings.end_blocker.is_none() => end::end(case, findings, seen, reason),
            None if engine::needs_get_session(facts, seen) && facts.observed.session.undescribed.is_none() => {
                call(facts, Step::GetSession)
            }
            _ => by_then(poll::look_at_alive(facts, findings, seen), case.next_limit_in()),
        },
    }
}

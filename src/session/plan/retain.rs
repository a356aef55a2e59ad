//! What to do for an object that is deleted with `deletionPolicy: Retain`: its session is left alone. PURE.
//!
//! A session that the operator started bears the mark of its object. Once the object is gone, the session looks forgotten, and a
//! clean-up rule with `orphaned: true` would end it. So the session is tagged first, and the tag protects it from every rule.
//!
//! The tag is best effort. Whatever keeps it from being set, the object goes after [`Timing::call_deadline`], or after the call
//! that is under way then.
//!
//! [`Timing::call_deadline`]: crate::timing::Timing::call_deadline

use std::time::Duration;

use super::events;
use super::step::Step;
use crate::api::cleanup::RETAINED_TAG;
use crate::athena::session_arn::session_arn;
use crate::session::conditions::Findings;
use crate::session::observed::Retain;
use crate::session::rules::{Case, Facts};
use crate::status::condition;

pub(super) fn next(case: &Case<'_>, findings: &Findings) -> Step {
    let before =
        time_left(case.facts).filter(|_| may_tag(case)).and_then(|left| before_letting_go(case, findings, left));
    before.unwrap_or_else(|| Step::RemoveFinalizer { event: events::retained_event(case) })
}

/// How much longer the tag may hold up the object; None where it may not at all.
pub(super) fn time_left(facts: &Facts<'_>) -> Option<Duration> {
    let Retain::Since(since) = facts.observed.retain else { return None };
    let left = facts.until(since + facts.timing.call_deadline);
    (!left.is_zero()).then_some(left)
}

/// Whether the session is the object's to tag, as far as is known, and is worth it.
fn may_tag(case: &Case<'_>) -> bool {
    let access = case.facts.access;
    let may_be_started = case.start.is_started() || case.start.state.is_pending() && case.facts.session_id().is_some();
    may_be_started && !case.is_end_final() && !access.is_read_only && access.owner.is_none()
}

fn before_letting_go(case: &Case<'_>, findings: &Findings, left: Duration) -> Option<Step> {
    let facts = case.facts;
    let region = facts.scope.region.as_deref()?;
    let Some(account) = facts.scope.account.known() else {
        // After a restart STS may not have answered yet. A session is named by its account, too.
        return Some(Step::Wait(Some(left.min(facts.timing.changing))));
    };
    if findings.wrong_target.is_some() {
        return None;
    }
    if !case.start.is_started() {
        return look_for_mark(case);
    }
    let arn = session_arn(region, account, facts.work_group()?, facts.session_id()?);
    // By Athena's clock, which clean-up compares times with.
    let value = condition::time(facts.athena_now()).0.to_string();
    Some(Step::TagResource { arn, key: RETAINED_TAG, value })
}

/// GetSession, after a restart: it shows whether the session that is recorded bears the object's mark. The record alone doesn't
/// count, since a forged one could have another session tagged.
fn look_for_mark(case: &Case<'_>) -> Option<Step> {
    let session = &case.facts.observed.session;
    let is_unasked = session.seen.is_none() && session.trouble.is_none() && session.absence.is_none();
    let may_look = is_unasked && session.undescribed.is_none() && case.facts.access.denied.is_none();
    may_look.then_some(Step::GetSession)
}

//! The deletion of the object itself, where `spec.ttlAfterEnded` asks for it. PURE.

use std::time::Duration;

use super::step::Step;
use crate::session::observed::ttl::Ttl;
use crate::session::rules::Case;
use crate::session::rules::ttl::rest;

pub(super) fn due(case: &Case<'_>) -> Option<Step> {
    wait(case)?.is_zero().then_some(Step::DeleteObject)
}

pub(super) fn wait(case: &Case<'_>) -> Option<Duration> {
    /// A clock can't count on for ever.
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let Ttl { asked_until, retry } = &case.facts.observed.session.ttl;
    let retry_at = asked_until.or(retry.as_ref().map(|retry| retry.retry_at));
    let wait = retry_at.map_or(Duration::ZERO, |retry_at| case.facts.until(retry_at));
    rest(case).map(|rest| rest.max(wait).min(LONGEST))
}

//! The end of the object itself, so long after that of its session: `spec.ttlAfterEnded`. PURE.
//!
//! That the session has ended is seen from Athena by this very process; what is recorded says only when.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::conditions::Finding;
use super::decide::Step;
use super::limits::{self, positive};
use super::observed::Now;
use super::setback::Setback;
use super::view::{Evidence, View};
use super::{starting, workload};
use crate::api::cached::TRACKED_BY;
use crate::compact::StaticDefault;
use crate::status::reason::Reason;
use crate::timing::Timing;

/// What came of asking for the object's deletion.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// Where it was asked for: not again before.
    asked_until: Option<Instant>,
    /// The request that fails at present.
    setback: Option<Setback>,
}

impl StaticDefault for Expiry {
    const DEFAULT: &'static Self = &Self { asked_until: None, setback: None };
}

impl Expiry {
    /// The deletion is under way: the watch brings it.
    pub fn asked(&mut self, now: Now, timing: &Timing) {
        *self = Self { asked_until: Some(now.tick + timing.steady), setback: None };
    }

    /// The API server didn't answer, or refuses, in these words. `jitter`, from 0 to 1, spreads the retries of many
    /// objects.
    pub fn failed(&mut self, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        let setback = Setback::after(self.setback.take(), refusal, now, timing, jitter);
        *self = Self { asked_until: None, setback: Some(setback) };
    }
}

/// Go's notation; None where it isn't that, or not above zero.
fn parse(text: &str) -> Option<Duration> {
    // Longer numbers could overflow, where kube's parser panics.
    if text.len() > 16 { None } else { text.parse().ok().and_then(positive) }
}

/// When the session ended, once that is certain.
fn ended_at(view: &View<'_>) -> Option<Timestamp> {
    let recorded = || view.recorded()?.ended_at.as_ref().map(|at| at.0);
    let noticed = || view.recorded_terminated().map(|terminated| terminated.last_transition_time.0);
    match view.evidence() {
        Evidence::Ended => {
            let seen = view.observed.seen.as_ref()?;
            limits::times(view, seen).ended_at.or_else(recorded).or_else(noticed)
        }
        Evidence::Absent if view.once_seen() => recorded().or_else(noticed),
        _ if starting::is_never_started(view) && view.intent().is_some() => noticed(),
        _ => None,
    }
}

/// Who would create the object anew, and with it another session.
fn tracker<'a>(view: &'a View<'_>) -> Option<&'a str> {
    view.object.spec.start.as_ref()?;
    view.object.labels().get(TRACKED_BY).map(String::as_str)
}

/// How long the object has still to live.
fn rest(view: &View<'_>) -> Option<Duration> {
    let ttl = view.object.spec.ttl_after_ended.as_deref().and_then(parse)?;
    if view.is_deleted() || !view.is_held() || tracker(view).is_some() || workload::keeps_object(view) {
        return None;
    }
    // A workload that waited for the session in vain finishes after the session. The time counts from then, since somebody
    // will look here for the reason.
    let ended_at = workload::finished_at(view).max(Some(ended_at(view)?))?;
    let due = ended_at.checked_add(SignedDuration::try_from(ttl).ok()?).ok()?;
    Some(Duration::try_from(due.duration_since(limits::athena_now(view))).unwrap_or_default())
}

/// Whether the object is to be deleted now.
pub(super) fn due(view: &View<'_>) -> Option<Step> {
    wait(view)?.is_zero().then_some(Step::DeleteObject)
}

/// When it is.
pub(super) fn wait(view: &View<'_>) -> Option<Duration> {
    /// A clock can't count on for ever.
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let Expiry { asked_until, setback } = &*view.observed.expiry;
    let retry_at = asked_until.or(setback.as_ref().map(|setback| setback.retry_at));
    let retry = retry_at.map_or(Duration::ZERO, |retry_at| view.until(retry_at));
    rest(view).map(|rest| rest.max(retry).min(LONGEST))
}

const NOTE: &str = " spec.ttlAfterEnded ";

/// The same, with a word about why the object stays, where it should go and can't.
pub(super) fn noted(view: &View<'_>, finding: Finding) -> Finding {
    let is_end = matches!(finding.reason, Reason::Ended | Reason::Failed | Reason::SessionNotFound);
    if !is_end || view.object.spec.ttl_after_ended.is_none() || view.is_deleted() {
        return finding;
    }
    // One that is kept from an earlier process may have a note already.
    let message = finding.message.split(NOTE).next().unwrap_or_default();
    let refusal = view.observed.expiry.setback.as_ref().and_then(|setback| setback.refusal.as_ref());
    let note = match (tracker(view), refusal) {
        (Some(tracker), _) => format!(
            "{NOTE}doesn't delete this object: {tracker} tracks it, and would create it anew, which would start another \
             session. Remove it there."
        ),
        (None, Some(refusal)) => format!(
            "{NOTE}can't delete this object ({refusal}): a cluster administrator can add the component deploy/workloads \
             to the operator's installation."
        ),
        (None, None) if workload::keeps_object(view) => {
            format!("{NOTE}counts from when the workloads of spec.endWith have finished.")
        }
        (None, None) => String::new(),
    };
    Finding { message: format!("{message}{note}"), ..finding }
}

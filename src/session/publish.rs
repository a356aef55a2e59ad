//! The ConfigMap that tells a workload which session to use, where `spec.publishTo` asks for it. PURE.
//!
//! It is there while the session can be used and no end is asked for. What goes wrong with it never holds up an
//! end: the garbage collector removes it with its object at the latest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::conditions::{self, Finding};
use super::decide::Step;
use super::observed::Now;
use super::setback::Setback;
use super::view::{Evidence, View};
use super::{limits, workload};
use crate::api::session::TerminationReason;
use crate::athena::types::SessionState;
use crate::compact::StaticDefault;
use crate::status::reason::Reason;
use crate::text::duration;
use crate::timing::Timing;

/// What is known of the ConfigMap.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// What was found last.
    pub found: Found,
    /// When.
    at: Option<Instant>,
    /// The request that fails at present.
    setback: Option<(Request, Setback)>,
    /// What we went by was old, and nothing has been written since.
    was_old: bool,
    /// A creation that got no answer may still come to pass until then.
    late_until: Option<Instant>,
    /// What the API server made of the last write, where that isn't what was asked for.
    altered: Option<Altered>,
}

/// A ConfigMap that an admission webhook has changed while it was written. Written again it would be the same.
#[derive(Clone, Debug)]
struct Altered {
    asked: BTreeMap<String, String>,
    data: BTreeMap<String, String>,
    is_marked: bool,
}

/// A request about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read it.
    Look,
    /// Write it.
    Publish,
    /// Remove it.
    Unpublish,
}

impl Request {
    /// What a step asks of the API server.
    #[must_use]
    pub fn of(step: &Step) -> Self {
        match step {
            Step::WriteConfigMap { .. } => Self::Publish,
            Step::DeleteConfigMap { .. } => Self::Unpublish,
            _ => Self::Look,
        }
    }
}

/// A ConfigMap, or none, under the name that `spec.publishTo` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// It hasn't been looked at.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// The object may write and remove it: the object owns it, or it was written for an object of this name and has lost its
    /// owner.
    Ours {
        /// Its UID.
        uid: String,
        /// Its version.
        resource_version: String,
        /// What it says.
        data: BTreeMap<String, String>,
        /// Whether it has the owner, the labels and the annotation that the operator writes.
        is_marked: bool,
    },
    /// It belongs to somebody else: the object leaves it as it is.
    Foreign,
}

impl StaticDefault for Publication {
    const DEFAULT: &'static Self =
        &Self { found: Found::Unknown, at: None, setback: None, was_old: false, late_until: None, altered: None };
}

impl Publication {
    /// The API server has answered a request.
    pub fn answered(&mut self, request: Request, found: Found, now: Now) {
        // That it can be read says nothing about the next attempt to write it.
        let setback = self.setback.take().filter(|(failing, _)| request == Request::Look && *failing != request);
        let was_old = self.was_old && request == Request::Look;
        let late_until = self.late_until.filter(|until| request == Request::Look && now.tick < *until);
        let altered = self.altered.take();
        *self = Self { found, at: Some(now.tick), setback, was_old, late_until, altered };
    }

    /// It has been written, to say `asked`.
    pub fn written(&mut self, asked: BTreeMap<String, String>, found: Found, now: Now) {
        self.altered = match &found {
            Found::Ours { data, is_marked, .. } if *data != asked || !is_marked => {
                Some(Altered { asked, data: data.clone(), is_marked: *is_marked })
            }
            _ => None,
        };
        self.answered(Request::Publish, found, now);
    }

    /// Whether it is to be written, to say `wanted`, over what was found.
    fn differs(&self, wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>, is_marked: bool) -> bool {
        let is_altered = |it: &Altered| it.asked == *wanted && it.data == *found && it.is_marked == is_marked;
        (found != wanted || !is_marked) && !self.altered.as_ref().is_some_and(is_altered)
    }

    /// What we went by is old: it is looked at anew, at once where that hasn't just been done.
    pub fn changed(&mut self, request: Request, now: Now, timing: &Timing, jitter: f64) {
        if self.was_old {
            return self.failed(request, None, now, timing, jitter);
        }
        (self.found, self.was_old) = (Found::Unknown, true);
    }

    /// It hasn't answered, or refuses, in these words. `jitter`, from 0 to 1, spreads the retries of many objects.
    pub fn failed(&mut self, request: Request, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        if request == Request::Publish && refusal.is_none() {
            self.late_until = Some(now.tick + timing.steady);
        }
        let before = self.setback.take().filter(|(failing, _)| *failing == request).map(|(_, setback)| setback);
        let setback = Setback::after(before, refusal, now, timing, jitter);
        (self.found, self.setback) = (Found::Unknown, Some((request, setback)));
    }
}

enum Wish {
    There(BTreeMap<String, String>),
    Gone,
}

/// None: it is left as it is.
fn wish(view: &View<'_>) -> Option<Wish> {
    view.object.spec.publish_to.as_ref().filter(|_| view.is_held())?;
    let finding = conditions::of_session(view);
    let is = |reason| finding.as_ref().is_some_and(|finding| finding.reason == reason);
    if view.access.owner.is_some() || view.is_foreign() || is(Reason::SessionNotFound) {
        return Some(Wish::Gone);
    }
    if !view.may_know() {
        return None;
    }
    let is_over = match view.evidence() {
        Evidence::Alive(seen) => matches!(seen.status.state, SessionState::Terminating | SessionState::Degraded),
        Evidence::Ended | Evidence::Absent => true,
        Evidence::None | Evidence::Unconfirmed(_) | Evidence::Missing(_) => false,
    };
    if is_over || is_certain_end(view) {
        return Some(Wish::Gone);
    }
    (is(Reason::Running)).then(|| data(view)).flatten().map(Wish::There)
}

/// Whether an end is asked for by the object itself, or makes sure in this very pass that its time has come.
fn is_certain_end(view: &View<'_>) -> bool {
    match view.intent() {
        None => false,
        Some(TerminationReason::WorkloadFinished) => workload::confirm(view).is_none(),
        Some(reason) if reason.is_limit() => {
            // How long it has lived no list tells wrong.
            let drains = reason == TerminationReason::MaxLifetime && limits::draining(view).is_some();
            drains || matches!(view.evidence(), Evidence::Alive(seen) if limits::is_certain(view, seen))
        }
        Some(_) => true,
    }
}

/// What was seen from Athena alone: what is recorded may be forged.
fn data(view: &View<'_>) -> Option<BTreeMap<String, String>> {
    let observed = view.observed;
    let region = observed.region.as_deref().or(view.scope.region.as_deref());
    let data = [
        ("ATHENA_SESSION_ID", view.session_id()?),
        ("ATHENA_WORK_GROUP", observed.work_group.as_deref()?),
        ("AWS_REGION", region?),
    ];
    Some(data.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}

/// The next request about it, and how long from now it is due, if nothing changes until then.
fn next(view: &View<'_>) -> Option<(Duration, Step)> {
    let known = &view.observed.publication;
    let (due, step) = match (wish(view)?, &known.found) {
        (_, Found::Unknown) => (Duration::ZERO, Step::GetConfigMap),
        (Wish::Gone, Found::Ours { uid, resource_version, .. }) => {
            (Duration::ZERO, Step::DeleteConfigMap { uid: uid.clone(), resource_version: resource_version.clone() })
        }
        (Wish::Gone, Found::Absent) => (view.until(known.late_until?), Step::GetConfigMap),
        (Wish::Gone, Found::Foreign) => return None,
        (Wish::There(data), Found::Absent) => (Duration::ZERO, Step::WriteConfigMap { data }),
        (Wish::There(data), Found::Ours { data: found, is_marked, .. }) if known.differs(&data, found, *is_marked) => {
            (Duration::ZERO, Step::WriteConfigMap { data })
        }
        (Wish::There(_), found) => (look_again(view, found), Step::GetConfigMap),
    };
    let setback = known.setback.as_ref().filter(|(failing, _)| *failing == Request::of(&step));
    let retry = setback.map_or(Duration::ZERO, |(_, setback)| view.until(setback.retry_at + pause(view, setback)));
    Some((due.max(retry), step))
}

/// After some failures nobody waits for it any more: the session has ended, most probably.
fn pause(view: &View<'_>, setback: &Setback) -> Duration {
    const SOON: u32 = 5;
    let is_over = view.intent().is_some() || !matches!(view.evidence(), Evidence::Alive(_));
    if is_over && setback.attempts > SOON { view.timing.rarely() } else { Duration::ZERO }
}

/// What is to be done about it now.
pub(super) fn due(view: &View<'_>) -> Option<Step> {
    next(view).filter(|(due, _)| due.is_zero()).map(|(_, step)| step)
}

/// When there is something to do about it again.
pub(super) fn wait(view: &View<'_>) -> Option<Duration> {
    next(view).map(|(due, _)| due)
}

/// What is to be done about it before the session is ended: tried once, since nothing about it holds up an end.
pub(super) fn before_end(view: &View<'_>) -> Option<Step> {
    due(view).filter(|_| view.observed.publication.setback.is_none())
}

/// What is to be known of it before the session is started: one that can't be told of would be billed for nothing.
pub(super) fn before_start(view: &View<'_>) -> Option<Step> {
    let known = &view.observed.publication;
    let is_due = match known.found {
        Found::Unknown => true,
        Found::Foreign => look_again(view, &known.found).is_zero(),
        Found::Absent | Found::Ours { .. } => false,
    };
    let is_due = is_due && view.object.spec.publish_to.is_some();
    let waits = known.setback.as_ref().is_some_and(|(_, setback)| setback.retry_at > view.now.tick);
    (is_due && !waits).then_some(Step::GetConfigMap)
}

/// Nobody tells when somebody else changes it.
fn look_again(view: &View<'_>, found: &Found) -> Duration {
    let interval = if *found == Found::Foreign { view.timing.steady } else { view.timing.rarely() };
    view.observed.publication.at.map_or(Duration::ZERO, |at| view.until(at + interval))
}

/// What keeps it from telling of the session.
pub(super) fn hindrance(view: &View<'_>) -> Option<Finding> {
    let name = &view.object.spec.publish_to.as_ref()?.config_map_name;
    let namespace = view.object.namespace().unwrap_or_default();
    let known = &view.observed.publication;
    let steady = duration(view.timing.steady);
    let lead = conditions::in_spite(view);
    if known.found == Found::Foreign {
        // Creating the object anew would mean deleting it, which ends a session that runs. So that is advised only where
        // no session runs yet.
        let otherwise = if view.is_starting() {
            "create this one anew with another name"
        } else {
            "hand over status.sessionId in another way"
        };
        let message = format!(
            "{lead} spec.publishTo can't tell of it: ConfigMap {namespace}/{name} is there already, and isn't this \
             object's. It is left as it is. If nobody needs that ConfigMap, delete it; if another AthenaSession publishes there, \
             {otherwise}. Looked at again every {steady}."
        );
        return Some(Finding { reason: Reason::PublishConflict, message });
    }
    let refusal = known.setback.as_ref()?.1.refusal.as_ref()?;
    let message = format!(
        "{lead} spec.publishTo can't tell of it: the API server refuses the operator ConfigMap {namespace}/{name} \
         ({refusal}). If the right is missing, a cluster administrator can add the component deploy/workloads to the \
         operator's installation. Tried again every {steady}."
    );
    Some(Finding { reason: Reason::PublishForbidden, message })
}

//! The ConfigMap that tells a workload which session to use, where `spec.publishTo` asks for it. PURE.
//!
//! It is there while the session takes calculations and no end is asked for. What goes wrong with it never holds up an
//! end: the garbage collector removes it with its object at the latest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::decide::Step;
use super::knowledge::Now;
use super::setback::Setback;
use super::verdict::{self, Verdict};
use super::view::{Evidence, View};
use crate::api::reason::Reason;
use crate::athena::port::SessionState;
use crate::frugal::Blank;
use crate::timing::Timing;

/// A removal that goes on failing is left to the garbage collector.
const MOST_REMOVALS: u32 = 5;

/// What is known of the ConfigMap.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// What was found last.
    pub found: Found,
    /// When.
    at: Option<Instant>,
    /// The request that fails at present.
    setback: Option<Setback>,
}

/// A ConfigMap, or none, under the name that `spec.publishTo` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// It hasn't been looked at.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// The object owns it.
    Ours {
        /// Its UID.
        uid: String,
        /// Its version.
        resource_version: String,
        /// What it says.
        data: BTreeMap<String, String>,
    },
    /// The object doesn't own it.
    Foreign,
}

impl Blank for Publication {
    const BLANK: &'static Self = &Self { found: Found::Unknown, at: None, setback: None };
}

impl Publication {
    /// The API server has answered.
    pub fn found(&mut self, found: Found, now: Now) {
        *self = Self { found, at: Some(now.tick), setback: None };
    }

    /// It hasn't, or refuses, in these words. `jitter`, from 0 to 1, spreads the retries of many objects.
    pub fn failed(&mut self, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        let setback = Setback::after(self.setback.take(), refusal, now, timing, jitter);
        *self = Self { found: Found::Unknown, at: self.at, setback: Some(setback) };
    }
}

enum Wish {
    There(BTreeMap<String, String>),
    Gone,
}

/// None: it is left as it is.
fn wish(view: &View<'_>) -> Option<Wish> {
    view.object.spec.publish_to.as_ref().filter(|_| view.may_know())?;
    let is_over = match view.evidence() {
        Evidence::Alive(seen) => seen.status.state == SessionState::Terminating,
        Evidence::Ended | Evidence::Absent => true,
        Evidence::None | Evidence::Missing(_) => false,
    };
    if is_over || view.intent().is_some() {
        return Some(Wish::Gone);
    }
    let is_up = verdict::of_session(view).is_some_and(|verdict| verdict.reason == Reason::Running);
    is_up.then(|| data(view)).flatten().map(Wish::There)
}

/// What was seen from Athena alone: what is recorded may be forged.
fn data(view: &View<'_>) -> Option<BTreeMap<String, String>> {
    let knowledge = view.knowledge;
    let region = knowledge.region.as_deref().or(view.scope.region.as_deref());
    let data = [
        ("ATHENA_SESSION_ID", view.session_id()?),
        ("ATHENA_WORK_GROUP", knowledge.work_group.as_deref()?),
        ("AWS_REGION", region?),
    ];
    Some(data.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}

/// What is to be done about it now.
pub(super) fn due(view: &View<'_>) -> Option<Step> {
    let wish = wish(view)?;
    let known = &view.knowledge.publication;
    if known.setback.as_ref().is_some_and(|setback| setback.retry_at > view.now.tick || is_given_up(setback, &wish)) {
        return None;
    }
    match (wish, &known.found) {
        (_, Found::Unknown) => Some(Step::LookAtConfigMap),
        (Wish::Gone, Found::Ours { uid, resource_version, .. }) => {
            Some(Step::Unpublish { uid: uid.clone(), resource_version: resource_version.clone() })
        }
        (Wish::Gone, Found::Absent | Found::Foreign) => None,
        (Wish::There(data), Found::Absent) => Some(Step::Publish { data }),
        (Wish::There(data), Found::Ours { data: found, .. }) if *found != data => Some(Step::Publish { data }),
        (Wish::There(_), found) => look_again(view, found).is_zero().then_some(Step::LookAtConfigMap),
    }
}

/// When there is something to do about it again, if nothing changes until then.
pub(super) fn wait(view: &View<'_>) -> Option<Duration> {
    let wish = wish(view)?;
    let known = &view.knowledge.publication;
    match (&known.setback, wish) {
        (Some(setback), wish) => (!is_given_up(setback, &wish)).then(|| view.until(setback.retry_at)),
        (None, Wish::There(_)) => Some(look_again(view, &known.found)),
        (None, Wish::Gone) => None,
    }
}

/// Nobody tells when somebody else changes it.
fn look_again(view: &View<'_>, found: &Found) -> Duration {
    let interval = if *found == Found::Foreign { view.timing.steady } else { view.timing.rarely() };
    view.knowledge.publication.at.map_or(Duration::ZERO, |at| view.until(at + interval))
}

fn is_given_up(setback: &Setback, wish: &Wish) -> bool {
    matches!(wish, Wish::Gone) && setback.attempts >= MOST_REMOVALS
}

/// What keeps it from telling of a session that is up.
pub(super) fn hindrance(view: &View<'_>) -> Option<Verdict> {
    let name = &view.object.spec.publish_to.as_ref()?.config_map_name;
    let namespace = view.object.namespace().unwrap_or_default();
    let known = &view.knowledge.publication;
    let steady = view.timing.steady;
    if known.found == Found::Foreign {
        let message = format!(
            "The session is up, and spec.publishTo can't tell of it: ConfigMap {namespace}/{name} is there already, and \
             isn't this object's. It is left as it is. Delete it, or create another AthenaSession that names another one. \
             Looked at again every {steady:?}."
        );
        return Some(Verdict { reason: Reason::PublishConflict, message });
    }
    let refusal = known.setback.as_ref()?.refusal.as_ref()?;
    let message = format!(
        "The session is up, and spec.publishTo can't tell of it: the API server refuses the operator ConfigMap \
         {namespace}/{name} ({refusal}). If the right is missing, a cluster administrator can add the component \
         deploy/workloads to the operator's installation. Tried again every {steady:?}."
    );
    Some(Verdict { reason: Reason::PublishForbidden, message })
}

//! On what terms an AthenaSession may use Athena: what others than its author say about it. PURE.
//!
//! An AthenaWorkGroup is an administrator's grant to the namespaces that it selects; a session that
//! several objects name belongs to one of them; and ends can be held up.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};
use kube::{Resource, ResourceExt};

use super::claims::Claim;
use super::session_quota::Slot;
use crate::api::session::AthenaSession;
use crate::api::start::StartBounds;
use crate::api::work_group::{AthenaWorkGroup, From, Namespaces};
use crate::api::{PAUSED, is_held};
use crate::athena::engine::EngineKnowledge;

/// The end of each sentence about the annotation `athena-operator.dev/paused`.
pub const HOW_TO_RESUME: &str =
    ": remove the annotation, or set it to \"false\", to go on. Every other value counts as paused.";

/// The terms for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// The AthenaWorkGroup that it refers to; None: the operator's own identity reaches its session.
    pub reference: Option<String>,
    /// The Athena work group that its session must be in; None: any.
    pub work_group: Option<String>,
    /// The AWS account that is recorded for the AthenaWorkGroup.
    pub account: Option<String>,
    /// Why it may neither adopt nor end a session.
    pub denied: Option<Denied>,
    /// The AthenaWorkGroup is being deleted: it serves ends, and no adoption.
    pub is_terminating: bool,
    /// Our finalizer isn't on the AthenaWorkGroup yet, so that it could go while sessions depend on it: a moment to wait.
    pub lacks_finalizer: bool,
    /// What holds up starts and ends.
    pub suspension: Option<Suspension>,
    /// Another object that the session belongs to.
    pub owner: Option<Claim>,
    /// Whether another object names the session, or has recorded the session as its own. Only Athena can tell whose it is.
    pub is_contested: bool,
    /// On what terms it may start a session, where it asks for that.
    pub start: Option<StartAccess>,
    /// The engine of its work group, as far as that is known.
    pub engine: EngineKnowledge,
}

/// On what terms an object may start a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartAccess {
    /// What its AthenaWorkGroup allows.
    pub bounds: Option<Box<StartBounds>>,
    /// Whether there is a place for it among the sessions of its namespace.
    pub slot: Slot,
}

/// Why an object may neither adopt nor end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It has no workGroupRef, and the operator asks for one.
    WorkGroupRequired,
    /// There is no such AthenaWorkGroup.
    WorkGroupNotFound,
    /// The AthenaWorkGroup doesn't select its namespace.
    NamespaceNotAllowed,
}

/// What holds up starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// The operator runs with `--read-only`.
    ReadOnly,
    /// The object has the annotation.
    ObjectPaused,
    /// Its AthenaWorkGroup has the annotation.
    WorkGroupPaused,
}

/// What the command line says about every object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// An AthenaSession without workGroupRef is refused.
    pub require_work_group: bool,
    /// No call that changes something in AWS.
    pub read_only: bool,
}

impl Access {
    /// The terms for `object`, with the AthenaWorkGroup that it refers to and its namespace's labels, as far as there
    /// are any. Whose the session is, is another question: [`Claim`].
    #[must_use]
    pub fn of(
        object: &AthenaSession,
        group: Option<&AthenaWorkGroup>,
        labels: Option<&BTreeMap<String, String>>,
        rules: Rules,
    ) -> Self {
        let suspension = suspension(object, group, rules);
        let bounds = || group.and_then(|group| group.spec.start.clone()).map(Box::new);
        let start = object.spec.start.as_ref().map(|_| StartAccess { bounds: bounds(), slot: Slot::Held });
        let Some(reference) = &object.spec.work_group_ref else {
            let denied = rules.require_work_group.then_some(Denied::WorkGroupRequired);
            return Self { denied, suspension, ..Self::default() };
        };
        let reference = Some(reference.name.clone());
        let Some(group) = group else {
            return Self { reference, denied: Some(Denied::WorkGroupNotFound), suspension, ..Self::default() };
        };
        let allowed = labels.is_some_and(|labels| selects(&group.spec.namespaces, labels));
        Self {
            reference,
            work_group: Some(group.athena_name()),
            account: group.account().map(str::to_owned),
            denied: (!allowed).then_some(Denied::NamespaceNotAllowed),
            is_terminating: group.meta().deletion_timestamp.is_some(),
            suspension,
            start,
            ..Self::default()
        }
    }

    /// The claim of an object that has a grant. One that we have let go, and that something else still holds, has none.
    #[must_use]
    pub fn claim(&self, object: &AthenaSession) -> Option<Claim> {
        let is_held = is_held(object);
        let is_deleted = object.meta().deletion_timestamp.is_some();
        let has_grant = self.denied.is_none() && (is_held || !self.is_terminating);
        (has_grant && (is_held || !is_deleted)).then(|| Claim::by_mark(object))
    }
}

/// Whether a namespace with these labels is selected. A selector that can't be read selects none.
#[must_use]
pub fn selects(namespaces: &Namespaces, labels: &BTreeMap<String, String>) -> bool {
    match (namespaces.from, &namespaces.selector) {
        (From::All, _) => true,
        (From::Selector, Some(selector)) => {
            Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
        }
        (From::None, _) | (From::Selector, None) => false,
    }
}

/// Whether the annotation that holds up starts and ends is there.
#[must_use]
pub fn is_paused(object: &impl ResourceExt) -> bool {
    object.annotations().get(PAUSED).is_some_and(|value| value != "false")
}

fn suspension(object: &AthenaSession, group: Option<&AthenaWorkGroup>, rules: Rules) -> Option<Suspension> {
    if is_paused(object) {
        Some(Suspension::ObjectPaused)
    } else if group.is_some_and(is_paused) {
        Some(Suspension::WorkGroupPaused)
    } else {
        // An annotation comes first: with --read-only the forecast must not promise what the annotation holds up.
        rules.read_only.then_some(Suspension::ReadOnly)
    }
}

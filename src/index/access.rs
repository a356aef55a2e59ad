//! What an AthenaSession may do in Athena: by its AthenaWorkGroup, by other objects that claim its session, and by
//! what is suspended (annotation `paused`, `--read-only`). PURE.
//!
//! An AthenaWorkGroup is an administrator's grant to the namespaces that it selects. A session that several objects claim
//! belongs to one of them. Starts and ends can be suspended.

use std::collections::BTreeMap;

use kube::core::{Duration, Selector, SelectorExt};
use kube::{Resource, ResourceExt};

use super::claims::Claim;
use super::session_quota::Slot;
use crate::api::session::AthenaSession;
use crate::api::start::StartBounds;
use crate::api::work_group::{AthenaWorkGroup, From, Namespaces, SessionLimits};
use crate::api::{PAUSED, is_held};
use crate::athena::engine::EngineKnowledge;

/// The end of each sentence about the annotation `athena-operator.dev/paused`.
pub const HOW_TO_RESUME: &str =
    ": remove the annotation, or set it to \"false\", to go on. Every other value counts as paused.";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// The AthenaWorkGroup that the object refers to; None: the operator's own identity reaches its session.
    pub reference: Option<String>,
    /// The work group of Athena that the session must be in; None: any.
    pub work_group: Option<String>,
    pub account: Option<String>,
    pub denied: Option<Denied>,
    /// The AthenaWorkGroup is being deleted: sessions are still ended by way of it, and no object is adopted.
    pub is_terminating: bool,
    /// Our finalizer isn't on the AthenaWorkGroup yet, so the AthenaWorkGroup could go while sessions depend on it. The object
    /// has to wait for a moment.
    pub lacks_finalizer: bool,
    pub suspension: Option<Suspension>,
    /// No call is made that changes something in AWS, for whatever reason.
    pub is_read_only: bool,
    pub owner: Option<Claim>,
    /// Whether another object names the session, or has recorded the session as its own. Only Athena can tell whose it is.
    pub is_contested: bool,
    pub start: Option<StartAccess>,
    /// Limits of the session's life. None without a grant: an AthenaWorkGroup ends no session of an object that may not use it.
    pub limits: Option<WorkGroupLimits>,
    pub engine: EngineKnowledge,
}

/// The limits that an AthenaWorkGroup sets for each of its sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkGroupLimits {
    pub limits: SessionLimits,
    /// What holds up an end by these limits. The annotation `paused` of an AthenaSession doesn't: otherwise its author could do
    /// without the limits.
    pub suspension: Option<Suspension>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartAccess {
    pub bounds: Option<Box<StartBounds>>,
    pub slot: Slot,
}

impl WorkGroupLimits {
    /// The limits that two copies of the AthenaWorkGroup have in common: the longer of each. Either copy holds up an end.
    pub fn in_common_with(self, other: Self) -> Self {
        let longer = |one: Option<Duration>, other: Option<Duration>| one.zip(other).map(|(one, other)| one.max(other));
        let max_lifetime = longer(self.limits.max_lifetime, other.limits.max_lifetime);
        let max_idle = longer(self.limits.max_idle, other.limits.max_idle);
        let suspension = self.suspension.or(other.suspension);
        Self { limits: SessionLimits { max_lifetime, max_idle }, suspension }
    }
}

/// Why an object may neither adopt nor end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    WorkGroupRequired,
    WorkGroupNotFound,
    NamespaceNotAllowed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    ReadOnly,
    ObjectPaused,
    WorkGroupPaused,
}

/// What the command line says about every object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub require_work_group: bool,
    /// No call is made that changes something in AWS.
    pub read_only: bool,
}

impl Access {
    /// The access of `object`, by the AthenaWorkGroup that it refers to and the labels of its namespace, as far as these
    /// exist. Whose the session is, and whether there is a slot, isn't asked here.
    pub fn of(
        object: &AthenaSession,
        group: Option<&AthenaWorkGroup>,
        labels: Option<&BTreeMap<String, String>>,
        rules: Rules,
    ) -> Self {
        let suspended =
            Self { suspension: suspension(object, group, rules), is_read_only: rules.read_only, ..Self::default() };
        let Some(reference) = &object.spec.work_group_ref else {
            let denied = rules.require_work_group.then_some(Denied::WorkGroupRequired);
            return Self { denied, ..suspended };
        };
        let reference = Some(reference.name.clone());
        let Some(group) = group else {
            return Self { reference, denied: Some(Denied::WorkGroupNotFound), ..suspended };
        };
        let is_selected = labels.is_some_and(|labels| selects(&group.spec.namespaces, labels));
        let bounds = || group.spec.start.clone().map(Box::new);
        Self {
            reference,
            work_group: Some(group.athena_name()),
            account: group.account().map(str::to_owned),
            denied: (!is_selected).then_some(Denied::NamespaceNotAllowed),
            is_terminating: group.meta().deletion_timestamp.is_some(),
            start: object.spec.start.as_ref().map(|_| StartAccess { bounds: bounds(), slot: Slot::Held }),
            limits: if is_selected { limits(group, rules) } else { None },
            ..suspended
        }
    }

    /// The claim of an object with this access to the session that it names. An object whose operator's finalizer was
    /// removed, and that another finalizer still keeps, has no claim.
    pub fn claim(&self, object: &AthenaSession) -> Option<Claim> {
        let is_deleted = object.meta().deletion_timestamp.is_some();
        let may_claim = is_held(object) || !is_deleted && !self.is_terminating;
        (self.denied.is_none() && may_claim).then(|| Claim::of(object))
    }
}

/// Whether a namespace with these labels is selected. A selector that can't be read selects no namespace.
pub fn selects(namespaces: &Namespaces, labels: &BTreeMap<String, String>) -> bool {
    match (namespaces.from, &namespaces.selector) {
        (From::All, _) => true,
        (From::Selector, Some(selector)) => {
            Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
        }
        (From::None, _) | (From::Selector, None) => false,
    }
}

pub fn is_paused(object: &impl ResourceExt) -> bool {
    object.annotations().get(PAUSED).is_some_and(|value| value != "false")
}

fn suspension(object: &AthenaSession, group: Option<&AthenaWorkGroup>, rules: Rules) -> Option<Suspension> {
    if is_paused(object) { Some(Suspension::ObjectPaused) } else { suspension_by_administrator(group, rules) }
}

fn suspension_by_administrator(group: Option<&AthenaWorkGroup>, rules: Rules) -> Option<Suspension> {
    if group.is_some_and(is_paused) {
        Some(Suspension::WorkGroupPaused)
    } else {
        // The annotation comes first: with --read-only the forecast must not promise a call that the annotation holds up.
        rules.read_only.then_some(Suspension::ReadOnly)
    }
}

fn limits(group: &AthenaWorkGroup, rules: Rules) -> Option<WorkGroupLimits> {
    let limits = group.spec.limits?;
    Some(WorkGroupLimits { limits, suspension: suspension_by_administrator(Some(group), rules) })
}

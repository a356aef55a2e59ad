//! On what terms an AthenaSession may use Athena: what others than its author say about it. PURE.
//!
//! An AthenaWorkGroup is an administrator's grant to the namespaces that it selects; a session that
//! several objects name belongs to one of them; and ends can be held up.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::core::{Selector, SelectorExt};
use kube::{Resource, ResourceExt};

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
pub struct Terms {
    /// The AthenaWorkGroup that it refers to; None: the operator's own identity reaches its session.
    pub reference: Option<String>,
    /// The Athena work group that its session must be in; None: any.
    pub work_group: Option<String>,
    /// The AWS account that is recorded for the AthenaWorkGroup.
    pub account: Option<String>,
    /// Why it may neither adopt nor end a session.
    pub refusal: Option<Refusal>,
    /// The AthenaWorkGroup is being deleted: it serves ends, and no adoption.
    pub is_closing: bool,
    /// Our finalizer isn't on the AthenaWorkGroup yet, so that it could go while sessions depend on it: a moment to wait.
    pub is_opening: bool,
    /// What holds up starts and ends.
    pub brake: Option<Brake>,
    /// Another object that the session belongs to.
    pub owner: Option<Claim>,
    /// Whether another object names the session, or has recorded the session as its own. Only Athena can tell whose it is.
    pub is_contested: bool,
    /// On what terms it may start a session, where it asks for that.
    pub start: Option<StartTerms>,
    /// The engine of its work group, as far as that is known.
    pub engine: EngineKnowledge,
}

/// On what terms an object may start a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartTerms {
    /// What its AthenaWorkGroup allows.
    pub bounds: Option<Box<StartBounds>>,
    /// Whether there is a place for it among the sessions of its namespace.
    pub place: Place,
}

/// How an object stands among those of its namespace that start sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// It has its place, or the number isn't limited.
    #[default]
    Has,
    /// There is one, which it has to reserve before it starts anything.
    Free,
    /// Others have, or before this one wait for, as many as there are.
    Taken(Crowd),
}

/// Objects of a namespace that have, or before this one wait for, as many sessions as it may have at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// How many sessions it may have.
    pub limit: u32,
    /// The names of those that have a place, in order.
    pub holders: Vec<String>,
    /// How many wait longer than this one.
    pub waiting: usize,
}

impl Crowd {
    const NAMED: usize = 3;

    /// How many there may be, who has them, and how many come first.
    #[must_use]
    pub fn sentence(&self, group: &str) -> String {
        let (limit, waiting) = (self.limit, self.waiting);
        let sessions = if limit == 1 { "session" } else { "sessions" };
        let allowed = format!("AthenaWorkGroup {group} allows {limit} {sessions} at once to a namespace");
        let held = self.held().map_or_else(String::new, |held| format!(", and {held}"));
        let before = match waiting {
            0 => String::new(),
            1 => " 1 other waits before this one.".to_owned(),
            _ => format!(" {waiting} others wait before this one."),
        };
        format!("{allowed}{held}.{before}")
    }

    /// Who has how many.
    fn held(&self) -> Option<String> {
        let count = self.holders.len();
        let mut names: Vec<_> = self.holders.iter().take(Self::NAMED).map(String::as_str).collect();
        let others = match count.saturating_sub(Self::NAMED) {
            0 => None,
            1 => Some("1 other".to_owned()),
            more => Some(format!("{more} others")),
        };
        names.extend(others.as_deref());
        let (last, first) = names.split_last()?;
        let who = if first.is_empty() { (*last).to_owned() } else { format!("{} and {last}", first.join(", ")) };
        let has = if count == 1 { "has" } else { "have" };
        let what = match usize::try_from(self.limit).unwrap_or(usize::MAX) {
            1 if count == 1 => "it".to_owned(),
            limit if count == limit => "them".to_owned(),
            limit if count > limit => count.to_string(),
            _ if count == 1 => "one of them".to_owned(),
            _ => format!("{count} of them"),
        };
        Some(format!("{who} {has} {what}"))
    }
}

/// Why an object may neither adopt nor end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no workGroupRef, and the operator asks for one.
    WorkGroupRequired,
    /// There is no such AthenaWorkGroup.
    WorkGroupNotFound,
    /// The AthenaWorkGroup doesn't select its namespace.
    NamespaceNotAllowed,
}

/// What holds up starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
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

/// An object that names a session, as far as it matters whose the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's UID.
    pub uid: String,
    created: Option<Timestamp>,
}

/// Where the session that an object names is to be found. The same id elsewhere is another session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// The Region.
    pub region: Option<String>,
    /// The account, as far as it is known.
    pub account: Option<String>,
    /// The work group, as far as the object is bound to one.
    pub work_group: Option<String>,
}

impl Domain {
    /// Whether the same id may be the same session in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let may_be_same = |one: &Option<String>, two: &Option<String>| one.is_none() || two.is_none() || one == two;
        may_be_same(&self.region, &other.region)
            && may_be_same(&self.account, &other.account)
            && may_be_same(&self.work_group, &other.work_group)
    }
}

impl Terms {
    /// The terms for `object`, with the AthenaWorkGroup that it refers to and its namespace's labels, as far as there
    /// are any. Whose the session is, is another question: [`Claim`].
    #[must_use]
    pub fn of(
        object: &AthenaSession,
        group: Option<&AthenaWorkGroup>,
        labels: Option<&BTreeMap<String, String>>,
        rules: Rules,
    ) -> Self {
        let brake = brake(object, group, rules);
        let bounds = || group.and_then(|group| group.spec.start.clone()).map(Box::new);
        let start = object.spec.start.as_ref().map(|_| StartTerms { bounds: bounds(), place: Place::Has });
        let Some(reference) = &object.spec.work_group_ref else {
            let refusal = rules.require_work_group.then_some(Refusal::WorkGroupRequired);
            return Self { refusal, brake, ..Self::default() };
        };
        let reference = Some(reference.name.clone());
        let Some(group) = group else {
            return Self { reference, refusal: Some(Refusal::WorkGroupNotFound), brake, ..Self::default() };
        };
        let allowed = labels.is_some_and(|labels| selects(&group.spec.namespaces, labels));
        Self {
            reference,
            work_group: Some(group.athena_name()),
            account: group.account().map(str::to_owned),
            refusal: (!allowed).then_some(Refusal::NamespaceNotAllowed),
            is_closing: group.meta().deletion_timestamp.is_some(),
            brake,
            start,
            ..Self::default()
        }
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

fn brake(object: &AthenaSession, group: Option<&AthenaWorkGroup>, rules: Rules) -> Option<Brake> {
    if is_paused(object) {
        Some(Brake::ObjectPaused)
    } else if group.is_some_and(is_paused) {
        Some(Brake::WorkGroupPaused)
    } else {
        // An annotation comes first: with --read-only the forecast must not promise what the annotation holds up.
        rules.read_only.then_some(Brake::ReadOnly)
    }
}

impl Claim {
    /// The claim of an object that has a grant. One that we have let go, and that something else still holds, has none.
    #[must_use]
    pub fn of(object: &AthenaSession, terms: &Terms) -> Option<Self> {
        let is_held = is_held(object);
        let is_deleted = object.meta().deletion_timestamp.is_some();
        let has_grant = terms.refusal.is_none() && (is_held || !terms.is_closing);
        (has_grant && (is_held || !is_deleted)).then(|| Self::by_mark(object))
    }

    /// The claim of the object whose mark the session bears: it holds whatever its grant.
    #[must_use]
    pub fn by_mark(object: &AthenaSession) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            created: object.creation_timestamp().map(|created| created.0),
        }
    }

    /// Whether it comes before another one: of those with a grant the oldest has the session.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        (self.created, &self.uid) < (other.created, &other.uid)
    }
}

//! Sessions, rules and objects to begin with.

use std::collections::BTreeMap;

use athena_session_operator::api::cleanup::{Cleanup, CleanupRule, Protect, SessionMatch};
use athena_session_operator::athena::marker::Marker;
use athena_session_operator::athena::types::{ListedSession, SessionState, SessionStatus};
use athena_session_operator::cleanup::declarations::{Declaration, Declarations, DeclaredSessions};
use athena_session_operator::cleanup::policy::{Policy, Source};
use athena_session_operator::cleanup::verdict::{Judge, Tags, Verdict};
use jiff::{SignedDuration, Timestamp};

pub const NOW: Timestamp = Timestamp::constant(1_795_910_400, 0);
pub const CLUSTER: &str = "c1";
pub const PLACE: (&str, &str) = ("123456789012", "eu-west-1");

/// A session, with what a list shows of it.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    pub status: SessionStatus,
}

impl Session {
    pub fn listed(&self) -> ListedSession<'_> {
        ListedSession::new(&self.id, &self.status)
    }

    pub fn described(mut self, description: &str) -> Self {
        self.status.marker = Marker::parse(description).map(Box::new);
        self.status.description = Some(description.into());
        self
    }
}

/// A session of this age, in minutes, in this state. In the state IDLE it has been idle all its life.
pub fn session(id: &str, state: &str, minutes: i64) -> Session {
    let since = NOW - SignedDuration::from_mins(minutes);
    let state = SessionState::from(state);
    let status = SessionStatus {
        idle_since: (state == SessionState::Idle).then_some(since),
        state,
        state_change_reason: None,
        started_at: Some(since),
        ended_at: None,
        description: None,
        marker: None,
        engine: None,
    };
    Session { id: id.to_owned(), status }
}

pub fn rule(name: &str, matches: SessionMatch) -> CleanupRule {
    CleanupRule { name: name.to_owned(), matches }
}

pub fn described(pattern: &str) -> SessionMatch {
    SessionMatch { description: Some(pattern.to_owned()), ..SessionMatch::default() }
}

pub fn rules(rules: impl IntoIterator<Item = CleanupRule>) -> Cleanup {
    Cleanup { rules: rules.into_iter().collect(), ..Cleanup::default() }
}

/// One rule that matches each session.
pub fn all() -> Cleanup {
    rules([rule("all", described("^"))])
}

pub fn protect(description: &str) -> Protect {
    Protect { description: Some(description.to_owned()), ..Protect::default() }
}

pub fn protect_tag(tag: &str, value: Option<&str>) -> Protect {
    Protect { tag: Some(tag.to_owned()), value: value.map(str::to_owned), ..Protect::default() }
}

pub fn policy(cleanup: &Cleanup) -> Policy {
    Policy::read(&[Source { owner: "", cleanup: Some(cleanup) }])
}

pub fn tags(tags: &[(&str, &str)]) -> Tags {
    Tags::Read(tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>())
}

/// The verdict where the cluster has these objects.
pub fn verdict(policy: &Policy, declared: &DeclaredSessions, session: &Session, tags: &Tags) -> Verdict {
    verdict_in(Some(CLUSTER), policy, declared, session, tags)
}

pub fn verdict_in(
    cluster: Option<&str>,
    policy: &Policy,
    declared: &DeclaredSessions,
    session: &Session,
    tags: &Tags,
) -> Verdict {
    let declared_by = |id: &str, marker: Option<&Marker>| declared.declared_by(id, marker);
    let declarations = Declarations { cluster, declared_by: &declared_by };
    Judge { policy, declarations, now: NOW }.verdict(&session.listed(), tags)
}

/// A cluster with one object, which names this session.
pub fn naming(id: &str) -> DeclaredSessions {
    let mut declared = DeclaredSessions::default();
    declared
        .add(&Declaration { object: "team-a/nightly", uid: "u1", named: Some(id), ..Declaration::default() }, PLACE);
    declared
}

/// The description of a session that was started for an object with this UID.
pub fn marked(cluster: &str, uid: &str) -> String {
    format!("nightly [athena-operator {cluster} team-a/nightly {uid}]")
}

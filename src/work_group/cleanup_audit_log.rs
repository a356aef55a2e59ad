//! What the log and an event tell of a session that a rule ends: one line of the log for each TerminateSession, and one event for
//! each that Athena accepted.

use kube::ResourceExt;
use tracing::{info, warn};

use super::cleanup::report::shown_description;
use crate::api::work_group::AthenaWorkGroup;
use crate::athena::types::{CallError, ListedSession};
use crate::cleanup::conditions::Ages;
use crate::status::event::Event;
use crate::text::age;

/// A call of TerminateSession on behalf of a rule.
pub(super) struct EndByRule<'a> {
    /// The name of the AthenaWorkGroup.
    name: String,
    work_group: &'a str,
    rule: &'a str,
    session: &'a str,
    age: String,
    idle: String,
    description: String,
}

impl<'a> EndByRule<'a> {
    /// `work_group`: its name in Athena.
    pub(super) fn of(
        group: &AthenaWorkGroup,
        work_group: &'a str,
        rule: &'a str,
        session: &ListedSession<'a>,
        ages: Ages,
    ) -> Self {
        Self {
            name: group.name_any(),
            work_group,
            rule,
            session: session.id,
            age: ages.age.map_or_else(|| "unknown".to_owned(), age),
            idle: ages.idle.map_or_else(|| "not idle".to_owned(), age),
            description: session.description.map(shown_description).unwrap_or_default(),
        }
    }

    pub(super) fn log_accepted(&self, answer: &str, aws_request_id: &str) {
        let Self { name, work_group, rule, session, age, idle, description } = self;
        info!(name, work_group, rule, session, age, idle, description, answer, aws_request_id, "TerminateSession");
    }

    pub(super) fn log_failed(&self, failed: &CallError) {
        let Self { name, work_group, rule, session, age, idle, description } = self;
        let (answer, error) = (&failed.code, &failed.message);
        let aws_request_id = failed.request_id.as_deref().unwrap_or("none");
        warn!(
            name,
            work_group, rule, session, age, idle, description, answer, error, aws_request_id, "TerminateSession"
        );
    }

    pub(super) fn event(&self) -> Event {
        let Self { rule, session, age, idle, description, .. } = self;
        let note = format!(
            "Athena accepted the end of session {session}, which no AthenaSession declares, by the rule {rule}: age {age}, idle \
             {idle}, description {description:?}"
        );
        Event::normal("SessionCleanedUp", note)
    }
}

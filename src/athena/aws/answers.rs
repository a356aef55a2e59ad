//! What an answer of AWS says, in the operator's own types. An answer that can't be true never counts as an end.

use aws_sdk_athena::operation::RequestId;
use aws_sdk_athena::operation::get_session::GetSessionOutput;
use aws_sdk_athena::operation::get_session_status::GetSessionStatusOutput;
use aws_sdk_athena::operation::get_work_group::GetWorkGroupOutput;
use aws_sdk_athena::operation::list_sessions::ListSessionsOutput;
use aws_sdk_athena::operation::list_tags_for_resource::ListTagsForResourceOutput;
use aws_sdk_athena::operation::start_session::StartSessionOutput;
use aws_sdk_athena::operation::tag_resource::TagResourceOutput;
use aws_sdk_athena::operation::terminate_session::TerminateSessionOutput;
use aws_sdk_athena::primitives::DateTime;
use aws_sdk_athena::types;
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use jiff::Timestamp;

use super::errors::{own_error, unusable};
use crate::athena::engine::Engine;
use crate::athena::marker::Marker;
use crate::athena::plausible_times::PlausibleTimes;
use crate::athena::types::{CallError, ErrorClass, Operation, Session, SessionPage, SessionState, SessionStatus};
use crate::text::{is_hidden, one_line};

pub(super) const PAGE_SESSIONS: u8 = 100;
/// Athena's tokens for the next page have 2,048 characters at the most.
const TOKEN_BYTES: usize = 2_048;
/// Athena's ids of sessions have 256 characters at the most.
const ID_CHARACTERS: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct StartSessionAnswer {
    pub id: String,
    pub state: SessionState,
    pub request_id: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct TerminateSessionAnswer {
    pub state: Option<SessionState>,
    pub request_id: Option<String>,
}

pub(super) fn account(answer: GetCallerIdentityOutput) -> Result<String, CallError> {
    let is_account = |account: &String| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let no_account = || unusable(Operation::GetCallerIdentity, "NoAccount", "the answer names no account");
    answer.account.filter(is_account).ok_or_else(no_account)
}

pub(super) fn session(id: &str, answer: GetSessionOutput, athena_now: Timestamp) -> Result<Session, CallError> {
    const OPERATION: Operation = Operation::GetSession;
    require_same(OPERATION, id, answer.session_id.as_deref())?;
    let status = status(OPERATION, answer.status, answer.description.as_deref(), athena_now)?;
    let no_work_group = || unusable(OPERATION, "NoWorkGroup", "the answer names no work group");
    Ok(Session {
        status: SessionStatus { engine: answer.engine_version.as_deref().map(engine), ..status },
        work_group: one_line(&answer.work_group.ok_or_else(no_work_group)?),
        dpu_execution_millis: answer.statistics.and_then(|statistics| statistics.dpu_execution_in_millis),
    })
}

pub(super) fn session_status(
    id: &str,
    answer: GetSessionStatusOutput,
    athena_now: Timestamp,
) -> Result<SessionStatus, CallError> {
    require_same(Operation::GetSessionStatus, id, answer.session_id.as_deref())?;
    status(Operation::GetSessionStatus, answer.status, None, athena_now)
}

pub(super) fn work_group_engine(answer: GetWorkGroupOutput) -> Result<Engine, CallError> {
    let configuration = answer.work_group.and_then(|group| group.configuration);
    let engine = configuration.and_then(|configuration| effective_engine(configuration.engine_version));
    let no_engine =
        || own_error(Operation::GetWorkGroup, ErrorClass::Invalid, "NoEngine", "the answer names no engine");
    engine.ok_or_else(no_engine)
}

pub(super) fn page(
    token: Option<&str>,
    answer: ListSessionsOutput,
    athena_now: Timestamp,
) -> Result<SessionPage, CallError> {
    const OPERATION: Operation = Operation::ListSessions;
    if answer.next_token.is_some() && answer.next_token.as_deref() == token {
        let message = "the token for the next page is that of this page";
        return Err(own_error(OPERATION, ErrorClass::Invalid, "SamePage", message));
    }
    let sessions = answer.sessions.unwrap_or_default();
    if sessions.len() > usize::from(PAGE_SESSIONS)
        || answer.next_token.as_ref().is_some_and(|token| token.len() > TOKEN_BYTES)
    {
        return Err(unusable(OPERATION, "UnusablePage", "the page holds more than was asked for"));
    }
    let sessions = sessions.into_iter().filter_map(|summary| {
        // An entry without an id or a state tells nothing.
        let status = status(OPERATION, summary.status, summary.description.as_deref(), athena_now).ok()?;
        let id = summary.session_id.filter(|id| is_session_id(id))?;
        let (description, engine) = (summary.description.map(Box::from), effective_engine(summary.engine_version));
        Some((id, SessionStatus { description, engine, ..status }))
    });
    Ok(SessionPage::of(sessions, answer.next_token))
}

/// A page of ListTagsForResource: tags, and the token that asks for the next page.
pub(super) type TagPage = (Vec<(String, String)>, Option<String>);

pub(super) fn tags(answer: ListTagsForResourceOutput) -> TagPage {
    let tags = answer.tags.unwrap_or_default().into_iter();
    let tags = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect();
    (tags, answer.next_token)
}

/// The id of the request that set a tag.
pub(super) fn tagged(answer: &TagResourceOutput) -> Option<String> {
    answer.request_id().map(one_line)
}

pub(super) fn started(answer: StartSessionOutput) -> Result<StartSessionAnswer, CallError> {
    let no_session = || unusable(Operation::StartSession, "NoSession", "the answer names no session");
    Ok(StartSessionAnswer {
        request_id: answer.request_id().map(one_line),
        state: answer.state.as_ref().map_or(SessionState::Creating, |it| state(it, None)),
        id: answer.session_id.filter(|id| is_session_id(id)).ok_or_else(no_session)?,
    })
}

pub(super) fn terminated(answer: &TerminateSessionOutput) -> TerminateSessionAnswer {
    TerminateSessionAnswer {
        request_id: answer.request_id().map(one_line),
        state: answer.state.as_ref().map(|it| state(it, None)),
    }
}

fn status(
    operation: Operation,
    status: Option<types::SessionStatus>,
    description: Option<&str>,
    athena_now: Timestamp,
) -> Result<SessionStatus, CallError> {
    let no_state = || unusable(operation, "NoState", "the answer names no state");
    let status = status.ok_or_else(no_state)?;
    let word = status.state.as_ref().ok_or_else(no_state)?;
    let mut read = SessionStatus {
        state: state(word, None),
        state_change_reason: status.state_change_reason.map(|reason| one_line(&reason)),
        started_at: status.start_date_time.and_then(timestamp),
        idle_since: status.idle_since_date_time.and_then(timestamp),
        ended_at: status.end_date_time.and_then(timestamp),
        description: None,
        marker: description.and_then(Marker::parse).map(Box::new),
        engine: None,
    };
    // A time of the end that can't be true is no sign of an end.
    read.state = state(word, PlausibleTimes::of(&read, athena_now).ended_at);
    Ok(read)
}

fn state(state: &types::SessionState, ended_at: Option<Timestamp>) -> SessionState {
    SessionState::read(state.as_str(), ended_at)
}

/// The engine that runs. The selected version isn't used: it may be AUTO, which is no engine.
fn effective_engine(version: Option<types::EngineVersion>) -> Option<Engine> {
    version.and_then(|version| version.effective_engine_version).as_deref().map(engine)
}

fn engine(word: &str) -> Engine {
    Engine::from(one_line(word).as_str())
}

/// A time of AWS; None where it is out of range.
pub(super) fn timestamp(time: DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

/// Whether this can be the id of a session. Ids stand in statuses, events and logs, and are sent back to Athena
/// unchanged. So an id can't be cut to a length, and one that is too long doesn't count.
fn is_session_id(id: &str) -> bool {
    let is_plain = |character: char| !character.is_whitespace() && !is_hidden(character);
    !id.is_empty() && id.chars().count() <= ID_CHARACTERS && id.chars().all(is_plain)
}

/// Fails for an answer about another session: it must never count as evidence about this one.
fn require_same(operation: Operation, asked: &str, answered: Option<&str>) -> Result<(), CallError> {
    if answered.is_some_and(|answered| answered != asked) {
        return Err(unusable(operation, "WrongSession", "the answer is about another session"));
    }
    Ok(())
}

//! What the object's status and events say. PURE: a function of the same view as [`super::decide`].

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::decide::{Account, Evidence, Proof, Step, View};
use super::knowledge::Trouble;
use crate::api::reason::{Reason, Standing, Tristate};
use crate::api::session::{AthenaSessionStatus, DeletionPolicy, TerminationReason};
use crate::athena::port::{ErrorClass, SessionState};

/// Passing trouble is told from this failure in a row on.
const TOLD_AFTER: u32 = 3;

/// Where the object stands, and the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In a word.
    pub reason: Reason,
    /// In a sentence that stays the same as long as nothing changes.
    pub message: String,
}

/// An event's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// What was asked for happened.
    Normal,
    /// A person should look.
    Warning,
}

/// Something to tell people once: a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its type.
    pub severity: Severity,
    /// Its reason, in PascalCase.
    pub reason: &'static str,
    /// Its text.
    pub note: String,
}

impl Notice {
    /// What was asked for happened.
    #[must_use]
    pub fn normal(reason: &'static str, note: String) -> Self {
        Self { severity: Severity::Normal, reason, note }
    }

    /// A person should look.
    #[must_use]
    pub fn warning(reason: &'static str, note: String) -> Self {
        Self { severity: Severity::Warning, reason, note }
    }
}

/// The status to write, if it differs from what is recorded.
#[must_use]
pub fn due(view: &View<'_>) -> Option<(AthenaSessionStatus, Vec<Notice>)> {
    let verdict = verdict(view)?;
    let status = render(view, &verdict);
    (view.recorded() != Some(&status)).then(|| {
        let notices = notices(view, &status, &verdict);
        (status, notices)
    })
}

/// The write that records why the session is being ended, before it is.
#[must_use]
pub fn intent(view: &View<'_>) -> Step {
    match due(view) {
        Some((status, notices)) => Step::WriteStatus { status: Box::new(status), notices },
        None => Step::Refresh,
    }
}

/// What to tell when the object goes because its session has ended, or never was.
#[must_use]
pub fn farewell(view: &View<'_>) -> Option<Notice> {
    let id = &view.object.spec.session_id;
    if recorded_terminated(view).is_some() {
        return None;
    }
    Some(match view.evidence() {
        Evidence::Absent if !view.once_seen() => Notice::warning(
            Reason::SessionNotFound.as_str(),
            format!("Athena has never shown session {id} {}: there was nothing to end", place(view)),
        ),
        Evidence::Absent => Notice::normal(
            "Terminated",
            format!("Athena no longer knows session {id}, and its work group doesn't list it: it is gone"),
        ),
        _ => {
            let state = view.knowledge.state().map_or("ended", SessionState::as_str);
            let why = view.recorded().and_then(|status| status.termination_reason);
            let why = why.map_or("EndedElsewhere", TerminationReason::as_str);
            Notice::normal("Terminated", format!("Session {id} is {state} ({why}): the object goes"))
        }
    })
}

/// What to tell when the object goes and its session is left alone.
#[must_use]
pub fn retained(view: &View<'_>) -> Option<Notice> {
    if recorded_terminated(view).is_some() || view.evidence() == Evidence::Ended {
        return None;
    }
    let id = &view.object.spec.session_id;
    Some(if view.intent().is_some() {
        Notice::warning(
            "EndNotReached",
            format!(
                "The object goes since deletionPolicy is Retain, before the end that spec.terminate asked for was \
                 reached: session {id} may still be running, and billed"
            ),
        )
    } else {
        Notice::normal("Retained", format!("Session {id} is left as it is: deletionPolicy is Retain"))
    })
}

/// An account or Region other than the one recorded, where nothing may be called.
///
/// A session that this process saw itself needs no record: the record may be forged.
#[must_use]
pub fn scope_problem(view: &View<'_>) -> Option<Verdict> {
    let recorded = view.recorded().filter(|_| view.knowledge.seen.is_none())?;
    let (reason, message) = match (&recorded.region, &view.scope.region, &recorded.account_id, &view.scope.account) {
        (Some(then), Some(now), _, _) if then != now => (
            Reason::WrongRegion,
            format!(
                "The session was seen in Region {then}, and the operator works in {now}: it calls nothing. Run it with AWS_REGION={then}."
            ),
        ),
        (_, _, Some(then), Account::Known(now)) if then != now => (
            Reason::WrongAccount,
            format!(
                "The session was seen in AWS account {then}, and the operator works in {now}: it calls nothing. Run it with credentials of {then}."
            ),
        ),
        (_, _, Some(then), Account::Unknown(why)) => (
            Reason::AccountUnknown,
            format!(
                "The session was seen in AWS account {then}, and the operator can't tell which account it works in: it calls nothing until STS answers GetCallerIdentity. {why}"
            ),
        ),
        _ => return None,
    };
    Some(Verdict { reason, message: with_way_out(view, message) })
}

/// Where the object stands. None while nothing is known that would be worth a write.
#[must_use]
pub fn verdict(view: &View<'_>) -> Option<Verdict> {
    if let Some(problem) = scope_problem(view) {
        return Some(problem);
    }
    let evidence = view.evidence();
    let is_final = evidence == Evidence::Ended || evidence == Evidence::Absent && view.once_seen();
    if !is_final && let Some(trouble) = view.knowledge.trouble.as_ref().filter(|trouble| is_told(trouble)) {
        return Some(trouble_verdict(view, trouble));
    }
    match evidence {
        Evidence::None | Evidence::Missing(Proof::Listing { .. }) => None,
        Evidence::Missing(Proof::AnotherLook { .. }) => (!view.once_seen()).then(|| not_found(view)),
        Evidence::Missing(Proof::NotToBeHad) => Some(not_found(view)),
        // The record of an end outlives Athena's memory of the session.
        Evidence::Absent if recorded_terminated(view).is_some() => None,
        Evidence::Absent if view.once_seen() && view.intent().is_some() => Some(ended(view)),
        Evidence::Absent => Some(not_found(view)),
        Evidence::Ended => Some(ended(view)),
        Evidence::Alive(state) => Some(alive(view, state)),
    }
}

fn is_told(trouble: &Trouble) -> bool {
    match trouble.error.class {
        ErrorClass::Throttled | ErrorClass::Unavailable => trouble.attempts >= TOLD_AFTER,
        _ => true,
    }
}

fn trouble_verdict(view: &View<'_>, trouble: &Trouble) -> Verdict {
    let error = &trouble.error;
    let operation = error.operation;
    let steady = view.timing.steady;
    let max = view.timing.backoff_max;
    let (reason, advice) = match error.class {
        ErrorClass::Denied => (
            Reason::AccessDenied,
            format!(
                "Allow the operator's AWS identity athena:{operation}, or renew its credentials. Tried again every {steady:?}."
            ),
        ),
        ErrorClass::Invalid | ErrorClass::NotFoundOrInvalid => {
            (Reason::Invalid, format!("Tried again every {steady:?}."))
        }
        ErrorClass::NotConfigured => (
            Reason::AwsNotConfigured,
            format!(
                "Give the operator AWS credentials and a Region (AWS_REGION). Tried again, at the latest every {max:?}."
            ),
        ),
        ErrorClass::Throttled => {
            (Reason::Throttled, format!("Athena asks for fewer calls. Tried again, at the latest every {max:?}."))
        }
        ErrorClass::Unavailable => (
            Reason::AthenaUnavailable,
            format!("Athena gave no usable answer. Tried again, at the latest every {max:?}."),
        ),
    };
    Verdict { reason, message: with_way_out(view, format!("{error}. {advice}")) }
}

fn not_found(view: &View<'_>) -> Verdict {
    let id = &view.object.spec.session_id;
    let place = place(view);
    let said = view.knowledge.absence.as_ref().map_or_else(String::new, |absence| format!(" ({})", absence.error));
    let steady = view.timing.steady;
    let message = match (view.once_seen(), view.work_group()) {
        (false, _) => format!(
            "Athena doesn't know session {id} {place}{said}. Check spec.sessionId, and the account and Region of the \
             operator. Looked for again every {steady:?}."
        ),
        (true, Some(work_group)) => format!(
            "Athena no longer knows session {id} {place}, and work group {work_group} doesn't list it in any \
             state{said}: it is gone. Delete this object."
        ),
        (true, None) => format!(
            "Athena no longer knows session {id} {place}{said}, and its work group isn't known, so that it can't be \
             proven. Looked for again every {steady:?}."
        ),
    };
    Verdict { reason: Reason::SessionNotFound, message: with_way_out(view, message) }
}

fn ended(view: &View<'_>) -> Verdict {
    let asked = view.recorded().filter(|_| view.intent().is_some()).and_then(|status| status.termination_reason);
    let last_word = view.knowledge.seen.as_ref().map(|seen| &seen.status);
    let status = last_word.filter(|status| status.state.is_ended());
    let said = status.and_then(|status| status.state_change_reason.as_deref());
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    let (reason, message) = match (status.map(|status| &status.state), asked) {
        (Some(SessionState::Failed), None) => (
            Reason::Failed,
            format!("The session FAILED{said}. Nothing runs any more. Delete this object; start another session."),
        ),
        (Some(state), Some(asked)) => {
            (Reason::Ended, format!("The session is {state}, as asked ({}).", asked.as_str()))
        }
        (Some(state), None) => (Reason::Ended, format!("The session is {state}; this operator didn't end it{said}.")),
        (None, _) => (
            Reason::Ended,
            "Athena no longer knows the session, and its work group doesn't list it: it is gone.".to_owned(),
        ),
    };
    Verdict { reason, message }
}

fn alive(view: &View<'_>, state: &SessionState) -> Verdict {
    let requested_at = view.recorded().and_then(|status| status.termination_requested_at.as_ref());
    let since = requested_at.map(|time| time.0).filter(|_| view.intent().is_some());
    let ending_since = since.or(view.knowledge.terminating_since.filter(|_| *state == SessionState::Terminating));
    let is_overdue = |since: &Timestamp| since.checked_add(view.timing.overdue).is_ok_and(|due| due <= view.now.wall);
    if let Some(since) = ending_since.filter(is_overdue) {
        return overdue(view, state, since);
    }
    let (reason, message) = match (view.intent(), state) {
        (Some(TerminationReason::ObjectDeleted), _) => (
            Reason::Terminating,
            with_way_out(view, "The object was deleted: the session is being ended, and the object goes when Athena says that it has.".to_owned()),
        ),
        (Some(TerminationReason::RequestedBySpec), _) => (
            Reason::Terminating,
            with_way_out(view, "spec.terminate is true: the session is being ended, and Athena is asked until it says that it has.".to_owned()),
        ),
        (None, SessionState::Terminating) => (
            Reason::Terminating,
            "The session is being ended, not by this operator. Athena is asked until it says that it has.".to_owned(),
        ),
        (None, SessionState::Creating | SessionState::Created) => {
            (Reason::Starting, "Athena is starting the session.".to_owned())
        }
        (None, SessionState::Degraded) => (
            Reason::Degraded,
            "The session has no healthy coordinators, and is billed all the same: end it (delete this object, or set spec.terminate).".to_owned(),
        ),
        (None, SessionState::Unknown(word)) => (
            Reason::StateUnknown,
            format!("Athena says {word}, which this operator doesn't know: it counts as running. Look for a newer version of the operator."),
        ),
        (None, _) => (
            Reason::Running,
            "The session is up. It is ended when this object is deleted (unless deletionPolicy is Retain) or spec.terminate is set.".to_owned(),
        ),
    };
    Verdict { reason, message }
}

fn overdue(view: &View<'_>, state: &SessionState, since: Timestamp) -> Verdict {
    let id = &view.object.spec.session_id;
    let since = Time(whole_seconds(since)).0;
    let steady = view.timing.steady;
    let message = format!(
        "The session has been ending since {since}, and Athena still says {state}. It is looked at every {steady:?}, \
         and asked again to end while it is active. If it stays so, ask AWS support about session {id}."
    );
    Verdict { reason: Reason::TerminationOverdue, message: with_way_out(view, message) }
}

/// A deletion that hangs has a way out, and whoever reads why it hangs should read that too.
fn with_way_out(view: &View<'_>, message: String) -> String {
    if view.is_deleted() && view.object.spec.deletion_policy == DeletionPolicy::Terminate {
        format!(
            "{message} To let the object go at once and leave the session as it is, set spec.deletionPolicy: Retain."
        )
    } else {
        message
    }
}

fn place(view: &View<'_>) -> String {
    let region = view.scope.region.as_deref().unwrap_or("unknown");
    match &view.scope.account {
        Account::Known(account) => format!("in account {account}, Region {region}"),
        Account::Unknown(_) => format!("in Region {region}"),
    }
}

fn render(view: &View<'_>, verdict: &Verdict) -> AthenaSessionStatus {
    let mut status = view.recorded().cloned().unwrap_or_default();
    status.observed_generation = view.object.metadata.generation;
    let recorded_end = status.termination_requested_at.is_some();
    // What is going is written to once, and then only if there is trouble to tell, or if it couldn't
    // say by then that the session was seen, which absence depends on.
    if !(view.is_deleted() && recorded_end && status.state.is_some()) {
        record_session(view, &mut status);
    }
    if view.intent().is_none() {
        // Nobody asks for an end, so what is recorded of one isn't ours.
        status.termination_requested_at = None;
        status.termination_reason = None;
    }
    if let Some(reason) = view.intent()
        && !recorded_end
        && view.evidence() != Evidence::Ended
    {
        let deleted_at = view.object.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let asked_at = deleted_at.filter(|_| reason == TerminationReason::ObjectDeleted);
        status.termination_requested_at = Some(Time(whole_seconds(asked_at.unwrap_or(view.now.wall))));
        status.termination_reason = Some(reason);
    }
    status.conditions = conditions(view, verdict, &status);
    status
}

fn record_session(view: &View<'_>, status: &mut AthenaSessionStatus) {
    let Some(seen) = &view.knowledge.seen else { return };
    let time = |time: Option<Timestamp>| time.map(|time| Time(whole_seconds(time)));
    status.session_id = Some(view.object.spec.session_id.clone());
    status.state = Some(seen.status.state.as_str().to_owned());
    status.state_change_reason.clone_from(&seen.status.state_change_reason);
    status.started_at = time(seen.status.started_at).or(status.started_at.take());
    status.idle_since = time(seen.status.idle_since).filter(|_| seen.status.state == SessionState::Idle);
    if seen.status.state.is_ended() {
        status.ended_at = time(seen.status.ended_at).or(status.ended_at.take()).or(time(Some(view.now.wall)));
        status.dpu_execution_millis = view.knowledge.dpu_execution_millis.or(status.dpu_execution_millis);
    } else {
        status.ended_at = None;
        status.dpu_execution_millis = None;
    }
    status.work_group = view.work_group().map(str::to_owned);
    status.region.clone_from(&view.scope.region);
    if let Account::Known(account) = &view.scope.account {
        status.account_id = Some(account.clone());
    }
}

fn conditions(view: &View<'_>, verdict: &Verdict, status: &AthenaSessionStatus) -> Vec<Condition> {
    let row = verdict.reason.row();
    let state = status.state.as_deref();
    let state_message = state
        .map_or_else(|| "Athena hasn't shown the session.".to_owned(), |state| format!("Athena's last word: {state}."));
    let active = if view.intent().is_some() { Tristate::False } else { row.active };
    let ready = if row.standing == Standing::Ready { Tristate::True } else { Tristate::False };
    let terminated = terminated(view, status);

    let mut conditions = vec![
        ("Active", active, verdict.reason.as_str(), state_message.clone()),
        match terminated {
            Some(reason) => ("Terminated", Tristate::True, reason, state_message),
            None => (
                "Terminated",
                Tristate::False,
                verdict.reason.as_str(),
                "The session has not been seen to end.".to_owned(),
            ),
        },
        ("Ready", ready, verdict.reason.as_str(), verdict.message.clone()),
    ];
    let abnormal = match row.standing {
        Standing::Reconciling => Some("Reconciling"),
        Standing::Stalled => Some("Stalled"),
        Standing::Ready | Standing::NotReady => None,
    };
    conditions.extend(abnormal.map(|type_| (type_, Tristate::True, verdict.reason.as_str(), verdict.message.clone())));
    conditions
        .into_iter()
        .map(|(type_, status, reason, message)| condition(view, type_, status, reason, message))
        .collect()
}

fn condition(view: &View<'_>, type_: &str, status: Tristate, reason: &str, message: String) -> Condition {
    let status = format!("{status:?}");
    let before = recorded_condition(view, type_).filter(|before| before.status == status);
    Condition {
        type_: type_.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: view.object.metadata.generation,
        last_transition_time: before
            .map_or_else(|| Time(whole_seconds(view.now.wall)), |before| before.last_transition_time.clone()),
        status,
    }
}

/// The reason of the condition `Terminated`, once it is True.
fn terminated(view: &View<'_>, status: &AthenaSessionStatus) -> Option<&'static str> {
    match view.evidence() {
        Evidence::Ended => Some(match status.termination_reason {
            Some(asked) => asked.as_str(),
            None if view.knowledge.state() == Some(&SessionState::Failed) => "Failed",
            None => "EndedElsewhere",
        }),
        Evidence::Absent if view.once_seen() => Some("NotFound"),
        _ => None,
    }
}

fn notices(view: &View<'_>, status: &AthenaSessionStatus, verdict: &Verdict) -> Vec<Notice> {
    let mut notices = Vec::new();
    let id = &view.object.spec.session_id;
    let recorded = view.recorded();
    if status.session_id.is_some() && recorded.is_none_or(|recorded| recorded.session_id.is_none()) {
        let state = status.state.as_deref().unwrap_or("unknown");
        let work_group = status.work_group.as_deref().unwrap_or("unknown");
        notices.push(Notice::normal("Adopted", format!("Session {id} of work group {work_group} is {state}")));
    }
    if verdict.reason == Reason::Ended && recorded_terminated(view).is_none() {
        notices.push(Notice::normal("Terminated", verdict.message.clone()));
    }
    let before = recorded_condition(view, "Ready").map(|ready| ready.reason.as_str());
    if verdict.reason.row().warns && before != Some(verdict.reason.as_str()) {
        notices.push(Notice::warning(verdict.reason.as_str(), verdict.message.clone()));
    }
    notices
}

fn recorded_condition<'a>(view: &View<'a>, type_: &str) -> Option<&'a Condition> {
    let object = view.object;
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

fn recorded_terminated<'a>(view: &View<'a>) -> Option<&'a Condition> {
    recorded_condition(view, "Terminated").filter(|condition| condition.status == "True")
}

/// Kubernetes' times have no fractions; one would make what is written differ from what is read.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

//! Where an object stands, and the sentence that says so: the first check of [`ORDER`] that answers. PURE.

mod access;
mod config_map;
mod ending;
mod engine;
mod finding;
mod limits;
mod paused_and_read_only;
mod session;
mod start;
mod ttl;
mod words;
pub(crate) mod workloads;

use super::rules::Case;
use crate::status::reason::Reason;

pub use self::access::arrives_within;
pub(crate) use self::finding::Finding;
pub use self::finding::Findings;
pub(crate) use self::start::{activity, beginning};
pub(crate) use self::words::{is_told, target};

pub struct Group {
    /// Which objects these are, for the docs.
    pub objects: &'static str,
    includes: fn(&Case<'_>) -> bool,
    /// The checks, in their order. The first one that answers wins.
    pub checks: &'static [Check],
}

/// Asks whether something is so, and answers with what people are told then.
pub struct Check {
    /// What is so where the check answers, for the docs.
    pub says: &'static str,
    /// The reasons that it answers with. None: it answers with those of other checks.
    pub reasons: &'static [Reason],
    answer: fn(&Case<'_>, &Findings) -> Option<Finding>,
}

macro_rules! group {
    ($objects:literal, $includes:expr; $($says:literal, [$($reason:ident)*], $answer:expr;)+) => {
        Group {
            objects: $objects,
            includes: $includes,
            checks: &[$(Check { says: $says, reasons: &[$(Reason::$reason),*], answer: $answer }),+],
        }
    };
}

/// What is asked of each object first.
const OBJECT: &[Group] = &[
    group! { "An object without the operator's finalizer, which isn't taken on", |case| !case.facts.is_held();
        "It has no grant.", [WorkGroupRequired WorkGroupNotFound NamespaceNotAllowed], |case, _| access::denied(case);
        "Its session belongs to another object.", [AlreadyDeclared], |case, _| access::owned_by_other(case);
        "It may start no session, and none runs for it.", [Restored StartNotAllowed], access::start_forbidden;
        "Its AthenaWorkGroup is being deleted.", [WorkGroupTerminating], |case, _| access::takes_no_more(case);
    },
    group! { "An object with the operator's finalizer", |case| case.facts.is_held();
        "Its session is in another work group.", [WrongWorkGroup], |case, _| access::foreign(case);
        "An end of its session is recorded, and Athena doesn't show the session. The object isn't being deleted.",
            [Ended Failed SessionNotFound], |case, _| session::kept_end(case);
        "Its session belongs to another object.", [AlreadyDeclared], |case, _| access::owned_by_other(case);
        "An end is asked for, and no session was started.", [Ended Failed],
            |case, findings| if case.ends_nothing() { findings.start.clone() } else { None };
        "It has no grant any more.", [WorkGroupRequired WorkGroupNotFound NamespaceNotAllowed],
            |case, _| access::denied_now(case);
        "Calls would go to another account or Region.", [WrongRegion WrongAccount AccountUnknown],
            |_, findings| findings.wrong_target.clone();
    },
];

/// How the start stands, of an object with our finalizer whose session isn't known.
const START: &[Group] = &[
    group! { "… whose session isn't known, and whose end is asked for",
        |case| is_starting(case) && case.end_reason.is_some();
        "AWS denies the calls that would show the session.", [AccessDenied], |case, _| start::denied_end(case);
        "Anything else.", [Terminating Ended Failed], |case, findings| Some(start::end(case, findings));
    },
    group! { "… for which a session may run that isn't known",
        |case| is_starting(case) && case.end_reason.is_none() && case.start.may_run;
        "A call fails.",
            [AccessDenied Invalid AwsNotConfigured Throttled AthenaUnavailable WaitingForCapacity Starting],
            |case, _| start::trouble(case);
        "No list shows the session that StartSession may have started.", [StartUnclear SessionNotFound Starting],
            |case, _| start::unclear(case);
        "Athena hasn't shown yet whose the session is.", [Starting], |case, _| start::unrecognized(case);
    },
    group! { "… for which no session runs",
        |case| is_starting(case) && case.end_reason.is_none() && !case.start.may_run;
        "StartSession was refused, and another object has the slot now.", [AccessDenied Invalid AwsNotConfigured],
            start::refused_without_slot;
        "Something holds up the start: see \"A start\".", [], |_, findings| findings.start_blocker.clone();
        "A call fails.",
            [AccessDenied Invalid AwsNotConfigured Throttled AthenaUnavailable WaitingForCapacity Starting],
            |case, _| start::trouble(case);
        "StartSession is called.", [Starting],
            |case, _| (case.start.is_not_started() && case.start.attempt.is_some()).then(beginning);
    },
];

const SESSION: &[Group] =
    &[group! { "… whose session is known", |case| case.facts.is_held() && !case.start.state.is_pending();
        "A call fails.",
            [AccessDenied Invalid AwsNotConfigured Throttled AthenaUnavailable WaitingForCapacity Starting],
            |case, _| session::trouble(case);
        "The session isn't seen to live.", [SessionNotFound Terminating Ended Failed],
            |case, _| session::not_alive(case);
        "Something holds up the end that is asked for.",
            [WorkGroupRequired WorkGroupNotFound NamespaceNotAllowed Paused ReadOnly], ending::held_up;
        "The end takes longer than it should.", [TerminationOverdue], |case, _| ending::overdue(case);
        "The session is BUSY, and its end can wait.", [Draining], |case, _| ending::draining(case);
        "Anything else.", [Terminating Starting Degraded StateUnknown Running], |case, _| session::alive(case);
    }];

/// What is told instead of `Running`.
const UP: &[Group] = &[group! { "… whose session is Running", |_| true;
    "The session isn't handed over, or won't end with its workloads.",
        [PublishConflict PublishForbidden EndWithDisabled EndWithForbidden],
        |_, findings| findings.handover.clone();
    "The session ends with its workloads.", [Running], |case, _| workloads::end_session(case);
    "AWS denies GetSession.", [GetSessionDenied], |case, _| session::undescribed(case);
}];

/// What holds up a start, or another call of StartSession.
const START_BLOCKERS: &[Group] = &[
    group! { "A start", |case| case.start.state.is_pending();
        "The object was restored from a backup.", [Restored], |case, _| start::restored(case);
        "Its AthenaWorkGroup doesn't allow the start.", [StartNotAllowed], |case, _| start::not_allowed(case);
        "The engine doesn't take the start.", [WorkGroupNotSpark EngineRefuses], |case, _| engine::refuses(case);
        "Its AthenaWorkGroup is being deleted.", [WorkGroupTerminating], |case, _| start::work_group_terminating(case);
        "The start is paused.", [Paused], |case, _| paused_and_read_only::start_paused(case);
    },
    // A recorded session is looked at before a slot is asked for. The forecast of --read-only comes last: it must not
    // promise a start that something else would hold up.
    group! { "A start, once no recorded session has to be looked at",
        |case| case.start.state.is_pending() && !is_looked_at(case);
        "No workload would use the session.", [WaitingForWorkload], |case, _| workloads::need_no_session(case);
        "No slot is free.", [WaitingForQuota], |case, _| start::no_slot(case);
        "The session couldn't be handed over, or wouldn't end with its workloads.",
            [PublishConflict PublishForbidden EndWithDisabled EndWithForbidden],
            |_, findings| findings.handover.clone();
        "The operator runs with --read-only.", [ReadOnly], |case, _| paused_and_read_only::start_read_only(case);
    },
];

/// All checks, in the order in which they are asked.
pub const ORDER: [&[Group]; 5] = [OBJECT, START, START_BLOCKERS, SESSION, UP];

fn is_starting(case: &Case<'_>) -> bool {
    case.facts.is_held() && case.start.state.is_pending()
}

fn is_looked_at(case: &Case<'_>) -> bool {
    case.facts.session_id().is_some() && case.facts.observed.session.absence.is_none()
}

/// Where an object stands, and what holds up what is asked for.
pub fn of(case: &Case<'_>) -> Findings {
    let mut findings = Findings {
        handover: handover(case),
        wrong_target: access::wrong_target(case),
        end_blocker: paused_and_read_only::end_blocker(case),
        ..Findings::default()
    };
    findings.start_blocker = first(START_BLOCKERS, case, &findings);
    findings.start = first(START, case, &findings);
    let of_object = first(OBJECT, case, &findings).or_else(|| findings.start.clone());
    findings.session = of_object.or_else(|| first(SESSION, case, &findings));
    findings.not_taken_on = if case.facts.is_held() { None } else { findings.session.clone() };
    findings.told = findings.session.clone().map(|session| told(case, session, &findings));
    findings
}

/// What keeps the session from being handed over, or from being ended with its workloads: both are told of.
fn handover(case: &Case<'_>) -> Option<Finding> {
    match (config_map::blocker(case), workloads::blocker(case)) {
        (Some(one), Some(other)) => Some(Finding { message: format!("{} {}", one.message, other.message), ..one }),
        (one, other) => one.or(other),
    }
}

/// What people are told: of a session that is up, what holds up its handover comes first; and notes follow.
fn told(case: &Case<'_>, session: Finding, findings: &Findings) -> Finding {
    let is_up = case.facts.is_held() && session.reason == Reason::Running;
    let beside = if is_up { first(UP, case, findings) } else { None };
    let finding = session::with_doubts(case, beside.unwrap_or(session));
    ttl::with_note(case, workloads::with_note(case, finding))
}

fn first(groups: &[Group], case: &Case<'_>, findings: &Findings) -> Option<Finding> {
    let groups = groups.iter().filter(|group| (group.includes)(case));
    groups.flat_map(|group| group.checks).find_map(|Check { reasons, answer, .. }| {
        let finding = answer(case, findings)?;
        debug_assert!(reasons.is_empty() || reasons.contains(&finding.reason), "{finding:?} isn't among {reasons:?}");
        Some(finding)
    })
}

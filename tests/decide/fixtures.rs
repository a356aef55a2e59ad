//! Objects, answers of Athena and moments, as the tests use them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;

use crate::core::{
    Access, Account, AthenaSession, AthenaSessionSpec, AthenaSessionStatus, CallError, CallerContext, Claim,
    CompleteList, ErrorClass, FINALIZER, ListAnswer, Now, Observed, Operation, SessionState, SessionStatus, View,
};
pub use crate::timing::{TIMING, seconds};

pub const SESSION: &str = "11111111-2222-3333-4444-555555555555";
pub const WORK_GROUP: &str = "team-a-spark";
pub const HOME: &str = "111111111111";
pub const ELSEWHERE: &str = "999999999999";
pub const CLUSTER: &str = "cluster-1";
pub const REGION: &str = "eu-west-1";

pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// The moment so long after the test's story began. The story begins a day after the clocks do, so that a test can
/// speak of what was before.
pub fn at(elapsed: Duration) -> Now {
    const START: i64 = 1_800_000_000;
    static BEGAN: LazyLock<Instant> = LazyLock::new(|| Instant::now() + Duration::from_secs(86_400));
    Now { wall: Timestamp::from_second(START).unwrap() + elapsed, tick: *BEGAN + elapsed }
}

pub fn time(elapsed: Duration) -> Time {
    Time(Timestamp::from_second(at(elapsed).wall.as_second()).unwrap())
}

pub fn home() -> CallerContext {
    CallerContext {
        role: None,
        region: Some(REGION.to_owned()),
        account: Account::Known(HOME.to_owned()),
        confirmed_at: None,
        since: None,
        skew: Some(SignedDuration::ZERO),
        recovered_at: None,
    }
}

pub fn elsewhere() -> CallerContext {
    CallerContext { account: Account::Known(ELSEWHERE.to_owned()), ..home() }
}

pub fn spec() -> AthenaSessionSpec {
    AthenaSessionSpec { session_id: Some(SESSION.to_owned()), ..AthenaSessionSpec::default() }
}

/// The status that the API server shows while nobody has written one: the default of the CRD.
pub fn unwritten() -> AthenaSessionStatus {
    serde_json::from_value(json!({"observedGeneration": -1})).unwrap()
}

/// An object with our finalizer, whose status nobody has written.
pub fn object() -> AthenaSession {
    let mut object = AthenaSession::new("nightly", spec());
    object.status = Some(unwritten());
    object.metadata.namespace = Some("team-a".to_owned());
    object.metadata.uid = Some("uid-1".to_owned());
    object.metadata.creation_timestamp = Some(time(Duration::ZERO));
    object.metadata.resource_version = Some("1".to_owned());
    object.metadata.generation = Some(1);
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    object
}

/// The status of an object whose session was seen before, perhaps by an earlier process.
pub fn recorded_as(state: &SessionState) -> AthenaSessionStatus {
    AthenaSessionStatus {
        observed_generation: Some(1),
        session_id: Some(SESSION.to_owned()),
        state: Some(state.as_str().to_owned()),
        work_group: Some(WORK_GROUP.to_owned()),
        region: Some(REGION.to_owned()),
        account_id: Some(HOME.to_owned()),
        ..AthenaSessionStatus::default()
    }
}

pub fn status(state: &SessionState) -> SessionStatus {
    SessionStatus {
        state: state.clone(),
        state_change_reason: None,
        started_at: Some(at(Duration::ZERO).wall),
        idle_since: None,
        ended_at: None,
        description: None,
        marker: None,
        engine: None,
    }
}

pub fn error(operation: Operation, class: ErrorClass) -> CallError {
    let (code, message) = match class {
        ErrorClass::NotFoundOrInvalid => ("InvalidRequestException", "Session does not exist"),
        ErrorClass::Throttled => ("ThrottlingException", "Rate exceeded"),
        ErrorClass::Denied => ("AccessDeniedException", "not authorized"),
        ErrorClass::Invalid => ("ValidationException", "malformed"),
        ErrorClass::NotConfigured => ("NoCredentials", "no usable AWS credentials"),
        ErrorClass::NoCapacity => ("TooManyRequestsException", "Maximum allowed sessions reached"),
        ErrorClass::AlreadyStarted => ("SessionAlreadyExistsException", "Session exists"),
        ErrorClass::Unavailable => ("InternalServerException", "try again"),
    };
    CallError { operation, class, code: code.to_owned(), message: message.to_owned(), request_id: None }
}

/// The answer of a complete list that lacks the session.
pub fn lacking(began: Now, ended: Now) -> ListAnswer {
    ListAnswer::Lacking(CompleteList { began: began.tick, ended: ended.tick })
}

/// The eight documented states, an undocumented state, and an undocumented state of a session that has ended.
pub fn states() -> impl Iterator<Item = SessionState> {
    let unheard = [SessionState::Unknown("HIBERNATING".to_owned()), SessionState::Ended("STOPPED".to_owned())];
    SessionState::KNOWN.into_iter().chain(unheard)
}

pub fn condition<'a>(status: &'a AthenaSessionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// The claim of another object, of the same age.
pub fn claim(uid: &str) -> Claim {
    let mut object = object();
    object.metadata.name = Some("other".to_owned());
    object.metadata.namespace = Some("team-b".to_owned());
    object.metadata.uid = Some(uid.to_owned());
    Access::default().claim(&object).unwrap()
}

/// The facts of an object without an AthenaWorkGroup and without a poller.
pub fn view<'a>(object: &'a AthenaSession, observed: &'a Observed, scope: &'a CallerContext, now: Now) -> View<'a> {
    static ACCESS: LazyLock<Access> = LazyLock::new(Access::default);
    View {
        object,
        began: now.tick,
        fresh: true,
        observed,
        access: &ACCESS,
        polled: false,
        full_scan_took: Duration::ZERO,
        listed_at: None,
        scope,
        cluster: CLUSTER,
        timing: &TIMING,
        now,
    }
}

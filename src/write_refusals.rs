//! Notices when the API server refuses the operator's writes to its two kinds. The operator can then remove no finalizer,
//! write no status, and end no session. So refusals are reported to the administrator in the log and in `/readyz`.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::error;

/// After so long without an accepted write, refusals make the operator not ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// A refusal that goes on is logged again after so long.
const LOG_AGAIN: Duration = Duration::from_secs(600);
/// The policies of `deploy/` that let only the operator write. A namePrefix may stand before these names.
const OUR_POLICIES: [&str; 2] = ["status.athena-operator.dev", "finalizer.athena-operator.dev"];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refuser {
    Policy(String),
    Webhook(String),
    /// RBAC, or another authorizer.
    Authorizer,
    Unknown,
}

impl Refuser {
    /// Reads who refused from the HTTP status and the message of an answer. None where the answer isn't a refusal by
    /// permissions or policy: a conflict, say, or a value that isn't valid.
    pub(crate) fn of(code: u16, message: &str) -> Option<Self> {
        if let Some(policy) = quoted(message, "ValidatingAdmissionPolicy ", '\'') {
            return Some(Self::Policy(policy));
        }
        if let Some(webhook) = quoted(message, "admission webhook ", '"') {
            return Some(Self::Webhook(webhook));
        }
        let is_authorizer = message.contains("User \"") && message.contains("\" cannot ");
        (code == 403).then_some(if is_authorizer { Self::Authorizer } else { Self::Unknown })
    }

    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Policy(name) if OUR_POLICIES.iter().any(|ours| name.ends_with(ours)) => {
                "apply deploy/ for the ServiceAccount that the operator runs as, or name this user in the policy, as the top of \
                 deploy/admission.yaml says"
            }
            Self::Policy(_) | Self::Webhook(_) => "change it so that it lets the operator's writes pass",
            Self::Authorizer => "apply the RBAC rules of deploy/ for this user",
            Self::Unknown => "find out what refuses the operator's writes, and allow them",
        }
    }
}

impl Display for Refuser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(name) => write!(formatter, "the admission policy {name}"),
            Self::Webhook(name) => write!(formatter, "the admission webhook {name}"),
            Self::Authorizer => formatter.write_str("RBAC"),
            Self::Unknown => formatter.write_str("the API server"),
        }
    }
}

fn quoted(message: &str, before: &str, mark: char) -> Option<String> {
    let (_, rest) = message.split_once(before)?;
    let (name, _) = rest.strip_prefix(mark)?.split_once(mark)?;
    Some(name.to_owned())
}

/// Whether the API server accepts the operator's writes. All clones share one state.
#[derive(Clone, Debug)]
pub(crate) struct WriteRefusals {
    state: Arc<Mutex<State>>,
    /// After so long without a refusal, the object that was refused is gone, and earlier refusals don't count any more.
    forgotten_after: Duration,
}

#[derive(Debug, Default)]
struct State {
    identity: Option<String>,
    refused: Option<Refused>,
    logged: HashMap<Refuser, Instant>,
}

#[derive(Debug)]
struct Refused {
    by: Refuser,
    since: Instant,
    last: Instant,
}

impl WriteRefusals {
    /// Before the first write. A refused write is tried again within `longest_wait`.
    pub(crate) fn new(longest_wait: Duration) -> Self {
        Self { state: Arc::default(), forgotten_after: longest_wait.saturating_mul(2).max(2 * PATIENCE) }
    }

    pub(crate) fn identified(&self, user: String) {
        self.state.lock().identity = Some(user);
    }

    pub(crate) fn accepted(&self) {
        self.state.lock().refused = None;
    }

    /// The API server refused a write, in these words. The refusal is logged, unless that was done not long ago.
    pub(crate) fn refused(&self, by: &Refuser, words: &str) {
        let remedy = by.remedy();
        if self.note(by, Instant::now()) {
            let identity = self.state.lock().identity().to_owned();
            error!(refused_by = %by, identity, remedy, problem = words, "the API server refuses a write of the operator");
        }
    }

    /// Takes in a refusal. Returns whether it has to be logged.
    fn note(&self, by: &Refuser, now: Instant) -> bool {
        let mut state = self.state.lock();
        let since = state.refused.as_ref().map_or(now, |refused| refused.since);
        state.refused = Some(Refused { by: by.clone(), since, last: now });
        let is_news = state.logged.get(by).is_none_or(|at| now.saturating_duration_since(*at) >= LOG_AGAIN);
        if is_news {
            state.logged.insert(by.clone(), now);
        }
        is_news
    }

    /// The check for `/readyz`: fails, and says what to do, when writes have been refused for `PATIENCE`, and none was accepted meanwhile.
    pub(crate) fn check(&self, now: Instant) -> Result<(), String> {
        let state = self.state.lock();
        let Some(Refused { by, since, last }) = &state.refused else { return Ok(()) };
        let lasts = now.saturating_duration_since(*since);
        if lasts < PATIENCE || now.saturating_duration_since(*last) > self.forgotten_after {
            return Ok(());
        }
        let (identity, remedy, seconds) = (state.identity(), by.remedy(), lasts.as_secs());
        Err(format!("for {seconds}s {by} has refused each write of {identity}: {remedy}"))
    }
}

impl State {
    fn identity(&self) -> &str {
        self.identity.as_deref().unwrap_or("the operator's user")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_POLICY: &str = "athenasessions.athena-operator.dev \"a\" is forbidden: ValidatingAdmissionPolicy \
                             'x-status.athena-operator.dev' with binding 'x-status.athena-operator.dev' denied request: no";

    #[test]
    fn an_answer_tells_who_refused() {
        let ours = Refuser::Policy("x-status.athena-operator.dev".to_owned());
        assert_eq!(Refuser::of(403, BY_POLICY), Some(ours.clone()));
        assert_eq!(Refuser::of(422, BY_POLICY), Some(ours), "a policy chooses the HTTP status of its refusals");
        let by_webhook = "admission webhook \"validate.kyverno.svc-fail\" denied the request: no";
        assert_eq!(Refuser::of(400, by_webhook), Some(Refuser::Webhook("validate.kyverno.svc-fail".to_owned())));
        let by_rbac = "athenasessions.athena-operator.dev \"a\" is forbidden: User \"jane\" cannot patch resource";
        assert_eq!(Refuser::of(403, by_rbac), Some(Refuser::Authorizer));
        assert_eq!(Refuser::of(403, "no"), Some(Refuser::Unknown));
        for (code, other) in [(409, "the object has been modified"), (422, "spec.start: Invalid value"), (500, "etcd")]
        {
            assert_eq!(Refuser::of(code, other), None, "{other}");
        }
    }

    #[test]
    fn readiness_fails_after_30s_of_refusals_until_a_write_is_taken() {
        let writes = WriteRefusals::new(Duration::from_secs(300));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let by = Refuser::of(403, BY_POLICY).expect("a refusal");
        let refused = |seconds| writes.note(&by, after(seconds));
        writes.identified("jane".to_owned());
        assert_eq!(writes.check(start), Ok(()));
        refused(0);
        refused(20);
        assert_eq!(writes.check(after(29)), Ok(()));
        let said = writes.check(after(31)).expect_err("31 s of refusals");
        assert!(
            said.starts_with(
                "for 31s the admission policy x-status.athena-operator.dev has refused each write of jane: apply "
            ),
            "{said}"
        );
        writes.accepted();
        assert_eq!(writes.check(after(31)), Ok(()));
        refused(40);
        assert_eq!(writes.check(after(69)), Ok(()), "the time before the write that was taken counts");
        assert!(writes.check(after(71)).is_err());
    }

    /// Such as when the only object that was refused is gone.
    #[test]
    fn refusals_that_have_stopped_are_forgotten() {
        let writes = WriteRefusals::new(Duration::from_secs(300));
        let start = Instant::now();
        writes.note(&Refuser::Authorizer, start);
        assert!(writes.check(start + Duration::from_secs(600)).is_err(), "the next try may be 300 s away");
        assert_eq!(writes.check(start + Duration::from_secs(601)), Ok(()));
    }

    #[test]
    fn who_refuses_is_told_once_in_ten_minutes_also_while_other_writes_are_taken() {
        let writes = WriteRefusals::new(Duration::from_secs(300));
        let start = Instant::now();
        let policy = Refuser::Policy("one".to_owned());
        let is_told = |by: &Refuser, seconds| writes.note(by, start + Duration::from_secs(seconds));
        assert!(is_told(&policy, 0) && is_told(&Refuser::Authorizer, 1));
        writes.accepted();
        assert!(!is_told(&policy, 2) && !is_told(&Refuser::Authorizer, 3));
        assert!(is_told(&policy, 600));
    }
}

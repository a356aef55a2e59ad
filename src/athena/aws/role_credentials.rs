//! The credentials of one role: STS gives them at the first call, and they are renewed before they expire. STS is never
//! asked in a tight loop, whatever it answers.
//!
//! The SDK's own cache isn't used. That cache keeps the credentials of 64 providers: with more roles, nearly each call
//! to Athena would cost a call to STS. And it keeps no failures: each object would ask STS again.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::clients::{Aws, Clients};
use super::errors::{Explanation, explain};
use super::interceptors::Endpoint;
use crate::athena::denial::Denial;
use crate::athena::types::{CallError, ErrorClass, Operation, Role};
use crate::text::one_line;
use crate::timing::Timing;

/// How long the credentials of a role are valid, unless STS is asked for another duration. The operator doesn't ask for
/// a longer one: where its own credentials are those of a role, STS gives an hour at the most.
const LIFE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct AssumedRole {
    role: Role,
    session_name: String,
    sts: aws_sdk_sts::Client,
    sts_at: Endpoint,
    timing: Timing,
    state: Mutex<State>,
    answered: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    asking: Option<JoinHandle<()>>,
}

impl AssumedRole {
    pub(super) fn new(role: Role, aws: &Aws, clients: &Clients) -> Arc<Self> {
        Arc::new(Self {
            role,
            session_name: aws.session_name.clone(),
            sts: clients.sts.clone(),
            sts_at: clients.sts_at.clone(),
            timing: aws.timing,
            state: Mutex::default(),
            answered: watch::Sender::new(()),
        })
    }

    /// The credentials for a call of this operation. Where there are none yet, STS is asked, and the wait for its
    /// answer takes at most half a call's deadline. Together with the call itself that stays below what
    /// [`Timing::between_proving_lists`] allows for. Where STS gives no credentials, the call must not be made.
    pub(super) async fn credentials(self: &Arc<Self>, operation: Operation) -> Result<Credentials, CallError> {
        let until = tokio::time::Instant::now() + self.timing.call_deadline / 2;
        loop {
            // Subscribed before the cache is read, so that no answer is missed.
            let mut answered = self.answered.subscribe();
            match self.lookup() {
                Lookup::Valid(credentials) => return Ok(credentials),
                Lookup::Failed(why) => return Err(self.error(operation, why)),
                Lookup::Awaited => {}
            }
            if timeout_at(until, answered.changed()).await.is_err() {
                return Err(self.error(operation, Explanation::unavailable("Timeout", "STS hasn't answered yet")));
            }
        }
    }

    /// Takes in that a call failed. If the failure is about the credentials, they are replaced, unless they are new:
    /// after somebody revoked the sessions of the role, new credentials work.
    pub(super) fn refused(&self, error: &CallError) {
        if is_about_credentials(error) {
            self.state.lock().cache.refused(Instant::now(), self.timing.backoff_max);
        }
    }

    /// Reads the cache, and asks STS where the cache says so.
    fn lookup(self: &Arc<Self>) -> Lookup {
        let mut state = self.state.lock();
        let is_asking = state.asking.as_ref().is_some_and(|asking| !asking.is_finished());
        let now = Instant::now();
        if state.cache.is_renewal_due(now) && !is_asking {
            // In a task of its own, so that the answer isn't lost when a caller gives up waiting.
            state.asking = Some(tokio::spawn(assume_role(Arc::clone(self))));
        }
        state.cache.lookup(now)
    }

    fn error(&self, operation: Operation, why: Explanation) -> CallError {
        let message = one_line(&format!("the role {} can't be assumed: {}", self.role.arn, why.message));
        // Nothing was sent to Athena, whatever STS answered: so the class isn't that of STS' error.
        Explanation { class: ErrorClass::NotConfigured, message, ..why }.of(operation)
    }
}

async fn assume_role(assumed: Arc<AssumedRole>) {
    let asked_at = Instant::now();
    let request = assumed.sts.assume_role().role_arn(&assumed.role.arn).role_session_name(&assumed.session_name);
    let answer = match request.set_external_id(assumed.role.external_id.clone()).send().await {
        Ok(answer) => cached(answer, asked_at, assumed.timing.call_deadline),
        Err(error) => Err(explain(&error, assumed.sts_at.url())),
    };
    assumed.state.lock().cache.answered(answer, Instant::now(), |failures| {
        let wait = assumed.timing.back_off(failures, fastrand::f64());
        // When a person has repaired a role, the next poll of its work group must find that out: so the wait is no
        // longer.
        wait.min(assumed.timing.steady)
    });
    assumed.answered.send_replace(());
}

/// The credentials that STS gave. The time for which they are valid counts from the moment before the call, by the
/// monotonic clock: nobody can set that clock.
fn cached(answer: AssumeRoleOutput, asked_at: Instant, deadline: Duration) -> Result<CachedCredentials, Explanation> {
    const NONE: &str = "STS' answer holds no credentials";
    const OLD: &str = "the credentials that STS gave have expired already: check the clock of the operator's node";
    let credentials = answer.credentials.ok_or_else(|| Explanation::unavailable("UnusableAnswer", NONE))?;
    let expires_at = SystemTime::try_from(credentials.expiration);
    let life = expires_at.ok().and_then(|at| at.duration_since(SystemTime::now()).ok());
    let life = life.ok_or_else(|| Explanation::unavailable("ExpiredToken", OLD))?;
    let token = Some(credentials.session_token);
    let credentials =
        Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "AssumeRole");
    Ok(CachedCredentials::new(credentials, asked_at, life.min(LIFE), deadline, fastrand::f64()))
}

/// Whether AWS may accept other credentials of the same role. When an administrator revokes the sessions of a role, AWS
/// denies explicitly each call that is made with older credentials.
fn is_about_credentials(error: &CallError) -> bool {
    matches!(error.denial(), Some(Denial::Expired | Denial::Credentials | Denial::Right { is_explicit: true, .. }))
}

#[derive(Debug)]
enum Lookup {
    Valid(Credentials),
    /// STS failed, and it is too early to ask STS again.
    Failed(Explanation),
    Awaited,
}

/// The last answers of STS. PURE.
#[derive(Debug, Default)]
struct Cache {
    credentials: Option<CachedCredentials>,
    failures: Option<Failures>,
}

#[derive(Debug)]
struct CachedCredentials {
    credentials: Credentials,
    since: Instant,
    renew_at: Instant,
    expires_at: Instant,
}

#[derive(Debug)]
struct Failures {
    last: Explanation,
    in_a_row: u32,
    retry_at: Instant,
}

impl CachedCredentials {
    /// Credentials that are valid for `life`. They are renewed at a random moment, when between a twelfth and a
    /// twenty-fourth of their life is left. Otherwise the roles that were assumed together at a start would be renewed
    /// together for ever. `deadline` is how long a call takes at the most; `jitter` is from 0 to 1.
    fn new(credentials: Credentials, since: Instant, life: Duration, deadline: Duration, jitter: f64) -> Self {
        let renew_at = since + life.mul_f64((22.0 + jitter.clamp(0.0, 1.0)) / 24.0);
        // A request that is signed just before the end must still be valid when AWS reads it.
        let expires_at = since + life - deadline.min(life / 30);
        Self { credentials, since, renew_at, expires_at }
    }
}

impl Cache {
    /// What a call is given.
    fn lookup(&self, now: Instant) -> Lookup {
        match (&self.credentials, self.backing_off(now)) {
            (Some(cached), _) if now < cached.expires_at => Lookup::Valid(cached.credentials.clone()),
            (_, Some(failures)) => Lookup::Failed(failures.last.clone()),
            (_, None) => Lookup::Awaited,
        }
    }

    /// Whether STS is to be asked, unless it is being asked already.
    fn is_renewal_due(&self, now: Instant) -> bool {
        let is_new = self.credentials.as_ref().is_some_and(|cached| now < cached.expires_at.min(cached.renew_at));
        !is_new && self.backing_off(now).is_none()
    }

    fn backing_off(&self, now: Instant) -> Option<&Failures> {
        self.failures.as_ref().filter(|failures| now < failures.retry_at)
    }

    /// Takes in an answer of STS. `wait` tells when to ask again after so many failures before this one.
    fn answered(
        &mut self,
        answer: Result<CachedCredentials, Explanation>,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) {
        match answer {
            Ok(credentials) => *self = Self { credentials: Some(credentials), failures: None },
            Err(last) => {
                let before = self.failures.as_ref().map_or(0, |failures| failures.in_a_row);
                let retry_at = now + wait(before);
                self.failures = Some(Failures { last, in_a_row: before.saturating_add(1), retry_at });
            }
        }
    }

    /// AWS has refused the credentials. They stay in use until others are there, since AWS may have refused one
    /// operation only. They are replaced only once they are older than `min_age`. Otherwise a role that lacks a right
    /// would be assumed again and again.
    fn refused(&mut self, now: Instant, min_age: Duration) {
        if let Some(cached) = &mut self.credentials
            && now >= cached.since + min_age
        {
            cached.renew_at = cached.renew_at.min(now);
        }
    }
}

#[cfg(test)]
mod tests;

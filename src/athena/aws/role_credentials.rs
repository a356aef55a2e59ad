//! The credentials of one role. They are had from STS at the first call, kept for as long as they are valid, and renewed in
//! time. STS isn't asked in a tight loop, whatever it answers.
//!
//! The SDK's own cache keeps the credentials of 64 providers, and with more of them it forgets one for each that comes: then
//! nearly each call to Athena would cost a call to STS. Besides, it keeps no failures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::{Endpoint, explain};
use crate::athena::denial::Denial;
use crate::athena::types::{CallError, ErrorClass, Operation, Role};
use crate::text::one_line;
use crate::timing::Timing;

/// The life that STS gives to the credentials of a role, unless it is asked for another one. The operator's own credentials may
/// be those of a role, too, and then STS gives no longer life.
const LIFE: Duration = Duration::from_secs(3600);

/// A role that the operator assumes.
#[derive(Clone, Debug)]
pub(super) struct AssumedRole(Arc<Assumed>);

#[derive(Debug)]
struct Assumed {
    role: Role,
    session_name: String,
    sts: aws_sdk_sts::Client,
    sts_at: Endpoint,
    timing: Timing,
    state: Mutex<State>,
    /// STS has answered.
    answered: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    asking: Option<JoinHandle<()>>,
}

impl AssumedRole {
    /// With the client of the operator's own identity. Nothing is called yet.
    pub(super) fn new(
        role: Role,
        session_name: String,
        (sts, sts_at): (aws_sdk_sts::Client, Endpoint),
        timing: Timing,
    ) -> Self {
        let (state, answered) = (Mutex::default(), watch::Sender::new(()));
        Self(Arc::new(Assumed { role, session_name, sts, sts_at, timing, state, answered }))
    }

    /// The credentials for a call of this operation. Where there are none yet, STS is asked, and half a call's deadline is
    /// waited for the answer: together with the call itself that is less than what [`Timing::quiet`] allows for.
    ///
    /// # Errors
    /// Where STS gives none. Then nothing was called.
    pub(super) async fn credentials(&self, operation: Operation) -> Result<Credentials, CallError> {
        let until = tokio::time::Instant::now() + self.0.timing.call_deadline / 2;
        loop {
            // Before the look at what is known, so that no answer is missed.
            let mut answered = self.0.answered.subscribe();
            match self.now() {
                Now::Have(credentials) => return Ok(credentials),
                Now::Failed(why) => return Err(self.error(operation, why)),
                Now::Asking => {}
            }
            if timeout_at(until, answered.changed()).await.is_err() {
                return Err(self.error(operation, Failure::new("Timeout", "STS hasn't answered yet")));
            }
        }
    }

    /// Takes in that AWS refused a call. The credentials are replaced unless they are new: where somebody revoked the sessions of
    /// the role, the next credentials work.
    pub(super) fn refused(&self, error: &CallError) {
        if is_about_credentials(error) {
            self.0.state().known.refused(Instant::now(), self.0.timing.backoff_max);
        }
    }

    /// What there is now. Asks STS where it is time to.
    fn now(&self) -> Now {
        let mut state = self.0.state();
        let is_asking = state.asking.as_ref().is_some_and(|asking| !asking.is_finished());
        let (now, asks) = state.known.now(Instant::now());
        if asks && !is_asking {
            // A task of its own: a caller that gives up must not take the answer with it.
            state.asking = Some(tokio::spawn(ask(Arc::clone(&self.0))));
        }
        now
    }

    fn error(&self, operation: Operation, why: Failure) -> CallError {
        let message = one_line(&format!("the role {} can't be assumed: {}", self.0.role.arn, why.message));
        // Nothing was sent, whatever the reason.
        CallError { operation, class: ErrorClass::NotConfigured, code: why.code, message, request_id: None }
    }
}

impl Assumed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(assumed: Arc<Assumed>) {
    let asked_at = Instant::now();
    let request = assumed.sts.assume_role().role_arn(&assumed.role.arn).role_session_name(&assumed.session_name);
    let answer = request.set_external_id(assumed.role.external_id.clone()).send().await;
    let answer = match answer {
        Ok(answer) => kept(answer, asked_at, assumed.timing.call_deadline),
        Err(error) => {
            let (_, code, message) = explain(&error, &assumed.sts_at);
            Err(Failure { code, message })
        }
    };
    assumed.state().known.answered(answer, Instant::now(), |failures| {
        let wait = assumed.timing.back_off(failures, fastrand::f64());
        // A role that a person has mended is found out as soon as a work group is polled.
        wait.min(assumed.timing.steady)
    });
    assumed.answered.send_replace(());
}

/// What STS gave. Its life counts from before the call by the clock that nobody sets.
fn kept(answer: AssumeRoleOutput, asked_at: Instant, deadline: Duration) -> Result<Kept, Failure> {
    const NONE: &str = "STS' answer holds no credentials";
    const OLD: &str = "the credentials that STS gave have expired already: check the clock of the operator's node";
    let credentials = answer.credentials.ok_or_else(|| Failure::new("UnusableAnswer", NONE))?;
    let expires_at = SystemTime::try_from(credentials.expiration);
    let life = expires_at.ok().and_then(|at| at.duration_since(SystemTime::now()).ok());
    let life = life.ok_or_else(|| Failure::new("ExpiredToken", OLD))?;
    let token = Some(credentials.session_token);
    let credentials =
        Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "AssumeRole");
    Ok(Kept::new(credentials, asked_at, life.min(LIFE), deadline, fastrand::f64()))
}

/// Whether other credentials of the same role may be accepted. Where an administrator revokes the sessions of a role, AWS denies
/// explicitly what is asked with credentials from before.
fn is_about_credentials(error: &CallError) -> bool {
    matches!(Denial::of(error), Some(Denial::Expired | Denial::Credentials | Denial::Right { is_explicit: true, .. }))
}

/// Why STS gave no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    code: String,
    message: String,
}

impl Failure {
    fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }
}

/// What a caller is told.
#[derive(Debug)]
enum Now {
    Have(Credentials),
    /// STS failed, and it isn't time to ask it again.
    Failed(Failure),
    /// Wait for STS' answer.
    Asking,
}

/// What STS has answered so far. PURE.
#[derive(Debug, Default)]
struct Known {
    kept: Option<Kept>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    since: Instant,
    renew_at: Instant,
    expires_at: Instant,
}

#[derive(Debug)]
struct Failed {
    why: Failure,
    in_a_row: u32,
    again_at: Instant,
}

impl Kept {
    /// They are renewed at a random moment of the last part of their life, from a twelfth to a twenty-fourth before its end.
    /// Otherwise the roles that were assumed together at a start would be assumed together for ever. `deadline` is how long a call
    /// takes at the most; `jitter` is from 0 to 1.
    fn new(credentials: Credentials, since: Instant, life: Duration, deadline: Duration, jitter: f64) -> Self {
        let renew_at = since + life.mul_f64((22.0 + jitter.clamp(0.0, 1.0)) / 24.0);
        // What is signed just before the end must still be valid when AWS reads it.
        let expires_at = since + life - deadline.min(life / 30);
        Self { credentials, since, renew_at, expires_at }
    }
}

impl Known {
    /// What a caller is told, and whether STS is to be asked, unless it is being asked.
    fn now(&self, now: Instant) -> (Now, bool) {
        let waiting = self.failed.as_ref().filter(|failed| now < failed.again_at);
        match (&self.kept, waiting) {
            (Some(kept), _) if now < kept.expires_at => {
                (Now::Have(kept.credentials.clone()), now >= kept.renew_at && waiting.is_none())
            }
            (_, Some(failed)) => (Now::Failed(failed.why.clone()), false),
            (_, None) => (Now::Asking, true),
        }
    }

    /// Takes in an answer of STS. `wait` says when to ask again after so many failures before this one.
    fn answered(&mut self, answer: Result<Kept, Failure>, now: Instant, wait: impl FnOnce(u32) -> Duration) {
        match answer {
            Ok(kept) => *self = Self { kept: Some(kept), failed: None },
            Err(why) => {
                let before = self.failed.as_ref().map_or(0, |failed| failed.in_a_row);
                self.failed = Some(Failed { why, in_a_row: before.saturating_add(1), again_at: now + wait(before) });
            }
        }
    }

    /// AWS has refused the credentials. They are used until there are others: AWS may have refused one operation only. They are
    /// replaced once they are `old`: otherwise a role that lacks a right would be assumed again and again.
    fn refused(&mut self, now: Instant, old: Duration) {
        if let Some(kept) = &mut self.kept
            && now >= kept.since + old
        {
            kept.renew_at = kept.renew_at.min(now);
        }
    }
}

#[cfg(test)]
mod tests;

//! The identities that call Athena, one for each role and Region, and the AWS account that each identity's calls go to.
//! STS is asked again and again: while the operator runs, the SDK's credentials may become those of another account.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::aws::{Athena, Aws};
use super::types::{Account, AwsTarget, CallError, CallerContext};
use crate::metrics::Metrics;

const UNASKED: &str = "GetCallerIdentity hasn't answered yet";

/// One identity in one Region, with the account that its calls go to.
#[derive(Debug)]
pub(crate) struct Identity {
    pub target: AwsTarget,
    pub(crate) athena: Athena,
    context: watch::Sender<CallerContext>,
    /// The last answer of GetCallerIdentity; None before the first.
    answer: watch::Sender<Option<Result<(), CallError>>>,
}

impl Identity {
    fn new(target: AwsTarget, athena: Athena) -> Self {
        let role = target.role.as_ref().map(|role| role.arn.clone());
        let region = athena.region().map(str::to_owned);
        let context = CallerContext { role, region, ..CallerContext::unknown(UNASKED) };
        Self { target, athena, context: watch::Sender::new(context), answer: watch::Sender::new(None) }
    }

    /// The answers of GetCallerIdentity: the last one, and each further one as it comes.
    pub(crate) fn answers(&self) -> watch::Receiver<Option<Result<(), CallError>>> {
        self.answer.subscribe()
    }

    /// Waits for the first answer or failure of GetCallerIdentity, but at most two seconds. An object that needs the
    /// account after that waits for it by itself.
    pub(crate) async fn first_answer(&self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let unasked = Account::Unknown(UNASKED.to_owned());
        let mut context = self.context.subscribe();
        // An error means that nobody asks any more.
        let _ = timeout(PATIENCE, context.wait_for(|context| context.account != unasked)).await;
    }

    fn role(&self) -> &str {
        self.target.role.as_ref().map_or("none", |role| &role.arn)
    }

    /// Where calls go now, and what is known of Athena there.
    pub(crate) fn caller_context(&self) -> CallerContext {
        let (skew, recovered_at) = (self.athena.skew(), self.athena.recovery.recovered_at());
        CallerContext { skew, recovered_at, ..self.context.borrow().clone() }
    }

    /// Calls GetCallerIdentity. Where that fails, an account that was known before still counts.
    pub(crate) async fn confirm(&self) -> Result<(), CallError> {
        let asked_at = Instant::now();
        let answer = self.athena.get_caller_identity().await;
        self.answer.send_replace(Some(answer.as_ref().map(drop).map_err(CallError::clone)));
        match &answer {
            Ok(account) => self.confirmed(account, asked_at),
            Err(error) => self.not_confirmed(error),
        }
        answer.map(drop)
    }

    fn confirmed(&self, account: &str, asked_at: Instant) {
        match self.caller_context().account {
            Account::Known(before) if before != account => {
                warn!(before, account, role = self.role(), "calls go to another AWS account now");
            }
            Account::Known(_) => {}
            Account::Unknown(_) => info!(account, role = self.role(), "calls go to this AWS account"),
        }
        let account = Account::Known(account.to_owned());
        self.context.send_modify(|context| {
            // Two calls may have overlapped: the answer to the older one must not replace the answer to the newer one.
            if context.confirmed_at.is_some_and(|newer| newer > asked_at) {
                return;
            }
            if context.account != account {
                context.since = Some(Instant::now());
            }
            context.account = account;
            context.confirmed_at = Some(asked_at);
        });
    }

    fn not_confirmed(&self, error: &CallError) {
        // The first message of a failure stays. Some messages hold the time, and each new message would be written to
        // each object.
        let beginning = format!("{}: {}:", error.operation, error.code);
        if let Account::Unknown(why) = self.caller_context().account
            && !why.starts_with(&beginning)
        {
            self.context.send_modify(|context| context.account = Account::Unknown(error.to_string()));
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    /// The pause while the account is known, and the longest pause.
    interval: Duration,
    /// The first pause while the account isn't known. It doubles with each failure.
    min: Duration,
}

/// Asks STS again and again, as long as somebody uses the identity. Logs the first failure, unless it is `reported`.
async fn keep(identity: Weak<Identity>, schedule: Schedule, mut reported: bool) {
    let mut wait = schedule.min;
    while let Some(identity) = identity.upgrade() {
        let answer = identity.confirm().await;
        let known = matches!(identity.caller_context().account, Account::Known(_));
        if let (Err(error), false, false) = (&answer, known, reported) {
            warn!(%error, role = identity.role(), "the AWS account isn't known; the operator calls GetCallerIdentity \
                 again");
            reported = true;
        }
        drop(identity);
        let pause = if known { schedule.interval } else { wait.min(schedule.interval) };
        // Without randomness, identities that began together would ask together for ever.
        sleep(pause.mul_f64(0.9 + fastrand::f64() / 10.0)).await;
        wait = if answer.is_ok() { schedule.min } else { wait.saturating_mul(2) };
    }
}

#[derive(Debug)]
pub(crate) struct Identities {
    aws: Aws,
    metrics: Metrics,
    schedule: Schedule,
    /// The operator's own identity, in its own Region.
    pub(crate) own: Arc<Identity>,
    others: Mutex<HashMap<AwsTarget, Arc<Identity>>>,
}

impl Identities {
    /// With the operator's own identity, whose account is asked for from now on. Its failures aren't logged here:
    /// `/readyz` and the log tell them, by [`Identity::answers`].
    pub(crate) fn start(aws: Aws, metrics: Metrics, interval: Duration, min: Duration) -> Self {
        let schedule = Schedule { interval, min };
        let own = AwsTarget { role: None, region: aws.region().map(str::to_owned) };
        let own = begin(&aws, own, &metrics, schedule, true);
        Self { aws, metrics, schedule, own, others: Mutex::default() }
    }

    pub(crate) fn region(&self) -> Option<&str> {
        self.aws.region()
    }

    pub(crate) fn of(&self, target: &AwsTarget) -> Arc<Identity> {
        if *target == self.own.target {
            return Arc::clone(&self.own);
        }
        let mut others = self.others.lock();
        let new = || begin(&self.aws, target.clone(), &self.metrics, self.schedule, false);
        Arc::clone(others.entry(target.clone()).or_insert_with(new))
    }

    pub(crate) fn retain(&self, in_use: &HashSet<AwsTarget>) {
        self.others.lock().retain(|target, _| in_use.contains(target));
    }
}

fn begin(aws: &Aws, target: AwsTarget, metrics: &Metrics, schedule: Schedule, reported: bool) -> Arc<Identity> {
    let athena = Athena::new(aws, &target, metrics.clone());
    let identity = Arc::new(Identity::new(target, athena));
    tokio::spawn(keep(Arc::downgrade(&identity), schedule, reported));
    identity
}

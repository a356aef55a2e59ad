//! Which AWS account calls go to, asked again and again: the credentials behind the SDK's chain may
//! come to be those of another account while the operator runs. And one identity for each role in each Region.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::aws::{Athena, Aws};
use super::types::{Account, CallError, Scope, Way};
use crate::metrics::Metrics;

const UNASKED: &str = "GetCallerIdentity hasn't answered yet";

/// The account and Region as last confirmed.
#[derive(Debug)]
pub struct Identity {
    /// By which role, and where.
    pub way: Way,
    athena: Athena,
    scope: watch::Sender<Scope>,
    /// The last answer of GetCallerIdentity; None before the first.
    answer: watch::Sender<Option<Result<(), CallError>>>,
}

impl Identity {
    fn new(way: Way, athena: Athena) -> Self {
        let region = athena.region().map(str::to_owned);
        let account = Account::Unknown(UNASKED.to_owned());
        let scope = Scope {
            role: way.role.as_ref().map(|role| role.arn.clone()),
            region,
            account,
            confirmed_at: None,
            since: None,
            skew: None,
            recovered_at: None,
        };
        Self { way, athena, scope: watch::Sender::new(scope), answer: watch::Sender::new(None) }
    }

    /// The answers of GetCallerIdentity: the last one, and each further one as it comes.
    #[must_use]
    pub fn answers(&self) -> watch::Receiver<Option<Result<(), CallError>>> {
        self.answer.subscribe()
    }

    /// Returns at the first answer or failure, or after two seconds: later on whoever needs the account waits for it by
    /// himself.
    pub async fn asked(&self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let unasked = Account::Unknown(UNASKED.to_owned());
        let mut scope = self.scope.subscribe();
        // An error means that nobody asks any more.
        let _ = timeout(PATIENCE, scope.wait_for(|scope| scope.account != unasked)).await;
    }

    fn role(&self) -> &str {
        self.way.role.as_ref().map_or("none", |role| &role.arn)
    }

    /// The account and Region, and Athena's clock there.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let (skew, recovered_at) = (self.athena.skew(), self.athena.recovery().recovered_at());
        Scope { skew, recovered_at, ..self.scope.borrow().clone() }
    }

    /// Asks STS now. An account that was known stays so where STS doesn't answer.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn confirm(&self) -> Result<(), CallError> {
        let asked_at = Instant::now();
        let answer = self.athena.account().await;
        self.answer.send_replace(Some(answer.as_ref().map(drop).map_err(CallError::clone)));
        let before = self.scope().account;
        match answer {
            Ok(account) => {
                match &before {
                    Account::Known(before) if *before != account => {
                        warn!(before, account, role = self.role(), "calls go to another AWS account now");
                    }
                    Account::Known(_) => {}
                    Account::Unknown(_) => info!(account, role = self.role(), "calls go to this AWS account"),
                }
                self.scope.send_modify(|scope| {
                    // A slower answer to an earlier question is no news.
                    if scope.confirmed_at.is_some_and(|newer| newer > asked_at) {
                        return;
                    }
                    let account = Account::Known(account);
                    if scope.account != account {
                        scope.since = Some(Instant::now());
                    }
                    scope.account = account;
                    scope.confirmed_at = Some(asked_at);
                });
                Ok(())
            }
            Err(error) => {
                // Some messages hold the time, and each new one would be a write to each object: the first one stays.
                let said = format!("{}: {}:", error.operation, error.code);
                if let Account::Unknown(why) = before
                    && !why.starts_with(&said)
                {
                    self.scope.send_modify(|scope| scope.account = Account::Unknown(error.to_string()));
                }
                Err(error)
            }
        }
    }

    /// The calls to Athena.
    #[must_use]
    pub fn athena(&self) -> &Athena {
        &self.athena
    }
}

/// Asks now and again, as long as somebody uses the identity: every `interval`, and, while no account is known,
/// after a wait from `min` on that doubles. `told`: somebody else says what is wrong.
async fn keep(identity: Weak<Identity>, interval: Duration, min: Duration, mut told: bool) {
    let mut wait = min;
    while let Some(identity) = identity.upgrade() {
        let answer = identity.confirm().await;
        let known = matches!(identity.scope().account, Account::Known(_));
        if let (Err(error), false, false) = (&answer, known, told) {
            warn!(%error, role = identity.role(), "the AWS account isn't known; it is asked for again and again");
            told = true;
        }
        drop(identity);
        let pause = if known { interval } else { wait.min(interval) };
        // The identities that began together would ask together for ever.
        sleep(pause.mul_f64(0.9 + fastrand::f64() / 10.0)).await;
        wait = if answer.is_ok() { min } else { wait.saturating_mul(2) };
    }
}

/// One identity for each way to Athena that is in use.
#[derive(Debug)]
pub struct Identities {
    aws: Aws,
    metrics: Metrics,
    interval: Duration,
    min: Duration,
    own: Arc<Identity>,
    others: Mutex<HashMap<Way, Arc<Identity>>>,
}

impl Identities {
    /// With the operator's own identity, which is asked for its account from now on. What is wrong with it `/readyz`
    /// and the log say by way of [`Identity::answers`].
    #[must_use]
    pub fn start(aws: Aws, metrics: Metrics, interval: Duration, min: Duration) -> Self {
        let own = Way { role: None, region: aws.region().map(str::to_owned) };
        let own = begin(&aws, own, &metrics, (interval, min), true);
        Self { aws, metrics, interval, min, own, others: Mutex::default() }
    }

    /// The operator's own identity, in its own Region.
    #[must_use]
    pub fn own(&self) -> &Arc<Identity> {
        &self.own
    }

    /// The operator's Region.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.aws.region()
    }

    /// The identity for a way.
    #[must_use]
    pub fn of(&self, way: &Way) -> Arc<Identity> {
        if *way == self.own.way {
            return Arc::clone(&self.own);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(way) {
            return Arc::clone(known);
        }
        let new = begin(&self.aws, way.clone(), &self.metrics, (self.interval, self.min), false);
        others.insert(way.clone(), Arc::clone(&new));
        new
    }

    /// Forgets those that are used no more.
    pub fn retain(&self, in_use: &HashSet<Way>) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).retain(|way, _| in_use.contains(way));
    }
}

fn begin(aws: &Aws, way: Way, metrics: &Metrics, (interval, min): (Duration, Duration), told: bool) -> Arc<Identity> {
    let athena = aws.athena(&way, metrics.clone());
    let identity = Arc::new(Identity::new(way, athena));
    tokio::spawn(keep(Arc::downgrade(&identity), interval, min, told));
    identity
}

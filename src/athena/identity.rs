//! Which AWS account calls go to, asked again and again: the credentials behind the SDK's chain may
//! come to be those of another account while the operator runs.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::aws::Athena;
use super::port::{Account, CallError, Scope};

const UNASKED: &str = "GetCallerIdentity hasn't answered yet";

/// The account and Region as last confirmed.
#[derive(Debug)]
pub struct Identity {
    athena: Athena,
    scope: watch::Sender<Scope>,
}

impl Identity {
    /// Nothing is asked yet: see [`Identity::keep`].
    #[must_use]
    pub fn new(athena: Athena) -> Self {
        let region = athena.region().map(str::to_owned);
        let account = Account::Unknown(UNASKED.to_owned());
        Self { athena, scope: watch::Sender::new(Scope { region, account, confirmed_at: None, since: None }) }
    }

    /// Returns at the first answer or failure.
    pub async fn asked(&self) {
        // An error means that nobody asks any more.
        let unasked = Account::Unknown(UNASKED.to_owned());
        let _ = self.scope.subscribe().wait_for(|scope| scope.account != unasked).await;
    }

    /// The account and Region.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope.borrow().clone()
    }

    /// Asks STS now. An account that was known stays so where STS doesn't answer.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn confirm(&self) -> Result<(), CallError> {
        let asked_at = Instant::now();
        let answer = self.athena.account().await;
        let before = self.scope().account;
        match answer {
            Ok(account) => {
                match &before {
                    Account::Known(before) if *before != account => {
                        warn!(before, account, "calls go to another AWS account now");
                    }
                    Account::Known(_) => {}
                    Account::Unknown(_) => info!(account, "calls go to this AWS account"),
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
                if let Account::Unknown(_) = before {
                    self.scope.send_modify(|scope| scope.account = Account::Unknown(error.to_string()));
                }
                Err(error)
            }
        }
    }

    /// Asks now and again: every `interval`, and, while no account is known, after a wait from `min` on
    /// that doubles.
    pub async fn keep(&self, interval: Duration, min: Duration) {
        let mut wait = min;
        let mut told = false;
        loop {
            let answer = self.confirm().await;
            let known = matches!(self.scope().account, Account::Known(_));
            if let (Err(error), false, false) = (&answer, known, told) {
                warn!(%error, "the AWS account isn't known; it is asked for again and again");
                told = true;
            }
            sleep(if known { interval } else { wait.min(interval) }).await;
            wait = if answer.is_ok() { min } else { wait.saturating_mul(2) };
        }
    }
}

//! Which AWS account calls go to, asked again and again: the credentials behind the SDK's chain may
//! come to be those of another account while the operator runs.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::aws::Athena;
use super::port::{Account, CallError, Scope};

/// The account and Region as last confirmed.
#[derive(Debug)]
pub struct Identity {
    athena: Athena,
    scope: watch::Sender<Scope>,
}

impl Identity {
    /// Asks once. A failure isn't the end: see [`Identity::keep`].
    pub async fn learn(athena: Athena) -> Self {
        let region = athena.region().map(str::to_owned);
        let account = Account::Unknown("GetCallerIdentity hasn't been asked".to_owned());
        let identity = Self { athena, scope: watch::Sender::new(Scope { region, account, confirmed_at: None }) };
        if let Err(error) = identity.confirm().await {
            warn!(%error, "the AWS account isn't known; it is asked for again");
        }
        identity
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
                match before {
                    Account::Known(before) if before != account => {
                        warn!(before, account, "calls go to another AWS account now");
                    }
                    Account::Known(_) => {}
                    Account::Unknown(_) => info!(account, "calls go to this AWS account"),
                }
                self.scope.send_modify(|scope| {
                    scope.account = Account::Known(account);
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

    /// Goes on asking: every `interval`, and, while no account is known, after a wait from `min` on
    /// that doubles.
    pub async fn keep(&self, interval: Duration, min: Duration) {
        let mut wait = min;
        loop {
            let known = matches!(self.scope().account, Account::Known(_));
            sleep(if known { interval } else { wait.min(interval) }).await;
            wait = if self.confirm().await.is_ok() { min } else { wait.saturating_mul(2) };
        }
    }
}

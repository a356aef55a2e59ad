//! The calls to Athena, each after a token of the quota. A call that is throttled or isn't answered is made again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::manifest::Task;
use crate::athena::aws::{Athena, Aws};
use crate::athena::informer::MOST_PAGES;
use crate::athena::informer::proof_of_absence::endless;
use crate::athena::quota::{Priority, Quotas, Rate};
use crate::athena::session_arn::session_arn;
use crate::athena::types::{CallError, Operation, QuotaScope, SessionState, SessionStatus};
use crate::metrics::Metrics;
use crate::timing::Timing;

/// The deadline of each call.
const DEADLINE: Duration = Duration::from_secs(15);

/// How often a call is made that is throttled or isn't answered.
pub(super) const TRIES: u32 = 8;

/// The lists that together show each session that may be ended.
const LISTS: [Option<SessionState>; 2] = [None, Some(SessionState::Degraded)];

/// The sessions of one work group.
pub(super) struct Sessions {
    athena: Athena,
    quotas: Arc<Quotas>,
    scope: QuotaScope,
    work_group: String,
    /// The account and the Region that calls go to.
    pub(super) account: String,
    pub(super) region: String,
}

impl Sessions {
    /// Finds out which account calls go to.
    ///
    /// # Errors
    /// Why there is none that can be used.
    pub(super) async fn connect(task: &Task) -> Result<Self, String> {
        let timing = Timing {
            changing: Duration::from_secs(2),
            steady: Duration::from_secs(60),
            confirm_absence: Duration::from_secs(60),
            terminate_again: Duration::from_secs(60),
            overdue: Duration::from_secs(900),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(20),
            call_deadline: DEADLINE,
            end_with: None,
        };
        let aws = Aws::from_environment(timing, "athena-session-operator-cleanup".to_owned()).await;
        let athena = Athena::new(&aws, &task.target, Metrics::new());
        let account = athena.get_caller_identity().await.map_err(|error| error.to_string())?;
        if let Some(recorded) = task.account.as_ref().filter(|recorded| **recorded != account) {
            return Err(format!(
                "calls go to the AWS account {account}, and the manifest's status names {recorded}: use an identity of that \
                 account"
            ));
        }
        let region = athena.region().unwrap_or_default().to_owned();
        let scope = QuotaScope { account: Some(account.clone()), region: Some(region.clone()) };
        let rate = Rate { per_second: 5.0, most: 5.0, burst: 10.0 };
        let quotas = Quotas::new(rate, mpsc::unbounded_channel().0);
        let running = Arc::clone(&quotas);
        tokio::spawn(async move { running.run(|| {}).await });
        Ok(Self { athena, quotas, scope, work_group: task.work_group.clone(), account, region })
    }

    /// What Athena's clock shows.
    pub(super) fn now(&self) -> Timestamp {
        let wall = Timestamp::now();
        wall.checked_add(self.athena.skew().unwrap_or_default()).unwrap_or(wall)
    }

    /// A complete list of the sessions that haven't ended. `read`: is told how many have been read.
    pub(super) async fn list(&self, read: impl Fn(usize)) -> Result<Vec<(String, SessionStatus)>, CallError> {
        let (mut sessions, mut known) = (Vec::new(), HashSet::new());
        for filter in &LISTS {
            let mut token: Option<String> = None;
            let mut pages = 0;
            loop {
                let page = self
                    .call(Operation::ListSessions, || {
                        self.athena.list_sessions(&self.work_group, filter.as_ref(), token.as_deref())
                    })
                    .await?;
                sessions.extend(page.sessions.into_iter().filter(|(id, _)| known.insert(id.clone())));
                read(sessions.len());
                pages += 1;
                match page.next_token {
                    Some(next) if pages < MOST_PAGES => token = Some(next),
                    Some(_) => return Err(endless()),
                    None => break,
                }
            }
        }
        Ok(sessions)
    }

    /// The tags of a session.
    pub(super) async fn tags(&self, id: &str) -> Result<BTreeMap<String, String>, CallError> {
        let Self { region, account, work_group, .. } = self;
        let arn = session_arn(region, account, work_group, id);
        self.call(Operation::ListTagsForResource, || self.athena.list_tags(&arn)).await
    }

    /// The status of a session at this moment, and when it was asked for.
    pub(super) async fn status(&self, id: &str) -> Result<(SessionStatus, Instant), CallError> {
        self.call(Operation::GetSessionStatus, async || {
            let sent = Instant::now();
            self.athena.get_session_status(id).await.map(|status| (status, sent))
        })
        .await
    }

    /// Waits until TerminateSession may be called.
    pub(super) async fn take_token_to_end(&self) {
        self.quotas.take(&self.scope, Operation::TerminateSession, Priority::Poll).await;
    }

    /// Ends a session, on behalf of this rule. The call is made once: what is known of the session must be looked up anew
    /// before another try.
    pub(super) async fn end(&self, id: &str, rule: &str) -> Result<(), CallError> {
        let answer = self.athena.on_behalf_of_rule(rule).terminate_session(id).await;
        answer.map(drop)
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl AsyncFn() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut tries = 1;
        loop {
            self.quotas.take(&self.scope, operation, Priority::Poll).await;
            let answer = call().await;
            match &answer {
                Err(error) if tries < TRIES && error.class.may_pass() => {
                    pause(tries).await;
                    tries += 1;
                }
                _ => return answer,
            }
        }
    }
}

/// Waits before another try.
pub(super) async fn pause(tries: u32) {
    sleep(Duration::from_millis(250 << tries.min(6)).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}

//! Whether AWS can be used, as `/readyz` says it.
//!
//! A rollout should stop for what waiting doesn't heal: no credentials, no Region, an endpoint that isn't AWS. An outage of
//! AWS heals by itself: an operator that AWS has answered once stays ready through an outage.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::Readiness;
use crate::athena::identity::Identity;
use crate::athena::types::{CallError, ErrorClass};

/// The condition of `/readyz`: the operator has credentials that AWS accepts.
const CREDENTIALS: &str = "AWS credentials";
/// The condition of `/readyz`: Athena answers at all.
const ENDPOINT: &str = "Athena's endpoint";

/// The longest wait between two attempts to reach Athena's endpoint.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// Makes the conditions about AWS fail until [`watch`] has had an answer.
pub(crate) fn begin(readiness: &Readiness, require_work_group: bool) {
    let unasked = || Err("AWS hasn't answered yet".to_owned());
    readiness.set(CREDENTIALS, unasked());
    // Where each object must name an AthenaWorkGroup, the operator's own Region may be one without Athena, or none.
    if !require_work_group {
        readiness.set(ENDPOINT, unasked());
    }
}

/// Keeps the conditions about AWS up to date, by the answers to calls with the operator's own identity. The operator assumes
/// roles with that identity, too.
pub(crate) async fn watch(own: Arc<Identity>, readiness: Readiness, require_work_group: bool, first_wait: Duration) {
    if require_work_group {
        watch_credentials(&own, &readiness, |error| error.code != "NoRegion").await;
    } else {
        let endpoint = reach_endpoint(&own, &readiness, first_wait);
        tokio::join!(watch_credentials(&own, &readiness, |_| true), endpoint);
    }
}

async fn watch_credentials(own: &Identity, readiness: &Readiness, matters: impl Fn(&CallError) -> bool) {
    let mut answers = own.answers();
    let mut so_far = Answers::default();
    loop {
        let answer = answers.borrow_and_update().clone();
        if let Some(answer) = answer {
            so_far.heard(answer.as_ref().err().filter(|error| matters(error)));
            set(readiness, CREDENTIALS, so_far.problem.clone());
        }
        if answers.changed().await.is_err() {
            return;
        }
    }
}

/// Asks until Athena has answered once. When Athena is silent later, that is an outage, which doesn't fail `/readyz`.
async fn reach_endpoint(own: &Identity, readiness: &Readiness, first_wait: Duration) {
    let mut wait = first_wait;
    while let Err(error) = own.athena.probe_endpoint().await {
        if error.class == ErrorClass::NotConfigured {
            // The other condition says what is missing.
            readiness.set(ENDPOINT, Err(format!("it can't be checked while the check {CREDENTIALS:?} fails")));
        } else {
            set(readiness, ENDPOINT, Some(sentence(&error)));
        }
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(MOST_WAIT);
    }
    readiness.set(ENDPOINT, Ok(()));
}

fn set(readiness: &Readiness, name: &str, problem: Option<String>) {
    if let Some(problem) = &problem
        && !readiness.fails_for(problem)
    {
        warn!("{problem}; the operator tries again, and /readyz fails until it succeeds");
    }
    readiness.set(name, problem.map_or(Ok(()), Err));
}

/// The answers of AWS so far.
#[derive(Debug, Default)]
struct Answers {
    /// Whether AWS has answered before, so that silence is an outage.
    answered: bool,
    problem: Option<String>,
}

impl Answers {
    /// Takes in another answer; None where the call succeeded.
    fn heard(&mut self, error: Option<&CallError>) {
        match error {
            None => *self = Self { answered: true, problem: None },
            Some(error) if error.is_unanswered() => {
                if !self.answered {
                    self.problem = Some(sentence(error));
                }
            }
            Some(error) => match error.class {
                ErrorClass::Throttled
                | ErrorClass::Unavailable
                | ErrorClass::NoCapacity
                | ErrorClass::AlreadyStarted => {
                    // AWS answers, and the failure passes by itself.
                    if !self.answered {
                        *self = Self { answered: true, problem: None };
                    }
                }
                ErrorClass::NotConfigured => self.problem = Some(sentence(error)),
                ErrorClass::Denied | ErrorClass::Invalid | ErrorClass::NotFoundOrInvalid => {
                    *self = Self { answered: true, problem: Some(sentence(error)) };
                }
            },
        }
    }
}

/// The error in one sentence. A message of the operator's own stands alone; a message of AWS needs the name of the call.
fn sentence(error: &CallError) -> String {
    let is_own = error.is_unanswered() || error.class == ErrorClass::NotConfigured;
    if is_own { error.message.clone() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::athena::types::Operation;

    fn error(class: ErrorClass, code: &str) -> CallError {
        let (operation, code) = (Operation::GetCallerIdentity, code.to_owned());
        CallError { operation, class, message: format!("why {code}"), code, request_id: None }
    }

    /// What is wrong after these answers, one after the other.
    fn after(answers: &[Option<(ErrorClass, &str)>]) -> Option<String> {
        let mut so_far = Answers::default();
        for answer in answers {
            so_far.heard(answer.map(|(class, code)| error(class, code)).as_ref());
        }
        so_far.problem
    }

    const SILENT: Option<(ErrorClass, &str)> = Some((ErrorClass::Unavailable, "NoAnswer"));
    const OUTAGE: Option<(ErrorClass, &str)> = Some((ErrorClass::Unavailable, "InternalFailure"));
    const EXPIRED: Option<(ErrorClass, &str)> = Some((ErrorClass::Denied, "ExpiredToken"));
    const NONE: Option<(ErrorClass, &str)> = Some((ErrorClass::NotConfigured, "NoCredentials"));

    #[test]
    fn silence_fails_readiness_only_before_the_first_answer() {
        assert_eq!(after(&[SILENT]).as_deref(), Some("why NoAnswer"));
        assert_eq!(after(&[SILENT, None]), None);
        assert_eq!(after(&[None, SILENT]), None);
        assert_eq!(after(&[OUTAGE, SILENT]), None);
    }

    #[test]
    fn an_outage_of_aws_never_fails_readiness_nor_mends_it() {
        assert_eq!(after(&[OUTAGE]), None);
        assert_eq!(after(&[SILENT, OUTAGE]), None);
        assert_eq!(after(&[None, OUTAGE]), None);
        assert_eq!(after(&[EXPIRED, OUTAGE]), after(&[EXPIRED]));
        assert_eq!(after(&[EXPIRED, SILENT]), after(&[EXPIRED]));
    }

    #[test]
    fn what_a_person_must_mend_fails_readiness_whenever_it_is_found() {
        assert_eq!(after(&[None, NONE]).as_deref(), Some("why NoCredentials"));
        assert_eq!(after(&[None, EXPIRED]).as_deref(), Some("GetCallerIdentity: ExpiredToken: why ExpiredToken"));
        assert_eq!(after(&[EXPIRED, None]), None);
        assert_eq!(after(&[NONE, None]), None);
    }
}

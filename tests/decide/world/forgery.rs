//! How somebody forges the status of an object.

use std::time::Duration;

use crate::core::{AthenaSession, TerminationReason};
use crate::fixtures::{seconds, time, unwritten};

/// How somebody forges a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    Emptied,
    Ended,
    OtherSession,
    OtherWorkGroup,
    OtherRegion,
    OtherAccount,
    EndRequested,
    EndRequestedLongAgo,
    EndRequestedInTheFuture,
    EndedByALimit,
}

impl Forgery {
    pub(super) fn apply(self, object: &mut AthenaSession, now: Duration) {
        let status = object.status.get_or_insert_default();
        match self {
            Forgery::Emptied => *status = unwritten(),
            Forgery::Ended => {
                status.state = Some("TERMINATED".to_owned());
                status.ended_at = Some(time(now));
                for condition in &mut status.conditions {
                    if condition.type_ == "Terminated" {
                        condition.status = "True".to_owned();
                    }
                }
            }
            Forgery::OtherSession => status.session_id = Some("another".to_owned()),
            Forgery::OtherWorkGroup => status.work_group = Some("another".to_owned()),
            Forgery::OtherRegion => status.region = Some("us-east-1".to_owned()),
            Forgery::OtherAccount => status.account_id = Some("000000000000".to_owned()),
            Forgery::EndRequested => status.termination_requested_at = Some(time(now)),
            Forgery::EndRequestedLongAgo => status.termination_requested_at = Some(time(Duration::ZERO)),
            Forgery::EndRequestedInTheFuture => status.termination_requested_at = Some(time(now + seconds(36_000))),
            Forgery::EndedByALimit => {
                status.termination_requested_at = Some(time(now));
                status.termination_reason = Some(TerminationReason::MaxIdle);
            }
        }
    }
}

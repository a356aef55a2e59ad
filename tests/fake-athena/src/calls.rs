//! The log of calls: what was asked, by whom, how it ended, and whether it changed anything.

use jiff::Timestamp;
use serde::Serialize;

/// One call, recorded when it arrives and completed when it ends.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Counts up from 1 over the fake's life.
    pub number: u64,
    /// When it arrived, by the real clock.
    pub at: Timestamp,
    /// `TerminateSession`, `AssumeRole`…
    pub operation: String,
    /// The session that it named, or started.
    pub session: Option<String>,
    /// `200`, `400 ThrottlingException`, `cut`, `hang`, or `pending` while it isn't over.
    pub outcome: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The error's code, if the answer was one.
    pub error: Option<String>,
    /// Whether it changed something, also when the answer was lost.
    pub effect: bool,
    /// The access key id of its signature.
    pub access_key: Option<String>,
    /// The Region of its signature.
    pub region: String,
    /// The account that the access key belongs to.
    pub account: String,
    /// The user agent that it gave.
    pub user_agent: Option<String>,
    /// Its body, as received.
    pub body: String,
}

/// All calls, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    calls: Vec<Call>,
    last_number: u64,
}

impl CallLog {
    pub(crate) fn record(&mut self, mut call: Call) -> u64 {
        self.last_number += 1;
        call.number = self.last_number;
        self.calls.push(call);
        self.last_number
    }

    /// The call of that number, unless the log has been cleared since.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Call> {
        let index = self.calls.binary_search_by_key(&number, |call| call.number);
        self.calls.get_mut(index.ok()?)
    }

    pub(crate) fn all(&self) -> &[Call] {
        &self.calls
    }

    pub(crate) fn clear(&mut self) {
        self.calls.clear();
    }
}

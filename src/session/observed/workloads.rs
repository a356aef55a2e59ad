//! What the API server has shown to this process of the workloads of `spec.endWith`. PURE.

use std::collections::BTreeMap;
use std::time::Instant;

use super::answers::Now;
use super::trouble::Retry;
use crate::api::workload::{Workload, WorkloadState};
use crate::timing::Timing;

#[derive(Clone, Debug, Default)]
pub struct Workloads {
    pub(crate) readings: BTreeMap<Workload, Reading>,
    /// When a watch last had news of one of them.
    pub(crate) news: Option<Instant>,
    pub(crate) retry: Option<Retry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub state: WorkloadState,
    pub at: Instant,
    /// Since when the workload has been finished or absent.
    pub since: Now,
    /// The last UID that was seen under its name.
    pub uid: Option<String>,
}

impl Workloads {
    pub fn heard(&mut self, news: Instant) {
        self.news = self.news.max(Some(news));
    }

    /// The API server showed this state of a workload, in answer to a request that was sent at `sent`.
    pub fn read(&mut self, workload: &Workload, state: WorkloadState, sent: Instant, now: Now) {
        let before = self.readings.remove(workload);
        let uid = state.uid().map(str::to_owned).or(before.as_ref().and_then(|before| before.uid.clone()));
        let goes_on = |before: &Reading| {
            let is_same = state == WorkloadState::Absent || before.state.uid() == state.uid();
            is_same && state.is_over() && before.state.is_over()
        };
        let since = before.filter(goes_on).map_or(now, |before| before.since);
        self.readings.insert(workload.clone(), Reading { state, at: sent, since, uid });
    }

    pub fn all_read(&mut self) {
        self.retry = None;
    }

    /// It didn't answer, or refuses, in these words. `jitter`, from 0 to 1, spreads the retries of many objects.
    pub fn failed(&mut self, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        self.retry = Some(Retry::after(self.retry.take(), refusal, now, timing, jitter));
    }
}

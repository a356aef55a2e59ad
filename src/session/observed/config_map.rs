//! What the API server has shown to this process of the ConfigMap of `spec.publishTo`. PURE.

use std::collections::BTreeMap;
use std::time::Instant;

use super::answers::Now;
use super::trouble::Retry;
use crate::timing::Timing;

#[derive(Clone, Debug, Default)]
pub struct ObservedConfigMap {
    pub found: Found,
    pub(crate) at: Option<Instant>,
    pub(crate) retry: Option<(Request, Retry)>,
    /// The API server refused a write, since the copy that it was based on was old. Nothing has been written since.
    was_old: bool,
    /// A creation that got no answer may still take effect until then.
    pub(crate) late_until: Option<Instant>,
    /// What the API server made of the last write, where that isn't what was asked for.
    altered: Option<Altered>,
}

/// A ConfigMap that an admission webhook changed while the operator wrote it. Another write would be changed in the
/// same way, so the operator doesn't write again.
#[derive(Clone, Debug)]
struct Altered {
    asked: BTreeMap<String, String>,
    data: BTreeMap<String, String>,
    is_marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Get,
    Write,
    Delete,
}

/// A ConfigMap, or none, under the name that `spec.publishTo` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    #[default]
    Unknown,
    Absent,
    /// The object may write and remove it: the object owns it, or it was written for an object of this name and has lost its
    /// owner.
    Ours {
        uid: String,
        resource_version: String,
        data: BTreeMap<String, String>,
        /// Whether it has the owner, the labels and the annotation that the operator writes.
        is_marked: bool,
    },
    /// It belongs to somebody else: the object leaves it as it is.
    Foreign,
}

impl ObservedConfigMap {
    pub fn answered(&mut self, request: Request, found: Found, now: Now) {
        // That it can be read says nothing about the next attempt to write it.
        let retry = self.retry.take().filter(|(failing, _)| request == Request::Get && *failing != request);
        let was_old = self.was_old && request == Request::Get;
        let late_until = self.late_until.filter(|until| request == Request::Get && now.tick < *until);
        let altered = self.altered.take();
        *self = Self { found, at: Some(now.tick), retry, was_old, late_until, altered };
    }

    /// The API server accepted a write of the data `asked`. `found`: the ConfigMap in its answer.
    pub fn written(&mut self, asked: BTreeMap<String, String>, found: Found, now: Now) {
        self.altered = match &found {
            Found::Ours { data, is_marked, .. } if *data != asked || !is_marked => {
                Some(Altered { asked, data: data.clone(), is_marked: *is_marked })
            }
            _ => None,
        };
        self.answered(Request::Write, found, now);
    }

    /// Whether the ConfigMap must be written, since its data isn't `wanted` or its marks are missing.
    pub(crate) fn differs(
        &self,
        wanted: &BTreeMap<String, String>,
        found: &BTreeMap<String, String>,
        is_marked: bool,
    ) -> bool {
        let is_altered = |it: &Altered| it.asked == *wanted && it.data == *found && it.is_marked == is_marked;
        (found != wanted || !is_marked) && !self.altered.as_ref().is_some_and(is_altered)
    }

    /// The API server refused the request, since the copy was old. The ConfigMap is read again: at once for the first
    /// refusal, after a back-off for the next.
    pub fn changed(&mut self, request: Request, now: Now, timing: &Timing, jitter: f64) {
        if self.was_old {
            return self.failed(request, None, now, timing, jitter);
        }
        (self.found, self.was_old) = (Found::Unknown, true);
    }

    /// The API server didn't answer, or refused (`refusal`: its message). `jitter`, from 0 to 1, spreads the retries of
    /// many objects.
    pub fn failed(&mut self, request: Request, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        if request == Request::Write && refusal.is_none() {
            self.late_until = Some(now.tick + timing.steady);
        }
        let before = self.retry.take().filter(|(failing, _)| *failing == request).map(|(_, retry)| retry);
        let retry = Retry::after(before, refusal, now, timing, jitter);
        (self.found, self.retry) = (Found::Unknown, Some((request, retry)));
    }
}

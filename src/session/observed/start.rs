//! What this process has learned of the start of a session. PURE.

use std::time::Instant;

use super::answers::Now;
use super::trouble::Trouble;
use crate::athena::types::{CallError, ErrorClass};
use crate::timing::Timing;

#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The session that is the object's own: it bears the object's mark, or StartSession returned it, GetSession can't be had,
    /// and no other object names it.
    pub id: Option<String>,
    /// The session that the last StartSession returned. By itself that answer doesn't show whose the session is.
    pub answered: Option<Answered>,
    /// A session that is recorded as the object's own, and isn't.
    pub disowned: Option<String>,
    /// When this process first saw the object, where an earlier one may have called StartSession.
    pub first_seen_at: Option<Instant>,
    /// When this process last called StartSession; where that call failed, when it failed.
    pub called_at: Option<Instant>,
    /// No call has had an effect, whoever made it.
    pub(super) surely_none: bool,
    /// Whether [`Start::surely_none`] was true before the last call of StartSession.
    pub(super) surely_none_before: bool,
    /// Where lists have proven that no call has had an effect: when the first of these lists began, and when the last one ended.
    pub(super) proven_by: Option<(Instant, Instant)>,
    /// The first and the last complete list since the last call that showed no session with the object's mark: when these
    /// lists began.
    pub unlisted: Option<(Instant, Instant)>,
    /// StartSession, if it fails at present.
    pub trouble: Option<Box<Trouble>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub id: String,
    pub work_group: String,
    /// Athena has shown that the session isn't the object's own.
    pub is_disowned: bool,
}

impl Start {
    /// Lists have proven that no call has had an effect, whoever made it. The first of them began, and the last one ended, at
    /// these moments.
    pub(super) fn proven_none(&mut self, began: Instant, ended: Instant) {
        (self.surely_none, self.proven_by) = (true, Some((began, ended)));
    }

    /// Since then calls go to another account. What earlier lists lacked proves nothing there.
    pub(super) fn account_changed(&mut self, since: Instant) {
        self.unlisted.take_if(|(first, _)| *first < since);
        if self.proven_by.take_if(|(began, _)| *began < since).is_some() {
            (self.surely_none, self.surely_none_before) = (false, false);
        }
    }

    pub(super) fn failed(&mut self, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        let is_refusal = !matches!(error.class, ErrorClass::Unavailable | ErrorClass::AlreadyStarted);
        self.surely_none = is_refusal && self.surely_none_before;
        // A list that began while the call was under way proves nothing.
        self.called_at = self.called_at.map(|_| now.tick);
        Trouble::record(&mut self.trouble, error, now, timing, jitter);
    }

    /// The session that StartSession returned, unless Athena has shown that it isn't the object's own.
    pub(crate) fn answered_not_disowned(&self) -> Option<&str> {
        let answered = self.answered.as_ref().map(|answered| answered.id.as_str());
        answered.filter(|id| !self.is_disowned(id))
    }

    /// Whether Athena has shown that this session isn't the object's own. Both the session that StartSession returned and the
    /// one that is recorded may be another object's: each is looked at once.
    pub(super) fn is_disowned(&self, id: &str) -> bool {
        let is_answered = self.answered.as_ref().is_some_and(|answered| answered.is_disowned && answered.id == id);
        is_answered || self.disowned.as_deref() == Some(id)
    }

    /// The moment from which on a list proves something: when this process had last called StartSession, and when it first
    /// saw an object that an earlier process may have called for. None: there is nothing to prove.
    pub fn proven_from(&self) -> Option<Instant> {
        self.first_seen_at.max(self.called_at)
    }
}

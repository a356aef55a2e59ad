//! What this process has learned of one object, above all which session is the object's own. What is known of that session
//! stands in [`super::session`]. Pure: answers and the time come in, nothing is asked.
//!
//! Nothing of this is saved: after a restart all of it is learned again, and deciding is right without it.
//!
//! The informer makes one complete list for many objects. So a list may have begun before the last call for this one: then
//! that list proves nothing to this object.

use std::time::Instant;

use super::answers::{Described, Now};
use super::recorded_status::RecordedStatus;
use super::retain::Retain;
use super::session::ObservedSession;
use super::start::{Answered, Start};
use super::trouble::Trouble;
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::informer::proof_of_absence::{CompleteList, ListAnswer, ListRequest, Sought};
use crate::athena::types::{CallError, CallerContext, Operation, Source};
use crate::timing::Timing;

#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What is known of the start of its session, where the object asks for that.
    pub start: Start,
    /// Whether this process put the finalizer on the object, so that no earlier one has seen its session.
    pub adopted_here: bool,
    /// The recorded status as it was last found or written, to notice when somebody else writes it.
    pub recorded_status: RecordedStatus,
    /// When the object was first found being deleted.
    pub deleted_at: Option<Instant>,
    pub retain: Retain,
    /// What is known of the session that the object stands for. It is forgotten when that is another one.
    pub session: ObservedSession,
}

impl Observed {
    /// The id of the session that an object stands for, as far as there is one: that it names; or that it has started; or
    /// that is recorded as such, where Athena hasn't shown whose it is.
    pub fn session_id<'a>(&'a self, object: &'a AthenaSession) -> Option<&'a str> {
        let recorded = || {
            let recorded = object.status.as_ref().and_then(|status| status.session_id.as_deref());
            recorded.filter(|id| object.spec.start.is_some() && !self.start.is_disowned(id))
        };
        let own = self.start.id.as_deref().or(self.start.answered_not_disowned());
        object.spec.session_id.as_deref().or(own).or_else(recorded)
    }

    /// This is the object as it stands now, and where calls go.
    pub fn found(&mut self, object: &AthenaSession, scope: &CallerContext, now: Now) {
        self.recorded_status.found(object, scope, now);
        if let Some(since) = scope.since {
            // Answers from before a change of the account say nothing about the account that calls go to now.
            self.session.absence.take_if(|absence| absence.first < since);
            self.start.account_changed(since);
        }
        let may_have_called = is_held(object) && !self.adopted_here && self.start.id.is_none();
        if object.spec.start.is_some() && may_have_called && self.start.first_seen_at.is_none() {
            self.start.first_seen_at = Some(now.tick);
        }
        if object.metadata.deletion_timestamp.is_some() {
            self.deleted_at.get_or_insert(now.tick);
        }
        self.retain.found(object, now);
    }

    /// This process has put the finalizer on. A status with an attempt or a session shows that an earlier process had
    /// put it on before, and somebody removed it. Then the object doesn't count as adopted by this process.
    pub fn adopted(&mut self, object: &AthenaSession) {
        let recorded = object.status.as_ref();
        self.adopted_here |= recorded.is_none_or(|it| it.start_attempt.is_none() && it.session_id.is_none());
    }

    pub fn listed(
        &mut self,
        wanted: &ListRequest,
        found: ListAnswer,
        scope: &CallerContext,
        now: Now,
        timing: &Timing,
    ) {
        let session = &mut self.session;
        session.succeeded(Operation::ListSessions);
        // What another account said counts for nothing.
        let is_elsewhere = |at: Instant| scope.since.is_some_and(|since| at < since);
        match (&wanted.sought, found) {
            (_, ListAnswer::Failed | ListAnswer::Endless) => {}
            (_, ListAnswer::Shown(shown)) if is_elsewhere(shown.at) => {}
            (_, ListAnswer::Lacking(list)) if is_elsewhere(list.began) => {}
            // Whose the session is was shown meanwhile.
            (Sought::Mark { .. }, ListAnswer::Shown(_)) if self.start.id.is_some() => {}
            (Sought::Mark { .. }, ListAnswer::Shown(shown)) => {
                // The session that was seen so far was another one, whose id was forged into the status.
                *session =
                    ObservedSession { work_group: Some(wanted.work_group.clone()), ..ObservedSession::default() };
                session.saw(shown.status, Source::List, shown.at);
                self.start.id = Some(shown.id);
            }
            (Sought::Mark { .. }, ListAnswer::Lacking(list)) => self.lacks_mark(list, timing),
            (Sought::Session(_), ListAnswer::Shown(shown)) => {
                session.listed(shown, &wanted.work_group, now, timing);
            }
            (Sought::Session(_), ListAnswer::Lacking(list)) => session.unlisted(list),
        }
    }

    /// A complete list shows no session that bears the object's mark.
    fn lacks_mark(&mut self, list: CompleteList, timing: &Timing) {
        let is_proof = self.start.proven_from().is_none_or(|from| list.began >= from);
        let is_newer = self.start.unlisted.is_none_or(|(_, last)| list.began > last);
        if self.start.id.is_some() || !is_proof || !is_newer {
            return;
        }
        let first = self.start.unlisted.map_or(list.began, |(first, _)| first);
        self.start.unlisted = Some((first, list.began));
        if list.began - first >= timing.between_proving_lists() {
            self.start.proven_none(first, list.ended);
        }
    }

    /// Whether it is certain that no session was started for the object.
    pub fn is_unstarted(&self) -> bool {
        let start = &self.start;
        start.id.is_none() && (start.surely_none || self.adopted_here && start.called_at.is_none())
    }

    /// When the last of the lists ended that prove that no session was started. None where it is certain without lists.
    pub fn unstarted_by_lists_until(&self) -> Option<Instant> {
        let needs_lists = !self.adopted_here || self.start.called_at.is_some();
        self.start.proven_by.and_then(|(_, ended)| needs_lists.then_some(ended))
    }

    pub fn starting(&mut self, now: Now) {
        self.start.surely_none_before = self.is_unstarted();
        self.start.surely_none = false;
        (self.start.answered, self.start.unlisted) = (None, None);
        self.start.called_at = Some(now.tick);
    }

    /// StartSession in this work group returned this session. Only the session's mark shows whose it is.
    pub fn started(&mut self, id: String, work_group: &str) {
        // The session that was seen so far was another one, whose id was forged into the status.
        self.session = ObservedSession::default();
        self.start.trouble = None;
        self.start.answered = Some(Answered { id, work_group: work_group.to_owned(), is_disowned: false });
    }

    /// Concludes whose the session is that StartSession returned, or that the status records: the object's own, if Athena has
    /// shown the object's mark on it. `is_contested`: another object names this session.
    pub fn recognize(&mut self, object: &AthenaSession, cluster: &str, is_contested: bool) {
        if object.spec.start.is_none() {
            return;
        }
        let Some(id) = self.session_id(object).map(str::to_owned) else { return };
        let session = &mut self.session;
        let uid = object.metadata.uid.as_ref();
        let mark = session.seen.as_ref().and_then(|seen| seen.status.marker.as_ref());
        let is_ours = mark.is_some_and(|marker| marker.cluster == cluster && Some(&marker.uid) == uid);
        let said = self.start.answered.as_ref().filter(|said| said.id == id);
        if self.start.id.is_some() {
            // While GetSession was denied, the answer of StartSession counted as proof. Now Athena shows another
            // object's mark.
            if said.is_some() && mark.is_some() && !is_ours {
                self.start.id = None;
                self.disown(id);
            }
            return;
        }
        // Where AWS denies GetSession, the answer of StartSession counts as proof, unless another object names the
        // session.
        let said_suffices = session.undescribed.is_some() && mark.is_none() && !is_contested;
        if is_ours {
            self.start.id = Some(id);
        } else if said_suffices && let Some(said) = said {
            session.work_group.get_or_insert_with(|| said.work_group.clone());
            self.start.id = Some(id);
        } else if session.seen.is_some() && session.described != Described::No {
            self.disown(id);
        }
    }

    /// Athena has shown that the session isn't the object's own.
    fn disown(&mut self, id: String) {
        match &mut self.start.answered {
            Some(answered) if answered.id == id => answered.is_disowned = true,
            _ => self.start.disowned = Some(id),
        }
        self.session = ObservedSession::default();
    }

    /// A call failed. `jitter`, from 0 to 1, spreads the retries of many objects.
    pub fn failed(&mut self, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        match error.operation {
            Operation::StartSession => self.start.failed(error, now, timing, jitter),
            Operation::TagResource => self.retain = Retain::NotTagged,
            _ => self.session.failed(error, now, timing, jitter),
        }
    }

    /// Whether a call waits because of an outage that isn't over, as far as is known.
    pub fn is_put_off(&self, recovered_at: Option<Instant>) -> bool {
        self.troubles().any(|trouble| trouble.error.class.is_outage()) && !self.is_relieved(recovered_at)
    }

    /// Whether a call that waited because of an outage may be made early, since the outage has ended.
    pub fn is_relieved(&self, recovered_at: Option<Instant>) -> bool {
        self.troubles().any(|trouble| trouble.is_relieved(recovered_at))
    }

    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let Self { session, start, .. } = self;
        [&session.trouble, &session.end_trouble, &start.trouble].into_iter().filter_map(Option::as_deref)
    }
}

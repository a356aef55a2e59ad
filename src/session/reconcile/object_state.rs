//! What is kept of one AthenaSession between its reconciliations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::session::AthenaSession;
use crate::athena::informer::proof_of_absence::{ListAnswer, ListRequest, Sought};
use crate::athena::informer::{Interest, Poller};
use crate::athena::quota::Key;
use crate::athena::recovery::Recovery;
use crate::athena::types::{CallerContext, Source};
use crate::index::objects::key;
use crate::session::observed::{Now, Observed};
use crate::session::plan::Prolonged;
use crate::timing::Timing;

/// An object whose session stays unchanged is reconciled after so many times [`Timing::steady`], whatever the poller
/// shows: a change that wakes nobody is found then.
const RECONCILED_AFTER: u32 = 30;

#[derive(Default)]
pub(super) struct ObjectState {
    pub(super) observed: Observed,
    watched_by: Option<(Arc<Poller>, String)>,
    /// The poller that was asked for a complete list, and what the list is to show.
    list_asked_of: Option<(Arc<Poller>, Box<ListRequest>)>,
    /// Where the object waits only for the poller to show its session again: how long after each sight of the unchanged session
    /// the wait ends, and when the object is reconciled all the same. It saves a reconciliation at each list.
    prolonged: Option<(Duration, Instant)>,
    /// The object may wait in a queue of the quotas, or the quotas may hold a reserved token for the object.
    pub(super) is_known_to_quotas: bool,
    /// Where a call of the object waits for the end of an outage: what tells when the outage has ended.
    outage: Option<Arc<Recovery>>,
    /// The resourceVersion of the newest copy that a request returned.
    pub(super) newest_version: Option<u64>,
}

impl ObjectState {
    pub(super) fn begin(&mut self) {
        self.prolonged = None;
        self.observed.session.asked = None;
    }

    /// Has the wait that begins now prolonged by each sight of the unchanged session, where it can be.
    pub(super) fn prolong_wait(&mut self, prolonged: Option<Prolonged>, now: Instant, timing: &Timing) {
        let most = timing.steady * RECONCILED_AFTER;
        self.prolonged = prolonged.map(|Prolonged { sight_lasts, at_most }| {
            (sight_lasts, now + at_most.map_or(most, |at_most| at_most.min(most)))
        });
    }

    /// Waits for the end of the outage, where one keeps a call of the object from being made.
    pub(super) fn wait_for_recovery(&mut self, recovery: Option<&Arc<Recovery>>, recovered_at: Option<Instant>) {
        self.outage = if self.observed.is_put_off(recovered_at) { recovery.cloned() } else { None };
    }

    /// Until when the object needs no reconciliation though its wait is over; None where it needs one now. It needs
    /// none where the poller has shown its session meanwhile, unchanged.
    pub(super) fn prolonged_until(&self, now: Instant) -> Option<Instant> {
        let ((sight_lasts, ends), (poller, id)) = (self.prolonged?, self.watched_by.as_ref()?);
        let seen = self.observed.session.seen.as_ref()?;
        let shown_at = poller.shown_unchanged(id, &seen.status, self.observed.session.account.as_deref())?;
        let until = ends.min(shown_at + sight_lasts);
        (now < until).then_some(until)
    }

    /// Whether the outage that a call waits for has ended. Returns true only once.
    pub(super) fn has_outage_ended(&mut self) -> bool {
        let observed = &self.observed;
        self.outage.take_if(|outage| observed.is_relieved(outage.recovered_at())).is_some()
    }

    /// Asks the poller for a complete list, or goes on asking.
    pub(super) fn ask_for_list(&mut self, key: &Key, poller: Arc<Poller>, wanted: Box<ListRequest>) {
        if self.list_asked_of.as_ref().is_some_and(|(before, _)| !Arc::ptr_eq(before, &poller)) {
            self.forget_list(key);
        }
        poller.ask_for_list(key, &wanted);
        self.list_asked_of = Some((poller, wanted.clone()));
        self.observed.session.asked = Some(wanted);
    }

    /// Takes in the answer to what an earlier reconciliation asked for. Returns whether there was one. A list that the
    /// object still wants, it asks for again in this reconciliation.
    pub(super) fn take_list_answer(
        &mut self,
        object: &AthenaSession,
        scope: &CallerContext,
        now: Now,
        timing: &Timing,
    ) -> bool {
        let Some((poller, wanted)) = &self.list_asked_of else { return false };
        let Some(answer) = poller.list_answer(&key(object), wanted) else { return false };
        if let Ok(ListAnswer::Shown(shown)) = &answer {
            // From now on the poller looks after this session.
            poller.observe(&shown.id, &shown.status, shown.at, Source::List);
        }
        let observed = &mut self.observed;
        observed.session.asked = None;
        match answer {
            // The object stands for another session by now.
            Ok(_) if matches!(&wanted.sought, Sought::Session(id) if observed.session_id(object) != Some(id)) => {}
            Ok(found) => {
                observed.listed(wanted, found, scope, now, timing);
                observed.session.answered_in(scope);
            }
            Err(error) => observed.failed(error, now, timing, fastrand::f64()),
        }
        self.list_asked_of = None;
        true
    }

    pub(super) fn forget_list(&mut self, key: &Key) {
        if let Some((poller, _)) = self.list_asked_of.take() {
            poller.forget_asker(key);
        }
    }

    /// Has the poller watch the session, and no other poller any session. None: no poller is to watch any.
    pub(super) fn watch(&mut self, wanted: Option<((Arc<Poller>, String), Interest)>) {
        let is_other = |(before, id): &mut (Arc<Poller>, String)| {
            wanted.as_ref().is_none_or(|((poller, wanted), _)| !Arc::ptr_eq(poller, before) || wanted != id)
        };
        if let Some((before, id)) = self.watched_by.take_if(is_other) {
            before.unwatch(&id);
        }
        if let Some(((poller, id), interest)) = wanted {
            poller.watch(&id, interest);
            self.watched_by = Some((poller, id));
        }
    }

    /// Asks nothing of pollers any more: the object is gone, or another object has its name.
    pub(super) fn release(mut self, key: &Key) {
        self.watch(None);
        self.forget_list(key);
    }
}

/// The resourceVersion as a number: those of one resource can be compared as numbers (KEP-5504). None where it is no
/// number.
pub(super) fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

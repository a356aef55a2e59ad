//! What the watches and Athena's informer show of one AthenaSession, before each step.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::dependencies::Dependencies;
use super::object_state::ObjectState;
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::identity::Identity;
use crate::athena::informer::Poller;
use crate::athena::types::CallerContext;
use crate::index::access::Access;
use crate::session::observed::{Now, Observed};

/// The present moment. Whatever decides is told the time.
pub(super) fn now() -> Now {
    Now { wall: Timestamp::now(), tick: Instant::now() }
}

/// The copy of the object that is decided on.
pub(super) struct Current<'a> {
    pub(super) object: Cow<'a, AthenaSession>,
    pub(super) began: Instant,
    /// When the API server returned this copy. None where the copy may be out of date: a session is ended only after
    /// another read.
    pub(super) read_at: Option<Instant>,
}

/// What is observed before a step, beside the object and what was learned of its session.
pub(super) struct Inputs {
    pub(super) access: Access,
    /// The identity that calls Athena. None where the object's AthenaWorkGroup doesn't exist, or has never granted the
    /// object access.
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) scope: CallerContext,
    /// What polls the session's work group, where that is known.
    pub(super) poller: Option<Arc<Poller>>,
    pub(super) session_id: Option<String>,
    pub(super) now: Now,
}

pub(super) struct Observer {
    pub(super) needs: Dependencies,
}

impl Observer {
    /// Takes in what there is to see, without a request.
    pub(super) async fn observe(&self, current: &mut Current<'_>, state: &mut ObjectState) -> Inputs {
        let object = &*current.object;
        let mut access = self.access(object, &state.observed);
        let identity = self.identity(object, &access).await;
        let nowhere = || CallerContext::unknown("there is no AthenaWorkGroup");
        let (scope, now) = (identity.as_deref().map_or_else(nowhere, Identity::caller_context), now());
        state.observed.found(object, &scope, now);
        if let Some(news) = self.needs.index.workload_news(object) {
            state.observed.session.workloads.heard(news);
        }
        if state.take_list_answer(object, &scope, now, &self.needs.timing) {
            // The object may have changed while it waited for the list.
            current.read_at = None;
        }
        let observed = &mut state.observed;
        // An object without our finalizer may have no right to hear of its work group.
        let poller = if is_held(object) { self.poller(&access, identity.as_ref(), observed) } else { None };
        let session_id = observed.session_id(object).map(str::to_owned);
        let shown_before = observed.session.shown_of_owner();
        if let (Some(poller), Some(id)) = (&poller, &session_id) {
            poller.sighting(id, |polled| observed.session.polled(polled, poller.work_group(), &scope, now));
        }
        observed.recognize(object, &self.needs.index.cluster, access.is_contested);
        if observed.session.shown_of_owner() != shown_before {
            // The session may prove to be another object's, which the access from before doesn't know.
            access = self.access(object, observed);
        }
        if let Some(poller) = &poller {
            access.engine = poller.engine();
        }
        Inputs { access, identity, scope, poller, session_id, now }
    }

    fn access(&self, object: &AthenaSession, observed: &Observed) -> Access {
        // The recorded work group may be forged. It only keeps other objects' claims away until Athena has been asked.
        let recorded = object.status.as_ref().and_then(|status| status.work_group.as_deref());
        let marker = observed.session.seen.as_ref().and_then(|seen| seen.status.marker.as_deref());
        let id = observed.session_id(object);
        self.needs.index.access(object, id, observed.session.work_group.as_deref().or(recorded), marker)
    }

    async fn identity(&self, object: &AthenaSession, access: &Access) -> Option<Arc<Identity>> {
        if access.denied.is_some() && !is_held(object) {
            // An object that has no grant, and never had one, causes no call: not even to assume a role.
            return None;
        }
        let identity = self.needs.index.work_groups.identities.of(&self.needs.index.work_groups.target(object)?);
        if access.reference.is_some() {
            identity.first_answer().await;
        }
        Some(identity)
    }

    fn poller(&self, access: &Access, identity: Option<&Arc<Identity>>, observed: &Observed) -> Option<Arc<Poller>> {
        let work_group = access.work_group.as_ref().or(observed.session.work_group.as_ref())?;
        Some(self.needs.informer.poller(identity?, work_group))
    }
}

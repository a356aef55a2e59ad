//! What a decision depends on, and how the session stands by it. PURE.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::observed::{Absence, Now, Observed, Seen};
use super::{conditions, limits, workload};
use crate::api;
use crate::api::session::{AthenaSession, AthenaSessionStatus, DeletionPolicy, TerminationReason};
pub use crate::athena::informer::types::Interest;
use crate::athena::types::{Account, CallerContext, SessionState, Source};
use crate::index::access::{Access, Denied};
use crate::status::reason::{Pace, Reason};
use crate::timing::Timing;

/// An answer counts as one of now for so long: longer than what a pass does between two answers.
pub const PASS: Duration = Duration::from_secs(10);

/// Everything that a decision depends on.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The object.
    pub object: &'a AthenaSession,
    /// When this pass began.
    pub began: Instant,
    /// The API server gave this copy in this very pass: it isn't a cached one.
    pub fresh: bool,
    /// What is known of its session.
    pub observed: &'a Observed,
    /// On what terms it may use Athena.
    pub access: &'a Access,
    /// A poller looks after the sessions of its work group.
    pub polled: bool,
    /// How long the poller takes to list all sessions.
    pub full_scan_took: Duration,
    /// When the poller began its last complete list of all sessions that haven't ended.
    pub listed_at: Option<Instant>,
    /// Where calls to Athena would go.
    pub scope: &'a CallerContext,
    /// The cluster's id: the UID of the namespace kube-system.
    pub cluster: &'a str,
    /// The intervals.
    pub timing: &'a Timing,
    /// The moment.
    pub now: Now,
}

impl View<'_> {
    /// Whether the object is being deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// The id of the session that the object stands for, as far as there is one: that it names; or that it has started; or
    /// that is recorded as such, where Athena hasn't shown whose it is.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.observed.session_id(self.object)
    }

    /// The same where it is told of in a sentence.
    #[must_use]
    pub fn id(&self) -> &str {
        self.session_id().unwrap_or("(none)")
    }

    /// Whether the object starts a session, and which one is its own isn't known.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.object.spec.start.is_some() && self.observed.start.id.is_none()
    }

    /// Whether the object started the session: it is shown to be its own.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.object.spec.start.is_some() && self.observed.start.id.is_some()
    }

    /// Whether an end is asked for of what the object may have started: our finalizer alone, which anybody may write on
    /// an object of his own, is no sign of that.
    #[must_use]
    pub fn is_own_end(&self) -> bool {
        let start = &self.observed.start;
        let is_recorded = |it: &AthenaSessionStatus| it.start_attempt.is_some() || it.session_id.is_some();
        let may_have = start.id.is_some() || start.called_at.is_some() || self.recorded().is_some_and(is_recorded);
        self.object.spec.start.is_some() && self.intent().is_some() && may_have
    }

    /// Why the session may not be ended, if it may not: what the object itself started is ended also where its namespace
    /// isn't selected any more.
    #[must_use]
    pub fn barred(&self) -> Option<Denied> {
        let ends_its_own = |refusal: &Denied| self.is_started() && *refusal == Denied::NamespaceNotAllowed;
        self.access.denied.filter(|refusal| !ends_its_own(refusal))
    }

    /// Why the session is to be ended, if it is: that is asked for, its workloads have finished, or a limit of the spec is
    /// reached. What the status says asks for nothing.
    #[must_use]
    pub fn intent(&self) -> Option<TerminationReason> {
        self.asked().or_else(|| limits::reached(self))
    }

    /// Whether it is certain that nobody asks for the session's end.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.intent().is_none() && matches!(self.evidence(), Evidence::Alive(_))
    }

    /// Why the session is to be ended, or was. A limit can't be seen to be reached any more once the session ends: of it the
    /// record remains. Nothing is ended for that.
    #[must_use]
    pub fn cause(&self) -> Option<TerminationReason> {
        let is_active = match self.evidence() {
            Evidence::Alive(seen) => seen.status.state != SessionState::Terminating && !limits::has_begun(self, seen),
            _ => false,
        };
        let recorded = self.recorded().and_then(|status| status.termination_reason);
        self.intent().or(recorded.filter(|reason| reason.is_limit() && !is_active)).or(limits::idled_out(self))
    }

    /// Which end the object's metadata and spec ask for, if one.
    #[must_use]
    pub fn asked(&self) -> Option<TerminationReason> {
        let spec = &self.object.spec;
        if spec.terminate {
            Some(TerminationReason::RequestedBySpec)
        } else if self.is_deleted() && spec.deletion_policy == DeletionPolicy::Terminate {
            Some(TerminationReason::ObjectDeleted)
        } else if workload::is_finished(self) {
            Some(TerminationReason::WorkloadFinished)
        } else {
            None
        }
    }

    /// The object's last recorded status.
    #[must_use]
    pub fn recorded(&self) -> Option<&AthenaSessionStatus> {
        self.object.status.as_ref()
    }

    /// Whether it is recorded that an end is asked for.
    #[must_use]
    pub fn is_end_recorded(&self) -> bool {
        self.recorded().is_some_and(|status| status.termination_requested_at.is_some())
    }

    /// The session's work group: from Athena; else the one that it must be in; else as Athena said it to an
    /// earlier process.
    #[must_use]
    pub fn work_group(&self) -> Option<&str> {
        let recorded = self.recorded().and_then(|status| status.work_group.as_deref());
        self.observed.work_group.as_deref().or(self.access.work_group.as_deref()).or(recorded)
    }

    /// Whether Athena shows the session in another work group than it must be in.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        let real = self.observed.work_group.as_deref();
        real.zip(self.access.work_group.as_deref()).is_some_and(|(real, expected)| real != expected)
    }

    /// Whether the object was adopted in the work group that the session really is in, before it came to refer to
    /// another one; or in the one that it refers to, where Athena has named another one since.
    #[must_use]
    pub fn was_ours(&self) -> bool {
        let recorded = self.recorded().and_then(|status| status.work_group.as_deref());
        let (real, expected) = (self.observed.work_group.as_deref(), self.access.work_group.as_deref());
        recorded.is_some() && (recorded == real || recorded == expected)
    }

    /// Whether its session was shown to the object while it had a grant.
    #[must_use]
    pub fn was_adopted(&self) -> bool {
        self.recorded().is_some_and(|status| status.state.is_some())
    }

    /// Whether how the session stands is this object's to know. Our finalizer alone gives no right to it: anybody may
    /// write it on an object of his own.
    #[must_use]
    pub fn may_know(&self) -> bool {
        let has_grant = self.access.denied.is_none() || self.was_adopted() || self.is_started();
        self.is_held() && !self.is_starting() && has_grant && self.access.owner.is_none() && !self.is_foreign()
    }

    /// Whether the session has been seen to end, as far as that lets the object go: an end is evidence also where the
    /// object came to refer to another work group since.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let once_ours = self.is_foreign() && self.was_ours();
        let has_ended = |seen: &Seen| seen.status.state.is_ended() && self.is_confirmed(seen);
        self.evidence() == Evidence::Ended || once_ours && self.observed.seen.as_ref().is_some_and(has_ended)
    }

    /// Whether an end that Athena showed counts. A list alone doesn't prove that a session has ended. It does where
    /// TerminateSession was accepted for the session: then the list only shows what was asked for. It does, too, where Athena
    /// says in answer to a call for the session that the session doesn't exist.
    fn is_confirmed(&self, seen: &Seen) -> bool {
        seen.source == Source::Call || self.observed.accepted_at.is_some() || self.observed.absence.is_some()
    }

    /// Whether the operator answers for the object: our finalizer is on it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        api::is_held(self.object)
    }

    /// What is asked of the poller of the session's work group, if anything is.
    #[must_use]
    pub fn interest(&self) -> Option<Interest> {
        self.session_id()?;
        // What is recorded as its own has to be seen before it is.
        let may_ask = self.may_know() || self.is_held() && self.is_starting() && self.observed.absence.is_none();
        let has_reach = may_ask && self.access.denied != Some(Denied::WorkGroupNotFound);
        if !has_reach || conditions::scope_problem(self).is_some() {
            return None;
        }
        match self.evidence() {
            Evidence::None => Some(Interest::FirstSight),
            Evidence::Unconfirmed(_) => Some(Interest::Changing),
            Evidence::Alive(_) => {
                let reason = conditions::of(self).map(|finding| finding.reason);
                Some(match reason {
                    Some(Reason::Terminating) if self.intent().is_some() => Interest::Ending,
                    Some(reason) if reason.row().pace != Pace::Fast => Interest::Steady,
                    _ => Interest::Changing,
                })
            }
            // A list that shows it after all wakes the object.
            Evidence::Missing(_) | Evidence::Absent if !self.once_seen() => Some(Interest::FirstSight),
            Evidence::Ended | Evidence::Missing(_) | Evidence::Absent => None,
        }
    }

    /// Whether Athena has ever shown the session, to this process or to an earlier one.
    #[must_use]
    pub fn once_seen(&self) -> bool {
        self.observed.seen.is_some() || self.was_adopted()
    }

    /// Whether GetSession is denied, and isn't due to be tried again.
    #[must_use]
    pub fn is_undescribed(&self) -> bool {
        self.observed.undescribed.as_ref().is_some_and(|it| it.trouble.retry_at > self.now.tick)
    }

    /// Whether Athena has shown enough of the session to tell whose it is. GetSession and lists show the work group, and the
    /// mark of the object that started the session. GetSessionStatus shows neither. An object without `workGroupRef` may
    /// have a session of any work group, so it doesn't need these, unless another object may have the same session.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        let takes_any = self.access.work_group.is_none() && !self.access.is_contested;
        !self.observed.is_displaced && (self.observed.work_group.is_some() || takes_any)
    }

    /// How the session stands, as far as it is known.
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        if !self.may_know() {
            return Evidence::None;
        }
        match (&self.observed.seen, &self.observed.absence) {
            // An end is final, also when Athena has forgotten the session since. An object that is being deleted may go
            // then, also where it isn't known whose the session was.
            (Some(seen), _) if seen.status.state.is_ended() && (self.is_placed() || self.is_deleted()) => {
                if self.is_confirmed(seen) { Evidence::Ended } else { Evidence::Unconfirmed(seen) }
            }
            (_, Some(absence)) => match self.missing_proof(absence) {
                None => Evidence::Absent,
                Some(proof) => Evidence::Missing(proof),
            },
            (Some(seen), None) if self.is_placed() => Evidence::Alive(seen),
            (_, None) => Evidence::None,
        }
    }

    /// The account that the session was seen in, by this process or else by an earlier one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let recorded = self.recorded().and_then(|status| status.account_id.as_deref());
        let seen_here = self.observed.seen.is_some();
        self.observed.account.as_deref().or(recorded.filter(|_| !seen_here))
    }

    /// The Region that the session was seen in, likewise.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        let recorded = self.recorded().and_then(|status| status.region.as_deref());
        let seen_here = self.observed.seen.is_some();
        self.observed.region.as_deref().or(recorded.filter(|_| !seen_here))
    }

    /// Whether the session was recorded in another work group than it must be in, and Athena hasn't said which it is.
    fn is_disputed(&self) -> bool {
        let recorded = self.recorded().and_then(|status| status.work_group.as_deref());
        let differs = recorded.zip(self.access.work_group.as_deref()).is_some_and(|(one, other)| one != other);
        differs && self.observed.work_group.is_none()
    }

    fn missing_proof(&self, absence: &Absence) -> Option<Proof> {
        // What this process took on itself and never saw is no session that an earlier process saw.
        let never_seen = !self.once_seen() && self.observed.adopted_here;
        let apart = if never_seen { self.timing.changing } else { self.timing.confirm_absence };
        if absence.last.duration_since(absence.first) < apart {
            return Some(Proof::AnotherLook { after: apart });
        }
        let mut newest = absence.last;
        if self.once_seen() {
            let here = self.account().is_some_and(|then| self.scope.account == Account::Known(then.to_owned()));
            let Some(work_group) = self.work_group().filter(|_| here && !self.is_disputed()) else {
                return Some(Proof::NotToBeHad);
            };
            let Some(unlisted_at) = absence.unlisted_at.filter(|unlisted_at| *unlisted_at >= absence.last) else {
                return Some(Proof::Listing { work_group: work_group.to_owned(), after: absence.last });
            };
            if self.scope.confirmed_at < Some(unlisted_at) {
                return Some(Proof::Account);
            }
            newest = unlisted_at;
        }
        // What is let go can't be taken back, and an answer from before the deletion may be over.
        let is_old = self.now.tick.duration_since(newest) > self.timing.steady.max(PASS);
        let is_earlier = self.observed.deleted_at.is_some_and(|deleted| absence.last < deleted);
        (self.is_deleted() && (is_old || is_earlier)).then_some(Proof::FreshLook)
    }

    /// A condition of the recorded status.
    #[must_use]
    pub fn recorded_condition(&self, type_: &str) -> Option<&Condition> {
        self.recorded()?.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// The condition `Terminated`, where it is recorded as True.
    #[must_use]
    pub fn recorded_terminated(&self) -> Option<&Condition> {
        self.recorded_condition("Terminated").filter(|condition| condition.status == "True")
    }

    /// How long from now until a moment; zero where it has passed.
    #[must_use]
    pub fn until(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.now.tick)
    }
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence<'a> {
    /// Athena hasn't been asked, or hasn't answered.
    None,
    /// Not ended.
    Alive(&'a Seen),
    /// A list shows that it has ended, and nobody has asked Athena about this session since.
    Unconfirmed(&'a Seen),
    /// TERMINATED or FAILED.
    Ended,
    /// Athena says that it doesn't exist, and this is still wanted before it is believed.
    Missing(Proof),
    /// It doesn't exist.
    Absent,
}

/// What is wanted before a session counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The same answer again, so long after the first.
    AnotherLook {
        /// How long.
        after: Duration,
    },
    /// The same answer again, now.
    FreshLook,
    /// A complete listing of its work group, since the last answer.
    Listing {
        /// The work group.
        work_group: String,
        /// When that answer came.
        after: Instant,
    },
    /// That these answers came from the account that it was seen in.
    Account,
    /// A listing of its work group, where that or the account that it was seen in isn't known.
    NotToBeHad,
}

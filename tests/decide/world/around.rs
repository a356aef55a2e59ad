//! What others than the object's author say and do: the AthenaWorkGroup, suspensions, another object that names the
//! session, and the poller of the work group. S1, S2, S5 and S8 are checked here against the truth of this world.

use std::time::Duration;

use kube::ResourceExt;

use super::work_group_limits::GroupLimits;
use super::{Event, World};
use crate::core::{
    ANSWER_LIFE, Access, Account, AthenaSession, AthenaSessionStatus, CallerContext, Claim, Denied, FINALIZER,
    Interest, Now, Operation, OwnerRead, Polled, SessionState, SessionStatus, Source, StartAccess, Step, Suspension,
    TerminationReason,
};
use crate::fixtures::{HOME, SESSION, TIMING, WORK_GROUP, at, claim, condition, seconds};

/// The AthenaWorkGroup that objects refer to.
pub const GROUP: &str = "spark";

/// Another object, older, with a grant, that names the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The other object ends the session when that object is deleted.
    pub stands: bool,
}

/// What the poller of the session's work group does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poller {
    /// There is no poller.
    Off,
    /// The poller shows the session, as the session was so long before.
    Shows { lag: Duration },
    /// The poller tells the object to ask for itself.
    AskYourself,
    /// The poller never answers.
    Silent,
}

pub struct Around {
    /// The work group that the session is in.
    pub real: &'static str,
    /// The AthenaWorkGroup is there.
    pub exists: bool,
    /// The AthenaWorkGroup selects the object's namespace.
    pub allows: bool,
    /// The AthenaWorkGroup is being deleted.
    pub closes: bool,
    /// The account that is recorded for it.
    pub account: Option<&'static str>,
    /// Its Region, where that isn't the operator's.
    pub region: Option<&'static str>,
    pub is_required: bool,
    /// Another object names the session.
    pub is_contested: bool,
    pub suspension: Option<Suspension>,
    pub limits: GroupLimits,
    pub owner: Option<Owner>,
    /// The owner that the watch shows.
    pub shown: Option<Owner>,
    pub poller: Poller,
    /// What the operator last asked of the poller.
    pub interest: Option<Interest>,
    /// The object has had a grant.
    pub was_granted: bool,
    /// Somebody has forged the status.
    pub is_forged: bool,
    sight: Option<(SessionStatus, Duration, Source)>,
    /// A call has contradicted a list's end: after that lists show no end.
    is_contradicted: bool,
    asks_back: bool,
    history: Vec<(Duration, Option<SessionState>)>,
}

impl Default for Around {
    fn default() -> Self {
        Self {
            real: WORK_GROUP,
            exists: true,
            allows: true,
            closes: false,
            account: Some(HOME),
            region: None,
            is_required: false,
            is_contested: false,
            suspension: None,
            limits: GroupLimits::default(),
            owner: None,
            shown: None,
            poller: Poller::Off,
            interest: None,
            was_granted: true,
            is_forged: false,
            sight: None,
            is_contradicted: false,
            asks_back: false,
            history: Vec::new(),
        }
    }
}

impl Around {
    pub(super) fn restarted(&mut self) {
        (self.sight, self.asks_back, self.interest, self.is_contradicted) = (None, false, None, false);
    }

    pub(super) fn was(&mut self, elapsed: Duration, session: Option<SessionState>) {
        if self.history.last().is_none_or(|(_, before)| *before != session) {
            self.history.push((elapsed, session));
        }
    }

    /// The session as it was then.
    fn session_at(&self, moment: Duration) -> Option<SessionState> {
        let then = self.history.iter().rev().find(|(since, _)| *since <= moment);
        then.or(self.history.first()).and_then(|(_, state)| state.clone())
    }
}

impl World {
    /// An object that refers to the AthenaWorkGroup. The operator has just put its finalizer on.
    pub fn bound(session: SessionState) -> Self {
        let mut world = Self::with(Some(session));
        world.event(&Event::SetRef);
        world
    }

    /// An object that refers to the AthenaWorkGroup and was adopted a while ago.
    pub fn granted(session: SessionState) -> Self {
        let mut world = Self::bound(session);
        world.run_for(seconds(1));
        world.forget_the_past();
        world
    }

    // What the operator is shown.

    pub(super) fn is_bound(&self, object: &AthenaSession) -> bool {
        object.spec.work_group_ref.is_some()
    }

    pub(super) fn refusal(&self, object: &AthenaSession) -> Option<Denied> {
        if !self.is_bound(object) {
            return self.around.is_required.then_some(Denied::WorkGroupRequired);
        }
        if !self.around.exists {
            return Some(Denied::WorkGroupNotFound);
        }
        (!self.around.allows).then_some(Denied::NamespaceNotAllowed)
    }

    pub(super) fn access(&self, object: &AthenaSession) -> Access {
        let is_there = self.is_bound(object) && self.around.exists;
        Access {
            reference: self.is_bound(object).then(|| GROUP.to_owned()),
            work_group: is_there.then(|| WORK_GROUP.to_owned()),
            account: self.around.account.filter(|_| is_there).map(str::to_owned),
            denied: self.refusal(object),
            is_terminating: is_there && self.around.closes,
            lacks_finalizer: false,
            suspension: self.around.suspension,
            is_read_only: self.around.suspension == Some(Suspension::ReadOnly),
            owner: self.around.shown.map(|_| claim("older")),
            is_contested: self.around.shown.is_some() || self.around.is_contested,
            start: object.spec.start.as_ref().map(|_| StartAccess {
                bounds: self.starts.bounds.clone().filter(|_| is_there).map(Box::new),
                slot: self.starts.slot(),
            }),
            limits: self.shown_group_limits(object),
            engine: self.starts.engine.clone(),
        }
    }

    pub(super) fn scope_for(&self, object: &AthenaSession) -> CallerContext {
        if !self.is_bound(object) {
            return self.scope.clone();
        }
        if !self.around.exists {
            let account = Account::Unknown("there is no AthenaWorkGroup".to_owned());
            return CallerContext {
                role: None,
                region: None,
                account,
                confirmed_at: None,
                since: None,
                skew: None,
                recovered_at: None,
            };
        }
        let region = self.around.region.map(str::to_owned).or(self.scope.region.clone());
        CallerContext { region, ..self.scope.clone() }
    }

    /// Passes on what the poller says, as `src/session/reconcile` does. Returns whether there is a poller.
    pub(super) fn hear(&mut self, object: &AthenaSession, access: &Access, scope: &CallerContext, now: Now) -> bool {
        let work_group = access.work_group.clone().or(self.observed.session.work_group.clone());
        let Some(work_group) = work_group.filter(|_| scope.region.is_some()) else { return false };
        let around = &self.around;
        if around.poller == Poller::Off {
            return false;
        }
        let sight = around.sight.as_ref().filter(|_| work_group == around.real && self.is_home());
        let polled = match sight {
            // The object names no session, or another session than this world's.
            _ if object.spec.start.is_some() && self.observed.session_id(object) != Some(SESSION) => {
                return self.observed.session_id(object).is_none();
            }
            _ if around.asks_back => Polled::AskYourself,
            Some((status, seen_at, source)) => Polled::Seen { status, at: at(*seen_at).tick, source: *source },
            None => Polled::NotYet,
        };
        self.observed.session.polled(polled, &work_group, scope, now);
        true
    }

    /// The answer to a call of the object's own.
    pub(super) fn tell_poller(&mut self, sent: Duration) {
        let seen = self.observed.session.seen.as_ref().filter(|seen| seen.at >= at(sent).tick);
        if let Some(seen) = seen.filter(|_| self.observed.session.work_group.as_deref() == Some(self.around.real)) {
            let was_ended = self.around.sight.as_ref().is_some_and(|(before, ..)| before.state.is_ended());
            self.around.is_contradicted |= was_ended && !seen.status.state.is_ended();
            self.around.sight = Some((seen.status.clone(), sent, seen.source));
            self.around.asks_back = false;
        }
    }

    fn is_home(&self) -> bool {
        self.scope.account == Account::Known(HOME.to_owned()) && self.around.region.is_none()
    }

    /// Sleeps so long, or until the poller has news.
    pub(super) fn sleep(&mut self, long: Duration) {
        let end = self.elapsed + long;
        while self.elapsed < end {
            let every = match self.around.interest.filter(|_| self.around.poller != Poller::Off) {
                None => return self.wait(end - self.elapsed),
                Some(Interest::Steady) => TIMING.steady,
                Some(Interest::Ending | Interest::Changing | Interest::FirstSight) => TIMING.changing,
            };
            let passed = Duration::from_nanos((self.elapsed.as_nanos() % every.as_nanos()).try_into().unwrap());
            let is_due = every - passed <= end - self.elapsed;
            self.wait((every - passed).min(end - self.elapsed));
            if is_due && self.poll() {
                return;
            }
        }
    }

    /// The poller asks Athena. Returns whether the answer is news.
    pub fn poll(&mut self) -> bool {
        let bound = self.object.as_ref().is_some_and(|object| self.is_bound(object));
        let reaches = self.is_home() && (!bound || self.around.real == WORK_GROUP);
        let lie = if self.around.poller == Poller::Off { None } else { self.lies.next(false) };
        let shown = match self.around.poller {
            Poller::Shows { .. } if reaches && lie.is_some() => lie,
            Poller::Shows { lag } if reaches => self.around.session_at(self.elapsed.saturating_sub(lag)),
            Poller::Off | Poller::Silent => return false,
            _ => None,
        };
        let around = &mut self.around;
        let Some(state) = shown else { return !std::mem::replace(&mut around.asks_back, true) };
        let known = around.sight.as_ref().map(|(status, at, _)| (&status.state, *at));
        // The poller's store keeps an end for good, since a list lags behind.
        let is_late = known.is_some_and(|(known, seen_at)| {
            let lags = *known == SessionState::Terminating && !state.is_ended() && state != SessionState::Terminating;
            known.is_ended() && !state.is_ended() || lags && self.elapsed < seen_at + TIMING.steady
        });
        if is_late || around.is_contradicted && state.is_ended() {
            return false;
        }
        let differs = known.is_none_or(|(known, _)| *known != state);
        let status = SessionStatus { engine: None, ..self.shown(&state) };
        self.around.sight = Some((status, self.elapsed, Source::List));
        differs | std::mem::take(&mut self.around.asks_back)
    }

    pub(super) fn confirm(&mut self, owner: &Claim) {
        let stands = self.around.owner.is_some_and(|owner| owner.stands);
        self.observed.session.owner =
            Some(Box::new(OwnerRead { uid: owner.uid.clone(), at: at(self.elapsed).tick, stands }));
    }

    // What must hold.

    /// The session is in another work group than the object refers to.
    fn is_foreign(&self, object: &AthenaSession) -> bool {
        self.is_bound(object) && self.around.real != WORK_GROUP
    }

    /// S2: the session isn't this object's to end.
    pub(super) fn is_others(&self, object: &AthenaSession) -> bool {
        let recorded = object.status.as_ref().and_then(|status| status.work_group.as_deref());
        let never_ours = self.is_foreign(object) && recorded != Some(self.around.real);
        // What happens to the owner after it was read can't be known: no request reads two objects at once.
        let read = self
            .observed
            .session
            .owner
            .as_ref()
            .filter(|read| at(self.elapsed).tick <= read.at + ANSWER_LIFE + seconds(1));
        never_ours || self.around.shown.is_some() && read.is_some_and(|read| read.stands)
    }

    fn was_never_granted(&self, object: &AthenaSession) -> bool {
        self.refusal(object).is_some() && !self.around.was_granted && !self.around.is_forged
    }

    /// S1 and S5, at each call.
    pub(super) fn check_access(&mut self, object: &AthenaSession, operation: Operation, step: &Step) {
        let knows_foreign = self.is_foreign(object)
            && self.around.exists
            && self.observed.session.work_group.as_deref() == Some(self.around.real);
        if self.refusal(object) == Some(Denied::WorkGroupNotFound) {
            self.breach(format!("S5: {operation} without an AthenaWorkGroup"));
        }
        if self.was_never_granted(object) {
            self.breach(format!("S5: {operation} for a namespace that was never allowed"));
        }
        if self.around.shown.is_some() {
            self.breach(format!("{operation} for another object's session"));
        }
        if knows_foreign {
            self.breach(format!("{operation} for another work group's session"));
        }
        if operation == Operation::TerminateSession {
            let ends_its_own =
                |refusal: &Denied| object.spec.start.is_some() && *refusal == Denied::NamespaceNotAllowed;
            if let Some(refusal) = self.refusal(object).filter(|refusal| !ends_its_own(refusal)) {
                self.breach(format!("S5: TerminateSession in spite of {refusal:?}"));
            }
            // The object's author can't hold up the end by the AthenaWorkGroup's limit.
            let is_by_group = *step == Step::TerminateSession { reason: TerminationReason::WorkGroupLimit };
            let is_own_pause = self.around.suspension == Some(Suspension::ObjectPaused);
            if self.around.suspension.is_some() && !(is_own_pause && is_by_group) {
                self.breach("TerminateSession in spite of a suspension".to_owned());
            }
            if self.is_foreign(object) && self.is_ours(object) {
                self.breach("S1: TerminateSession of another work group's session".to_owned());
            }
        }
    }

    /// A status tells its readers nothing that isn't theirs to know.
    pub(super) fn check_status(&mut self, object: &AthenaSession, status: &AthenaSessionStatus) {
        let held = object.finalizers().iter().any(|name| name == FINALIZER);
        // The object may show what it knew before its reference to another work group was set.
        let recorded = object.status.as_ref().and_then(|status| status.work_group.as_deref());
        let was_known = recorded == Some(self.around.real) || self.around.is_forged;
        let is_foreign = self.is_foreign(object) && !was_known;
        let theirs = is_foreign || self.around.shown.is_some();
        if held && !theirs && !self.was_never_granted(object) {
            return;
        }
        let facts = |status: &AthenaSessionStatus| AthenaSessionStatus {
            observed_generation: None,
            termination_requested_at: None,
            termination_reason: None,
            conditions: Vec::new(),
            ..status.clone()
        };
        let before = object.status.clone().unwrap_or_default();
        let is_true =
            |status: &AthenaSessionStatus| condition(status, "Terminated").is_some_and(|it| it.status == "True");
        let tells_work_group = is_foreign && status.conditions.iter().any(|it| it.message.contains(self.around.real));
        if facts(status) != facts(&before) || is_true(status) && !is_true(&before) || tells_work_group {
            self.breach(format!("the status tells what is others' business: {status:?}"));
        }
    }
}

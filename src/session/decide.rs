//! What to do next for one object. PURE: no client, no clock, no error, nothing async.
//!
//! [`decide`] maps (object, what is known of its session, now) to one [`Step`]. The shell
//! ([`super::act`]) takes the step, adds what it learned, and asks again, until the step is to wait.
//!
//! ```text
//!                   no finalizer ── being deleted ─► wait (not ours)
//!                        └───────── wanted ────────► add it
//!   deleted, Retain ───────────────────────────────► let go
//!   another account or Region than recorded ───────► wait, and say so
//!   ended, or proven absent ── deleted ────────────► let go
//!                           └─ kept ───────────────► record it
//!   an end is asked for ── state known, active ────► record why ► end it ► look until it has ended
//!   otherwise ─────────────────────────────────────► look, now and then
//! ```

use std::time::Duration;

use kube::ResourceExt;

use super::knowledge::{Absence, Described, Knowledge, Now, Timing};
use super::status::{self, Notice};
use crate::api::FINALIZER;
use crate::api::reason::{Pace, Reason};
use crate::api::session::{AthenaSession, AthenaSessionStatus, DeletionPolicy, TerminationReason};
use crate::athena::port::SessionState;

/// Everything that a decision depends on.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The object.
    pub object: &'a AthenaSession,
    /// The API server gave this copy in this very pass: it isn't a cached one.
    pub fresh: bool,
    /// What is known of its session.
    pub knowledge: &'a Knowledge,
    /// Where calls to Athena would go.
    pub scope: &'a Scope,
    /// The intervals.
    pub timing: &'a Timing,
    /// The moment.
    pub now: Now,
}

/// The AWS account and Region that calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The Region; None when none is configured.
    pub region: Option<String>,
    /// The account.
    pub account: Account,
}

/// The AWS account that calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// As STS said.
    Known(String),
    /// STS hasn't said; why.
    Unknown(String),
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put our finalizer on the object.
    AddFinalizer,
    /// Read the object from the API server, not from a cache.
    Refresh,
    /// Call GetSession.
    Describe,
    /// Call GetSessionStatus.
    Look,
    /// Call ListSessions for this work group, in every state, to the end.
    Search {
        /// The work group.
        work_group: String,
    },
    /// Call TerminateSession.
    Terminate {
        /// On whose behalf.
        reason: TerminationReason,
    },
    /// Write this status.
    WriteStatus {
        /// All of it.
        status: Box<AthenaSessionStatus>,
        /// What to tell once it is written.
        notices: Vec<Notice>,
    },
    /// Take our finalizer off: nothing holds the object any more.
    LetGo {
        /// What to tell once it is off.
        notice: Option<Notice>,
    },
    /// Nothing until the object changes, or until this long from now.
    Wait(Option<Duration>),
}

impl View<'_> {
    /// Whether the object is being deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// Why the session is to be ended, if it is. It follows from the object's metadata and spec
    /// alone: what its status says asks for nothing.
    #[must_use]
    pub fn intent(&self) -> Option<TerminationReason> {
        let spec = &self.object.spec;
        if spec.terminate {
            Some(TerminationReason::RequestedBySpec)
        } else if self.is_deleted() && spec.deletion_policy == DeletionPolicy::Terminate {
            Some(TerminationReason::ObjectDeleted)
        } else {
            None
        }
    }

    /// The object's last recorded status.
    #[must_use]
    pub fn recorded(&self) -> Option<&AthenaSessionStatus> {
        self.object.status.as_ref()
    }

    /// The session's work group: from Athena, or else as Athena said it to an earlier process.
    #[must_use]
    pub fn work_group(&self) -> Option<&str> {
        let recorded = self.recorded().and_then(|status| status.work_group.as_deref());
        self.knowledge.work_group.as_deref().or(recorded)
    }

    /// Whether Athena has ever shown the session, to this process or to an earlier one.
    #[must_use]
    pub fn once_seen(&self) -> bool {
        self.knowledge.seen.is_some() || self.recorded().is_some_and(|status| status.state.is_some())
    }

    /// How the session stands, as far as it is known.
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        match (self.knowledge.state(), &self.knowledge.absence) {
            // An end is final, also when Athena has forgotten the session since.
            (Some(state), _) if state.is_ended() => Evidence::Ended,
            (_, Some(absence)) => match self.missing_proof(absence) {
                None => Evidence::Absent,
                Some(proof) => Evidence::Missing(proof),
            },
            (Some(state), None) => Evidence::Alive(state),
            (None, None) => Evidence::None,
        }
    }

    fn missing_proof(&self, absence: &Absence) -> Option<Proof> {
        let apart = if self.once_seen() { self.timing.confirm_absence } else { self.timing.changing };
        if absence.last.duration_since(absence.first) < apart {
            return Some(Proof::AnotherLook { after: apart });
        }
        // Of a session that was never seen no work group is known that could be listed.
        if !self.once_seen() || absence.unlisted_at.is_some_and(|at| at >= absence.first + apart) {
            return None;
        }
        Some(self.work_group().map_or(Proof::NotToBeHad, |name| Proof::Listing { work_group: name.to_owned() }))
    }

    fn until(&self, moment: std::time::Instant) -> Duration {
        moment.saturating_duration_since(self.now.tick)
    }
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence<'a> {
    /// Athena hasn't been asked, or hasn't answered.
    None,
    /// Not ended.
    Alive(&'a SessionState),
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
    /// A complete listing of its work group.
    Listing {
        /// The work group.
        work_group: String,
    },
    /// A listing of its work group, which isn't known.
    NotToBeHad,
}

/// The next step.
#[must_use]
pub fn decide(view: &View<'_>) -> Step {
    let step = pursue(view);
    if let Step::Wait(_) = step
        && view.object.finalizers().iter().any(|name| name == FINALIZER)
        && let Some((status, notices)) = status::due(view)
    {
        return Step::WriteStatus { status: Box::new(status), notices };
    }
    step
}

fn pursue(view: &View<'_>) -> Step {
    if !view.object.finalizers().iter().any(|name| name == FINALIZER) {
        return if view.is_deleted() { Step::Wait(None) } else { Step::AddFinalizer };
    }
    if view.is_deleted() && view.object.spec.deletion_policy == DeletionPolicy::Retain {
        return Step::LetGo { notice: status::retained(view) };
    }
    if let Some(problem) = status::scope_problem(view) {
        return Step::Wait(Some(interval(view, problem.reason)));
    }
    match view.evidence() {
        Evidence::None => call(view, Step::Describe),
        Evidence::Ended | Evidence::Absent if view.is_deleted() => Step::LetGo { notice: status::farewell(view) },
        Evidence::Ended => record_end(view),
        // Proven and final, as an end is.
        Evidence::Absent if view.once_seen() => Step::Wait(None),
        Evidence::Absent | Evidence::Missing(Proof::NotToBeHad) => look_for(view, view.timing.steady),
        Evidence::Missing(Proof::AnotherLook { after }) => look_for(view, after),
        Evidence::Missing(Proof::Listing { work_group }) => call(view, Step::Search { work_group }),
        Evidence::Alive(state) => match view.intent() {
            Some(reason) => end(view, state, reason),
            None => look_when_due(view),
        },
    }
}

/// A call to Athena, unless the last one failed a moment ago.
fn call(view: &View<'_>, step: Step) -> Step {
    match &view.knowledge.trouble {
        Some(trouble) if trouble.retry_at > view.now.tick => Step::Wait(Some(view.until(trouble.retry_at))),
        _ => step,
    }
}

fn end(view: &View<'_>, state: &SessionState, reason: TerminationReason) -> Step {
    let Some(seen) = &view.knowledge.seen else {
        return call(view, Step::Describe);
    };
    if seen.doubtful {
        return call(view, Step::Look);
    }
    if *state == SessionState::Terminating {
        return look_when_due(view);
    }
    let current = match view.knowledge.accepted_at {
        Some(accepted) => seen.at >= accepted + view.timing.recall,
        None => view.now.tick < seen.at + view.timing.steady,
    };
    match (current, view.knowledge.accepted_at) {
        (true, _) => terminate(view, reason),
        (false, Some(_)) => look_when_due(view),
        (false, None) => call(view, Step::Look),
    }
}

/// Why is recorded first. That write, or a read where it stands already, also shows that the object
/// still asks for it: what is cached may be old.
fn terminate(view: &View<'_>, reason: TerminationReason) -> Step {
    let step = call(view, Step::Terminate { reason });
    let recorded = view.recorded().is_some_and(|status| status.termination_requested_at.is_some());
    match step {
        Step::Terminate { .. } if !recorded => status::intent(view),
        Step::Terminate { .. } if !view.fresh => Step::Refresh,
        step => step,
    }
}

fn record_end(view: &View<'_>) -> Step {
    const TRIES: u32 = 5;
    let tried = view.knowledge.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
    let final_figures = view.knowledge.described == Described::AfterEnd;
    let to_be_had = tried < TRIES && view.knowledge.absence.is_none();
    if final_figures || !to_be_had { Step::Wait(None) } else { call(view, Step::Describe) }
}

/// Looks again `after` the first answer that the session doesn't exist, and from then on slowly.
fn look_for(view: &View<'_>, after: Duration) -> Step {
    let Some(absence) = &view.knowledge.absence else {
        return look_when_due(view);
    };
    let next = (absence.first + after).max(absence.last + after.min(view.timing.steady));
    if next > view.now.tick { Step::Wait(Some(view.until(next))) } else { call(view, read(view)) }
}

fn look_when_due(view: &View<'_>) -> Step {
    let Some(seen) = &view.knowledge.seen else {
        return call(view, Step::Describe);
    };
    let next = seen.at + status::verdict(view).map_or(view.timing.changing, |verdict| interval(view, verdict.reason));
    if next > view.now.tick { Step::Wait(Some(view.until(next))) } else { call(view, read(view)) }
}

fn interval(view: &View<'_>, reason: Reason) -> Duration {
    match reason.row().pace {
        Pace::Fast => view.timing.changing,
        Pace::Slow | Pace::BackOff | Pace::Never => view.timing.steady,
    }
}

fn read(view: &View<'_>) -> Step {
    if view.knowledge.described == Described::No { Step::Describe } else { Step::Look }
}

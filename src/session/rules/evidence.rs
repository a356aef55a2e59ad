//! What the answers prove about the session: that it lives, has ended, or is absent; and what an absence still needs
//! before it counts as proven. PURE.

use std::time::{Duration, Instant};

use super::facts::Facts;
use super::ownership::Ownership;
use crate::athena::types::{Account, Source};
use crate::session::observed::ANSWER_LIFE;
use crate::session::observed::{Absence, Seen};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence<'a> {
    /// Athena hasn't been asked, or hasn't answered.
    None,
    /// Not ended.
    Alive(&'a Seen),
    /// A list shows that it has ended, and nobody has asked Athena about this session since.
    Unconfirmed(&'a Seen),
    Ended,
    /// Athena says that the session doesn't exist. Holds what is still missing before the operator believes that.
    Missing(Proof<'a>),
    Absent,
}

/// What is wanted before a session counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'a> {
    /// Another answer that the session doesn't exist, at least this long after the first one.
    AnotherLook { after: Duration },
    /// Another answer that the session doesn't exist, now: the last one is too old, or from before the deletion.
    FreshLook,
    /// A complete listing of its work group, since the last answer.
    Listing { work_group: &'a str, after: Instant },
    /// An answer of GetCallerIdentity that all these answers came from the account that the session was seen in.
    Account,
    /// A proof that can't be had: the session's work group, or the account that it was seen in, isn't known.
    NotToBeHad,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(facts: &Facts<'a>, whose: &Ownership) -> Self {
        if !whose.may_know {
            return Self::None;
        }
        match (&facts.observed.session.seen, &facts.observed.session.absence) {
            // An end is final, also when Athena has forgotten the session since. An object that is being deleted may go
            // then, also where it isn't known whose the session was.
            (Some(seen), _) if seen.status.state.is_ended() && (whose.is_placed || facts.is_deleted()) => {
                if is_confirmed(facts, seen) {
                    Self::Ended
                } else {
                    Self::Unconfirmed(seen)
                }
            }
            (_, Some(absence)) => missing_proof(facts, absence).map_or(Self::Absent, Self::Missing),
            (Some(seen), None) if whose.is_placed => Self::Alive(seen),
            (_, None) => Self::None,
        }
    }
}

/// Whether an end that Athena showed counts. A list alone doesn't prove that a session has ended. It does where
/// TerminateSession was accepted for the session: then the list only shows what was asked for. It does, too, where Athena
/// says in answer to a call for the session that the session doesn't exist.
pub(super) fn is_confirmed(facts: &Facts<'_>, seen: &Seen) -> bool {
    let session = &facts.observed.session;
    seen.source == Source::Call || session.accepted_at.is_some() || session.absence.is_some()
}

fn missing_proof<'a>(facts: &Facts<'a>, absence: &Absence) -> Option<Proof<'a>> {
    // This process adopted the object and has never seen the session, so no earlier process has seen it either.
    let never_seen = !facts.once_seen() && facts.observed.adopted_here;
    let apart = if never_seen { facts.timing.changing } else { facts.timing.confirm_absence };
    if absence.last.duration_since(absence.first) < apart {
        return Some(Proof::AnotherLook { after: apart });
    }
    let mut newest = absence.last;
    if facts.once_seen() {
        let Some(work_group) = listable_work_group(facts) else { return Some(Proof::NotToBeHad) };
        let Some(unlisted_at) = absence.unlisted_at.filter(|unlisted_at| *unlisted_at >= absence.last) else {
            return Some(Proof::Listing { work_group, after: absence.last });
        };
        if facts.scope.confirmed_at < Some(unlisted_at) {
            return Some(Proof::Account);
        }
        newest = unlisted_at;
    }
    // A finalizer that is removed can't be put back. So the last answer must be fresh, and younger than the deletion.
    let is_old = facts.now.tick.duration_since(newest) > facts.timing.steady.max(ANSWER_LIFE);
    let is_earlier = facts.observed.deleted_at.is_some_and(|deleted| absence.last < deleted);
    (facts.is_deleted() && (is_old || is_earlier)).then_some(Proof::FreshLook)
}

/// The work group whose list can prove that a session is gone. None where the session was seen in another account, or was
/// recorded in another work group than it must be in, and Athena hasn't said which it is.
fn listable_work_group<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    let is_here = facts.account().is_some_and(|then| facts.scope.account == Account::Known(then.to_owned()));
    let expected = facts.access.work_group.as_deref();
    let differs = facts.recorded_work_group().zip(expected).is_some_and(|(one, other)| one != other);
    let is_disputed = differs && facts.observed.session.work_group.is_none();
    if is_here && !is_disputed { facts.work_group() } else { None }
}

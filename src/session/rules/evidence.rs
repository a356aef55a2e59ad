//! How the session stands, and what is still wanted before an absent one counts as gone. PURE.

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
    /// Athena says that it doesn't exist, and this is still wanted before it is believed.
    Missing(Proof<'a>),
    Absent,
}

/// What is wanted before a session counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'a> {
    /// The same answer again, so long after the first.
    AnotherLook { after: Duration },
    /// The same answer again, now.
    FreshLook,
    /// A complete listing of its work group, since the last answer.
    Listing { work_group: &'a str, after: Instant },
    /// That these answers came from the account that it was seen in.
    Account,
    /// A listing of its work group, where that or the account that it was seen in isn't known.
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
    // What this process took on itself and never saw is no session that an earlier process saw.
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
    // What is let go can't be taken back, and an answer from before the deletion may be over.
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

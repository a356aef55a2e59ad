//! S1, S2, S5, S8: the table of access. Each row is one combination of facts about who may use the session, and
//! `decide` must name the right step for each.
//!
//! A row ([`Row`]) says: what the AthenaWorkGroup and other objects mean for this object ([`On`]: granted, refused,
//! suspended, owned by another object, …), the state of the session, what the object asks for, whether the object has
//! the operator's finalizer, whether it was adopted before, whether its end may be called for, and whether a poller
//! shows the session. The rules are sentences of the design, as in [`crate::decision_table`].

use crate::core::{
    Access, AthenaSession, AthenaSessionStatus, DeletionPolicy, Denied, Described, Observed, OwnerRead, Seen,
    SessionState, Source, Step, Suspension, View, decide,
};
use crate::fixtures::{
    WORK_GROUP, at, claim, condition, home, minutes, object, recorded_as, seconds, status, time, view,
};

const NOW: std::time::Duration = minutes(100);

#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    Granted,
    Refused(Denied),
    /// The session is in another work group.
    Foreign,
    Closing,
    Opening,
    Suspended(Suspension),
    /// Another object owns the session. The flag is what the API server said a moment ago: does the owner exist?
    Owned(Option<bool>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Nothing,
    Terminate,
    Deleted,
    DeletedRetain,
}

/// The state in which the session was seen a moment ago. None: this process hasn't seen the session.
type Stands = Option<SessionState>;

#[derive(Clone, Debug)]
struct Row {
    on: On,
    stands: Stands,
    asked: Asked,
    held: bool,
    /// Whether the object had a grant once, and its session was seen then.
    adopted: bool,
    /// Whether the reason of the end is recorded, and the copy of the object is fresh.
    ready: bool,
    polled: bool,
}

fn rows() -> Vec<Row> {
    use Asked::*;
    let mut all = vec![On::Granted, On::Foreign, On::Closing, On::Opening];
    all.extend([Denied::WorkGroupRequired, Denied::WorkGroupNotFound, Denied::NamespaceNotAllowed].map(On::Refused));
    all.extend([Suspension::ReadOnly, Suspension::ObjectPaused, Suspension::WorkGroupPaused].map(On::Suspended));
    all.extend([None, Some(true), Some(false)].map(On::Owned));
    let states = [None, Some(SessionState::Idle), Some(SessionState::Terminating), Some(SessionState::Terminated)];
    let (both, mut rows) = ([false, true], Vec::new());
    for on in all {
        for stands in &states {
            for asked in [Nothing, Terminate, Deleted, DeletedRetain] {
                for (held, adopted) in [(false, false), (true, false), (true, true)] {
                    for ready in both {
                        for polled in both {
                            rows.push(Row { on, stands: stands.clone(), asked, held, adopted, ready, polled });
                        }
                    }
                }
            }
        }
    }
    rows
}

impl Row {
    fn object(&self) -> AthenaSession {
        let mut object = object();
        object.metadata.finalizers.take_if(|_| !self.held);
        object.spec.terminate = self.asked == Asked::Terminate;
        object.metadata.deletion_timestamp = self.deleted().then(|| time(NOW));
        if self.asked == Asked::DeletedRetain {
            object.spec.deletion_policy = DeletionPolicy::Retain;
        }
        if self.adopted {
            object.status = Some(recorded_as(&SessionState::Idle));
            if self.on == On::Foreign {
                // The session was recorded before the reference to this AthenaWorkGroup was set.
                object.status.as_mut().unwrap().work_group = Some("of-others".to_owned());
            }
        }
        if self.ready {
            object.status.get_or_insert_default().termination_requested_at = Some(time(NOW));
        }
        object
    }

    fn observed(&self) -> Observed {
        let mut observed = Observed::default();
        let just_now = at(NOW - seconds(1)).tick;
        if let Some(state) = &self.stands {
            observed.session.seen =
                Some(Seen { status: status(state), at: just_now, doubtful: false, source: Source::Call });
            observed.session.work_group =
                Some(if self.on == On::Foreign { "of-others" } else { WORK_GROUP }.to_owned());
            observed.session.described = Described::AfterEnd;
        }
        if let On::Owned(Some(stands)) = self.on {
            observed.session.owner = Some(Box::new(OwnerRead { uid: "older".to_owned(), at: just_now, stands }));
        }
        observed
    }

    fn access(&self) -> Access {
        let there = !matches!(self.on, On::Refused(Denied::WorkGroupNotFound | Denied::WorkGroupRequired));
        let bound = self.on != On::Refused(Denied::WorkGroupRequired);
        Access {
            reference: bound.then(|| "spark".to_owned()),
            work_group: there.then(|| WORK_GROUP.to_owned()),
            account: None,
            denied: if let On::Refused(refusal) = self.on { Some(refusal) } else { None },
            is_terminating: self.on == On::Closing,
            lacks_finalizer: self.on == On::Opening,
            suspension: if let On::Suspended(suspension) = self.on { Some(suspension) } else { None },
            owner: matches!(self.on, On::Owned(_)).then(|| claim("older")),
            is_contested: matches!(self.on, On::Owned(_)),
            ..Access::default()
        }
    }

    fn step(&self, object: &AthenaSession) -> Step {
        let (observed, access, scope) = (self.observed(), self.access(), home());
        let view = view(object, &observed, &scope, at(NOW));
        decide(&View { fresh: self.ready, access: &access, polled: self.polled, ..view })
    }

    // The words that the rules are written in.

    fn deleted(&self) -> bool {
        matches!(self.asked, Asked::Deleted | Asked::DeletedRetain)
    }

    /// The session is known to be in another work group.
    fn foreign(&self) -> bool {
        self.on == On::Foreign && self.stands.is_some()
    }

    fn ended(&self) -> bool {
        self.stands == Some(SessionState::Terminated)
    }

    /// Whether the object may learn anything of the session.
    fn may_know(&self) -> bool {
        let granted = !matches!(self.on, On::Refused(_)) || self.adopted;
        self.held && granted && !self.foreign() && !matches!(self.on, On::Owned(_))
    }

    /// S1, S5: whether the object may end the session.
    fn may_end(&self) -> bool {
        self.may_know() && !matches!(self.on, On::Refused(_) | On::Suspended(_))
    }

    fn end_wanted(&self) -> bool {
        matches!(self.asked, Asked::Terminate | Asked::Deleted)
    }
}

#[rustfmt::skip]
fn rules(row: &Row, step: &Step) -> Vec<(&'static str, bool, bool)> {
    let unfinished = row.held && row.asked != Asked::DeletedRetain;
    let wants_end = row.end_wanted() && row.may_end() && row.stands == Some(SessionState::Idle);
    vec![
        ("S5: the finalizer is added where there is a grant, a work group that neither comes nor goes, and no other owner",
            !row.held && !row.deleted() && matches!(row.on, On::Granted | On::Foreign | On::Suspended(_)),
            *step == Step::AddFinalizer),
        ("S2: the finalizer goes on Retain, on an end, for a session that was never this object's, and where the owner certainly exists",
            row.held && row.deleted() && (row.asked == Asked::DeletedRetain
                || row.on == On::Owned(Some(true))
                || row.ended() && row.may_know()
                || row.foreign() && (!row.adopted || row.ended())),
            matches!(step, Step::RemoveFinalizer { .. })),
        ("the owner is read before an object goes because another one owns the session",
            unfinished && row.deleted() && row.on == On::Owned(None), matches!(step, Step::GetOwner { .. })),
        ("S1, S5: TerminateSession is called with a grant, without a suspension, for the object's own session",
            wants_end && row.ready, matches!(step, Step::TerminateSession { .. })),
        ("a session that wasn't seen yet is asked for, by the poller where there is one",
            unfinished && row.may_know() && row.stands.is_none() && !row.polled
                && row.on != On::Refused(Denied::WorkGroupNotFound),
            matches!(step, Step::GetSession)),
        ("nothing else is called",
            false, matches!(step, Step::GetSessionStatus | Step::ListSessions { .. } | Step::GetCallerIdentity | Step::GetObject)
                && (row.ready || !wants_end)),
    ]
}

#[test]
fn every_row_of_access_follows_the_rules_of_the_design() {
    for row in rows() {
        let step = row.step(&row.object());
        for (rule, right, is) in rules(&row, &step) {
            assert_eq!(right, is, "{rule}\n{row:#?}\ntook {step:?}");
        }
    }
}

/// S8, L2: a status shows nothing of a session that isn't the object's, and no status is written twice.
#[test]
fn every_status_shows_only_what_the_object_may_know() {
    let mut count = 0;
    for row in rows() {
        let mut object = row.object();
        let Step::WriteStatus { status, .. } = row.step(&object) else { continue };
        count += 1;
        if !row.may_know() {
            let before = object.status.clone().unwrap_or_default();
            let facts = |it: &AthenaSessionStatus| {
                (
                    it.state.clone(),
                    it.work_group.clone(),
                    it.started_at.clone(),
                    it.ended_at.clone(),
                    it.account_id.clone(),
                )
            };
            assert_eq!(facts(&status), facts(&before), "{row:#?}");
            assert!(condition(&status, "Terminated").is_none_or(|it| it.status == "False"), "{row:#?}");
            let recorded = before.termination_requested_at.is_some();
            assert!(recorded || status.termination_requested_at.is_none(), "{row:#?}");
        }
        object.status = Some(*status);
        let second = row.step(&object);
        assert!(!matches!(second, Step::WriteStatus { .. }), "{row:#?}\nthen {second:?}");
    }
    assert!(count > 200, "only {count} writes");
}

/// L1: an object that waits without a time to wake is woken by a change of the object or of its AthenaWorkGroup.
#[test]
fn every_row_that_only_waits_is_woken_by_a_watched_change() {
    for row in rows() {
        let mut object = row.object();
        if let Step::WriteStatus { status, .. } = row.step(&object) {
            object.status = Some(*status);
        }
        if row.step(&object) != Step::Wait(None) {
            continue;
        }
        let over = row.ended() && row.may_know() || !row.held && row.deleted();
        let never_changes = row.foreign();
        let watched = matches!(row.on, On::Closing | On::Opening | On::Refused(Denied::WorkGroupRequired));
        assert!(over || never_changes || watched, "{row:#?} is never looked at again");
    }
}

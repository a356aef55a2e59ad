//! S1, S2, S4: the decision table. Each of its 200,000 rows is one combination of facts, and `decide` must name the
//! right step for each.
//!
//! A row ([`Row`]) says: how the session stands (its state and how old that knowledge is, or what an absence still
//! lacks), what the object asks for (nothing, an end, a deletion, with or without Retain), which finalizers the object
//! has, which error the last call had, whether the reason of the end is recorded, whether the copy of the object is
//! fresh, and whether calls go to the account and Region of the record.
//!
//! The rules ([`rules`]) are sentences of the design. Each rule says for which rows exactly one step is right. A row
//! where the step differs from a rule, in either direction, fails the test. No rule follows the structure of `decide`.

use crate::core::{
    Absence, Account, AthenaSession, CallerContext, DeletionPolicy, Described, ErrorClass, FINALIZER, Observed,
    Operation, Seen, SessionState, Source, Step, Trouble, View, decide,
};
use crate::fixtures::{
    WORK_GROUP, at, elsewhere, error, home, minutes, object, recorded_as, seconds, states, status, time, view,
};
use crate::world::{Event, World};

/// How the session stands.
#[derive(Clone, Debug, PartialEq)]
enum Stands {
    /// This process has seen the session in this state.
    Seen(SessionState, History),
    /// Athena hasn't answered this process. `recorded`: an earlier process saw the session.
    Unasked { recorded: bool },
    /// Athena answered once, so long ago, that the session doesn't exist.
    MissingOnce { once_seen: bool, ago: u64 },
    /// Athena answered twice, far enough apart, that the session doesn't exist. No list has been made since.
    Unlisted { work_group: bool },
    /// As `Unlisted`, and a list lacks the session. Since then the account hasn't been confirmed.
    Unidentified,
    /// The session is proven absent.
    Absent { once_seen: bool },
    /// The session was proven absent a while ago.
    AbsentSince { once_seen: bool },
}

/// What happened since the session was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum History {
    /// The session was seen a moment ago.
    Current,
    /// The session was seen too long ago to act on.
    Old,
    /// TerminateSession was accepted a moment ago.
    Accepted,
    /// TerminateSession was accepted, and `terminate_again` later the session was seen as it was before.
    WithoutEffect,
    /// TerminateSession was sent and its answer was lost.
    Doubtful,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Nothing,
    Terminate,
    Deleted,
    DeletedRetain,
    TerminateDeleted,
    TerminateDeletedRetain,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Finalizers {
    None,
    Ours,
    Foreign,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Home,
    OtherAccount,
    OtherRegion,
    AccountUnknown,
}

#[derive(Clone, Debug)]
struct Row {
    stands: Stands,
    asked: Asked,
    finalizers: Finalizers,
    /// The last call of this operation failed with this error. The flag says whether the call may be repeated by now.
    error: Option<(Operation, ErrorClass, bool)>,
    /// Whether the reason of the end is recorded.
    recorded: bool,
    fresh: bool,
    place: Place,
}

const ASKED: [Asked; 6] = {
    use Asked::*;
    [Nothing, Terminate, Deleted, DeletedRetain, TerminateDeleted, TerminateDeletedRetain]
};

const NOW: std::time::Duration = minutes(100);

fn standings() -> Vec<Stands> {
    use History::*;
    let mut all = Vec::new();
    for state in states() {
        for history in [Current, Old, Accepted, WithoutEffect, Doubtful] {
            all.push(Stands::Seen(state.clone(), history));
        }
    }
    for once_seen in [true, false] {
        all.push(Stands::Unasked { recorded: once_seen });
        all.push(Stands::Absent { once_seen });
        all.push(Stands::AbsentSince { once_seen });
        all.push(Stands::MissingOnce { once_seen, ago: 1 });
        all.push(Stands::MissingOnce { once_seen, ago: 61 });
    }
    all.push(Stands::Unidentified);
    all.push(Stands::Unlisted { work_group: true });
    all.push(Stands::Unlisted { work_group: false });
    all
}

fn rows() -> impl Iterator<Item = Row> {
    let mut errors = vec![None];
    for operation in [Operation::GetSessionStatus, Operation::TerminateSession] {
        let both = ErrorClass::ALL.into_iter().flat_map(|class| [(operation, class, false), (operation, class, true)]);
        errors.extend(both.map(Some));
    }
    let both = [false, true];
    standings().into_iter().flat_map(move |stands| {
        let mut rows = Vec::new();
        for asked in ASKED {
            for finalizers in [Finalizers::None, Finalizers::Ours, Finalizers::Foreign, Finalizers::Both] {
                for &error in &errors {
                    for recorded in both {
                        for fresh in both {
                            for place in [Place::Home, Place::OtherAccount, Place::OtherRegion, Place::AccountUnknown] {
                                let stands = stands.clone();
                                rows.push(Row { stands, asked, finalizers, error, recorded, fresh, place });
                            }
                        }
                    }
                }
            }
        }
        rows
    })
}

impl Row {
    fn object(&self) -> AthenaSession {
        use Asked::*;
        let mut object = object();
        object.metadata.finalizers = match self.finalizers {
            Finalizers::None => None,
            Finalizers::Ours => Some(vec![FINALIZER.to_owned()]),
            Finalizers::Foreign => Some(vec!["example.com/other".to_owned()]),
            Finalizers::Both => Some(vec!["example.com/other".to_owned(), FINALIZER.to_owned()]),
        };
        object.spec.terminate = matches!(self.asked, Terminate | TerminateDeleted | TerminateDeletedRetain);
        if !matches!(self.asked, Nothing | Terminate) {
            object.metadata.deletion_timestamp = Some(time(NOW));
        }
        if matches!(self.asked, DeletedRetain | TerminateDeletedRetain) {
            object.spec.deletion_policy = DeletionPolicy::Retain;
        }
        if self.once_seen() {
            object.status = Some(recorded_as(&SessionState::Idle));
        }
        if self.stands == (Stands::Unlisted { work_group: false }) {
            object.status.as_mut().unwrap().work_group = None;
        }
        if self.recorded {
            object.status.get_or_insert_default().termination_requested_at = Some(time(NOW));
        }
        object
    }

    fn observed(&self) -> Observed {
        let mut observed = Observed::default();
        let tick = |before| at(NOW - before).tick;
        let missing = |first, last, unlisted: Option<_>| {
            let error = error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid);
            Some(Box::new(Absence { first: tick(first), last: tick(last), error, unlisted_at: unlisted.map(tick) }))
        };
        match &self.stands {
            Stands::Unasked { .. } => {}
            Stands::Seen(state, history) => {
                let (seen, accepted) = match history {
                    History::Current | History::Doubtful => (seconds(1), None),
                    History::Old => (seconds(61), None),
                    History::Accepted => (seconds(1), Some(seconds(3))),
                    History::WithoutEffect => (seconds(1), Some(seconds(61))),
                };
                let doubtful = *history == History::Doubtful;
                let source = Source::Call;
                observed.session.seen = Some(Seen { status: status(state), at: tick(seen), doubtful, source });
                observed.session.looked_at = Some(tick(seen));
                observed.session.accepted_at = accepted.map(tick);
                observed.session.work_group = Some(WORK_GROUP.to_owned());
                observed.session.described = Described::Yes;
            }
            Stands::MissingOnce { ago, .. } => observed.session.absence = missing(seconds(*ago), seconds(*ago), None),
            Stands::Unlisted { .. } => observed.session.absence = missing(seconds(70), seconds(5), None),
            Stands::Unidentified => observed.session.absence = missing(seconds(70), seconds(2), Some(seconds(1))),
            Stands::Absent { .. } => observed.session.absence = missing(seconds(70), seconds(5), Some(seconds(4))),
            Stands::AbsentSince { .. } => {
                observed.session.absence = missing(seconds(150), seconds(80), Some(seconds(79)));
            }
        }
        observed.adopted_here = !self.once_seen();
        if let Some((operation, class, again)) = self.error {
            let retry_at = if again { at(NOW).tick } else { at(NOW + seconds(30)).tick };
            let trouble = Some(Box::new(Trouble {
                error: error(operation, class),
                at: at(NOW - seconds(1)).tick,
                attempts: 3,
                retry_at,
            }));
            match operation {
                Operation::TerminateSession => observed.session.end_trouble = trouble,
                _ => observed.session.trouble = trouble,
            }
        }
        observed
    }

    fn scope(&self) -> CallerContext {
        let ago = if matches!(self.stands, Stands::AbsentSince { .. }) { seconds(78) } else { seconds(3) };
        let home = CallerContext { confirmed_at: Some(at(NOW - ago).tick), ..home() };
        match self.place {
            Place::Home => home,
            Place::OtherAccount => elsewhere(),
            Place::OtherRegion => CallerContext { region: Some("us-east-1".to_owned()), ..home },
            Place::AccountUnknown => {
                CallerContext { account: Account::Unknown("no answer".to_owned()), confirmed_at: None, ..home }
            }
        }
    }

    // The words that the rules are written in.

    fn ours(&self) -> bool {
        matches!(self.finalizers, Finalizers::Ours | Finalizers::Both)
    }

    fn deleted(&self) -> bool {
        !matches!(self.asked, Asked::Nothing | Asked::Terminate)
    }

    fn retained(&self) -> bool {
        matches!(self.asked, Asked::DeletedRetain | Asked::TerminateDeletedRetain)
    }

    fn end_wanted(&self) -> bool {
        !matches!(self.asked, Asked::Nothing | Asked::DeletedRetain)
    }

    fn once_seen(&self) -> bool {
        match self.stands {
            Stands::Seen(..) | Stands::Unlisted { .. } | Stands::Unidentified => true,
            Stands::Unasked { recorded } => recorded,
            Stands::MissingOnce { once_seen, .. }
            | Stands::Absent { once_seen }
            | Stands::AbsentSince { once_seen } => once_seen,
        }
    }

    fn ended(&self) -> bool {
        matches!(
            &self.stands,
            Stands::Seen(SessionState::Terminated | SessionState::Failed | SessionState::Ended(_), _)
        )
    }

    fn absent(&self) -> bool {
        matches!(self.stands, Stands::Absent { .. })
    }

    fn alive(&self) -> bool {
        matches!(self.stands, Stands::Seen(..)) && !self.ended()
    }

    /// S4: calls go to another account or Region than the recorded one. Where this process has seen the session, the
    /// record doesn't matter.
    fn in_the_wrong_place(&self) -> bool {
        self.place != Place::Home && self.once_seen() && !matches!(self.stands, Stands::Seen(..))
    }

    /// Whether a call may be made that only reads.
    fn may_read(&self) -> bool {
        self.may_call() && !matches!(self.error, Some((Operation::GetSessionStatus, _, false)))
    }

    fn reading_fails(&self) -> bool {
        matches!(self.error, Some((Operation::GetSessionStatus, ..)))
    }

    /// Whether TerminateSession may be called.
    fn may_end(&self) -> bool {
        self.may_call() && !matches!(self.error, Some((Operation::TerminateSession, _, false)))
    }

    fn may_call(&self) -> bool {
        self.ours() && !self.retained() && !self.in_the_wrong_place()
    }

    /// TerminateSession is the right call, if a fresh copy of the object still asks for the end.
    fn ready_to_terminate(&self) -> bool {
        let Stands::Seen(state, history) = &self.stands else { return false };
        let unseen = *history == History::Old && self.reading_fails();
        let due = matches!(history, History::Current | History::WithoutEffect) || unseen;
        self.may_end() && self.end_wanted() && self.alive() && *state != SessionState::Terminating && due
    }
}

fn step(row: &Row, object: &AthenaSession, fresh: bool) -> Step {
    let (observed, scope) = (row.observed(), row.scope());
    decide(&View { fresh, ..view(object, &observed, &scope, at(NOW)) })
}

/// The rules: each one's sentence, whether its step is right for this row, and whether that step was taken.
#[rustfmt::skip]
fn rules(row: &Row, step: &Step) -> Vec<(&'static str, bool, bool)> {
    let is_call = matches!(step, Step::GetSession | Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd | Step::ListSessions { .. } | Step::TerminateSession { .. });
    let intent_write = matches!(step, Step::WriteStatus { status, .. } if status.termination_requested_at.is_some());
    let never_described = matches!(row.stands, Stands::Unasked { .. });
    let ready = row.ready_to_terminate();
    vec![
        ("the finalizer is added to each object that lacks it and isn't being deleted, and to no other",
            !row.ours() && !row.deleted(), *step == Step::AddFinalizer),
        ("without our finalizer there is nothing else to do",
            !row.ours() && row.deleted(), !row.ours() && *step == Step::Wait(None)),
        ("S2: the finalizer of a deleted object goes on Retain, an end or a proven absence, and on nothing else",
            row.ours() && row.deleted() && (row.retained() || !row.in_the_wrong_place() && (row.ended() || row.absent())),
            matches!(step, Step::RemoveFinalizer { .. })),
        ("S1: TerminateSession is called where a fresh copy asks for the end, the reason is recorded, and the session is active",
            ready && row.recorded && row.fresh, matches!(step, Step::TerminateSession { .. })),
        ("a cached copy is read again before TerminateSession",
            ready && row.recorded && !row.fresh, *step == Step::GetObject),
        ("the reason is recorded before TerminateSession",
            ready && !row.recorded, ready && intent_write),
        ("GetSession is asked first, and for an ended session's last figures",
            row.may_read() && (never_described || row.ended() && !row.deleted()
                || matches!(row.stands, Stands::MissingOnce { ago: 61, .. })
                || matches!(row.stands, Stands::AbsentSince { once_seen } if row.deleted() || !once_seen)),
            *step == Step::GetSession),
        ("a session whose state is doubtful or old is looked at before it is ended; no other session is due for a look",
            row.may_read() && match &row.stands {
                // A failing look must not hold up an end.
                Stands::Seen(state, history) => row.alive() && (
                    *history == History::Old && !(row.end_wanted() && row.reading_fails() && *state != SessionState::Terminating)
                    || row.end_wanted() && *history == History::Doubtful),
                _ => false,
            },
            *step == Step::GetSessionStatus),
        ("the account of the search is confirmed before the session counts as absent",
            row.may_read() && row.stands == Stands::Unidentified, *step == Step::GetCallerIdentity),
        ("a session that was seen once is searched for before it counts as absent",
            row.may_read() && row.stands == (Stands::Unlisted { work_group: true }), matches!(step, Step::ListSessions { .. })),
        ("S4, back-off: no call to the wrong account or Region, and none before the retry's time",
            !is_call || if matches!(step, Step::TerminateSession { .. }) { row.may_end() } else { row.may_read() }, true),
    ]
}

#[test]
fn every_row_follows_the_rules_of_the_design() {
    let mut count = 0;
    for row in rows() {
        let taken = step(&row, &row.object(), row.fresh);
        for (rule, right, is) in rules(&row, &taken) {
            assert_eq!(right, is, "{rule}\n{row:#?}\ntook {taken:?}");
        }
        count += 1;
    }
    assert!(count > 200_000, "only {count} rows");
}

/// L2: a status that was written isn't written again. For that reason a pass comes to an end, too.
#[test]
fn no_row_writes_the_same_status_twice() {
    for row in rows().filter(Row::ours) {
        let mut object = row.object();
        let first = step(&row, &object, row.fresh);
        let Step::WriteStatus { status, .. } = first else { continue };
        object.status = Some(*status);
        let second = step(&row, &object, true);
        assert!(!matches!(second, Step::WriteStatus { .. }), "{row:#?}\nfirst {object:#?}\nthen {second:?}");
    }
}

/// L1: only an object whose session has ended, and which isn't being deleted, waits without a time to wake.
#[test]
fn every_row_that_waits_for_nothing_is_settled() {
    for row in rows().filter(Row::ours) {
        if step(&row, &row.object(), row.fresh) == Step::Wait(None) {
            let settled = row.ended() || row.absent();
            assert!(settled && !row.deleted(), "{row:#?} is never looked at again");
        }
    }
}

/// States of a session, and the steps of a pass in each of these states.
type StepsOfStates = (&'static str, &'static str);

/// The steps of the first pass over an object, from its first look at the session to the wait at the end, or to the
/// removal of the finalizer. The object is kept, asks for an end, or is deleted; TerminateSession answers TERMINATING.
#[test]
fn the_first_pass_over_an_object_in_each_state_of_its_session() {
    let deleted_with_retain = vec![Event::SetPolicy(DeletionPolicy::Retain), Event::Delete];
    let every_state = "CREATING CREATED IDLE BUSY TERMINATING TERMINATED DEGRADED FAILED HIBERNATING none";
    let table: [(&[Event], &[StepsOfStates]); 4] = [
        (
            &[],
            &[
                ("CREATING CREATED TERMINATING none", "GetSession WriteStatus Wait(2s)"),
                ("IDLE BUSY DEGRADED HIBERNATING", "GetSession WriteStatus Wait(60s)"),
                ("TERMINATED FAILED", "GetSession WriteStatus Wait"),
            ],
        ),
        (
            &[Event::SetTerminate],
            &[
                (
                    "CREATING CREATED IDLE BUSY DEGRADED HIBERNATING",
                    "GetSession WriteStatus TerminateSession WriteStatus Wait(2s)",
                ),
                ("TERMINATING none", "GetSession WriteStatus Wait(2s)"),
                ("TERMINATED FAILED", "GetSession WriteStatus Wait"),
            ],
        ),
        (
            &[Event::Delete],
            &[
                ("CREATING CREATED IDLE BUSY DEGRADED HIBERNATING", "GetSession WriteStatus TerminateSession Wait(2s)"),
                ("TERMINATING none", "GetSession WriteStatus Wait(2s)"),
                ("TERMINATED FAILED", "GetSession RemoveFinalizer"),
            ],
        ),
        (&deleted_with_retain, &[(every_state, "RemoveFinalizer")]),
    ];
    for (events, rows) in table {
        let cells: Vec<_> =
            rows.iter().flat_map(|(states, steps)| states.split(' ').map(move |state| (state, *steps))).collect();
        assert_eq!(cells.len(), 10, "each state stands in one row");
        for (state, steps) in cells {
            let mut world = World::with((state != "none").then(|| SessionState::from(state)));
            events.iter().for_each(|event| world.event(event));
            world.pass();
            assert_eq!(world.told(), steps, "{state} after {events:?}");
        }
    }
}

//! AWS denies a right. Whatever doesn't need this right goes on, and nothing is concluded that only the denied call
//! could show.

use std::time::Duration;

use crate::core::{CallError, ErrorClass, Observed, Operation, SessionState};
use crate::fixtures::{SESSION, TIMING, at, condition, error, minutes, seconds, states};
use crate::world::{Event, Poller, World, reason};

const DENIED: (Operation, ErrorClass) = (Operation::GetSession, ErrorClass::Denied);
const UNLISTED: (Operation, ErrorClass) = (Operation::ListSessions, ErrorClass::Denied);

/// The cases that differ where GetSession is denied.
#[derive(Clone, Debug)]
struct Row {
    state: SessionState,
    asked: Option<Event>,
    /// The object refers to an AthenaWorkGroup.
    is_bound: bool,
    /// The session is in that work group.
    is_there: bool,
    is_contested: bool,
    may_list: bool,
    poller: Poller,
}

fn rows() -> Vec<Row> {
    let both = [true, false];
    let mut rows = Vec::new();
    let tried =
        |state: &SessionState| !matches!(state, SessionState::Created | SessionState::Busy | SessionState::Degraded);
    for state in states().filter(tried) {
        for asked in [None, Some(Event::SetTerminate), Some(Event::Delete)] {
            for (is_bound, is_there) in [(false, true), (true, true), (true, false)] {
                for is_contested in both {
                    for may_list in both {
                        for poller in [Poller::Off, Poller::AskYourself, Poller::Shows { lag: seconds(0) }] {
                            let (state, asked) = (state.clone(), asked.clone());
                            rows.push(Row { state, asked, is_bound, is_there, is_contested, may_list, poller });
                        }
                    }
                }
            }
        }
    }
    rows
}

impl Row {
    fn world(&self) -> World {
        let mut world =
            if self.is_bound { World::bound(self.state.clone()) } else { World::with(Some(self.state.clone())) };
        if !self.is_there {
            world.around.real = "of-others";
        }
        (world.around.is_contested, world.around.poller) = (self.is_contested, self.poller);
        world.outages.push(DENIED);
        if !self.may_list {
            world.outages.push(UNLISTED);
        }
        world
    }

    /// Whether anything but GetSession tells that the session is the object's.
    fn is_shown(&self) -> bool {
        if !self.is_bound {
            return !self.is_contested;
        }
        self.is_there && (self.may_list || matches!(self.poller, Poller::Shows { .. }))
    }
}

/// S1, L1: another call must show that the session is the object's.
#[test]
fn a_denied_getsession_holds_up_no_end_and_makes_none() {
    for row in rows() {
        let mut world = row.world();
        world.run_for(minutes(1));
        if let Some(asked) = &row.asked {
            world.event(asked);
        }
        world.run_for(minutes(6));
        assert_eq!(world.breach, None, "{row:?}");
        let was_active = !row.state.is_ended() && row.state != SessionState::Terminating;
        let ends = world.count(Operation::TerminateSession);
        let is_ended = row.is_shown() && row.asked.is_some() && was_active;
        assert_eq!(ends > 0, is_ended, "{row:?}: {ends} calls");
        let is_over = world.session.as_ref().is_some_and(SessionState::is_ended);
        assert_eq!(is_over, is_ended || row.state.is_ended(), "{row:?}: {:?}", world.session);
        if row.asked == Some(Event::Delete) {
            assert_eq!(world.object.is_none(), is_over, "{row:?}");
        } else if !row.is_shown() {
            let status = world.recorded();
            let ready = condition(status, "Ready").unwrap();
            assert_eq!((status.state.as_deref(), ready.reason.as_str()), (None, "AccessDenied"), "{row:?}");
            assert!(ready.message.contains("athena:GetSession "), "{row:?}: {}", ready.message);
        } else {
            assert_eq!(world.recorded().state.as_deref(), world.session.as_ref().map(SessionState::as_str), "{row:?}");
        }
    }
}

#[test]
fn a_denied_getsession_is_told_of_a_session_that_can_be_used() {
    let mut world = World::with(Some(SessionState::Idle));
    world.outages.push(DENIED);
    world.run_for(minutes(60));
    assert_eq!(reason(&world), "GetSessionDenied");
    assert_eq!(condition(world.recorded(), "Active").unwrap().status, "True");
    let stalled = condition(world.recorded(), "Stalled").unwrap();
    assert!(stalled.message.contains("Allow athena:GetSession to"), "{}", stalled.message);
    // L2: one status, and at most one GetSession and one GetSessionStatus a minute.
    assert_eq!(world.writes.len(), 1, "{:?}", world.writes);
    assert!(world.calls.len() <= 2 * 61, "{} calls", world.calls.len());
    world.outages.clear();
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "Running");
}

/// L2: nothing shows whose the session is.
#[test]
fn without_a_known_work_group_little_is_asked_nothing_written() {
    let mut world = World::bound(SessionState::Idle);
    world.around.real = "of-others";
    world.outages.push(DENIED);
    world.run_for(minutes(10));
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.is_empty(), "{:?}", world.writes);
    assert!(world.calls.len() <= 2 * 60 + 60 / 5 * 10, "{} calls", world.calls.len());
    world.outages.clear();
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "WrongWorkGroup");
}

/// After a restart a list shows the mark of a session that the object started, as GetSession would.
#[test]
fn a_list_identifies_a_started_session_without_get_session() {
    for asked in [Event::SetTerminate, Event::Delete] {
        let mut world = World::starting();
        world.run_for(minutes(1));
        assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION));
        world.outages.push(DENIED);
        world.event(&Event::Restart);
        world.event(&asked);
        world.run_for(minutes(10));
        assert_eq!(world.breach, None, "{asked:?}");
        assert!(world.session.as_ref().is_some_and(SessionState::is_ended), "{asked:?}: {:?}", world.session);
    }
}

/// S2: without GetSession and lists nothing shows that the session is the object's.
#[test]
fn an_unseen_started_session_names_the_missing_right() {
    let mut world = World::starting();
    world.run_for(minutes(1));
    world.outages.extend([DENIED, UNLISTED]);
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    world.run_for(minutes(30));
    assert_eq!((world.breach.as_deref(), world.count(Operation::TerminateSession)), (None, 0));
    assert!(world.object.is_some());
    let told = &condition(world.recorded(), "Stalled").unwrap().message;
    assert!(told.contains("Allow athena:GetSession to"), "{told}");
    world.outages.clear();
    assert!(world.run_until(world.elapsed + minutes(5), |world| world.object.is_none()));
    assert!(world.session.as_ref().is_some_and(SessionState::is_ended));
}

/// L2: AWS names one missing right after the other, each with the same error code.
#[test]
fn another_missing_right_is_told_anew_and_the_same_one_isnt() {
    let denied = |action: &str, user: &str| {
        let message = format!("User: {user} is not authorized to perform: {action} on resource: arn:x");
        CallError { message, ..error(Operation::StartSession, ErrorClass::Denied) }
    };
    let mut observed = Observed::default();
    let mut told = |error: CallError| {
        observed.failed(error, at(Duration::ZERO), &TIMING, 1.0);
        observed.start.trouble.as_ref().unwrap().error.message.clone()
    };
    let first = told(denied("athena:TagResource", "one"));
    assert_eq!(told(denied("athena:TagResource", "two")), first);
    assert!(told(denied("iam:PassRole", "two")).contains("iam:PassRole"));
}

/// Only the message of a refused request says what is wrong with the request.
#[test]
fn a_request_that_is_refused_in_other_words_is_told_anew() {
    let invalid = |class, words: &str| CallError { message: words.to_owned(), ..error(Operation::StartSession, class) };
    let mut observed = Observed::default();
    for (class, words) in [
        (ErrorClass::NotFoundOrInvalid, "not Spark"),
        (ErrorClass::NotFoundOrInvalid, "above the quota"),
        (ErrorClass::NoCapacity, "Maximum allowed sessions"),
    ] {
        observed.failed(invalid(class, words), at(Duration::ZERO), &TIMING, 1.0);
        let told = &observed.start.trouble.as_ref().unwrap().error;
        assert_eq!((told.class, told.message.as_str()), (class, words));
    }
}

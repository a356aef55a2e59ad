//! What an absence needs to count: where, in which order, how fresh; and what must not hold up an end.

use std::time::Duration;

use crate::core::{
    CallerContext, ErrorClass, Evidence, ListAnswer, ListRequest, Observed, Operation, Session, SessionState, Shown,
    Sought, Step, decide, evidence,
};
use crate::fixtures::{
    HOME, SESSION, TIMING, WORK_GROUP, at, elsewhere, error, home, lacking, minutes, object, recorded_as, seconds,
    status, time, view,
};
use crate::world::{Event, World, reason};

/// The account that STS says from now on.
fn moved_to(world: &World, scope: CallerContext) -> CallerContext {
    let now = Some(at(world.elapsed).tick);
    CallerContext { confirmed_at: now, since: now, ..scope }
}

/// A list is wanted, for the object's session.
fn wanted() -> ListRequest {
    let sought = Sought::Session(SESSION.to_owned());
    ListRequest { work_group: WORK_GROUP.to_owned(), sought, since: None, after: None, is_pressing: true }
}

/// An end is asked for while calls go to another account (with a work group of this name, "primary"
/// say), where the session isn't; STS says so, and somebody puts it right.
fn astray(asked: &Event) -> World {
    let mut world = World::adopted(SessionState::Idle);
    let running = world.session.take();
    world.outages.push((Operation::GetCallerIdentity, ErrorClass::Unavailable));
    world.event(asked);
    world.run_for(minutes(4));
    assert!(world.count(Operation::ListSessions) > 0);
    world.scope = moved_to(&world, elsewhere());
    world.outages.clear();
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "WrongAccount");
    world.session = running;
    world.scope = moved_to(&world, home());
    world
}

/// The account that the status names after the credentials changed is still that of the session.
#[test]
fn a_change_of_account_doesnt_rewrite_the_recorded_account() {
    let mut world = World::adopted(SessionState::Idle);
    world.scope = elsewhere();
    world.run_for(minutes(3));
    assert_eq!(reason(&world), "WrongAccount");
    assert_eq!(world.recorded().account_id.as_deref(), Some(HOME));
}

/// And after a restart there, a deletion lets go of the running session.
#[test]
fn after_a_change_of_account_and_a_restart_the_object_stays() {
    let mut world = World::adopted(SessionState::Idle);
    world.scope = elsewhere();
    world.run_for(minutes(3));
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    world.run_for(minutes(10));
    assert!(world.object.is_some(), "let go; session {:?}; breach {:?}; {}", world.session, world.breach, world.told());
}

/// Answers from another account don't count once the credentials are back.
#[test]
fn answers_from_another_account_prove_nothing_later() {
    let mut world = astray(&Event::Delete);
    world.run_for(minutes(3));
    assert_eq!(world.breach, None, "{}", world.told());
}

/// The same for a kept object: its session runs for ever as "Ended".
#[test]
fn answers_from_another_account_end_nothing() {
    let mut world = astray(&Event::SetTerminate);
    world.run_for(minutes(30));
    assert_eq!(world.session, Some(SessionState::Terminated), "status says {}", reason(&world));
}

/// STS is asked after the listing too.
#[test]
fn the_account_is_confirmed_after_the_listing() {
    let mut observed = Observed::default();
    let idle = status(&SessionState::Idle);
    observed
        .described(
            Session { status: idle, work_group: WORK_GROUP.to_owned(), dpu_execution_millis: None },
            at(seconds(0)),
        )
        .unwrap();
    observed.answered_in(&home());
    for second in [10, 70] {
        observed.failed(
            error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid),
            at(seconds(second)),
            &TIMING,
            1.0,
        );
    }
    // The periodic GetCallerIdentity; then the credentials change, and the listing is that of another account.
    let scope = CallerContext { confirmed_at: Some(at(seconds(71)).tick), ..home() };
    observed.listed(&wanted(), lacking(at(seconds(72)), at(seconds(75))), &scope, at(seconds(75)), &TIMING);
    let mut object = object();
    object.status = Some(recorded_as(&SessionState::Idle));
    let view = view(&object, &observed, &scope, at(seconds(76)));
    assert_ne!(evidence(&view), Evidence::Absent);
}

/// Trouble with listing is over when the session is seen.
#[test]
fn trouble_with_a_listing_that_isnt_wanted_any_more_is_over() {
    let mut world = World::adopted(SessionState::Idle);
    let running = world.session.take();
    world.outages.push((Operation::ListSessions, ErrorClass::Denied));
    world.run_for(minutes(4));
    assert_eq!(reason(&world), "AccessDenied");
    world.session = running;
    world.run_for(minutes(60));
    assert_eq!(reason(&world), "Running", "{}", world.told());
}

/// The same keeps the figures of the end from being asked for, and slows the end.
#[test]
fn the_end_is_noticed_as_fast_after_an_old_trouble_with_listing() {
    let mut world = World::adopted(SessionState::Idle);
    let running = world.session.take();
    world.outages.push((Operation::ListSessions, ErrorClass::Unavailable));
    world.run_for(minutes(30));
    world.session = running;
    world.run_for(minutes(10));
    let asked = world.elapsed;
    world.event(&Event::SetTerminate);
    let until = asked + minutes(30);
    world.run_until(until, |world| world.recorded().ended_at.is_some());
    let took = world.elapsed - asked;
    world.run_for(minutes(30));
    assert!(
        took < seconds(15) && world.recorded().dpu_execution_millis == Some(7),
        "took {took:?}, {:?}",
        world.recorded().dpu_execution_millis
    );
}

/// A list that was begun before the last answer isn't one since the last answer.
#[test]
fn a_list_counts_only_if_it_was_begun_after_the_last_answer() {
    for (began, counts) in [(70, false), (100, true), (101, true)] {
        let mut observed = Observed::default();
        let missing = error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid);
        for second in [10, 70, 100] {
            observed.failed(missing.clone(), at(seconds(second)), &TIMING, 1.0);
        }
        let list = lacking(at(seconds(began)), at(seconds(120)));
        observed.listed(&wanted(), list, &home(), at(seconds(120)), &TIMING);
        assert_eq!(observed.absence.unwrap().unlisted_at.is_some(), counts, "begun after {began} s");
    }
}

/// A page from before the last answer shows the session as it was before.
#[test]
fn a_page_older_than_the_last_answer_brings_no_session_back() {
    for (sent, is_back) in [(50, false), (71, true)] {
        let mut observed = Observed::default();
        for second in [10, 70] {
            let missing = error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid);
            observed.failed(missing, at(seconds(second)), &TIMING, 1.0);
        }
        let status = status(&SessionState::Idle);
        let shown = ListAnswer::Shown(Shown { id: SESSION.to_owned(), status, at: at(seconds(sent)).tick });
        observed.listed(&wanted(), shown, &home(), at(seconds(72)), &TIMING);
        assert_eq!(observed.seen.is_some(), is_back, "sent after {sent} s");
    }
}

/// STS away, Athena answers.
#[test]
fn a_session_is_looked_at_while_sts_is_away() {
    let mut world = World::adopted(SessionState::Idle);
    let running = world.session.take();
    world.outages.push((Operation::GetCallerIdentity, ErrorClass::Unavailable));
    world.event(&Event::Delete);
    world.run_for(minutes(3));
    world.session = running;
    world.run_for(minutes(600));
    assert!(world.object.is_none(), "session {:?}, looks {}", world.session, world.count(Operation::GetSessionStatus));
}

/// GetSessionStatus refused, TerminateSession allowed.
#[test]
fn an_end_is_called_where_the_look_that_would_save_it_fails() {
    let mut world = World::adopted(SessionState::Idle);
    world.outages.push((Operation::GetSessionStatus, ErrorClass::Denied));
    world.run_for(minutes(3));
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    assert!(world.count(Operation::TerminateSession) > 0, "{:?}", world.session);
}

/// GetSessionStatus throttled for others' sake.
#[test]
fn the_back_off_of_looking_doesnt_hold_up_an_end() {
    let mut world = World::adopted(SessionState::Idle);
    world.outages.push((Operation::GetSessionStatus, ErrorClass::Throttled));
    world.run_for(minutes(60));
    world.event(&Event::Delete);
    let until = world.elapsed + seconds(60);
    assert!(world.run_until(until, |world| world.count(Operation::TerminateSession) > 0));
}

/// Nothing changes, yet it is written again and again.
#[test]
fn a_session_that_only_lists_show_is_written_once() {
    let mut world = World::adopted(SessionState::Idle);
    for operation in [Operation::GetSessionStatus, Operation::GetSession, Operation::TerminateSession] {
        world.outages.push((operation, ErrorClass::NotFoundOrInvalid));
    }
    world.event(&Event::SetTerminate);
    world.run_for(minutes(20));
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.len() < 5, "{} writes, {} calls in an hour", world.writes.len(), world.calls.len());
}

/// STS answers slowly.
#[test]
fn a_slow_sts_isnt_an_endless_circle() {
    let mut observed = Observed::default();
    let idle = status(&SessionState::Idle);
    observed
        .described(
            Session { status: idle, work_group: WORK_GROUP.to_owned(), dpu_execution_millis: None },
            at(seconds(0)),
        )
        .unwrap();
    observed.answered_in(&home());
    let mut object = object();
    object.status = Some(recorded_as(&SessionState::Idle));
    object.metadata.deletion_timestamp = Some(time(seconds(1)));
    let mut scope = home();
    let missing = error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid);
    let mut now = seconds(1);
    observed.failed(missing.clone(), at(now), &TIMING, 1.0);
    let mut calls = 0;
    while now < minutes(30) {
        observed.found(&object, &scope, at(now));
        let step = decide(&view(&object, &observed, &scope, at(now)));
        now += Duration::from_millis(20);
        match step {
            Step::RemoveFinalizer { .. } => return,
            Step::Wait(after) => now += after.unwrap(),
            Step::WriteStatus { status, .. } => {
                object.status = Some(*status);
                observed.record.written(object.status.as_ref());
            }
            Step::GetSessionStatus => {
                calls += 1;
                observed.failed(missing.clone(), at(now), &TIMING, 1.0);
            }
            Step::ListSessions { wanted } => {
                calls += 1;
                observed.listed(&wanted, lacking(at(now), at(now)), &scope, at(now), &TIMING);
            }
            Step::GetCallerIdentity => {
                calls += 1;
                // As Identity::confirm: the moment that it was asked.
                let asked_at = at(now).tick;
                now += seconds(11);
                scope.confirmed_at = Some(asked_at);
                observed.identified();
            }
            step => panic!("{step:?}"),
        }
    }
    panic!("not let go after {calls} calls");
}

/// The session ends by itself while TerminateSession backs off.
#[test]
fn an_end_is_noticed_while_terminate_session_backs_off() {
    let mut world = World::adopted(SessionState::Idle);
    world.outages.push((Operation::TerminateSession, ErrorClass::Throttled));
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    let calls = world.count(Operation::TerminateSession);
    let until = world.elapsed + minutes(10);
    world.run_until(until, |world| world.count(Operation::TerminateSession) > calls);
    world.session = Some(SessionState::Terminated);
    let ended = world.elapsed;
    world.run_until(ended + minutes(10), |world| world.object.is_none());
    assert!(world.elapsed - ended < seconds(75), "{:?}", world.elapsed - ended);
}

/// How long after the credentials came back.
#[test]
fn the_finalizer_goes_only_on_an_answer_of_the_right_account() {
    let mut breaches = Vec::new();
    for late in [0, 1, 5, 9, 11, 30] {
        let mut world = astray(&Event::Delete);
        world.wait(seconds(late));
        world.run_for(minutes(3));
        if world.breach.is_some() {
            breaches.push(late);
        }
    }
    assert_eq!(breaches, Vec::<u64>::new());
}

//! S2: the proof of an absence. Which account the answers must come from, in which order, how fresh they must be, and
//! what must not hold up an end (L1).

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

/// The scope after STS has told this account.
fn moved_to(world: &World, scope: CallerContext) -> CallerContext {
    let now = Some(at(world.elapsed).tick);
    CallerContext { confirmed_at: now, since: now, ..scope }
}

/// The session was seen IDLE when the story began.
fn seen_idle() -> Observed {
    let mut observed = Observed::default();
    let idle = status(&SessionState::Idle);
    let session = Session { status: idle, work_group: WORK_GROUP.to_owned(), dpu_execution_millis: None };
    observed.session.described(session, at(seconds(0))).unwrap();
    observed.session.answered_in(&home());
    observed
}

/// The object asks for a complete list, to find its session.
fn wanted() -> ListRequest {
    let sought = Sought::Session(SESSION.to_owned());
    ListRequest { work_group: WORK_GROUP.to_owned(), sought, since: None, after: None, is_pressing: true }
}

/// An end is asked for while calls go to another account, which has a work group of this name ("primary", for example),
/// and not the session. STS tells the account, and then somebody corrects the credentials.
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

/// S4: the status keeps the account of the session after the credentials have changed.
#[test]
fn a_change_of_account_doesnt_rewrite_the_recorded_account() {
    let mut world = World::adopted(SessionState::Idle);
    world.scope = elsewhere();
    world.run_for(minutes(3));
    assert_eq!(reason(&world), "WrongAccount");
    assert_eq!(world.recorded().account_id.as_deref(), Some(HOME));
}

/// S2, S4: in the other account nothing proves that the session is gone, also after a restart.
#[test]
fn after_a_change_of_account_and_a_restart_the_object_stays() {
    let mut world = World::adopted(SessionState::Idle);
    world.scope = elsewhere();
    world.run_for(minutes(3));
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    world.run_for(minutes(10));
    assert!(
        world.object.is_some(),
        "the object went; session {:?}; breach {:?}; {}",
        world.session,
        world.breach,
        world.told()
    );
}

/// S2: answers from another account don't count once the credentials are back.
#[test]
fn answers_from_another_account_prove_nothing_later() {
    let mut world = astray(&Event::Delete);
    world.run_for(minutes(3));
    assert_eq!(world.breach, None, "{}", world.told());
}

/// S2: an object that isn't deleted must not say "Ended" while its session runs.
#[test]
fn answers_from_another_account_end_nothing() {
    let mut world = astray(&Event::SetTerminate);
    world.run_for(minutes(30));
    assert_eq!(world.session, Some(SessionState::Terminated), "status says {}", reason(&world));
}

/// S2: a complete list counts when STS has confirmed the account after the list.
#[test]
fn the_account_is_confirmed_after_the_listing() {
    let mut observed = seen_idle();
    for second in [10, 70] {
        observed.failed(
            error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid),
            at(seconds(second)),
            &TIMING,
            1.0,
        );
    }
    // After the periodic GetCallerIdentity the credentials change, so the list comes from another account.
    let scope = CallerContext { confirmed_at: Some(at(seconds(71)).tick), ..home() };
    observed.listed(&wanted(), lacking(at(seconds(72)), at(seconds(75))), &scope, at(seconds(75)), &TIMING);
    let mut object = object();
    object.status = Some(recorded_as(&SessionState::Idle));
    let view = view(&object, &observed, &scope, at(seconds(76)));
    assert_ne!(evidence(&view), Evidence::Absent);
}

/// An error of ListSessions is no longer reported once the session is seen.
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

/// L1: an old error of ListSessions doesn't delay the look that shows the end.
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

/// S2: a list that was begun before the last answer doesn't count.
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
        assert_eq!(observed.session.absence.unwrap().unlisted_at.is_some(), counts, "begun after {began} s");
    }
}

/// A page that was requested before the last answer shows an older state.
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
        assert_eq!(observed.session.seen.is_some(), is_back, "sent after {sent} s");
    }
}

/// L1: Athena answers, and STS doesn't.
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

/// L1: AWS denies GetSessionStatus and allows TerminateSession.
#[test]
fn an_end_is_called_where_the_look_that_would_save_it_fails() {
    let mut world = World::adopted(SessionState::Idle);
    world.outages.push((Operation::GetSessionStatus, ErrorClass::Denied));
    world.run_for(minutes(3));
    world.event(&Event::Delete);
    world.run_for(minutes(60));
    assert!(world.count(Operation::TerminateSession) > 0, "{:?}", world.session);
}

/// L1: only GetSessionStatus is throttled.
#[test]
fn the_back_off_of_looking_doesnt_hold_up_an_end() {
    let mut world = World::adopted(SessionState::Idle);
    world.outages.push((Operation::GetSessionStatus, ErrorClass::Throttled));
    world.run_for(minutes(60));
    world.event(&Event::Delete);
    let until = world.elapsed + seconds(60);
    assert!(world.run_until(until, |world| world.count(Operation::TerminateSession) > 0));
}

/// L2: where nothing changes, nothing is written.
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

/// L1: STS answers so slowly that each confirmation of the account is old when the next answer comes.
#[test]
fn a_slow_sts_isnt_an_endless_circle() {
    let mut observed = seen_idle();
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
                observed.recorded_status.written(object.status.as_ref());
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
                // As Identity::confirm does: the moment of the request counts.
                let asked_at = at(now).tick;
                now += seconds(11);
                scope.confirmed_at = Some(asked_at);
                observed.session.succeeded(Operation::GetCallerIdentity);
            }
            step => panic!("{step:?}"),
        }
    }
    panic!("the object is still there after {calls} calls");
}

/// L1: the session ends by itself while TerminateSession backs off.
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

/// S2, S4: however long after the credentials came back the next pass comes.
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

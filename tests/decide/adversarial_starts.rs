//! S2, S3, L1: adversarial orders of events that would start two sessions for one object, leave one behind, or make an
//! object hang.

use crate::core::{
    ErrorClass, Observed, Operation, Polled, QuotaExceeded, SessionState, Source, StartAttempt, StartOutcome, Step,
    Suspension,
};
use crate::fixtures::{
    CLUSTER, ELSEWHERE, SESSION, TIMING, WORK_GROUP, at, condition, elsewhere, error, home, minutes, object, seconds,
    status, time,
};
use crate::world::{Event, Fault, World, reason};

/// An object that doesn't have the finalizer yet.
fn unheld() -> World {
    let mut world = World::starting();
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.observed.adopted_here = false;
    world
}

/// StartSession was called, and the process was killed before the session was recorded.
fn started_unrecorded() -> World {
    let mut world = World::starting();
    world.ambush.push((2, Event::Restart));
    world.pass();
    assert_eq!(world.told(), "WriteStatus StartSession");
    world
}

/// L1: what holds up a start must not hide a session that was started before, and that must be ended.
#[test]
fn a_held_up_start_hides_no_session_that_was_started() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("session quota", |world| {
            world.starts.quota_exceeded = Some(QuotaExceeded { limit: 1, holders: vec!["one".to_owned()], waiting: 0 });
        }),
        ("bounds", |world| world.starts.bounds = None),
        ("read-only", |world| world.event(&Event::Suspension(Some(Suspension::ReadOnly)))),
        ("closing", |world| world.event(&Event::GroupCloses(true))),
    ];
    for (what, change) in changes {
        for lag in [0, 20] {
            let mut world = started_unrecorded();
            world.starts.list_lag = seconds(lag);
            change(&mut world);
            world.run_for(minutes(6));
            assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "{what} {lag}: {}", reason(&world));
            assert_eq!(world.starts.requests.len(), 1);
            assert_eq!(world.breach, None);
        }
    }
}

/// S2: a person who believes this message deletes the object.
#[test]
fn no_session_was_started_is_said_only_where_it_is_certain() {
    let mut world = started_unrecorded();
    world.starts.list_lag = minutes(600);
    world.starts.bounds = None;
    world.run_for(minutes(3));
    assert_eq!(reason(&world), "Starting", "the recorded reason");
    world.run_for(minutes(3));
    let ready = condition(world.recorded(), "Ready").unwrap();
    assert_eq!(ready.reason, "StartUnclear");
    assert!(!ready.message.contains("No session was started"), "{}", ready.message);
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.is_empty(), "{:?}", world.writes);
    let lists = world.count(Operation::ListSessions);
    assert!(lists <= 13, "{lists}");
}

/// L1: the operator is killed right after it has added the finalizer to an old object, or the answer to that write is
/// lost.
#[test]
fn an_old_object_with_a_new_finalizer_starts_after_a_crash() {
    for event in [Event::Restart, Event::ApiServerFails { requests: 1, late: true }] {
        for steps in 1..=3 {
            let mut world = unheld();
            world.wait(minutes(6));
            if event == Event::Restart {
                world.ambush.push((steps, event.clone()));
            } else if steps == 1 {
                world.event(&event);
            }
            world.run_for(minutes(30));
            assert_eq!(world.breach, None);
            assert_eq!(world.starts.requests.len(), 1, "{event:?} {steps}: {}", reason(&world));
        }
    }
}

/// S3: somebody removes the finalizer while no operator runs. A process that adds it again must not conclude that
/// nothing was started.
#[test]
fn a_finalizer_added_again_doesnt_prove_that_nothing_started() {
    for recorded in [false, true] {
        let mut world = if recorded { World::starting() } else { started_unrecorded() };
        if recorded {
            world.run_for(seconds(10));
        }
        world.event(&Event::Becomes(SessionState::Idle));
        world.event(&Event::Restart);
        world.object.as_mut().unwrap().metadata.finalizers = None;
        world.wait(minutes(2));
        world.ambush.push((1, Event::Delete));
        world.run_for(minutes(10));
        assert!(world.object.is_none());
        assert_eq!(world.breach, None, "recorded: {recorded}");
        assert!(world.session.as_ref().unwrap().is_ended(), "recorded: {recorded}");
    }
    // No second session is started either, once Athena has forgotten the token.
    let mut world = started_unrecorded();
    world.starts.token_life = minutes(5);
    world.event(&Event::Becomes(SessionState::Idle));
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.wait(minutes(6));
    world.run_for(minutes(10));
    assert_eq!(world.breach, None);
    assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION));
}

/// S2, S7: a forged record names another session. A list shows that session as ended, and a call denies it.
#[test]
fn the_end_of_a_forged_session_isnt_that_of_the_own_session() {
    let mut forged = object();
    forged.status.get_or_insert_default().session_id = Some("another".to_owned());
    forged.spec.session_id = None;
    forged.spec.start = Some(Default::default());
    let mut observed = Observed::default();
    let seen = status(&SessionState::Terminated);
    let now = at(seconds(1));
    let polled = Polled::Seen { status: &seen, at: now.tick, source: Source::List };
    observed.session.polled(polled, WORK_GROUP, &home(), now);
    observed.recognize(&forged, CLUSTER, false);
    for moment in [2, 70] {
        let refused = error(Operation::GetSession, ErrorClass::NotFoundOrInvalid);
        observed.failed(refused, at(seconds(moment)), &TIMING, 0.0);
        observed.recognize(&forged, CLUSTER, false);
    }
    observed.starting(at(seconds(80)));
    observed.started(SESSION.to_owned(), WORK_GROUP);
    assert_eq!((observed.session.state(), observed.session_id(&forged)), (None, Some(SESSION)));
}

/// S2, S3, S4: while the effect of a call is unknown, the AthenaWorkGroup is removed by force and created anew in
/// another account. A list of that account proves nothing.
#[test]
fn an_attempt_in_another_account_isnt_repeated_nor_disproved() {
    let mut world = started_unrecorded();
    world.scope = elsewhere();
    world.around.account = Some(ELSEWHERE);
    // The session isn't listed in the other account.
    world.starts.list_lag = minutes(1000);
    world.run_for(minutes(3));
    assert_eq!(world.starts.requests.len(), 1);
    assert_eq!(world.breach, None);
    world.event(&Event::Delete);
    world.run_for(minutes(30));
    assert!(world.object.is_some(), "S2: the session runs on: {:?}", world.session);
    // Back in the session's account.
    world.scope = home();
    world.around.account = Some(crate::fixtures::HOME);
    world.starts.list_lag = seconds(0);
    world.run_for(minutes(10));
    assert!(world.object.is_none() && world.session.as_ref().unwrap().is_ended());
}

/// S5: a tenant adds the operator's finalizer to an object of a namespace that was never allowed.
#[test]
fn a_finalizer_that_a_tenant_added_allows_no_call() {
    for (terminate, delete) in [(false, true), (true, false), (true, true)] {
        let mut world = World::starting();
        world.observed.adopted_here = false;
        world.around.was_granted = false;
        world.event(&Event::GroupAllows(false));
        if terminate {
            world.event(&Event::SetTerminate);
        }
        if delete {
            world.event(&Event::Delete);
        }
        world.run_for(minutes(10));
        assert_eq!(world.breach, None);
        assert!(world.calls.is_empty(), "{:?}", world.calls);
    }
}

/// S3: the recorded attempt lies in the future, because of a wrong clock or because somebody wants a second session.
#[test]
fn an_attempt_of_the_future_isnt_repeated_for_ever() {
    let mut world = started_unrecorded();
    world.starts.token_life = minutes(10);
    let status = world.object.as_mut().unwrap().status.as_mut().unwrap();
    let (at, outcome) = (time(minutes(600)), StartOutcome::Unknown);
    status.start_attempt = Some(StartAttempt { at, outcome, engine_version: None });
    world.wait(minutes(30));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.event(&Event::Forgets);
    world.run_for(minutes(30));
    assert_eq!(world.starts.requests.len(), 1, "{}", reason(&world));
}

/// S3: Athena says that the token was used with other parameters, so a session may exist.
#[test]
fn a_parameter_mismatch_leads_to_a_list_at_once() {
    for class in [ErrorClass::AlreadyStarted, ErrorClass::NotFoundOrInvalid] {
        let mut world = World::starting();
        world.starts.list_lag = seconds(3);
        world.faults.extend([Fault::CutAfter, Fault::None, Fault::Fails(class)]);
        world.run_for(seconds(90));
        assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "{class:?}: {}", reason(&world));
        assert_eq!(world.breach, None);
    }
}

/// S1: one list may lag. A person who deleted the object because of it would end a session that runs.
#[test]
fn one_list_without_the_session_doesnt_tell_that_it_is_gone() {
    let mut world = World::starting();
    world.run_for(seconds(10));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(2));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.event(&Event::Forgets);
    world.event(&Event::Restart);
    world.forget_the_past();
    let is_listed = |world: &World| world.steps.iter().any(|step| matches!(step, Step::ListSessions { .. }));
    assert!(world.run_until(minutes(60), is_listed));
    assert_eq!(reason(&world), "Running", "{}", world.told());
    let is_told = |world: &World| reason(world) == "SessionNotFound";
    assert!(world.run_until(minutes(60), is_told), "{}", world.told());
}

/// StartSession was called long ago, and lists that don't show its session come from another account.
fn listed_elsewhere() -> World {
    let mut world = started_unrecorded();
    world.wait(minutes(6));
    world.around.real = "of-another-account";
    world.run_for(minutes(4));
    assert_eq!(reason(&world), "StartUnclear", "{}", world.told());
    world
}

/// Calls go to the right account again, and STS has told the operator so.
fn come_home(world: &mut World) {
    world.around.real = WORK_GROUP;
    (world.scope.since, world.scope.confirmed_at) = (Some(at(world.elapsed).tick), Some(at(world.elapsed).tick));
}

/// S2.5: what lists of another account have proven is over when the account changes.
#[test]
fn what_lists_of_another_account_proved_lets_no_object_go() {
    let mut world = listed_elsewhere();
    come_home(&mut world);
    world.event(&Event::Delete);
    let until = world.elapsed + minutes(10);
    assert!(world.run_until(until, |world| world.object.is_none()), "{}", world.told());
    assert_eq!((world.session.clone(), &world.breach), (Some(SessionState::Terminated), &None), "{}", world.told());
}

/// S2.5: STS, which would tell that calls go to another account, doesn't answer.
#[test]
fn lists_prove_that_no_session_was_started_once_sts_confirms_their_account() {
    let mut world = started_unrecorded();
    world.around.real = "of-another-account";
    world.outages.push((Operation::GetCallerIdentity, ErrorClass::Unavailable));
    world.event(&Event::Delete);
    world.run_for(minutes(10));
    assert!(world.object.is_some(), "{}", world.told());
    world.outages.clear();
    come_home(&mut world);
    let until = world.elapsed + minutes(10);
    assert!(world.run_until(until, |world| world.object.is_none()), "{}", world.told());
    assert_eq!((world.session.clone(), &world.breach), (Some(SessionState::Terminated), &None), "{}", world.told());
}

/// S1.12: a person who deleted the object because of lists of another account would end a session that runs.
#[test]
fn lists_of_an_unconfirmed_account_dont_tell_that_the_session_is_gone() {
    let mut world = World::starting();
    world.run_for(seconds(10));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(2));
    world.event(&Event::Restart);
    let running = world.session.take();
    world.outages.push((Operation::GetCallerIdentity, ErrorClass::Unavailable));
    let is_told = |world: &World| reason(world) == "SessionNotFound";
    let until = world.elapsed + minutes(60);
    assert!(!world.run_until(until, is_told), "{}", world.told());
    world.session = running;
    world.outages.clear();
    come_home(&mut world);
    world.run_for(minutes(10));
    assert_eq!((reason(&world).as_str(), &world.breach), ("Running", &None), "{}", world.told());
}

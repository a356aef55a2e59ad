//! Polling: what the poller of the work group shows of a session, and when an object calls Athena by itself.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::core::{
    Access, AthenaSession, AthenaSessionStatus, CallerContext, Described, ErrorClass, Interest, Observed, Operation,
    Polled, Prolonged, SessionState, Source, Step, TerminationReason, View, condition, decide, decision, interest,
};
use crate::fixtures::{TIMING, WORK_GROUP, at, error, home, minutes, object, recorded_as, seconds, status, view};
use crate::world::{Event, Poller, World, reason};

const SHOWS: Poller = Poller::Shows { lag: Duration::ZERO };

fn polled(session: SessionState, poller: Poller) -> World {
    let mut world = World::bound(session);
    world.event(&Event::Poller(poller));
    world
}

fn show(observed: &mut Observed, state: &SessionState, seen_at: u64, now: u64) {
    let status = status(state);
    let polled = Polled::Seen { status: &status, at: at(seconds(seen_at)).tick, source: Source::List };
    observed.session.polled(polled, WORK_GROUP, &home(), at(seconds(now)));
}

/// L2: the object makes no call of its own.
#[test]
fn what_the_poller_shows_isnt_asked_for() {
    let mut world = polled(SessionState::Creating, SHOWS);
    world.run_for(seconds(10));
    assert_eq!(world.recorded().state.as_deref(), Some("CREATING"));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(seconds(5));
    assert_eq!(world.recorded().state.as_deref(), Some("IDLE"));
    world.run_for(minutes(30));
    assert!(world.calls.is_empty(), "{}", world.told());
}

#[test]
fn an_end_that_the_poller_shows_takes_one_call() {
    let mut world = polled(SessionState::Idle, SHOWS);
    world.run_for(seconds(10));
    world.event(&Event::Delete);
    world.run_for(minutes(2));
    assert!(world.object.is_none());
    assert_eq!(world.calls.len(), 1, "{:?}", world.calls);
}

#[test]
fn where_the_poller_cant_tell_the_object_asks_at_once() {
    let mut world = polled(SessionState::Idle, Poller::AskYourself);
    world.run_for(seconds(10));
    assert_eq!(world.count(Operation::GetSession), 1);
    assert_eq!(world.recorded().state.as_deref(), Some("IDLE"));
}

/// L1: then the object calls Athena by itself.
#[test]
fn a_silent_poller_is_waited_for_no_longer_than_an_interval() {
    for event in [None, Some(Event::Delete)] {
        let mut world = polled(SessionState::Idle, Poller::Silent);
        event.iter().for_each(|event| world.event(event));
        world.run_for(TIMING.steady - seconds(1));
        assert!(world.calls.is_empty());
        world.run_for(seconds(2));
        assert_eq!(world.count(Operation::GetSession), 1, "{}", world.told());
        world.run_for(minutes(5));
        assert_eq!(world.object.is_none(), event.is_some());
    }
}

/// Otherwise the condition would report the outage for minutes, until the next call of the object's own.
#[test]
fn after_an_outage_what_the_poller_shows_is_told_within_seconds() {
    let mut world = polled(SessionState::Idle, SHOWS);
    world.run_for(seconds(10));
    world.event(&Event::Poller(Poller::AskYourself));
    world.outages.extend([Operation::GetSession, Operation::GetSessionStatus].map(|it| (it, ErrorClass::Unavailable)));
    world.run_until(minutes(10), |world| reason(world) == "AthenaUnavailable");
    world.outages.clear();
    world.event(&Event::Poller(SHOWS));
    world.scope.recovered_at = Some(at(world.elapsed).tick + Duration::from_millis(1));
    world.forget_the_past();
    world.wait(seconds(1));
    world.pass();
    world.run_for(TIMING.changing + seconds(1));
    assert_eq!(reason(&world), "Running");
    assert!(world.calls.len() <= 1, "{:?}", world.calls);
}

/// L1: a sighting of before the account was known doesn't count. The poller doesn't look at an ended session again, so
/// the object must.
#[test]
fn a_sighting_that_doesnt_count_isnt_waited_for_either() {
    let scope = CallerContext { since: Some(at(seconds(100)).tick), ..home() };
    let (mut observed, object) = (Observed::default(), object());
    let ended = status(&SessionState::Terminated);
    for second in [200, 230, 261] {
        let now = at(seconds(second));
        // The sighting is of before the account was known.
        let polled = Polled::Seen { status: &ended, at: at(seconds(50)).tick, source: Source::List };
        observed.session.polled(polled, WORK_GROUP, &scope, now);
        let view = View { polled: true, ..view(&object, &observed, &scope, now) };
        let step = decide(&view);
        let asks = step == Step::GetSession;
        assert_eq!(asks, second == 261, "{step:?} after {second}");
    }
}

#[test]
fn a_session_that_the_poller_forgets_is_looked_at() {
    let mut world = polled(SessionState::Idle, SHOWS);
    world.run_for(seconds(10));
    world.event(&Event::Poller(Poller::Silent));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(TIMING.steady * 4);
    assert_eq!(world.recorded().state.as_deref(), Some("TERMINATED"), "{}", world.told());
}

/// L1: each call that is needed can be the object's own.
#[test]
fn an_end_is_reached_without_the_poller() {
    for poller in [Poller::Silent, Poller::AskYourself, Poller::Off] {
        let mut world = polled(SessionState::Idle, SHOWS);
        world.run_for(seconds(10));
        world.event(&Event::Poller(poller));
        world.event(&Event::Delete);
        world.run_for(minutes(4));
        assert!(world.object.is_none(), "{poller:?}: {}", world.told());
        assert_eq!(world.breach, None);
    }
}

#[test]
fn a_list_that_lags_takes_no_end_back_and_calls_for_none_twice() {
    for lag in [1, 3, 20, 50] {
        let mut world = polled(SessionState::Idle, Poller::Shows { lag: seconds(lag) });
        world.terminating_for = Some(seconds(30));
        world.run_for(minutes(3));
        world.event(&Event::SetTerminate);
        world.run_for(minutes(5));
        assert_eq!(world.count(Operation::TerminateSession), 1, "{lag} s: {}", world.told());
        assert_eq!(world.recorded().state.as_deref(), Some("TERMINATED"));
    }
}

/// S2: answers may arrive out of order.
#[test]
fn what_was_seen_later_isnt_taken_back() {
    let mut observed = Observed::default();
    show(&mut observed, &SessionState::Busy, 10, 11);
    show(&mut observed, &SessionState::Idle, 9, 12);
    assert_eq!(observed.session.state(), Some(&SessionState::Busy));
    // An earlier sighting takes no absence back either.
    let missing = error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid);
    observed.failed(missing, at(seconds(20)), &TIMING, 1.0);
    show(&mut observed, &SessionState::Idle, 20, 21);
    assert!(observed.session.absence.is_some());
    show(&mut observed, &SessionState::Idle, 21, 22);
    assert!(observed.session.absence.is_none());
}

/// L1: a poll that was sent before TerminateSession answered shows the end. The poller won't ask again.
#[test]
fn an_end_is_true_however_late_it_is_told() {
    let mut observed = Observed::default();
    show(&mut observed, &SessionState::Busy, 10, 10);
    observed.session.terminate_accepted(
        TerminationReason::ObjectDeleted,
        Some(SessionState::Terminating),
        at(seconds(20)),
    );
    show(&mut observed, &SessionState::Terminated, 19, 21);
    assert_eq!(observed.session.state(), Some(&SessionState::Terminated));
    show(&mut observed, &SessionState::Idle, 30, 31);
    assert_eq!(observed.session.state(), Some(&SessionState::Terminated));
}

/// S5, S8: an object without a grant has no interest.
#[test]
fn the_poller_is_asked_only_on_behalf_of_what_may_know() {
    let mut adopted = object();
    adopted.status = Some(recorded_as(&SessionState::Idle));
    let mut unheld = object();
    unheld.metadata.finalizers = None;
    let mut observed = Observed::default();
    let interest = |object: &AthenaSession, observed: &Observed, access: &Access| {
        let scope = home();
        interest(&View { access, polled: true, ..view(object, observed, &scope, at(minutes(1))) })
    };
    let refused = |refusal| Access { reference: Some("spark".to_owned()), denied: Some(refusal), ..Access::default() };
    use crate::core::Denied::*;
    let granted = Access { work_group: Some(WORK_GROUP.to_owned()), ..Access::default() };
    assert_eq!(interest(&object(), &observed, &granted), Some(Interest::FirstSight));
    assert_eq!(interest(&unheld, &observed, &granted), None);
    assert_eq!(interest(&object(), &observed, &refused(NamespaceNotAllowed)), None, "it never had a grant");
    assert_eq!(interest(&adopted, &observed, &refused(NamespaceNotAllowed)), Some(Interest::FirstSight));
    assert_eq!(interest(&adopted, &observed, &refused(WorkGroupNotFound)), None);
    show(&mut observed, &SessionState::Idle, 50, 51);
    assert_eq!(interest(&adopted, &observed, &granted), Some(Interest::Steady));
    show(&mut observed, &SessionState::Creating, 52, 53);
    assert_eq!(interest(&adopted, &observed, &granted), Some(Interest::Changing));
    let mut deleted = adopted.clone();
    deleted.metadata.deletion_timestamp = Some(condition::time(at(seconds(50)).wall));
    assert_eq!(interest(&deleted, &observed, &granted), Some(Interest::Ending));
    // The calls for an overdue end don't go before others any more.
    deleted.status.as_mut().unwrap().conditions = vec![Condition {
        type_: "Ready".to_owned(),
        status: "False".to_owned(),
        reason: "TerminationOverdue".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: condition::time(at(seconds(50)).wall),
    }];
    assert_eq!(interest(&deleted, &observed, &granted), Some(Interest::Steady));
    let foreign = Access { work_group: Some("of-others".to_owned()), ..Access::default() };
    assert_eq!(interest(&adopted, &observed, &foreign), None);
    let owned = Access { owner: Some(crate::fixtures::claim("older")), ..granted };
    assert_eq!(interest(&adopted, &observed, &owned), None);
}

/// L2: otherwise each of a hundred thousand objects would make a call of its own.
#[test]
fn an_object_gives_a_poller_three_times_the_time_of_a_full_scan() {
    for (second, looks) in [(899, false), (900, true)] {
        let mut observed = Observed::default();
        observed.session.described = Described::Yes;
        show(&mut observed, &SessionState::Idle, 0, 0);
        let (mut object, scope) = (object(), home());
        if let Step::WriteStatus { status, .. } = decide(&view(&object, &observed, &scope, at(seconds(0)))) {
            object.status = Some(*status);
        }
        let now = at(seconds(second));
        let step = decide(&View {
            polled: true,
            full_scan_took: Duration::from_secs(300),
            ..view(&object, &observed, &scope, now)
        });
        assert_eq!(step == Step::GetSessionStatus, looks, "after {second} s: {step:?}");
    }
}

/// L2: a full scan of many sessions takes its time.
#[test]
fn the_poller_gets_time_before_the_object_looks_for_itself() {
    for (state, alone, polled) in [(SessionState::Idle, 60, 180), (SessionState::Terminating, 2, 60)] {
        for is_polled in [false, true] {
            let due = if is_polled { polled } else { alone };
            for (second, looks) in [(due - 1, false), (due, true)] {
                let mut observed = Observed::default();
                observed.session.described = Described::Yes;
                show(&mut observed, &state, 0, 0);
                let (mut object, scope, now) = (object(), home(), at(seconds(second)));
                // Nothing is left to write.
                if let Step::WriteStatus { status, .. } = decide(&view(&object, &observed, &scope, at(seconds(0)))) {
                    object.status = Some(*status);
                }
                let step = decide(&View { polled: is_polled, ..view(&object, &observed, &scope, now) });
                assert_eq!(
                    step == Step::GetSessionStatus,
                    looks,
                    "{state} after {second} s, polled {is_polled}: {step:?}"
                );
            }
        }
    }
}

/// L1: sightings don't prolong the wait of an object that also waits for something else, such as a limit.
#[test]
fn sights_prolong_only_a_wait_for_sights() {
    let waits = |change: fn(&mut AthenaSession), is_polled: bool| {
        let mut observed = Observed::default();
        observed.session.described = Described::Yes;
        show(&mut observed, &SessionState::Idle, 0, 0);
        let (mut object, scope, now) = (object(), home(), at(seconds(0)));
        change(&mut object);
        // Nothing is left to write.
        if let Step::WriteStatus { status, .. } = decide(&view(&object, &observed, &scope, now)) {
            object.status = Some(*status);
        }
        let view = View { polled: is_polled, ..view(&object, &observed, &scope, now) };
        let decision = decision(&view);
        assert!(matches!(decision.step, Step::Wait(_)), "the object doesn't wait");
        decision.prolonged
    };
    let prolonged = |at_most| Some(Prolonged { sight_lasts: seconds(180), at_most });
    assert_eq!(waits(|_| {}, true), prolonged(None));
    assert_eq!(waits(|_| {}, false), None);
    assert_eq!(waits(|object| object.spec.max_lifetime = Some(seconds(60).into()), true), None);
    // A limit that is reached after the next sighting is due ends the wait, too.
    let limited = waits(|object| object.spec.max_lifetime = Some(minutes(10).into()), true);
    assert_eq!(limited, prolonged(Some(minutes(10))));
}

/// Otherwise the condition would report the throttling for up to three intervals after the poller has shown the
/// session.
#[test]
fn throttling_is_told_until_the_poller_shows_the_session() {
    let mut observed = Observed::default();
    observed.session.described = Described::Yes;
    show(&mut observed, &SessionState::Idle, 0, 0);
    for second in [10, 11, 12] {
        let throttled = error(Operation::GetSessionStatus, ErrorClass::Throttled);
        observed.failed(throttled, at(seconds(second)), &TIMING, 1.0);
    }
    let (mut object, scope) = (object(), home());
    let step = |object: &AthenaSession, observed: &Observed, second| {
        decide(&View { polled: true, ..view(object, observed, &scope, at(seconds(second))) })
    };
    let reason = |status: &AthenaSessionStatus| crate::fixtures::condition(status, "Ready").unwrap().reason.clone();
    let Step::WriteStatus { status, .. } = step(&object, &observed, 13) else { panic!("the throttling isn't written") };
    assert_eq!(reason(&status), "Throttled");
    object.status = Some(*status);
    let Step::Wait(Some(wait)) = step(&object, &observed, 13) else { panic!("no call is made") };
    let second = 13 + wait.as_secs();
    assert!(second <= 62, "a poll interval after the session was shown: {wait:?}");
    show(&mut observed, &SessionState::Idle, 60, second);
    let Step::WriteStatus { status, .. } = step(&object, &observed, second) else {
        panic!("the throttling stays written")
    };
    assert_eq!(reason(&status), "Running");
}

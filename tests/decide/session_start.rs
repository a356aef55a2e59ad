//! StartSession: an object starts one session, whatever happens (S3), and leaves none behind (S2).

use crate::core::{
    EngineConfiguration, ErrorClass, Monitoring, MonitoringConfiguration, Operation, PublishTo, QuotaExceeded,
    SessionStart, SessionState, StartAttempt, StartBounds, StartOutcome, Step, Suspension,
};
use crate::fixtures::{SESSION, WORK_GROUP, condition, minutes, seconds, time};
use crate::world::{Event, Fault, Forgery, Poller, World, job, reason};

fn has_started(world: &World) -> bool {
    world.breach.is_none() && world.starts.requests.len() == 1
}

/// S3: the record comes before the call.
#[test]
fn the_attempt_is_recorded_and_the_session_started_once() {
    let mut world = World::starting();
    world.pass();
    assert_eq!(world.told(), "WriteStatus StartSession GetSession WriteStatus Wait(2s)");
    let recorded = world.recorded();
    assert_eq!(recorded.start_attempt.as_ref().unwrap().outcome, StartOutcome::Started);
    assert_eq!((recorded.session_id.as_deref(), reason(&world)), (Some(SESSION), "Starting".to_owned()));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "Running");
    assert!(has_started(&world), "{:?}", world.breach);
    world.event(&Event::Delete);
    assert!(world.run_until(minutes(30), |world| world.object.is_none()));
    assert!(world.session.as_ref().unwrap().is_ended());
    assert_eq!(world.breach, None);
}

/// S3: a repeated call must ask for exactly the same.
#[test]
fn the_request_follows_from_object_and_work_group_alone() {
    let requests = [1, 2].map(|_| {
        let mut world = World::starting();
        world.starts.bounds = Some(StartBounds { max_concurrent_dpus: Some(8), ..StartBounds::default() });
        world.pass();
        world.starts.requests[0].clone()
    });
    assert_eq!(requests[0], requests[1]);
    let request = &requests[0];
    assert_eq!(request.description, "[athena-operator cluster-1 team-a/nightly uid-1]");
    assert_eq!((request.token.len(), request.work_group.as_str()), (36, WORK_GROUP));
    assert_eq!(request.engine.max_concurrent_dpus, Some(8), "the bound holds where the object sets no number");
    assert_eq!(request.tags["athena-operator.dev/uid"], "uid-1");
}

/// S3: the process is killed after StartSession, before the session is recorded.
#[test]
fn a_session_whose_start_was_not_recorded_is_found_by_its_mark() {
    let mut world = World::starting();
    world.ambush.push((2, Event::Restart));
    world.pass();
    assert_eq!(world.told(), "WriteStatus StartSession");
    world.forget_the_past();
    world.pass();
    assert!(world.told().starts_with("ListSessions"), "{}", world.told());
    assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION));
    assert!(has_started(&world), "{:?}", world.breach);
}

/// S3: the session is looked for before the call is repeated.
#[test]
fn a_lost_answer_leads_to_a_list_and_then_to_the_same_call() {
    for (fault, lag, calls) in [(Fault::CutAfter, 0, 1), (Fault::CutAfter, 20, 2), (Fault::Late, 0, 2)] {
        let mut world = World::starting();
        world.starts.list_lag = seconds(lag);
        world.faults.push_back(fault);
        world.run_for(seconds(45));
        assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "{fault:?} {lag}");
        let requests = &world.starts.requests;
        assert!(requests.len() >= calls && requests.iter().all(|request| *request == requests[0]), "{fault:?} {lag}");
        assert_eq!(world.breach, None);
    }
}

/// S3: Athena may have forgotten the token, so the call isn't repeated.
#[test]
fn an_old_attempt_of_an_earlier_process_waits_for_a_person() {
    let mut world = World::starting();
    world.ambush.push((1, Event::Restart));
    world.pass();
    world.wait(minutes(6));
    world.run_for(minutes(60));
    assert!(world.starts.requests.is_empty());
    assert_eq!(reason(&world), "StartUnclear");
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().status, "True");
    assert!(world.writes.len() <= 2, "{:?}", world.writes.len());
    // A session that appears after all is the object's.
    world.starts.started_by = Some("uid-1".to_owned());
    world.session = Some(SessionState::Idle);
    world.run_for(minutes(6));
    assert_eq!(reason(&world), "Running");
    assert_eq!(world.breach, None);
}

/// S3: Athena still knows the token.
#[test]
fn a_young_attempt_of_an_earlier_process_is_made_again() {
    let mut world = World::starting();
    world.ambush.push((1, Event::Restart));
    world.pass();
    world.run_for(seconds(10));
    assert!(has_started(&world), "{:?}", world.breach);
    assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION));
}

/// S3, S7: the object has its UID and no record. Somebody wiped the status, or the first write never arrived.
#[test]
fn a_status_that_was_wiped_starts_no_second_session() {
    for age in [0, 1, 20] {
        let mut world = World::starting();
        world.run_for(minutes(age) + seconds(1));
        world.event(&Event::Becomes(SessionState::Idle));
        world.event(&Event::Restart);
        world.event(&Event::Forge(Forgery::Emptied));
        world.run_for(minutes(10));
        assert!(has_started(&world), "{:?}", world.breach);
        assert_eq!((world.recorded().session_id.as_deref(), reason(&world)), (Some(SESSION), "Running".to_owned()));
    }
}

/// S3: no list shows a session, and the token may be forgotten.
#[test]
fn an_old_object_with_a_wiped_status_starts_nothing() {
    let mut world = World::starting();
    world.event(&Event::Restart);
    world.wait(minutes(10));
    world.run_for(minutes(30));
    assert_eq!(reason(&world), "StartUnclear");
    assert!(world.starts.requests.is_empty());
}

/// S1, S7, S8: the recorded id is forged.
#[test]
fn a_recorded_foreign_session_is_neither_shown_nor_ended() {
    for poller in [Poller::Off, Poller::Shows { lag: seconds(0) }] {
        let mut world = World::starting();
        world.around.poller = poller;
        world.run_for(seconds(5));
        world.starts.started_by = Some("uid-other".to_owned());
        world.session = Some(SessionState::Busy);
        world.event(&Event::Restart);
        world.event(&Event::Delete);
        world.run_for(minutes(10));
        assert_eq!(world.count(Operation::TerminateSession), 0, "{poller:?}");
        assert_eq!(world.session, Some(SessionState::Busy));
        assert!(world.object.is_none(), "the object's own session is gone: {poller:?}");
    }
}

/// S2: this process knows that no session was started.
#[test]
fn what_was_never_started_goes_at_once() {
    // Before any call, and after a refusal.
    for refused in [false, true] {
        let mut world = World::starting();
        if refused {
            world.outages.push((Operation::StartSession, ErrorClass::NoCapacity));
            world.run_for(seconds(1));
            assert_eq!(reason(&world), "WaitingForCapacity");
        }
        world.event(&Event::Delete);
        world.forget_the_past();
        world.pass();
        assert_eq!(world.told(), "RemoveFinalizer", "refused: {refused}");
        assert_eq!(world.breach, None);
    }
}

/// S2, L1: a new process doesn't know what came of the call that Athena refused for lack of capacity.
#[test]
fn what_was_refused_before_a_restart_goes_after_two_listings() {
    let mut world = World::starting();
    world.outages.push((Operation::StartSession, ErrorClass::NoCapacity));
    world.run_for(seconds(1));
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    assert!(world.run_until(world.elapsed + minutes(3), |world| world.object.is_none()));
    assert!(world.starts.requests.len() <= 1);
}

/// S3: a session that may exist is looked for instead.
#[test]
fn on_deletion_a_call_is_never_repeated() {
    for (fault, left) in [(Fault::CutAfter, true), (Fault::Late, true), (Fault::Fails(ErrorClass::Unavailable), false)]
    {
        let mut world = World::starting();
        world.faults.push_back(fault);
        world.ambush.push((2, Event::Delete));
        world.pass();
        assert!(world.run_until(minutes(10), |world| world.object.is_none()), "{fault:?}");
        assert!(has_started(&world), "{fault:?}: {:?}", world.breach);
        assert_eq!(world.session.as_ref().is_some_and(SessionState::is_ended), left, "{fault:?}");
    }
}

/// L2: the back-off of a start.
#[test]
fn capacity_is_waited_for_from_15_seconds_to_5_minutes() {
    let mut world = World::starting();
    world.outages.push((Operation::StartSession, ErrorClass::NoCapacity));
    world.run_for(minutes(60));
    assert_eq!(reason(&world), "WaitingForCapacity");
    assert!(condition(world.recorded(), "Stalled").is_none());
    let at: Vec<_> =
        world.calls.iter().filter(|(_, called)| *called == Operation::StartSession).map(|(at, _)| *at).collect();
    assert!((10..=30).contains(&at.len()), "{} calls", at.len());
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (seconds(15)..minutes(6)).contains(gap)), "{gaps:?}");
    world.outages.clear();
    world.run_for(minutes(6));
    assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION));
    assert_eq!(world.breach, None);
}

#[test]
fn a_refused_request_is_stalled_with_athenas_words() {
    let mut world = World::starting();
    world.outages.push((Operation::StartSession, ErrorClass::NotFoundOrInvalid));
    world.run_for(minutes(60));
    let stalled = condition(world.recorded(), "Stalled").unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "Invalid"));
    assert!(stalled.message.contains("StartSession") && stalled.message.contains("Session does not exist"));
    assert!((2..=14).contains(&world.count(Operation::StartSession)), "{}", world.count(Operation::StartSession));
    // The condition stays while the call is repeated, and there is one Warning.
    let warnings = world.writes.iter().filter_map(|(_, step)| match step {
        Step::WriteStatus { events, .. } => Some(events.len()),
        _ => None,
    });
    assert_eq!(warnings.sum::<usize>(), 1);
}

#[test]
fn a_session_that_fails_to_start_is_stalled_and_goes_at_once() {
    let mut world = World::starting();
    world.run_for(seconds(1));
    world.event(&Event::Becomes(SessionState::Failed));
    world.run_for(seconds(10));
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "Failed");
    world.event(&Event::Delete);
    world.forget_the_past();
    world.pass();
    assert_eq!(world.told(), "RemoveFinalizer");
}

/// S5, S8: StartNotAllowed, without a call.
#[test]
fn what_the_work_group_doesnt_allow_is_neither_held_nor_started() {
    let monitoring = StartBounds { monitoring: Some(Monitoring::Allowed), ..StartBounds::default() };
    for (bounds, is_allowed) in [(None, false), (Some(StartBounds::default()), false), (Some(monitoring), true)] {
        let mut world = World::starting();
        world.starts.bounds = bounds;
        let object = world.object.as_mut().unwrap();
        object.metadata.finalizers = None;
        object.spec.start.as_mut().unwrap().monitoring_configuration = Some(MonitoringConfiguration::default());
        world.observed.adopted_here = false;
        world.run_for(minutes(1));
        assert_eq!(world.starts.requests.len(), usize::from(is_allowed));
        if !is_allowed {
            assert_eq!(reason(&world), "StartNotAllowed");
            assert!(world.object.as_ref().unwrap().metadata.finalizers.iter().flatten().next().is_none());
        }
    }
}

/// S8: the bounds of the AthenaWorkGroup.
#[test]
fn each_bound_is_kept() {
    let most = StartBounds { max_concurrent_dpus: Some(4), ..StartBounds::default() };
    let mut world = World::starting();
    world.starts.bounds = Some(most);
    let engine = EngineConfiguration { max_concurrent_dpus: Some(5), ..EngineConfiguration::default() };
    world.object.as_mut().unwrap().spec.start.as_mut().unwrap().engine_configuration = Some(engine);
    world.run_for(minutes(1));
    assert!(condition(world.recorded(), "Ready").unwrap().message.contains("maxConcurrentDpus is 5"));
    type Change = fn(&mut SessionStart);
    let changes: [(Change, &str); 2] = [
        (|start| start.execution_role = Some("arn:aws:iam::111111111111:role/root".to_owned()), "executionRole"),
        (|start| start.tags = Some([("team".to_owned(), "a".to_owned())].into()), "tag team"),
    ];
    for (change, word) in changes {
        let mut world = World::starting();
        change(world.object.as_mut().unwrap().spec.start.as_mut().unwrap());
        world.run_for(minutes(1));
        let ready = condition(world.recorded(), "Ready").unwrap();
        assert!(ready.reason == "StartNotAllowed" && ready.message.contains(word), "{}", ready.message);
        assert!(world.starts.requests.is_empty());
    }
}

#[test]
fn quota_read_only_and_a_terminating_work_group_hold_up_a_start() {
    let mut world = World::starting();
    world.starts.quota_exceeded =
        Some(QuotaExceeded { limit: 2, holders: vec!["one".to_owned(), "two".to_owned()], waiting: 0 });
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "WaitingForQuota");
    assert!(condition(world.recorded(), "Ready").unwrap().message.contains("one and two have them"));
    world.starts.quota_exceeded = None;
    world.event(&Event::Suspension(Some(Suspension::ReadOnly)));
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "ReadOnly");
    world.event(&Event::Suspension(None));
    world.event(&Event::GroupCloses(true));
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "WorkGroupTerminating");
    assert!(world.starts.requests.is_empty());
    world.event(&Event::GroupCloses(false));
    world.run_for(minutes(2));
    assert!(has_started(&world), "{:?}", world.breach);
}

#[test]
fn a_slot_is_reserved_before_the_attempt_is_recorded() {
    let mut world = World::starting();
    world.starts.limited = true;
    world.pass();
    assert_eq!(world.told(), "ReserveSlot WriteStatus StartSession GetSession WriteStatus Wait(2s)");
    world.event(&Event::Becomes(SessionState::Idle));
    // The slot stays whatever is written into the status.
    world.event(&Event::Forge(Forgery::Ended));
    world.run_for(minutes(10));
    world.event(&Event::Forge(Forgery::Emptied));
    world.run_for(minutes(10));
    assert!(world.starts.has_slot);
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(5));
    assert!(!world.starts.has_slot, "the session has ended");
    assert_eq!(world.breach, None);
}

/// S7: a record gives no slot. Otherwise statuses that were forged before a restart could exceed
/// `sessionsPerNamespace`.
#[test]
fn an_attempt_of_an_earlier_process_takes_a_slot_too() {
    for is_taken in [false, true] {
        let mut world = World::starting();
        world.starts.limited = true;
        world.ambush.push((2, Event::Restart));
        world.pass();
        assert_eq!(world.told(), "ReserveSlot WriteStatus");
        world.forget_the_past();
        world.starts.is_raced = is_taken;
        world.run_for(seconds(30));
        let told = world.told();
        assert!(
            told.starts_with(if is_taken {
                "ListSessions ReserveSlot Wait"
            } else {
                "ListSessions ReserveSlot GetObject StartSession GetSession WriteStatus"
            }),
            "{told}"
        );
        assert_eq!(world.starts.requests.len(), usize::from(!is_taken), "{told}");
        assert_eq!(world.breach, None);
    }
}

#[test]
fn what_becomes_allowed_long_after_it_was_refused_is_started() {
    let mut world = World::starting();
    world.starts.bounds = None;
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.observed.adopted_here = false;
    world.run_for(minutes(30));
    assert_eq!(reason(&world), "StartNotAllowed");
    assert_eq!(world.recorded().start_attempt, None, "nothing was called");
    world.starts.bounds = Some(StartBounds::default());
    world.run_for(minutes(2));
    assert!(has_started(&world), "{:?} {}", world.breach, reason(&world));
}

/// L1: `sessionsPerNamespace` was lowered, and then the operator restarted.
#[test]
fn a_session_that_is_yet_to_be_looked_at_waits_for_no_slot() {
    let mut world = World::starting();
    world.starts.limited = true;
    world.run_for(seconds(5));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(1));
    world.forget_the_past();
    world.around.poller = Poller::Silent;
    world.event(&Event::Restart);
    world.starts.quota_exceeded =
        Some(QuotaExceeded { limit: 1, holders: vec!["one".to_owned(), "two".to_owned()], waiting: 0 });
    world.run_for(minutes(5));
    assert_eq!(reason(&world), "Running");
    assert!(world.writes.is_empty(), "{:?}", world.writes);
    assert!(world.starts.has_slot);
}

/// S8: another object takes the slot after it was seen to be free.
#[test]
fn a_slot_that_was_taken_meanwhile_is_waited_for() {
    let mut world = World::starting();
    world.starts.limited = true;
    world.starts.is_raced = true;
    world.run_for(minutes(2));
    assert!(world.told().starts_with("ReserveSlot WriteStatus Wait"), "{}", world.told());
    assert_eq!((reason(&world).as_str(), world.starts.requests.len()), ("WaitingForQuota", 0));
    assert!(world.recorded().start_attempt.is_none(), "no attempt is recorded without a call");
    world.starts.quota_exceeded = None;
    world.run_for(minutes(2));
    assert!(has_started(&world), "{:?}", world.breach);
}

#[test]
fn waiting_for_capacity_keeps_the_slot_and_a_refusal_frees_it() {
    for (class, keeps) in [
        (ErrorClass::NoCapacity, true),
        (ErrorClass::Throttled, true),
        (ErrorClass::Denied, false),
        (ErrorClass::Invalid, false),
    ] {
        let mut world = World::starting();
        world.starts.limited = true;
        world.outages.push((Operation::StartSession, class));
        world.run_for(seconds(5));
        assert_eq!(world.starts.has_slot, keeps, "{class:?}");
        // Another object has the slot when the call is due again.
        let calls = world.count(Operation::StartSession);
        world.starts.quota_exceeded = Some(QuotaExceeded { limit: 1, holders: vec!["other".to_owned()], waiting: 0 });
        world.run_for(minutes(20));
        assert_eq!(world.count(Operation::StartSession) > calls, keeps, "{class:?}");
        world.starts.quota_exceeded = None;
        world.outages.clear();
        world.run_for(minutes(20));
        assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "{class:?}");
        assert_eq!(world.breach, None, "{class:?}");
    }
}

#[test]
fn a_cancelled_start_frees_its_slot() {
    let stops = [
        Event::Suspension(Some(Suspension::ObjectPaused)),
        Event::GroupCloses(true),
        Event::GroupAllows(false),
        Event::SetTerminate,
    ];
    for stop in stops {
        let mut world = World::starting();
        world.starts.limited = true;
        world.outages.push((Operation::StartSession, ErrorClass::NoCapacity));
        world.run_for(seconds(5));
        assert!(world.starts.has_slot);
        world.event(&stop);
        world.run_for(minutes(5));
        assert!(!world.starts.has_slot, "{stop:?}");
        assert_eq!(world.breach, None);
    }
}

/// S8: the session may exist, so no other object gets the slot until the opposite is proven.
#[test]
fn a_call_whose_effect_isnt_known_keeps_its_slot() {
    let mut world = World::starting();
    world.starts.limited = true;
    world.faults.push_back(Fault::Late);
    world.outages.push((Operation::ListSessions, ErrorClass::Denied));
    world.run_for(seconds(3));
    world.event(&Event::GroupCloses(true));
    world.run_for(minutes(10));
    assert!(world.starts.has_slot);
    assert_eq!(world.breach, None);
}

#[test]
fn the_quota_message_says_who_has_slots_and_who_comes_first() {
    let sentence = |limit, holders: &[&str], waiting| {
        let holders = holders.iter().map(|name| (*name).to_owned()).collect();
        let sentence = QuotaExceeded { limit, holders, waiting }.sentence("one");
        sentence.strip_prefix("AthenaWorkGroup one allows ").unwrap().to_owned()
    };
    for (limit, holders, waiting, expected) in [
        (1, &["a"][..], 2, "1 session at once to a namespace, and a has it. 2 other objects wait before this one."),
        (3, &["a", "b", "c"], 0, "3 sessions at once to a namespace, and a, b and c have them."),
        (
            2,
            &["a"],
            1,
            "2 sessions at once to a namespace, and a has one of them. 1 other object waits before this one.",
        ),
        (
            4,
            &["a", "b"],
            2,
            "4 sessions at once to a namespace, and a and b have 2 of them. 2 other objects wait before this one.",
        ),
        (4, &["a", "b", "c", "d"], 0, "4 sessions at once to a namespace, and a, b, c and 1 other have them."),
        (1, &["a", "b", "c", "d", "e"], 0, "1 session at once to a namespace, and a, b, c and 2 others have 5."),
        (1, &[], 1, "1 session at once to a namespace. 1 other object waits before this one."),
    ] {
        assert_eq!(sentence(limit, holders, waiting), expected);
    }
}

/// S5, L1: a session that the object itself started is still ended.
#[test]
fn a_withdrawn_grant_stops_starts_and_no_end() {
    for restart in [false, true] {
        let mut world = World::starting();
        world.run_for(seconds(5));
        world.event(&Event::Becomes(SessionState::Idle));
        world.event(&Event::GroupAllows(false));
        if restart {
            world.event(&Event::Restart);
        }
        world.event(&Event::Delete);
        let gone = world.run_until(world.elapsed + minutes(5), |world| world.object.is_none());
        assert!(gone, "restart {restart}: {}", world.told());
        assert!(world.session.as_ref().unwrap().is_ended());
    }
    let mut world = World::starting();
    world.event(&Event::GroupAllows(false));
    world.run_for(minutes(5));
    assert!(world.starts.requests.is_empty());
}

#[test]
fn terminate_before_the_start_is_an_end_without_a_session() {
    let mut world = World::starting();
    world.event(&Event::SetTerminate);
    world.run_for(minutes(1));
    assert!(world.starts.requests.is_empty());
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().status, "True");
    assert_eq!(condition(world.recorded(), "Ready").unwrap().status, "True");
    world.forget_the_past();
    world.run_for(minutes(10));
    assert!(world.writes.is_empty() && world.calls.is_empty());
}

/// S3: an object stands for one session.
#[test]
fn a_session_that_athena_has_forgotten_isnt_started_again() {
    let mut world = World::starting();
    world.run_for(seconds(5));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(1));
    world.event(&Event::Forgets);
    world.event(&Event::Restart);
    world.run_for(minutes(60));
    assert_eq!(world.starts.requests.len(), 1);
    assert_eq!(reason(&world), "Ended", "the record of the end stays");
}

/// S3, S7: the status claims that the start was refused, or never made.
#[test]
fn a_record_that_was_forged_buys_no_second_session() {
    let mut world = World::starting();
    world.run_for(seconds(5));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(seconds(5));
    world.event(&Event::Restart);
    let refused = StartAttempt { at: time(seconds(0)), outcome: StartOutcome::Refused, engine_version: None };
    let status = world.object.as_mut().unwrap().status.as_mut().unwrap();
    (status.start_attempt, status.session_id) = (Some(refused), None);
    world.run_for(minutes(5));
    assert!(has_started(&world), "{:?}", world.breach);
    assert_eq!(reason(&world), "Running");
}

/// Nobody could use a session whose ConfigMap can't be written, and nothing would end one whose workloads can't be
/// read.
#[test]
fn no_session_starts_that_couldnt_be_handed_over_or_ended() {
    let publishing = |world: &mut World| {
        let publish_to = PublishTo { config_map_name: "nightly".to_owned() };
        world.object.as_mut().unwrap().spec.publish_to = Some(publish_to);
    };
    let following = |world: &mut World| world.object.as_mut().unwrap().spec.end_with = vec![job("nightly")];

    let mut world = World::starting();
    publishing(&mut world);
    world.meddle(Some(("somebody", "another")));
    world.run_for(minutes(10));
    assert_eq!((reason(&world).as_str(), world.starts.requests.len()), ("PublishConflict", 0));
    assert_eq!(condition(world.recorded(), "Active").unwrap().status, "False");
    world.meddle(None);
    world.run_for(minutes(2));
    assert_eq!(world.starts.requests.len(), 1, "{}", world.told());

    for (follows, expected) in [(false, "PublishForbidden"), (true, "EndWithForbidden")] {
        let mut world = World::starting();
        if follows {
            following(&mut world);
        } else {
            publishing(&mut world);
        }
        world.objects.is_forbidden = true;
        world.run_for(minutes(10));
        assert_eq!((reason(&world).as_str(), world.starts.requests.len()), (expected, 0));
        world.event(&Event::Delete);
        world.run_for(minutes(1));
        assert!(world.object.is_none(), "the object is held up: {}", world.told());
        assert_eq!(world.breach, None);
    }
}

//! Athena contradicts itself: lists, calls for the session, and StartSession's answer disagree. No answer is believed
//! beyond what this kind of answer can show. Whatever the answers are, a pass waits when nothing has changed.

use proptest::prelude::*;

use crate::core::{
    AthenaSessionStatus, CallerContext, ErrorClass, Evidence, ListAnswer, ListRequest, Marker, Observed, Operation,
    Polled, PublishTo, Session, SessionPage, SessionStart, SessionState, SessionStatus, Shown, Sought, Source, Step,
    evidence,
};
use crate::fixtures::{CLUSTER, SESSION, TIMING, WORK_GROUP, at, error, home, minutes, object, seconds, status, view};
use crate::world::{Event, Fault, Lies, Poller, VICTIM, World, config, ends, message, reason};

const SHOWS: Poller = Poller::Shows { lag: seconds(0) };
const LOOKS: [Operation; 2] = [Operation::GetSession, Operation::GetSessionStatus];

/// A session that is IDLE, and a poller whose lists show it so.
fn polled() -> World {
    let mut world = World::granted(SessionState::Idle);
    world.event(&Event::Poller(SHOWS));
    world.run_for(minutes(2));
    world.forget_the_past();
    world
}

fn looks(world: &World) -> usize {
    LOOKS.map(|operation| world.count(operation)).iter().sum()
}

/// S2: an end on a list alone is no end.
#[test]
fn a_lists_end_that_a_call_contradicts_ends_nothing() {
    let mut world = polled();
    world.lies = Lies::of_lists(SessionState::Terminated);
    world.run_for(minutes(60));
    assert_eq!((reason(&world).as_str(), world.recorded().state.as_deref()), ("Running", Some("IDLE")));
    assert!(message(&world).contains("Athena contradicts itself"), "{}", message(&world));
    assert!(looks(&world) <= 61 && world.writes.len() == 1, "{} looks, {:?}", looks(&world), world.writes);
    world.event(&Event::Delete);
    assert!(world.run_until(world.elapsed + minutes(5), |world| world.object.is_none()), "{}", world.told());
    assert_eq!((&world.breach, ends(&world)), (&None, 1), "{}", world.told());
    assert!(!world.session_runs());
}

/// S2: the object is deleted before a call has contradicted the list.
#[test]
fn an_object_doesnt_go_on_the_word_of_a_list() {
    for is_restarted in [false, true] {
        let mut world = polled();
        world.lies = Lies::of_lists(SessionState::Terminated);
        if is_restarted {
            world.event(&Event::Restart);
        }
        world.poll();
        world.event(&Event::Delete);
        assert!(world.run_until(world.elapsed + minutes(5), |world| world.object.is_none()), "{}", world.told());
        assert_eq!(world.breach, None, "restarted: {is_restarted}: {}", world.told());
        assert!(!world.session_runs());
    }
}

#[test]
fn an_end_that_a_list_shows_takes_one_call_to_be_sure_of() {
    for is_deleted in [false, true] {
        let mut world = polled();
        world.event(&Event::Becomes(SessionState::Terminated));
        world.wait(seconds(1));
        if is_deleted {
            world.poll();
            world.event(&Event::Delete);
        }
        world.run_for(minutes(5));
        assert_eq!((looks(&world), ends(&world)), (1, 0), "{}", world.told());
        assert_eq!((world.object.is_none(), &world.breach), (is_deleted, &None));
        assert_eq!(world.writes.len(), 1, "{}", world.told());
    }
}

/// L1: reads fail. TerminateSession is a safe way to confirm the end, since it does nothing to a session that has
/// ended.
#[test]
fn without_reads_terminate_session_confirms_a_listed_end() {
    let mut world = polled();
    world.outages.extend(LOOKS.map(|operation| (operation, ErrorClass::Denied)));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.wait(seconds(1));
    world.poll();
    world.event(&Event::Delete);
    assert!(world.run_until(world.elapsed + minutes(5), |world| world.object.is_none()), "{}", world.told());
    assert_eq!((&world.breach, ends(&world)), (&None, 1), "{}", world.told());
}

/// S2: the answer of TerminateSession alone is no end.
#[test]
fn terminate_session_that_claims_the_end_is_followed_by_a_look() {
    let mut world = World::adopted(SessionState::Busy);
    world.lies = Lies::of_lists(SessionState::Terminated);
    world.faults.push_back(Fault::NoEffect);
    world.event(&Event::Delete);
    assert!(world.run_until(world.elapsed + minutes(5), |world| world.object.is_none()), "{}", world.told());
    assert_eq!((&world.breach, ends(&world)), (&None, 2), "{}", world.told());
}

#[test]
fn an_end_that_a_call_showed_is_final_whatever_is_said_later() {
    let mut world = World::adopted(SessionState::Idle);
    let states = [SessionState::Terminated, SessionState::Idle, SessionState::Idle];
    world.lies = Lies { states: states.map(Some).to_vec(), in_calls: true, ..Lies::default() };
    world.run_for(minutes(60));
    assert_eq!(reason(&world), "Ended", "{}", world.told());
    assert!(looks(&world) <= 4, "{}", world.told());
    assert!(message(&world).contains("Athena contradicts itself"), "{}", message(&world));
}

/// S1, S2: a session's work group never changes, so one of the answers is false.
#[test]
fn a_session_that_changes_work_groups_isnt_ended_nor_released() {
    for is_restarted in [false, true] {
        let mut world = World::granted(SessionState::Idle);
        world.lies.work_groups = vec![Some("of-others")];
        if is_restarted {
            world.event(&Event::Restart);
        } else {
            // Only GetSession shows the work group, so GetSession is called again.
            world.observed.session.described = Default::default();
            world.observed.session.seen = None;
        }
        world.event(&Event::Delete);
        world.run_for(minutes(30));
        assert_eq!((ends(&world), &world.breach), (0, &None), "{}", world.told());
        assert!(world.object.is_some() && world.session_runs(), "{}", world.told());
        world.lies = Lies::default();
        if is_restarted {
            world.event(&Event::Restart);
        }
        let gone = world.run_until(world.elapsed + minutes(15), |world| world.object.is_none());
        assert!(gone && !world.session_runs(), "restarted: {is_restarted}: {}", world.told());
    }
}

#[test]
fn of_two_entries_of_a_session_the_live_one_counts() {
    let entry = |id: &str, state: SessionState| (id.to_owned(), status(&state));
    for states in [[SessionState::Idle, SessionState::Terminated], [SessionState::Terminated, SessionState::Idle]] {
        let [one, other] = states;
        let page = SessionPage::of([entry("a", one), entry("b", SessionState::Failed), entry("a", other)], None);
        assert_eq!(page.sessions, [entry("a", SessionState::Idle), entry("b", SessionState::Failed)]);
    }
}

#[test]
fn a_state_is_what_it_says_after_no_trimming() {
    let ended_at = status(&SessionState::Idle).started_at;
    for word in [" TERMINATED ", "TERMINATED\n", "\u{1b}[2JFAILED", "", "TERMINATED\u{202e}"] {
        let state = SessionState::read(word, ended_at);
        assert!(matches!(&state, SessionState::Unknown(_)), "{word:?}: {state:?}");
        assert_ne!(state.as_str(), "TERMINATED", "{word:?}");
    }
    assert_eq!(SessionState::read("TERMINATED", None), SessionState::Terminated);
    assert_eq!(SessionState::read("STOPPED", ended_at), SessionState::Ended("STOPPED".to_owned()));
}

/// L1: calls for the session say that it doesn't exist, and lists still show its end.
#[test]
fn a_contradicted_end_is_proven_when_athena_forgets_the_session() {
    let (object, scope) = (object(), CallerContext { confirmed_at: Some(at(minutes(20)).tick), ..home() });
    let mut observed = Observed::default();
    let ended = status(&SessionState::Terminated);
    observed.session.looked(status(&SessionState::Idle), at(seconds(1)));
    observed.session.polled(
        Polled::Seen { status: &ended, at: at(seconds(2)).tick, source: Source::List },
        WORK_GROUP,
        &scope,
        at(seconds(2)),
    );
    observed.session.looked(status(&SessionState::Idle), at(seconds(3)));
    observed.session.answered_in(&scope);
    assert!(observed.session.is_contradicted);
    let unknown = error(Operation::GetSessionStatus, ErrorClass::NotFoundOrInvalid);
    observed.failed(unknown.clone(), at(minutes(5)), &TIMING, 1.0);
    observed.failed(unknown, at(minutes(10)), &TIMING, 1.0);
    let evidence = |observed: &Observed| {
        let view = view(&object, observed, &scope, at(minutes(12)));
        evidence(&view) == Evidence::Absent
    };
    let sought = Sought::Session(SESSION.to_owned());
    let wanted = ListRequest { work_group: WORK_GROUP.to_owned(), sought, since: None, after: None, is_pressing: true };
    assert!(!evidence(&observed));
    // The page showed the session before the last answer denied it.
    for (minute, is_proven) in [(9, false), (11, true)] {
        let shown = Shown { id: SESSION.to_owned(), status: ended.clone(), at: at(minutes(minute)).tick };
        observed.listed(&wanted, ListAnswer::Shown(shown), &scope, at(minutes(11)), &TIMING);
        assert_eq!(evidence(&observed), is_proven, "shown after {minute} min");
    }
}

// Answers to StartSession.

/// S1, S3: the object's own session is found by its marker.
#[test]
fn a_returned_session_without_the_mark_isnt_the_objects() {
    for asks in [Event::Delete, Event::SetTerminate] {
        let mut world = World::starting();
        world.starts.answers_with = Some(VICTIM);
        world.run_for(minutes(2));
        assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "its own is found by the mark");
        world.event(&asks);
        world.run_for(minutes(5));
        assert_eq!(world.breach, None, "{}", world.told());
        assert!(!world.session_runs(), "{}", world.told());
        assert_eq!(world.starts.requests.len(), 1);
    }
}

/// S3, L1: StartSession isn't called again, and a deleted object goes.
#[test]
fn start_session_isnt_called_again_after_a_foreign_session() {
    let mut world = World::starting();
    world.starts.answers_with = Some(VICTIM);
    world.starts.list_lag = minutes(600);
    world.run_for(seconds(30));
    assert_eq!(reason(&world), "Starting", "{}", world.told());
    assert!(
        !message(&world).contains("Delete"),
        "that might end the session that no list shows yet: {}",
        message(&world)
    );
    world.run_for(minutes(60));
    assert_eq!((world.starts.requests.len(), reason(&world).as_str()), (1, "StartUnclear"), "{}", world.told());
    assert!(message(&world).contains(VICTIM), "{}", message(&world));
    world.session = None;
    world.event(&Event::Delete);
    assert!(world.run_until(world.elapsed + minutes(5), |world| world.object.is_none()), "{}", world.told());
    assert_eq!(world.breach, None);
}

/// S1, L1: before its marker is seen, a session counts for an end and for nothing else.
#[test]
fn a_session_isnt_published_nor_limited_before_its_mark_is_seen() {
    let mut world = World::starting();
    world.object.as_mut().unwrap().spec.publish_to = Some(PublishTo { config_map_name: "nightly".to_owned() });
    world.event(&Event::SetLifetime(Some(minutes(1))));
    world.outages.push((Operation::GetSession, ErrorClass::Unavailable));
    world.run_for(minutes(10));
    assert!(world.objects.config_map.is_none() && ends(&world) == 0, "{}", world.told());
    assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "it is recorded");
    world.event(&Event::Delete);
    world.outages.clear();
    assert!(world.run_until(world.elapsed + minutes(10), |world| world.object.is_none()), "{}", world.told());
    assert!(!world.session_runs());
    assert_eq!((&world.breach, world.starts.requests.len()), (&None, 1));
}

/// S1: GetSession is denied, so the answer of StartSession is all there is.
#[test]
fn without_get_session_an_uncontested_session_is_the_starters() {
    for is_contested in [false, true] {
        let mut world = World::starting();
        world.outages.push((Operation::GetSession, ErrorClass::Denied));
        world.around.is_contested = is_contested;
        world.starts.list_lag = minutes(600);
        world.run_for(minutes(2));
        let is_known = world.recorded().state.is_some();
        assert_eq!(is_known, !is_contested, "{}", world.told());
        // In the end a list shows the marker.
        world.starts.list_lag = seconds(0);
        world.event(&Event::Delete);
        assert!(world.run_until(world.elapsed + minutes(15), |world| world.object.is_none()), "{}", world.told());
        assert!(!world.session_runs() && world.breach.is_none(), "{:?}", world.breach);
    }
}

/// S1: StartSession's answer names another object's session, and nothing else shows this until a list comes.
#[test]
fn a_session_that_proves_to_bear_anothers_mark_is_given_up() {
    let (mut observed, mut object) = (Observed { adopted_here: true, ..Observed::default() }, object());
    (object.spec.session_id, object.spec.start) = (None, Some(SessionStart::default()));
    observed.starting(at(seconds(0)));
    observed.started(VICTIM.to_owned(), WORK_GROUP);
    observed.failed(error(Operation::GetSession, ErrorClass::Denied), at(seconds(1)), &TIMING, 1.0);
    observed.recognize(&object, CLUSTER, false);
    assert_eq!(observed.session_id(&object), Some(VICTIM), "AWS denies what would show whose it is");
    let (namespace, name, uid) = ("team-b".to_owned(), "report".to_owned(), "uid-b".to_owned());
    let mark = Marker { cluster: CLUSTER.to_owned(), namespace, name, uid };
    let status = SessionStatus { marker: Some(Box::new(mark)), ..status(&SessionState::Idle) };
    let sighting = Polled::Seen { status: &status, at: at(seconds(2)).tick, source: Source::List };
    observed.session.polled(sighting, WORK_GROUP, &home(), at(seconds(3)));
    observed.recognize(&object, CLUSTER, false);
    assert_eq!((observed.session_id(&object), observed.is_unstarted()), (None, false));
}

/// L2: StartSession's answer and the record each name a foreign session. Each is looked at once.
#[test]
fn two_foreign_sessions_make_no_tight_loop() {
    let (mut observed, mut object) = (Observed { adopted_here: true, ..Observed::default() }, object());
    (object.spec.session_id, object.spec.start) = (None, Some(SessionStart::default()));
    let recorded = AthenaSessionStatus { session_id: Some("another".to_owned()), ..AthenaSessionStatus::default() };
    object.status = Some(recorded);
    observed.starting(at(seconds(0)));
    observed.started(VICTIM.to_owned(), WORK_GROUP);
    for id in [VICTIM, "another"] {
        assert_eq!(observed.session_id(&object), Some(id));
        let status = status(&SessionState::Idle);
        let session = Session { status, work_group: WORK_GROUP.to_owned(), dpu_execution_millis: None };
        observed.session.described(session, at(seconds(1))).unwrap();
        observed.recognize(&object, CLUSTER, false);
    }
    assert_eq!(observed.session_id(&object), None);
}

// Properties: random answers.

fn said() -> impl Strategy<Value = Option<SessionState>> {
    let states = SessionState::KNOWN.to_vec();
    let unknown = SessionState::Unknown("HIBERNATING".to_owned());
    prop_oneof![
        4 => prop::sample::select(states).prop_map(Some),
        1 => Just(Some(unknown)),
        1 => Just(Some(SessionState::Ended("STOPPED".to_owned()))),
        1 => Just(None),
    ]
}

fn said_work_group() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(WORK_GROUP)), 1 => Just(Some("of-others"))]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        Just(Event::Delete),
        Just(Event::SetTerminate),
        Just(Event::Restart),
        Just(Event::SetIdle(Some(seconds(90)))),
        Just(Event::SetLifetime(Some(minutes(7)))),
        Just(Event::SetGrace(Some(minutes(3)))),
        Just(Event::Becomes(SessionState::Busy)),
    ];
    prop::collection::vec(event, 0..5)
}

fn pollers() -> impl Strategy<Value = Poller> {
    prop::sample::select(vec![Poller::Off, SHOWS, Poller::AskYourself, Poller::Silent])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..config() })]

    /// L2: whatever Athena answers, the operator asks no more often than for a session that is changing.
    #[test]
    fn no_answers_make_a_tight_loop(
        states in prop::collection::vec(said(), 1..7), work_groups in prop::collection::vec(said_work_group(), 1..4),
        events in events(), poller in pollers(), starts in any::<bool>(), denied in prop::sample::select(vec![0, 1, 2]),
        answers_with in prop::option::weighted(0.3, Just(VICTIM)),
    ) {
        let mut world = if starts { World::starting() } else { World::bound(SessionState::Idle) };
        world.lies = Lies { states, in_calls: true, work_groups, ..Lies::default() };
        world.starts.answers_with = answers_with;
        world.outages.extend(LOOKS.into_iter().take(denied).map(|operation| (operation, ErrorClass::Denied)));
        world.event(&Event::Poller(poller));
        for event in &events {
            world.run_for(minutes(5));
            world.event(event);
        }
        world.forget_the_past();
        world.run_for(minutes(10));
        let unsettled = world.breach.as_ref().filter(|breach| breach.contains("not settled"));
        prop_assert!(unsettled.is_none(), "{}", world.told());
        prop_assert!(world.calls.len() <= 10 * 60 / 2 + 40, "{} calls: {}", world.calls.len(), world.told());
    }

    /// S2, L1: lists and the answers of TerminateSession are false, and TerminateSession has its effect.
    #[test]
    fn lists_that_lie_let_no_object_go_whose_session_lives(
        states in prop::collection::vec(said(), 1..7), events in events(), poller in pollers(),
        faults in prop::collection::vec(prop::sample::select(vec![Fault::None, Fault::CutAfter]), 0..6),
    ) {
        let mut world = World::bound(SessionState::Idle);
        world.event(&Event::Poller(poller));
        world.run_for(minutes(1));
        world.lies = Lies { states, ..Lies::default() };
        world.faults.extend(faults);
        for event in &events {
            world.event(event);
            world.run_for(minutes(5));
        }
        world.event(&Event::SetGrace(None));
        world.event(&Event::Delete);
        world.faults.clear();
        let gone = world.run_until(world.elapsed + minutes(30), |world| world.object.is_none());
        // Where TerminateSession has had its effect already, the session ends by itself.
        let is_breach = world.breach.as_ref().is_some_and(|breach| !breach.ends_with("is Some(Terminating)"));
        prop_assert!(!is_breach, "{:?}\n{}", world.breach, world.told());
        prop_assert!(gone, "L1: {:#?}\n{}", world.object, world.told());
        world.wait(seconds(10));
        prop_assert!(!world.session_runs(), "S2: {}", world.told());
    }
}

/// L2: the status doesn't change back and forth.
#[test]
fn nothing_is_written_while_a_list_and_a_call_disagree() {
    let mut world = polled();
    world.lies = Lies::of_lists(SessionState::Failed);
    world.run_for(minutes(10));
    world.forget_the_past();
    world.run_for(minutes(60));
    let writes = world.writes.iter().filter(|(_, step)| matches!(step, Step::WriteStatus { .. })).count();
    assert_eq!(writes, 0, "{}", world.told());
}

//! What can't be read or ended for good doesn't keep the other sessions from being ended: run after run, with the requests of each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use athena_session_operator::api::cleanup::{Cleanup, CleanupMode, SessionMatch};
use athena_session_operator::athena::marker::Marker;
use athena_session_operator::athena::types::{CallError, ErrorClass, Operation, SessionState, SessionStatus};
use athena_session_operator::cleanup::declarations::{Declarations, DeclaredSessions};
use athena_session_operator::cleanup::policy::Source;
use athena_session_operator::work_group::cleanup::facts::CleanupFacts;
use athena_session_operator::work_group::cleanup::memory::CleanupMemory;
use athena_session_operator::work_group::cleanup::run::{CleanupStep, Run};

use crate::fixtures::{CLUSTER, NOW, Session, all, protect_tag, rule, session};

const STEADY: Duration = Duration::from_secs(60);

type Tags = BTreeMap<String, String>;

/// An operator whose requests all succeed, but for those that a test says.
struct Operator<'a> {
    memory: CleanupMemory,
    tick: Instant,
    /// Between two lists.
    interval: Duration,
    tags: &'a dyn Fn(&str) -> Result<Tags, CallError>,
    end: &'a dyn Fn(&str) -> Result<(), CallError>,
    /// The sessions that are at work, though the lists say that they aren't.
    is_busy: &'a dyn Fn(&str) -> bool,
    /// How long Athena takes to list the tags of a session.
    tags_take: Duration,
    /// How long the API server takes to say what is declared.
    api_server_takes: Duration,
    /// Between the lists that are read while a run goes on.
    list_each: Duration,
    /// How long it takes to record the reservation of ends.
    reservation_takes: Duration,
    reserved: usize,
    problem: Option<String>,
    steps: usize,
}

fn no_tags(_: &str) -> Result<Tags, CallError> {
    Ok(Tags::new())
}

fn ends(_: &str) -> Result<(), CallError> {
    Ok(())
}

fn enforce() -> Cleanup {
    Cleanup { mode: CleanupMode::Enforce, max_matched_percent: 100, ..all() }
}

fn unavailable(operation: Operation) -> CallError {
    let (class, code, message) = (ErrorClass::Unavailable, "InternalServerException".to_owned(), "a fault".to_owned());
    CallError { operation, class, code, message, request_id: None }
}

impl<'a> Operator<'a> {
    fn new(cleanup: &Cleanup) -> Self {
        Self {
            memory: CleanupMemory::new(&[Source { owner: "a", cleanup: Some(cleanup) }], None),
            tick: Instant::now(),
            interval: Duration::from_secs(60),
            tags: &no_tags,
            end: &ends,
            is_busy: &|_| false,
            tags_take: Duration::ZERO,
            api_server_takes: Duration::ZERO,
            list_each: Duration::from_secs(100_000),
            reservation_takes: Duration::ZERO,
            reserved: 0,
            problem: None,
            steps: 0,
        }
    }

    /// Makes a run after a list of these sessions. Returns those that were ended.
    fn run(&mut self, sessions: &[Session]) -> Vec<String> {
        self.tick += self.interval;
        let (list, mut ended) = (self.tick, Vec::new());
        let mut run =
            self.with_facts(|memory, facts| Run::begin(list, sessions.iter().map(Session::listed), memory, facts));
        self.steps = 0;
        loop {
            let lists = (self.tick - list).as_millis() / self.list_each.as_millis();
            run.overtaken_by(list + self.list_each * u32::try_from(lists).unwrap(), STEADY);
            let step = self.with_facts(|_, facts| run.next(facts));
            self.steps += 1;
            self.tick += Duration::from_millis(100);
            match step {
                CleanupStep::Done => break,
                CleanupStep::ListTags { id } => {
                    let answer = (self.tags)(&id);
                    self.tick += self.tags_take;
                    self.with_facts(|_, facts| run.tags_read(&id, answer, facts));
                }
                CleanupStep::GetCallerIdentity => run.account_confirmed(true),
                CleanupStep::ReadWorkGroups => run.work_groups_read(true),
                CleanupStep::Reserve { ends } => {
                    (self.reserved, self.tick) = (ends, self.tick + self.reservation_takes);
                    run.reserved(true);
                }
                CleanupStep::GetSessionStatus { id, .. } => {
                    let status = sessions.iter().find(|session| session.id == id).unwrap().status.clone();
                    let state = if (self.is_busy)(&id) { SessionState::Busy } else { status.state.clone() };
                    let status = SessionStatus { state, description: None, marker: None, ..status };
                    run.status_read(&id, Ok(status), self.tick);
                }
                CleanupStep::ReadDeclarations { id, .. } => {
                    let sent = self.tick;
                    self.tick += self.api_server_takes;
                    run.declarations_read(&id, Ok(DeclaredSessions::default()), sent);
                }
                CleanupStep::TerminateSession { id, .. } => {
                    let answer = (self.end)(&id);
                    if answer.is_ok() {
                        ended.push(id.clone());
                    }
                    run.terminated(&id, answer);
                }
            }
        }
        run.finish(&mut self.memory);
        self.problem = run.problem();
        ended
    }

    fn with_facts<T>(&self, ask: impl FnOnce(&CleanupMemory, &CleanupFacts<'_>) -> T) -> T {
        let declared_by = |_: &str, _: Option<&Marker>| None;
        let facts = CleanupFacts {
            policy: &self.memory.policy,
            declarations: Declarations { cluster: Some(CLUSTER), declared_by: &declared_by },
            athena_time: NOW,
            tick: self.tick,
            may_end: self.memory.policy.enforces,
            reserved_by_others: 0,
            ended_before: 0,
        };
        ask(&self.memory, &facts)
    }
}

/// Sessions of which the first is the oldest.
fn sessions(count: i64) -> Vec<Session> {
    (0..count).map(|number| session(&format!("s{number}"), "IDLE", 5000 - number)).collect()
}

fn number(id: &str) -> usize {
    id[1..].parse().unwrap()
}

/// Each run reads the tags of so many sessions, the oldest first. What tags protect comes first, and stays for ever.
#[test]
fn sessions_that_a_tag_protects_dont_keep_the_tags_of_others_from_being_read() {
    for (protected, interval) in [(300, 60), (25, 600), (45, 600)] {
        let tags = |id: &str| {
            let is_kept = number(id) < protected;
            Ok(is_kept.then(|| ("keep".to_owned(), String::new())).into_iter().collect())
        };
        let mut operator = Operator::new(&Cleanup { protect: vec![protect_tag("keep", None)], ..enforce() });
        (operator.tags, operator.interval) = (&tags, Duration::from_secs(interval));
        let sessions = sessions(i64::try_from(protected).unwrap() + 1);
        let ended: Vec<_> = (0..40).flat_map(|_| operator.run(&sessions)).collect();
        assert!(ended.contains(&format!("s{protected}")), "{protected} are protected; a list each {interval} s");
        assert!(ended.iter().all(|id| number(id) >= protected), "{ended:?}");
    }
}

/// A tag that is taken off stops protecting, though it was read once.
#[test]
fn a_tag_that_is_taken_off_is_noticed() {
    let is_kept = std::cell::Cell::new(true);
    let tags = |_: &str| Ok(is_kept.get().then(|| ("keep".to_owned(), String::new())).into_iter().collect());
    let mut operator = Operator::new(&Cleanup { protect: vec![protect_tag("keep", None)], ..enforce() });
    operator.tags = &tags;
    let sessions = sessions(3);
    for _ in 0..5 {
        assert!(operator.run(&sessions).is_empty());
    }
    is_kept.set(false);
    let ended: Vec<_> = (0..12).flat_map(|_| operator.run(&sessions)).collect();
    assert!(ended.contains(&"s2".to_owned()));
}

/// A process that stands still after the reservation may find that tags have become old, and that one has been taken off.
#[test]
fn no_more_sessions_are_ended_than_were_reserved() {
    let kept = std::cell::Cell::new(true);
    let tags = |id: &str| {
        let is_kept = kept.get() && number(id) == 0;
        Ok(is_kept.then(|| ("keep".to_owned(), String::new())).into_iter().collect())
    };
    let end = |_: &str| {
        kept.set(false);
        Err(unavailable(Operation::TerminateSession))
    };
    let mut operator = Operator::new(&Cleanup { protect: vec![protect_tag("keep", None)], ..enforce() });
    (operator.tags, operator.end) = (&tags, &end);
    let sessions = sessions(2);
    for _ in 0..2 {
        operator.run(&sessions);
    }
    (operator.end, operator.reservation_takes) = (&ends, Duration::from_secs(700));
    for _ in 0..3 {
        let ended = operator.run(&sessions);
        assert!(ended.len() <= operator.reserved, "{ended:?}, {} reserved", operator.reserved);
        operator.reserved = 0;
    }
}

/// Three sessions are ended in a run at the most.
#[test]
fn sessions_that_athena_fails_to_end_for_good_dont_keep_others_from_being_ended() {
    for failing in [3, 8] {
        let end = |id: &str| if number(id) < failing { Err(unavailable(Operation::TerminateSession)) } else { Ok(()) };
        let mut operator = Operator::new(&Cleanup { max_terminations_per_run: 3, ..enforce() });
        operator.end = &end;
        let mut sessions = sessions(i64::try_from(failing).unwrap() + 6);
        for _ in 0..8 {
            let ended = operator.run(&sessions);
            assert!(ended.len() <= 3);
            sessions.retain(|session| !ended.contains(&session.id));
        }
        let left: Vec<_> = sessions.iter().map(|session| number(&session.id)).collect();
        assert_eq!(left, (0..failing).collect::<Vec<_>>());
        assert!(operator.problem.unwrap().contains("InternalServerException"));
    }
}

#[test]
fn sessions_that_go_on_after_an_accepted_end_dont_keep_others_from_being_ended() {
    let mut operator = Operator::new(&Cleanup { max_terminations_per_run: 3, ..enforce() });
    let mut sessions = sessions(14);
    for _ in 0..8 {
        let ended = operator.run(&sessions);
        assert!(ended.len() <= 3);
        sessions.retain(|session| number(&session.id) < 8 || !ended.contains(&session.id));
    }
    assert_eq!(sessions.len(), 8);
    let again: Vec<_> = (0..3).flat_map(|_| operator.run(&sessions)).collect();
    assert!((0..8).all(|number| again.contains(&format!("s{number}"))), "they are asked to end again: {again:?}");
}

/// A run looks at so many sessions at the most.
#[test]
fn sessions_that_lists_take_for_idle_dont_keep_others_from_being_ended() {
    let match_idle = SessionMatch { states: vec!["IDLE".to_owned()], ..SessionMatch::default() };
    let mut operator = Operator::new(&Cleanup { rules: vec![rule("idle", match_idle)], ..enforce() });
    operator.is_busy = &|id| number(id) < 70;
    let sessions = sessions(71);
    let ended: Vec<_> = (0..12).flat_map(|_| operator.run(&sessions)).collect();
    assert!(ended.contains(&"s70".to_owned()) && ended.iter().all(|id| number(id) == 70), "{ended:?}");
}

#[test]
fn tags_that_athena_fails_to_list_for_good_dont_keep_others_from_being_read() {
    let tags = |id: &str| if number(id) < 45 { Err(unavailable(Operation::ListTagsForResource)) } else { no_tags(id) };
    let mut operator = Operator::new(&enforce());
    operator.tags = &tags;
    let sessions = sessions(46);
    let ended: Vec<_> = (0..8).flat_map(|_| operator.run(&sessions)).collect();
    assert!(ended.contains(&"s45".to_owned()) && ended.iter().all(|id| number(id) == 45), "{ended:?}");
}

/// The kind as an earlier version installed it has no selectable field: then all AthenaSessions are read for each end.
#[test]
fn an_api_server_that_takes_too_long_isnt_asked_again_and_again() {
    let mut operator = Operator::new(&enforce());
    operator.api_server_takes = Duration::from_secs(11);
    let sessions = sessions(2);
    operator.run(&sessions);
    assert!(operator.run(&sessions).is_empty());
    assert!(operator.steps < 16, "{} requests", operator.steps);
    assert!(operator.problem.as_ref().unwrap().contains("took too long"));
    operator.api_server_takes = Duration::ZERO;
    let ended: Vec<_> = (0..12).flat_map(|_| operator.run(&sessions)).collect();
    assert!(ended.contains(&"s0".to_owned()) && ended.contains(&"s1".to_owned()));
}

/// While many objects adopt sessions, one complete list follows the other.
#[test]
fn lists_that_follow_each_other_closely_dont_keep_sessions_from_being_ended() {
    let mut operator = Operator::new(&enforce());
    operator.list_each = Duration::from_millis(500);
    let sessions = sessions(10);
    let ended: Vec<_> = (0..2).flat_map(|_| operator.run(&sessions)).collect();
    assert_eq!(ended.len(), 10, "{:?}", operator.problem);
    // The rules are to be applied to a list that began half an interval later, so that this one is over.
    operator.api_server_takes = Duration::from_secs(9);
    assert!(operator.run(&sessions).len() < 10);
    assert!(operator.problem.unwrap().contains("the run took too long"));
}

/// The next list comes before the tags of so many sessions are read.
#[test]
fn an_athena_that_is_slow_to_list_tags_doesnt_keep_sessions_from_being_ended() {
    let mut operator = Operator::new(&enforce());
    (operator.tags_take, operator.list_each) = (Duration::from_secs(5), STEADY);
    let sessions = sessions(100);
    operator.run(&sessions);
    for _ in 0..3 {
        assert!(!operator.run(&sessions).is_empty(), "{:?}", operator.problem);
    }
}

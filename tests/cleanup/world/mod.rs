//! A small world for stories of clean-up: sessions, AthenaSessions, AthenaWorkGroups, and two operators that see them late.
//!
//! [`operator`] makes the requests of a run one by one, as the operator does. Each end of a session is held against what that
//! operator may have known, and against [`oracle`], which shares no code with the rules.

mod operator;
pub mod oracle;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use athena_session_operator::api::PAUSED;
use athena_session_operator::api::cleanup::Cleanup;
use athena_session_operator::api::work_group::{AthenaWorkGroup, AthenaWorkGroupSpec};
use athena_session_operator::athena::types::{SessionState, SessionStatus};
use athena_session_operator::cleanup::declarations::{Declaration, DeclaredSessions};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::operator::Operator;
use crate::fixtures::{NOW, PLACE, Session, marked, session};

/// Between two complete lists.
pub const STEADY: Duration = Duration::from_secs(60);

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Throttled,
    Denied,
    /// There is no answer, and no effect.
    Unavailable,
    /// There is an effect, and no answer.
    AnswerLost,
}

/// What happens in the world.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session is started, of this kind, that began so many minutes ago.
    Starts(u8, i64),
    Becomes(usize, SessionState),
    Tag(usize, &'static str, &'static str),
    Untag(usize),
    /// An AthenaSession that names the session is applied, without a grant.
    Declare(usize),
    /// The object that the session's mark names is applied.
    DeclareByMark(usize),
    /// All AthenaSessions go.
    Undeclare,
    Edit(usize, Option<Cleanup>),
    Pause(usize, bool),
    /// The account of an AthenaWorkGroup is known, or isn't.
    Locate(usize, bool),
    /// Somebody writes the object.
    Touch(usize),
    Wait(u64),
    /// The watches of an operator show everything up to now.
    Sync(usize),
    /// The process ends, and another one begins.
    Restart(usize),
    /// Calls of this operator go to another account from now on.
    SwitchAccount(usize),
    ReadOnly(usize, bool),
}

/// A session, with what becomes of it.
#[derive(Clone, Debug)]
pub struct Truth {
    pub now: Session,
    pub tags: BTreeMap<String, String>,
    /// Each status that the session had, and since when.
    history: Vec<(Timestamp, SessionStatus)>,
    /// Whether it has ever borne a tag.
    was_tagged: bool,
    pub ended_by_rule: bool,
}

/// Ends that were recorded in the status before they were made.
struct Reserved {
    process: u32,
    at: Instant,
    ends: usize,
}

pub struct World {
    tick: Instant,
    pub wall: Timestamp,
    pub sessions: Vec<Truth>,
    objects: Vec<(String, String)>,
    pub groups: Vec<AthenaWorkGroup>,
    is_located: [bool; 2],
    pub operators: [Operator; 2],
    processes: u32,
    pub faults: VecDeque<Fault>,
    /// The sessions whose tags can never be read.
    pub bad_tags: Vec<usize>,
    /// The sessions whose status can never be read.
    pub bad_status: Vec<usize>,
    /// The sessions whose tags couldn't be read at least once.
    pub was_unreadable: HashSet<String>,
    reservations: Vec<Reserved>,
    /// Each request that was made.
    pub told: Vec<String>,
    /// The invariant that was broken first.
    pub breach: Option<String>,
}

impl World {
    /// A world with AthenaWorkGroups of these rules.
    pub fn new(rules: Vec<Option<Cleanup>>) -> Self {
        let groups = rules.into_iter().enumerate().map(|(number, cleanup)| group(number, cleanup)).collect();
        let mut world = Self {
            tick: Instant::now(),
            wall: NOW,
            sessions: Vec::new(),
            objects: Vec::new(),
            groups,
            is_located: [true; 2],
            operators: [Operator::new(1), Operator::new(2)],
            processes: 2,
            faults: VecDeque::new(),
            bad_tags: Vec::new(),
            was_unreadable: HashSet::new(),
            bad_status: Vec::new(),
            reservations: Vec::new(),
            told: Vec::new(),
            breach: None,
        };
        (0..2).for_each(|operator| world.event(&Event::Sync(operator)));
        world
    }

    pub fn event(&mut self, event: &Event) {
        let count = self.sessions.len().max(1);
        let number = |number: usize| number % count;
        match event {
            Event::Starts(kind, minutes) => self.start(*kind, *minutes),
            Event::Becomes(which, state) => self.becomes(number(*which), state),
            Event::Tag(which, key, value) => {
                if let Some(session) = self.sessions.get_mut(number(*which)) {
                    session.was_tagged = true;
                    session.tags.insert((*key).to_owned(), (*value).to_owned());
                }
            }
            Event::Untag(which) => {
                if let Some(session) = self.sessions.get_mut(number(*which)) {
                    session.tags.clear();
                }
            }
            Event::Declare(which) => self.objects.push((format!("s{}", number(*which)), "other".to_owned())),
            Event::DeclareByMark(which) => {
                self.objects.push(("elsewhere".to_owned(), format!("uid-{}", number(*which))));
            }
            Event::Undeclare => self.objects.clear(),
            Event::Edit(which, cleanup) => self.edit(*which, |group| group.spec.cleanup.clone_from(cleanup)),
            Event::Pause(which, is_paused) => self.edit(*which, |group| {
                let annotations = group.metadata.annotations.get_or_insert_default();
                if *is_paused {
                    annotations.insert(PAUSED.to_owned(), String::new());
                } else {
                    annotations.remove(PAUSED);
                }
            }),
            Event::Locate(which, is_located) => self.is_located[which % 2] = *is_located,
            Event::Touch(which) => self.edit(*which, |_| {}),
            Event::Wait(seconds) => self.wait(*seconds),
            Event::Sync(operator) => self.sync(*operator),
            Event::Restart(operator) => {
                self.processes += 1;
                self.operators[*operator] = Operator::new(self.processes);
                self.sync(*operator);
            }
            Event::SwitchAccount(operator) => self.operators[*operator].is_elsewhere = true,
            Event::ReadOnly(operator, is_read_only) => self.operators[*operator].is_read_only = *is_read_only,
        }
    }

    /// Kinds: a notebook, one of dbt, one of production, an orphan, one of another cluster.
    fn start(&mut self, kind: u8, minutes: i64) {
        let number = self.sessions.len();
        if number >= 14 {
            return;
        }
        let ago = minutes - self.wall.duration_since(NOW).as_secs() / 60;
        let new = session(&format!("s{number}"), "IDLE", ago);
        let uid = format!("uid-{number}");
        let new = match kind % 5 {
            0 => new,
            1 => new.described("dbt: orders"),
            2 => new.described("dbt: prod"),
            3 => new.described(&marked("c1", &uid)),
            _ => new.described(&marked("c2", &uid)),
        };
        let history = vec![(self.wall, new.status.clone())];
        self.sessions.push(Truth { now: new, tags: BTreeMap::new(), history, was_tagged: false, ended_by_rule: false });
    }

    fn becomes(&mut self, which: usize, state: &SessionState) {
        let wall = self.wall;
        let Some(truth) = self.sessions.get_mut(which) else { return };
        let status = &mut truth.now.status;
        if status.state.is_ended() {
            return;
        }
        status.idle_since = if *state == SessionState::Idle { Some(wall) } else { None };
        status.state = state.clone();
        truth.history.push((wall, status.clone()));
    }

    fn edit(&mut self, which: usize, change: impl FnOnce(&mut AthenaWorkGroup)) {
        let count = self.groups.len();
        let group = &mut self.groups[which % count];
        change(group);
        let version = group.metadata.resource_version.take().unwrap_or_default().parse::<u64>().unwrap();
        group.metadata.resource_version = Some((version + 1).to_string());
    }

    fn wait(&mut self, seconds: u64) {
        self.tick += Duration::from_secs(seconds);
        self.wall += SignedDuration::from_secs(seconds.try_into().unwrap());
    }

    fn sync(&mut self, operator: usize) {
        let (objects, groups) = (self.declared(), self.groups.clone());
        let operator = &mut self.operators[operator];
        (operator.declared, operator.groups) = (objects, groups);
    }

    /// What the AthenaSessions of the cluster declare.
    fn declared(&self) -> DeclaredSessions {
        let mut declared = DeclaredSessions::default();
        for (named, uid) in &self.objects {
            declared.add(&Declaration { object: "team-a/x", uid, named: Some(named), ..Declaration::default() }, PLACE);
        }
        declared
    }

    /// What a list shows that is so many seconds late.
    fn listed(&self, lag: i64) -> Vec<Session> {
        let at = self.wall - SignedDuration::from_secs(lag);
        let then = |truth: &Truth| {
            let (_, status) = truth.history.iter().rfind(|(since, _)| *since <= at)?;
            (!status.state.is_ended()).then(|| Session { id: truth.now.id.clone(), status: status.clone() })
        };
        self.sessions.iter().filter_map(then).collect()
    }

    /// Whether the session is declared in truth.
    pub fn is_declared(&self, session: &Session) -> bool {
        self.declared().declared_by(&session.id, session.status.marker.as_deref()).is_some()
    }

    /// How many seconds have passed.
    pub fn clock(&self) -> u64 {
        self.wall.duration_since(NOW).as_secs().unsigned_abs()
    }

    fn breached(&mut self, what: impl FnOnce() -> String) {
        if self.breach.is_none() {
            self.breach = Some(what());
        }
    }
}

/// The AthenaWorkGroup of this number: the lower, the older.
pub fn group(number: usize, cleanup: Option<Cleanup>) -> AthenaWorkGroup {
    let spec = AthenaWorkGroupSpec {
        work_group: Some("spark".to_owned()),
        region: Some(PLACE.1.to_owned()),
        cleanup,
        ..AthenaWorkGroupSpec::default()
    };
    let mut group = AthenaWorkGroup::new(&format!("g{number}"), spec);
    group.metadata.uid = Some(format!("group-{number}"));
    group.metadata.resource_version = Some("1".to_owned());
    group.metadata.creation_timestamp = Some(Time(NOW + SignedDuration::from_secs(number.try_into().unwrap())));
    group
}

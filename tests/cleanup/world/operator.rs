//! An operator that cleans up: it makes one request at a time, in the order in which `src/work_group/cleanup_reconciler.rs` does.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use athena_session_operator::api::cleanup::CleanupStatus;
use athena_session_operator::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus};
use athena_session_operator::athena::marker::Marker;
use athena_session_operator::athena::types::{CallError, ErrorClass, Operation, SessionState, SessionStatus};
use athena_session_operator::cleanup::declarations::{Declarations, DeclaredSessions};
use athena_session_operator::index::claims::Location;
use athena_session_operator::session::observed::ANSWER_LIFE;
use athena_session_operator::work_group::cleanup::facts::CleanupFacts;
use athena_session_operator::work_group::cleanup::hold::Hold;
use athena_session_operator::work_group::cleanup::memory::CleanupMemory;
use athena_session_operator::work_group::cleanup::registrations::{Registered, Registrations, WorkGroupId};
use athena_session_operator::work_group::cleanup::report::CleanupReport;
use athena_session_operator::work_group::cleanup::run::{CleanupStep, Run};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{Fault, Reserved, STEADY, World, oracle};
use crate::fixtures::{CLUSTER, PLACE, Session};

/// More requests than any run can need.
const MOST_STEPS: usize = 300;

/// A process.
pub struct Operator {
    number: u32,
    /// What the watches show.
    pub declared: DeclaredSessions,
    pub groups: Vec<AthenaWorkGroup>,
    pub is_read_only: bool,
    pub is_elsewhere: bool,
    since: Option<Instant>,
    latest: Option<List>,
    memories: BTreeMap<String, Remembered>,
    running: Option<Running>,
    /// What the last run found.
    pub report: Option<CleanupReport>,
}

/// What is kept for an AthenaWorkGroup, and which list was judged last under it.
struct Remembered {
    memory: CleanupMemory,
    judged: Option<List>,
}

/// A complete list.
#[derive(Clone)]
struct List {
    began: Instant,
    sessions: Vec<Session>,
}

/// What the requests of this run showed in truth.
#[derive(Default)]
struct Looks {
    tags: Option<BTreeMap<String, String>>,
    status: Option<(Instant, SessionStatus)>,
    declared: Option<(Instant, bool)>,
}

struct Running {
    group: String,
    run: Run,
    list: List,
    list_wall: Timestamp,
    hold: Option<Hold>,
    reserved_by_others: usize,
    /// The AthenaWorkGroups as they were read.
    confirmed: Option<Vec<AthenaWorkGroup>>,
    reserved: Option<usize>,
    ended: usize,
    looks: HashMap<String, Looks>,
    steps: usize,
    /// Calls go to another account meanwhile.
    is_given_up: bool,
}

impl Operator {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            declared: DeclaredSessions::default(),
            groups: Vec::new(),
            is_read_only: false,
            is_elsewhere: false,
            since: None,
            latest: None,
            memories: BTreeMap::new(),
            running: None,
            report: None,
        }
    }
}

impl World {
    /// A complete list of this operator, so many seconds late; one session is missing from it.
    pub fn list(&mut self, operator: usize, lag: i64, missing: Option<usize>) {
        let mut sessions = self.listed(lag);
        if let Some(missing) = missing.filter(|missing| *missing < sessions.len()) {
            sessions.remove(missing);
        }
        let began = self.tick;
        let operator = &mut self.operators[operator];
        if operator.is_elsewhere {
            (operator.is_elsewhere, operator.since) = (false, Some(began));
        }
        operator.latest = Some(List { began, sessions });
    }

    /// The operator makes its next request. Returns whether there was one.
    pub fn step(&mut self, operator: usize) -> bool {
        let begun = self.operators[operator].running.take();
        let Some(mut running) = begun.or_else(|| self.begin(operator)) else { return false };
        let group = running.group.clone();
        let Some(mut kept) = self.operators[operator].memories.remove(&group) else { return false };
        let goes_on = self.request(operator, &mut running, &mut kept);
        if goes_on {
            self.operators[operator].running = Some(running);
        } else if !running.is_given_up {
            self.finish(operator, running, &mut kept);
        }
        self.operators[operator].memories.insert(group, kept);
        goes_on
    }

    /// Makes all requests of the run that is due.
    pub fn run(&mut self, operator: usize) {
        while self.step(operator) {}
    }

    fn registrations<'g>(&self, groups: &'g [AthenaWorkGroup]) -> Registrations<'g> {
        let place = WorkGroupId { account: PLACE.0, region: PLACE.1, work_group: "spark" };
        let located = groups.iter().zip(self.is_located).map(|(group, is_located)| {
            let account = is_located.then(|| PLACE.0.to_owned());
            Registered::Readable {
                group,
                location: Location { account, region: Some(PLACE.1.to_owned()), work_group: None },
            }
        });
        Registrations::of(place, located)
    }

    /// The reconciliation of the AthenaWorkGroup that leads.
    fn begin(&mut self, operator: usize) -> Option<Running> {
        let groups = self.operators[operator].groups.clone();
        let registrations = self.registrations(&groups);
        let leader = registrations.leader().map(ResourceExt::name_any);
        let (sources, hold) = (registrations.sources(), registrations.hold(self.operators[operator].is_read_only));
        let budget = registrations.budget().cloned();
        let this = &mut self.operators[operator];
        this.memories.retain(|name, _| Some(name) == leader.as_ref());
        let group = leader?;
        if this.memories.get(&group).is_none_or(|kept| !kept.memory.fits(&sources, this.since)) {
            let memory = CleanupMemory::new(&sources, this.since);
            this.memories.insert(group.clone(), Remembered { memory, judged: None });
        }
        let this = &self.operators[operator];
        let kept = this.memories.get(&group)?;
        let reserved_by_others = kept.memory.reserved_by_others(budget.as_ref(), STEADY, self.wall);
        let list = this.latest.clone().filter(|list| kept.memory.is_due(list.began, STEADY))?;
        let begin = |facts: &CleanupFacts<'_>| {
            Run::begin(list.began, list.sessions.iter().map(Session::listed), &kept.memory, facts)
        };
        let run = self.with_facts(operator, &kept.memory, hold.is_none(), reserved_by_others, begin);
        let (list_wall, looks) = (self.wall, HashMap::new());
        let (confirmed, reserved, ended, steps, is_given_up) = Default::default();
        Some(Running {
            group,
            run,
            list,
            list_wall,
            hold,
            reserved_by_others,
            confirmed,
            reserved,
            ended,
            looks,
            steps,
            is_given_up,
        })
    }

    fn with_facts<T>(
        &self,
        operator: usize,
        memory: &CleanupMemory,
        is_free: bool,
        reserved_by_others: usize,
        ask: impl FnOnce(&CleanupFacts<'_>) -> T,
    ) -> T {
        let declared = &self.operators[operator].declared;
        let declared_by = |id: &str, marker: Option<&Marker>| declared.declared_by(id, marker);
        ask(&CleanupFacts {
            policy: &memory.policy,
            declarations: Declarations { cluster: Some(CLUSTER), declared_by: &declared_by },
            athena_time: self.wall,
            tick: self.tick,
            may_end: memory.policy.enforces && is_free,
            reserved_by_others,
            ended_before: 0,
        })
    }

    fn finish(&mut self, operator: usize, running: Running, kept: &mut Remembered) {
        let is_second = kept.memory.has_judged();
        running.run.finish(&mut kept.memory);
        kept.judged = Some(running.list);
        if is_second {
            let report =
                self.with_facts(operator, &kept.memory, running.hold.is_none(), running.reserved_by_others, |facts| {
                    CleanupReport::of(&running.run, facts, running.hold.clone(), self.wall)
                });
            self.operators[operator].report = Some(report);
        }
    }

    /// Makes the next request of a run. Returns whether the run goes on.
    fn request(&mut self, operator: usize, running: &mut Running, kept: &mut Remembered) -> bool {
        running.steps += 1;
        if running.steps > MOST_STEPS {
            self.breached(|| "a run makes requests without end".to_owned());
            return false;
        }
        if let Some(latest) = &self.operators[operator].latest {
            running.run.overtaken_by(latest.began, STEADY);
        }
        let shown = self.registrations(&self.operators[operator].groups);
        if !kept.memory.fits(&shown.sources(), self.operators[operator].since)
            || shown.hold(self.operators[operator].is_read_only) != running.hold
        {
            running.run.work_groups_changed();
        }
        let (is_free, reserved_by_others, memory) =
            (running.hold.is_none(), running.reserved_by_others, &mut kept.memory);
        let step = self.with_facts(operator, memory, is_free, reserved_by_others, |facts| running.run.next(facts));
        self.told.push(format!("{:?} operator {operator}: {step:?}", self.wall));
        if step == CleanupStep::Done {
            return false;
        }
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        self.wait(1);
        match step {
            CleanupStep::Done => return false,
            CleanupStep::ListTags { id } => {
                let answer = self.list_tags(running, &id, fault);
                self.with_facts(operator, memory, is_free, reserved_by_others, |facts| {
                    running.run.tags_read(&id, answer, facts);
                });
            }
            CleanupStep::GetCallerIdentity => {
                running.run.account_confirmed(fault == Fault::None && !self.operators[operator].is_elsewhere);
            }
            CleanupStep::ReadWorkGroups => self.read_work_groups(operator, running, kept, fault),
            CleanupStep::Reserve { ends } => self.reserve(operator, running, kept, ends, fault),
            CleanupStep::GetSessionStatus { id, .. } => self.get_session_status(running, &id, fault),
            CleanupStep::ReadDeclarations { id, markers } => self.read_declarations(running, &id, &markers, fault),
            CleanupStep::TerminateSession { id, .. } => {
                if self.operators[operator].is_elsewhere {
                    running.is_given_up = true;
                    return false;
                }
                let answer = self.answer(fault, Operation::TerminateSession, false);
                if answer.is_ok() || fault == Fault::AnswerLost {
                    self.ends(operator, running, kept, &id);
                }
                running.run.terminated(&id, answer);
            }
        }
        true
    }

    fn list_tags(
        &mut self,
        running: &mut Running,
        id: &str,
        fault: Fault,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let answer = self.answer(fault, Operation::ListTagsForResource, self.bad_tags.contains(&index(id)));
        if answer.is_err() {
            self.was_unreadable.insert(id.to_owned());
        }
        let tags = self.sessions[index(id)].tags.clone();
        running.looks.entry(id.to_owned()).or_default().tags = answer.is_ok().then(|| tags.clone());
        answer.map(|()| tags)
    }

    fn read_work_groups(&mut self, operator: usize, running: &mut Running, kept: &Remembered, fault: Fault) {
        let registrations = self.registrations(&self.groups);
        let is_leader = registrations.leader().is_some_and(|leader| leader.name_any() == running.group);
        let is_held = registrations.hold(self.operators[operator].is_read_only).is_some();
        let is_same = kept.memory.fits(&registrations.sources(), self.operators[operator].since);
        let others = kept.memory.reserved_by_others(registrations.budget(), STEADY, self.wall);
        running.reserved_by_others = running.reserved_by_others.max(others);
        let is_so = fault == Fault::None && is_leader && is_same && !is_held;
        running.confirmed = is_so.then(|| self.groups.clone());
        running.run.work_groups_read(is_so);
    }

    fn get_session_status(&self, running: &mut Running, id: &str, fault: Fault) {
        let sent = self.tick;
        let answer = self.answer(fault, Operation::GetSessionStatus, self.bad_status.contains(&index(id)));
        let truth = self.sessions[index(id)].now.status.clone();
        running.looks.entry(id.to_owned()).or_default().status = answer.is_ok().then(|| (sent, truth.clone()));
        // GetSessionStatus shows neither description nor mark.
        let shown = SessionStatus { description: None, marker: None, ..truth };
        running.run.status_read(id, answer.map(|()| shown), sent);
    }

    fn read_declarations(&self, running: &mut Running, id: &str, markers: &[Marker], fault: Fault) {
        let (sent, declared) = (self.tick, self.declared());
        let marker = self.sessions[index(id)].now.status.marker.clone();
        let is_declared = declared.declared_by(id, marker.as_deref()).is_some();
        assert!(marker.is_none_or(|marker| markers.contains(&marker)), "the mark's object is to be read");
        let answer = if fault == Fault::None { Ok(declared) } else { Err("no answer".to_owned()) };
        running.looks.entry(id.to_owned()).or_default().declared = answer.is_ok().then_some((sent, is_declared));
        running.run.declarations_read(id, answer, sent);
    }

    fn reserve(&mut self, operator: usize, running: &mut Running, kept: &mut Remembered, ends: usize, fault: Fault) {
        let Some(read) = running.confirmed.clone() else { return running.run.reserved(false) };
        let position = self.groups.iter().position(|group| group.name_any() == running.group).unwrap();
        let version = |group: &AthenaWorkGroup| group.metadata.resource_version.clone();
        let is_written = matches!(fault, Fault::None | Fault::AnswerLost)
            && version(&read[position]) == version(&self.groups[position]);
        let recorded = self.registrations(&read).budget().cloned();
        let reservation = kept.memory.reserve(recorded.as_ref(), ends, STEADY, self.wall);
        if is_written {
            let budget = Some(reservation.budget.clone());
            self.edit(position, |group| {
                let cleanup = Some(CleanupStatus { budget, ..CleanupStatus::default() });
                group.status = Some(AthenaWorkGroupStatus { cleanup, ..AthenaWorkGroupStatus::default() });
            });
            self.check_budget(operator, running, kept, ends);
        }
        let is_recorded = is_written && fault == Fault::None;
        if is_recorded {
            running.reserved = Some(ends);
            kept.memory.reserved(reservation);
        }
        running.run.reserved(is_recorded);
    }

    /// The ends of all processes within an interval stay within one budget, and the share of matched sessions within its bound.
    fn check_budget(&mut self, operator: usize, running: &Running, kept: &Remembered, ends: usize) {
        let (at, process) = (self.tick, self.operators[operator].number);
        let others = |one: &&Reserved| one.process != process && one.at + STEADY > at;
        let reserved_by_others: usize = self.reservations.iter().filter(others).map(|one| one.ends).sum();
        let most = kept.memory.policy.max_terminations_per_run;
        self.reservations.push(Reserved { process, at, ends });
        if reserved_by_others + ends > most {
            self.breached(|| {
                format!("{ends} ends are reserved, and others reserved {reserved_by_others} of {most} a moment ago")
            });
        }
        let rules = oracle::rules_of(running.confirmed.as_deref().unwrap_or_default());
        let declared = &self.operators[operator].declared;
        let live =
            |session: &&Session| !session.status.state.is_ended() && session.status.state != SessionState::Terminating;
        let live: Vec<_> = running.list.sessions.iter().filter(live).collect();
        let is_matched = |session: &&&Session| {
            oracle::matches(&rules, &session.status, running.list_wall)
                && declared.declared_by(&session.id, session.status.marker.as_deref()).is_none()
                && !self.sessions[index(&session.id)].was_tagged
                // Tags that can't be read protect, so the session doesn't count in the share.
                && !self.was_unreadable.contains(&session.id)
        };
        let (matched, live) = (live.iter().filter(is_matched).count(), live.len());
        if matched > 5 && matched * 100 > live * kept.memory.policy.max_matched_percent {
            self.breached(|| format!("{matched} of {live} sessions are matched, and sessions are ended"));
        }
    }

    /// Athena ends the session. Everything that had to be known is looked up in the truth.
    fn ends(&mut self, operator: usize, running: &mut Running, kept: &Remembered, id: &str) {
        running.ended += 1;
        let status = self.sessions[index(id)].now.status.clone();
        let (tick, wall) = (self.tick, self.wall);
        // The request itself takes a second.
        let is_recent = |at: Instant| tick <= at + ANSWER_LIFE + std::time::Duration::from_secs(1);
        let confirmed = running.confirmed.clone().unwrap_or_default();
        let rules = oracle::rules_of(&confirmed);
        let looks = running.looks.get(id);
        let is_listed = |list: Option<&List>| {
            list.and_then(|list| list.sessions.iter().find(|session| session.id == id))
                .is_some_and(|session| oracle::matches(&rules, &session.status, wall))
        };
        let declared = &self.operators[operator].declared;
        let checks: [(&str, bool); 11] = [
            ("all AthenaWorkGroups asked for it", oracle::all_enforce(&confirmed) && !confirmed.is_empty()),
            ("the operator may write", !self.operators[operator].is_read_only),
            ("no watch shows a pause or other rules", {
                let shown = &self.operators[operator].groups;
                oracle::all_enforce(shown) && oracle::rules_of(shown) == rules
            }),
            ("the account is the one that was listed", !self.operators[operator].is_elsewhere),
            ("its end was reserved", running.reserved.is_some_and(|reserved| running.ended <= reserved)),
            ("this list shows it as matched", is_listed(Some(&running.list))),
            ("the list before shows it as matched", is_listed(kept.judged.as_ref())),
            ("its tags were read in this run, and don't protect", {
                let tags = looks.and_then(|looks| looks.tags.as_ref());
                tags.is_some_and(|tags| !oracle::tags_protect(&rules, tags, wall))
            }),
            ("its status was read a moment ago, and is matched", {
                let status = looks.and_then(|looks| looks.status.as_ref());
                status.is_some_and(|(at, status)| is_recent(*at) && oracle::matches(&rules, status, wall))
            }),
            ("a moment ago nobody declared it", {
                let declared = looks.and_then(|looks| looks.declared);
                declared.is_some_and(|(at, is_declared)| is_recent(at) && !is_declared)
            }),
            ("no watch shows a declaration", declared.declared_by(id, status.marker.as_deref()).is_none()),
        ];
        if let Some((broken, _)) = checks.into_iter().find(|(_, is_so)| !is_so) {
            self.breached(|| format!("session {id} is ended, and this isn't so: {broken}"));
        }
        self.sessions[index(id)].ended_by_rule = true;
        self.becomes(index(id), &SessionState::Terminated);
    }

    fn answer(&self, fault: Fault, operation: Operation, is_bad: bool) -> Result<(), CallError> {
        let class = match fault {
            Fault::None if is_bad => ErrorClass::Denied,
            Fault::None => return Ok(()),
            Fault::Throttled => ErrorClass::Throttled,
            Fault::Denied => ErrorClass::Denied,
            Fault::Unavailable | Fault::AnswerLost => ErrorClass::Unavailable,
        };
        let (code, message, request_id) = ("Code".to_owned(), "a fault".to_owned(), None);
        Err(CallError { operation, class, code, message, request_id })
    }
}

fn index(id: &str) -> usize {
    id.trim_start_matches('s').parse().unwrap()
}

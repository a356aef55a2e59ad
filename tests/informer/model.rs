//! A work group in Athena whose lists lag behind and whose pages shift; the shell that calls it; and objects that
//! watch its sessions as the operator's would.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::{
    Asker, CallFailure, ErrorClass, Interest, ListAnswer, ListRequest, Marker, Operation, Plan, Polled, SessionPage,
    SessionState, SessionStatus, Sought, Source, Task,
};
pub use crate::timing::{TIMING, seconds};

pub const PAGE: usize = 100;

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The moment so long after the story began.
pub fn at(elapsed: Duration) -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *BEGAN + elapsed
}

#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    /// In milliseconds after the story began, or before.
    pub start: i64,
    /// Its states, from when on.
    states: Vec<(Duration, SessionState)>,
}

impl Session {
    pub fn state_at(&self, when: Duration) -> Option<&SessionState> {
        let begun = self.states.iter().rev().find(|(since, _)| *since <= when).map(|(_, state)| state);
        begun.filter(|_| self.start <= i64::try_from(when.as_millis()).unwrap())
    }

    /// Its place in every list: the newest start comes first.
    fn place(&self) -> (i64, &str) {
        (-self.start, &self.id)
    }

    fn status(&self, state: &SessionState) -> SessionStatus {
        SessionStatus {
            state: state.clone(),
            state_change_reason: None,
            started_at: Some(Timestamp::from_millisecond(1_800_000_000_000 + self.start).unwrap()),
            idle_since: None,
            ended_at: None,
            description: None,
            marker: Some(Box::new(mark(&self.id))),
            engine: None,
        }
    }
}

/// How Athena's tokens tell where a page begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tokens {
    /// After so many sessions: pages shift when sessions come and go.
    Offsets,
    /// After this session.
    Keysets,
}

/// What happens in a story.
#[derive(Clone, Debug)]
pub enum Act {
    /// An object is created for a session.
    Watch(String),
    /// It is gone.
    Unwatch(String),
    /// It ends its session, which takes so long.
    Terminate(String, Duration),
    /// The session changes by itself.
    Becomes(String, SessionState),
    /// A session starts.
    Starts(String),
    /// Calls fail from now on, or don't.
    Fails(Operation, Option<ErrorClass>),
    /// Another account answers; then the first one again.
    Reset,
    /// An object asks for a complete list, by the mark that a session of this name would bear.
    Ask(String),
    /// An object asks for a complete list, for the session of this id.
    Search(String),
    /// The object asks once more, since lists couldn't be had.
    AskAgain(Asker),
}

/// A call, and when it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub sent: Duration,
    pub operation: Operation,
    pub filter: Option<SessionState>,
}

pub struct World {
    pub plan: Plan,
    pub now: Duration,
    pub latency: Duration,
    pub lag: Duration,
    pub tokens: Tokens,
    /// When the objects were created, which ask by their mark; None: they ask for all sessions.
    pub asked_since: Option<i64>,
    /// The newest start first.
    sessions: Vec<Session>,
    index: RefCell<HashMap<String, usize>>,
    pub acts: BTreeMap<Duration, Vec<Act>>,
    failing: HashMap<Operation, ErrorClass>,
    pub calls: Vec<Call>,
    pub watched: HashMap<String, Interest>,
    /// The states that lists show of sessions, where those aren't the sessions' own.
    pub listed_as: HashMap<String, SessionState>,
    /// Each state that an object saw, and when.
    pub noticed: Vec<(Duration, String, SessionState)>,
    pub notifications: usize,
    /// What objects wait for.
    pub asking: HashMap<Asker, ListRequest>,
    /// What they were told, and when.
    pub answers: Vec<(Duration, ListRequest, ListAnswer)>,
    pub breach: Option<String>,
}

impl World {
    pub fn new() -> Self {
        Self {
            plan: Plan::new(TIMING),
            now: Duration::ZERO,
            latency: millis(50),
            lag: Duration::ZERO,
            tokens: Tokens::Keysets,
            asked_since: None,
            sessions: Vec::new(),
            index: RefCell::default(),
            acts: BTreeMap::new(),
            failing: HashMap::new(),
            calls: Vec::new(),
            watched: HashMap::new(),
            listed_as: HashMap::new(),
            noticed: Vec::new(),
            notifications: 0,
            asking: HashMap::new(),
            answers: Vec::new(),
            breach: None,
        }
    }

    /// Sessions `PREFIX-0`, `PREFIX-1` and so on, each started a second before the one before it.
    pub fn with(mut self, prefix: &str, count: usize, newest: i64, state: &SessionState) -> Self {
        for number in 0..count {
            let start = newest - 1000 * i64::try_from(number).unwrap();
            let states = vec![(Duration::ZERO, state.clone())];
            self.sessions.push(Session { id: format!("{prefix}-{number}"), start, states });
        }
        self.sort();
        self
    }

    fn sort(&mut self) {
        self.sessions.sort_by(|one, other| one.place().cmp(&other.place()));
        self.index.borrow_mut().clear();
    }

    pub fn session(&self, id: &str) -> Option<&Session> {
        let mut index = self.index.borrow_mut();
        if index.is_empty() {
            *index = self.sessions.iter().enumerate().map(|(at, session)| (session.id.clone(), at)).collect();
        }
        index.get(id).map(|at| &self.sessions[*at])
    }

    fn session_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.session(id)?;
        let at = self.index.borrow()[id];
        Some(&mut self.sessions[at])
    }

    pub fn act_at(&mut self, when: Duration, act: Act) {
        self.acts.entry(when).or_default().push(act);
    }

    pub fn count(&self, operation: Operation) -> usize {
        self.calls.iter().filter(|call| call.operation == operation).count()
    }

    pub fn forget_the_past(&mut self) {
        self.calls.clear();
        self.noticed.clear();
        self.notifications = 0;
    }

    /// The shell: asks what is next, calls, hands in.
    pub fn run_until(&mut self, end: Duration) {
        let mut notified_here = 0;
        self.pass_to(self.now);
        while self.now < end && self.breach.is_none() {
            match self.plan.next(at(self.now)) {
                Task::NotifyWatchers(ids) => {
                    notified_here += 1;
                    if notified_here > 10 {
                        self.breach = Some(format!("notifies again and again at {:?}", self.now));
                    }
                    ids.iter().for_each(|id| self.reconcile(id));
                    continue;
                }
                Task::NotifyAskers(askers) => {
                    askers.iter().for_each(|asker| self.hear(asker));
                    continue;
                }
                Task::Wait(until) => {
                    let until = until.map_or(end, |until| until.duration_since(at(Duration::ZERO)));
                    if until <= self.now {
                        self.breach = Some(format!("waits for what has passed at {:?}", self.now));
                    }
                    let next_act = self.acts.keys().next().copied().unwrap_or(end);
                    self.pass_to(until.min(next_act).min(end));
                }
                Task::GetSessionStatus { id, .. } => self.status(&id),
                Task::ListSessions { filter, token, .. } => self.page(filter.as_ref(), token.as_deref()),
            }
            notified_here = 0;
        }
    }

    fn pass_to(&mut self, when: Duration) {
        while let Some(entry) = self.acts.first_entry().filter(|entry| *entry.key() <= when) {
            self.now = self.now.max(*entry.key());
            entry.remove().into_iter().for_each(|act| self.act(act));
        }
        self.now = self.now.max(when);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Watch(id) => self.adopt(&id),
            Act::Unwatch(id) => {
                self.watched.remove(&id);
                self.plan.unwatch(&id);
            }
            Act::Terminate(id, takes) => self.terminate(&id, takes),
            Act::Becomes(id, state) => self.becomes(&id, self.now, state),
            Act::Starts(id) => {
                let start = i64::try_from(self.now.as_millis()).unwrap();
                if self.session(&id).is_none() {
                    let states = vec![(self.now, SessionState::Creating), (self.now + seconds(7), SessionState::Idle)];
                    self.sessions.push(Session { id, start, states });
                    self.sort();
                }
            }
            Act::Fails(operation, None) => drop(self.failing.remove(&operation)),
            Act::Fails(operation, Some(class)) => drop(self.failing.insert(operation, class)),
            Act::Reset => {
                self.plan.reset(at(self.now));
                self.asking.clone().iter().for_each(|(asker, wanted)| self.ask(asker, wanted));
            }
            Act::Ask(id) => {
                let Marker { cluster, uid, .. } = mark(&id);
                self.ask_for(id, Sought::Mark { cluster, uid });
            }
            Act::Search(id) => self.ask_for(id.clone(), Sought::Session(id)),
            Act::AskAgain(asker) => {
                if let Some(wanted) = self.asking.get(&asker).cloned() {
                    self.ask(&asker, &wanted);
                }
            }
        }
    }

    fn ask_for(&mut self, id: String, sought: Sought) {
        let mut wanted = ListRequest {
            work_group: String::new(),
            sought,
            since: None,
            after: Some(at(self.now)),
            is_pressing: true,
        };
        if let (Sought::Mark { .. }, Some(since)) = (&wanted.sought, self.asked_since) {
            wanted.since = Some(Timestamp::from_millisecond(1_800_000_000_000 + since).unwrap());
        }
        let asker = ("team-a".to_owned(), id);
        self.ask(&asker, &wanted);
        self.asking.insert(asker, wanted);
    }

    fn ask(&mut self, asker: &Asker, wanted: &ListRequest) {
        self.plan.ask_for_list(asker, wanted, at(self.now));
    }

    fn hear(&mut self, asker: &Asker) {
        let Some(wanted) = self.asking.get(asker).cloned() else { return };
        match self.plan.list_answer(asker, &wanted) {
            None => {}
            Some(ListAnswer::Failed) => self.act_at(self.now + seconds(1), Act::AskAgain(asker.clone())),
            Some(found) => {
                self.judge_list(&wanted, &found);
                self.asking.remove(asker);
                self.answers.push((self.now, wanted, found));
            }
        }
    }

    /// What a list is said to lack isn't there; nor does it speak for what was before the object asked.
    fn judge_list(&mut self, wanted: &ListRequest, found: &ListAnswer) {
        let id = match &wanted.sought {
            Sought::Mark { uid, .. } => uid.strip_prefix("uid-of-").unwrap(),
            Sought::Session(id) => id,
        };
        match found {
            ListAnswer::Shown(shown) if shown.id != id => {
                self.breach = Some(format!("{} was shown for {id}", shown.id));
            }
            ListAnswer::Lacking(list) => {
                let began = list.began - at(Duration::ZERO);
                let was_there = began.checked_sub(self.lag).and_then(|when| self.session(id)?.state_at(when));
                // Offsets shift when sessions come and go: a list may then miss one, which the second list shows.
                if was_there.is_some_and(|it| !it.is_ended()) && self.tokens == Tokens::Keysets {
                    self.breach = Some(format!("the list of {began:?} lacks {id}, which was there"));
                }
                if wanted.after.is_some_and(|after| list.began < after) {
                    self.breach = Some(format!("the list of {began:?} was begun before {id} was asked for"));
                }
            }
            _ => {}
        }
    }

    fn becomes(&mut self, id: &str, when: Duration, state: SessionState) {
        let now = self.now;
        let Some(session) = self.session_mut(id) else { return };
        if session.state_at(now).is_some_and(|state| !state.is_ended()) {
            session.states.retain(|(since, _)| *since <= now);
            session.states.push((when, state));
        }
    }

    fn adopt(&mut self, id: &str) {
        self.watched.insert(id.to_owned(), Interest::FirstSight);
        self.plan.watch(id, Interest::FirstSight, at(self.now));
        self.reconcile(id);
        self.notifications -= 1;
    }

    fn terminate(&mut self, id: &str, takes: Duration) {
        let active = self.session(id).and_then(|session| session.state_at(self.now)).is_some_and(|it| !it.is_ended());
        if !active || !self.watched.contains_key(id) {
            return;
        }
        let now = self.now;
        self.becomes(id, now, SessionState::Terminating);
        self.session_mut(id).unwrap().states.push((now + takes, SessionState::Terminated));
        let status = self.session(id).unwrap().status(&SessionState::Terminating);
        self.plan.observe(id, status, at(now), Source::List);
        self.look(id);
    }

    /// Reconciles the object that watches this session.
    fn reconcile(&mut self, id: &str) {
        self.notifications += 1;
        if !self.watched.contains_key(id) {
            return;
        }
        if self.plan.sighting(id) == Polled::AskYourself {
            self.calls.push(Call { sent: self.now, operation: Operation::GetSession, filter: None });
            let state = self.session(id).and_then(|session| Some(session.status(session.state_at(self.now)?)));
            if let Some(status) = state.filter(|_| !self.failing.contains_key(&Operation::GetSession)) {
                self.plan.observe(id, status, at(self.now), Source::Call);
            }
        }
        self.look(id);
    }

    fn look(&mut self, id: &str) {
        let Polled::Seen { status, .. } = self.plan.sighting(id) else { return };
        if status.state.is_ended() && self.listed_as.contains_key(id) {
            // As an object does whose session a list shows as ended.
            self.calls.push(Call { sent: self.now, operation: Operation::GetSession, filter: None });
            let state = self.session(id).and_then(|session| session.state_at(self.now)).cloned();
            let status = state.and_then(|state| Some(self.session(id)?.status(&state)));
            status.into_iter().for_each(|status| self.plan.observe(id, status, at(self.now), Source::Call));
        }
        let Polled::Seen { status, .. } = self.plan.sighting(id) else { return };
        let state = status.state.clone();
        self.judge(id, &state);
        let fast = matches!(state, SessionState::Creating | SessionState::Created | SessionState::Terminating);
        let interest = if fast { Interest::Changing } else { Interest::Steady };
        self.plan.watch(id, interest, at(self.now));
        self.watched.insert(id.to_owned(), interest);
        self.noticed.push((self.now, id.to_owned(), state));
    }

    /// An end that is told is true.
    fn judge(&mut self, id: &str, state: &SessionState) {
        let truth = self.session(id).and_then(|session| session.state_at(self.now));
        let was_ever = self.session(id).is_some_and(|session| session.states.iter().any(|(_, it)| it == state));
        if !was_ever || (state.is_ended() && truth != Some(state)) {
            self.breach = Some(format!("{id} is {truth:?}, and {state} was told"));
        }
    }

    fn called(&mut self, operation: Operation, filter: Option<SessionState>) -> (Duration, Duration) {
        let sent = self.now;
        self.calls.push(Call { sent, operation, filter });
        let at_once = self.calls.iter().rev().take_while(|call| call.sent == sent).count();
        if at_once > 3 * self.watched.len() + 2 * self.sessions.len() / PAGE + 50 {
            self.breach = Some(format!("{at_once} calls at {sent:?}"));
        }
        (sent, sent + self.latency / 2)
    }

    fn failure(&self, operation: Operation) -> Option<CallFailure> {
        self.failing.get(&operation).map(|class| CallFailure { class: *class, jitter: 1.0 })
    }

    fn status(&mut self, id: &str) {
        let (sent, answered) = self.called(Operation::GetSessionStatus, None);
        self.pass_to(answered);
        let found = self.session(id).and_then(|session| Some(session.status(session.state_at(answered)?)));
        let absent = CallFailure { class: ErrorClass::NotFoundOrInvalid, jitter: 1.0 };
        let answer = self.failure(Operation::GetSessionStatus).map_or(found.ok_or(absent), Err);
        self.pass_to(sent + self.latency);
        self.plan.status_answered(id, answer, at(sent), at(self.now));
    }

    fn page(&mut self, filter: Option<&SessionState>, token: Option<&str>) {
        let (sent, answered) = self.called(Operation::ListSessions, filter.cloned());
        self.pass_to(answered);
        let listed = self.list(filter, token, answered.saturating_sub(self.lag));
        let answer = self.failure(Operation::ListSessions).map_or(Ok(listed), Err);
        self.pass_to(sent + self.latency);
        self.plan.page_answered(answer, at(sent), at(self.now));
    }

    fn list(&self, filter: Option<&SessionState>, token: Option<&str>, when: Duration) -> SessionPage {
        let skipped = match (self.tokens, token) {
            (_, None) => 0,
            (Tokens::Offsets, Some(token)) => token.parse().unwrap(),
            (Tokens::Keysets, Some(id)) => {
                let last = self.session(id).unwrap().place();
                self.sessions.partition_point(|session| session.place() <= last)
            }
        };
        let (before, after) = if self.tokens == Tokens::Keysets { (skipped, 0) } else { (0, skipped) };
        let all = self.sessions[before..].iter().filter_map(|session| {
            let state = session.state_at(when)?;
            Some((session, self.listed_as.get(&session.id).unwrap_or(state)))
        });
        let all = all.filter(|(_, state)| is_listed(state, filter));
        let mut rest = all.skip(after).peekable();
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let last = page.last().map(|(session, _)| match self.tokens {
            Tokens::Offsets => (after + PAGE).to_string(),
            Tokens::Keysets => session.id.clone(),
        });
        let next_token = last.filter(|_| rest.peek().is_some());
        let sessions = page.into_iter().map(|(session, state)| (session.id.clone(), session.status(state))).collect();
        SessionPage { sessions, next_token }
    }

    /// All answer again, and objects that ask for themselves do.
    pub fn heal(&mut self) {
        self.failing.clear();
        let alone = |id: &&String| self.plan.sighting(id) == Polled::AskYourself;
        let ids: Vec<_> = self.watched.keys().filter(alone).cloned().collect();
        ids.iter().for_each(|id| self.reconcile(id));
    }

    /// How many pages the lists have that show what hasn't ended.
    pub fn pages(&self) -> usize {
        let filters = [None, Some(SessionState::Degraded), Some(SessionState::Terminating)];
        let now = filters.iter().map(|filter| {
            let states = self.sessions.iter().filter_map(|session| session.state_at(self.now));
            states.filter(|state| is_listed(state, filter.as_ref())).count().div_ceil(PAGE).max(1)
        });
        now.sum()
    }

    /// The watched sessions of which the plan believes something else than what is, and says so.
    pub fn mistaken(&self) -> Vec<String> {
        let is_right = |id: &str| {
            let truth = self.session(id).and_then(|session| session.state_at(self.now));
            match (self.plan.sighting(id), truth) {
                (Polled::Seen { status, .. }, truth) => Some(&status.state) == truth,
                (Polled::AskYourself, truth) => truth.is_none(),
                (Polled::NotYet, _) => false,
            }
        };
        self.watched.keys().filter(|id| !is_right(id)).cloned().collect()
    }
}

/// The mark of the object that has started a session.
fn mark(id: &str) -> Marker {
    let [cluster, namespace] = ["cluster-1", "team-a"].map(str::to_owned);
    Marker { cluster, namespace, name: id.to_owned(), uid: format!("uid-of-{id}") }
}

fn is_listed(state: &SessionState, filter: Option<&SessionState>) -> bool {
    match filter {
        Some(filter) => state == filter,
        None => !matches!(state, SessionState::Degraded | SessionState::Terminating) && !state.is_ended(),
    }
}

//! One run of clean-up, after one complete list: which request is next. PURE.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use jiff::Timestamp;

use super::memory::{CleanupMemory, LOOK_LIFE, Look, LookResult};
use crate::athena::marker::Marker;
use crate::athena::types::{CallError, ErrorClass, ListedSession, SessionStatus};
use crate::cleanup::declarations::{Declarations, DeclaredSessions};
use crate::cleanup::policy::Policy;
use crate::cleanup::run::{Judged, RunPlan, Tally};
use crate::cleanup::verdict::{Judge, Tags, Verdict, markers};
use crate::session::observed::ANSWER_LIFE;

/// So many sessions' tags are read in one run at the most, besides those of sessions that are ended.
const MOST_TAGS: usize = 20;

/// So many sessions are looked at in one run at the most, besides those that are ended.
const MOST_LOOKS: usize = 20;

/// Everything that a run asks about, besides what its requests show.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// What the watches show of the cluster's AthenaSessions.
    pub declarations: Declarations<'a>,
    /// What Athena's clock shows.
    pub athena_time: Timestamp,
    /// The moment.
    pub tick: Instant,
    /// Whether sessions are ended: the rules are enforced, and nothing holds them up.
    pub may_end: bool,
    /// How many ends were reserved for another run a moment ago, maybe by another process.
    pub used: usize,
}

/// The next request of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanupStep {
    /// Read the session's tags.
    ListTags { id: String },
    /// Make sure which account calls go to.
    GetCallerIdentity,
    /// Read all AthenaWorkGroups, and compare them with those that the run began with.
    ReadWorkGroups,
    /// Record in the status that so many ends follow.
    Reserve { ends: usize },
    /// Read the session's status. `before_end`: a token for TerminateSession is to be taken before.
    GetSessionStatus { id: String, before_end: bool },
    /// Read which AthenaSessions declare the session: those that name it, and those that these marks name.
    ReadDeclarations { id: String, markers: Vec<Marker> },
    /// End the session, on behalf of this rule.
    TerminateSession { id: String, rule: String },
    /// Nothing is left to do.
    Done,
}

/// How far the reservation of ends has come. Each step is needed before the first end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reservation {
    #[default]
    None,
    AccountConfirmed,
    WorkGroupsUnchanged,
    Made,
}

/// What has become of a session that is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    Open,
    /// A dry run ends here.
    WouldEnd,
    /// Athena accepted the end.
    Accepted,
    /// Whether Athena accepted the end isn't known.
    Unanswered(String),
    /// It isn't ended in this run.
    Failed {
        why: String,
        /// The failure doesn't pass by itself.
        lasts: bool,
    },
}

/// A session that a rule matches, as the list shows it, and no protection that costs no request.
#[derive(Clone, Debug)]
struct Candidate {
    id: String,
    listed: SessionStatus,
    was_matched: bool,
    tags: Tags,
    tags_read_at: Option<Instant>,
    /// The session's status at this moment, and when it was asked for.
    fresh: Option<(SessionStatus, Instant)>,
    /// What the API server says is declared, and when it was asked.
    declared: Option<(DeclaredSessions, Instant)>,
    outcome: Outcome,
    /// The first status and declarations of this run were too old when both were known.
    was_slow: bool,
    /// By what was known when the session was judged last.
    verdict: Verdict,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// When the list began.
    list: Instant,
    began: Instant,
    others: Tally,
    candidates: Vec<Candidate>,
    reservation: Reservation,
    tags_read: usize,
    looks: usize,
    /// Why the run ends early.
    stopped: Option<String>,
}

impl Run {
    /// Begins a run after the list that began at `list`.
    pub fn begin<'s>(
        list: Instant,
        sessions: impl Iterator<Item = ListedSession<'s>>,
        memory: &CleanupMemory,
        surroundings: &Surroundings<'_>,
    ) -> Self {
        let judge = surroundings.judge(surroundings.declarations);
        let (mut others, mut candidates) = (Tally::default(), Vec::new());
        for session in sessions {
            let verdict = judge.verdict(&session, &Tags::Unread);
            if matches!(verdict, Verdict::NeedsTags { .. }) {
                let mut candidate = Candidate::of(&session, memory, surroundings);
                candidate.judge(surroundings);
                candidates.push(candidate);
            } else {
                others.add(&verdict);
            }
        }
        let began = surroundings.tick;
        let (reservation, tags_read, looks, stopped) = Default::default();
        Self { list, began, others, candidates, reservation, tags_read, looks, stopped }
    }

    /// When the list began that the run is about.
    pub fn list(&self) -> Instant {
        self.list
    }

    /// The next request. The answer is to be handed in before this is asked again.
    pub fn next(&mut self, surroundings: &Surroundings<'_>) -> CleanupStep {
        loop {
            if self.stopped.is_some() {
                return CleanupStep::Done;
            }
            // Not after the reservation: tags that have been taken off would make more sessions due than are reserved.
            if self.reservation == Reservation::None
                && let Some(id) = self.unread_tags(surroundings.tick)
            {
                return CleanupStep::ListTags { id };
            }
            let due = self.due(surroundings);
            let Some(&first) = due.iter().find(|position| self.candidates[**position].outcome == Outcome::Open) else {
                return CleanupStep::Done;
            };
            if surroundings.may_end && self.reservation != Reservation::Made {
                return match self.reservation {
                    Reservation::None => CleanupStep::GetCallerIdentity,
                    Reservation::AccountConfirmed => CleanupStep::ReadWorkGroups,
                    Reservation::WorkGroupsUnchanged | Reservation::Made => CleanupStep::Reserve { ends: due.len() },
                };
            }
            if let Some(step) = self.look_or_end(first, surroundings) {
                return step;
            }
        }
    }

    /// The next request for a session that is due; None where the session has its outcome, and needs none.
    fn look_or_end(&mut self, position: usize, surroundings: &Surroundings<'_>) -> Option<CleanupStep> {
        let (tick, may_end) = (surroundings.tick, surroundings.may_end);
        let candidate = &mut self.candidates[position];
        candidate.judge(surroundings);
        // With any other verdict it is another session's turn.
        let Verdict::Matched { rule } = candidate.verdict else { return None };
        let id = candidate.id.clone();
        if candidate.tags_read_at.is_none_or(|at| at < self.began) {
            return Some(CleanupStep::ListTags { id });
        }
        if candidate.fresh.is_none() {
            self.looks += 1;
            if self.looks > MOST_LOOKS + surroundings.policy.most_ends {
                self.stopped = Some("many sessions are due no more by a second look; the next run goes on".to_owned());
                return None;
            }
            return Some(CleanupStep::GetSessionStatus { id, before_end: may_end });
        }
        if candidate.declared.is_none() {
            let cluster = surroundings.declarations.cluster.unwrap_or_default();
            let markers = markers(&candidate.listed, Some(&candidate.tags), cluster);
            return Some(CleanupStep::ReadDeclarations { id, markers });
        }
        if !may_end {
            candidate.outcome = Outcome::WouldEnd;
            return None;
        }
        if !candidate.is_looked_at_since(tick.checked_sub(ANSWER_LIFE)) {
            candidate.look_again();
            return None;
        }
        Some(CleanupStep::TerminateSession { id, rule: surroundings.policy.rule_name(rule).to_owned() })
    }

    /// The session whose tags decide whether it is matched, and aren't known, or were read the longest ago.
    fn unread_tags(&self, tick: Instant) -> Option<String> {
        if self.tags_read >= MOST_TAGS {
            return None;
        }
        let is_old = |candidate: &Candidate| candidate.tags_read_at.is_some_and(|at| tick >= at + LOOK_LIFE);
        let needs_tags = |candidate: &&Candidate| match candidate.verdict {
            Verdict::NeedsTags { .. } => candidate.tags == Tags::Unread,
            // Somebody may have taken the tag off that protects the session.
            Verdict::Protected { .. } => is_old(candidate),
            _ => false,
        };
        let waiting = self.candidates.iter().filter(|candidate| candidate.has_turn()).filter(needs_tags);
        // Those whose tags were never read come first.
        let next = waiting.min_by(|one, other| one.tags_order().cmp(&other.tags_order()));
        next.map(|candidate| candidate.id.clone())
    }

    /// The sessions that this run ends, by their position, the oldest first. A session whose look or end failed leaves its turn
    /// to the next one.
    fn due(&self, surroundings: &Surroundings<'_>) -> Vec<usize> {
        self.plan(surroundings).ends().collect()
    }

    /// What the run does, as far as its answers show.
    pub fn plan(&self, surroundings: &Surroundings<'_>) -> RunPlan {
        let has_turn: HashSet<_> =
            self.candidates.iter().filter(|it| it.has_turn()).map(|candidate| candidate.id.as_str()).collect();
        let judged: Vec<_> = self.candidates.iter().map(Candidate::judged).collect();
        RunPlan::of(self.others.clone(), &judged, surroundings.policy, |id| has_turn.contains(id), surroundings.used)
    }

    /// The session at this position of the plan, and the verdict on it.
    pub fn judged(&self, position: usize) -> Option<Judged<'_>> {
        self.candidates.get(position).map(Candidate::judged)
    }

    /// The session of this id, if it is a candidate.
    pub fn session(&self, id: &str) -> Option<ListedSession<'_>> {
        self.candidates.iter().find(|candidate| candidate.id == id).map(Candidate::session)
    }

    /// How many ends Athena has accepted.
    pub fn ended(&self) -> usize {
        self.candidates.iter().filter(|candidate| candidate.outcome == Outcome::Accepted).count()
    }

    /// What went wrong, if anything did.
    pub fn problem(&self) -> Option<String> {
        let failed = self.candidates.iter().find_map(|candidate| match &candidate.outcome {
            Outcome::Failed { why, .. } | Outcome::Unanswered(why) => Some(format!("session {}: {why}", candidate.id)),
            _ => None,
        });
        self.stopped.clone().or(failed)
    }

    /// Keeps what the next run needs.
    pub fn finish(&self, memory: &mut CleanupMemory) {
        let matched = self.candidates.iter().map(|candidate| candidate.id.clone()).collect();
        let looks: HashMap<_, _> =
            self.candidates.iter().filter_map(|candidate| Some((candidate.id.clone(), candidate.look()?))).collect();
        memory.judged(self.list, matched, looks);
    }

    // Answers.

    /// The tags of a session, or why they can't be read.
    pub fn tags_read(
        &mut self,
        id: &str,
        answer: Result<BTreeMap<String, String>, CallError>,
        surroundings: &Surroundings<'_>,
    ) {
        self.tags_read += 1;
        let Some(candidate) = self.candidate(id) else { return };
        (candidate.tags_read_at, candidate.tags) = match answer {
            Ok(tags) => (Some(surroundings.tick), Tags::Read(tags)),
            Err(error) => (lasts(&error).then_some(surroundings.tick), Tags::Unreadable(error.to_string())),
        };
        candidate.judge(surroundings);
    }

    /// Whether calls go to the account that the list was read from.
    pub fn account_confirmed(&mut self, is_same: bool) {
        self.reserving(Reservation::AccountConfirmed, is_same, "the AWS account isn't certain");
    }

    /// Whether the AthenaWorkGroups of the work group are those that the run began with.
    pub fn work_groups_read(&mut self, is_same: bool) {
        self.reserving(
            Reservation::WorkGroupsUnchanged,
            is_same,
            "the AthenaWorkGroups can't be read, or have changed",
        );
    }

    /// Whether the ends were recorded.
    pub fn reserved(&mut self, is_recorded: bool) {
        self.reserving(Reservation::Made, is_recorded, "the ends can't be recorded in the status before they are made");
    }

    fn reserving(&mut self, to: Reservation, is_so: bool, otherwise: &str) {
        if is_so {
            self.reservation = to;
        } else {
            self.stopped = Some(format!("{otherwise}: the next run tries again"));
        }
    }

    /// The status of a session at this moment. `sent`: when it was asked for.
    pub fn status_read(&mut self, id: &str, answer: Result<SessionStatus, CallError>, sent: Instant) {
        let Some(candidate) = self.candidate(id) else { return };
        match answer {
            Ok(status) => candidate.fresh = Some((status.after(Some(&candidate.listed)), sent)),
            Err(error) => candidate.failed(&error),
        }
    }

    /// What the API server says is declared. `sent`: when it was asked.
    pub fn declarations_read(&mut self, id: &str, answer: Result<DeclaredSessions, String>, sent: Instant) {
        let Some(candidate) = self.candidate(id) else { return };
        match answer {
            Ok(declared) => candidate.declared = Some((declared, sent)),
            Err(why) => {
                let why = format!("the API server can't tell whether it is declared: {why}");
                candidate.outcome = Outcome::Failed { why, lasts: false };
            }
        }
    }

    /// TerminateSession was called.
    pub fn terminated(&mut self, id: &str, answer: Result<(), CallError>) {
        let Some(candidate) = self.candidate(id) else { return };
        match answer {
            Ok(()) => candidate.outcome = Outcome::Accepted,
            // The call may have had its effect, so it counts in the budget.
            Err(error) if error.class == ErrorClass::Unavailable => {
                candidate.outcome = Outcome::Unanswered(error.to_string());
            }
            Err(error) => candidate.failed(&error),
        }
    }

    /// A later complete list is there: it decides about the rest.
    pub fn overtaken(&mut self) {
        self.stopped.get_or_insert_with(|| "the run took too long; the next run goes on".to_owned());
    }

    /// The watch shows that somebody has changed the rules, or what holds them up: the run ends nothing more.
    pub fn work_groups_changed(&mut self) {
        self.stopped.get_or_insert_with(|| "the AthenaWorkGroups have changed; the next run goes on".to_owned());
    }

    fn candidate(&mut self, id: &str) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| candidate.id == id)
    }
}

impl Surroundings<'_> {
    fn judge<'a>(&'a self, declarations: Declarations<'a>) -> Judge<'a> {
        Judge { policy: self.policy, declarations, now: self.athena_time }
    }
}

impl Candidate {
    fn of(session: &ListedSession<'_>, memory: &CleanupMemory, surroundings: &Surroundings<'_>) -> Self {
        let ListedSession { id, status, description } = *session;
        let look = memory.looks.get(id);
        let young = look.filter(|look| surroundings.tick < look.at + LOOK_LIFE);
        let outcome = match young.map(|look| &look.result) {
            Some(LookResult::WouldEnd) if !surroundings.may_end => Outcome::WouldEnd,
            Some(LookResult::Failed(why)) => Outcome::Failed { why: why.clone(), lasts: true },
            // Other sessions have their turn before Athena is asked again.
            Some(LookResult::Unanswered(why)) => Outcome::Failed { why: why.clone(), lasts: false },
            Some(LookResult::WouldEnd | LookResult::Tags) | None => Outcome::Open,
        };
        let (fresh, declared) = (None, None);
        Self {
            id: id.to_owned(),
            listed: SessionStatus { description: description.map(Box::from), ..status.clone() },
            was_matched: memory.matched.contains(id),
            tags: look.map_or(Tags::Unread, |look| look.tags.clone()),
            tags_read_at: look.map(|look| look.at),
            fresh,
            declared,
            outcome,
            was_slow: false,
            verdict: Verdict::Unmatched,
        }
    }

    fn session(&self) -> ListedSession<'_> {
        ListedSession::new(&self.id, self.fresh.as_ref().map_or(&self.listed, |(status, _)| status))
    }

    /// In which order tags are read.
    fn tags_order(&self) -> impl Ord + '_ {
        (self.tags_read_at, self.session().age_order())
    }

    /// Judges the session by what is known of it now.
    fn judge(&mut self, surroundings: &Surroundings<'_>) {
        let declared_by = |id: &str, marker: Option<&Marker>| {
            let live = || self.declared.as_ref()?.0.declared_by(id, marker);
            (surroundings.declarations.declared_by)(id, marker).or_else(live)
        };
        let declarations = Declarations { declared_by: &declared_by, ..surroundings.declarations };
        let verdict = surroundings.judge(declarations).verdict(&self.session(), &self.tags);
        self.verdict = verdict;
    }

    fn judged(&self) -> Judged<'_> {
        Judged { session: self.session(), verdict: self.verdict.clone() }
    }

    /// Whether the session may be ended in this run, as far as two lists and failures say.
    fn has_turn(&self) -> bool {
        self.was_matched && !matches!(self.outcome, Outcome::Failed { .. })
    }

    fn is_looked_at_since(&self, moment: Option<Instant>) -> bool {
        let is_since = |at: Option<Instant>| at.is_some_and(|at| moment.is_none_or(|moment| at >= moment));
        is_since(self.fresh.as_ref().map(|(_, at)| *at)) && is_since(self.declared.as_ref().map(|(_, at)| *at))
    }

    /// What is known of the session is too old. Where that is so twice, it would be so a third time, too.
    fn look_again(&mut self) {
        (self.fresh, self.declared) = (None, None);
        if std::mem::replace(&mut self.was_slow, true) {
            let why = "a last look at it took too long: Athena's answer and the API server's must be close together"
                .to_owned();
            self.outcome = Outcome::Failed { why, lasts: true };
        }
    }

    fn failed(&mut self, error: &CallError) {
        self.outcome = Outcome::Failed { why: error.to_string(), lasts: lasts(error) };
    }

    /// What is kept for the next runs.
    fn look(&self) -> Option<Look> {
        let result = match &self.outcome {
            Outcome::WouldEnd => LookResult::WouldEnd,
            Outcome::Failed { why, lasts: true } => LookResult::Failed(why.clone()),
            Outcome::Unanswered(why) => LookResult::Unanswered(why.clone()),
            Outcome::Open | Outcome::Accepted | Outcome::Failed { lasts: false, .. } => LookResult::Tags,
        };
        Some(Look { at: self.tags_read_at?, tags: self.tags.clone(), result })
    }
}

/// Whether a failure doesn't pass by itself.
fn lasts(error: &CallError) -> bool {
    !matches!(error.class, ErrorClass::Throttled | ErrorClass::Unavailable)
}

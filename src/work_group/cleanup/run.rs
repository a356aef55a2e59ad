//! One run of clean-up, after one complete list: which request is next. PURE.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::candidate::{Candidate, Outcome};
use super::facts::CleanupFacts;
use super::memory::{CleanupMemory, RECHECK_AFTER, counts_after};
use crate::athena::marker::Marker;
use crate::athena::types::{CallError, ListedSession, SessionStatus};
use crate::cleanup::declarations::DeclaredSessions;
use crate::cleanup::plan::{Judged, RunPlan, Tally};
use crate::cleanup::verdict::{ProtectedBy, Tags, Verdict, markers};
use crate::session::observed::ANSWER_LIFE;

/// So many sessions' tags are read in one run at the most, besides those of sessions that are ended.
const MOST_TAGS: usize = 20;

/// After so long, sessions that are due have their turn before more tags are read. Where Athena is slow, the next list would come
/// before any session is ended, run after run.
const MOST_TAGS_TIME: Duration = Duration::from_secs(20);

/// So many sessions are looked at in one run at the most, besides those that are ended.
const MOST_LOOKS: usize = 20;

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
        facts: &CleanupFacts<'_>,
    ) -> Self {
        let judge = facts.judge(facts.declarations);
        let (mut others, mut candidates) = (Tally::default(), Vec::new());
        for session in sessions {
            let verdict = judge.verdict(&session, &Tags::Unread);
            if matches!(verdict, Verdict::NeedsTags { .. }) {
                let mut candidate = Candidate::of(&session, memory, facts);
                candidate.judge(facts);
                candidates.push(candidate);
            } else {
                others.add(&verdict);
            }
        }
        let began = facts.tick;
        let (reservation, tags_read, looks, stopped) = Default::default();
        Self { list, began, others, candidates, reservation, tags_read, looks, stopped }
    }

    /// When the list began that the run is about.
    pub fn list(&self) -> Instant {
        self.list
    }

    /// The next request. The answer is to be handed in before this is asked again.
    pub fn next(&mut self, facts: &CleanupFacts<'_>) -> CleanupStep {
        loop {
            if self.stopped.is_some() {
                return CleanupStep::Done;
            }
            // Not after the reservation: tags that have been taken off would make more sessions due than are reserved.
            if self.reservation == Reservation::None
                && let Some(id) = self.unread_tags(facts.tick)
                && (facts.tick < self.began + MOST_TAGS_TIME || self.due(facts).is_empty())
            {
                return CleanupStep::ListTags { id };
            }
            let due = self.due(facts);
            let Some(&first) = due.iter().find(|position| self.candidates[**position].outcome == Outcome::Open) else {
                return CleanupStep::Done;
            };
            if facts.may_end && self.reservation != Reservation::Made {
                return match self.reservation {
                    Reservation::None => CleanupStep::GetCallerIdentity,
                    Reservation::AccountConfirmed => CleanupStep::ReadWorkGroups,
                    Reservation::WorkGroupsUnchanged | Reservation::Made => CleanupStep::Reserve { ends: due.len() },
                };
            }
            if let Some(step) = self.look_or_end(first, facts) {
                return step;
            }
        }
    }

    /// The next request for a session that is due; None where the session has its outcome, and needs none.
    fn look_or_end(&mut self, position: usize, facts: &CleanupFacts<'_>) -> Option<CleanupStep> {
        let (tick, may_end) = (facts.tick, facts.may_end);
        let candidate = &mut self.candidates[position];
        candidate.judge(facts);
        // With any other verdict it is another session's turn.
        let Verdict::Matched { rule } = candidate.verdict else { return None };
        let id = candidate.id.clone();
        if candidate.tags_read_at.is_none_or(|at| at < self.began) {
            return Some(CleanupStep::ListTags { id });
        }
        if candidate.fresh.is_none() {
            self.looks += 1;
            if self.looks > MOST_LOOKS + facts.policy.max_terminations_per_run {
                let why = "a last look shows many sessions that no rule matches any more; the next run goes on";
                self.stopped = Some(why.to_owned());
                return None;
            }
            return Some(CleanupStep::GetSessionStatus { id, before_end: may_end });
        }
        if candidate.declared.is_none() {
            let cluster = facts.declarations.cluster.unwrap_or_default();
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
        Some(CleanupStep::TerminateSession { id, rule: facts.policy.rule_name(rule).to_owned() })
    }

    /// The session whose tags decide whether it is matched, and aren't known, or were asked for the longest ago.
    fn unread_tags(&self, tick: Instant) -> Option<String> {
        if self.tags_read >= MOST_TAGS {
            return None;
        }
        let is_old = |candidate: &Candidate| candidate.tags_read_at.is_some_and(|at| tick >= at + RECHECK_AFTER);
        let needs_tags = |candidate: &&Candidate| match candidate.verdict {
            Verdict::NeedsTags { .. } => candidate.tags == Tags::Unread,
            // Somebody may have taken the tag off that protects the session.
            Verdict::Protected { .. } => is_old(candidate),
            _ => false,
        };
        let waiting = self.candidates.iter().filter(|candidate| candidate.has_turn()).filter(needs_tags);
        // Those whose tags were never asked for come first.
        let next = waiting.min_by(|one, other| one.tags_order().cmp(&other.tags_order()));
        next.map(|candidate| candidate.id.clone())
    }

    /// The sessions that this run ends, by their position: those first that no run has tried to end, and the oldest of these
    /// first. A session whose look or end failed leaves its turn to the next one.
    fn due(&self, facts: &CleanupFacts<'_>) -> Vec<usize> {
        self.plan(facts).ends().collect()
    }

    /// What the run does, as far as its answers show.
    pub fn plan(&self, facts: &CleanupFacts<'_>) -> RunPlan {
        let has_turn: HashSet<_> =
            self.candidates.iter().filter(|it| it.has_turn()).map(|candidate| candidate.id.as_str()).collect();
        let judged: Vec<_> = self.candidates.iter().map(Candidate::judged).collect();
        RunPlan::of(self.others.clone(), &judged, facts.policy, |id| has_turn.contains(id), facts.reserved_by_others)
    }

    /// The session at this position of the plan, and the verdict on it.
    pub fn judged(&self, position: usize) -> Option<Judged<'_>> {
        self.candidates.get(position).map(Candidate::judged)
    }

    /// The session of this id, if it is a candidate.
    pub fn session(&self, id: &str) -> Option<ListedSession<'_>> {
        self.candidates.iter().find(|candidate| candidate.id == id).map(Candidate::session)
    }

    /// How many sessions rules match whose tags can't be read, and why those of the first can't; None where there is none.
    pub fn unreadable_tags(&self) -> Option<(usize, &str)> {
        let mut reasons = self.candidates.iter().filter_map(|candidate| match &candidate.verdict {
            Verdict::Protected { by: ProtectedBy::UnreadableTags(why), .. } => Some(why.as_str()),
            _ => None,
        });
        let first = reasons.next()?;
        Some((1 + reasons.count(), first))
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
        let looks = self.candidates.iter().map(|candidate| (candidate.id.clone(), candidate.look()));
        memory.judged(self.list, looks);
    }

    // Answers.

    /// The tags of a session, or why they can't be read.
    pub fn tags_read(
        &mut self,
        id: &str,
        answer: Result<BTreeMap<String, String>, CallError>,
        facts: &CleanupFacts<'_>,
    ) {
        self.tags_read += 1;
        let Some(candidate) = self.candidate(id) else { return };
        candidate.tags_read(answer, facts.tick);
        candidate.judge(facts);
    }

    /// Whether calls go to the account that the list was read from.
    pub fn account_confirmed(&mut self, is_same: bool) {
        self.reserving(
            Reservation::AccountConfirmed,
            is_same,
            "STS doesn't confirm the AWS account that the sessions were listed in",
        );
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
        self.reserving(
            Reservation::Made,
            is_recorded,
            "status.cleanup.budget can't be written, where the number of ends is recorded before the first",
        );
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
        if let Some(candidate) = self.candidate(id) {
            candidate.status_read(answer, sent);
        }
    }

    /// What the API server says is declared. `sent`: when it was asked.
    pub fn declarations_read(&mut self, id: &str, answer: Result<DeclaredSessions, String>, sent: Instant) {
        if let Some(candidate) = self.candidate(id) {
            candidate.declarations_read(answer, sent);
        }
    }

    /// What Athena answered to TerminateSession.
    pub fn terminated(&mut self, id: &str, answer: Result<(), CallError>) {
        if let Some(candidate) = self.candidate(id) {
            candidate.terminated(answer);
        }
    }

    /// The last complete list began at `latest`. If the rules are to be applied to that list, it decides about the rest. Lists may
    /// follow each other within a second, while many objects adopt sessions: a run that ended then would never end a session.
    pub fn overtaken_by(&mut self, latest: Instant, steady: Duration) {
        if !counts_after(latest, self.list, steady) {
            return;
        }
        self.stopped.get_or_insert_with(|| {
            "a newer complete list is there, since the run took too long; the next run goes on".to_owned()
        });
    }

    /// The watch shows that somebody has changed the rules, or what holds them up: the run ends nothing more.
    pub fn work_groups_changed(&mut self) {
        self.stopped.get_or_insert_with(|| "the AthenaWorkGroups have changed; the next run goes on".to_owned());
    }

    fn candidate(&mut self, id: &str) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| candidate.id == id)
    }
}

//! A session that a run of clean-up may end: what its requests have shown of it, and what has become of it. PURE.

use std::collections::BTreeMap;
use std::time::Instant;

use super::facts::CleanupFacts;
use super::memory::{CleanupMemory, Look, LookResult, RECHECK_AFTER};
use crate::athena::marker::Marker;
use crate::athena::types::{CallError, ErrorClass, ListedSession, SessionStatus};
use crate::cleanup::declarations::{Declarations, DeclaredSessions};
use crate::cleanup::plan::Judged;
use crate::cleanup::verdict::{Tags, Verdict};

/// What has become of a session that is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    #[default]
    Open,
    /// A run that enforces the rules would end the session now.
    WouldEnd,
    /// Athena accepted the end.
    Accepted,
    /// Whether Athena accepted the end isn't known.
    Unanswered(String),
    /// The session isn't ended in this run.
    Failed {
        why: String,
        /// Whether the failure doesn't pass by itself.
        lasts: bool,
    },
}

/// A session that a rule matches, as the list shows it, and no protection that costs no request.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) listed: SessionStatus,
    was_matched: bool,
    pub(super) tags: Tags,
    tags_asked_at: Option<Instant>,
    pub(super) tags_read_at: Option<Instant>,
    /// When an earlier run looked at the session last, to end it. What this run does changes nothing: the order of the sessions
    /// stays, and so does the number of those that are ended.
    tried_at: Option<Instant>,
    /// When this run looked at it, to end it.
    looked_at: Option<Instant>,
    // The next two are boxed: of thousands of candidates, a run reads them for a few.
    /// The session's status at this moment, and when it was asked for.
    pub(super) fresh: Option<Box<(SessionStatus, Instant)>>,
    /// What the API server says is declared, and when it was asked.
    pub(super) declared: Option<Box<(DeclaredSessions, Instant)>>,
    pub(super) outcome: Outcome,
    /// The first status and declarations of this run were too old when both were known.
    was_slow: bool,
    /// By what was known when the session was judged last.
    pub(super) verdict: Verdict,
}

impl Candidate {
    pub(super) fn of(session: &ListedSession<'_>, memory: &CleanupMemory, facts: &CleanupFacts<'_>) -> Self {
        let ListedSession { id, status, description } = *session;
        let earlier = memory.looks.get(id);
        let look = earlier.cloned().unwrap_or_default();
        let is_young = look.tags_read_at.is_some_and(|at| facts.tick < at + RECHECK_AFTER);
        let outcome = match look.result {
            LookResult::WouldEnd if is_young && !facts.may_end => Outcome::WouldEnd,
            LookResult::Failed(why) if is_young => Outcome::Failed { why, lasts: true },
            LookResult::WouldEnd | LookResult::Failed(_) | LookResult::Open => Outcome::Open,
        };
        let (fresh, declared) = (None, None);
        Self {
            id: id.to_owned(),
            listed: SessionStatus { description: description.map(Box::from), ..status.clone() },
            was_matched: earlier.is_some(),
            tags: look.tags,
            tags_asked_at: look.tags_asked_at,
            tags_read_at: look.tags_read_at,
            tried_at: look.tried_at,
            looked_at: None,
            fresh,
            declared,
            outcome,
            was_slow: false,
            verdict: Verdict::Unmatched,
        }
    }

    pub(super) fn session(&self) -> ListedSession<'_> {
        ListedSession::new(&self.id, self.fresh.as_deref().map_or(&self.listed, |(status, _)| status))
    }

    /// In which order tags are read.
    pub(super) fn tags_order(&self) -> impl Ord + '_ {
        (self.tags_asked_at, self.session().age_order())
    }

    /// Judges the session by all that is known by now.
    pub(super) fn judge(&mut self, facts: &CleanupFacts<'_>) {
        let declared_by = |id: &str, marker: Option<&Marker>| {
            let live = || self.declared.as_ref()?.0.declared_by(id, marker);
            (facts.declarations.declared_by)(id, marker).or_else(live)
        };
        let declarations = Declarations { declared_by: &declared_by, ..facts.declarations };
        let verdict = facts.judge(declarations).verdict(&self.session(), &self.tags);
        self.verdict = verdict;
    }

    pub(super) fn judged(&self) -> Judged<'_> {
        Judged { session: self.session(), verdict: self.verdict.clone(), tried_at: self.tried_at }
    }

    /// Whether the session may be ended in this run, as far as two lists and failures say.
    pub(super) fn has_turn(&self) -> bool {
        self.was_matched && !matches!(self.outcome, Outcome::Failed { .. })
    }

    /// Whether the session's status and its declarations were both read since this moment.
    pub(super) fn is_looked_at_since(&self, moment: Option<Instant>) -> bool {
        let is_since = |at: Option<Instant>| at.is_some_and(|at| moment.is_none_or(|moment| at >= moment));
        is_since(self.fresh.as_deref().map(|(_, at)| *at)) && is_since(self.declared.as_deref().map(|(_, at)| *at))
    }

    /// Forgets the session's status and declarations, since they are too old for an end. The second time the session isn't ended in
    /// this run: the API server or Athena is so slow that a third look would be too old as well.
    pub(super) fn look_again(&mut self) {
        (self.fresh, self.declared) = (None, None);
        if std::mem::replace(&mut self.was_slow, true) {
            let why = "a last look at it took too long: Athena's answer and the API server's must be close together"
                .to_owned();
            self.outcome = Outcome::Failed { why, lasts: true };
        }
    }

    pub(super) fn tags_read(&mut self, answer: Result<BTreeMap<String, String>, CallError>, tick: Instant) {
        self.tags_asked_at = Some(tick);
        (self.tags_read_at, self.tags) = match answer {
            Ok(tags) => (Some(tick), Tags::Read(tags)),
            Err(error) => ((!error.class.may_pass()).then_some(tick), Tags::Unreadable(error.to_string())),
        };
    }

    pub(super) fn status_read(&mut self, answer: Result<SessionStatus, CallError>, sent: Instant) {
        self.looked_at = Some(sent);
        match answer {
            Ok(status) => self.fresh = Some(Box::new((status.after(Some(&self.listed)), sent))),
            Err(error) => self.failed(&error),
        }
    }

    pub(super) fn declarations_read(&mut self, answer: Result<DeclaredSessions, String>, sent: Instant) {
        match answer {
            Ok(declared) => self.declared = Some(Box::new((declared, sent))),
            Err(why) => {
                let why = format!("the API server can't tell whether it is declared: {why}");
                self.outcome = Outcome::Failed { why, lasts: false };
            }
        }
    }

    pub(super) fn terminated(&mut self, answer: Result<(), CallError>) {
        match answer {
            Ok(()) => self.outcome = Outcome::Accepted,
            // The call may have had its effect, so it counts in the budget.
            Err(error) if error.class == ErrorClass::Unavailable => {
                self.outcome = Outcome::Unanswered(error.to_string());
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &CallError) {
        self.outcome = Outcome::Failed { why: error.to_string(), lasts: !error.class.may_pass() };
    }

    /// What is kept for the next runs.
    pub(super) fn look(&self) -> Look {
        let result = match &self.outcome {
            Outcome::WouldEnd => LookResult::WouldEnd,
            Outcome::Failed { why, lasts: true } => LookResult::Failed(why.clone()),
            Outcome::Open | Outcome::Accepted | Outcome::Unanswered(_) | Outcome::Failed { lasts: false, .. } => {
                LookResult::Open
            }
        };
        let looked_at = if self.outcome == Outcome::WouldEnd { None } else { self.looked_at };
        Look {
            tags_asked_at: self.tags_asked_at,
            tags_read_at: self.tags_read_at,
            tags: if self.tags_read_at.is_some() { self.tags.clone() } else { Tags::Unread },
            tried_at: looked_at.or(self.tried_at),
            result,
        }
    }
}

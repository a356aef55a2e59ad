//! What one run does, after one complete list of a work group: which of the matched sessions are ended now. PURE.
//!
//! The plan doesn't know whether the rules are enforced. So a dry run says exactly what would be done.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use super::policy::Policy;
use super::verdict::{ProtectedBy, Verdict};
use crate::athena::types::ListedSession;

/// So many matched sessions are never too many, whatever their share.
const FEW: usize = 5;

/// A session with its verdict.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// The session.
    pub session: ListedSession<'a>,
    /// The verdict on it.
    pub verdict: Verdict,
    /// When a run looked at the session last, to end it. The session is there still.
    pub tried_at: Option<Instant>,
}

/// What becomes of a matched session in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The session is ended in this run, after a last look.
    Now,
    /// The list before this one didn't show the session as matched: the next list decides.
    NextList,
    /// The session's tags have to be read before it may be ended.
    NeedsTags,
    /// This run already ends as many sessions as it may: a later run ends this one.
    NextRun,
    /// The rules match too many sessions: the run ends none.
    Held,
}

/// The rules match too large a share of the sessions, so the run ends none: the rules are most probably a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMatched {
    /// How many sessions the rules match.
    pub matched: usize,
    /// How many sessions haven't ended and aren't being ended.
    pub live: usize,
    /// The largest share that may be matched, in percent.
    pub max_matched_percent: usize,
}

impl fmt::Display for TooManyMatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matched, live, max_matched_percent } = self;
        write!(
            f,
            "the rules match {matched} of {live} sessions, more than {max_matched_percent} % (maxMatchedPercent): nothing is \
             ended. Make the rules narrower. Raise maxMatchedPercent only if all of these sessions are to be ended"
        )
    }
}

/// How many sessions got which verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The sessions that haven't ended and aren't being ended.
    pub live: usize,
    /// Of these, how many a rule matches, and something protects; by what.
    pub protected: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// Counts a session.
    pub fn add(&mut self, verdict: &Verdict) {
        self.live += usize::from(*verdict != Verdict::Ending);
        if let Verdict::Protected { by, .. } = verdict {
            *self.protected.entry(by.kind()).or_default() += 1;
        }
    }
}

/// What one run does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPlan {
    /// All sessions of the list.
    pub tally: Tally,
    /// How many live sessions a rule matches, and nothing protects.
    pub matched: usize,
    /// Why the run ends nothing; None where nothing holds it.
    pub held: Option<TooManyMatched>,
    /// The matched sessions by their position in the list, in the order in which they are ended.
    pub turns: Vec<(usize, Turn)>,
}

impl RunPlan {
    /// Plans a run. `others`: the sessions of the list that aren't in `judged`, none of which a rule matches without
    /// protection. `was_matched`: whether the complete list before this one showed a session as matched, too. `reserved_by_others`:
    /// how many ends other processes reserved a moment ago. The budget of this run is smaller by them.
    pub fn of(
        others: Tally,
        judged: &[Judged<'_>],
        policy: &Policy,
        was_matched: impl Fn(&str) -> bool,
        reserved_by_others: usize,
    ) -> Self {
        let mut plan = Self { tally: others, ..Self::default() };
        let (mut turns, mut unreadable) = (Vec::new(), 0);
        for (position, Judged { session, verdict, .. }) in judged.iter().enumerate() {
            plan.tally.add(verdict);
            match verdict {
                Verdict::Matched { .. } if was_matched(session.id) => turns.push((position, Turn::Now)),
                Verdict::NeedsTags { .. } if was_matched(session.id) => turns.push((position, Turn::NeedsTags)),
                Verdict::Matched { .. } | Verdict::NeedsTags { .. } => turns.push((position, Turn::NextList)),
                Verdict::Protected { by: ProtectedBy::UnreadableTags(_), .. } => unreadable += 1,
                Verdict::Ending | Verdict::Declared(_) | Verdict::Unmatched | Verdict::Protected { .. } => {}
            }
        }
        plan.matched = turns.len();
        // Tags that haven't been read, or can't be, may protect. As long as they count as if they didn't, the share is never too
        // small. Otherwise failures of ListTagsForResource would hide that the rules match too much.
        if plan.matched > 0 {
            plan.held = held(plan.matched + unreadable, plan.tally.live, policy.max_matched_percent);
        }
        // Sessions that don't end, whatever is asked, come last. Otherwise they would take the budget of each run, and the others
        // would never end.
        turns.sort_by_key(|(position, _)| (judged[*position].tried_at, judged[*position].session.age_order()));
        let mut left = policy.max_terminations_per_run.saturating_sub(reserved_by_others);
        for (_, turn) in &mut turns {
            if *turn == Turn::Now {
                *turn = match (&plan.held, left) {
                    (Some(_), _) => Turn::Held,
                    (None, 0) => Turn::NextRun,
                    (None, _) => Turn::Now,
                };
                left -= usize::from(*turn == Turn::Now);
            }
        }
        plan.turns = turns;
        plan
    }

    /// The sessions that are ended in this run, by their position in the list.
    pub fn ends(&self) -> impl Iterator<Item = usize> {
        self.turns.iter().filter(|(_, turn)| *turn == Turn::Now).map(|(position, _)| *position)
    }
}

fn held(matched: usize, live: usize, max_matched_percent: usize) -> Option<TooManyMatched> {
    let is_too_large = matched > FEW && matched.saturating_mul(100) > live.saturating_mul(max_matched_percent);
    is_too_large.then_some(TooManyMatched { matched, live, max_matched_percent })
}

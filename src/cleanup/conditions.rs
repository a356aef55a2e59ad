//! The conditions of a rule's `match`. PURE.

use jiff::{SignedDuration, Timestamp};

use super::fault::Fault;
use super::patterns::{Pattern, Patterns};
use crate::api::cleanup::{EMPTY_EXPRESSION, RULE_STATES, SessionMatch};
use crate::athena::plausible_times::PlausibleTimes;
use crate::athena::types::{SessionState, SessionStatus};

/// What a rule asks of a session. What isn't set holds for each session.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conditions {
    states: Option<Vec<SessionState>>,
    idle_for: Option<SignedDuration>,
    older_than: Option<SignedDuration>,
    pattern: Option<Pattern>,
    orphaned: bool,
}

/// The age of a session, and its idle time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// How long ago the session was started; None where Athena tells no start that can be true.
    pub age: Option<SignedDuration>,
    /// How long the session has been IDLE; None while it is in another state.
    pub idle: Option<SignedDuration>,
}

impl Ages {
    /// The ages of a session when Athena's clock shows `now`.
    pub fn of(status: &SessionStatus, now: Timestamp) -> Self {
        let times = PlausibleTimes::of(status, now);
        let since = |at: Option<Timestamp>| at.map(|at| now.duration_since(at));
        Self { age: since(times.started_at), idle: since(times.idle_since) }
    }
}

/// What conditions ask about.
pub(super) struct Subject<'a, F> {
    pub(super) state: &'a SessionState,
    pub(super) ages: Ages,
    pub(super) is_orphaned: bool,
    /// Whether a pattern is found in the description.
    pub(super) description_has: F,
}

impl Conditions {
    /// Reads the conditions of the rule at this path. Each condition that can't be read is left out, and becomes a fault.
    pub(super) fn read(path: &str, asked: &SessionMatch, patterns: &mut Patterns, faults: &mut Vec<Fault>) -> Self {
        let mut add_fault = |field: &str, problem| faults.push(Fault::new(format!("{path}.{field}"), problem));
        let states = match read_states(&asked.states) {
            Ok(states) => states,
            Err(problem) => {
                add_fault("states", problem);
                None
            }
        };
        let mut duration = |field: &str, text: &Option<String>| match text.as_deref().map(read_duration) {
            Some(Err(problem)) => {
                add_fault(field, problem);
                None
            }
            read => read.and_then(Result::ok),
        };
        let idle_for = duration("idleFor", &asked.idle_for);
        let older_than = duration("olderThan", &asked.older_than);
        let pattern = match asked.description.as_deref().map(|text| read_pattern(text, patterns)) {
            Some(Err(problem)) => {
                add_fault("description", problem);
                None
            }
            read => read.and_then(Result::ok),
        };
        Self { states, idle_for, older_than, pattern, orphaned: asked.orphaned }
    }

    /// Whether the session meets all conditions. The pattern comes last, since it takes the most time.
    pub(super) fn hold<F: Fn(Pattern) -> bool>(&self, session: &Subject<'_, F>) -> bool {
        let lasted = |asked: Option<SignedDuration>, lasted: Option<SignedDuration>| match asked {
            Some(asked) => lasted.is_some_and(|lasted| lasted >= asked),
            None => true,
        };
        self.states.as_ref().is_none_or(|states| states.contains(session.state))
            && (!self.orphaned || session.is_orphaned)
            && lasted(self.older_than, session.ages.age)
            && lasted(self.idle_for, session.ages.idle)
            && self.pattern.is_none_or(|pattern| (session.description_has)(pattern))
    }
}

/// Whether nothing is asked for: such a rule would match every session.
pub(super) fn is_empty(asked: &SessionMatch) -> bool {
    let SessionMatch { states, idle_for, older_than, description, orphaned } = asked;
    states.is_empty() && idle_for.is_none() && older_than.is_none() && description.is_none() && !orphaned
}

fn read_states(words: &[String]) -> Result<Option<Vec<SessionState>>, String> {
    match words.iter().find(|word| !RULE_STATES.contains(&word.as_str())) {
        Some(word) => {
            Err(format!("{word:?} is no state that a rule can name: write CREATING, CREATED, IDLE, BUSY or DEGRADED"))
        }
        None if words.is_empty() => Ok(None),
        None => Ok(Some(words.iter().map(|word| SessionState::from(word.as_str())).collect())),
    }
}

fn read_pattern(text: &str, patterns: &mut Patterns) -> Result<Pattern, String> {
    if text.is_empty() {
        return Err(EMPTY_EXPRESSION.to_owned());
    }
    patterns.add(text)
}

fn read_duration(text: &str) -> Result<SignedDuration, String> {
    let refused = || {
        format!("{text:?} is no duration in whole seconds, from 1s on: write 90s, 30m or 1h30m, say; there are no days")
    };
    // Longer numbers could overflow, where kube's parser panics.
    let parsed: kube::core::Duration =
        if text.len() > 16 { return Err(refused()) } else { text.parse().map_err(|_| refused())? };
    let duration = SignedDuration::try_from(std::time::Duration::from(parsed)).map_err(|_| refused())?;
    let is_usable = !parsed.is_negative() && duration.as_secs() >= 1 && duration.subsec_nanos() == 0;
    if is_usable { Ok(duration) } else { Err(refused()) }
}

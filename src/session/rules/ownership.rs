//! Whose the session is, as far as Athena and the access show it. PURE.

use super::facts::Facts;
use super::start::StartState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Athena shows the session in another work group than it must be in.
    pub is_foreign: bool,
    /// The object adopted the session rightfully before: in the work group that Athena now shows for it, or in the work
    /// group that the object refers to. So a wrong answer now doesn't make the session somebody else's.
    pub was_ours: bool,
    /// Athena has shown enough of the session to tell whose it is. GetSession and lists show the work group, and the mark of
    /// the object that started the session. GetSessionStatus shows neither. An object without `workGroupRef` may have a
    /// session of any work group, so it doesn't need these, unless another object may have the same session.
    pub is_placed: bool,
    /// This object may read and report the session's state. The finalizer alone doesn't allow that: anybody may put it
    /// on an object of their own.
    pub may_know: bool,
}

impl Ownership {
    pub(super) fn of(facts: &Facts<'_>, start: StartState) -> Self {
        let (shown, expected) = (facts.observed.session.work_group.as_deref(), facts.access.work_group.as_deref());
        let recorded = facts.recorded_work_group();
        let is_foreign = shown.zip(expected).is_some_and(|(shown, expected)| shown != expected);
        let takes_any = expected.is_none() && !facts.access.is_contested;
        let has_grant = facts.access.denied.is_none() || facts.was_adopted() || start == StartState::Started;
        let is_elsewhere = facts.access.owner.is_some() || is_foreign;
        Self {
            is_foreign,
            was_ours: recorded.is_some() && (recorded == shown || recorded == expected),
            is_placed: !facts.observed.session.is_displaced && (shown.is_some() || takes_any),
            may_know: facts.is_held() && !start.is_pending() && has_grant && !is_elsewhere,
        }
    }
}

//! Which AthenaWorkGroups stand for the same work group of Athena: whose rules hold, who applies them, and what holds them up.
//! PURE.

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::hold::Hold;
use crate::api::cleanup::{CleanupBudget, CleanupMode};
use crate::api::work_group::AthenaWorkGroup;
use crate::cleanup::policy::Source;
use crate::index::access::is_paused;
use crate::index::claims::Location;

/// What tells one work group of Athena from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkGroupId<'a> {
    /// The AWS account.
    pub account: &'a str,
    /// The AWS Region.
    pub region: &'a str,
    /// The work group's name.
    pub work_group: &'a str,
}

impl<'a> WorkGroupId<'a> {
    /// The account and the Region, where alone a session's id is unique.
    pub(crate) fn account_and_region(self) -> (&'a str, &'a str) {
        (self.account, self.region)
    }
}

/// An AthenaWorkGroup of the cluster.
#[derive(Clone, Debug)]
pub enum Registered<'a> {
    /// One that can be read.
    Readable {
        /// The object.
        group: &'a AthenaWorkGroup,
        /// Where calls for it go, as far as that is known.
        location: Location,
    },
    /// An AthenaWorkGroup of this name that can't be read: it may stand for any work group of Athena.
    Unreadable(String),
}

/// The AthenaWorkGroups that stand for one work group.
#[derive(Debug, Default)]
pub struct Registrations<'a> {
    /// The oldest first.
    groups: Vec<&'a AthenaWorkGroup>,
    /// Those that may stand for the work group, too.
    unclear: Vec<String>,
}

impl<'a> Registrations<'a> {
    /// Those among `all` that stand for the work group of this id.
    pub fn of(id: WorkGroupId<'_>, all: impl IntoIterator<Item = Registered<'a>>) -> Self {
        let mut found = Self::default();
        for registered in all {
            match registered {
                Registered::Unreadable(name) => found.unclear.push(name),
                Registered::Readable { group, location } => match stands_for(group, &location, id) {
                    Some(true) => found.groups.push(group),
                    Some(false) => {}
                    None => found.unclear.push(group.name_any()),
                },
            }
        }
        found.groups.sort_by_key(|group| age_order(group));
        found
    }

    /// The AthenaWorkGroup whose reconciliation applies the rules of all: the oldest that has rules. One that is being deleted
    /// applies none, so another one has to say that nothing is ended.
    pub fn leader(&self) -> Option<&'a AthenaWorkGroup> {
        self.groups.iter().copied().find(|group| group.spec.cleanup.is_some() && !is_terminating(group))
    }

    /// The rules of each AthenaWorkGroup, the oldest first.
    pub fn sources(&self) -> Vec<Source<'a>> {
        let source = |group: &&'a AthenaWorkGroup| Source {
            owner: group.metadata.name.as_deref().unwrap_or_default(),
            cleanup: group.spec.cleanup.as_ref(),
        };
        self.groups.iter().map(source).collect()
    }

    /// The ends that were reserved last, under whichever AthenaWorkGroup: another one may have led a moment ago.
    pub fn budget(&self) -> Option<&'a CleanupBudget> {
        let budgets = self.groups.iter().filter_map(|group| group.status.as_ref()?.cleanup.as_ref()?.budget.as_ref());
        budgets.max_by_key(|budget| budget.reserved_at.0)
    }

    /// What keeps the rules from ending anything, whatever they match.
    pub fn hold(&self, is_read_only: bool) -> Option<Hold> {
        let named =
            |is: fn(&AthenaWorkGroup) -> bool| self.groups.iter().find(|group| is(group)).map(|it| it.name_any());
        let checks: [&dyn Fn() -> Option<Hold>; 5] = [
            &|| is_read_only.then_some(Hold::ReadOnly),
            &|| named(is_paused).map(Hold::Paused),
            &|| named(is_terminating).map(Hold::WorkGroupTerminating),
            &|| self.unclear.first().cloned().map(Hold::WorkGroupUnclear),
            &|| self.not_enforced_by_all(),
        ];
        checks.iter().find_map(|check| check())
    }

    /// One asks for ends, and another one doesn't.
    fn not_enforced_by_all(&self) -> Option<Hold> {
        let enforces = |group: &&&AthenaWorkGroup| {
            group.spec.cleanup.as_ref().is_some_and(|cleanup| cleanup.mode == CleanupMode::Enforce)
        };
        self.groups.iter().find(enforces)?;
        let other = self.groups.iter().find(|group| !enforces(group))?;
        Some(Hold::NotEnforcedByAll(other.name_any()))
    }
}

/// Whether an AthenaWorkGroup stands for the work group of this id; None where that isn't known.
fn stands_for(group: &AthenaWorkGroup, location: &Location, id: WorkGroupId<'_>) -> Option<bool> {
    if group.athena_name() != id.work_group {
        return Some(false);
    }
    let is_here = |account: &str| account == id.account;
    let in_account = match (location.account.as_deref().map(is_here), group.account().map(is_here)) {
        // Calls would go to another account than the recorded one: none is made, and the rules may be meant for either.
        (Some(goes), Some(recorded)) if goes != recorded => None,
        (goes, recorded) => goes.or(recorded),
    };
    let in_region = location.region.as_ref().map(|region| region == id.region);
    match (in_account, in_region) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        (None, _) | (_, None) => None,
    }
}

fn is_terminating(group: &AthenaWorkGroup) -> bool {
    group.meta().deletion_timestamp.is_some()
}

fn age_order(group: &AthenaWorkGroup) -> (Option<Timestamp>, Option<String>) {
    (group.meta().creation_timestamp.as_ref().map(|created| created.0), group.uid())
}

//! Ends that were reserved count for whoever ends sessions next: another process, under another AthenaWorkGroup, or with
//! rules that were taken away and set again.

use athena_session_operator::api::cleanup::{Cleanup, CleanupBudget, CleanupStatus};
use athena_session_operator::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus};
use athena_session_operator::athena::informer::Census;
use athena_session_operator::athena::types::{Account, CallerContext};
use athena_session_operator::index::claims::Location;
use athena_session_operator::work_group::cleanup::memory::CleanupMemory;
use athena_session_operator::work_group::cleanup::registrations::{Registered, Registrations, WorkGroupId};
use athena_session_operator::work_group::status::{GroupFacts, due};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::fixtures::{NOW, PLACE, all};
use crate::timing::TIMING;
use crate::world::group;

fn memory() -> CleanupMemory {
    CleanupMemory::new(&[], None)
}

fn later(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

fn budget(reserved: u32, seconds: i64) -> CleanupBudget {
    CleanupBudget { reserved_at: Time(later(seconds)), reserved }
}

/// Reserves ends, as the process of this memory, and records them.
fn reserve(memory: &mut CleanupMemory, recorded: &mut Option<CleanupBudget>, ends: usize, seconds: i64) {
    let reservation = memory.reserve(recorded.as_ref(), ends, TIMING.steady, later(seconds));
    *recorded = Some(reservation.budget.clone());
    memory.reserved(reservation);
}

fn reserved_by_others(memory: &CleanupMemory, recorded: Option<&CleanupBudget>, seconds: i64) -> usize {
    memory.reserved_by_others(recorded, TIMING.steady, later(seconds))
}

/// Two processes reserve in turn, and a third one counts what both reserved.
#[test]
fn a_reservation_of_another_process_doesnt_replace_the_first() {
    let (mut one, mut other, mut recorded) = (memory(), memory(), None);
    reserve(&mut one, &mut recorded, 2, 0);
    assert_eq!(
        (reserved_by_others(&one, recorded.as_ref(), 1), reserved_by_others(&other, recorded.as_ref(), 1)),
        (0, 2)
    );
    reserve(&mut other, &mut recorded, 1, 10);
    assert_eq!(recorded, Some(budget(3, 10)));
    assert_eq!(
        (reserved_by_others(&one, recorded.as_ref(), 11), reserved_by_others(&other, recorded.as_ref(), 11)),
        (3, 2)
    );
    reserve(&mut one, &mut recorded, 4, 20);
    assert_eq!(recorded, Some(budget(7, 20)));
    assert_eq!(
        (reserved_by_others(&one, recorded.as_ref(), 21), reserved_by_others(&other, recorded.as_ref(), 21)),
        (3, 7)
    );
    assert_eq!(reserved_by_others(&memory(), recorded.as_ref(), 21), 7, "of a third process");
    // Each reservation counts for one interval.
    assert_eq!(
        (reserved_by_others(&one, recorded.as_ref(), 69), reserved_by_others(&one, recorded.as_ref(), 70)),
        (3, 0)
    );
    assert_eq!(
        (reserved_by_others(&other, recorded.as_ref(), 79), reserved_by_others(&other, recorded.as_ref(), 80)),
        (7, 0)
    );
    reserve(&mut one, &mut recorded, 1, 80);
    assert_eq!(recorded, Some(budget(1, 80)));
}

fn registrations(groups: &[AthenaWorkGroup]) -> Registrations<'_> {
    let location = Location { account: Some(PLACE.0.to_owned()), region: Some(PLACE.1.to_owned()), work_group: None };
    let registered = groups.iter().map(|group| Registered::Readable { group, location: location.clone() });
    Registrations::of(WorkGroupId { account: PLACE.0, region: PLACE.1, work_group: "spark" }, registered)
}

fn with_budget(mut group: AthenaWorkGroup, budget: CleanupBudget) -> AthenaWorkGroup {
    let cleanup = Some(CleanupStatus { matched: 7, budget: Some(budget), ..CleanupStatus::default() });
    group.status = Some(AthenaWorkGroupStatus { cleanup, ..AthenaWorkGroupStatus::default() });
    group
}

/// Writes the status of an AthenaWorkGroup, as its reconciliation does.
fn reconcile(group: &mut AthenaWorkGroup, wall: Timestamp) {
    let scope = CallerContext {
        role: None,
        region: Some(PLACE.1.to_owned()),
        account: Account::Known(PLACE.0.to_owned()),
        confirmed_at: None,
        since: None,
        skew: None,
        recovered_at: None,
    };
    let (census, rates) = (Census::default(), [].into());
    let (scope, census, rates, timing) = (&scope, &census, &rates, &TIMING);
    let facts = GroupFacts { group, scope, census, rates, cleanup: None, dependents: None, timing, wall };
    if let Some((status, _)) = due(&facts) {
        group.status = Some(status);
    }
}

fn leader(groups: &[AthenaWorkGroup]) -> String {
    registrations(groups).leader().unwrap().name_any()
}

/// The oldest AthenaWorkGroup leads, and has reserved ends. Then another one leads.
#[test]
fn a_budget_counts_when_another_athena_work_group_leads() {
    for rules in [None, Some(all())] {
        let mut groups = [with_budget(group(0, Some(all())), budget(2, 0)), group(1, Some(all()))];
        assert_eq!(leader(&groups), "g0");
        groups[0].spec.cleanup = rules.clone();
        if rules.is_some() {
            // Somebody registers the work group once more, and that object is the oldest.
            groups[1].metadata.creation_timestamp = Some(Time(later(-60)));
        }
        reconcile(&mut groups[0], later(1));
        assert_eq!(leader(&groups), "g1");
        assert_eq!(reserved_by_others(&memory(), registrations(&groups).budget(), 30), 2, "{rules:?}");
    }
    // What the latest reservation records has the earlier one in it.
    let groups = [with_budget(group(0, Some(all())), budget(2, 0)), with_budget(group(1, Some(all())), budget(5, 9))];
    assert_eq!(registrations(&groups).budget(), Some(&budget(5, 9)));
}

/// Somebody takes the rules away, and sets them again.
#[test]
fn a_budget_counts_when_rules_are_taken_away_and_set_again() {
    let cleanup = |group: &AthenaWorkGroup| group.status.clone().unwrap().cleanup;
    let mut group = with_budget(group(0, Some(all())), budget(2, 0));
    group.spec.cleanup = None;
    reconcile(&mut group, later(10));
    let only = Some(CleanupStatus { budget: Some(budget(2, 0)), ..CleanupStatus::default() });
    assert_eq!(cleanup(&group), only, "what was found under the rules isn't told any more");
    group.spec.cleanup = Some(Cleanup { max_terminations_per_run: 2, ..all() });
    reconcile(&mut group, later(20));
    assert_eq!(reserved_by_others(&memory(), registrations(std::slice::from_ref(&group)).budget(), 59), 2);
    // When nothing counts any more, nothing is recorded.
    group.spec.cleanup = None;
    reconcile(&mut group, later(60));
    assert_eq!(cleanup(&group), None);
}

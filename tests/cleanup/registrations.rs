//! Which AthenaWorkGroups stand for one work group of Athena, which of them applies the rules, and what holds the rules up.

use athena_session_operator::api::cleanup::Cleanup;
use athena_session_operator::api::work_group::{AthenaWorkGroup, AthenaWorkGroupSpec, AthenaWorkGroupStatus};
use athena_session_operator::index::claims::Location;
use athena_session_operator::work_group::cleanup::registrations::{Registered, Registrations, WorkGroupId};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::fixtures::{NOW, PLACE, all};

const HERE: &str = PLACE.0;
const ELSEWHERE: &str = "999999999999";

/// An AthenaWorkGroup that is so many seconds old. `recorded`: the account that its status names.
fn group(name: &str, age: i64, cleanup: Option<Cleanup>, recorded: &str) -> AthenaWorkGroup {
    let spec = AthenaWorkGroupSpec { work_group: Some("spark".to_owned()), cleanup, ..AthenaWorkGroupSpec::default() };
    let mut group = AthenaWorkGroup::new(name, spec);
    group.metadata.uid = Some(name.to_owned());
    group.metadata.creation_timestamp = Some(Time(NOW - SignedDuration::from_secs(age)));
    let account_id = Some(recorded.to_owned());
    group.status = Some(AthenaWorkGroupStatus { account_id, ..AthenaWorkGroupStatus::default() });
    group
}

fn terminating(mut group: AthenaWorkGroup) -> AthenaWorkGroup {
    group.metadata.deletion_timestamp = Some(Time(NOW));
    group
}

/// The AthenaWorkGroup that applies the rules, and the reason why nothing is ended. Calls for each go to the account beside it.
fn found<'a>(groups: &'a [(AthenaWorkGroup, &'a str)]) -> (Option<String>, Option<&'static str>) {
    let id = WorkGroupId { account: HERE, region: PLACE.1, work_group: "spark" };
    let all = groups.iter().map(|(group, account)| {
        let location =
            Location { account: Some((*account).to_owned()), region: Some(PLACE.1.to_owned()), work_group: None };
        Registered::Readable { group, location }
    });
    let registrations = Registrations::of(id, all);
    (registrations.leader().map(ResourceExt::name_any), registrations.hold(false).map(|hold| hold.reason()))
}

#[test]
fn the_oldest_with_rules_applies_those_of_all() {
    let groups = [
        (group("old", 9, None, HERE), HERE),
        (group("second", 5, Some(all()), HERE), HERE),
        (group("third", 1, Some(all()), HERE), HERE),
        (group("elsewhere", 99, Some(all()), ELSEWHERE), ELSEWHERE),
    ];
    assert_eq!(found(&groups[1..]), (Some("second".to_owned()), None));
    assert_eq!(found(&groups).0, Some("second".to_owned()));
}

/// An AthenaWorkGroup that is being deleted applies no rules. Another one says that it holds them up.
#[test]
fn one_that_is_being_deleted_leaves_the_report_to_another() {
    let groups =
        [(terminating(group("old", 9, Some(all()), HERE)), HERE), (group("young", 1, Some(all()), HERE), HERE)];
    assert_eq!(found(&groups), (Some("young".to_owned()), Some("WorkGroupTerminating")));
    assert_eq!(found(&groups[..1]).0, None);
}

/// An AthenaWorkGroup whose calls go to another account than the recorded one makes none: it applies no rules, and whether its own
/// are meant for this work group isn't known.
#[test]
fn one_whose_account_changed_leaves_the_report_to_another() {
    for (recorded, calls_go_to) in [(HERE, ELSEWHERE), (ELSEWHERE, HERE)] {
        let groups =
            [(group("old", 9, Some(all()), recorded), calls_go_to), (group("young", 1, Some(all()), HERE), HERE)];
        assert_eq!(found(&groups), (Some("young".to_owned()), Some("WorkGroupUnclear")));
    }
}

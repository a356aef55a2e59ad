//! What may be ended, told without the operator's code.

use std::collections::BTreeMap;

use athena_session_operator::api::PAUSED;
use athena_session_operator::api::cleanup::{
    Cleanup, CleanupMode, KEEP_UNTIL_TAG, Protect, RETAINED_TAG, SessionMatch,
};
use athena_session_operator::api::work_group::AthenaWorkGroup;
use athena_session_operator::athena::types::{SessionState, SessionStatus};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::fixtures::{CLUSTER, protect, protect_tag, rule};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The rules `idle`, `dbt` and `lost`, as far as they are chosen, and a protection by description and one by tag.
pub fn cleanup(
    mode: CleanupMode,
    chosen: [bool; 3],
    max_terminations_per_run: u32,
    max_matched_percent: u32,
) -> Cleanup {
    let hour = || Some("1h".to_owned());
    let rules = [
        ("idle", SessionMatch { states: vec!["IDLE".to_owned()], idle_for: hour(), ..SessionMatch::default() }),
        (
            "dbt",
            SessionMatch {
                older_than: hour(),
                description: Some("^dbt: ".to_owned()),
                states: vec!["IDLE".to_owned(), "BUSY".to_owned()],
                ..SessionMatch::default()
            },
        ),
        ("lost", SessionMatch { older_than: hour(), orphaned: true, ..SessionMatch::default() }),
    ];
    let chosen = rules.into_iter().zip(chosen).filter(|(_, chosen)| *chosen);
    Cleanup {
        mode,
        rules: chosen.map(|((name, matches), _)| rule(name, matches)).collect(),
        protect: vec![protect("prod"), protect_tag("team", Some("risk"))],
        max_terminations_per_run,
        max_matched_percent,
    }
}

/// Whether a rule of these matches a session that nobody declares, and neither description nor mark protects it.
pub fn matches(rules: &[(String, Option<Cleanup>)], status: &SessionStatus, now: Timestamp) -> bool {
    let since = |at: Option<Timestamp>| at.is_some_and(|at| now.duration_since(at) >= HOUR);
    let text = status.description.as_deref().unwrap_or_default();
    let is_idle = status.state == SessionState::Idle;
    let is_live = is_idle || matches!(status.state, SessionState::Busy | SessionState::Degraded);
    let is_of_another = status.marker.as_ref().is_some_and(|marker| marker.cluster != CLUSTER);
    let one = |name: &str| match name {
        "idle" => is_idle && since(status.idle_since),
        "dbt" => status.state != SessionState::Degraded && since(status.started_at) && text.starts_with("dbt: "),
        _ => since(status.started_at) && status.marker.is_some(),
    };
    let all = || rules.iter().filter_map(|(_, cleanup)| cleanup.as_ref());
    let protects = |entry: &Protect| entry.description.as_deref().is_some_and(|it| text.contains(it));
    is_live
        && !is_of_another
        && all().any(|cleanup| cleanup.rules.iter().any(|rule| one(&rule.name)))
        && !all().any(|cleanup| cleanup.protect.iter().any(protects))
}

/// Whether tags protect a session.
pub fn tags_protect(rules: &[(String, Option<Cleanup>)], tags: &BTreeMap<String, String>, now: Timestamp) -> bool {
    let listed = |entry: &Protect| entry.tag.as_ref().is_some_and(|tag| tags.get(tag) == entry.value.as_ref());
    tags.contains_key(RETAINED_TAG)
        || tags.get(KEEP_UNTIL_TAG).is_some_and(|until| until.parse::<Timestamp>().is_ok_and(|until| until > now))
        || tags.get("athena-operator.dev/cluster").is_some_and(|cluster| cluster != CLUSTER)
        || rules.iter().filter_map(|(_, cleanup)| cleanup.as_ref()).any(|it| it.protect.iter().any(listed))
}

/// Whether all AthenaWorkGroups ask for ends, and none of them is held up.
pub fn all_enforce(groups: &[AthenaWorkGroup]) -> bool {
    groups.iter().all(|group| {
        let is_enforced = group.spec.cleanup.as_ref().is_some_and(|it| it.mode == CleanupMode::Enforce);
        is_enforced && !group.annotations().contains_key(PAUSED) && group.metadata.deletion_timestamp.is_none()
    })
}

/// The rules of the AthenaWorkGroups, the oldest first.
pub fn rules_of(groups: &[AthenaWorkGroup]) -> Vec<(String, Option<Cleanup>)> {
    groups.iter().map(|group| (group.name_any(), group.spec.cleanup.clone())).collect()
}

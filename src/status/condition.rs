//! Conditions, by the conventions of the Kubernetes API. PURE.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reason::{Reason, Standing, Tristate};
use crate::text::message;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    pub type_: &'static str,
    pub status: Tristate,
    pub reason: &'a str,
    pub message: String,
}

/// The conditions after a change: `drafts` in their order, then those of `before` that aren't `ours`. The time of the last
/// transition changes only with the status; of `Reconciling`, which is there only while it is true, also with the reason.
/// Messages are made fit here ([`message`]), since each may hold words of Athena, and names that tenants chose.
pub fn renewed(
    before: &[Condition],
    ours: &[&str],
    drafts: Vec<Draft<'_>>,
    generation: Option<i64>,
    wall: Timestamp,
) -> Vec<Condition> {
    let renewed = drafts.into_iter().map(|draft| {
        let status = format!("{:?}", draft.status);
        let same = before.iter().find(|it| it.type_ == draft.type_ && it.status == status);
        let same = same.filter(|it| it.type_ != "Reconciling" || it.reason == draft.reason);
        Condition {
            type_: draft.type_.to_owned(),
            reason: draft.reason.to_owned(),
            message: message(&draft.message),
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| time(wall), |same| same.last_transition_time.clone()),
            status,
        }
    });
    let others = before.iter().filter(|condition| !ours.contains(&condition.type_.as_str()));
    renewed.chain(others.cloned()).collect()
}

/// `Ready`, and `Reconciling` or `Stalled` where that holds. `arrives`: what is missing may still arrive.
pub fn standing(reason: Reason, message: &str, arrives: bool) -> Vec<Draft<'static>> {
    let standing = reason.row().standing;
    let draft = |type_, status| Draft { type_, status, reason: reason.as_str(), message: message.to_owned() };
    let ready = if standing == Standing::Ready { Tristate::True } else { Tristate::False };
    let abnormal = match standing {
        Standing::Reconciling => Some("Reconciling"),
        Standing::StalledLater if arrives => Some("Reconciling"),
        Standing::Stalled | Standing::StalledLater => Some("Stalled"),
        Standing::Ready => None,
    };
    let abnormal = abnormal.map(|type_| draft(type_, Tristate::True));
    [draft("Ready", ready)].into_iter().chain(abnormal).collect()
}

/// Kubernetes' times have no fractions; one would make what is written differ from what is read.
pub fn time(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

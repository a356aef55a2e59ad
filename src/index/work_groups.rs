//! What the AthenaWorkGroups say for an AthenaSession: its access, and where in AWS its session is.

use std::collections::HashSet;
use std::sync::Arc;

use kube::{Resource, ResourceExt};

use super::access::{Access, Rules, WorkGroupLimits};
use super::claims::Location;
use super::objects::{Objects, reference};
use crate::api::is_kept;
use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::athena::identity::Identities;
use crate::athena::types::{AwsTarget, Role};

/// The AthenaWorkGroups, with what the command line says about them.
pub(crate) struct WorkGroups {
    pub(crate) objects: Arc<Objects>,
    pub(crate) rules: Rules,
    /// Whether the operator watches all namespaces. Only such an operator reconciles AthenaWorkGroups.
    pub(crate) is_cluster_wide: bool,
    pub(crate) identities: Arc<Identities>,
}

impl WorkGroups {
    /// The access of an object, without other objects that claim its session, and without the quota of its namespace.
    pub(crate) fn access(&self, object: &AthenaSession) -> Access {
        let group = reference(object).and_then(|name| self.objects.group(name));
        self.access_by(group.as_ref().and_then(|group| group.0.as_ref().ok()), object)
    }

    /// The limits that a copy of the object's AthenaWorkGroup sets for the object's session.
    pub(crate) fn limits_by(&self, group: &AthenaWorkGroup, object: &AthenaSession) -> Option<WorkGroupLimits> {
        self.access_by(Some(group), object).limits
    }

    fn access_by(&self, group: Option<&AthenaWorkGroup>, object: &AthenaSession) -> Access {
        let namespace = self.objects.namespace(object.meta().namespace.as_deref().unwrap_or_default());
        let labels = namespace.as_ref().map(|namespace| namespace.labels());
        let access = Access::of(object, group, labels, self.rules);
        let lacks_finalizer = group.is_some_and(|group| !is_kept(group));
        Access { lacks_finalizer: lacks_finalizer && self.is_cluster_wide && !access.is_terminating, ..access }
    }

    pub(crate) fn sessions_per_namespace(&self, group: Option<&str>) -> Option<u32> {
        self.objects.group(group?)?.0.as_ref().ok()?.spec.start.as_ref()?.sessions_per_namespace
    }

    /// How an object's session is reached; None where its AthenaWorkGroup doesn't exist.
    pub(crate) fn target(&self, object: &AthenaSession) -> Option<AwsTarget> {
        let Some(name) = reference(object) else {
            return Some(AwsTarget { role: None, region: self.identities.region().map(str::to_owned) });
        };
        let group = self.objects.group(name)?;
        Some(self.target_of(group.0.as_ref().ok()?))
    }

    pub(crate) fn target_of(&self, group: &AthenaWorkGroup) -> AwsTarget {
        let external_id = group.spec.external_id.clone();
        AwsTarget {
            role: group.spec.role_arn.clone().map(|arn| Role { arn, external_id }),
            region: group.region().or(self.identities.region()).map(str::to_owned),
        }
    }

    pub(crate) fn targets(&self) -> HashSet<AwsTarget> {
        let groups = self.objects.groups();
        groups.iter().filter_map(|group| group.0.as_ref().ok()).map(|group| self.target_of(group)).collect()
    }

    pub(crate) fn of_athena(&self, target: &AwsTarget, work_group: &str) -> Vec<String> {
        let stands_for_it =
            |group: &AthenaWorkGroup| group.athena_name() == work_group && self.target_of(group) == *target;
        let groups = self.objects.groups();
        groups.iter().filter(|group| group.0.as_ref().is_ok_and(stands_for_it)).map(|group| group.name_any()).collect()
    }

    /// Where an object's session is, as far as that is known without a call.
    pub(crate) fn location(&self, object: &AthenaSession) -> Location {
        let Some(name) = reference(object) else {
            let region = self.identities.region().map(str::to_owned);
            return Location { region, account: self.own_account(), work_group: None };
        };
        let group = self.objects.group(name);
        let group = group.as_ref().and_then(|group| group.0.as_ref().ok());
        group.map_or_else(Location::default, |group| self.location_of(group))
    }

    /// Where calls for an AthenaWorkGroup go, as far as that is known without a call.
    pub(crate) fn location_of(&self, group: &AthenaWorkGroup) -> Location {
        // arn:aws:iam::ACCOUNT:role/NAME
        let of_role = |arn: &String| arn.split(':').nth(4).map(str::to_owned);
        Location {
            region: group.region().or(self.identities.region()).map(str::to_owned),
            account: group.spec.role_arn.as_ref().map_or_else(|| self.own_account(), of_role),
            work_group: Some(group.athena_name()),
        }
    }

    fn own_account(&self) -> Option<String> {
        self.identities.own.caller_context().account.known().map(str::to_owned)
    }
}

//! What the controllers need to reconcile.

use std::sync::Arc;
use std::time::Duration;

use crate::athena::informer::Informer;
use crate::athena::quota::Quotas;
use crate::events::Events;
use crate::index::cluster::ClusterIndex;
use crate::metrics::Metrics;
use crate::timing::Timing;
use crate::write_refusals::WriteRefusals;

#[derive(Clone)]
pub(crate) struct Dependencies {
    pub(crate) client: kube::Client,
    pub(crate) index: Arc<ClusterIndex>,
    pub(crate) informer: Arc<Informer>,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) timing: Timing,
    /// The deadline of each request to Kubernetes.
    pub(crate) deadline: Duration,
    pub(crate) writes: WriteRefusals,
}

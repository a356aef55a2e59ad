//! What both controllers have in common: kube's watcher and reflector, and the loop that reconciles. An object is reconciled
//! when it changes, and when somebody wakes it.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use kube::runtime::controller::{Action, Error};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::interval;

use crate::cluster::{Cluster, TroubleLog};
use crate::health::Pulse;
use crate::text::chain;

/// Between two signs of life.
pub const BEAT: Duration = Duration::from_secs(1);

/// Objects of one kind, as one watch shows them.
pub struct Watched<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// Who serves them, and reports trouble with the watch.
    pub cluster: Cluster,
    /// Where they are.
    pub api: Api<K>,
    /// What fills the store.
    pub writer: Writer<K>,
    /// Objects that are to be reconciled though they haven't changed.
    pub wakes: mpsc::UnboundedReceiver<ObjectRef<K>>,
}

/// Objects that are to be reconciled: those that change, and those that are woken; until `stop` says true. `seen` is called for
/// each event once the store knows it, and `woken` for each object that is woken.
pub fn queue<K>(
    watched: Watched<K>,
    mut stop: watch::Receiver<bool>,
    seen: impl Fn(&watcher::Event<K>),
    woken: impl Fn(&ObjectRef<K>),
) -> impl Stream<Item = Result<ObjectRef<K>, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let Watched { cluster, api, writer, mut wakes } = watched;
    let changes = watcher(api.clone(), cluster.watch_config()).default_backoff();
    let changes = cluster
        .report_trouble(api, changes)
        .reflect(writer)
        .inspect_ok(seen)
        .touched_objects()
        .map_ok(|object| ObjectRef::from_obj(&object));
    let wakes = stream::poll_fn(move |context| wakes.poll_recv(context)).inspect(woken).map(Ok);
    let stopped = async move {
        // An error means that nobody can say stop any more, which says it too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    stream::select(changes, wakes).take_until(Box::pin(stopped))
}

/// Runs the reconciliations until they and their queue have ended. `each_beat` is called between them. `gone` is called with the
/// namespace and name of each object that doesn't exist any more when its turn comes.
pub async fn drive<K: Resource<DynamicType = ()>>(
    kind: &'static str,
    reconciliations: impl Stream<Item = Result<(ObjectRef<K>, Action), Error<Infallible, watcher::Error>>>,
    pulse: Pulse,
    each_beat: impl Fn(),
    gone: impl Fn(String, String),
) {
    let mut reconciliations = pin!(reconciliations);
    let mut log = TroubleLog::new(format!("watch of {kind}"));
    let mut beat = interval(BEAT);
    loop {
        let reconciliation = tokio::select! {
            reconciliation = reconciliations.next() => reconciliation,
            _ = beat.tick() => {
                pulse.beat();
                each_beat();
                continue;
            }
        };
        match reconciliation {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(Error::ObjectNotFound(object))) => gone(object.namespace.unwrap_or_default(), object.name),
            // The watch has reported it.
            Some(Err(Error::QueueError(_))) => {}
            Some(Err(error)) => log.report(&chain(&error)),
        }
    }
}

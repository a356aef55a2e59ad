//! What both controllers have in common: kube's watcher, reflector and `applier`, put together so that passes are asked
//! for by changes of the objects and by whoever wakes one.

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

use crate::cluster::Cluster;
use crate::health::Pulse;
use crate::text::{Told, chain};

/// Between two signs of life.
pub const BEAT: Duration = Duration::from_secs(1);

/// Objects of one kind, as one watch shows them.
pub struct Watched<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// Who serves them, and tells what is wrong with the watch.
    pub cluster: Cluster,
    /// Where they are.
    pub api: Api<K>,
    /// What fills the store.
    pub writer: Writer<K>,
    /// Objects that need a pass for another reason than a change of their own.
    pub wakes: mpsc::UnboundedReceiver<ObjectRef<K>>,
}

/// Of a watch that is renewed after so long.
#[must_use]
pub fn watch_config(life: Duration) -> watcher::Config {
    watcher::Config::default().timeout(u32::try_from(life.as_secs().max(1)).unwrap_or(u32::MAX))
}

/// Objects that need a pass: those that change, and those that are woken; until `stop` says true. `seen` hears of
/// each event when the store knows it, and `woken` of each object that is woken.
pub fn queue<K>(
    watched: Watched<K>,
    life: Duration,
    mut stop: watch::Receiver<bool>,
    seen: impl Fn(&watcher::Event<K>),
    woken: impl Fn(&ObjectRef<K>),
) -> impl Stream<Item = Result<ObjectRef<K>, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let Watched { cluster, api, writer, mut wakes } = watched;
    let changes = watcher(api.clone(), watch_config(life)).default_backoff();
    let changes = cluster
        .told(api, changes)
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

/// Sees to it that passes are made, until their queue and they have ended. `each_beat` is called between passes;
/// `gone` hears of each object, by namespace and name, that doesn't exist any more when its turn comes.
pub async fn drive<K: Resource<DynamicType = ()>>(
    kind: &'static str,
    passes: impl Stream<Item = Result<(ObjectRef<K>, Action), Error<Infallible, watcher::Error>>>,
    pulse: Pulse,
    each_beat: impl Fn(),
    gone: impl Fn(String, String),
) {
    let mut passes = pin!(passes);
    let mut told = Told::of(format!("watch of {kind}"));
    let mut beat = interval(BEAT);
    loop {
        let pass = tokio::select! {
            pass = passes.next() => pass,
            _ = beat.tick() => {
                pulse.beat();
                each_beat();
                continue;
            }
        };
        match pass {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(Error::ObjectNotFound(object))) => gone(object.namespace.unwrap_or_default(), object.name),
            // The watch has told it.
            Some(Err(Error::QueueError(_))) => {}
            Some(Err(error)) => told.trouble(&chain(&error)),
        }
    }
}

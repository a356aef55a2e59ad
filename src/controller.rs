//! What both controllers have in common: kube's watcher and reflector, and the loop that reconciles. An object is reconciled
//! when it changes, and when somebody wakes it.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use kube::runtime::controller::{Action, Error};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::interval;

use crate::cluster::{Cluster, TroubleLog};
use crate::health::Pulse;
use crate::text::chain;

/// Between two signs of life.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// Objects of one kind, as one watch shows them.
pub(crate) struct Watched<K: Resource<DynamicType = ()> + Clone + 'static> {
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
pub(crate) fn queue<K>(
    watched: Watched<K>,
    mut stop: watch::Receiver<bool>,
    seen: impl Fn(&watcher::Event<K>),
    woken: impl Fn(&ObjectRef<K>),
) -> impl Stream<Item = Result<ObjectRef<K>, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let Watched { cluster, api, writer, mut wakes } = watched;
    let store = writer.as_reader();
    let changes = watcher(api.clone(), cluster.watch_config()).default_backoff();
    let changes = cluster.report_trouble(api, changes).reflect(writer).inspect_ok(seen);
    let changes = changes.map_ok(move |event| stream::iter(touched(event, &store)).map(Ok)).try_flatten();
    let wakes = stream::poll_fn(move |context| wakes.poll_recv(context)).inspect(woken).map(Ok);
    let stopped = async move {
        // An error means that nobody can say stop any more, which says it too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    stream::select(changes, wakes).take_until(Box::pin(stopped))
}

/// The objects that an event has changed in the store. The store has the objects of a list only when the list is complete.
/// So kube's `touched_objects`, which returns each object when its page arrives, has the object reconciled as it was before.
fn touched<K>(event: watcher::Event<K>, store: &Store<K>) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        watcher::Event::Apply(object) | watcher::Event::Delete(object) => vec![ObjectRef::from_obj(&object)],
        watcher::Event::Init | watcher::Event::InitApply(_) => vec![],
        watcher::Event::InitDone => store.state().iter().map(|object| ObjectRef::from_obj(&**object)).collect(),
    }
}

/// Runs the reconciliations until they and their queue have ended. `each_beat` is called between them. `gone` is called with the
/// namespace and name of each object that doesn't exist any more when its turn comes.
pub(crate) async fn drive<K: Resource<DynamicType = ()>>(
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        let metadata = &mut object.metadata;
        metadata.name = Some(name.to_owned());
        metadata.namespace = Some("team".to_owned());
        metadata.resource_version = Some(version.to_owned());
        object
    }

    /// L1: an object that was deleted, say, while the watch was broken is shown by the next list. The pages of that list arrive
    /// one after the other, and the store has the objects as they were until the last page is there.
    #[test]
    fn an_object_of_a_list_is_touched_when_the_store_has_it() {
        let (store, mut writer) = reflector::store();
        let [old, new, late] = [("a", "1"), ("a", "2"), ("b", "3")].map(|(name, version)| object(name, version));
        let events = [Init, InitApply(old), InitDone, Init, InitApply(new), InitApply(late), InitDone];
        let mut seen = vec![];
        for event in events {
            writer.apply_watcher_event(&event);
            let versions =
                touched(event, &store).into_iter().map(|it| store.get(&it).and_then(|it| it.resource_version()));
            let mut versions: Vec<_> = versions.collect();
            versions.sort();
            seen.push(versions);
        }
        let [first, second, third] = ["1", "2", "3"].map(|version| Some(version.to_owned()));
        assert_eq!(seen, [vec![], vec![], vec![first], vec![], vec![], vec![], vec![second, third]]);
        let changes = [Apply(object("a", "4")), Delete(object("a", "4"))];
        assert!(changes.into_iter().all(|event| touched(event, &store) == [ObjectRef::new("a").within("team")]));
    }
}

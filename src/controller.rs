//! What both controllers have in common: kube's watcher and reflector, and the loop that reconciles. An object is reconciled
//! when it changes, and when somebody wakes it.

#[cfg_attr(not(test), warn(clippy::disallowed_methods))]
mod turns;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

pub(crate) use self::turns::Limits;
use self::turns::Turns;
use crate::athena::quota::Key;
use crate::cluster::Cluster;
use crate::health::Pulse;

/// Between two signs of life.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// When an object is reconciled again, if it neither changes nor is woken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requeue {
    /// After this time.
    After(Duration),
    /// Never.
    AwaitChange,
}

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

/// Reconciles the objects of `queue`, each in a task of its own, until the queue and the reconciliations have ended.
/// `each_beat` is called between them. `gone` is called with each object that doesn't exist any more when its turn comes.
pub(crate) async fn drive<K, F>(
    queue: impl Stream<Item = Result<ObjectRef<K>, watcher::Error>>,
    store: Store<K>,
    limits: Limits,
    pulse: Pulse,
    each_beat: impl Fn(),
    reconcile: impl Fn(Arc<K>) -> F,
    gone: impl Fn(&Key),
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
    F: Future<Output = Requeue> + Send + 'static,
{
    let mut queue = pin!(queue);
    let (mut turns, mut tasks, mut beat) = (Turns::new(limits), JoinSet::new(), interval(BEAT));
    let mut has_ended = false;
    while !has_ended || !tasks.is_empty() {
        let next = turns.wait_due(Instant::now());
        while !has_ended && let Some(key) = turns.begin() {
            let Some(object) = store.get(&reference(&key)) else {
                gone(&key);
                turns.end(key, None);
                continue;
            };
            let reconciliation = AssertUnwindSafe(reconcile(object)).catch_unwind();
            tasks.spawn(async move { (key, reconciliation.await.unwrap_or(Requeue::After(BEAT))) });
        }
        let pause = next.map_or(BEAT, |next| next.saturating_duration_since(Instant::now()));
        tokio::select! {
            object = queue.next(), if !has_ended => match object {
                Some(Ok(object)) => turns.wait((object.namespace.unwrap_or_default(), object.name)),
                // The watch has reported it.
                Some(Err(_)) => {}
                None => has_ended = true,
            },
            // A task that failed was aborted: the runtime ends.
            Some(Ok((key, requeue))) = tasks.join_next() => turns.end(key, match requeue {
                Requeue::After(wait) => Some(Instant::now() + wait),
                Requeue::AwaitChange => None,
            }),
            () = sleep(pause) => {}
            _ = beat.tick() => {
                pulse.beat();
                each_beat();
            }
        }
    }
}

fn reference<K: Resource<DynamicType = ()>>((namespace, name): &Key) -> ObjectRef<K> {
    let reference = ObjectRef::new(name);
    if namespace.is_empty() { reference } else { reference.within(namespace) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    use tokio::time::timeout;

    use super::*;
    use crate::health::Heartbeats;

    const PATIENCE: Duration = Duration::from_secs(20);

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

    /// Whether the loop ends in time, and which objects were reconciled and gone in it. Object `panics` panics once, and `again`
    /// asks for one more reconciliation.
    async fn driven(asked: &[&str]) -> (Vec<String>, Vec<String>) {
        let (store, mut writer) = reflector::store();
        for name in ["panics", "again", "plain"] {
            writer.apply_watcher_event(&Apply(object(name, "1")));
        }
        let queue = stream::iter(asked.iter().map(|name| Ok(ObjectRef::new(name).within("team"))).collect::<Vec<_>>());
        // So that what is to be reconciled again is, before the queue ends.
        let queue = queue.chain(stream::once(sleep(BEAT * 3)).filter_map(|()| std::future::ready(None)));
        let (begun, gone) = (Arc::new(Mutex::new(vec![])), Mutex::new(vec![]));
        let reconcile = |object: Arc<ConfigMap>| {
            let begun = Arc::clone(&begun);
            async move {
                let (name, mut begun) = (object.name_any(), begun.lock().expect("no test panics with it"));
                begun.push(name.clone());
                let count = begun.iter().filter(|it| **it == name).count();
                drop(begun);
                assert!(name != "panics" || count > 1, "as the test wants");
                if name == "again" && count == 1 { Requeue::After(BEAT / 10) } else { Requeue::AwaitChange }
            }
        };
        let forget = |key: &Key| gone.lock().expect("no test panics with it").push(key.1.clone());
        let pulse = Heartbeats::default().register("test", PATIENCE);
        let driven = drive(queue, store, Limits { all: 2, namespace: 1 }, pulse, || {}, reconcile, forget);
        timeout(PATIENCE, driven).await.expect("the loop ends with its queue");
        let mut begun = begun.lock().expect("no test panics with it").clone();
        begun.sort();
        (begun, gone.into_inner().expect("no test panics with it"))
    }

    #[tokio::test]
    async fn an_object_is_reconciled_again_as_it_asks_and_after_a_panic() {
        let (begun, gone) = driven(&["plain", "again", "panics", "gone"]).await;
        assert_eq!(begun, ["again", "again", "panics", "panics", "plain"]);
        assert_eq!(gone, ["gone"]);
    }
}

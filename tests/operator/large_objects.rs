//! Large objects: a tenant makes many of them, and the operator has little memory.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::api::AthenaSession;
use crate::launch::Start;
use crate::proxy::{Meddle, Script, kubeconfig_by_way_of};
use crate::world::{World, eventually, has_finalizer};

/// 96 MiB for the operator's data, which is much less than a parsed page of these objects.
const DATA_LIMIT: &str = "-d 98304";
const MOST_MEMORY: u64 = 96 << 20;
/// AthenaSessions of 250 kB each. An annotation makes them large, since the API server takes seconds for a write of
/// thousands of labels.
const OBJECTS: usize = 100;
/// Pods of 0.9 MB each.
const PODS: usize = 60;
/// So many labels of 260 bytes make an object of 0.9 MB, since managedFields has each of them once more.
const LABELS: usize = 2_000;

fn large_labels() -> Value {
    let name = |number| format!("{}.example.com/label-{number:06}-{}", "prefix".repeat(20), "x".repeat(48));
    (0..LABELS).map(|number| (name(number), json!("v".repeat(60)))).collect::<Map<_, _>>().into()
}

async fn create_all<K>(api: &Api<K>, objects: impl Iterator<Item = Value>)
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let requests = objects.map(|object| async move {
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.map(drop)
    });
    stream::iter(requests).buffer_unordered(8).try_collect::<()>().await.unwrap();
}

impl World {
    /// A namespace of a tenant who makes large AthenaSessions and Pods.
    async fn hostile_namespace(&self) -> String {
        let namespace = format!("{}-hostile", self.namespace);
        self.plane.kubectl_ok(&["create", "namespace", &namespace]).await;
        self.grant_workloads_in(&namespace).await;
        let metadata = |number: usize| json!({"name": format!("large-{number}"), "annotations": {"example.com/large": "x".repeat(250_000)}});
        let sessions = (0..OBJECTS).map(|number| {
            json!({
                "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession", "metadata": metadata(number),
                "spec": {"sessionId": self.session_in("IDLE")},
            })
        });
        create_all(&Api::<AthenaSession>::namespaced(self.client.clone(), &namespace), sessions).await;
        let pods = (0..PODS).map(|number| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata(number),
                "spec": {"containers": [{"name": "main", "image": "none", "env": [{"name": "LARGE", "value": "x".repeat(650_000)}]}]},
            })
        });
        create_all(&Api::<Pod>::namespaced(self.client.clone(), &namespace), pods).await;
        namespace
    }

    async fn adopts_and_ends(&self, name: &str) {
        let id = self.declare(name, "IDLE").await;
        self.until_reason(name, "Running").await;
        self.delete(name).await;
        self.until_gone(name).await;
        assert_eq!(self.athena_session(&id).state, "TERMINATED");
    }
}

/// L1: at the first list, and at the list after a watch that ends with 410 Gone.
#[tokio::test]
async fn large_objects_of_one_tenant_stop_nobody() {
    let world = World::with_workloads().await;
    let hostile = world.hostile_namespace().await;
    let (is_forgotten, forgotten) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (forgets, count) = (Arc::clone(&is_forgotten), Arc::clone(&forgotten));
    let script = Script::meddling(move |request, _| {
        let is_watch = request.starts_with("GET (watch)") && request.contains("-hostile/");
        let gone = json!({"type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version",
        }});
        (is_watch && forgets.load(Ordering::SeqCst)).then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            Meddle::Answer(200, gone)
        })
    });
    let kubeconfig = kubeconfig_by_way_of(&script, &world).await;
    let arguments = ["--end-with", "--watch-namespace", &hostile];
    world.start_operator_with(Start { kubeconfig, ulimit: Some(DATA_LIMIT), ..Start::with(&arguments) }).await;
    world.adopts_and_ends("before").await;

    let lists = || {
        let is_list = |request: &str| request.starts_with("GET /") && request.ends_with("-hostile/athenasessions");
        script.seen().iter().filter(|key| is_list(&key.request)).count()
    };
    let listed = lists();
    is_forgotten.store(true, Ordering::SeqCst);
    eventually("a watch of each kind has ended", || async { (forgotten.load(Ordering::SeqCst) >= 3).then_some(()) })
        .await;
    is_forgotten.store(false, Ordering::SeqCst);
    eventually("all is listed again", || async { (lists() > listed).then_some(()) }).await;
    world.adopts_and_ends("after").await;

    assert!(world.operator_runs(), "{}", world.log());
    assert!(world.peak_memory() <= MOST_MEMORY, "{} bytes", world.peak_memory());
}

/// L1: the request for StartSession may be large. Other large parts of an object are reported, and do no harm.
#[tokio::test]
async fn an_object_too_large_to_be_kept_starts_and_ends_its_session() {
    let world = World::new().await;
    let group = world.register_for_starts("large", json!({})).await;
    world.start_operator_with(Start { ulimit: Some(DATA_LIMIT), ..Start::default() }).await;
    let properties: Map<_, _> =
        (0..100).map(|number| (format!("spark.property-{number}"), json!("v".repeat(4_000)))).collect();
    let start = json!({"engineConfiguration": {"sparkProperties": properties}});
    let large = json!({
        "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession",
        "metadata": {"name": "large", "labels": large_labels()},
        "spec": {"start": start, "workGroupRef": {"name": group}},
    });
    create_all(&world.objects(), [large].into_iter()).await;
    world.until_reason("large", "Running").await;
    let [session] = world.athena.sessions().try_into().expect("one session");
    assert_eq!(session.input["EngineConfiguration"]["SparkProperties"], json!(properties));
    world.until_event("large", "Normal LargeObject").await;
    let labels = world.get("large").await.unwrap().metadata.labels.unwrap_or_default();
    assert_eq!(labels.len(), LABELS, "no write of the operator takes a label away");

    // Thousands of foreign finalizers, and the operator's own among them.
    let id = world.declare("held", "IDLE").await;
    world.until_reason("held", "Running").await;
    let finalizers = |count: usize| -> Vec<_> {
        let others = (0..count).map(|number| format!("example.com/finalizer-{number}"));
        others.chain(["athena-operator.dev/session".to_owned()]).collect()
    };
    let patch = |count| Patch::Merge(json!({"metadata": {"finalizers": finalizers(count)}}));
    world.objects().patch("held", &PatchParams::default(), &patch(10_000)).await.unwrap();
    world.delete("held").await;
    let let_go = |object: &AthenaSession| !has_finalizer(object);
    let held = world.until("held", "the operator lets go", let_go).await;
    assert_eq!((held.finalizers().len(), world.athena_session(&id).state.as_str()), (10_000, "TERMINATED"));
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world.objects().patch("held", &PatchParams::default(), &none).await.unwrap();

    world.delete("large").await;
    world.until_gone("large").await;
    assert_eq!(world.athena_session(&session.id).state, "TERMINATED");
}

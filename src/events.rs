//! Publishes Kubernetes Events, by a bounded queue and one task that empties it.
//!
//! Events never hold up the operator's work. When the queue is full, an event is dropped. An event that the API server
//! refuses, or is slow to take, isn't tried again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::kubernetes::describe;
use crate::status::event::{Event, EventType};
use crate::text::message;

const QUEUE: usize = 1_000;
pub(crate) const REPORTER: &str = "athena-session-operator";
/// The bytes of the object's name in an event's name, which has at most 253, 17 of them the number.
const NAME_BYTES: usize = 236;
const NO_NAMESPACE: &str = "default";

#[derive(Clone, Debug)]
pub(crate) struct Events {
    queue: mpsc::Sender<(Event, ObjectReference)>,
}

impl Events {
    pub(crate) fn start(client: kube::Client, deadline: Duration) -> Self {
        let (queue, events) = mpsc::channel(QUEUE);
        tokio::spawn(publish(client, deadline, events));
        Self { queue }
    }

    pub(crate) fn tell(&self, about: ObjectReference, event: Event) {
        if self.queue.try_send((event, about)).is_err() {
            debug!("an event was dropped: the queue is full");
        }
    }
}

async fn publish(client: kube::Client, deadline: Duration, mut events: mpsc::Receiver<(Event, ObjectReference)>) {
    // As the Deployment's Pod is named; outside a Pod, as the machine is.
    let instance = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let instance = instance.unwrap_or_else(|| REPORTER.to_owned());
    let mut refused = false;
    while let Some((event, about)) = events.recv().await {
        let reason = event.reason;
        let published = kubernetes_event(&event, about, &instance);
        let api: Api<KubernetesEvent> =
            Api::namespaced(client.clone(), published.metadata.namespace.as_deref().unwrap_or(NO_NAMESPACE));
        let failure = match timeout(deadline, api.create(&PostParams::default(), &published)).await {
            Ok(Ok(_)) => continue,
            // A namespace that is being deleted takes no events.
            Ok(Err(kube::Error::Api(status))) if status.message.contains("because it is being terminated") => continue,
            Ok(Err(error)) => describe(&error),
            Err(_) => format!("no answer within {deadline:?}"),
        };
        // Where one event is forbidden, all are: one line is enough.
        if refused {
            debug!(reason, failure, "an event could not be published");
        } else {
            warn!(reason, failure, "an event could not be published; later ones show at log level debug");
            refused = true;
        }
    }
}

/// Makes an event. kube's Recorder isn't used: to count repetitions it keeps thousands of events, and the operator doesn't
/// repeat an event.
fn kubernetes_event(event: &Event, about: ObjectReference, instance: &str) -> KubernetesEvent {
    let now = Timestamp::now();
    // As client-go makes it: the object's name, and a number that no other event has.
    let mut name = about.name.clone().unwrap_or_else(|| REPORTER.to_owned());
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    let name = format!("{name}.{:016x}", fastrand::u64(..));
    KubernetesEvent {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(about.namespace.clone().unwrap_or_else(|| NO_NAMESPACE.to_owned())),
            ..ObjectMeta::default()
        },
        action: Some(event.reason.to_owned()),
        reason: Some(event.reason.to_owned()),
        note: Some(message(&event.note)),
        type_: Some(match event.type_ {
            EventType::Normal => "Normal".to_owned(),
            EventType::Warning => "Warning".to_owned(),
        }),
        event_time: Some(MicroTime(now)),
        regarding: Some(about),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..KubernetesEvent::default()
    }
}

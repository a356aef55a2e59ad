//! Kubernetes Events, off the critical path: a bounded queue and one task that empties it.
//!
//! Telling must never hold up doing. A full queue drops, a refused or slow event is passed over.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::session::notice::{Notice, Severity};
use crate::text::kubernetes;

const QUEUE: usize = 1_000;
/// The API server refuses notes of more than 1 kB.
const NOTE_BYTES: usize = 1_000;

/// Where notices go in.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<(Notice, ObjectReference)>,
}

impl Events {
    /// Starts the task that publishes, with `deadline` for each request.
    #[must_use]
    pub fn start(client: kube::Client, deadline: Duration) -> Self {
        let (queue, notices) = mpsc::channel(QUEUE);
        tokio::spawn(publish(client, deadline, notices));
        Self { queue }
    }

    /// Queues a notice about an object.
    pub fn tell(&self, about: ObjectReference, notice: Notice) {
        if self.queue.try_send((notice, about)).is_err() {
            debug!("an event was dropped: the queue is full");
        }
    }
}

async fn publish(client: kube::Client, deadline: Duration, mut notices: mpsc::Receiver<(Notice, ObjectReference)>) {
    let recorder = Recorder::new(client, Reporter::from("athena-session-operator"));
    let mut refused = false;
    while let Some((notice, about)) = notices.recv().await {
        let event = event(notice);
        let failure = match timeout(deadline, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => continue,
            // A namespace that is being deleted takes no events: that is no news.
            Ok(Err(kube::Error::Api(status))) if status.message.contains("because it is being terminated") => continue,
            Ok(Err(error)) => kubernetes(&error),
            Err(_) => format!("no answer within {deadline:?}"),
        };
        // Where events are forbidden each one is: one line is enough.
        if refused {
            debug!(reason = event.reason, failure, "an event could not be published");
        } else {
            warn!(
                reason = event.reason,
                failure, "an event could not be published; later ones show at log level debug"
            );
            refused = true;
        }
    }
}

fn event(notice: Notice) -> Event {
    let mut note = notice.note;
    note.truncate(note.floor_char_boundary(NOTE_BYTES));
    Event {
        type_: match notice.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: notice.reason.to_owned(),
        action: notice.reason.to_owned(),
        note: Some(note),
        secondary: None,
    }
}

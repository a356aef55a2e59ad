//! Objects that were restored from a backup (Velero): they start no session by themselves (S3), and end no session of
//! another object (S1).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::core::{
    AthenaSession, CachedSession, ErrorClass, Operation, RESTORED, START_RESTORED, SessionState, StartAttempt,
    StartOutcome, Step,
};
use crate::fixtures::{SESSION, condition, minutes, recorded_as, time};
use crate::world::{Event, World, reason};

/// What the backup keeps of an object besides its spec.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Backup {
    /// Its labels alone.
    Manifest,
    /// The operator's finalizer.
    Finalizer,
    /// The operator's finalizer, and the status of a day before, when the session ran.
    Status,
}

const BACKUPS: [Backup; 3] = [Backup::Manifest, Backup::Finalizer, Backup::Status];

/// The operator finds an object that was restored a moment ago.
fn restored(backup: Backup) -> World {
    let mut world = World::starting();
    world.wait(minutes(24 * 60));
    world.event(&Event::Restart);
    let now = time(world.elapsed);
    let object = world.object.as_mut().unwrap();
    object.metadata.creation_timestamp = Some(now);
    object.metadata.labels = Some([(RESTORED.to_owned(), "daily-1".to_owned())].into());
    if backup == Backup::Manifest {
        object.metadata.finalizers = None;
    }
    if backup == Backup::Status {
        let attempt = StartAttempt { at: time(Duration::ZERO), outcome: StartOutcome::Started, engine_version: None };
        let mut status = recorded_as(&SessionState::Idle);
        status.start_attempt = Some(attempt);
        object.status = Some(status);
        // The session belongs to the object that was backed up.
        world.session = Some(SessionState::Idle);
        world.starts.started_by = Some("uid-0".to_owned());
    }
    world
}

fn agree(world: &mut World) {
    let object = world.object.as_mut().unwrap();
    object.metadata.annotations = Some([(START_RESTORED.to_owned(), "true".to_owned())].into());
}

fn warnings(world: &World) -> usize {
    let events = world.writes.iter().map(|(_, step)| match step {
        Step::WriteStatus { events, .. } => events.iter().filter(|event| event.reason == "Restored").count(),
        _ => 0,
    });
    events.sum()
}

/// S3: until the annotation `start-restored` allows it.
#[test]
fn a_restored_object_starts_nothing_until_somebody_says_so() {
    for backup in BACKUPS {
        let mut world = restored(backup);
        world.run_for(minutes(30));
        assert_eq!((reason(&world).as_str(), warnings(&world)), ("Restored", 1), "{backup:?}");
        let stalled = condition(world.recorded(), "Stalled").unwrap();
        assert!(stalled.message.contains(&format!("{START_RESTORED}: \"true\"")), "{}", stalled.message);
        assert_eq!(condition(world.recorded(), "Active").unwrap().status, "False", "{backup:?}");
        assert_eq!((world.recorded().session_id.as_ref(), world.recorded().state.as_ref()), (None, None), "{backup:?}");
        // L2: where nothing changes, nothing is written, and Athena isn't asked.
        world.forget_the_past();
        world.event(&Event::Restart);
        world.run_for(minutes(60));
        assert!(world.writes.is_empty() && world.calls.is_empty(), "{backup:?}: {}", world.told());
        agree(&mut world);
        world.session = None;
        world.run_for(minutes(2));
        assert_eq!((world.starts.requests.len(), world.breach.as_ref()), (1, None), "{backup:?}");
        assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION), "{backup:?}");
        // Once its session was started, the object doesn't count as restored any more, even if the annotation is
        // removed.
        world.event(&Event::Becomes(SessionState::Idle));
        world.object.as_mut().unwrap().metadata.annotations = None;
        world.event(&Event::Restart);
        world.run_for(minutes(10));
        assert_eq!((reason(&world).as_str(), world.starts.requests.len()), ("Running", 1), "{backup:?}");
    }
}

/// The session of the object that was backed up has ended since, and Athena has forgotten it.
#[test]
fn a_restored_record_of_a_session_that_is_gone_isnt_kept() {
    let mut world = restored(Backup::Status);
    world.session = None;
    world.run_for(minutes(30));
    assert_eq!((reason(&world).as_str(), warnings(&world)), ("Restored", 1));
    assert_eq!((world.recorded().session_id.as_ref(), world.recorded().state.as_ref()), (None, None));
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.is_empty() && world.calls.is_empty(), "{}", world.told());
    agree(&mut world);
    world.run_for(minutes(2));
    assert_eq!((world.starts.requests.len(), world.breach.as_ref()), (1, None));
}

/// S3, L2: the clock of the API server is ahead of the operator's. A call would seem to be recorded long before the
/// object was created, and so to come from the backup.
#[test]
fn a_restored_object_from_the_future_is_started_once() {
    for backup in BACKUPS {
        let mut world = restored(backup);
        world.object.as_mut().unwrap().metadata.creation_timestamp = Some(time(world.elapsed + minutes(30)));
        agree(&mut world);
        world.session = None;
        world.run_for(minutes(20));
        assert_eq!((reason(&world).as_str(), warnings(&world)), ("Restored", 1), "{backup:?}");
        let told = condition(world.recorded(), "Stalled").unwrap().message.clone();
        assert!(told.contains("before that time"), "{told}");
        world.run_for(minutes(20));
        assert_eq!((world.breach.as_ref(), world.starts.requests.len()), (None, 1), "{backup:?}");
        assert!(world.writes.len() < 10, "{backup:?}: {} writes", world.writes.len());
    }
}

/// S1: the restored status names the session of the object that was backed up.
#[test]
fn deleting_a_restored_object_ends_no_other_objects_session() {
    for backup in BACKUPS {
        for told_before in [false, true] {
            let mut world = restored(backup);
            if told_before {
                world.run_for(minutes(5));
            }
            let session = world.session.clone();
            world.event(&Event::Delete);
            world.run_for(minutes(10));
            assert!(world.object.is_none(), "{backup:?}: {}", world.told());
            assert_eq!((world.session.clone(), world.count(Operation::TerminateSession)), (session, 0), "{backup:?}");
            assert!(world.starts.requests.is_empty() && world.breach.is_none(), "{backup:?}: {:?}", world.breach);
        }
    }
}

/// S2: the finalizer may come from the backup. Or an earlier process added it, started a session, and the record was
/// wiped.
#[test]
fn a_restored_object_isnt_told_so_before_a_list_was_seen() {
    let mut world = restored(Backup::Finalizer);
    world.outages.push((Operation::ListSessions, ErrorClass::Unavailable));
    world.run_for(minutes(30));
    assert_eq!(reason(&world), "AthenaUnavailable");
    world.event(&Event::Restart);
    world.session = Some(SessionState::Busy);
    world.starts.started_by = Some("uid-1".to_owned());
    world.outages.clear();
    world.run_for(minutes(10));
    assert_eq!((reason(&world).as_str(), warnings(&world)), ("Running", 0));
    assert_eq!(world.breach, None);
}

#[test]
fn another_value_of_the_annotation_agrees_to_nothing() {
    let mut world = restored(Backup::Manifest);
    let object = world.object.as_mut().unwrap();
    object.metadata.annotations = Some([(START_RESTORED.to_owned(), "false".to_owned())].into());
    world.run_for(minutes(5));
    assert_eq!((reason(&world).as_str(), world.starts.requests.len()), ("Restored", 0));
}

/// The operator reads objects in a reduced form. The labels and annotations of a restore must be kept.
#[test]
fn an_object_that_is_read_keeps_what_says_that_it_was_restored() {
    let labels = |spec: serde_json::Value| -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let object = json!({
            "apiVersion": "athena-operator.dev/v1alpha1", "kind": "AthenaSession", "spec": spec,
            "metadata": {
                "name": "nightly", "namespace": "team-a", "labels": {RESTORED: "daily-1", "team": "a"},
                "annotations": {START_RESTORED: "true", "note": "x"},
            },
        });
        let packed: CachedSession = serde_json::from_value(object).unwrap();
        let AthenaSession { metadata, .. } = packed.open().unwrap();
        (metadata.labels.unwrap_or_default(), metadata.annotations.unwrap_or_default())
    };
    let (kept, agreed) = labels(json!({"start": {}}));
    assert_eq!(kept, [(RESTORED.to_owned(), "daily-1".to_owned())].into());
    assert_eq!(agreed, [(START_RESTORED.to_owned(), "true".to_owned())].into());
    assert!(labels(json!({"sessionId": "x"})).0.is_empty(), "labels are kept only for objects that start a session");
}

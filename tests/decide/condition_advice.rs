//! Conditions give no advice that would end a live session. An object whose status records a session, or a call that
//! may have started one, never says what forbids a start. A person who follows such a message and deletes the object
//! would end the session.

use crate::core::{
    AthenaSessionStatus, Engine, EngineKnowledge, ErrorClass, Operation, PublishTo, QuotaExceeded, RESTORED, Reason,
    SessionState, Step, Suspension,
};
use crate::fixtures::{condition, minutes, seconds};
use crate::world::{Event, Forgery, Poller, World, job, reason};

type Change = fn(&mut World);

/// What forbids or holds up a start.
const FORBIDS: [(&str, Change); 14] = [
    ("not allowed", |world| world.starts.bounds = None),
    ("being deleted", |world| world.event(&Event::GroupCloses(true))),
    ("read-only", |world| world.event(&Event::Suspension(Some(Suspension::ReadOnly)))),
    ("object paused", |world| world.event(&Event::Suspension(Some(Suspension::ObjectPaused)))),
    ("work group paused", |world| world.event(&Event::Suspension(Some(Suspension::WorkGroupPaused)))),
    ("no slot", |world| {
        world.starts.quota_exceeded = Some(QuotaExceeded { limit: 1, holders: vec!["other".to_owned()], waiting: 0 });
    }),
    ("ConfigMap of another", |world| {
        publishing(world);
        world.meddle(Some(("somebody", "another")));
    }),
    ("no right to ConfigMaps", |world| {
        publishing(world);
        world.objects.is_forbidden = true;
    }),
    ("no right to Jobs", |world| {
        world.object.as_mut().unwrap().spec.end_with = vec![job("nightly")];
        world.objects.is_forbidden = true;
    }),
    ("not Spark", |world| {
        world.starts.engine = EngineKnowledge::Known(Engine::NotSpark(None));
    }),
    ("restored", |world| {
        let label = (RESTORED.to_owned(), "daily-1".to_owned());
        world.object.as_mut().unwrap().metadata.labels = Some([label].into());
    }),
    ("not selected", |world| world.event(&Event::GroupAllows(false))),
    ("no work group", |world| world.event(&Event::GroupExists(false))),
    ("StartSession refused", |world| world.outages.push((Operation::StartSession, ErrorClass::Denied))),
];

/// What the status records of a session that runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OnRecord {
    Session,
    /// The session, and not how it was started.
    IdAlone,
    /// The call, and not its result.
    Attempt,
    /// Nothing, though the finalizer is there.
    Lost,
}

const RECORDS: [OnRecord; 4] = [OnRecord::Session, OnRecord::IdAlone, OnRecord::Attempt, OnRecord::Lost];

/// What Athena answers after the restart.
const ATHENA: [Option<ErrorClass>; 4] =
    [None, Some(ErrorClass::Unavailable), Some(ErrorClass::Throttled), Some(ErrorClass::Denied)];

fn publishing(world: &mut World) {
    let publish_to = PublishTo { config_map_name: "nightly".to_owned() };
    world.object.as_mut().unwrap().spec.publish_to = Some(publish_to);
}

/// An object whose session runs, as an earlier process left it.
fn restarted(on_record: OnRecord) -> World {
    let mut world = World::starting();
    if on_record == OnRecord::Attempt {
        world.ambush.push((2, Event::Restart));
        world.pass();
        assert_eq!(world.told(), "WriteStatus StartSession");
        world.event(&Event::Becomes(SessionState::Idle));
        return world;
    }
    world.run_for(seconds(5));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(2));
    assert_eq!(reason(&world), "Running");
    world.event(&Event::Restart);
    match on_record {
        OnRecord::IdAlone => world.object.as_mut().unwrap().status.as_mut().unwrap().start_attempt = None,
        OnRecord::Lost => world.event(&Event::Forge(Forgery::Emptied)),
        OnRecord::Session | OnRecord::Attempt => {}
    }
    world
}

fn statuses(world: &World) -> impl Iterator<Item = &AthenaSessionStatus> {
    world.writes.iter().filter_map(|(_, step)| match step {
        Step::WriteStatus { status, .. } => Some(&**status),
        _ => None,
    })
}

/// The words of a status that speak of a start, or give advice that would end the session.
fn misleads(status: &AthenaSessionStatus) -> Option<String> {
    const WRONG: [&str; 9] = [
        "Create another",
        "Delete this object",
        "delete this object",
        "create another",
        "create this AthenaSession again",
        "o session is started",
        "o session was started",
        "StartSession now",
        "prevents the start",
    ];
    let speaks_of_a_start = |reason: &str| {
        use Reason::{
            ReadOnly, Restored, StartNotAllowed, StartUnclear, WaitingForQuota, WorkGroupNotSpark, WorkGroupTerminating,
        };
        [
            StartNotAllowed,
            Restored,
            WorkGroupNotSpark,
            WaitingForQuota,
            StartUnclear,
            WorkGroupTerminating,
            ReadOnly,
            Reason::Paused,
        ]
        .iter()
        .any(|it| it.as_str() == reason)
    };
    status.conditions.iter().find_map(|it| {
        let is_wrong = speaks_of_a_start(&it.reason) || WRONG.iter().any(|wrong| it.message.contains(wrong));
        is_wrong.then(|| format!("{}: {} {}", it.type_, it.reason, it.message))
    })
}

#[test]
fn nothing_is_said_of_a_start_while_a_session_may_run() {
    for (name, forbid) in FORBIDS {
        for on_record in RECORDS {
            for failing in ATHENA {
                for poller in [Poller::Off, Poller::Silent] {
                    let case = format!("{name}, {on_record:?}, {failing:?}, {poller:?}");
                    let mut world = restarted(on_record);
                    let before = world.object.as_ref().unwrap().status.clone().unwrap_or_default();
                    let was_active = condition(&before, "Active").map(|active| active.status.clone());
                    forbid(&mut world);
                    world.around.poller = poller;
                    let reads = [Operation::GetSession, Operation::GetSessionStatus, Operation::ListSessions];
                    world.outages.extend(reads.into_iter().filter_map(|read| Some((read, failing?))));
                    world.forget_the_past();
                    world.run_for(minutes(20));
                    for status in statuses(&world) {
                        assert_eq!(misleads(status), None, "{case}");
                        let active = &condition(status, "Active").unwrap().status;
                        let stays = Some(active) == was_active.as_ref();
                        assert!(active != "False" || stays, "{case}: Active is {active}");
                    }
                    assert!(world.starts.requests.len() == 1 && world.breach.is_none(), "{case}: {:?}", world.breach);
                }
            }
        }
    }
}

#[test]
fn that_athena_is_away_is_told_whatever_forbids_a_start() {
    let of_start = |name: &str| !["not selected", "no work group"].contains(&name);
    for (name, forbid) in FORBIDS.into_iter().filter(|(name, _)| of_start(name)) {
        for on_record in RECORDS {
            let mut world = restarted(on_record);
            forbid(&mut world);
            let reads = [Operation::GetSession, Operation::GetSessionStatus, Operation::ListSessions];
            world.outages.extend(reads.map(|read| (read, ErrorClass::Unavailable)));
            world.run_for(minutes(10));
            assert_eq!(reason(&world), "AthenaUnavailable", "{name}, {on_record:?}");
            assert_eq!(condition(world.recorded(), "Active").unwrap().status, "Unknown", "{name}, {on_record:?}");
            // As soon as Athena answers, the object shows the state of its session.
            world.outages.clear();
            world.run_for(minutes(10));
            assert_eq!(condition(world.recorded(), "Active").unwrap().status, "True", "{name}, {on_record:?}");
            assert!(world.starts.requests.len() == 1 && world.breach.is_none(), "{name}: {:?}", world.breach);
        }
    }
}

/// S2: somebody removed the finalizer. Without it a deletion would leave the session running.
#[test]
fn an_object_that_lost_its_finalizer_gets_it_again() {
    for (name, forbid) in FORBIDS {
        if ["being deleted", "not selected", "no work group"].contains(&name) {
            continue;
        }
        for on_record in [OnRecord::Session, OnRecord::IdAlone, OnRecord::Attempt] {
            let mut world = restarted(on_record);
            forbid(&mut world);
            world.object.as_mut().unwrap().metadata.finalizers = None;
            world.forget_the_past();
            world.run_for(minutes(10));
            assert_eq!(world.steps.first(), Some(&Step::AddFinalizer), "{name}, {on_record:?}");
            assert_eq!(condition(world.recorded(), "Active").unwrap().status, "True", "{name}, {on_record:?}");
            assert_eq!(statuses(&world).find_map(misleads), None, "{name}, {on_record:?}");
            world.event(&Event::Delete);
            world.event(&Event::Suspension(None));
            world.run_for(minutes(5));
            assert!(world.object.is_none() && world.session.as_ref().unwrap().is_ended(), "{name}, {on_record:?}");
            assert_eq!(world.breach, None, "{name}, {on_record:?}");
        }
    }
}

/// The object can't get its finalizer again, so a deletion would leave the session running. The message must warn of
/// this.
#[test]
fn nobody_is_told_to_delete_an_object_without_finalizer() {
    for on_record in [OnRecord::Session, OnRecord::IdAlone, OnRecord::Attempt] {
        let mut world = restarted(on_record);
        world.event(&Event::GroupCloses(true));
        world.object.as_mut().unwrap().metadata.finalizers = None;
        world.run_for(minutes(10));
        let ready = condition(world.recorded(), "Ready").unwrap();
        assert_eq!(ready.reason, "WorkGroupTerminating", "{on_record:?}");
        assert!(ready.message.contains("Keep this object") && !ready.message.contains("elete this object"));
        assert_ne!(condition(world.recorded(), "Active").unwrap().status, "False", "{on_record:?}");
    }
}

/// The reason `ReadOnly` announces only a call that nothing else would hold up.
#[test]
fn read_only_forecasts_only_the_start_that_would_be_made() {
    for (name, forbid) in FORBIDS {
        let mut world = World::starting();
        forbid(&mut world);
        if world.around.suspension.is_none() {
            world.event(&Event::Suspension(Some(Suspension::ReadOnly)));
        }
        world.run_for(minutes(10));
        // StartSession isn't called, so nobody knows that Athena would refuse it.
        let is_made = ["read-only", "StartSession refused"].contains(&name);
        assert_eq!(reason(&world) == "ReadOnly", is_made, "{name}: {}", reason(&world));
        assert!(world.starts.requests.is_empty());
    }
}

#[test]
fn an_annotation_holds_up_a_start_until_it_goes() {
    for (suspension, on) in
        [(Suspension::ObjectPaused, "on this object"), (Suspension::WorkGroupPaused, "on AthenaWorkGroup spark")]
    {
        let mut world = World::starting();
        world.starts.limited = true;
        world.event(&Event::Suspension(Some(suspension)));
        world.run_for(minutes(10));
        let ready = condition(world.recorded(), "Stalled").unwrap();
        assert_eq!(ready.reason, "Paused");
        assert!(ready.message.contains(on) && ready.message.contains("the start"), "{}", ready.message);
        assert!(ready.message.contains("\"false\""), "{}", ready.message);
        assert_eq!(condition(world.recorded(), "Active").unwrap().status, "False");
        assert!(world.starts.requests.is_empty() && !world.starts.has_slot);
        world.event(&Event::Suspension(None));
        world.run_for(minutes(2));
        assert_eq!((world.starts.requests.len(), world.breach), (1, None));
    }
}

/// The annotation is set while the session is about to be started.
#[test]
fn an_annotation_counts_until_the_call() {
    for steps in 1..4 {
        let mut world = World::starting();
        world.starts.limited = true;
        world.ambush.push((steps, Event::Suspension(Some(Suspension::ObjectPaused))));
        world.run_for(minutes(1));
        assert_eq!(world.breach, None, "after {steps} steps");
    }
}

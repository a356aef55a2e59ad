//! Workloads that wait for a session that won't come: what the condition says, and how long the object stays to say so.

use crate::core::{ErrorClass, Operation, PublishTo, SessionState, Step};
use crate::fixtures::{minutes, seconds};
use crate::world::{Event, World, completed, failed, job, message, reason, unfinished};

const CONFIG_MAP: &str = "ConfigMap team-a/nightly-session";
const WAITS: &str = "Without a session: Job team-a/nightly.";

/// A Job, and an object that starts a session for it. The object publishes the session, and expires soon after its end.
fn waiting() -> World {
    let mut world = World::starting();
    let spec = &mut world.object.as_mut().unwrap().spec;
    spec.end_with = vec![job("nightly")];
    spec.publish_to = Some(PublishTo { config_map_name: "nightly-session".to_owned() });
    spec.ttl_after_ended = Some("1m".to_owned());
    world.job_becomes("nightly", unfinished("job-1"), true);
    world
}

fn up() -> World {
    let mut world = waiting();
    world.run_for(seconds(10));
    world.event(&Event::Becomes(SessionState::Busy));
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "Running");
    world
}

/// How many Warnings said that a session ended while its workload was at work.
fn warnings(world: &World) -> usize {
    let events = world.writes.iter().map(|(_, step)| match step {
        Step::WriteStatus { events, .. } => events.iter().filter(|it| it.reason == "WorkloadWithoutSession").count(),
        _ => 0,
    });
    events.sum()
}

#[test]
fn an_object_whose_session_failed_stays_while_its_job_waits() {
    for restart in [false, true] {
        let mut world = waiting();
        world.run_for(seconds(10));
        world.event(&Event::Becomes(SessionState::Failed));
        world.run_for(minutes(1));
        if restart {
            world.event(&Event::Restart);
        }
        world.run_for(minutes(60));
        assert_eq!(reason(&world), "Failed");
        let told = message(&world);
        assert!(
            told.contains(WAITS) && told.contains(CONFIG_MAP) && told.contains("CreateContainerConfigError"),
            "{told}"
        );
        assert_eq!(told.matches("spec.ttlAfterEnded counts from").count(), 1, "{told}");
        assert_eq!(warnings(&world), 1);
        world.forget_the_past();
        world.run_for(minutes(60));
        assert!(world.writes.is_empty() && world.steps.len() < 10, "{}", world.told());
        world.job_becomes("nightly", failed("job-1"), true);
        world.run_for(seconds(50));
        assert!(world.object.is_some(), "the time counts from the end of the Job");
        assert!(!message(&world).contains("Without a session"), "{}", message(&world));
        world.run_for(seconds(30));
        assert!(world.object.is_none() && world.breach.is_none(), "{:?}", world.breach);
    }
}

#[test]
fn a_start_that_is_refused_names_the_job_that_waits_for_it() {
    let mut world = waiting();
    world.outages = vec![(Operation::StartSession, ErrorClass::Invalid)];
    world.run_for(minutes(5));
    assert_eq!(reason(&world), "Invalid");
    assert!(message(&world).contains(WAITS) && message(&world).contains(CONFIG_MAP), "{}", message(&world));
    // An object that can't be adopted names the Job, too.
    let mut world = waiting();
    world.starts.bounds = None;
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.event(&Event::Restart);
    world.run_for(minutes(5));
    assert_eq!(reason(&world), "StartNotAllowed");
    assert!(message(&world).contains(WAITS) && message(&world).contains(CONFIG_MAP), "{}", message(&world));
    world.objects.workloads.clear();
    world.objects.news = Some(world.elapsed);
    world.run_for(minutes(1));
    assert!(!message(&world).contains("Without a session"), "{}", message(&world));
}

/// While a session may run, nobody is told to delete the Job that may use it.
#[test]
fn a_job_isnt_said_to_lack_a_session_that_may_run() {
    let mut world = up();
    world.event(&Event::Restart);
    world.outages =
        vec![(Operation::GetSession, ErrorClass::Denied), (Operation::GetSessionStatus, ErrorClass::Denied)];
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "AccessDenied");
    assert!(!message(&world).contains("Without a session"), "{}", message(&world));
}

#[test]
fn an_end_under_a_job_that_is_at_work_is_a_warning_once() {
    let mut world = up();
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(seconds(20));
    assert_eq!((reason(&world), warnings(&world)), ("Ended".to_owned(), 0));
    world.run_for(minutes(10));
    assert!(
        message(&world).contains("It wasn't ended for this object") && message(&world).contains(WAITS),
        "{}",
        message(&world)
    );
    world.event(&Event::Restart);
    world.run_for(minutes(10));
    assert_eq!((reason(&world), warnings(&world)), ("Ended".to_owned(), 1));
    assert!(world.object.is_some() && world.breach.is_none(), "{:?}", world.breach);
}

/// PyAthena's close() ends the session, and the Job finishes a moment later.
#[test]
fn a_client_may_end_the_session_before_its_job_completes() {
    let mut world = up();
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(seconds(20));
    world.job_becomes("nightly", completed("job-1"), true);
    world.run_for(minutes(10));
    assert_eq!(warnings(&world), 0);
    assert!(world.object.is_none(), "{}", world.told());
}

#[test]
fn an_end_that_somebody_asked_for_needs_no_warning() {
    for event in [Event::SetTerminate, Event::Delete] {
        let mut world = up();
        world.event(&event);
        world.run_for(minutes(10));
        assert_eq!(warnings(&world), 0);
        assert!(world.object.is_none(), "{}", world.told());
    }
}

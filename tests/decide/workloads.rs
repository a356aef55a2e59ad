//! `spec.endWith`: sessions that start and end with Jobs and Pods.

use crate::core::{
    ErrorClass, Operation, SessionState, TerminationReason, WorkloadKind, WorkloadOutcome, WorkloadRecord,
    WorkloadState,
};
use crate::fixtures::{condition, minutes, seconds};
use crate::world::{Event, Forgery, World, completed, ends, failed, job, message, reason, suspended, unfinished};

fn record(name: &str, uid: &str) -> WorkloadRecord {
    let (kind, name) = (WorkloadKind::Job, name.to_owned());
    WorkloadRecord { kind, name, uid: uid.to_owned(), outcome: None, finished_at: None }
}

fn running() -> World {
    let mut world = World::following(SessionState::Busy, &["nightly"]);
    world.job_becomes("nightly", unfinished("job-1"), true);
    world.run_for(seconds(10));
    assert_eq!(world.recorded().workloads, [record("nightly", "job-1")]);
    world.forget_the_past();
    world
}

/// S1: however the workload finished.
#[test]
fn a_session_ends_after_the_delay_when_its_workload_finished() {
    let failed = WorkloadState::Finished { uid: "job-1".to_owned(), outcome: WorkloadOutcome::Failed, at: None };
    for (state, word) in [(completed("job-1"), "completed"), (failed, "failed"), (WorkloadState::Absent, "was gone")] {
        let mut world = running();
        world.job_becomes("nightly", state, true);
        world.run_for(seconds(25));
        assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()), "{word}");
        let message = &condition(world.recorded(), "Ready").unwrap().message;
        assert!(message.contains(&format!("Job team-a/nightly {word} at 2027-")), "{message}");
        world.forget_the_past();
        world.run_for(seconds(20));
        let told = world.told();
        assert!(told.find("GetWorkloads").unwrap() < told.find("TerminateSession").unwrap(), "{told}");
        assert_eq!(world.recorded().termination_reason, Some(TerminationReason::WorkloadFinished));
        assert_eq!(condition(world.recorded(), "Terminated").unwrap().reason, "WorkloadFinished");
        let message = &condition(world.recorded(), "Ready").unwrap().message;
        assert!(message.contains("WorkloadFinished") && message.contains(word), "{message}");
        assert_eq!((ends(&world), reason(&world)), (1, "Ended".to_owned()), "{word}");
        assert!(world.breach.is_none(), "{:?}", world.breach);
    }
}

/// S1: a workload that was never seen hasn't finished.
#[test]
fn a_workload_that_isnt_there_yet_is_waited_for() {
    let mut world = World::following(SessionState::Idle, &["nightly"]);
    world.run_for(minutes(60));
    assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()));
    let message = &condition(world.recorded(), "Ready").unwrap().message;
    assert!(message.contains("Job nightly (not there yet)"), "{message}");
    assert!(world.told().matches("GetWorkloads").count() <= 15, "{}", world.told());
}

/// S1: one of two isn't enough.
#[test]
fn all_workloads_must_have_finished() {
    let mut world = World::following(SessionState::Idle, &["one", "two"]);
    world.job_becomes("one", unfinished("job-1"), true);
    world.job_becomes("two", unfinished("job-2"), true);
    world.run_for(seconds(10));
    world.job_becomes("one", completed("job-1"), true);
    world.run_for(minutes(10));
    assert_eq!(ends(&world), 0);
    world.job_becomes("two", WorkloadState::Absent, true);
    world.run_for(minutes(1));
    assert_eq!((ends(&world), reason(&world)), (1, "Ended".to_owned()));
    let message = &condition(world.recorded(), "Ready").unwrap().message;
    assert!(message.contains("Job team-a/two was gone at") && message.contains("the last of 2"), "{message}");
}

/// S1: the new Job has the session.
#[test]
fn a_workload_recreated_under_its_name_is_followed() {
    let mut world = running();
    world.job_becomes("nightly", WorkloadState::Absent, true);
    world.run_for(seconds(20));
    world.job_becomes("nightly", unfinished("job-2"), true);
    world.run_for(minutes(10));
    assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()));
    assert_eq!(world.recorded().workloads, [record("nightly", "job-2")]);
    world.job_becomes("nightly", completed("job-2"), true);
    world.run_for(seconds(25));
    assert_eq!(ends(&world), 0, "the delay counts from the end of the new one");
    world.run_for(seconds(20));
    assert_eq!(ends(&world), 1);
}

/// S1: the watch may lag, so the workloads are read just before the end.
#[test]
fn a_recreated_workload_the_watch_missed_is_seen_before_the_end() {
    let mut world = running();
    world.job_becomes("nightly", WorkloadState::Absent, true);
    world.run_for(seconds(15));
    world.job_becomes("nightly", unfinished("job-2"), false);
    world.run_for(minutes(10));
    assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()));
    assert!(world.recorded().termination_requested_at.is_none());
}

#[test]
fn what_an_earlier_process_saw_counts_when_it_is_gone() {
    let mut world = running();
    world.event(&Event::Restart);
    world.objects.workloads.clear();
    world.run_for(minutes(2));
    assert_eq!((ends(&world), reason(&world)), (1, "Ended".to_owned()));
}

/// S7: a record alone ends nothing. A read must show that the workload has finished or is absent, and the delay must
/// pass.
#[test]
fn a_forged_record_ends_nothing_while_the_workload_is_there() {
    let mut world = running();
    let status = world.object.as_mut().unwrap().status.as_mut().unwrap();
    let (outcome, finished_at) = (Some(WorkloadOutcome::Completed), Some(crate::fixtures::time(seconds(0))));
    status.workloads = vec![WorkloadRecord { outcome, finished_at, ..record("nightly", "another") }];
    status.termination_reason = Some(TerminationReason::WorkloadFinished);
    status.termination_requested_at = Some(crate::fixtures::time(seconds(0)));
    world.event(&Event::Restart);
    world.run_for(minutes(10));
    assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()));
    assert_eq!(world.recorded().workloads, [record("nightly", "job-1")]);
    assert_eq!(world.recorded().termination_reason, None);
}

/// S1: the API server refuses or doesn't answer.
#[test]
fn without_an_answer_about_the_workload_nothing_is_ended() {
    for is_forbidden in [true, false] {
        let mut world = running();
        world.job_becomes("nightly", completed("job-1"), true);
        world.run_for(seconds(5));
        world.objects.is_forbidden = is_forbidden;
        world.objects.is_silent = !is_forbidden;
        world.objects.news = Some(world.elapsed);
        world.run_for(minutes(10));
        assert_eq!(ends(&world), 0);
        world.objects.is_forbidden = false;
        world.objects.is_silent = false;
        world.run_for(minutes(6));
        assert_eq!(ends(&world), 1);
    }
}

#[test]
fn what_is_missing_is_told() {
    let mut world = World::following(SessionState::Idle, &["nightly"]);
    world.objects.is_forbidden = true;
    world.run_for(minutes(5));
    assert_eq!(reason(&world), "EndWithForbidden");
    assert_eq!(condition(world.recorded(), "Active").unwrap().status, "True");
    assert!(world.told().matches("GetWorkloads").count() <= 7, "{}", world.told());
}

/// L1: only an end for finished workloads reads workloads.
#[test]
fn an_end_that_is_asked_for_waits_for_no_workload() {
    for event in [Event::Delete, Event::SetTerminate] {
        let mut world = running();
        world.objects.is_silent = true;
        world.event(&event);
        world.run_for(seconds(20));
        assert_eq!(ends(&world), 1);
        assert!(!world.told().contains("GetWorkloads"), "{}", world.told());
    }
}

#[test]
fn the_recorded_end_outlives_the_process_and_the_workload() {
    let mut world = running();
    world.job_becomes("nightly", completed("job-1"), true);
    world.run_for(minutes(2));
    let recorded = world.recorded().clone();
    assert_eq!(reason(&world), "Ended");
    world.job_becomes("nightly", unfinished("job-2"), true);
    world.event(&Event::Restart);
    world.run_for(minutes(10));
    assert_eq!(*world.recorded(), recorded);
}

#[test]
fn a_workload_recreated_after_the_call_doesnt_undo_the_end() {
    let mut world = running();
    world.terminating_for = None;
    world.job_becomes("nightly", completed("job-1"), true);
    world.run_for(minutes(1));
    assert_eq!((ends(&world), reason(&world)), (1, "Terminating".to_owned()));
    world.job_becomes("nightly", unfinished("job-2"), true);
    world.run_for(seconds(30));
    assert_eq!(reason(&world), "Terminating");
    assert_eq!(world.recorded().termination_reason, Some(TerminationReason::WorkloadFinished));
}

/// An object that starts a session for these Jobs.
fn starting_for(jobs: &[(&str, WorkloadState)]) -> World {
    let mut world = World::starting();
    world.object.as_mut().unwrap().spec.end_with = jobs.iter().map(|(name, _)| job(name)).collect();
    for (name, state) in jobs {
        world.job_becomes(name, state.clone(), true);
    }
    world
}

#[test]
fn a_session_that_is_started_is_ended_with_its_workload() {
    let mut world = starting_for(&[("nightly", unfinished("job-1"))]);
    world.run_for(seconds(10));
    world.event(&Event::Becomes(SessionState::Idle));
    world.job_becomes("nightly", completed("job-1"), true);
    world.run_for(minutes(2));
    assert_eq!((ends(&world), reason(&world)), (1, "Ended".to_owned()));
    assert_eq!(world.starts.requests.len(), 1);
    assert!(world.breach.is_none(), "{:?}", world.breach);
}

#[test]
fn a_session_is_started_when_one_of_its_workloads_may_run() {
    let (done, held, at_work) = (completed("job-1"), suspended("job-2"), unfinished("job-3"));
    for (one, two, is_started) in [
        (&held, &held, false),
        (&held, &done, false),
        (&done, &done, false),
        (&held, &at_work, true),
        (&done, &at_work, true),
        (&done, &WorkloadState::Absent, true),
        (&held, &WorkloadState::Absent, true),
        (&WorkloadState::Absent, &WorkloadState::Absent, true),
    ] {
        let mut world = starting_for(&[("one", one.clone()), ("two", two.clone())]);
        world.run_for(minutes(10));
        assert_eq!(world.starts.requests.len(), usize::from(is_started), "{one:?}, {two:?}");
        assert!(world.breach.is_none(), "{:?}", world.breach);
    }
}

#[test]
fn a_session_whose_jobs_are_suspended_waits_in_nobodys_way() {
    let mut world = starting_for(&[("nightly", suspended("job-1"))]);
    world.starts.limited = true;
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "WaitingForWorkload");
    assert_eq!(condition(world.recorded(), "Reconciling").unwrap().status, "True");
    assert!(message(&world).contains("Job team-a/nightly is suspended (spec.suspend)"), "{}", message(&world));
    assert!(!world.starts.has_slot && !world.told().contains("ReserveSlot"), "other objects may have the slot");
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.is_empty() && world.calls.is_empty(), "{}", world.told());
    world.job_becomes("nightly", unfinished("job-1"), true);
    world.run_for(seconds(10));
    assert_eq!((world.starts.requests.len(), reason(&world)), (1, "Starting".to_owned()));
}

/// S1: Kueue may suspend a Job to make room for others. The Job may go on later, so its session is kept.
#[test]
fn a_job_that_is_suspended_while_its_session_is_up_ends_nothing() {
    let mut world = running();
    world.job_becomes("nightly", suspended("job-1"), true);
    world.run_for(minutes(60));
    assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()));
    assert!(message(&world).contains("Job nightly (suspended)"), "{}", message(&world));
}

#[test]
fn a_session_whose_jobs_have_finished_is_never_started() {
    let mut world = starting_for(&[("nightly", completed("job-1"))]);
    world.run_for(seconds(20));
    assert_eq!(reason(&world), "WaitingForWorkload", "the Job may be created anew in a moment");
    world.run_for(minutes(1));
    assert_eq!(reason(&world), "Ended");
    assert!(message(&world).contains("Job team-a/nightly completed at 2027-"), "{}", message(&world));
    let terminated = condition(world.recorded(), "Terminated").unwrap();
    assert_eq!((terminated.status.as_str(), terminated.reason.as_str()), ("True", "WorkloadFinished"));
    let recorded = world.recorded().clone();
    // This is final, also after a restart, and for another Job of that name.
    world.event(&Event::Restart);
    world.job_becomes("nightly", unfinished("job-2"), true);
    world.run_for(minutes(60));
    assert_eq!((world.starts.requests.len(), world.recorded()), (0, &recorded), "{}", world.told());
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.writes.is_empty() && world.calls.is_empty(), "{}", world.told());
    world.event(&Event::Delete);
    world.run_for(minutes(1));
    assert!(world.object.is_none() && world.breach.is_none(), "{:?}", world.breach);
}

/// `kubectl replace --force` creates the object before the Job.
#[test]
fn a_job_that_is_created_anew_within_the_delay_has_its_session() {
    let mut world = starting_for(&[("nightly", completed("job-1"))]);
    world.run_for(seconds(10));
    world.job_becomes("nightly", WorkloadState::Absent, true);
    world.run_for(seconds(15));
    world.job_becomes("nightly", unfinished("job-2"), true);
    world.run_for(seconds(20));
    assert_eq!((world.starts.requests.len(), reason(&world)), (1, "Starting".to_owned()));
}

#[test]
fn workloads_are_read_just_before_a_session_is_started() {
    for state in [completed("job-1"), suspended("job-1")] {
        let mut world = starting_for(&[("nightly", unfinished("job-1"))]);
        world.outages = vec![(Operation::StartSession, ErrorClass::NoCapacity)];
        world.run_for(minutes(2));
        let before = world.count(Operation::StartSession);
        assert!(before > 0);
        // The watch doesn't show this.
        world.job_becomes("nightly", state, false);
        world.outages.clear();
        world.run_for(minutes(10));
        assert_eq!(world.count(Operation::StartSession), before, "{}", world.told());
        assert!(world.breach.is_none(), "{:?}", world.breach);
    }
}

#[test]
fn unknown_workloads_neither_start_nor_give_up_a_session() {
    let mut world = starting_for(&[("nightly", completed("job-1"))]);
    world.run_for(seconds(20));
    world.objects.is_silent = true;
    world.run_for(minutes(20));
    assert_eq!(condition(world.recorded(), "Terminated").unwrap().status, "False");
    world.job_becomes("nightly", unfinished("job-2"), false);
    world.objects.is_silent = false;
    world.run_for(minutes(10));
    assert_eq!((world.starts.requests.len(), reason(&world)), (1, "Starting".to_owned()));
}

/// The Job waited for its ConfigMap until its deadline, and failed.
#[test]
fn what_a_job_waited_for_in_vain_stays_told() {
    let mut world = starting_for(&[("nightly", unfinished("job-1"))]);
    world.outages = vec![(Operation::StartSession, ErrorClass::Invalid)];
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "Invalid");
    world.job_becomes("nightly", failed("job-1"), true);
    world.run_for(minutes(2));
    let calls = world.count(Operation::StartSession);
    assert!(calls > 0);
    assert_eq!(
        (reason(&world), condition(world.recorded(), "Stalled").unwrap().status.as_str()),
        ("Failed".to_owned(), "True")
    );
    assert!(message(&world).contains("before Job team-a/nightly failed at") && message(&world).contains("Invalid: "));
    world.outages.clear();
    world.event(&Event::Restart);
    world.run_for(minutes(60));
    assert_eq!((world.count(Operation::StartSession), reason(&world)), (calls, "Failed".to_owned()));
}

/// S2, S7, L1: whatever a forged status records, a session that was started is found, and ended with its object.
#[test]
fn a_forged_record_of_finished_workloads_lets_no_session_go() {
    let mut world = starting_for(&[("nightly", unfinished("job-1"))]);
    world.run_for(seconds(10));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(seconds(10));
    world.event(&Event::Forge(Forgery::Ended));
    let status = world.object.as_mut().unwrap().status.as_mut().unwrap();
    (status.start_attempt, status.session_id) = (None, None);
    status.termination_reason = Some(TerminationReason::WorkloadFinished);
    world.event(&Event::Restart);
    world.run_for(minutes(10));
    assert_eq!((ends(&world), reason(&world)), (0, "Running".to_owned()));
    assert_eq!(world.starts.requests.len(), 1);
    assert!(world.breach.is_none(), "{:?}", world.breach);
}

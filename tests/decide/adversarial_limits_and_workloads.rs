//! Adversarial orders of events around publishTo, endWith, grace periods, limits and ttlAfterEnded. Each test has an
//! order that would end a session too early, keep one too long, or leave a ConfigMap behind.

use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::json;

use crate::core::{
    CachedSession, DeletionPolicy, ErrorClass, Now, Observed, Operation, PublishTo, Session, SessionState,
    SessionStatus, Step, TRACKED_BY, TerminationReason, decide,
};
use crate::fixtures::{SESSION, at, condition, home, minutes, object, seconds, status, view};
use crate::world::{Event, Fault, Owner, Poller, World, completed, ends, reason, unfinished, word};

const TERMINATE: Operation = Operation::TerminateSession;

fn steps(world: &World, of: &str) -> usize {
    world.steps.iter().map(word).filter(|it| it == of).count()
}

/// S1: the request for an end is taken back, and in one case the answer to that write is lost. The next end has its
/// whole grace period all the same.
#[test]
fn an_end_taken_back_doesnt_shorten_the_next_grace_period() {
    for late in [false, true] {
        let mut world = World::adopted(SessionState::Busy);
        world.event(&Event::SetGrace(Some(minutes(10))));
        world.event(&Event::SetLifetime(Some(minutes(30))));
        world.run_for(minutes(35));
        assert_eq!(reason(&world), "Draining");
        // The limit is removed. The status that says so is written, and in the second case the answer is lost.
        world.event(&Event::SetLifetime(None));
        world.event(&Event::ApiServerFails { requests: u8::from(late), late });
        world.run_for(minutes(60));
        assert_eq!((ends(&world), reason(&world).as_str()), (0, "Running"));
        assert_eq!(world.recorded().termination_requested_at, None);
        world.event(&Event::SetTerminate);
        world.run_for(minutes(5));
        assert_eq!(ends(&world), 0, "late: {late}: BUSY, and asked for five minutes ago: {}", world.told());
    }
}

/// L1: the API server's clock is ahead of the operator's, so the deletion seems to have been requested in the future.
#[test]
fn a_grace_period_isnt_longer_for_the_clock_of_the_api_server() {
    let mut world = World::adopted(SessionState::Busy);
    world.event(&Event::SetGrace(Some(minutes(10))));
    world.event(&Event::Delete);
    let deleted = crate::fixtures::time(world.elapsed + minutes(60));
    world.object.as_mut().unwrap().metadata.deletion_timestamp = Some(deleted);
    world.run_for(minutes(15));
    assert_eq!(ends(&world), 1, "{:?}", condition(world.recorded(), "Ready"));
}

/// The step for an object that has asked for its end since the story began.
fn step_at(observed: &mut Observed, now: Now, spec: &[Event]) -> Step {
    let mut object = object();
    for event in spec {
        match event {
            Event::SetGrace(grace) => object.spec.termination_grace_period = grace.map(Into::into),
            Event::SetLifetime(lifetime) => object.spec.max_lifetime = lifetime.map(Into::into),
            Event::SetIdle(idle) => object.spec.max_idle = idle.map(Into::into),
            Event::SetTerminate => object.spec.terminate = true,
            _ => unreachable!(),
        }
    }
    let scope = home();
    for _ in 0..5 {
        observed.found(&object, &scope, now);
        let step = decide(&view(&object, observed, &scope, now));
        let Step::WriteStatus { status, .. } = step else { return step };
        observed.recorded_status.written(Some(&status));
        object.status = Some(*status);
    }
    unreachable!()
}

/// S1: just after a look, somebody sets the operator's clock two hours ahead, or the machine wakes from sleep. A limit
/// ends the session only after a call that was made since the limit was reached.
#[test]
fn a_clock_that_is_set_ends_no_session_whose_limit_isnt_reached() {
    for limit in [Event::SetLifetime(Some(minutes(60))), Event::SetIdle(Some(minutes(60)))] {
        let mut observed = Observed::default();
        let idle_since = Some(at(seconds(0)).wall);
        observed
            .session
            .described(
                Session {
                    status: SessionStatus { idle_since, ..status(&SessionState::Idle) },
                    work_group: crate::fixtures::WORK_GROUP.to_owned(),
                    dpu_execution_millis: None,
                },
                at(minutes(10)),
            )
            .unwrap();
        observed.session.answered_in(&home());
        let tick = at(minutes(10) + seconds(2)).tick;
        let now = Now { wall: at(minutes(130)).wall, tick };
        let step = step_at(&mut observed, now, std::slice::from_ref(&limit));
        assert_eq!(word(&step), "GetSessionStatus", "{limit:?}");
    }
}

/// L1: the operator's clock was an hour ahead when the end was asked for, and is set right afterwards.
#[test]
fn a_clock_that_is_set_right_doesnt_make_a_grace_period_longer() {
    let spec = [Event::SetTerminate, Event::SetGrace(Some(minutes(10)))];
    let mut observed = Observed::default();
    let session = |now| {
        let session = Session {
            status: status(&SessionState::Busy),
            work_group: crate::fixtures::WORK_GROUP.to_owned(),
            dpu_execution_millis: None,
        };
        (session, now)
    };
    let (described, now) = session(Now { wall: at(minutes(70)).wall, tick: at(minutes(10)).tick });
    observed.session.described(described, now).unwrap();
    observed.session.answered_in(&home());
    let step = step_at(&mut observed, now, &spec);
    assert!(matches!(step, Step::Wait(_)), "the session drains: {step:?}");
    // Twelve minutes later by a clock that nobody sets.
    let (described, now) = session(at(minutes(22)));
    observed.session.described(described, now).unwrap();
    let step = step_at(&mut observed, now, &spec);
    assert!(matches!(step, Step::TerminateSession { .. }), "the period is over: {step:?}");
}

/// S1: the operator's clock is set two hours ahead a minute after the end was asked for.
#[test]
fn a_clock_that_is_set_takes_no_grace_period_away() {
    let spec = [Event::SetTerminate, Event::SetGrace(Some(minutes(10)))];
    let mut observed = Observed::default();
    let session = || Session {
        status: status(&SessionState::Busy),
        work_group: crate::fixtures::WORK_GROUP.to_owned(),
        dpu_execution_millis: None,
    };
    observed.session.described(session(), at(minutes(10))).unwrap();
    observed.session.answered_in(&home());
    let step = step_at(&mut observed, at(minutes(10)), &spec);
    assert!(matches!(step, Step::Wait(_)), "the session drains: {step:?}");
    let now = Now { wall: at(minutes(131)).wall, tick: at(minutes(11)).tick };
    observed.session.described(session(), now).unwrap();
    let step = step_at(&mut observed, now, &spec);
    assert!(matches!(step, Step::Wait(_)), "BUSY, and asked for a minute ago: {step:?}");
}

// publishTo.

/// L2: reads succeed and writes fail, as with a webhook that is down. A successful read must not reset the back-off of
/// the write.
#[test]
fn a_failing_config_map_write_is_tried_less_and_less_often() {
    let mut world = World::publishing(SessionState::Idle);
    world.objects.writes_fail = true;
    world.run_for(minutes(30));
    let tries = steps(&world, "WriteConfigMap");
    assert!(tries <= 30, "{tries} tries in half an hour, and as many reads");
}

/// L2: the back-off of a removal grows although reads succeed.
#[test]
fn a_failing_removal_is_rarely_tried_where_reads_succeed() {
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    world.objects.writes_fail = true;
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "Ended");
    world.forget_the_past();
    world.run_for(minutes(60));
    let tries = steps(&world, "DeleteConfigMap");
    assert!((1..=15).contains(&tries), "{tries} tries in an hour, long after the end");
}

/// The API server is away for twenty seconds, just when the ConfigMap is to be removed.
#[test]
fn a_removal_is_made_up_for_when_the_api_server_answers_again() {
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    world.objects.is_silent = true;
    world.event(&Event::SetTerminate);
    world.run_for(seconds(20));
    world.objects.is_silent = false;
    world.run_for(minutes(120));
    assert_eq!(reason(&world), "Ended");
    assert!(world.objects.config_map.is_none(), "the ConfigMap names an ended session for ever");
}

/// The API server carries out the creation of the ConfigMap only after the end was asked for.
#[test]
fn a_config_map_that_comes_late_doesnt_outlive_the_session() {
    let mut world = World::publishing(SessionState::Idle);
    world.objects.is_silent = true;
    world.run_for(seconds(1));
    world.objects.is_silent = false;
    world.objects.writes_fail = true;
    world.run_for(seconds(2));
    assert!(steps(&world, "WriteConfigMap") > 0, "a creation is under way");
    world.objects.writes_fail = false;
    world.event(&Event::SetTerminate);
    world.run_for(seconds(3));
    assert_eq!(ends(&world), 1);
    // The creation that was sent before takes effect now.
    world.meddle(Some(("uid-1", SESSION)));
    world.run_for(minutes(120));
    assert_eq!(reason(&world), "Ended");
    assert!(world.objects.config_map.is_none(), "the ConfigMap names an ended session for ever");
}

/// Somebody adds a label to the ConfigMap, so that the first removal is refused as out of date.
#[test]
fn an_edited_config_map_is_removed_before_the_session_ends() {
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    let (owner, data) = world.objects.config_map.clone().unwrap();
    world.meddle(Some((owner.as_str(), data["ATHENA_SESSION_ID"].as_str())));
    world.event(&Event::SetTerminate);
    let until = world.elapsed + minutes(1);
    world.run_until(until, |world| world.count(TERMINATE) == 1);
    let told: Vec<_> = world.steps.iter().map(word).collect();
    let end = told.iter().position(|it| it == "TerminateSession").unwrap();
    let removals = told[..end].iter().filter(|it| *it == "DeleteConfigMap").count();
    assert!(removals == 2, "one removal was refused as out of date, and the session ended all the same: {told:?}");
}

/// L1: no request about a ConfigMap holds up an end.
#[test]
fn a_hanging_removal_holds_up_no_end() {
    let mut world = World::publishing(SessionState::Idle);
    world.object.as_mut().unwrap().spec.end_with = vec![crate::world::job("nightly")];
    world.job_becomes("nightly", unfinished("job-1"), true);
    world.run_for(minutes(1));
    world.objects.slow = seconds(1) + std::time::Duration::from_millis(100);
    world.objects.removal_hangs = Some(seconds(10));
    world.job_becomes("nightly", completed("job-1"), true);
    world.run_for(minutes(30));
    assert_eq!(ends(&world), 1, "{} removals", steps(&world, "DeleteConfigMap"));
}

/// GetSessionStatus fails three times just when maxIdle is over, and then the session becomes BUSY. Athena answers
/// again, but only the poller looks at the session from now on. The old error must not be reported for ever.
#[test]
fn a_session_is_published_again_after_a_short_outage() {
    let mut world = World::publishing(SessionState::Idle);
    world.event(&Event::SetRef);
    world.around.poller = Poller::Shows { lag: seconds(0) };
    world.event(&Event::SetIdle(Some(minutes(10))));
    world.run_for(minutes(9));
    assert!(world.objects.config_map.is_some());
    world.outages = vec![(Operation::GetSessionStatus, ErrorClass::Unavailable)];
    world.run_for(minutes(1) + seconds(20));
    world.event(&Event::Becomes(SessionState::Busy));
    world.run_for(minutes(2));
    world.outages.clear();
    world.forget_the_past();
    world.run_for(minutes(240));
    assert_eq!((ends(&world), reason(&world).as_str()), (0, "Running"), "{}", world.told());
    assert!(world.objects.config_map.is_some(), "a Job waits for it, and the session is billed");
}

/// A list that lags behind says IDLE, and the call that would confirm it fails.
#[test]
fn a_config_map_stays_until_a_limit_is_certainly_reached() {
    let mut world = World::publishing(SessionState::Idle);
    world.event(&Event::SetRef);
    world.around.poller = Poller::Shows { lag: seconds(40) };
    world.event(&Event::SetIdle(Some(minutes(10))));
    world.run_for(minutes(10) - seconds(5));
    world.event(&Event::Becomes(SessionState::Busy));
    world.outages = vec![(Operation::GetSessionStatus, ErrorClass::Unavailable)];
    world.run_for(seconds(25));
    assert!(world.objects.config_map.is_some(), "the session is BUSY: {}", world.told());
}

/// The Job was created anew, and the read that would show it fails.
#[test]
fn a_config_map_stays_until_workloads_have_certainly_finished() {
    let mut world = World::publishing(SessionState::Busy);
    world.object.as_mut().unwrap().spec.end_with = vec![crate::world::job("nightly")];
    world.job_becomes("nightly", completed("job-1"), true);
    world.run_for(seconds(20));
    world.job_becomes("nightly", unfinished("job-2"), false);
    world.objects.unreadable = Some("nightly");
    world.run_for(minutes(10));
    assert!(world.objects.config_map.is_some(), "the new Job waits for it: {}", world.told());
}

/// S1: three slow requests about the ConfigMap come between the read of the object and TerminateSession. The read is
/// too old by then, and the object must be read again.
#[test]
fn what_the_object_asks_for_isnt_older_than_a_pass_may_be() {
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    world.objects.slow = seconds(9);
    world.objects.removal_hangs = Some(seconds(10));
    world.event(&Event::Delete);
    // When the removal begins, somebody sets Retain.
    let steps = u8::try_from(if world.told().contains("WriteConfigMap") { 2 } else { 1 }).unwrap();
    world.ambush.push((steps, Event::SetPolicy(DeletionPolicy::Retain)));
    world.forget_the_past();
    world.pass();
    let told = world.told();
    assert!(told.contains("DeleteConfigMap"), "{told}");
    assert_eq!(ends(&world), 0, "Retain was set nineteen seconds before: {told}");
}

/// The ConfigMap exists only while the session takes calculations.
#[test]
fn a_config_map_doesnt_outlive_what_it_tells_of() {
    // Another object turns out to own the session, and the session ends.
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    world.event(&Event::Owner(Some(Owner { stands: true }), true));
    world.run_for(minutes(5));
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(60));
    assert_eq!(reason(&world), "AlreadyDeclared");
    assert!(world.objects.config_map.is_none(), "AlreadyDeclared: the ConfigMap names an ended session");
}

/// The operator was away while the session ended, and Athena has forgotten the session since.
#[test]
fn a_config_map_doesnt_outlive_a_started_session_that_is_gone() {
    let mut world = World::starting();
    let publish_to = PublishTo { config_map_name: "nightly".to_owned() };
    world.object.as_mut().unwrap().spec.publish_to = Some(publish_to);
    world.run_for(seconds(10));
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(minutes(2));
    assert!(world.objects.config_map.is_some());
    world.event(&Event::Becomes(SessionState::Terminated));
    world.event(&Event::Forgets);
    world.event(&Event::Restart);
    world.run_for(minutes(60));
    assert_eq!(reason(&world), "SessionNotFound");
    assert!(world.objects.config_map.is_none(), "the ConfigMap names a session that is gone, for ever");
}

#[test]
fn a_config_map_doesnt_tell_of_a_degraded_session() {
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    world.event(&Event::Becomes(SessionState::Degraded));
    world.run_for(minutes(60));
    assert_eq!(condition(world.recorded(), "Active").unwrap().status, "False");
    assert!(world.objects.config_map.is_none(), "the session isn't Active");
}

// endWith.

/// L1: `endWith` allows ten workloads. Where each read takes more than a second, the first read is old when the last
/// one comes.
#[test]
fn ten_workloads_end_their_session_with_a_slow_api_server() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut world = World::following(SessionState::Busy, &names);
    for name in names {
        world.job_becomes(name, unfinished("job"), true);
    }
    world.run_for(minutes(1));
    world.objects.slow = seconds(1) + std::time::Duration::from_millis(100);
    for name in names {
        world.job_becomes(name, completed("job"), true);
    }
    world.forget_the_past();
    world.run_for(minutes(30));
    let looks = steps(&world, "GetWorkloads");
    assert_eq!(ends(&world), 1, "{looks} times ten reads in half an hour, without an end");
}

/// L2: the first workload can be read and the second can't. A successful read must not reset the back-off.
#[test]
fn an_unreadable_workload_is_read_less_and_less_often() {
    let mut world = World::following(SessionState::Busy, &["first", "second"]);
    world.job_becomes("first", unfinished("job-1"), true);
    world.objects.unreadable = Some("second");
    world.run_for(minutes(30));
    let looks = steps(&world, "GetWorkloads");
    assert!(looks <= 30, "{looks} looks in half an hour");
}

/// S1: long ago TerminateSession was accepted for maxIdle and had no effect. That call doesn't begin the end for
/// workloads that have finished.
#[test]
fn a_recreated_job_keeps_the_session_despite_an_earlier_call() {
    for accepted_before in [false, true] {
        let mut world = World::following(SessionState::Busy, &["nightly"]);
        world.job_becomes("nightly", unfinished("job-1"), true);
        world.run_for(minutes(1));
        if accepted_before {
            world.event(&Event::Becomes(SessionState::Idle));
            world.event(&Event::SetIdle(Some(minutes(5))));
            world.run_for(minutes(5) - seconds(5));
            world.terminating_for = None;
            world.faults = [Fault::NoEffect, Fault::NoEffect, Fault::NoEffect].into();
            let until = world.elapsed + minutes(2);
            world.run_until(until, |world| world.count(TERMINATE) == 1);
            assert_eq!(ends(&world), 1);
            world.faults.clear();
            world.event(&Event::SetIdle(None));
            world.event(&Event::Becomes(SessionState::Busy));
            world.run_for(minutes(10));
            assert_eq!(reason(&world), "Running");
            assert_eq!(world.recorded().termination_requested_at, None);
        }
        world.forget_the_past();
        world.event(&Event::SetGrace(Some(minutes(30))));
        world.job_becomes("nightly", completed("job-1"), true);
        world.run_for(minutes(2));
        assert_eq!((ends(&world), reason(&world).as_str()), (0, "Draining"));
        assert_eq!(world.recorded().termination_reason, Some(TerminationReason::WorkloadFinished));
        world.job_becomes("nightly", unfinished("job-2"), true);
        world.run_for(minutes(60));
        assert_eq!(ends(&world), 0, "accepted before: {accepted_before}: the new Job is at work");
        assert_eq!(reason(&world), "Running");
    }
}

/// S7: a forged record ends nothing, whatever was called before.
#[test]
fn a_forged_reason_is_no_end_that_was_begun() {
    let mut world = World::following(SessionState::Idle, &["nightly"]);
    world.job_becomes("nightly", unfinished("job-1"), true);
    world.event(&Event::SetLifetime(Some(minutes(5))));
    world.faults = [Fault::None, Fault::None, Fault::NoEffect, Fault::NoEffect].into();
    world.faults.extend([Fault::NoEffect; 30]);
    world.run_until(minutes(10), |world| world.count(TERMINATE) == 1);
    assert_eq!(ends(&world), 1);
    world.faults.clear();
    world.event(&Event::SetLifetime(None));
    world.run_for(minutes(10));
    assert_eq!((ends(&world), reason(&world).as_str()), (1, "Running"), "nobody asks for an end any more");
    let forged = world.object.as_mut().unwrap().status.as_mut().unwrap();
    forged.termination_reason = Some(TerminationReason::WorkloadFinished);
    world.run_for(minutes(10));
    assert_eq!(ends(&world), 1, "the Job is at work");
}

/// S5, S8: everybody may write the operator's finalizer on their own object. Without a grant the operator reads nothing
/// for this object, and shows nothing of others in its status.
#[test]
fn without_a_grant_no_workload_is_read_nor_told_of() {
    let mut world = World::bound(SessionState::Idle);
    world.object.as_mut().unwrap().spec.end_with = vec![crate::world::job("nightly")];
    world.around.allows = false;
    world.around.was_granted = false;
    world.job_becomes("nightly", completed("uid-of-a-job"), true);
    world.run_for(minutes(5));
    assert_eq!(reason(&world), "NamespaceNotAllowed");
    assert_eq!(world.recorded().workloads, []);
    assert_eq!(steps(&world, "GetWorkloads"), 0);
}

// ttlAfterEnded.

/// Athena's clock, which dates the end, is two hours behind the operator's.
#[test]
fn the_ttl_is_kept_whatever_the_operators_clock_says() {
    let mut observed = Observed::default();
    let mut object = object();
    object.spec.ttl_after_ended = Some("1h".to_owned());
    let mut scope = home();
    scope.skew = Some(SignedDuration::from_hours(-2));
    let ended_at = Some(scope.athena_time(at(minutes(10)).wall));
    let now = at(minutes(10) + seconds(5));
    observed
        .session
        .described(
            Session {
                status: SessionStatus { ended_at, ..status(&SessionState::Terminated) },
                work_group: crate::fixtures::WORK_GROUP.to_owned(),
                dpu_execution_millis: Some(1),
            },
            now,
        )
        .unwrap();
    observed.session.answered_in(&scope);
    for _ in 0..5 {
        observed.found(&object, &scope, now);
        match decide(&view(&object, &observed, &scope, now)) {
            Step::WriteStatus { status, .. } => {
                observed.recorded_status.written(Some(&status));
                object.status = Some(*status);
            }
            step => return assert!(matches!(step, Step::Wait(_)), "five seconds after the end: {step:?}"),
        }
    }
    unreachable!()
}

/// Argo CD up to version 2 marks objects by this label where `application.resourceTrackingMethod` isn't set.
#[test]
fn the_usual_label_of_argo_cd_marks_an_object_as_tracked() {
    for (labels, annotations) in [
        (json!({}), json!({"argocd.argoproj.io/tracking-id": "app:x/y:z/nightly"})),
        (json!({"app.kubernetes.io/instance": "nightly-app"}), json!({})),
    ] {
        let read: CachedSession = serde_json::from_value(json!({
            "metadata": {"name": "nightly", "labels": labels, "annotations": annotations},
            "spec": {"start": {}, "workGroupRef": {"name": "spark"}, "ttlAfterEnded": "1m"},
        }))
        .unwrap();
        let object = read.open().unwrap();
        assert!(object.labels().contains_key(TRACKED_BY), "{labels}");
    }
}

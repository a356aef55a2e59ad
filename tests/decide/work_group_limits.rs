//! `spec.limits` of the AthenaWorkGroup: which limit ends a session, what makes sure of it, and that no object does without.

use std::time::Duration;

use crate::core::{
    Access, AthenaSession, AthenaWorkGroup, Denied, Namespaces, Rules, SessionLimits, SessionState, Suspension,
    TerminationReason, WorkGroupLimits,
};
use crate::fixtures::{condition, minutes, object, seconds};
use crate::world::{Event, Forgery, World, ends, message, reason, written};

/// An adopted session in an AthenaWorkGroup with these limits.
fn limited(state: SessionState, lifetime: Option<Duration>, idle: Option<Duration>) -> World {
    let mut world = World::granted(state);
    world.event(&Event::GroupLimits(lifetime, idle));
    world
}

/// Why the session was ended.
fn end(world: &World) -> &str {
    let terminated = condition(world.recorded(), "Terminated").unwrap();
    assert_eq!(terminated.status, "True", "{}", world.told());
    assert_eq!(world.recorded().termination_reason.map(TerminationReason::as_str), Some(terminated.reason.as_str()));
    &terminated.reason
}

/// When TerminateSession was called.
fn ended_at(world: &World) -> Duration {
    world.calls.iter().find(|(_, called)| called.as_str() == "TerminateSession").unwrap().0
}

/// S1: to the second, and the object stays as the record.
#[test]
fn the_smaller_limit_ends_the_session_and_is_its_reason() {
    let (ten, twenty) = (Some(minutes(10)), Some(minutes(20)));
    // Own maxLifetime and maxIdle, those of the AthenaWorkGroup, and the reason of the end, which comes after ten minutes.
    for (own, of_group, expected) in [
        ((None, None), (ten, None), "WorkGroupLimit"),
        ((None, None), (None, ten), "WorkGroupLimit"),
        ((twenty, None), (ten, None), "WorkGroupLimit"),
        ((None, twenty), (None, ten), "WorkGroupLimit"),
        ((None, twenty), (ten, None), "WorkGroupLimit"),
        ((ten, None), (twenty, twenty), "MaxLifetime"),
        ((None, ten), (twenty, twenty), "MaxIdle"),
        ((ten, None), (ten, ten), "MaxLifetime"),
        ((None, ten), (None, ten), "MaxIdle"),
    ] {
        let mut world = limited(SessionState::Idle, of_group.0, of_group.1);
        world.event(&Event::SetLifetime(own.0));
        world.event(&Event::SetIdle(own.1));
        world.run_for(minutes(15));
        assert_eq!((reason(&world).as_str(), end(&world)), ("Ended", expected), "{own:?} {of_group:?}");
        let late = ended_at(&world).checked_sub(minutes(10)).unwrap();
        assert!(late <= seconds(1), "{own:?} {of_group:?}: {late:?}");
        assert_eq!(world.breach, None);
    }
}

/// L1: and a limit that is raised in time ends nothing.
#[test]
fn a_limit_that_changes_applies_to_what_runs() {
    let mut world = limited(SessionState::Busy, Some(minutes(30)), None);
    world.run_for(minutes(20));
    world.event(&Event::GroupLimits(Some(minutes(60)), None));
    world.run_for(minutes(30));
    assert_eq!((ends(&world), reason(&world).as_str()), (0, "Running"));
    world.event(&Event::GroupLimits(None, None));
    world.run_for(minutes(30));
    assert_eq!((ends(&world), reason(&world).as_str()), (0, "Running"));
    world.event(&Event::GroupLimits(Some(minutes(5)), None));
    world.run_for(seconds(20));
    assert_eq!((end(&world), &world.breach), ("WorkGroupLimit", &None));
}

/// S1: the watch lags, and an administrator has raised the limit, or paused the AthenaWorkGroup.
#[test]
fn no_session_is_ended_by_what_the_watch_alone_shows() {
    for (raised, grace) in [(Some(minutes(60)), None), (None, None), (None, Some(minutes(5)))] {
        let mut world = limited(SessionState::Busy, Some(minutes(10)), None);
        world.event(&Event::SetGrace(grace));
        world.run_for(minutes(9));
        world.forget_the_past();
        world.cache_frozen = true;
        world.event(&Event::GroupLimits(raised, None));
        world.run_for(minutes(20));
        assert_eq!(ends(&world), 0, "{}", world.told());
        assert!(world.told().contains("GetWorkGroupLimits"), "{}", world.told());
        assert_eq!(written(&world).len(), 1, "only the message changes: {:?}", world.writes);
        assert_eq!((reason(&world).as_str(), &world.breach), ("Running", &None));
    }
}

/// S1: something changes between the read of the AthenaWorkGroup and the end.
#[test]
fn what_the_watch_shows_after_the_read_counts_too() {
    for event in [Event::GroupAllows(false), Event::Suspension(Some(Suspension::ReadOnly))] {
        for steps in 1..8 {
            let mut world = World::starting();
            world.run_for(minutes(1));
            world.event(&Event::Becomes(SessionState::Busy));
            world.event(&Event::GroupLimits(Some(minutes(10)), None));
            world.run_until(minutes(9), |_| false);
            world.ambush.push((steps, event.clone()));
            world.run_for(minutes(2));
            assert_eq!(world.breach, None, "{event:?} after {steps} steps: {}", world.told());
        }
    }
}

/// L2: the AthenaWorkGroup is read once, and right before the end.
#[test]
fn an_end_takes_one_read_of_the_work_group_and_two_writes() {
    let mut world = limited(SessionState::Idle, Some(minutes(10)), Some(minutes(30)));
    world.run_for(minutes(1));
    world.forget_the_past();
    world.run_for(minutes(8));
    assert_eq!((written(&world).len(), world.told().contains("GetWorkGroupLimits")), (0, false));
    world.run_until(minutes(20), |world| ends(world) == 1);
    let told = world.told();
    assert!(told.contains("GetWorkGroupLimits GetSessionStatus WriteStatus TerminateSession"), "{told}");
    assert_eq!((told.matches("GetWorkGroupLimits").count(), written(&world).len()), (1, 2), "{told}");
}

#[test]
fn while_the_api_server_fails_no_limit_of_the_work_group_ends_a_session() {
    let mut world = limited(SessionState::Idle, Some(minutes(5)), None);
    world.run_for(minutes(4));
    world.event(&Event::ApiServerFails { requests: 3, late: false });
    world.run_until(minutes(5) + seconds(3), |_| false);
    assert_eq!(ends(&world), 0, "{}", world.told());
    world.run_for(minutes(1));
    assert_eq!((end(&world), &world.breach), ("WorkGroupLimit", &None));
}

/// S5: the object may not use the AthenaWorkGroup, or there is none.
#[test]
fn a_work_group_ends_nothing_that_may_not_use_it() {
    for (event, expected) in
        [(Event::GroupAllows(false), "NamespaceNotAllowed"), (Event::GroupExists(false), "WorkGroupNotFound")]
    {
        let mut world = limited(SessionState::Idle, Some(minutes(10)), Some(minutes(10)));
        world.event(&event);
        world.run_for(minutes(40));
        assert_eq!((ends(&world), reason(&world).as_str()), (0, expected));
        assert!(!message(&world).contains("spec.limits"), "{}", message(&world));
        assert_eq!(world.breach, None);
    }
    // What the object itself has started is ended by the object's own limits only, once its namespace isn't selected any more.
    let mut world = World::starting();
    world.run_for(minutes(1));
    world.event(&Event::GroupLimits(Some(minutes(10)), None));
    world.event(&Event::GroupAllows(false));
    world.run_for(minutes(40));
    assert_eq!((ends(&world), &world.breach), (0, &None));
}

/// Its finalizer keeps an AthenaWorkGroup that is being deleted until its AthenaSessions have gone, and so its limits hold.
#[test]
fn the_limits_of_a_work_group_that_is_being_deleted_hold() {
    let mut world = limited(SessionState::Idle, Some(minutes(10)), None);
    world.event(&Event::GroupCloses(true));
    world.run_for(minutes(12));
    assert_eq!((end(&world), &world.breach), ("WorkGroupLimit", &None));
}

#[test]
fn without_a_grant_an_object_has_no_limits_of_a_work_group() {
    let limits = SessionLimits { max_lifetime: Some(minutes(10).into()), max_idle: None };
    let mut group = AthenaWorkGroup::default();
    group.spec.limits = Some(limits);
    let mut bound = object();
    bound.spec.work_group_ref = Some(crate::core::WorkGroupRef { name: "spark".to_owned() });
    let limits_of = |object: &AthenaSession, group: Option<&AthenaWorkGroup>| {
        let access = Access::of(object, group, Some(&[].into()), Rules::default());
        (access.denied, access.limits)
    };
    assert_eq!(limits_of(&bound, Some(&group)), (Some(Denied::NamespaceNotAllowed), None));
    assert_eq!(limits_of(&bound, None), (Some(Denied::WorkGroupNotFound), None));
    assert_eq!(limits_of(&object(), Some(&group)), (None, None), "it refers to no AthenaWorkGroup");
    group.spec.namespaces = Namespaces { from: crate::core::From::All, selector: None };
    assert_eq!(limits_of(&bound, Some(&group)), (None, Some(WorkGroupLimits { limits, suspension: None })));
}

/// Whoever may write the object could otherwise let its session run for ever.
#[test]
fn no_object_holds_up_the_limit_of_its_work_group() {
    let long = Some(minutes(100_000));
    for (held_up_by, expected) in [
        (vec![Event::Suspension(Some(Suspension::ObjectPaused))], minutes(10)),
        (vec![Event::Suspension(Some(Suspension::ObjectPaused)), Event::SetTerminate], minutes(10)),
        (vec![Event::Suspension(Some(Suspension::ObjectPaused)), Event::SetLifetime(Some(minutes(1)))], minutes(10)),
        (vec![Event::Suspension(Some(Suspension::ObjectPaused)), Event::Delete], minutes(10)),
        (vec![Event::SetGrace(long)], minutes(20)),
        (vec![Event::SetGrace(Some(minutes(3)))], minutes(13)),
        (vec![Event::SetGrace(long), Event::SetTerminate], minutes(10)),
        (vec![Event::SetGrace(long), Event::SetLifetime(Some(minutes(1)))], minutes(11)),
        (vec![Event::SetGrace(long), Event::Delete], minutes(10)),
        (vec![Event::Forge(Forgery::EndRequestedInTheFuture), Event::SetGrace(long)], minutes(20)),
    ] {
        let mut world = limited(SessionState::Busy, Some(minutes(10)), None);
        held_up_by.iter().for_each(|event| world.event(event));
        world.run_until(minutes(60), |world| ends(world) == 1);
        let ended_at = ended_at(&world);
        assert!(ended_at >= expected && ended_at <= expected + seconds(2), "{held_up_by:?}: {ended_at:?}");
        assert_eq!(world.recorded().termination_reason, Some(TerminationReason::WorkGroupLimit), "{held_up_by:?}");
        assert_eq!(world.breach, None, "{held_up_by:?}");
    }
}

/// S5: an administrator can hold up such an end, by the annotation of the AthenaWorkGroup, or by `--read-only`.
#[test]
fn an_administrator_holds_up_the_limit_of_the_work_group() {
    for (suspension, expected) in [(Suspension::WorkGroupPaused, "Paused"), (Suspension::ReadOnly, "ReadOnly")] {
        let mut world = limited(SessionState::Idle, Some(minutes(10)), None);
        world.event(&Event::Suspension(Some(suspension)));
        world.run_for(minutes(30));
        assert_eq!((ends(&world), reason(&world).as_str()), (0, expected));
        world.event(&Event::GroupLimits(None, None));
        world.event(&Event::Suspension(None));
        world.run_for(minutes(10));
        assert_eq!((ends(&world), reason(&world).as_str(), &world.breach), (0, "Running", &None));
        assert_eq!(world.recorded().termination_reason, None);
    }
}

/// An object that is paused itself isn't left alone by what an administrator holds up.
#[test]
fn an_object_that_is_paused_too_is_held_up_by_the_administrator() {
    let mut bound = object();
    bound.metadata.annotations = Some([(crate::core::PAUSED.to_owned(), "true".to_owned())].into());
    bound.spec.work_group_ref = Some(crate::core::WorkGroupRef { name: "spark".to_owned() });
    let mut group = AthenaWorkGroup::default();
    group.spec.limits = Some(SessionLimits::default());
    group.spec.namespaces = Namespaces { from: crate::core::From::All, selector: None };
    let holds_up = |group: &AthenaWorkGroup, read_only| {
        let rules = Rules { read_only, ..Rules::default() };
        let access = Access::of(&bound, Some(group), Some(&[].into()), rules);
        (access.suspension, access.limits.unwrap().suspension)
    };
    let own = Some(Suspension::ObjectPaused);
    assert_eq!(holds_up(&group, false), (own, None));
    assert_eq!(holds_up(&group, true), (own, Some(Suspension::ReadOnly)));
    group.metadata.annotations = bound.metadata.annotations.clone();
    assert_eq!(holds_up(&group, true), (own, Some(Suspension::WorkGroupPaused)));
}

/// L2: the moment that is told is fixed, so the message changes with the session only.
#[test]
fn the_message_says_when_the_session_is_ended_and_by_what() {
    let mut world = limited(SessionState::Busy, Some(minutes(120)), Some(minutes(60)));
    world.event(&Event::SetIdle(Some(minutes(90))));
    world.run_for(minutes(1));
    let told = message(&world);
    assert!(told.contains("when it has been IDLE for 1h (spec.limits.maxIdle of AthenaWorkGroup spark)"), "{told}");
    let over = crate::fixtures::time(minutes(120)).0;
    assert!(told.contains(&format!("at {over} (spec.limits.maxLifetime of AthenaWorkGroup spark)")), "{told}");
    world.event(&Event::Becomes(SessionState::Idle));
    let idle_until = crate::fixtures::time(world.elapsed + minutes(60)).0;
    world.run_for(minutes(1));
    let told = message(&world);
    let expected = format!(
        "when it has been IDLE for 1h, which will be at {idle_until} (spec.limits.maxIdle of AthenaWorkGroup spark)"
    );
    assert!(told.contains(&expected), "{told}");
    world.forget_the_past();
    world.run_for(minutes(30));
    assert_eq!(written(&world), Vec::<String>::new());
    world.event(&Event::SetIdle(Some(minutes(50))));
    world.run_for(seconds(5));
    assert!(message(&world).contains("IDLE for 50m"), "{}", message(&world));
    assert!(message(&world).contains("(spec.maxIdle)"), "{}", message(&world));
}

/// A limit never makes a session live longer: Athena's default is an idle timeout of 20 minutes.
#[test]
fn a_started_session_has_the_smaller_idle_limit_as_athenas_idle_timeout() {
    for (own, of_group, expected) in [
        (None, None, None),
        (Some(40), None, Some(40)),
        (Some(40), Some(30), Some(30)),
        (Some(30), Some(40), Some(30)),
        (Some(30), Some(2), Some(2)),
        (None, Some(5), Some(5)),
        (None, Some(19), Some(19)),
        (None, Some(20), None),
        (None, Some(240), None),
    ] {
        let mut world = World::starting();
        world.event(&Event::SetIdle(own.map(minutes)));
        world.event(&Event::GroupLimits(None, of_group.map(minutes)));
        world.run_for(minutes(1));
        assert_eq!(world.starts.requests[0].idle_timeout_minutes, expected, "{own:?} {of_group:?}");
    }
}

#[test]
fn an_end_by_athenas_idle_timeout_counts_as_the_limit_that_set_it() {
    for (own, expected) in [(None, "WorkGroupLimit"), (Some(10), "WorkGroupLimit"), (Some(4), "MaxIdle")] {
        let mut world = World::starting();
        world.event(&Event::SetIdle(own.map(minutes)));
        world.event(&Event::GroupLimits(None, Some(minutes(5))));
        world.run_for(seconds(5));
        world.event(&Event::Becomes(SessionState::Idle));
        world.run_for(minutes(own.unwrap_or(5).min(5)) - seconds(1));
        world.event(&Event::Becomes(SessionState::Terminated));
        world.run_for(minutes(2));
        assert_eq!(ends(&world), 0, "{}", world.told());
        assert_eq!(end(&world), expected);
    }
}

#[test]
fn an_end_by_the_work_groups_limit_keeps_its_reason_whatever_comes_after() {
    let mut world = limited(SessionState::Idle, None, Some(minutes(5)));
    world.terminating_for = Some(minutes(2));
    world.run_until(minutes(10), |world| ends(world) == 1);
    world.event(&Event::GroupLimits(None, None));
    for event in [None, Some(Event::Restart), Some(Event::Forgets), Some(Event::Restart)] {
        event.iter().for_each(|event| world.event(event));
        world.run_for(minutes(4));
        assert_eq!((end(&world), reason(&world).as_str()), ("WorkGroupLimit", "Ended"), "{event:?}");
    }
    assert_eq!(world.breach, None);
}

//! S5: what a grant lets an object do, and what remains when the grant is withdrawn.

use std::time::Duration;

use crate::core::{
    Access, DeletionPolicy, Denied, ErrorClass, EventType, Evidence, FINALIZER, Observed, Operation, Proof,
    SessionState, Step, View, decide, evidence,
};
use crate::fixtures::{
    TIMING, at, condition, elsewhere, error, home, minutes, object, recorded_as, seconds, states, view,
};
use crate::world::{Event, Poller, World};

fn refuse(world: &mut World) -> [Event; 2] {
    world.event(&Event::SetRef);
    [Event::GroupExists(false), Event::GroupAllows(false)]
}

/// An object that never had a grant. `planted`: its author added the operator's finalizer himself.
fn never_granted(session: SessionState, refusal: &Event, planted: bool) -> World {
    let mut world = World::with(Some(session));
    refuse(&mut world);
    world.event(refusal);
    world.around.was_granted = false;
    world.observed = Observed::default();
    world.object.as_mut().unwrap().metadata.finalizers = planted.then(|| vec![FINALIZER.to_owned()]);
    world
}

/// S5, S8: whatever the session does.
#[test]
fn a_namespace_never_allowed_gets_no_call_and_no_information() {
    for state in states() {
        for refusal in [Event::GroupExists(false), Event::GroupAllows(false)] {
            for planted in [false, true] {
                for deleted in [false, true] {
                    let mut world = never_granted(state.clone(), &refusal, planted);
                    world.around.poller = Poller::Shows { lag: seconds(0) };
                    // The poller sees the session for another object.
                    world.wait(seconds(1));
                    world.poll();
                    if deleted && planted {
                        world.event(&Event::Delete);
                    }
                    world.run_for(minutes(10));
                    assert_eq!(world.breach, None, "{state} {refusal:?}");
                    assert!(world.calls.is_empty(), "{}", world.told());
                    assert_eq!(world.recorded().state, None, "{state} {refusal:?} planted: {planted}");
                    assert!(world.writes.len() <= 2, "{}", world.told());
                    let told = world.writes.iter().filter_map(|(_, step)| match step {
                        Step::WriteStatus { events, .. } => Some(events.len()),
                        _ => None,
                    });
                    assert_eq!(told.sum::<usize>(), 1);
                }
            }
        }
    }
}

/// Objects of one `kubectl apply` arrive in any order.
#[test]
fn what_may_still_arrive_counts_as_trouble_after_two_minutes() {
    let mut world = never_granted(SessionState::Idle, &Event::GroupExists(false), false);
    world.run_for(seconds(119));
    assert_eq!(condition(world.recorded(), "Reconciling").unwrap().reason, "WorkGroupNotFound");
    world.run_for(seconds(2));
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WorkGroupNotFound");
    assert_eq!(world.writes.len(), 2);
    let warnings = |write: usize| match &world.writes[write].1 {
        Step::WriteStatus { events, .. } => events.iter().map(|it| (it.type_, it.reason)).collect(),
        step => panic!("{step:?}"),
    };
    let told: [Vec<_>; 2] = [warnings(0), warnings(1)];
    assert_eq!(told, [vec![(EventType::Warning, "WorkGroupNotFound")], vec![]], "at once, and not again");
}

/// Each cause has two minutes of its own, whatever was missing before.
#[test]
fn what_is_missing_next_may_arrive_as_well() {
    let mut world = never_granted(SessionState::Idle, &Event::GroupExists(false), false);
    world.run_for(seconds(100));
    world.event(&Event::GroupExists(true));
    world.event(&Event::GroupAllows(false));
    world.run_for(seconds(110));
    assert_eq!(condition(world.recorded(), "Reconciling").unwrap().reason, "NamespaceNotAllowed");
    world.run_for(seconds(20));
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "NamespaceNotAllowed");
}

/// L2: also where the cause seems to be of the future.
#[test]
fn a_clock_that_jumps_back_makes_nobody_write_again_and_again() {
    let mut object = object();
    object.metadata.finalizers = None;
    let (observed, scope) = (Observed::default(), home());
    let access =
        Access { reference: Some("spark".to_owned()), denied: Some(Denied::NamespaceNotAllowed), ..Access::default() };
    let mut writes = 0;
    for second in [1000, 1001, 10, 11, 50, 100, 2000, 2001, 5, 6] {
        let now = at(seconds(second));
        let step = decide(&View { access: &access, ..view(&object, &observed, &scope, now) });
        if let Step::WriteStatus { status, .. } = step {
            writes += 1;
            object.status = Some(*status);
        } else {
            assert!(matches!(step, Step::Wait(Some(_))), "{step:?}");
        }
    }
    assert_eq!(writes, 2);
}

/// L1: the watches wake the object when it may be adopted. A change that they miss must not leave it behind for ever.
#[test]
fn an_object_that_isnt_taken_on_is_come_back_to() {
    for event in [Event::GroupExists(false), Event::GroupAllows(false)] {
        let mut world = never_granted(SessionState::Idle, &event, false);
        world.run_for(minutes(5));
        world.event(&Event::GroupExists(true));
        world.event(&Event::GroupAllows(true));
        world.run_for(minutes(2));
        assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, "Running", "{event:?}");
    }
}

/// S5: and goes on as soon as the grant is back.
#[test]
fn an_end_waits_while_the_grant_is_withdrawn() {
    for refusal in [Event::GroupExists(false), Event::GroupAllows(false)] {
        for asked in [Event::Delete, Event::SetTerminate] {
            let mut world = World::granted(SessionState::Idle);
            world.event(&refusal);
            world.event(&asked);
            world.run_for(minutes(30));
            assert_eq!(world.session, Some(SessionState::Idle), "{refusal:?}");
            assert_eq!(world.recorded().termination_requested_at, None);
            assert!(world.writes.len() <= 3, "{}", world.told());
            world.event(&Event::GroupExists(true));
            world.event(&Event::GroupAllows(true));
            world.run_for(minutes(3));
            assert_eq!(world.session, Some(SessionState::Terminated));
            assert_eq!(world.object.is_none(), asked == Event::Delete);
            assert_eq!(world.breach, None);
        }
    }
}

/// S5, L1: TerminateSession was called while there was a grant.
#[test]
fn an_end_under_way_is_followed_without_a_grant() {
    let mut world = World::granted(SessionState::Idle);
    world.event(&Event::Delete);
    world.run_until(world.elapsed + seconds(10), |world| world.session == Some(SessionState::Terminating));
    world.event(&Event::GroupAllows(false));
    world.run_for(seconds(15));
    assert!(world.object.is_none(), "{}", world.told());
    assert_eq!(world.breach, None);
}

/// S2, L1: the session ended by itself.
#[test]
fn without_a_grant_the_object_goes_when_its_session_ends() {
    let mut world = World::granted(SessionState::Idle);
    world.event(&Event::GroupAllows(false));
    world.event(&Event::Delete);
    world.run_for(minutes(5));
    assert!(world.object.is_some());
    world.event(&Event::Becomes(SessionState::Terminated));
    world.run_for(minutes(5));
    assert!(world.object.is_none());
    // For a session that is known to have ended no call is needed.
    let mut world = World::granted(SessionState::Terminated);
    world.event(&Event::GroupExists(false));
    world.event(&Event::Delete);
    world.forget_the_past();
    world.run_for(minutes(5));
    assert!(world.object.is_none() && world.calls.is_empty(), "{}", world.told());
}

/// S5, L1: `deletionPolicy: Retain` is the way out.
#[test]
fn a_deletion_without_a_grant_says_its_way_out_and_takes_it() {
    let mut world = World::granted(SessionState::Idle);
    world.event(&Event::GroupAllows(false));
    world.event(&Event::Delete);
    world.run_for(minutes(5));
    assert!(condition(world.recorded(), "Stalled").unwrap().message.contains("deletionPolicy: Retain"));
    world.event(&Event::SetPolicy(DeletionPolicy::Retain));
    world.pass();
    assert!(world.object.is_none());
}

// Sessions of other work groups.

/// S5, S8: the reference names a work group that the session isn't in.
#[test]
fn nothing_of_another_work_groups_session_is_told() {
    for state in states() {
        let mut world = World::bound(state.clone());
        world.around.real = "of-others";
        world.run_for(minutes(5));
        assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WrongWorkGroup", "{state}");
        // A deletion of the AthenaWorkGroup must not make the session the object's.
        for event in [Event::GroupAllows(false), Event::GroupExists(false), Event::GroupExists(true)] {
            world.event(&event);
            world.run_for(minutes(5));
        }
        assert_eq!(world.recorded().state, None, "{state}");
        assert_eq!(world.recorded().work_group, None);
        world.event(&Event::Delete);
        world.event(&Event::GroupAllows(true));
        world.run_for(minutes(5));
        assert!(world.object.is_none());
        assert_eq!((world.session, world.breach), (Some(state), None));
    }
}

/// S2: the object adopted the session, and then its reference to another work group was set.
#[test]
fn what_was_ours_is_let_go_by_its_end_only() {
    let mut world = World::with(Some(SessionState::Idle));
    world.around.real = "of-others";
    world.run_for(seconds(1));
    world.event(&Event::SetRef);
    world.event(&Event::Delete);
    world.run_for(minutes(10));
    assert!(world.object.is_some());
    assert_eq!((world.session.clone(), world.breach.clone()), (Some(SessionState::Idle), None));

    let mut world = World::with(Some(SessionState::Terminated));
    world.around.real = "of-others";
    world.run_for(seconds(1));
    world.event(&Event::SetRef);
    world.run_for(minutes(1));
    world.event(&Event::Delete);
    world.run_for(minutes(10));
    assert!(world.object.is_none(), "{}", world.told());
}

/// S2: after a restart the reference and the record name different work groups. A list of the wrong one proves nothing.
#[test]
fn a_disputed_work_group_proves_no_absence() {
    let mut object = object();
    object.status = Some(recorded_as(&SessionState::Idle));
    object.status.as_mut().unwrap().work_group = Some("of-others".to_owned());
    let access = Access { work_group: Some(crate::fixtures::WORK_GROUP.to_owned()), ..Access::default() };
    let mut observed = Observed::default();
    for second in [0, 70] {
        let missing = error(Operation::GetSession, ErrorClass::NotFoundOrInvalid);
        observed.failed(missing, at(seconds(second)), &TIMING, 1.0);
    }
    let scope = home();
    let view = View { access: &access, ..view(&object, &observed, &scope, at(seconds(71))) };
    assert_eq!(evidence(&view), Evidence::Missing(Proof::NotToBeHad));
}

// Accounts and Regions.

/// S4: the account that is recorded for the AthenaWorkGroup.
#[test]
fn nothing_is_called_in_another_account_than_the_work_groups() {
    let mut world = World::bound(SessionState::Idle);
    world.scope = elsewhere();
    world.event(&Event::Delete);
    world.run_for(minutes(10));
    assert!(world.calls.is_empty() && world.object.is_some());
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WrongAccount");
}

/// S2, S4: this process saw the session in one Region, and then a workGroupRef to another Region is set.
#[test]
fn a_reference_to_another_region_proves_and_records_nothing() {
    for restarted in [false, true] {
        let mut world = World::adopted(SessionState::Idle);
        world.around.region = Some("us-east-1");
        world.event(&Event::SetRef);
        if restarted {
            world.event(&Event::Restart);
        }
        world.run_for(minutes(5));
        world.event(&Event::Delete);
        world.run_for(minutes(30));
        assert!(world.object.is_some(), "the finalizer went while the session runs: {}", world.told());
        assert!(world.calls.is_empty(), "{}", world.told());
        assert_eq!(world.recorded().region.as_deref(), Some("eu-west-1"));
        assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WrongRegion");
    }
}

/// S5, L1: the AthenaWorkGroup is being deleted.
#[test]
fn a_work_group_that_closes_takes_nothing_new_and_serves_ends() {
    let mut world = World::bound(SessionState::Idle);
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.event(&Event::GroupCloses(true));
    world.run_for(minutes(5));
    assert!(world.calls.is_empty());
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WorkGroupTerminating");
    let mut world = World::granted(SessionState::Idle);
    world.event(&Event::GroupCloses(true));
    world.event(&Event::Delete);
    world.run_for(minutes(1));
    assert_eq!((world.object.is_none(), world.session), (true, Some(SessionState::Terminated)));
}

/// S5: with --require-work-group.
#[test]
fn without_a_required_reference_athena_isnt_asked() {
    let mut world = World::with(Some(SessionState::Idle));
    world.object.as_mut().unwrap().metadata.finalizers = None;
    world.event(&Event::RefIsRequired(true));
    world.run_for(Duration::from_secs(600));
    assert_eq!((world.calls.len(), world.writes.len()), (0, 1));
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().reason, "WorkGroupRequired");
    world.event(&Event::SetRef);
    world.run_for(seconds(5));
    assert_eq!(condition(world.recorded(), "Ready").unwrap().reason, "Running");
}

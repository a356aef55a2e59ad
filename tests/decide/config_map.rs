//! `spec.publishTo`: the ConfigMap exists while the session takes calculations, and never holds up an end.

use crate::core::{Operation, SessionState};
use crate::fixtures::{REGION, SESSION, WORK_GROUP, condition, minutes, seconds};
use crate::world::{Event, NOBODY, Webhook, World, reason};

/// Whether the operator has written or removed the ConfigMap.
fn is_written(world: &World) -> bool {
    let told = world.told();
    told.contains("WriteConfigMap") || told.contains("DeleteConfigMap")
}

#[test]
fn a_session_is_published_with_one_read_and_one_write() {
    let mut world = World::publishing(SessionState::Creating);
    world.run_for(minutes(1));
    assert!(world.objects.config_map.is_none(), "the session isn't up yet");
    assert!(!world.told().contains("ConfigMap"), "{}", world.told());
    world.event(&Event::Becomes(SessionState::Idle));
    world.run_for(seconds(10));
    let (owner, data) = world.objects.config_map.clone().unwrap();
    assert_eq!(owner, "uid-1");
    let said: Vec<_> = data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(said, [("ATHENA_SESSION_ID", SESSION), ("ATHENA_WORK_GROUP", WORK_GROUP), ("AWS_REGION", REGION)]);
    assert_eq!(reason(&world), "Running");
    world.forget_the_past();
    world.run_for(minutes(4));
    assert!(!world.told().contains("ConfigMap"), "{}", world.told());
}

#[test]
fn without_publish_to_nothing_is_asked() {
    let mut world = World::adopted(SessionState::Idle);
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    assert!(!world.told().contains("ConfigMap"), "{}", world.told());
}

#[test]
fn the_config_map_goes_before_the_session_is_ended() {
    for event in [Event::Delete, Event::SetTerminate] {
        let mut world = World::publishing(SessionState::Busy);
        world.run_for(minutes(1));
        assert!(world.objects.config_map.is_some());
        world.forget_the_past();
        world.event(&event);
        world.run_for(minutes(1));
        let told = world.told();
        assert!(told.find("DeleteConfigMap").unwrap() < told.find("TerminateSession").unwrap(), "{told}");
        assert!(world.objects.config_map.is_none() && world.session.as_ref().unwrap().is_ended());
    }
}

#[test]
fn the_config_map_goes_when_the_session_ends_by_itself() {
    for state in [SessionState::Terminating, SessionState::Terminated, SessionState::Failed] {
        let mut world = World::publishing(SessionState::Idle);
        world.run_for(minutes(1));
        world.event(&Event::Restart);
        world.event(&Event::Becomes(state.clone()));
        world.run_for(minutes(5));
        assert!(world.objects.config_map.is_none(), "{state}");
    }
}

#[test]
fn a_foreign_config_map_is_neither_written_nor_removed() {
    let mut world = World::publishing(SessionState::Idle);
    world.meddle(Some(("uid-of-another", "mine")));
    let before = world.objects.config_map.clone();
    world.run_for(minutes(10));
    assert_eq!(reason(&world), "PublishConflict");
    assert_eq!(
        condition(world.recorded(), "Active").unwrap().status,
        "True",
        "the session takes calculations all the same"
    );
    assert_eq!(condition(world.recorded(), "Stalled").unwrap().status, "True");
    let looks = world.told().matches("GetConfigMap").count();
    assert!((5..=12).contains(&looks), "{looks} looks in ten minutes");
    world.event(&Event::SetTerminate);
    world.run_for(minutes(5));
    assert_eq!(world.objects.config_map, before);
    assert_eq!(reason(&world), "Ended");
    assert!(!is_written(&world), "{}", world.told());
}

/// L2: otherwise the operator and a webhook of the cluster would undo each other's writes for ever.
#[test]
fn what_a_webhook_changes_is_written_once() {
    for webhook in [Webhook::TakesMarks, Webhook::AddsData] {
        let mut world = World::publishing(SessionState::Idle);
        world.objects.webhook = Some(webhook);
        world.run_for(minutes(60));
        assert_eq!(world.breach, None, "{webhook:?}");
        let told = world.told();
        assert_eq!(told.matches("WriteConfigMap").count(), 1, "{webhook:?}: {told}");
        // A change by somebody else is set right all the same.
        world.meddle(Some(("uid-1", "another")));
        world.run_for(minutes(60));
        assert_eq!(world.told().matches("WriteConfigMap").count(), 2, "{webhook:?}");
        assert_eq!(world.objects.config_map.as_ref().unwrap().1["ATHENA_SESSION_ID"], SESSION);
        world.event(&Event::SetTerminate);
        world.run_for(minutes(2));
        assert!(world.objects.config_map.is_none() && world.session.as_ref().unwrap().is_ended(), "{webhook:?}");
    }
}

/// The object was deleted with `--cascade=orphan`, for example, and created anew.
#[test]
fn a_config_map_that_lost_its_owner_is_taken_over_or_removed() {
    for said in [SESSION, "of-the-past"] {
        let mut world = World::publishing(SessionState::Idle);
        world.meddle(Some((NOBODY, said)));
        world.run_for(minutes(2));
        let (owner, data) = world.objects.config_map.clone().unwrap();
        assert_eq!((owner.as_str(), data["ATHENA_SESSION_ID"].as_str()), ("uid-1", SESSION));
        assert_eq!(reason(&world), "Running");
        world.forget_the_past();
        world.run_for(minutes(4));
        assert!(!is_written(&world), "written once: {}", world.told());
        world.meddle(Some((NOBODY, said)));
        world.event(&Event::SetTerminate);
        world.run_for(minutes(2));
        assert!(world.objects.config_map.is_none() && world.session.as_ref().unwrap().is_ended());
    }
}

#[test]
fn a_conflict_that_is_set_right_is_noticed() {
    let mut world = World::publishing(SessionState::Idle);
    world.meddle(Some(("uid-of-another", "mine")));
    world.run_for(minutes(2));
    world.meddle(None);
    world.run_for(minutes(4));
    assert_eq!(reason(&world), "Running");
    assert!(world.objects.config_map.is_some());
}

#[test]
fn changes_by_others_are_set_right_in_time() {
    for meddled in [None, Some(("uid-1", "another"))] {
        let mut world = World::publishing(SessionState::Idle);
        world.run_for(minutes(1));
        let right = world.objects.config_map.clone();
        world.meddle(meddled);
        world.run_for(minutes(8));
        assert_eq!(world.objects.config_map, right);
    }
}

/// L1: no request about a ConfigMap is needed for an end.
#[test]
fn an_api_server_that_refuses_or_is_silent_holds_up_no_end() {
    for is_forbidden in [true, false] {
        for was_published in [true, false] {
            let mut world = World::publishing(SessionState::Idle);
            world.objects.is_forbidden = is_forbidden && !was_published;
            world.objects.is_silent = !is_forbidden && !was_published;
            world.run_for(minutes(3));
            let expected = if is_forbidden && !was_published { "PublishForbidden" } else { "Running" };
            assert_eq!(reason(&world), expected);
            world.objects.is_forbidden = is_forbidden;
            world.objects.is_silent = !is_forbidden;
            world.forget_the_past();
            world.event(&Event::Delete);
            world.run_for(seconds(20));
            assert!(world.object.is_none(), "the end is held up: {}", world.told());
            assert_eq!(world.count(Operation::TerminateSession), 1);
        }
    }
}

/// L2: back-off.
#[test]
fn a_removal_that_goes_on_failing_is_rarely_tried() {
    let mut world = World::publishing(SessionState::Idle);
    world.run_for(minutes(1));
    world.objects.is_forbidden = true;
    world.event(&Event::SetTerminate);
    world.run_for(minutes(10));
    world.forget_the_past();
    world.run_for(minutes(60));
    let tries = world.told().matches("GetConfigMap").count();
    assert!((1..=15).contains(&tries), "{tries}: {}", world.told());
}

/// S7: a forged record isn't published.
#[test]
fn what_is_published_was_seen_from_athena() {
    use crate::world::Forgery;
    let mut world = World::publishing(SessionState::Idle);
    world.event(&Event::Forge(Forgery::OtherWorkGroup));
    world.run_for(minutes(2));
    let (_, data) = world.objects.config_map.clone().unwrap();
    assert_eq!(data["ATHENA_WORK_GROUP"], WORK_GROUP);
}

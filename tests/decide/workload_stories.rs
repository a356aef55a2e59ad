//! Random stories of sessions with workloads (`publishTo`, `endWith`, limits, `ttlAfterEnded`). People, Athena, the API
//! server and crashes do anything, in any order:
//! - S1: no session is ended while one of its Jobs is at work and no limit is reached.
//! - S2: no object is deleted whose session runs.
//! - L1: each end that is due is reached, and the ConfigMap goes with it.
//! - L2: in the end nothing is written, and nothing is asked, any more.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::{
    AthenaSessionSpec, DeletionPolicy, PublishTo, SessionState, Suspension, WorkloadOutcome, WorkloadState,
};
use crate::fixtures::{minutes, seconds};
use crate::world::{Event, Fault, Forgery, Line, Poller, World, config, fault, job, poller, word};

#[derive(Clone, Debug)]
enum Twist {
    Line(Line),
    /// The state of a Job changes. The flag says whether the watch tells the operator.
    Job(&'static str, WorkloadState, bool),
    /// The API server refuses requests about other objects, or doesn't answer them.
    Trouble(bool, bool, bool),
    /// Somebody touches the ConfigMap, or removes it.
    Touch,
    Remove,
    SetTtl(Option<&'static str>),
    SetJobs(Vec<&'static str>),
    /// Sets the finalizer on, or all right again.
    Slow(u64),
}

#[derive(Clone, Debug)]
struct Story {
    starts: bool,
    jobs: Vec<&'static str>,
    ttl: Option<&'static str>,
    faults: Vec<Fault>,
    poller: Poller,
    twists: Vec<Twist>,
}

fn some_time() -> impl Strategy<Value = Option<Duration>> {
    prop::sample::select(vec![None, None, Some(seconds(20)), Some(minutes(2)), Some(minutes(10)), Some(minutes(60))])
}

fn event() -> impl Strategy<Value = Event> {
    use Forgery::*;
    let states =
        [SessionState::Idle, SessionState::Busy, SessionState::Idle, SessionState::Busy, SessionState::Degraded];
    let forgeries = [EndRequested, EndRequestedInTheFuture, Ended, OtherWorkGroup];
    let suspensions = [None, Some(Suspension::ReadOnly), Some(Suspension::ObjectPaused)];
    prop_oneof![
        1 => Just(Event::Delete),
        1 => Just(Event::SetTerminate),
        1 => Just(Event::SetPolicy(DeletionPolicy::Retain)),
        2 => some_time().prop_map(Event::SetGrace),
        2 => some_time().prop_map(Event::SetLifetime),
        2 => some_time().prop_map(Event::SetIdle),
        8 => prop::sample::select(states.to_vec()).prop_map(Event::Becomes),
        1 => Just(Event::Becomes(SessionState::Terminated)),
        2 => Just(Event::Restart),
        1 => prop::sample::select(forgeries.to_vec()).prop_map(Event::Forge),
        2 => (1..4u8, any::<bool>()).prop_map(|(requests, late)| Event::ApiServerFails { requests, late }),
        1 => any::<bool>().prop_map(Event::GroupAllows),
        1 => prop::sample::select(suspensions.to_vec()).prop_map(Event::Suspension),
    ]
}

fn state() -> impl Strategy<Value = WorkloadState> {
    let uid = prop::sample::select(vec!["job-1", "job-2"]);
    (uid, 0..5u8).prop_map(|(uid, kind)| match kind {
        0 => WorkloadState::Absent,
        4 => WorkloadState::Suspended { uid: uid.to_owned() },
        1 => WorkloadState::Finished { uid: uid.to_owned(), outcome: WorkloadOutcome::Completed, at: None },
        _ => WorkloadState::Unfinished { uid: uid.to_owned() },
    })
}

fn jobs() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::select(vec![vec![], vec!["one"], vec!["one"], vec!["one", "two"], vec!["two"]])
}

fn twist() -> impl Strategy<Value = Twist> {
    let long = prop_oneof![Just(1), Just(10), Just(19), Just(31), Just(70), Just(400)].prop_map(seconds);
    let ttls = vec![None, Some("1m"), Some("20m"), Some("24h")];
    prop_oneof![
        8 => long.prop_map(|long| Twist::Line(Line::Run(long))),
        4 => (1..9u8, event()).prop_map(|(steps, event)| Twist::Line(Line::Ambush(steps, event))),
        5 => event().prop_map(|event| Twist::Line(Line::Event(event))),
        1 => any::<bool>().prop_map(|frozen| Twist::Line(Line::Freeze(frozen))),
        6 => (prop::sample::select(vec!["one", "two"]), state(), any::<bool>())
            .prop_map(|(name, state, told)| Twist::Job(name, state, told)),
        1 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(one, two, three)| Twist::Trouble(one, two, three)),
        1 => Just(Twist::Touch),
        1 => Just(Twist::Remove),
        1 => prop::sample::select(ttls).prop_map(Twist::SetTtl),
        1 => jobs().prop_map(Twist::SetJobs),
        1 => prop::sample::select(vec![0, 0, 300, 2000]).prop_map(Twist::Slow),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let parts = (
        any::<bool>(),
        jobs(),
        prop::sample::select(vec![None, None, Some("1m"), Some("20m")]),
        prop::collection::vec(fault(), 0..12),
        poller(),
        prop::collection::vec(twist(), 0..24),
    );
    parts.prop_map(|(starts, jobs, ttl, faults, poller, twists)| Story { starts, jobs, ttl, faults, poller, twists })
}

fn edit(world: &mut World, change: impl FnOnce(&mut AthenaSessionSpec)) {
    if let Some(object) = &mut world.object {
        change(&mut object.spec);
        // This event changes nothing else, and stores the object.
        let policy = object.spec.deletion_policy;
        world.event(&Event::SetPolicy(policy));
    }
}

fn live(world: &mut World, twist: &Twist) {
    match twist {
        Twist::Line(line) => world.live(line),
        Twist::Job(name, state, told) => world.job_becomes(name, state.clone(), *told),
        Twist::Trouble(forbidden, silent, writes) => {
            world.objects.is_forbidden = *forbidden;
            world.objects.is_silent = *silent;
            world.objects.writes_fail = *writes;
        }
        Twist::Touch => {
            if let Some((owner, data)) = world.objects.config_map.clone() {
                world.meddle(Some((owner.as_str(), data["ATHENA_SESSION_ID"].as_str())));
            }
        }
        Twist::Remove => world.meddle(None),
        Twist::SetTtl(ttl) => edit(world, |spec| spec.ttl_after_ended = ttl.map(str::to_owned)),
        Twist::SetJobs(jobs) => edit(world, |spec| spec.end_with = jobs.iter().map(|name| job(name)).collect()),
        Twist::Slow(millis) => world.objects.slow = Duration::from_millis(*millis),
    }
}

fn told(story: &Story) -> World {
    let mut world = if story.starts { World::starting() } else { World::bound(SessionState::Idle) };
    world.objects.looked = Some((Duration::ZERO, Vec::new()));
    let spec = &mut world.object.as_mut().unwrap().spec;
    spec.publish_to = Some(PublishTo { config_map_name: "nightly".to_owned() });
    spec.end_with = story.jobs.iter().map(|name| job(name)).collect();
    spec.ttl_after_ended = story.ttl.map(str::to_owned);
    world.faults = story.faults.iter().copied().collect();
    world.around.poller = story.poller;
    for twist in &story.twists {
        live(&mut world, twist);
        if world.breach.is_some() {
            break;
        }
    }
    world
}

fn heal(world: &mut World) {
    world.calm(&[]);
    live(world, &Twist::Trouble(false, false, false));
    world.objects.slow = Duration::ZERO;
    if matches!(world.session, Some(SessionState::Creating)) {
        world.event(&Event::Becomes(SessionState::Idle));
    }
    for event in [Event::GroupAllows(true), Event::Suspension(None)] {
        world.event(&event);
    }
    world.run_for(minutes(12));
}

fn writes_of_objects(world: &World) -> usize {
    let is_write = |it: &String| ["WriteConfigMap", "DeleteConfigMap", "DeleteObject"].contains(&it.as_str());
    world.steps.iter().map(word).filter(is_write).count()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sessions_go_with_their_workloads_and_nothing_stays(story in story()) {
        let mut world = told(&story);
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        heal(&mut world);
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        // All is calm: the session is published exactly as long as it is active.
        let asked = world.object.as_ref().is_none_or(|object| {
            object.spec.terminate || object.metadata.deletion_timestamp.is_some()
        });
        let is_up = matches!(world.session, Some(SessionState::Idle | SessionState::Busy));
        let ours = |world: &World| world.objects.config_map.as_ref().is_some_and(|(owner, _)| owner == "uid-1");
        if is_up && !asked && world.object.as_ref().is_some_and(|object| world.is_ours(object)) {
            let active = crate::fixtures::condition(world.recorded(), "Active").is_some_and(|it| it.status == "True");
            prop_assert!(active == ours(&world), "published: {}\n{:?}\n{}", ours(&world), world.object, world.told());
        }
        // Each Job finishes.
        for name in ["one", "two"] {
            world.job_becomes(name, WorkloadState::Unfinished { uid: "last".to_owned() }, true);
        }
        world.run_for(minutes(3));
        for name in ["one", "two"] {
            let outcome = WorkloadOutcome::Completed;
            world.job_becomes(name, WorkloadState::Finished { uid: "last".to_owned(), outcome, at: None }, true);
        }
        let is_due = world.object.as_ref().is_some_and(|object| {
            let ours = world.is_ours(object);
            ours && (!object.spec.end_with.is_empty() || object.spec.terminate || object.spec.max_lifetime.is_some())
        });
        world.run_for(minutes(130));
        prop_assert!(world.breach.is_none(), "{:?}\n{}", world.breach, world.told());
        prop_assert!(!(is_due && world.session_runs()), "L1: the session runs: {:?}\n{}", world.object, world.told());
        if world.object.is_some() && !world.session_runs() {
            prop_assert!(!ours(&world), "published after the end: {:?}\n{}", world.object, world.told());
        }
        let is_deleted = world.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_some());
        prop_assert!(!is_deleted, "L1: the object hangs: {:?}\n{}", world.object, world.told());
        world.forget_the_past();
        world.run_for(minutes(30));
        prop_assert!(world.writes.is_empty(), "L2: {:?}", world.writes);
        let is_starting = matches!(world.session, Some(SessionState::Creating | SessionState::Created));
        prop_assert!(is_starting || world.steps.len() < 120, "L2: {} steps of {:?}", world.steps.len(), world.session);
        let expires = world.object.as_ref().is_none_or(|object| object.spec.ttl_after_ended.is_some());
        prop_assert!(expires || writes_of_objects(&world) == 0, "L2: {}", world.told());
    }
}

//! Random stories of objects that name a session. People, Athena, the API server and crashes do anything, in any order.
//! At each step:
//! - S1, S2, S4, S5 and S8 hold ([`World::breach`]), and each pass comes to an end.
//!
//! Then all answer again, and:
//! - L1: each end that is asked for is reached, and a deleted object goes.
//! - L2: nothing is written any more, and Athena is asked no more than the polling budget allows.

use std::time::Duration;

use kube::ResourceExt;
use proptest::prelude::*;

use crate::core::{
    AthenaSessionSpec, CallerContext, DeletionPolicy, ErrorClass, FINALIZER, Operation, SessionState, Suspension,
    WorkGroupRef,
};
use crate::fixtures::{TIMING, WORK_GROUP, at, condition, elsewhere, home, minutes, seconds, spec};
use crate::world::{Event, Fault, Forgery, Line, Owner, Poller, World, config};

/// A line of a story.
#[derive(Clone, Debug)]
enum Told {
    Line(Line),
    /// The operator restarts with the credentials of another account, works for so long, and gets its own back.
    Astray(Duration),
    /// While the operator works, its credentials become those of another account for so long.
    Moved(Duration),
}

#[derive(Clone, Debug)]
struct Story {
    session: Option<SessionState>,
    terminating_for: u64,
    finalizer: bool,
    foreign_finalizer: bool,
    faults: Vec<Fault>,
    lines: Vec<Told>,
    around: Beginning,
}

/// What is around the object at first.
#[derive(Clone, Debug)]
struct Beginning {
    is_bound: bool,
    exists: bool,
    allows: bool,
    /// The session is in the AthenaWorkGroup's work group.
    is_there: bool,
    poller: Poller,
}

fn state() -> impl Strategy<Value = SessionState> {
    prop_oneof![
        prop::sample::select(SessionState::KNOWN.to_vec()),
        Just(SessionState::Unknown("HIBERNATING".to_owned())),
    ]
}

fn policy() -> impl Strategy<Value = DeletionPolicy> {
    prop_oneof![3 => Just(DeletionPolicy::Terminate), 1 => Just(DeletionPolicy::Retain)]
}

fn new_spec() -> impl Strategy<Value = AthenaSessionSpec> {
    let id = prop_oneof![3 => Just(spec().session_id), 1 => Just(Some("never-started".to_owned()))];
    let bound = prop::bool::ANY.prop_map(|bound| bound.then(|| WorkGroupRef { name: "spark".to_owned() }));
    (id, bound, policy(), prop::bool::weighted(0.2)).prop_map(
        |(session_id, work_group_ref, deletion_policy, terminate)| AthenaSessionSpec {
            session_id,
            work_group_ref,
            terminate,
            deletion_policy,
            ..AthenaSessionSpec::default()
        },
    )
}

fn poller() -> impl Strategy<Value = Poller> {
    let lag = prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(3), 1 => Just(50)].prop_map(seconds);
    prop_oneof![
        3 => lag.prop_map(|lag| Poller::Shows { lag }),
        1 => Just(Poller::Off),
        1 => Just(Poller::AskYourself),
        1 => Just(Poller::Silent),
    ]
}

fn beginning() -> impl Strategy<Value = Beginning> {
    let yes = || prop::bool::weighted(0.8);
    (any::<bool>(), yes(), yes(), yes(), poller()).prop_map(|(is_bound, exists, allows, is_there, poller)| Beginning {
        is_bound,
        exists,
        allows,
        is_there,
        poller,
    })
}

/// What people change around the object, without touching the object.
fn word() -> impl Strategy<Value = Event> {
    let suspension =
        [None, Some(Suspension::ReadOnly), Some(Suspension::ObjectPaused), Some(Suspension::WorkGroupPaused)];
    let owner = [None, None, Some(Owner { stands: true }), Some(Owner { stands: false })];
    prop_oneof![
        2 => any::<bool>().prop_map(Event::GroupExists),
        3 => any::<bool>().prop_map(Event::GroupAllows),
        1 => any::<bool>().prop_map(Event::GroupCloses),
        1 => any::<bool>().prop_map(Event::RefIsRequired),
        3 => prop::sample::select(suspension.to_vec()).prop_map(Event::Suspension),
        1 => Just(Event::SetRef),
        3 => (prop::sample::select(owner.to_vec()), any::<bool>()).prop_map(|(owner, shown)| Event::Owner(owner, shown)),
        2 => Just(Event::OwnerIsShown),
        1 => poller().prop_map(Event::Poller),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    use Forgery::*;
    let forgery = [Emptied, Ended, OtherSession, OtherWorkGroup, OtherRegion, OtherAccount, EndRequested];
    prop_oneof![
        4 => Just(Event::Delete),
        2 => Just(Event::SetTerminate),
        2 => policy().prop_map(Event::SetPolicy),
        2 => new_spec().prop_map(|spec| Event::Create(Box::new(spec))),
        2 => prop::sample::select(forgery.to_vec()).prop_map(Event::Forge),
        3 => Just(Event::Restart),
        2 => state().prop_map(Event::Becomes),
        1 => Just(Event::Forgets),
        2 => (1..4u8, any::<bool>()).prop_map(|(requests, late)| Event::ApiServerFails { requests, late }),
    ]
}

fn line() -> impl Strategy<Value = Told> {
    let long = prop_oneof![Just(1), Just(5), Just(61), Just(130), Just(1000)].prop_map(seconds);
    prop_oneof![
        5 => long.clone().prop_map(|long| Told::Line(Line::Run(long))),
        3 => (1..6u8, event()).prop_map(|(steps, event)| Told::Line(Line::Ambush(steps, event))),
        2 => (1..6u8, word()).prop_map(|(steps, word)| Told::Line(Line::Ambush(steps, word))),
        4 => event().prop_map(|event| Told::Line(Line::Event(event))),
        3 => word().prop_map(|word| Told::Line(Line::Event(word))),
        2 => any::<bool>().prop_map(|frozen| Told::Line(Line::Freeze(frozen))),
        1 => long.clone().prop_map(Told::Astray),
        1 => long.prop_map(Told::Moved),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        1 => Just(Fault::CutAfter),
        1 => Just(Fault::NoEffect),
        2 => Just(Fault::Fails(ErrorClass::NotFoundOrInvalid)),
        3 => prop::sample::select(ErrorClass::ALL.to_vec()).prop_map(Fault::Fails),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let parts = (
        prop::option::weighted(0.9, state()),
        prop::sample::select(vec![0, 5, 90, 1200]),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.1),
        prop::collection::vec(fault(), 0..24),
        prop::collection::vec(line(), 0..16),
        beginning(),
    );
    parts.prop_map(|(session, terminating_for, finalizer, foreign_finalizer, faults, lines, around)| Story {
        session,
        terminating_for,
        finalizer,
        foreign_finalizer,
        faults,
        lines,
        around,
    })
}

fn told(story: &Story) -> World {
    let mut world = World::with(story.session.as_ref().map(|_| SessionState::Idle));
    world.terminating_for = Some(seconds(story.terminating_for));
    if let Some(state) = &story.session {
        world.event(&Event::Becomes(state.clone()));
    }
    world.faults = story.faults.iter().copied().collect();
    let Beginning { is_bound, exists, allows, is_there, poller } = story.around;
    let is_granted = !is_bound || exists && allows;
    let real = if is_there { WORK_GROUP } else { "of-others" };
    let around = &mut world.around;
    (around.exists, around.allows, around.real, around.poller) = (exists, allows, real, poller);
    around.was_granted = story.finalizer && is_granted;
    if is_bound {
        world.event(&Event::SetRef);
    }
    // Without a grant only the author himself can have added the finalizer.
    world.observed.adopted_here = world.around.was_granted;
    if let Some(object) = &mut world.object {
        let ours = story.finalizer.then(|| FINALIZER.to_owned());
        let foreign = story.foreign_finalizer.then(|| "example.com/other".to_owned());
        object.metadata.finalizers = Some(foreign.into_iter().chain(ours).collect());
    }
    for line in &story.lines {
        match line {
            Told::Line(line) => world.live(line),
            Told::Astray(long) => {
                // An absence counts only in an account that was recorded.
                if knows_account(&world) {
                    world.event(&Event::Restart);
                    world.scope = elsewhere();
                    world.run_for(*long);
                    world.event(&Event::Restart);
                    world.scope = home();
                }
            }
            Told::Moved(long) => {
                if knows_account(&world) {
                    for (scope, long) in [(elsewhere(), *long), (home(), Duration::ZERO)] {
                        let now = Some(at(world.elapsed).tick);
                        world.scope = CallerContext { confirmed_at: now, since: now, ..scope };
                        world.run_for(long);
                    }
                }
            }
        }
        if world.breach.is_some() {
            break;
        }
    }
    world
}

/// Whether the account of the session was recorded. An absence counts only in a recorded account.
fn knows_account(world: &World) -> bool {
    let recorded = world.object.as_ref().and_then(|object| object.status.as_ref());
    recorded.is_some_and(|it| it.account_id == recorded_account()) && world.ambush.is_empty()
}

fn recorded_account() -> Option<String> {
    Some(crate::fixtures::HOME.to_owned())
}

/// All answer again, and the record names the right account and Region.
fn heal(world: &mut World) {
    world.calm(&[
        Event::GroupExists(true),
        Event::GroupAllows(true),
        Event::GroupCloses(false),
        Event::RefIsRequired(false),
        Event::Suspension(None),
        Event::Owner(None, true),
    ]);
    let real = world.around.real;
    if let Some(status) = world.object.as_mut().and_then(|object| object.status.as_mut()) {
        let right = crate::fixtures::recorded_as(&SessionState::Idle);
        status.region = status.region.take().and(right.region);
        status.account_id = status.account_id.take().and(right.account_id);
        status.work_group = status.work_group.take().map(|_| real.to_owned());
        if status.work_group.is_none() || status.account_id.is_none() {
            // Athena never shows a session without its work group, so this state is forged.
            status.state = None;
        }
    }
}

/// Whether the object is settled, as L1 promises.
fn is_settled(world: &World) -> bool {
    let Some(object) = &world.object else { return true };
    let ours = object.finalizers().iter().any(|name| name == FINALIZER);
    let is_foreign = object.spec.work_group_ref.is_some() && world.around.real != WORK_GROUP;
    let recorded = object.status.as_ref().and_then(|status| status.work_group.as_deref());
    if object.metadata.deletion_timestamp.is_some() {
        // An object whose reference was set to another work group than its session's waits. Retain is the way out.
        return !ours || is_foreign && recorded == Some(world.around.real);
    }
    if !ours {
        return false;
    }
    let Some(status) = &object.status else { return false };
    let never_there = world.session.is_none() || object.spec.session_id != spec().session_id;
    let is_true = |type_| condition(status, type_).is_some_and(|condition| condition.status == "True");
    !object.spec.terminate || is_true("Terminated") || (never_there || is_foreign) && is_true("Stalled")
}

fn object_is_bound_to_it(world: &World) -> bool {
    world.object.as_ref().is_some_and(|object| object.spec.session_id == spec().session_id)
}

/// How long the end may take: the longest retry, the confirmation of an absence, an accepted call without effect, and
/// the end itself, one after the other.
fn patience(story: &Story) -> Duration {
    TIMING.backoff_max
        + TIMING.confirm_absence * 2
        + TIMING.terminate_again * 2
        + TIMING.steady * 4
        + seconds(story.terminating_for)
        + minutes(20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..config() })]

    #[test]
    fn safety_and_liveness_hold_whatever_happens(story in story()) {
        let mut world = told(&story);
        prop_assert_eq!(&world.breach, &None, "{}", world.told());

        heal(&mut world);
        world.forget_the_past();
        let until = world.elapsed + patience(&story);
        let settled = world.run_until(until, is_settled);
        prop_assert_eq!(&world.breach, &None, "{}", world.told());
        prop_assert!(settled, "L1: {:#?}\n{:?}\n{}", world.object, world.session, world.told());
        prop_assert!(world.writes.len() <= 6, "{} writes to settle: {}", world.writes.len(), world.told());
        if world.object.as_ref().is_none_or(|object| object.metadata.deletion_timestamp.is_some()) {
            prop_assert!(world.count(Operation::TerminateSession) <= 1 + usize::from(story.terminating_for > 60));
        }

        // An end whose beginning isn't recorded counts as overdue from when the operator sees it.
        world.run_for(TIMING.overdue + seconds(story.terminating_for) + minutes(5));
        world.forget_the_past();
        world.run_for(minutes(5));
        prop_assert_eq!(&world.breach, &None);
        prop_assert!(world.writes.is_empty(), "L2: {:#?}", world.writes);
        let fast = matches!(world.session, Some(SessionState::Creating | SessionState::Created | SessionState::Terminating));
        let is_shown = matches!(world.around.poller, Poller::Shows { .. });
        if is_shown && world.session.as_ref().is_some_and(|state| !state.is_ended()) && object_is_bound_to_it(&world) {
            prop_assert!(world.calls.is_empty(), "the poller shows it: {}", world.told());
        }
        let budget = minutes(5).as_secs() / if fast { TIMING.changing } else { TIMING.steady }.as_secs() + 1;
        prop_assert!(world.calls.len() as u64 <= budget, "{} calls: {}", world.calls.len(), world.told());
    }

    /// L2: without faults a deletion takes two writes and one call, whatever state the session is in.
    #[test]
    fn an_undisturbed_deletion_takes_two_writes_and_one_call(
        state in state(), terminating_for in 0..600u64, known_for in 0..200u64,
    ) {
        let mut world = World::with(Some(SessionState::Idle));
        world.terminating_for = Some(seconds(terminating_for));
        world.event(&Event::Becomes(state));
        world.run_for(seconds(known_for) + Duration::from_millis(500));
        let was = world.session.clone().unwrap();
        world.forget_the_past();
        world.event(&Event::Delete);
        let until = world.elapsed + seconds(terminating_for) + minutes(2);
        let gone = world.run_until(until, |world| world.object.is_none());
        prop_assert_eq!(&world.breach, &None);
        prop_assert!(gone, "{}", world.told());
        let calls = world.count(Operation::TerminateSession);
        prop_assert_eq!(calls, usize::from(!was.is_ended() && was != SessionState::Terminating));
        prop_assert!(world.writes.len() <= 2, "{}", world.told());
    }
}

//! S2, S3, S7: what a complete list of the work group proves to an object. Other objects may have asked for the same
//! list before.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::{
    CallerContext, ErrorClass, ListAnswer, ListRequest, Observed, Operation, SessionStart, SessionState, Shown, Sought,
    Step,
};
use crate::fixtures::{
    CLUSTER, SESSION, TIMING, WORK_GROUP, at, error, home, lacking, minutes, object, seconds, status,
};
use crate::world::{Event, Fault, Forgery, World, config, reason};

/// The object asks for a complete list, to find its session by the marker.
fn wanted() -> ListRequest {
    let sought = Sought::Mark { cluster: CLUSTER.to_owned(), uid: "uid-1".to_owned() };
    ListRequest { work_group: WORK_GROUP.to_owned(), sought, since: None, after: None, is_pressing: true }
}

#[derive(Clone, Debug)]
enum What {
    /// StartSession is called, and fails with this error so many seconds later.
    Call(ErrorClass, u64),
    /// The operator restarts, and finds the object.
    Restart,
    /// A list comes that began so many seconds ago, and doesn't show the marker.
    List(u64),
    /// Another account answers from now on.
    Moves,
}

fn what() -> impl Strategy<Value = What> {
    let class = prop::sample::select(vec![ErrorClass::Unavailable, ErrorClass::AlreadyStarted]);
    prop_oneof![
        2 => (class, 0..12u64).prop_map(|(class, takes)| What::Call(class, takes)),
        1 => Just(What::Restart),
        1 => Just(What::Moves),
        6 => prop_oneof![0..5u64, 0..200u64].prop_map(What::List),
    ]
}

/// The object as an earlier process left it.
fn found(observed: &mut Observed, scope: &CallerContext, now: Duration) {
    let mut object = object();
    (object.spec.session_id, object.spec.start) = (None, Some(SessionStart::default()));
    observed.found(&object, scope, at(now));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_list_begun_before_the_last_call_proves_nothing(
        story in prop::collection::vec((0..100u64, what()), 0..20)
    ) {
        // Later than the oldest possible list began.
        let (mut now, mut scope) = (seconds(1_000), home());
        let mut observed = Observed::default();
        found(&mut observed, &scope, now);
        let mut proven_from = now;
        let mut proofs: Vec<Duration> = Vec::new();
        for (gap, what) in story {
            now += seconds(gap);
            found(&mut observed, &scope, now);
            match what {
                What::Call(class, takes) => {
                    observed.starting(at(now));
                    now += seconds(takes);
                    observed.failed(error(Operation::StartSession, class), at(now), &TIMING, 1.0);
                    proven_from = now;
                    proofs.clear();
                }
                What::Restart => {
                    observed = Observed::default();
                    found(&mut observed, &scope, now);
                    proven_from = now;
                    proofs.clear();
                }
                What::List(age) => {
                    let began = now - seconds(age);
                    observed.listed(&wanted(), lacking(at(began), at(now)), &scope, at(now), &TIMING);
                    if began >= proven_from && scope.since.is_none_or(|since| at(began).tick >= since) {
                        proofs.push(began);
                    }
                }
                What::Moves => {
                    scope.since = Some(at(now).tick);
                    found(&mut observed, &scope, now);
                    // A list of exactly this moment counts as one of the new account.
                    if proofs.first().is_some_and(|first| *first < now) {
                        proofs.clear();
                    }
                }
            }
            let unlisted = observed.start.unlisted;
            prop_assert_eq!(unlisted.is_some(), !proofs.is_empty(), "{:?}", proofs);
            if let Some((first, last)) = unlisted {
                prop_assert!(at(proven_from).tick <= first && first <= last);
                prop_assert!(proofs.iter().any(|began| at(*began).tick == last));
            }
            let first = proofs.first().copied().unwrap_or_default();
            let are_apart = proofs.iter().any(|began| *began >= first + TIMING.between_proving_lists());
            prop_assert_eq!(observed.is_unstarted(), are_apart, "{:?}", proofs);
        }
    }
}

/// S3: a list is under way when the object asks. The object waits for the next one.
#[test]
fn an_object_waits_for_a_list_that_began_after_its_last_call() {
    let mut world = World::starting();
    world.starts.list_age = seconds(30);
    world.faults.push_back(Fault::Late);
    world.run_for(seconds(25));
    assert_eq!(world.count(Operation::StartSession), 1, "{}", world.told());
    assert!(world.observed.start.unlisted.is_none());
    world.run_for(minutes(3));
    assert_eq!(world.recorded().session_id.as_deref(), Some(SESSION));
    assert_eq!((world.breach.as_deref(), world.starts.started_by.as_deref()), (None, Some("uid-1")));
}

/// S2, L1: however old the lists are.
#[test]
fn a_deleted_object_goes_after_two_lists_a_quiet_time_apart() {
    for age in [0, 5, 40] {
        let mut world = World::starting();
        world.starts.list_age = seconds(age);
        world.event(&Event::Restart);
        world.event(&Event::Delete);
        let quiet = TIMING.between_proving_lists();
        world.run_for(quiet);
        assert!(world.object.is_some(), "age {age}: the object went within the quiet time: {}", world.told());
        assert!(world.run_until(quiet * 4, |world| world.object.is_none()), "age {age}: {}", world.told());
        assert_eq!(world.count(Operation::ListSessions), 2, "age {age}");
        assert_eq!(world.breach, None);
    }
}

/// An object that waits for a list writes its status, and keeps its other waits.
#[test]
fn an_object_that_waits_for_a_list_says_where_it_stands() {
    let mut world = World::starting();
    world.starts.list_age = minutes(60);
    world.event(&Event::Restart);
    world.event(&Event::Delete);
    world.run_for(minutes(5));
    let asks = world.steps.iter().filter(|step| matches!(step, Step::ListSessions { .. })).count();
    assert!((1..=10).contains(&asks), "{asks}");
    assert_eq!(reason(&world), "Terminating");
    assert_eq!((world.writes.len(), world.count(Operation::ListSessions)), (1, 0));
}

/// S4: a marker on any list shows the object's session, unless the list is of another account.
#[test]
fn a_mark_from_another_account_counts_for_nothing() {
    for (since, is_ours) in [(None, true), (Some(90), true), (Some(110), false)] {
        let scope = CallerContext { since: since.map(|since| at(seconds(since)).tick), ..home() };
        let mut observed = Observed::default();
        found(&mut observed, &scope, seconds(1));
        let shown = Shown { id: SESSION.to_owned(), status: status(&SessionState::Idle), at: at(seconds(100)).tick };
        observed.listed(&wanted(), ListAnswer::Shown(shown), &scope, at(seconds(120)), &TIMING);
        assert_eq!(observed.start.id.is_some(), is_ours, "{since:?}");
    }
}

/// S7, L2: this process has added the finalizer and hasn't called StartSession, so no list has to prove anything. The
/// recorded session was forged, and AWS denies the calls that would show whose it is.
#[test]
fn a_forged_session_that_may_not_be_read_has_few_lists_made() {
    let mut world = World::starting();
    world.event(&Event::QuotaExceeded(true));
    world.run_for(minutes(1));
    world.outages.push((Operation::GetSession, ErrorClass::Denied));
    world.event(&Event::Forge(Forgery::OtherSession));
    world.forget_the_past();
    world.run_for(minutes(60));
    assert!(world.count(Operation::ListSessions) <= 13, "{} lists", world.count(Operation::ListSessions));
    assert_eq!((world.starts.requests.len(), &world.breach), (0, &None));
}

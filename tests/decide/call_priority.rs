//! The priority of calls to Athena, and how often calls are made for ids that Athena doesn't know.

use crate::core::{
    Access, AthenaSession, ErrorClass, Interest, Observed, Operation, Priority, SessionState, Step, View, decide,
    interest, priority,
};
use crate::fixtures::{WORK_GROUP, at, error, home, object, recorded_as, seconds, status, time, view};

fn unknown_since(second: u64) -> Observed {
    let mut observed = Observed { adopted_here: true, ..Observed::default() };
    missing(&mut observed, second);
    observed
}

fn missing(observed: &mut Observed, second: u64) {
    let answer = error(Operation::GetSession, ErrorClass::NotFoundOrInvalid);
    observed.failed(answer, at(seconds(second)), &crate::fixtures::TIMING, 1.0);
}

fn shown() -> Observed {
    let mut observed = Observed::default();
    observed.session.looked(status(&SessionState::Idle), at(seconds(1)));
    observed
}

/// The priorities of this step where nobody asks for an end, where the spec does, and where the object is deleted.
fn priorities(object: &AthenaSession, observed: &Observed, step: &Step) -> [Priority; 3] {
    let (mut terminated, mut deleted) = (object.clone(), object.clone());
    terminated.spec.terminate = true;
    deleted.metadata.deletion_timestamp = Some(time(seconds(1)));
    let scope = home();
    [object, &terminated, &deleted].map(|object| priority(&view(object, observed, &scope, at(seconds(2))), step))
}

#[test]
fn an_intent_alone_makes_no_look_urgent() {
    use Priority::{Adopt, FreshLook, Poll};
    let recorded = AthenaSession { status: Some(recorded_as(&SessionState::Idle)), ..object() };
    let known = shown();
    for (what, object, observed, step, expected) in [
        ("nobody has ever seen it", object(), Observed::default(), Step::GetSession, [Adopt; 3]),
        ("Athena says that it doesn't exist", object(), unknown_since(1), Step::GetSession, [Poll; 3]),
        ("the same, of one that is recorded", recorded.clone(), unknown_since(1), Step::GetSession, [Poll; 3]),
        ("an earlier process saw it", recorded, Observed::default(), Step::GetSession, [Adopt, FreshLook, FreshLook]),
        ("this process saw it", object(), known.clone(), Step::GetSessionStatus, [Poll, FreshLook, FreshLook]),
    ] {
        assert_eq!(priorities(&object, &observed, &step), expected, "{what}");
    }
}

/// The calls in the two hours after Athena has twice denied the id, while a complete list begins each minute.
fn looks(polled: bool, lists: bool) -> usize {
    let (mut object, scope) = (object(), home());
    let access = Access { work_group: Some(WORK_GROUP.to_owned()), ..Access::default() };
    let mut observed = unknown_since(0);
    missing(&mut observed, 2);
    let mut looks = 0;
    for second in 3..2 * 3600 {
        let now = at(seconds(second));
        let listed_at = lists.then(|| at(seconds(second / 60 * 60)).tick);
        match decide(&View { access: &access, polled, listed_at, ..view(&object, &observed, &scope, now) }) {
            Step::GetSession => {
                missing(&mut observed, second);
                looks += 1;
            }
            Step::WriteStatus { status, .. } => object.status = Some(*status),
            Step::Wait(_) => {}
            step => panic!("{step:?}"),
        }
    }
    looks
}

/// L2: thousands of such ids take a few pages a minute instead of thousands of calls.
#[test]
fn one_list_answers_for_all_ids_that_athena_doesnt_know() {
    assert_eq!(looks(true, true), 1, "once an hour");
    for (polled, lists) in [(true, false), (false, true), (false, false)] {
        let looks = looks(polled, lists);
        assert!((20..=30).contains(&looks), "{looks} looks, polled: {polled}, lists: {lists}");
    }
}

/// L1: otherwise the list that shows the session after all would wake no object.
#[test]
fn the_poller_still_looks_for_an_id_that_athena_doesnt_know() {
    let interest = |object: &AthenaSession, observed: &Observed| {
        let (scope, access) = (home(), Access { work_group: Some(WORK_GROUP.to_owned()), ..Access::default() });
        interest(&View { access: &access, polled: true, ..view(object, observed, &scope, at(seconds(2))) })
    };
    let (mut never_seen, mut recorded) = (unknown_since(0), unknown_since(0));
    assert_eq!(interest(&object(), &never_seen), Some(Interest::FirstSight));
    missing(&mut never_seen, 2);
    assert_eq!(interest(&object(), &never_seen), Some(Interest::FirstSight));
    // The absence of a session that was seen has to be proven, which the poller can't do.
    missing(&mut recorded, 2);
    let object = AthenaSession { status: Some(recorded_as(&SessionState::Idle)), ..object() };
    assert_eq!(interest(&object, &recorded), None);
}

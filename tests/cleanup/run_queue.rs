//! Of many work groups whose rules are to be applied, each has its turn.

use std::time::{Duration, Instant};

use athena_session_operator::work_group::cleanup::queue::RunQueue;

/// Two work groups have a new list whenever a run of theirs ends. They ask before the others do.
#[test]
fn work_groups_whose_runs_take_long_leave_turns_to_others() {
    let (mut queue, mut now) = (RunQueue::new(2), Instant::now());
    let slow = ["slow-1", "slow-2"];
    assert!(slow.iter().all(|name| queue.begin(name, now)));
    let mut began = Vec::new();
    for run in 0..8 {
        for _ in 0..15 {
            now += Duration::from_secs(2);
            assert!(!["a", "b", "c"].iter().any(|name| queue.begin(name, now)), "two runs at once at the most");
        }
        let slow = slow[run % 2];
        queue.ended(slow);
        let begins = queue.begin(slow, now);
        for name in ["a", "b", "c"] {
            if queue.begin(name, now) {
                began.push(name);
                queue.ended(name);
            }
        }
        if !begins {
            assert!(queue.begin(slow, now), "nobody waits any more");
        }
    }
    for name in ["a", "b", "c"] {
        assert!(began.contains(&name), "{name} never has a turn: {began:?}");
    }
}

#[test]
fn one_that_asks_no_more_holds_nobody_up() {
    let (mut queue, now) = (RunQueue::new(1), Instant::now());
    assert!(queue.begin("first", now));
    assert!(!queue.begin("deleted", now) && !queue.begin("second", now));
    queue.ended("first");
    assert!(!queue.begin("second", now + Duration::from_secs(20)), "another one has waited longer");
    assert!(queue.begin("second", now + Duration::from_secs(40)));
}

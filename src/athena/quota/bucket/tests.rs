use std::collections::HashSet;

use super::*;

mod fairness;
mod simulation;

/// A namespace has a million numbers.
impl Caller for u32 {
    type Tenant = u32;

    fn tenant(&self) -> u32 {
        self / 1_000_000
    }
}

const RATE: Rate = Rate { per_second: 5.0, most: 5.0, burst: 10.0 };

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

/// A bucket without a free token, and its time.
fn empty() -> (Bucket<u32>, Instant) {
    let start = Instant::now();
    let mut bucket = Bucket::new(RATE, start);
    for who in 1_000..1_009 {
        assert!(bucket.take(&who, Priority::Poll, start), "{who}");
    }
    (bucket, start)
}

#[test]
fn a_burst_goes_at_once_and_then_calls_go_at_the_rate() {
    let (mut bucket, start) = empty();
    assert!(!bucket.take(&1, Priority::Poll, start));
    assert_eq!(bucket.depth(), 1);
    assert!(bucket.grant(at(start, 199)).is_empty());
    assert_eq!(bucket.grant(at(start, 200)), [1]);
    assert!(bucket.take(&1, Priority::Poll, at(start, 201)));
    assert!(!bucket.take(&1, Priority::Poll, at(start, 201)), "one grant let two calls through");
}

#[test]
fn the_next_moment_is_exact() {
    let (mut bucket, start) = empty();
    assert_eq!(bucket.next(start), None);
    bucket.take(&1, Priority::Poll, at(start, 50));
    let next = bucket.next(at(start, 50)).expect("one waits");
    assert!(bucket.grant(next - Duration::from_millis(1)).is_empty());
    let next = bucket.next(at(start, 60)).expect("one waits");
    assert_eq!(bucket.grant(next), [1]);
    assert_eq!(bucket.next(next), None);
}

#[test]
fn who_waits_comes_by_priority_then_by_age() {
    let (mut bucket, start) = empty();
    let asks =
        [(1, Priority::Poll), (2, Priority::Adopt), (3, Priority::End), (4, Priority::Start), (5, Priority::End)];
    for (who, priority) in asks {
        assert!(!bucket.take(&who, priority, start));
    }
    bucket.take(&6, Priority::FreshLook, start);
    // Caller 3 asks again and keeps its position. Caller 1 is urgent now, and comes before later urgent callers.
    bucket.take(&3, Priority::Poll, start);
    bucket.take(&1, Priority::End, start);
    assert_eq!(bucket.depth(), 6);
    assert_eq!(bucket.grant(at(start, 1_200)), [1, 3, 5, 6, 4, 2]);
}

#[test]
fn a_free_token_is_nobody_elses_who_comes_later_and_is_no_more_urgent() {
    let (mut bucket, start) = empty();
    bucket.take(&1, Priority::Adopt, start);
    let later = at(start, 200);
    assert!(!bucket.take(&2, Priority::Poll, later));
    assert!(!bucket.take(&3, Priority::Adopt, later));
    assert!(bucket.take(&4, Priority::End, later));
    assert!(bucket.take(&1, Priority::Adopt, at(start, 400)), "the first in the queue needs no grant");
}

#[test]
fn a_grant_that_is_not_used_goes_back() {
    let (mut bucket, start) = empty();
    for who in 0..20 {
        bucket.take(&who, Priority::Poll, start);
    }
    // No caller uses its grant, so that the bucket is full of grants.
    assert_eq!(bucket.grant(at(start, 60_000)).len(), 9);
    assert_eq!(bucket.grant(at(start, 64_000)).len(), 0);
    assert_eq!(bucket.next(at(start, 64_000)), Some(at(start, 65_000)));
    assert_eq!(bucket.grant(at(start, 65_000)).len(), 9);
    assert!(!bucket.take(&0, Priority::Poll, at(start, 65_000)), "a grant that went back was used");
    // A caller that is gone frees its token at once. A caller that came too late keeps its position.
    bucket.forget(&9);
    assert_eq!(bucket.grant(at(start, 65_001)), [0]);
    bucket.forget(&10);
    assert_eq!(bucket.grant(at(start, 65_001)), [18]);
}

#[test]
fn throttling_halves_the_rate_once_for_calls_in_flight_together_and_the_rate_recovers() {
    let (mut bucket, start) = empty();
    bucket.throttled(start);
    bucket.throttled(at(start, 900));
    assert!((bucket.rate() - 2.5).abs() < 1.2, "{}", bucket.rate());
    for event in 1..20 {
        bucket.throttled(at(start, event * 1_000));
    }
    assert!((5.0 / 16.0..0.6).contains(&bucket.rate()), "{}", bucket.rate());
    // A limit counts for a minute.
    bucket.grant(at(start, 70_000));
    assert!(bucket.rate() < 1.0, "{}", bucket.rate());
    for seconds in 80..100 {
        bucket.grant(at(start, seconds * 1_000));
    }
    assert!((bucket.rate() - 5.0).abs() < 1e-9, "{}", bucket.rate());
}

#[test]
fn after_a_throttled_call_none_is_begun_for_a_second() {
    let (mut bucket, start) = empty();
    bucket.take(&1, Priority::End, start);
    bucket.throttled(at(start, 100));
    assert!(bucket.grant(at(start, 1_000)).is_empty());
    assert_eq!(bucket.grant(at(start, 1_600)), [1]);
}

#[test]
fn throttling_takes_back_grants_and_each_caller_keeps_its_position() {
    let (mut bucket, start) = empty();
    for who in 0..4 {
        bucket.take(&who, Priority::Poll, start);
    }
    assert_eq!(bucket.grant(at(start, 400)), [0, 1]);
    bucket.throttled(at(start, 400));
    assert!(!bucket.take(&0, Priority::Poll, at(start, 401)), "a grant outlived the throttling");
    assert_eq!(bucket.depth(), 4);
    assert_eq!(bucket.grant(at(start, 5_400)), [0, 1, 2, 3]);
}

#[test]
fn only_urgent_calls_raise_the_rate_and_use_what_is_above_the_nominal_one() {
    let (rate, start) = (Rate { per_second: 5.0, most: 100.0, burst: 10.0 }, Instant::now());
    for priority in [Priority::Poll, Priority::Adopt, Priority::Start] {
        let mut bucket = Bucket::new(rate, start).drained();
        assert_eq!(calls(&mut bucket, priority, start), 1 + 5 * 20, "{priority:?}");
        assert!((bucket.rate() - 5.0).abs() < 1e-9, "{priority:?} raised it to {}", bucket.rate());
    }
    for priority in [Priority::End, Priority::FreshLook] {
        let mut bucket = Bucket::new(rate, start).drained();
        assert!(calls(&mut bucket, priority, start) > 800, "{priority:?}");
        assert!((bucket.rate() - 100.0).abs() < 1e-9, "{priority:?} raised it to {}", bucket.rate());
    }
}

/// How many calls are begun within 20 s where a hundred wait at any time.
fn calls(bucket: &mut Bucket<u32>, priority: Priority, start: Instant) -> usize {
    let mut calls = 0;
    for millis in (0..=20_000).step_by(10) {
        let now = at(start, millis);
        calls += (0..100).filter(|who| bucket.take(who, priority, now)).count();
    }
    calls
}

#[test]
fn the_rate_never_falls_below_a_call_in_ten_seconds_nor_rises_above_the_nominal_one() {
    for (per_second, least) in [(1.0, 0.1), (0.05, 0.05), (f64::NAN, 0.001), (-1.0, 0.001), (f64::INFINITY, 62_500.0)] {
        let start = Instant::now();
        let mut bucket = Bucket::<u32>::new(Rate { per_second, most: 0.0, burst: f64::NAN }, start);
        for event in 1..30 {
            bucket.throttled(at(start, event * 1_000));
        }
        assert!(bucket.rate() >= least && bucket.rate() <= per_second.max(0.001), "{per_second}: {}", bucket.rate());
        bucket.take(&1, Priority::Poll, at(start, 30_000));
        bucket.take(&2, Priority::Poll, at(start, 30_000));
        let next = bucket.next(at(start, 30_000)).unwrap_or_else(|| at(start, 30_000));
        assert!(next <= at(start, 30_000) + Duration::from_secs(1_000), "{per_second}");
    }
}

#[test]
fn thousands_at_once_stay_within_the_bucket_and_ends_come_first() {
    let start = Instant::now();
    let mut bucket = Bucket::new(RATE, start);
    let mut begun: Vec<(u32, Instant)> = Vec::new();
    for who in 0..3_000 {
        if bucket.take(&who, Priority::Adopt, start) {
            begun.push((who, start));
        }
    }
    for who in 5_000..5_050 {
        assert!(!bucket.take(&who, Priority::End, start));
    }
    while let Some(now) = bucket.next(begun.last().map_or(start, |(_, at)| *at)) {
        for who in bucket.grant(now) {
            assert!(bucket.take(&who, Priority::Poll, now));
            begun.push((who, now));
        }
    }
    assert_eq!(begun.iter().map(|(who, _)| who).collect::<HashSet<_>>().len(), 3_050);
    assert!(begun[9..59].iter().all(|(who, _)| *who >= 5_000), "ends waited behind adoptions");
    for (earlier, (_, from)) in begun.iter().enumerate() {
        for (later, (_, to)) in begun.iter().enumerate().skip(earlier).take(200) {
            let calls = (later - earlier + 1) as f64;
            assert!(calls <= 9.0 + (*to - *from).as_secs_f64() * 5.0 + 0.01, "{calls} calls in {:?}", *to - *from);
        }
    }
}

#[test]
fn a_reserved_token_is_kept_for_the_call_and_spent_once() {
    let (mut bucket, start) = empty();
    assert!(!bucket.reserve(&1, Priority::End, start), "there is none");
    assert!(!bucket.reserve(&2, Priority::End, start));
    let turn = at(start, 200);
    assert_eq!(bucket.grant(turn), [1]);
    for asked in [turn, at(start, 300)] {
        assert!(bucket.reserve(&1, Priority::End, asked), "the turn was lost by asking for it");
    }
    assert!(!bucket.take(&2, Priority::End, at(start, 399)), "somebody else took a reserved token");
    assert!(bucket.take(&1, Priority::End, at(start, 399)));
    assert!(!bucket.reserve(&1, Priority::End, at(start, 399)), "one token let two calls through");
}

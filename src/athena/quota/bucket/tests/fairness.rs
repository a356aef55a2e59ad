//! How long the callers of one namespace delay the callers of another one.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const ALL: [Priority; 5] = [Priority::End, Priority::FreshLook, Priority::Start, Priority::Adopt, Priority::Poll];
/// Of [`RATE`], the time from one token to the next.
const ONE_TOKEN: Duration = Duration::from_millis(200);
/// The namespace that behaves well.
const OURS: u32 = 77;

fn of(namespace: u32, number: u32) -> u32 {
    namespace * 1_000_000 + number
}

/// A bucket whose callers of other namespaces are so many that the next one asks as soon as one was served.
struct Flood {
    bucket: Bucket<u32>,
    now: Instant,
    /// The priority that each caller asks with.
    priorities: HashMap<u32, Priority>,
    next: u32,
}

impl Flood {
    fn new(start: Instant) -> Self {
        Self { bucket: Bucket::new(RATE, start), now: start, priorities: HashMap::new(), next: 0 }
    }

    fn ask(&mut self, namespace: u32, priority: Priority) {
        self.next += 1;
        let who = of(namespace, self.next);
        self.priorities.insert(who, priority);
        if self.bucket.take(&who, priority, self.now) {
            self.ask(namespace, priority);
        }
    }

    /// How many tokens are granted, and how long our caller waits, until it may call.
    fn until_ours(&mut self, who: u32, priority: Priority) -> (usize, Duration) {
        let asked = self.now;
        if self.bucket.take(&who, priority, self.now) {
            return (0, Duration::ZERO);
        }
        for tokens in 1..10_000 {
            self.now = self.bucket.next(self.now).expect("somebody waits");
            for served in self.bucket.grant(self.now) {
                assert!(self.bucket.take(&served, priority, self.now));
                if served == who {
                    return (tokens, self.now - asked);
                }
                self.ask(served.tenant(), self.priorities[&served]);
            }
            // An object asks again each time that it is reconciled.
            assert!(!self.bucket.take(&who, priority, self.now), "it was told to wait");
        }
        panic!("it starves");
    }
}

#[test]
fn thousands_of_one_namespace_are_one_turn_to_the_others() {
    for priority in ALL {
        let mut flood = Flood::new(Instant::now());
        (0..3_000).for_each(|_| flood.ask(1, priority));
        for others in 0..5 {
            flood.ask(2 + others, priority);
        }
        // Six namespaces wait, so ours has the seventh turn.
        let (tokens, took) = flood.until_ours(of(OURS, 0), priority);
        assert!(tokens <= 7 && took <= ONE_TOKEN * 7, "{priority:?}: {tokens} tokens, {took:?}");
        // Its next call waits no longer.
        let (tokens, _) = flood.until_ours(of(OURS, 1), priority);
        assert!(tokens <= 7, "{priority:?}: {tokens} tokens");
    }
}

#[test]
fn of_one_namespace_the_more_urgent_call_comes_first_and_then_the_older_one() {
    let (mut bucket, start) = empty();
    for (who, priority) in [(1, Priority::Poll), (2, Priority::Poll), (3, Priority::End), (4, Priority::FreshLook)] {
        assert!(!bucket.take(&of(1, who), priority, start));
    }
    let due = bucket.grant(at(start, 800));
    assert_eq!(due, [of(1, 3), of(1, 4), of(1, 1), of(1, 2)]);
}

#[test]
fn a_more_urgent_call_of_another_namespace_comes_first() {
    let (mut bucket, start) = empty();
    for who in 0..10 {
        assert!(!bucket.take(&of(1, who), Priority::Poll, start));
    }
    assert!(!bucket.take(&of(2, 0), Priority::End, start));
    assert_eq!(bucket.grant(at(start, 400)), [of(2, 0), of(1, 0)]);
}

/// Urgent calls come first, and get at least half of the tokens, but not all of them for ever.
#[test]
fn urgent_calls_of_a_namespace_leave_others_a_part_of_the_tokens() {
    let start = Instant::now();
    let mut flood = Flood::new(start);
    (0..100).for_each(|_| flood.ask(1, Priority::FreshLook));
    let mut waits = Vec::new();
    for call in 0..20 {
        waits.push(flood.until_ours(of(OURS, call), Priority::Poll).0);
    }
    assert!(waits.iter().all(|tokens| (3..=5).contains(tokens)), "{waits:?}");
}

#[test]
fn a_namespace_whose_callers_left_still_has_its_turn() {
    let (mut bucket, start) = empty();
    for who in 0..1_000 {
        bucket.take(&of(1, who), Priority::Poll, start);
        bucket.take(&of(2, who), Priority::Poll, start);
    }
    (0..999).for_each(|who| bucket.forget(&of(1, who)));
    assert_eq!(bucket.depth(), 1_001);
    let due = bucket.grant(at(start, 400));
    assert!(due.contains(&of(1, 999)), "{due:?}");
}

/// A caller that doesn't use its token blocks it for as long as a grant lives.
#[test]
fn tokens_that_a_namespace_reserves_and_never_uses_hold_up_others_for_one_grant() {
    let (mut bucket, start) = empty();
    for who in 0..1_000 {
        bucket.reserve(&of(1, who), Priority::End, start);
    }
    // All tokens of the bucket are kept for this namespace.
    let mut now = at(start, 2_000);
    assert_eq!(bucket.grant(now).len(), 9);
    let asked = now;
    assert!(!bucket.reserve(&of(OURS, 0), Priority::End, now));
    while !bucket.grant(now).contains(&of(OURS, 0)) {
        now = bucket.next(now).expect("it waits");
        assert!(now - asked <= Bucket::<u32>::GRANT_LIFE + ONE_TOKEN * 2, "it waits for {:?}", now - asked);
    }
}

#[test]
fn throttling_takes_no_turn_away() {
    let (mut bucket, start) = empty();
    for who in 0..50 {
        bucket.take(&of(1, who), Priority::Poll, start);
    }
    bucket.take(&of(2, 0), Priority::Poll, start);
    let now = at(start, 400);
    assert_eq!(bucket.grant(now), [of(1, 0), of(2, 0)]);
    bucket.throttled(now);
    assert_eq!(bucket.grant(at(start, 5_400))[..2], [of(1, 0), of(2, 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A call waits for at most one turn of each other namespace, however many calls these have.
    #[test]
    fn any_flood_delays_a_call_of_the_same_priority_by_one_turn(
        flood in prop::collection::vec((1u32..9, 1usize..400), 1..30),
        priority in prop::sample::select(ALL.to_vec()),
        calls in 1u32..20,
    ) {
        let mut flooded = Flood::new(Instant::now());
        for (namespace, callers) in &flood {
            (0..*callers).for_each(|_| flooded.ask(*namespace, priority));
        }
        let namespaces = flood.iter().map(|(namespace, _)| namespace).collect::<HashSet<_>>().len();
        for call in 0..calls {
            let (tokens, took) = flooded.until_ours(of(OURS, call), priority);
            let most = u32::try_from(namespaces).unwrap_or(u32::MAX);
            prop_assert!(tokens <= namespaces + 1, "{tokens} tokens for {namespaces} namespaces");
            prop_assert!(took <= ONE_TOKEN * 2 + ONE_TOKEN * most, "{took:?} for {namespaces} namespaces");
        }
    }

    /// A call waits for a few turns of each other namespace, also where these have more urgent calls.
    #[test]
    fn no_namespace_starves_whatever_others_wait_for(
        flood in prop::collection::vec((1u32..9, 1usize..100, prop::sample::select(ALL.to_vec())), 1..30),
        priority in prop::sample::select(ALL.to_vec()),
        calls in 1u32..20,
    ) {
        let mut flooded = Flood::new(Instant::now());
        for (namespace, callers, priority) in &flood {
            (0..*callers).for_each(|_| flooded.ask(*namespace, *priority));
        }
        let namespaces = flood.iter().map(|(namespace, ..)| namespace).collect::<HashSet<_>>().len();
        for call in 0..calls {
            let (tokens, took) = flooded.until_ours(of(OURS, call), priority);
            // Namespaces that were passed over for longer come first.
            prop_assert!(tokens <= 3 * (namespaces + 1), "{tokens} tokens for {namespaces} namespaces");
            let most = u32::try_from(3 * (namespaces + 1)).unwrap_or(u32::MAX);
            prop_assert!(took <= ONE_TOKEN * most, "{took:?} for {namespaces} namespaces");
        }
    }
}

/// An end by a limit takes a token that is reserved in one bucket, and a look by another one, where the wait is longer
/// than a grant lives.
#[test]
fn ends_that_need_a_look_first_are_made_however_many_looks_wait() {
    const ENDS: u32 = 200;
    let start = Instant::now();
    let (mut ends, mut looks) = (Bucket::new(RATE, start).drained(), Bucket::new(RATE, start).drained());
    for other in ENDS..ENDS + 100 {
        looks.take(&of(1, other), Priority::FreshLook, start);
    }
    let mut made = HashSet::new();
    let mut woken: Vec<_> = (0..ENDS).map(|who| of(1, who)).collect();
    let mut now = start;
    while made.len() < ENDS as usize {
        for who in woken.drain(..).filter(|who| !made.contains(who)).collect::<Vec<_>>() {
            if who >= of(1, ENDS) {
                looks.take(&who, Priority::FreshLook, now);
            } else if ends.reserve(&who, Priority::End, now) && looks.take(&who, Priority::FreshLook, now) {
                assert!(ends.take(&who, Priority::End, now));
                made.insert(who);
            }
        }
        now += Duration::from_millis(50);
        assert!(now - start < Duration::from_secs(120), "{} ends were made", made.len());
        woken.extend(ends.grant(now).into_iter().chain(looks.grant(now)));
    }
}

//! Buckets against a service with a token bucket of its own, on a virtual clock: what it costs to learn the rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

/// The service's own bucket.
struct Service {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Service {
    fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self { per_second, burst, tokens: burst, at: now }
    }

    fn allows(&mut self, now: Instant) -> bool {
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(self.burst);
        self.at = now;
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

/// The next events, by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A call of this client, by this caller, reaches the service.
    Arrives(usize, u32),
    /// Its answer is there.
    Answered(usize, u32, bool),
    /// The caller asks for a token.
    Asks(usize, u32),
}

/// One operator.
struct Client {
    bucket: Bucket<u32>,
    priority: Priority,
    /// When each of its calls was begun.
    begun: Vec<Instant>,
    allowed: usize,
    throttled: usize,
    last: Instant,
}

/// Operators and the service that they share.
struct Simulation {
    start: Instant,
    now: Instant,
    service: Service,
    clients: Vec<Client>,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
    random: fastrand::Rng,
    /// How long a call is on its way, there and back, in milliseconds.
    delay: std::ops::Range<u64>,
}

impl Simulation {
    fn new(per_second: f64, burst: f64, seed: u64) -> Self {
        let start = Instant::now();
        let (service, random) = (Service::new(per_second, burst, start), fastrand::Rng::with_seed(seed));
        let (clients, events) = (Vec::new(), BinaryHeap::new());
        Self { start, now: start, service, clients, events, count: 0, random, delay: 5..40 }
    }

    /// An operator with so many callers, each of which has one call to make; one that is throttled tries again.
    fn client(&mut self, bucket: Bucket<u32>, callers: u32, priority: Priority) -> usize {
        let (begun, last) = (Vec::new(), self.now);
        self.clients.push(Client { bucket, priority, begun, allowed: 0, throttled: 0, last });
        let client = self.clients.len() - 1;
        (0..callers).for_each(|who| self.at(self.now, Event::Asks(client, who)));
        client
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.count += 1;
        self.events.push(Reverse((when, self.count, event)));
    }

    fn later(&mut self, event: Event) {
        let millis = self.random.u64(self.delay.clone());
        self.at(self.now + Duration::from_millis(millis), event);
    }

    fn call(&mut self, client: usize, who: u32) {
        self.clients[client].begun.push(self.now);
        self.later(Event::Arrives(client, who));
    }

    /// Runs until nobody has a call to make any more, or so many seconds from its start.
    fn run(&mut self, seconds: f64) {
        let end = self.start + Duration::from_secs_f64(seconds);
        loop {
            let next = self.events.peek().map(|Reverse((when, ..))| *when);
            let grants = self.clients.iter().filter_map(|client| client.bucket.next(self.now)).min();
            let Some(when) = next.into_iter().chain(grants).min() else { return };
            if when > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(when);
            for client in 0..self.clients.len() {
                for who in self.clients[client].bucket.grant(self.now) {
                    let priority = self.clients[client].priority;
                    assert!(self.clients[client].bucket.take(&who, priority, self.now));
                    self.call(client, who);
                }
            }
            if self.events.peek().is_some_and(|Reverse((when, ..))| *when <= self.now) {
                let Some(Reverse((_, _, event))) = self.events.pop() else { continue };
                self.happens(event);
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Asks(client, who) => {
                let priority = self.clients[client].priority;
                if self.clients[client].bucket.take(&who, priority, self.now) {
                    self.call(client, who);
                }
            }
            Event::Arrives(client, who) => {
                let allowed = self.service.allows(self.now);
                self.later(Event::Answered(client, who, allowed));
            }
            Event::Answered(client, _, true) => {
                self.clients[client].allowed += 1;
                self.clients[client].last = self.now;
            }
            Event::Answered(client, who, false) => {
                self.clients[client].throttled += 1;
                self.clients[client].bucket.throttled(self.now);
                let back_off = Duration::from_millis(self.random.u64(500..1_000));
                self.at(self.now + back_off, Event::Asks(client, who));
            }
        }
    }

    fn took(&self, client: usize) -> f64 {
        (self.clients[client].last - self.start).as_secs_f64()
    }
}

/// As by default: 5 calls a second to begin with, 10 at once.
const FOUND: Rate = Rate { per_second: 5.0, most: 100.0, burst: 10.0 };

/// Many calls at once that may raise the rate. How long they took, and how many were throttled, at the worst.
fn found((per_second, burst): (f64, f64), calls: u32, delay: std::ops::Range<u64>) -> (f64, usize) {
    let mut worst = (0.0_f64, 0);
    for seed in 0..4 {
        let mut simulation = Simulation::new(per_second, burst, seed);
        simulation.delay = delay.clone();
        simulation.client(Bucket::new(FOUND, simulation.now).drained(), calls, Priority::End);
        simulation.run(100_000.0);
        let client = &simulation.clients[0];
        assert_eq!(client.allowed, calls as usize);
        worst = (worst.0.max(simulation.took(0)), worst.1.max(client.throttled));
    }
    worst
}

#[test]
fn what_a_service_allows_is_found_in_seconds_and_by_few_throttled_calls() {
    const NO_LIMIT: (f64, f64) = (1e6, 1e6);
    for (service, calls, most_seconds, most_throttled) in [
        (NO_LIMIT, 1_000, 25.0, 0),
        ((20.0, 40.0), 600, 1.25 * 28.0, 12),
        ((20.0, 40.0), 3_000, 1.1 * 148.0, 30),
        ((20.0, 200.0), 1_000, 1.2 * 40.0, 20),
        ((5.0, 10.0), 300, 1.06 * 58.0, 6),
        ((5.0, 200.0), 1_000, 1.05 * 160.0, 20),
        ((50.0, 50.0), 2_000, 1.2 * 39.0, 20),
        // Less than the rate to begin with.
        ((2.5, 5.0), 300, 1.05 * 118.0, 9),
        ((1.0, 2.0), 100, 1.15 * 98.0, 8),
    ] {
        let (seconds, throttled) = found(service, calls, 5..40);
        let told = format!("{calls} calls to {service:?} took {seconds:.1} s, {throttled} were throttled");
        assert!(seconds <= most_seconds, "{told}");
        assert!(throttled <= most_throttled, "{told}");
    }
}

#[test]
fn a_slow_way_to_the_service_costs_little_more() {
    for (service, calls, most_seconds) in [((20.0, 40.0), 600, 1.25 * 28.0), ((5.0, 10.0), 300, 1.1 * 58.0)] {
        let (seconds, throttled) = found(service, calls, 50..150);
        let told = format!("{calls} calls to {service:?} took {seconds:.1} s, {throttled} were throttled");
        assert!(seconds <= most_seconds && throttled * 33 <= calls as usize, "{told}");
    }
}

#[test]
fn polls_raise_nothing_and_are_hardly_throttled_at_the_nominal_rate() {
    let mut simulation = Simulation::new(5.0, 10.0, 7);
    simulation.client(Bucket::new(FOUND, simulation.now), 300, Priority::Poll);
    simulation.run(100_000.0);
    let (client, took) = (&simulation.clients[0], simulation.took(0));
    assert!(client.throttled < 3, "{} of 300 calls were throttled", client.throttled);
    assert!(took <= 1.1 * (300.0 - 10.0) / 5.0, "300 calls took {took} s");
}

#[test]
fn a_throttled_account_recovers() {
    for (priority, before, after) in
        [(Priority::Poll, 2.5, 5.0), (Priority::End, 5.0, 50.0), (Priority::End, 50.0, 5.0)]
    {
        let mut simulation = Simulation::new(before, before * 2.0, 7);
        simulation.client(Bucket::new(FOUND, simulation.now), 30_000, priority);
        simulation.run(200.0);
        (simulation.service.per_second, simulation.service.burst) = (after, after * 2.0);
        // A limit is remembered for a minute.
        simulation.run(300.0);
        let (allowed, throttled) = (simulation.clients[0].allowed, simulation.clients[0].throttled);
        simulation.run(400.0);
        let (allowed, throttled) =
            (simulation.clients[0].allowed - allowed, simulation.clients[0].throttled - throttled);
        assert!(allowed as f64 >= 0.85 * after * 100.0, "{priority:?}: {allowed} in 100 s of {after} a second");
        assert!(throttled * 25 < allowed, "{priority:?}: {throttled} throttled, {allowed} allowed");
    }
}

#[test]
fn two_operators_of_one_account_share_what_it_allows() {
    for seed in 0..4 {
        let mut simulation = Simulation::new(20.0, 40.0, seed);
        let allowed =
            |simulation: &Simulation| simulation.clients.iter().map(|client| client.allowed).collect::<Vec<_>>();
        simulation.client(Bucket::new(FOUND, simulation.now), 30_000, Priority::End);
        // The second one comes when the first one has found all that there is.
        simulation.run(60.0);
        simulation.client(Bucket::new(FOUND, simulation.now), 30_000, Priority::End);
        simulation.run(90.0);
        let before = allowed(&simulation);
        simulation.run(390.0);
        let each: Vec<_> = allowed(&simulation).iter().zip(before).map(|(now, before)| now - before).collect();
        assert!(each.iter().sum::<usize>() as f64 >= 0.9 * 20.0 * 300.0, "{each:?} of 6000");
        assert!(each.iter().all(|calls| *calls >= 6_000 / 6), "{each:?} of 6000: one of them starves");
        let throttled: usize = simulation.clients.iter().map(|client| client.throttled).sum();
        assert!(throttled * 25 < allowed(&simulation).iter().sum(), "{throttled} throttled");
    }
}

/// A bucket whose callers ask at random, and whose service throttles now and then.
#[derive(Debug)]
struct Story {
    bucket: Bucket<u32>,
    now: Instant,
    /// Calls begun, and whether each was urgent.
    begun: Vec<(Instant, bool)>,
    /// The rate after each step.
    rates: Vec<(Instant, f64)>,
}

impl Story {
    fn new(rate: Rate) -> Self {
        let start = Instant::now();
        let (begun, rates) = (Vec::new(), vec![(start, rate.per_second)]);
        Self { bucket: Bucket::new(rate, start), now: start, begun, rates }
    }

    fn step(&mut self, (kind, who, millis): (u8, u32, u64)) {
        self.now += Duration::from_millis(millis);
        // Of three namespaces.
        let who = who + who % 3 * 1_000_000;
        // Each has a priority of its own.
        let priority = [Priority::End, Priority::FreshLook, Priority::Start, Priority::Adopt, Priority::Poll]
            [who as usize / 3 % 5];
        match kind {
            0 => self.bucket.throttled(self.now),
            1 => self.bucket.forget(&who),
            2..5 => drop(self.bucket.grant(self.now)),
            _ => {
                if self.bucket.take(&who, priority, self.now) {
                    self.begun.push((self.now, priority <= Priority::FreshLook));
                }
            }
        }
        self.rates.push((self.now, self.bucket.rate()));
    }

    fn found(&self, from: Instant, to: Instant) -> f64 {
        // The rate before the first of these steps counts as well.
        let first = self.rates.partition_point(|(at, _)| *at < from).saturating_sub(1);
        let rates = self.rates[first..].iter().take_while(|(at, _)| *at <= to);
        rates.map(|(_, rate)| *rate).fold(0.0, f64::max)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn calls_stay_within_the_burst_and_the_found_rate_and_what_is_not_urgent_within_the_nominal_one(
        steps in prop::collection::vec((0u8..20, 0u32..25, 0u64..400), 1..150),
    ) {
        let mut story = Story::new(FOUND);
        steps.into_iter().for_each(|step| story.step(step));
        let capacity = FOUND.burst - 1.0;
        for (first, (from, _)) in story.begun.iter().enumerate() {
            let mut common = 0.0;
            for (count, (to, urgent)) in story.begun[first..].iter().enumerate() {
                let seconds = (*to - *from).as_secs_f64();
                let all = count as f64 + 1.0;
                prop_assert!(all <= capacity + seconds * story.found(*from, *to) + 0.01, "{all} calls in {seconds} s");
                common += f64::from(u8::from(!urgent));
                prop_assert!(common <= capacity + seconds * FOUND.per_second + 0.01, "{common} others in {seconds} s");
            }
        }
        prop_assert!(story.rates.iter().all(|(_, rate)| (0.1..=100.0).contains(rate)));
        // A caller gets its turn, whatever happened before.
        let (asked, mut now) = (story.now, story.now);
        if !story.bucket.take(&99, Priority::Poll, now) {
            while let Some(next) = story.bucket.next(now) {
                now = next;
                for who in story.bucket.grant(now) {
                    prop_assert!(story.bucket.take(&who, Priority::Poll, now));
                }
            }
        }
        prop_assert!(now - asked < Duration::from_secs(180), "it took {:?}", now - asked);
    }
}

#[test]
fn an_operator_at_rest_stays_at_the_nominal_rate_whatever_it_has_found() {
    let mut simulation = Simulation::new(1e6, 1e6, 7);
    simulation.client(Bucket::new(FOUND, simulation.now), 1_500, Priority::End);
    simulation.run(1_000.0);
    let client = &mut simulation.clients[0];
    assert_eq!((client.allowed, client.bucket.rate()), (1_500, 100.0));
    (client.priority, client.allowed) = (Priority::Poll, 0);
    (0..1_000).for_each(|who| simulation.at(simulation.now, Event::Asks(0, who)));
    let rested = simulation.took(0);
    simulation.run(rested + 100.0);
    assert!((500..=510).contains(&simulation.clients[0].allowed), "{} polls in 100 s", simulation.clients[0].allowed);
}

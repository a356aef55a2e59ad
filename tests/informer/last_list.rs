//! The last complete list, with all that it showed, while the next one is under way: clean-up judges it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::core::{Plan, SessionPage, SessionState, SessionStatus, Task};
use crate::timing::TIMING;

/// A work group whose pages come slowly.
struct Slow {
    plan: Plan,
    now: Instant,
    page_takes: Duration,
    /// The sessions of each page of the list without a filter.
    pages: Vec<Vec<&'static str>>,
}

impl Slow {
    fn new(page_takes: Duration, pages: Vec<Vec<&'static str>>) -> Self {
        let (mut plan, now) = (Plan::new(TIMING), Instant::now());
        plan.count_all(true);
        plan.keep_descriptions(true, now);
        Self { plan, now, page_takes, pages }
    }

    /// Makes the next call. When its answer has come the next one is asked for at once, as the poller does.
    fn call(&mut self) {
        let sent = self.now;
        match self.plan.next(sent) {
            Task::ListSessions { filter: None, token, .. } => {
                let number = token.map_or(0, |token| token.parse().unwrap());
                let sessions = self.pages[number].iter().map(|id| ((*id).to_owned(), idle())).collect();
                let next_token = (number + 1 < self.pages.len()).then(|| (number + 1).to_string());
                self.now += self.page_takes;
                self.plan.page_answered(Ok(SessionPage { sessions, next_token }), sent, self.now);
            }
            Task::ListSessions { .. } => {
                self.now += self.page_takes;
                let page = SessionPage { sessions: Vec::new(), next_token: None };
                self.plan.page_answered(Ok(page), sent, self.now);
            }
            Task::Wait(until) => self.now = until.unwrap().max(self.now + Duration::from_millis(1)),
            _ => {}
        }
    }

    fn last_list(&self) -> Option<(Instant, BTreeSet<String>)> {
        let (began, sessions) = self.plan.last_list()?;
        Some((began, sessions.map(|session| session.id.to_owned()).collect()))
    }
}

fn idle() -> SessionStatus {
    SessionStatus {
        state: SessionState::Idle,
        state_change_reason: None,
        started_at: None,
        idle_since: None,
        ended_at: None,
        description: Some("dbt".into()),
        marker: None,
        engine: None,
    }
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// A list that takes longer than the interval is followed by the next one without a pause. Whoever wants the list comes later.
#[test]
fn a_list_that_takes_longer_than_the_interval_is_seen_while_the_next_one_is_read() {
    let mut slow = Slow::new(TIMING.steady / 2, vec![vec!["a"], vec!["b"], vec!["c"]]);
    let mut began = BTreeSet::new();
    for _ in 0..60 {
        slow.call();
        if slow.plan.full_scan().is_none() {
            continue;
        }
        // The poller has asked for the next page by the time the controller looks.
        let _ = slow.plan.next(slow.now);
        let (at, sessions) = slow.last_list().expect("a complete list is known");
        began.insert(at);
        // How long a list takes is known after the first one.
        if began.first() != Some(&at) {
            assert_eq!(sessions, set(&["a", "b", "c"]));
        }
    }
    assert!(began.len() > 5, "{}", began.len());
}

/// What only the list under way shows wasn't in the last complete one.
#[test]
fn the_last_list_is_exactly_what_it_showed() {
    let mut slow = Slow::new(Duration::from_secs(1), vec![vec!["a", "gone"], vec!["b"]]);
    let until_new_list = |slow: &mut Slow, before: Option<Instant>| {
        for _ in 0..50 {
            slow.call();
            if let Some((began, sessions)) = slow.last_list()
                && Some(began) != before
            {
                return (began, sessions);
            }
        }
        panic!("no list is complete");
    };
    let (first, sessions) = until_new_list(&mut slow, None);
    assert_eq!(sessions, set(&["a", "b", "gone"]));
    slow.pages = vec![vec!["new", "a", "a"], vec!["b"]];
    // Also where a page of the next list has come.
    for _ in 0..2 {
        slow.call();
        let (began, sessions) = slow.last_list().expect("the first list is still known");
        assert_eq!((began, sessions), (first, set(&["a", "b", "gone"])));
    }
    let (_, sessions) = until_new_list(&mut slow, Some(first));
    assert_eq!(sessions, set(&["a", "b", "new"]));
}

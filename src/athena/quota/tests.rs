use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::*;

const LOOK: Operation = Operation::GetSessionStatus;
const PATIENCE: Duration = Duration::from_secs(20);

/// Buckets of one token each, which comes back `per_second` times a second.
fn quotas(per_second: f64) -> (Arc<Quotas>, UnboundedReceiver<Key>) {
    let (wake, woken) = mpsc::unbounded_channel();
    (Quotas::new(Rate { per_second, most: per_second, burst: 2.0 }, wake), woken)
}

fn running(per_second: f64) -> (Arc<Quotas>, UnboundedReceiver<Key>) {
    let (quotas, woken) = quotas(per_second);
    let runs = Arc::clone(&quotas);
    tokio::spawn(async move { runs.run(|| {}).await });
    (quotas, woken)
}

fn key(name: &str) -> Key {
    ("team".to_owned(), name.to_owned())
}

fn scope(account: Option<&str>, region: &str) -> QuotaScope {
    QuotaScope { account: account.map(str::to_owned), region: Some(region.to_owned()) }
}

#[tokio::test]
async fn an_object_that_waits_is_woken_when_its_token_is_there() {
    // Slow enough for all to have asked before the first token comes back.
    let (quotas, mut woken) = running(2.0);
    let here = QuotaScope::default();
    assert!(quotas.try_take(&here, LOOK, Priority::Poll, &key("a")));
    for name in ["b", "c"] {
        assert!(!quotas.try_take(&here, LOOK, Priority::Poll, &key(name)));
    }
    assert!(!quotas.try_take(&here, LOOK, Priority::End, &key("d")));
    assert_eq!(quotas.waiting(), [(LOOK, 3)]);
    for name in ["d", "b", "c"] {
        assert_eq!(timeout(PATIENCE, woken.recv()).await, Ok(Some(key(name))));
        assert!(quotas.try_take(&here, LOOK, Priority::Poll, &key(name)), "{name} was woken without a token");
    }
    assert_eq!(quotas.waiting(), [(LOOK, 0)]);
}

#[test]
fn each_account_region_and_operation_has_its_bucket_and_sts_has_none() {
    let (quotas, _woken) = quotas(0.001);
    let (here, there, other) = (scope(Some("1"), "a"), scope(Some("1"), "b"), scope(Some("2"), "a"));
    for scope in [&here, &there, &other] {
        for operation in [LOOK, Operation::TerminateSession] {
            assert!(quotas.try_take(scope, operation, Priority::Poll, &key("a")), "{scope:?} {operation}");
            assert!(!quotas.try_take(scope, operation, Priority::End, &key("b")), "{scope:?} {operation}");
        }
        for _ in 0..20 {
            assert!(quotas.try_take(scope, Operation::GetCallerIdentity, Priority::Poll, &key("a")));
        }
    }
}

#[test]
fn rates_that_were_learned_are_told_of_each_scope_and_no_others() {
    let (quotas, _woken) = quotas(4.0);
    let (here, there) = (scope(Some("1"), "a"), scope(Some("2"), "a"));
    for scope in [&here, &there] {
        quotas.try_take(scope, LOOK, Priority::Poll, &key("a"));
        quotas.try_take(scope, Operation::TerminateSession, Priority::End, &key("a"));
    }
    assert!(quotas.learned_rates(&here).is_empty());
    quotas.throttled(&here, LOOK);
    assert_eq!(quotas.learned_rates(&here), [(LOOK.as_str(), 2.0)].into());
    assert!(quotas.learned_rates(&there).is_empty());
    assert_eq!(quotas.rates().len(), 4);
}

#[test]
fn the_account_that_turns_out_takes_over_the_bucket_of_the_unknown_one() {
    let (quotas, _woken) = quotas(0.001);
    assert!(quotas.try_take(&scope(None, "a"), LOOK, Priority::End, &key("a")));
    assert!(!quotas.try_take(&scope(None, "a"), LOOK, Priority::End, &key("b")));
    assert!(!quotas.try_take(&scope(Some("1"), "a"), LOOK, Priority::End, &key("c")));
    assert_eq!(quotas.waiting(), [(LOOK, 2)]);
}

#[test]
fn an_object_that_asks_for_something_else_or_is_gone_leaves_its_queue() {
    let (quotas, _woken) = quotas(0.001);
    let here = QuotaScope::default();
    for operation in [LOOK, Operation::TerminateSession] {
        assert!(quotas.try_take(&here, operation, Priority::Poll, &key("other")));
    }
    assert!(!quotas.try_take(&here, LOOK, Priority::Poll, &key("a")));
    assert!(!quotas.try_take(&here, Operation::TerminateSession, Priority::End, &key("a")));
    assert_eq!(quotas.waiting(), [(LOOK, 0), (Operation::TerminateSession, 1)]);
    quotas.forget(&key("a"));
    assert_eq!(quotas.waiting(), [(LOOK, 0), (Operation::TerminateSession, 0)]);
}

#[test]
fn a_look_keeps_the_turn_to_end_the_session() {
    let (quotas, _woken) = quotas(0.001);
    let here = QuotaScope::default();
    for operation in [LOOK, Operation::TerminateSession] {
        assert!(quotas.try_take(&here, operation, Priority::Poll, &key("other")));
    }
    assert!(!quotas.try_take(&here, Operation::TerminateSession, Priority::End, &key("a")));
    assert!(!quotas.try_take(&here, LOOK, Priority::FreshLook, &key("a")));
    assert_eq!(quotas.waiting(), [(LOOK, 1), (Operation::TerminateSession, 1)]);
}

/// A look showed that no end is due after all.
#[test]
fn a_reserved_token_that_is_given_back_serves_the_next_end() {
    const END: Operation = Operation::TerminateSession;
    let (quotas, _woken) = quotas(0.001);
    let here = QuotaScope::default();
    assert!(quotas.try_reserve(&here, END, Priority::End, &key("a")));
    assert!(quotas.try_take(&here, LOOK, Priority::FreshLook, &key("a")), "a look gives the reserved token away");
    assert!(!quotas.try_take(&here, END, Priority::End, &key("b")), "two have one token");
    quotas.forget(&key("a"));
    assert!(quotas.try_take(&here, END, Priority::End, &key("b")));
    assert!(!quotas.try_reserve(&here, END, Priority::End, &key("a")), "one token is used twice");
}

#[tokio::test]
async fn a_task_that_is_dropped_while_it_waits_gives_its_token_back() {
    let (quotas, _woken) = quotas(1.0);
    let here = QuotaScope::default();
    quotas.take(&here, LOOK, Priority::Poll).await;
    let waits = || {
        let (quotas, here) = (Arc::clone(&quotas), here.clone());
        tokio::spawn(async move { quotas.take(&here, LOOK, Priority::Poll).await })
    };
    // The first task is dropped while it waits, the second one after it was granted a token. A third caller gets that
    // token.
    let (queued, granted) = (waits(), waits());
    while quotas.waiting() != [(LOOK, 2)] {
        sleep(Duration::from_millis(1)).await;
    }
    queued.abort();
    assert!(queued.await.is_err());
    assert_eq!(quotas.waiting(), [(LOOK, 1)]);
    // In one piece, so that the task doesn't run in between.
    std::thread::sleep(Duration::from_millis(1_100));
    quotas.grant();
    assert_eq!(quotas.waiting(), [(LOOK, 0)]);
    granted.abort();
    assert!(granted.await.is_err());
    assert!(quotas.inner.lock().tasks.is_empty());
    assert!(quotas.try_take(&here, LOOK, Priority::Poll, &key("a")), "the token is lost");
}

/// A poller makes one call at a time, for objects of all namespaces.
#[tokio::test]
async fn a_task_has_a_turn_beside_the_objects_of_a_namespace() {
    let (quotas, mut woken) = running(20.0);
    let (here, calls) = (QuotaScope::default(), Arc::new(AtomicUsize::new(0)));
    for number in 0..200 {
        quotas.try_take(&here, LOOK, Priority::Poll, &key(&number.to_string()));
    }
    let objects = (Arc::clone(&quotas), here.clone(), Arc::clone(&calls));
    tokio::spawn(async move {
        while let Some(key) = woken.recv().await {
            assert!(objects.0.try_take(&objects.1, LOOK, Priority::Poll, &key));
            objects.2.fetch_add(1, Ordering::Relaxed);
        }
    });
    for call in 1..=3 {
        quotas.take(&here, LOOK, Priority::Poll).await;
        let before = calls.load(Ordering::Relaxed);
        assert!(before <= call * 3, "{before} calls of objects came before call {call} of the task");
    }
}

#[tokio::test]
async fn tasks_get_through_also_when_athena_throttles_in_between() {
    let (quotas, _woken) = running(50.0);
    let (here, done) = (QuotaScope::default(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..10 {
        let (quotas, here, done) = (Arc::clone(&quotas), here.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            quotas.take(&here, LOOK, Priority::Poll).await;
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    sleep(Duration::from_millis(50)).await;
    quotas.throttled(&here, LOOK);
    let all = async {
        while done.load(Ordering::Relaxed) < 10 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, all).await.is_ok(), "{done:?} of 10");
}

#[tokio::test]
async fn a_task_whose_grant_is_taken_back_waits_on() {
    let (quotas, _woken) = quotas(1.0);
    let here = QuotaScope::default();
    quotas.take(&here, LOOK, Priority::Poll).await;
    let waits = {
        let (quotas, here) = (Arc::clone(&quotas), here.clone());
        tokio::spawn(async move { quotas.take(&here, LOOK, Priority::Poll).await })
    };
    while quotas.waiting() != [(LOOK, 1)] {
        sleep(Duration::from_millis(1)).await;
    }
    // In one piece, so that the task doesn't run in between.
    std::thread::sleep(Duration::from_millis(1_100));
    quotas.grant();
    quotas.throttled(&here, LOOK);
    assert!(timeout(Duration::from_millis(100), waits).await.is_err(), "it calls without a token");
    assert_eq!(quotas.waiting(), [(LOOK, 1)]);
}

#[tokio::test]
async fn it_shows_signs_of_life_while_nothing_happens() {
    let beats = async |quotas: &Quotas| {
        let beats = AtomicUsize::new(0);
        let run = quotas.run(|| {
            beats.fetch_add(1, Ordering::Relaxed);
        });
        let _ = timeout(Duration::from_millis(2_500), run).await;
        beats.into_inner()
    };
    let ((idle, _woken), (busy, _woken_too)) = (quotas(0.001), quotas(0.001));
    for name in ["a", "b"] {
        busy.try_take(&QuotaScope::default(), LOOK, Priority::Poll, &key(name));
    }
    let (idle, busy) = tokio::join!(beats(&idle), beats(&busy));
    assert!((3..10).contains(&idle) && (3..10).contains(&busy), "{idle} {busy}");
}

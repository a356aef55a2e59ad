use super::*;

const DEADLINE: Duration = Duration::from_secs(10);
const OLD: Duration = Duration::from_secs(300);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Credentials for an hour; their key says which ones.
fn kept(key: &str, since: Instant, jitter: f64) -> CachedCredentials {
    CachedCredentials::new(Credentials::new(key, "secret", None, None, "test"), since, LIFE, DEADLINE, jitter)
}

fn cache(key: &str, since: Instant, jitter: f64) -> Cache {
    Cache { credentials: Some(kept(key, since, jitter)), failures: None }
}

/// The key that a caller is given, and whether STS is asked.
fn given(cache: &Cache, now: Instant) -> (Option<String>, bool) {
    let key = match cache.lookup(now) {
        Lookup::Valid(credentials) => Some(credentials.access_key_id().to_owned()),
        Lookup::Failed(_) | Lookup::Awaited => None,
    };
    (key, cache.is_renewal_due(now))
}

fn throttled() -> Explanation {
    Explanation::unavailable("Throttling", "Rate exceeded")
}

#[test]
fn credentials_are_kept_and_renewed_while_they_are_valid() {
    let start = Instant::now();
    for jitter in [0.0, 0.3, 1.0] {
        let cache = cache("a", start, jitter);
        let at = |after: u64| given(&cache, start + seconds(after));
        let a = Some("a".to_owned());
        assert_eq!(at(0), (a.clone(), false));
        assert_eq!(at(54 * 60), (a.clone(), false), "that would be more than 1.1 calls an hour");
        assert_eq!(at(58 * 60), (a.clone(), true), "in time, and nobody waits for it");
        assert_eq!(at(3_589), (a, true));
        assert_eq!(at(3_590), (None, true), "a call that is signed now may arrive after their end");
    }
    assert_eq!(given(&Cache::default(), start), (None, true));
}

/// A thousand roles are assumed at the same moment, and used each minute.
#[test]
fn roles_that_were_assumed_together_are_renewed_one_by_one() {
    let start = Instant::now();
    let jitters = (0..1_000).map(|_| fastrand::f64());
    let mut renewals: Vec<Duration> = jitters.map(|jitter| kept("a", start, jitter).renew_at - start).collect();
    renewals.sort();
    assert!(renewals[0] >= LIFE.div_f64(1.1), "more than 1.1 calls an hour");
    let within = |from: Duration| renewals.iter().filter(|at| **at >= from && **at < from + seconds(5)).count();
    let most = renewals.iter().map(|from| within(*from));
    let most = most.max().unwrap_or_default();
    assert!(most < 80, "{most} of a thousand within five seconds");
}

#[test]
fn where_sts_fails_nobody_asks_again_before_the_wait_is_over() {
    let start = Instant::now();
    let mut cache = Cache::default();
    let mut asked_at = start;
    for failures in 0..4_u32 {
        let wait = seconds(1 << failures);
        cache.answered(Err(throttled()), asked_at, |before| {
            assert_eq!(before, failures);
            wait
        });
        let before_retry = asked_at + wait - Duration::from_millis(1);
        let told = cache.lookup(before_retry);
        assert!(matches!(&told, Lookup::Failed(why) if *why == throttled()), "{told:?}");
        assert!(!cache.is_renewal_due(before_retry));
        asked_at += wait;
        assert_eq!(given(&cache, asked_at), (None, true));
    }
    cache.answered(Ok(kept("a", asked_at, 0.5)), asked_at, |_| seconds(0));
    assert_eq!(given(&cache, asked_at), (Some("a".to_owned()), false));
    cache.answered(Err(throttled()), asked_at, |before| {
        assert_eq!(before, 0, "a success begins anew");
        seconds(1)
    });
}

#[test]
fn while_sts_fails_credentials_that_are_valid_are_used() {
    let start = Instant::now();
    let mut cache = cache("a", start, 0.0);
    let due = start + seconds(56 * 60);
    cache.answered(Err(throttled()), due, |_| seconds(30));
    assert_eq!(given(&cache, due + seconds(29)), (Some("a".to_owned()), false));
    assert_eq!(given(&cache, due + seconds(30)), (Some("a".to_owned()), true));
    assert_eq!(given(&cache, start + LIFE), (None, true));
}

#[test]
fn refused_credentials_are_replaced_unless_they_are_new() {
    let start = Instant::now();
    let mut cache = cache("a", start, 0.5);
    cache.refused(start + seconds(299), OLD);
    assert_eq!(given(&cache, start + seconds(299)), (Some("a".to_owned()), false));
    let refused_at = start + seconds(301);
    cache.refused(refused_at, OLD);
    assert_eq!(given(&cache, refused_at), (Some("a".to_owned()), true), "AWS may have refused one operation only");
    cache.answered(Ok(kept("b", refused_at, 0.5)), refused_at, |_| seconds(0));
    cache.refused(refused_at + seconds(1), OLD);
    assert_eq!(given(&cache, refused_at + seconds(1)), (Some("b".to_owned()), false));
}

/// Credentials of seconds, as no STS gives them.
#[test]
fn a_short_life_is_used_for_the_most_part() {
    let start = Instant::now();
    let short =
        CachedCredentials::new(Credentials::new("a", "secret", None, None, "test"), start, seconds(3), DEADLINE, 0.0);
    let cache = Cache { credentials: Some(short), failures: None };
    assert_eq!(given(&cache, start + seconds(2)), (Some("a".to_owned()), false));
    assert_eq!(given(&cache, start + Duration::from_millis(2_950)), (None, true));
}

#[test]
fn only_what_other_credentials_may_mend_asks_for_others() {
    let denied = |code: &str, message: &str| CallError {
        operation: Operation::GetSession,
        class: ErrorClass::Denied,
        code: code.to_owned(),
        message: message.to_owned(),
        request_id: None,
    };
    let on =
        "User: arn:aws:sts::1:assumed-role/a/b is not authorized to perform: athena:GetSession on resource: arn:aws:x";
    let revoked = format!("{on} with an explicit deny in an identity-based policy");
    for (code, message) in [
        ("ExpiredTokenException", "expired"),
        ("UnrecognizedClientException", "unknown"),
        ("AccessDeniedException", revoked.as_str()),
    ] {
        assert!(is_about_credentials(&denied(code, message)), "{code}");
    }
    let lacks = format!("{on} because no identity-based policy allows the athena:GetSession action");
    assert!(!is_about_credentials(&denied("AccessDeniedException", &lacks)));
    let throttled = CallError { class: ErrorClass::Throttled, ..denied("ThrottlingException", "Rate exceeded") };
    assert!(!is_about_credentials(&throttled));
}

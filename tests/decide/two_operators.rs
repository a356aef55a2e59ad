//! S6, L2: two operators work on one object. They may repeat each other's calls, and must not undo each other's writes.

use std::time::Duration;

use crate::core::{AthenaSession, Observed, Session, SessionState, SessionStatus, Step, Timing, View, decide};
use crate::fixtures::{TIMING, WORK_GROUP, at, home, minutes, object, seconds, status, view};

struct Two {
    object: AthenaSession,
    version: u64,
    now: Duration,
    writes: u32,
}

impl Two {
    /// A pass of one of the operators, to whom Athena gives this answer.
    fn pass(&mut self, observed: &mut Observed, athena: &SessionStatus) -> bool {
        let scope = home();
        for _ in 0..24 {
            self.now += Duration::from_millis(20);
            let now = at(self.now);
            observed.found(&self.object, &scope, now);
            match decide(&view(&self.object, observed, &scope, now)) {
                Step::Wait(_) => return false,
                Step::WriteStatus { status, .. } => {
                    self.writes += 1;
                    self.version += 1;
                    self.object.status = Some(*status);
                    observed.recorded_status.written(self.object.status.as_ref());
                    return true;
                }
                Step::GetSessionStatus => observed.session.looked(athena.clone(), now),
                Step::GetSession => observed
                    .session
                    .described(
                        Session {
                            status: athena.clone(),
                            work_group: WORK_GROUP.to_owned(),
                            dpu_execution_millis: None,
                        },
                        now,
                    )
                    .unwrap(),
                step => panic!("{step:?}"),
            }
            observed.session.answered_in(&scope);
        }
        panic!("unsettled")
    }
}

/// L2: both operators see IDLE, each since another moment.
#[test]
fn two_operators_dont_fight_over_idle_since() {
    let (mut one, mut other) = (Observed::default(), Observed::default());
    let mut two = Two { object: object(), version: 1, now: seconds(0), writes: 0 };
    let idle = |since| SessionStatus { idle_since: Some(at(since).wall), ..status(&SessionState::Idle) };
    two.pass(&mut one, &idle(seconds(1)));
    two.pass(&mut other, &idle(seconds(1)));
    two.now += seconds(30);
    two.pass(&mut other, &idle(seconds(1)));
    // The second operator looks. The session was busy in between, and the first one's next look is 30 s away.
    two.now += seconds(31);
    one.session.looked(idle(seconds(1)), at(two.now - seconds(5)));
    two.writes = 0;
    let until = two.now + seconds(50);
    while two.now < until {
        let wrote = two.pass(&mut other, &idle(seconds(60))) | two.pass(&mut one, &idle(seconds(60)));
        if !wrote {
            two.now += seconds(1);
        }
    }
    assert!(two.writes < 10, "{} writes in 50 s", two.writes);
}

/// L2: Athena tells the operators different figures of the same end.
#[test]
fn two_operators_dont_fight_over_an_end() {
    let (mut one, mut other) = (Observed::default(), Observed::default());
    let mut two = Two { object: object(), version: 1, now: seconds(0), writes: 0 };
    let ended = status(&SessionState::Terminated);
    let described = |status: &SessionStatus, dpu| Session {
        status: status.clone(),
        work_group: WORK_GROUP.to_owned(),
        dpu_execution_millis: Some(dpu),
    };
    // The statistics settle a moment after the end.
    one.session.described(described(&ended, 700), at(seconds(1))).unwrap();
    other.session.described(described(&ended, 900), at(seconds(3))).unwrap();
    two.now = seconds(4);
    let until = two.now + minutes(10);
    while two.now < until {
        let wrote = two.pass(&mut other, &ended) | two.pass(&mut one, &ended);
        if !wrote {
            two.now += seconds(1);
        }
    }
    assert!(two.writes < 30, "{} writes in 10 min", two.writes);
}

/// L2: the operators write different texts, since they have other versions or another --poll-interval.
#[test]
fn two_operators_with_other_settings_dont_fight() {
    let (mut one, mut other) = (Observed::default(), Observed::default());
    let idle = status(&SessionState::Degraded);
    let mut object = object();
    let scope = home();
    let slower = Timing { overdue: minutes(20), ..TIMING };
    let mut now = seconds(0);
    let (mut writes, mut calls) = (0, 0);
    object.metadata.deletion_timestamp = None;
    object.spec.terminate = true;
    let terminating = SessionStatus { state: SessionState::Terminating, ..idle };
    while now < minutes(50) {
        let mut wrote = false;
        for (observed, timing) in [(&mut one, &TIMING), (&mut other, &slower)] {
            for _ in 0..24 {
                now += Duration::from_millis(20);
                observed.found(&object, &scope, at(now));
                let view = View { timing, ..view(&object, observed, &scope, at(now)) };
                match decide(&view) {
                    Step::Wait(_) => break,
                    Step::WriteStatus { status, .. } => {
                        if now > minutes(30) {
                            writes += 1;
                        }
                        object.status = Some(*status);
                        observed.recorded_status.written(object.status.as_ref());
                        wrote = true;
                        break;
                    }
                    Step::GetSessionStatus => {
                        if now > minutes(30) {
                            calls += 1;
                        }
                        observed.session.looked(terminating.clone(), at(now));
                    }
                    Step::GetSession => observed
                        .session
                        .described(
                            Session {
                                status: terminating.clone(),
                                work_group: WORK_GROUP.to_owned(),
                                dpu_execution_millis: None,
                            },
                            at(now),
                        )
                        .unwrap(),
                    step => panic!("{step:?}"),
                }
                observed.session.answered_in(&scope);
            }
        }
        if !wrote {
            now += seconds(1);
        }
    }
    assert!(writes < 60, "{writes} writes and {calls} calls in 20 min");
}

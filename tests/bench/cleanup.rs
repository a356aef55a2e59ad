//! What the rules of clean-up cost: runs over a list of sessions that nobody declared. The runs are made in the bench's own
//! process, by the code of the release build. Each request is answered at once, so that the CPU time is that of the rules alone.

use std::collections::BTreeMap;
use std::time::Instant;

use athena_session_operator::api::cleanup::{Cleanup, CleanupMode, CleanupRule, SessionMatch};
use athena_session_operator::athena::types::{ListedSession, SessionState, SessionStatus};
use athena_session_operator::cleanup::declarations::{Declarations, DeclaredSessions};
use athena_session_operator::cleanup::policy::Source;
use athena_session_operator::work_group::cleanup::facts::CleanupFacts;
use athena_session_operator::work_group::cleanup::memory::CleanupMemory;
use athena_session_operator::work_group::cleanup::run::{CleanupStep, Run};
use jiff::{SignedDuration, Timestamp};

use crate::Outcome;
use crate::figure::{Figure, List, Unit};
use crate::procfs::usage;
use crate::scenario::Scenario;

/// The most that one AthenaWorkGroup can have.
const RULES: usize = 50;
/// A run is too short to be measured by itself, since Linux counts CPU time in hundredths of a second.
const RUNS: usize = 40;
const NOW: Timestamp = Timestamp::constant(1_795_910_400, 0);

/// Measures runs over so many sessions.
pub fn measure(scenario: Scenario) -> Outcome<Vec<Figure>> {
    let sessions: Vec<_> = (0..scenario.objects).map(session).collect();
    let none: Vec<_> = (0..RULES).map(unmatched).collect();
    let idle = SessionMatch { states: vec!["IDLE".to_owned()], ..SessionMatch::default() };
    let mut half = none.clone();
    half[RULES - 1] = CleanupRule { name: "idle".to_owned(), matches: idle };
    // The memory first, since what the runs give back to the allocator is used again.
    let memory = memory_of_rules(&sessions, &half)?;
    let target = |most: f64| (scenario.objects == 10_000).then_some(most);
    let mut list = List::of(scenario.to_string());
    let mut add = |name, rules, target, note: &str| {
        let milliseconds = cpu_of_a_run(&sessions, rules)?;
        list.add(name, Unit::Milliseconds, milliseconds, target, note);
        Ok::<_, String>(())
    };
    add("floor: no rules", vec![], None, "CPU of a run")?;
    add("50 rules match none", none, target(50.0), "CPU of a run")?;
    add("50 rules match half", half, target(50.0), "CPU of a run that ends 10 sessions")?;
    list.add("RSS of 50 rules", Unit::Mebibytes, memory, target(10.0), "at the peak of a run; they match half");
    Ok(list.figures)
}

/// Half of them are IDLE. Most descriptions are plain ASCII, others aren't.
fn session(number: usize) -> (String, SessionStatus) {
    let id = format!("{number:08x}-1111-4222-8333-444444444444");
    let state = if number.is_multiple_of(2) { SessionState::Idle } else { SessionState::Busy };
    let since = NOW - SignedDuration::from_hours(3);
    let owner = if number.is_multiple_of(10) { "Jürgen" } else { "Maria" };
    let description = format!("dbt: {id} - nightly report {} of {owner} in team {}", number % 1_000, number % 70);
    let status = SessionStatus {
        idle_since: (state == SessionState::Idle).then_some(since),
        state,
        state_change_reason: None,
        started_at: Some(since),
        ended_at: None,
        description: Some(description.into()),
        marker: None,
        engine: None,
    };
    (id, status)
}

/// A rule whose other conditions hold for each session, so that the description decides, which takes the most time.
fn unmatched(number: usize) -> CleanupRule {
    let pattern = match number % 4 {
        0 => format!("^dbt: project-{number} "),
        1 => format!("report [0-9]+ of (Anna|Otto) in team {number}$"),
        2 => format!(r"(?i)\bnotebook of [a-z]+ {number}\b"),
        _ => format!(r"^prod-{number}-\w+ \d+$"),
    };
    let matches = SessionMatch {
        states: vec!["IDLE".to_owned(), "BUSY".to_owned()],
        older_than: Some("1h".to_owned()),
        description: Some(pattern),
        ..SessionMatch::default()
    };
    CleanupRule { name: format!("rule-{number}"), matches }
}

/// The most resident memory that these rules take, in MiB: for the rules themselves, for what is kept between runs, and for two
/// runs one after the other, of which the second one ends sessions.
fn memory_of_rules(sessions: &[(String, SessionStatus)], rules: &[CleanupRule]) -> Outcome<f64> {
    let before = usage(std::process::id())?;
    let started = Instant::now();
    let mut memories = after_first_run(started, 1, sessions, rules.to_vec());
    memories.iter_mut().for_each(|memory| run(started, sessions, memory));
    let peak = usage(std::process::id())?.peak_rss;
    Ok(peak.saturating_sub(before.rss) as f64 / f64::from(1 << 20))
}

/// What so many AthenaWorkGroups with these rules remember after their first run.
fn after_first_run(
    list: Instant,
    work_groups: usize,
    sessions: &[(String, SessionStatus)],
    rules: Vec<CleanupRule>,
) -> Vec<CleanupMemory> {
    let cleanup = Cleanup { mode: CleanupMode::Enforce, rules, ..Cleanup::default() };
    let remember = |_| {
        let mut memory = CleanupMemory::new(&[Source { owner: "bench", cleanup: Some(&cleanup) }], None);
        run(list, sessions, &mut memory);
        memory
    };
    (0..work_groups).map(remember).collect()
}

/// The CPU time of a run over these sessions, in milliseconds. Each run is the second one under rules that were read anew: sessions
/// are ended in the second run, and nothing is left from many runs before.
fn cpu_of_a_run(sessions: &[(String, SessionStatus)], rules: Vec<CleanupRule>) -> Outcome<f64> {
    let started = Instant::now();
    let mut memories = after_first_run(started, RUNS, sessions, rules);
    let cpu = || usage(std::process::id()).map(|usage| usage.cpu);
    let before = cpu()?;
    memories.iter_mut().for_each(|memory| run(started, sessions, memory));
    Ok((cpu()? - before) * 1_000.0 / RUNS as f64)
}

/// A run whose requests all succeed, and show nothing new.
fn run(list: Instant, sessions: &[(String, SessionStatus)], memory: &mut CleanupMemory) {
    let declared = DeclaredSessions::default();
    let declared_by = |id: &str, marker: Option<&_>| declared.declared_by(id, marker);
    let facts = CleanupFacts {
        policy: &memory.policy,
        declarations: Declarations { cluster: Some("bench"), declared_by: &declared_by },
        athena_time: NOW,
        tick: list,
        may_end: true,
        reserved_by_others: 0,
        ended_before: 0,
    };
    let listed = sessions.iter().map(|(id, status)| ListedSession::new(id, status));
    let mut run = Run::begin(list, listed, memory, &facts);
    loop {
        match run.next(&facts) {
            CleanupStep::Done => break,
            CleanupStep::ListTags { id } => run.tags_read(&id, Ok(BTreeMap::new()), &facts),
            CleanupStep::GetCallerIdentity => run.account_confirmed(true),
            CleanupStep::ReadWorkGroups => run.work_groups_read(true),
            CleanupStep::Reserve { .. } => run.reserved(true),
            CleanupStep::GetSessionStatus { id, .. } => {
                if let Some((_, status)) = sessions.iter().find(|(other, _)| *other == id) {
                    run.status_read(&id, Ok(status.clone()), list);
                }
            }
            CleanupStep::ReadDeclarations { id, .. } => {
                run.declarations_read(&id, Ok(DeclaredSessions::default()), list);
            }
            CleanupStep::TerminateSession { id, .. } => run.terminated(&id, Ok(())),
        }
    }
    run.finish(memory);
}

//! The operator's side: takes the steps that `decide` names, as `src/session/act.rs` does.

use std::time::Duration;

use athena_session_operator::api::session::AthenaSession;
use athena_session_operator::athena::port::Operation;
use athena_session_operator::session::decide::{Step, decide};
use athena_session_operator::session::knowledge::Knowledge;
use athena_session_operator::session::starting;
use athena_session_operator::session::view::{PASS, View};
use kube::ResourceExt;

use super::{Answer, World};
use crate::fixtures::{CLUSTER, TIMING, at, condition, seconds};

/// As in act.rs.
const MOST_STEPS: usize = 24;
/// What each request takes.
const REQUEST: Duration = Duration::from_millis(20);

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Wait(Option<Duration>),
    /// Ours no more, or gone.
    Done,
    /// Given up: the API server failed, or the operator was killed.
    Broken,
}

impl World {
    /// Passes, each when the last one said, and after each change of the object, as a controller
    /// runs them.
    pub fn run_for(&mut self, long: Duration) {
        let until = self.elapsed + long;
        self.run_until(until, |_| false);
    }

    /// The same, until something holds, for this long at the most. Says whether it came to hold.
    pub fn run_until(&mut self, until: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let mut broken: u32 = 0;
        while self.elapsed < until {
            if done(self) {
                return true;
            }
            let version = self.versions;
            let next = match self.pass() {
                Outcome::Wait(after) => {
                    broken = 0;
                    after.unwrap_or(until)
                }
                Outcome::Done => until,
                Outcome::Broken => {
                    broken += 1;
                    seconds(1) * broken
                }
            };
            let changed = self.versions != version;
            let next = next.min(until - self.elapsed.min(until));
            if changed { self.wait(REQUEST) } else { self.sleep(next) }
        }
        done(self)
    }

    /// One pass over the object.
    pub fn pass(&mut self) -> Outcome {
        if !self.cache_frozen {
            self.cache = self.object.clone();
        }
        self.read = None;
        self.killed = false;
        let Some(cached) = self.cache.clone() else { return Outcome::Done };
        if self.knowledge_of != cached.uid() {
            self.knowledge = Knowledge::default();
            self.knowledge_of = cached.uid();
        }
        let outcome = self.steps_for(&cached);
        if outcome == Outcome::Done || self.killed {
            self.knowledge = Knowledge::default();
        }
        outcome
    }

    fn steps_for(&mut self, cached: &AthenaSession) -> Outcome {
        let mut object = cached.clone();
        let began = at(self.elapsed).tick;
        self.knowledge.asked = None;
        let mut read_at: Option<Duration> = None;
        for _ in 0..MOST_STEPS {
            let now = at(self.elapsed);
            self.note_idle_limit();
            let (mut terms, scope) = (self.terms(&object), self.scope_for(&object));
            self.around.was_granted |= terms.refusal.is_none();
            self.knowledge.found(&object, &scope, now);
            if let Some(news) = self.beside.news {
                self.knowledge.workloads.heard(at(news).tick);
            }
            let shown_before = self.knowledge.shown_of_owner();
            let polled = self.hear(&object, &terms, &scope, now);
            self.knowledge.recognize(&object, CLUSTER, terms.is_contested);
            if self.knowledge.shown_of_owner() != shown_before {
                terms = self.terms(&object);
            }
            let (knowledge, terms, scope) = (&self.knowledge, &terms, &scope);
            let view = View {
                object: &object,
                began,
                fresh: read_at.is_some_and(|read_at| self.elapsed < read_at + PASS),
                knowledge,
                terms,
                polled,
                sweep_took: Duration::ZERO,
                listed_at: None,
                scope,
                cluster: CLUSTER,
                timing: &TIMING,
                now,
            };
            let step = decide(&view);
            let (interest, is_unasked, stake) = (view.interest(), view.is_unasked(), starting::stake(&view));
            if is_unasked {
                self.knowledge.record.unasked(object.status.as_ref());
                (self.truth.lapsed_at, self.truth.was_idle_too_long) = (None, false);
            }
            self.steps.push(step.clone());
            self.check_place(&object, stake, &step);
            if let Step::Wait(after) = step {
                self.around.interest = interest;
                return Outcome::Wait(after);
            }
            self.wait(REQUEST);
            let answer = match &step {
                Step::LetGo { .. } => match self.write(&object, &step) {
                    Answer::Object(_) | Answer::Gone => return Outcome::Done,
                    answer => answer,
                },
                Step::AddFinalizer | Step::WriteStatus { .. } => {
                    let answer = self.write(&object, &step);
                    if let Answer::Object(written) = &answer {
                        if step == Step::AddFinalizer {
                            self.knowledge.adopted(written);
                        }
                        self.knowledge.record.written(written.status.as_ref());
                    }
                    answer
                }
                Step::Refresh => self.get(),
                Step::Reserve => {
                    self.starts.reserve();
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::ConfirmOwner { owner } => {
                    self.confirm(owner);
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::LookAtConfigMap
                | Step::Publish { .. }
                | Step::Unpublish { .. }
                | Step::LookAtWorkloads
                | Step::Expire => {
                    self.run_errand(&object, &step);
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::Search { wanted } | Step::Find { wanted } if !self.has_list(wanted) => {
                    self.knowledge.asked = Some(wanted.clone());
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                _ => {
                    self.call(&object, &step);
                    if matches!(step, Step::Start { .. } | Step::Find { .. }) {
                        (read_at, self.read) = (None, None);
                    }
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
            };
            self.spring();
            let answer = if let Answer::Conflict = answer { self.get() } else { answer };
            match answer {
                _ if self.killed => return Outcome::Broken,
                Answer::Failed => return Outcome::Broken,
                Answer::Object(answered) if answered.uid() == cached.uid() => {
                    object = *answered;
                    read_at = Some(self.elapsed);
                }
                Answer::Object(_) | Answer::Conflict | Answer::Gone => return Outcome::Done,
            }
        }
        self.breach(format!("not settled after {MOST_STEPS} steps: {}", self.told()));
        Outcome::Broken
    }

    /// Whatever was to happen after this step.
    fn spring(&mut self) {
        for (steps, _) in &mut self.ambush {
            *steps = steps.saturating_sub(1);
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ambush).into_iter().partition(|(steps, _)| *steps == 0);
        self.ambush = later;
        for (_, event) in due {
            self.event(&event);
        }
    }
}

/// A step in a word.
pub fn word(step: &Step) -> String {
    match step {
        Step::AddFinalizer => "AddFinalizer".to_owned(),
        Step::Refresh => "Refresh".to_owned(),
        Step::ConfirmOwner { .. } => "ConfirmOwner".to_owned(),
        Step::Describe => "Describe".to_owned(),
        Step::Look | Step::LookBeforeEnd => "Look".to_owned(),
        Step::Identify => "Identify".to_owned(),
        Step::Search { .. } => "Search".to_owned(),
        Step::Find { .. } => "Find".to_owned(),
        Step::Reserve => "Reserve".to_owned(),
        Step::Start { .. } => "Start".to_owned(),
        Step::Terminate { .. } => "Terminate".to_owned(),
        Step::LookAtConfigMap => "LookAtConfigMap".to_owned(),
        Step::Expire => "Expire".to_owned(),
        Step::LookAtWorkloads => "LookAtWorkloads".to_owned(),
        Step::Publish { .. } => "Publish".to_owned(),
        Step::Unpublish { .. } => "Unpublish".to_owned(),
        Step::WriteStatus { .. } => "Write".to_owned(),
        Step::LetGo { .. } => "LetGo".to_owned(),
        Step::Wait(None) => "Wait".to_owned(),
        Step::Wait(Some(after)) => format!("Wait({}s)", after.as_secs_f64().round()),
    }
}

/// Why the object stands as it does.
pub fn reason(world: &World) -> String {
    condition(world.recorded(), "Ready").unwrap().reason.clone()
}

/// How often TerminateSession was called.
pub fn ends(world: &World) -> usize {
    world.count(Operation::TerminateSession)
}

//! The operator's side: takes the steps that `decide` names, as `src/session/reconcile` does.

use std::time::Duration;

use kube::ResourceExt;

use super::starts::is_by_mark;
use super::{Answer, World};
use crate::core::{ANSWER_LIFE, AthenaSession, Decision, Kinds, Observed, Operation, Reason, Step, View, decision};
use crate::fixtures::{CLUSTER, TIMING, at, condition, seconds};

/// The most steps of one pass, as in `src/session/reconcile`.
const MOST_STEPS: usize = 24;
/// What each request takes.
const REQUEST: Duration = Duration::from_millis(20);

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Wait(Option<Duration>),
    /// The object is gone, or doesn't have the operator's finalizer any more.
    Done,
    /// The pass was given up: the API server failed, or the operator was killed.
    Broken,
}

impl World {
    /// Makes passes for so long, as a controller does: after each change of the object, and when the last pass said.
    pub fn run_for(&mut self, long: Duration) {
        let until = self.elapsed + long;
        self.run_until(until, |_| false);
    }

    /// Makes passes until something holds, for so long at the most. Returns whether it came to hold.
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
        // A pass never begins at the instant at which the one before read the AthenaWorkGroup: that read isn't of this pass.
        let read = self.observed.session.work_group_limits.as_ref();
        if read.is_some_and(|read| read.at == at(self.elapsed).tick) {
            self.elapsed += Duration::from_nanos(1);
        }
        if !self.cache_frozen {
            self.cache = self.object.clone();
        }
        self.around.limits.begin_pass(self.cache_frozen);
        self.read = None;
        self.killed = false;
        let Some(cached) = self.cache.clone() else { return Outcome::Done };
        if self.observed_of != cached.uid() {
            self.observed = Observed::default();
            self.observed_of = cached.uid();
        }
        let outcome = self.steps_for(&cached);
        if outcome == Outcome::Done || self.killed {
            self.observed = Observed::default();
        }
        outcome
    }

    fn steps_for(&mut self, cached: &AthenaSession) -> Outcome {
        let mut object = cached.clone();
        let began = at(self.elapsed).tick;
        self.observed.session.asked = None;
        let mut read_at: Option<Duration> = None;
        for _ in 0..MOST_STEPS {
            let now = at(self.elapsed);
            self.note_idle_limit();
            let (mut access, scope) = (self.access(&object), self.scope_for(&object));
            self.around.was_granted |= access.denied.is_none();
            self.observed.found(&object, &scope, now);
            if let Some(news) = self.objects.news {
                self.observed.session.workloads.heard(at(news).tick);
            }
            let shown_before = self.observed.session.shown_of_owner();
            let polled = self.hear(&object, &access, &scope, now);
            self.observed.recognize(&object, CLUSTER, access.is_contested);
            if self.observed.session.shown_of_owner() != shown_before {
                access = self.access(&object);
            }
            let (observed, access, scope) = (&self.observed, &access, &scope);
            let view = View {
                object: &object,
                began,
                fresh: read_at.is_some_and(|read_at| self.elapsed < read_at + ANSWER_LIFE),
                observed,
                access,
                polled,
                full_scan_took: Duration::ZERO,
                listed_at: None,
                scope,
                cluster: CLUSTER,
                timing: &TIMING,
                now,
            };
            let Decision { step, interest, usage, is_no_end_wanted, .. } = decision(&view);
            if is_no_end_wanted {
                self.observed.recorded_status.unasked(object.status.as_ref());
                (self.truth.lapsed_at, self.truth.was_idle_too_long) = (None, false);
            }
            self.steps.push(step.clone());
            self.check_slot(&object, usage, &step);
            if let Step::Wait(after) = step {
                self.around.interest = interest;
                return Outcome::Wait(after);
            }
            self.wait(REQUEST);
            let answer = match &step {
                Step::RemoveFinalizer { .. } => match self.write(&object, &step) {
                    Answer::Object(_) | Answer::Gone => return Outcome::Done,
                    answer => answer,
                },
                Step::AddFinalizer | Step::WriteStatus { .. } => {
                    let answer = self.write(&object, &step);
                    if let Answer::Object(written) = &answer {
                        if step == Step::AddFinalizer {
                            self.observed.adopted(written);
                        }
                        self.observed.recorded_status.written(written.status.as_ref());
                    }
                    answer
                }
                Step::GetObject => self.get(),
                Step::ReserveSlot => {
                    self.starts.reserve();
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::GetWorkGroupLimits => {
                    let is_answered = self.read_group_limits(&object);
                    self.spring();
                    if self.killed || !is_answered {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::GetOwner { owner } => {
                    self.confirm(owner);
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::GetConfigMap
                | Step::WriteConfigMap { .. }
                | Step::DeleteConfigMap { .. }
                | Step::GetWorkloads
                | Step::DeleteObject => {
                    self.take_step_about_objects(&object, &step);
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                Step::ListSessions { wanted } if !self.has_list(wanted) => {
                    self.observed.session.asked = Some(wanted.clone());
                    self.spring();
                    if self.killed {
                        return Outcome::Broken;
                    }
                    continue;
                }
                _ => {
                    self.call(&object, &step);
                    let lists_by_mark = matches!(&step, Step::ListSessions { wanted } if is_by_mark(wanted));
                    if lists_by_mark || matches!(step, Step::StartSession { .. }) {
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

    /// The events that were planned to happen after this step.
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

/// The name of a step.
pub fn word(step: &Step) -> String {
    match step {
        Step::AddFinalizer => "AddFinalizer".to_owned(),
        Step::GetObject => "GetObject".to_owned(),
        Step::GetOwner { .. } => "GetOwner".to_owned(),
        Step::GetWorkGroupLimits => "GetWorkGroupLimits".to_owned(),
        Step::GetSession => "GetSession".to_owned(),
        Step::GetSessionStatus | Step::GetSessionStatusBeforeEnd => "GetSessionStatus".to_owned(),
        Step::GetCallerIdentity => "GetCallerIdentity".to_owned(),
        Step::ListSessions { .. } => "ListSessions".to_owned(),
        Step::ReserveSlot => "ReserveSlot".to_owned(),
        Step::StartSession { .. } => "StartSession".to_owned(),
        Step::TerminateSession { .. } => "TerminateSession".to_owned(),
        Step::TagResource { .. } => "TagResource".to_owned(),
        Step::GetConfigMap => "GetConfigMap".to_owned(),
        Step::DeleteObject => "DeleteObject".to_owned(),
        Step::GetWorkloads => "GetWorkloads".to_owned(),
        Step::WriteConfigMap { .. } => "WriteConfigMap".to_owned(),
        Step::DeleteConfigMap { .. } => "DeleteConfigMap".to_owned(),
        Step::WriteStatus { .. } => "WriteStatus".to_owned(),
        Step::RemoveFinalizer { .. } => "RemoveFinalizer".to_owned(),
        Step::Wait(None) => "Wait".to_owned(),
        Step::Wait(Some(after)) => format!("Wait({}s)", after.as_secs_f64().round()),
    }
}

/// Why the object stands as it does.
pub fn reason(world: &World) -> String {
    let word = condition(world.recorded(), "Ready").unwrap().reason.clone();
    assert_ne!(Reason::from_word(&word).unwrap().row().kinds, Kinds::WorkGroup, "{word}");
    word
}

/// The message of the condition Ready.
pub fn message(world: &World) -> String {
    condition(world.recorded(), "Ready").unwrap().message.clone()
}

/// The names of the steps that wrote the object.
pub fn written(world: &World) -> Vec<String> {
    world.writes.iter().map(|(_, step)| word(step)).collect()
}

/// How often TerminateSession was called.
pub fn ends(world: &World) -> usize {
    world.count(Operation::TerminateSession)
}

//! Reconciles one AthenaSession: observes what the watches and Athena's informer show, has [`decide`] name one step,
//! applies that step, and begins anew, until the step is to wait. All rules are in [`decide`], none is here.

mod action;
mod athena;
mod audit_log;
mod config_map;
pub mod controller;
pub(crate) mod dependencies;
pub mod large_objects;
mod object_state;
mod objects;
mod observe;
mod request;
mod schedule;
mod workloads;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use self::action::{Action, MOST_STEPS, ReconcileError};
use self::athena::AthenaCalls;
use self::config_map::ConfigMapRequests;
pub(crate) use self::dependencies::Dependencies;
use self::object_state::ObjectState;
use self::objects::ObjectRequests;
use self::observe::{Current, Inputs, Observer};
use self::workloads::WorkloadRequests;
use crate::api::session::AthenaSession;
use crate::index::objects::key;
use crate::session::observed::{ANSWER_LIFE, Observed};
use crate::session::plan::{Decision, Step, decide};
use crate::session::rules::Facts;

/// The controller's name in logs and metrics.
pub(crate) const NAME: &str = "athenasession";

struct Reconciler {
    observer: Observer,
    athena: AthenaCalls,
    objects: ObjectRequests,
    config_maps: ConfigMapRequests,
    workloads: WorkloadRequests,
}

impl Reconciler {
    fn new(dependencies: Dependencies) -> Self {
        let needs = || dependencies.clone();
        let (observer, athena) = (Observer { needs: needs() }, AthenaCalls { needs: needs() });
        let (config_maps, workloads) = (ConfigMapRequests { needs: needs() }, WorkloadRequests { needs: needs() });
        Self { observer, athena, objects: ObjectRequests { needs: dependencies }, config_maps, workloads }
    }

    /// Takes steps for one object until there is nothing left to do for now. Trouble with Athena isn't an error: `state`
    /// remembers the trouble, the status shows it, and the object waits.
    async fn reconcile(&self, cached: &AthenaSession, state: &mut ObjectState) -> Result<Action, ReconcileError> {
        let mut current = Current { object: Cow::Borrowed(cached), began: Instant::now(), read_at: None };
        state.begin();
        let mut steps = 0;
        loop {
            steps += 1;
            let inputs = self.observer.observe(&mut current, state).await;
            let decision = decide(&self.facts(&current, &state.observed, &inputs));
            let last = if steps == MOST_STEPS { Some(decision.step.clone()) } else { None };
            if let ControlFlow::Break(action) = self.apply(decision, &inputs, &mut current, state).await? {
                return Ok(action);
            }
            match last {
                None => {}
                Some(Step::GetCallerIdentity) => return Ok(Action::Wait(Some(Duration::ZERO))),
                Some(last) => return Err(ReconcileError::Unsettled(Box::new(last))),
            }
        }
    }

    fn facts<'a>(&'a self, current: &'a Current<'_>, observed: &'a Observed, inputs: &'a Inputs) -> Facts<'a> {
        let poller = inputs.poller.as_ref();
        Facts {
            object: &current.object,
            began: current.began,
            // A copy that was read long ago, before other requests that took their time, has to be read again.
            fresh: current.read_at.is_some_and(|read_at| read_at.elapsed() < ANSWER_LIFE),
            observed,
            access: &inputs.access,
            polled: poller.is_some_and(|poller| poller.can_list()),
            full_scan_took: poller.map_or(Duration::ZERO, |poller| poller.full_scan_took()),
            listed_at: poller.and_then(|poller| poller.full_scan_at()),
            scope: &inputs.scope,
            cluster: &self.observer.needs.index.cluster,
            timing: &self.observer.needs.timing,
            now: inputs.now,
        }
    }

    /// Applies one step. Returns how the reconciliation ends, where it does.
    async fn apply(
        &self,
        decision: Decision,
        inputs: &Inputs,
        current: &mut Current<'_>,
        state: &mut ObjectState,
    ) -> Result<ControlFlow<Action>, ReconcileError> {
        let (object, observed) = (&*current.object, &mut state.observed);
        if let Some(usage) = decision.usage {
            self.observer.needs.index.report_usage(object, usage);
        }
        if decision.is_no_end_wanted {
            observed.recorded_status.unasked(object.status.as_ref());
        }
        match decision.step {
            Step::Wait(after) => {
                self.prepare_wait(object, &decision, inputs, state);
                return Ok(ControlFlow::Break(Action::Wait(after)));
            }
            Step::ReserveSlot => self.observer.needs.index.reserve(object),
            Step::GetOwner { owner } => observed.session.owner = Some(Box::new(self.objects.read_owner(owner).await?)),
            Step::GetWorkGroupLimits => {
                observed.session.work_group_limits = Some(Box::new(self.objects.read_limits(object).await?));
            }
            step @ (Step::GetConfigMap | Step::WriteConfigMap { .. } | Step::DeleteConfigMap { .. }) => {
                self.config_maps.make(object, &mut observed.session.config_map, step).await;
            }
            Step::GetWorkloads => self.workloads.read_all(object, &mut observed.session.workloads).await,
            Step::DeleteObject => self.objects.delete(object, &mut observed.session.ttl).await,
            step @ (Step::GetObject | Step::AddFinalizer | Step::RemoveFinalizer { .. } | Step::WriteStatus { .. }) => {
                return self.objects.make(step, inputs.now, current, state).await;
            }
            step => {
                let (priority, awaits_quota_for) = (decision.priority, decision.awaits_quota_for);
                return Ok(self.athena.make(step, priority, awaits_quota_for, inputs, current, state).await);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Gives back what was asked for on behalf of the object and isn't needed any more, and arranges what wakes the
    /// object.
    fn prepare_wait(&self, object: &AthenaSession, decision: &Decision, inputs: &Inputs, state: &mut ObjectState) {
        let key = key(object);
        self.athena.give_back_tokens(&key, state);
        if state.observed.session.asked.is_none() {
            state.forget_list(&key);
        }
        if let (Some(poller), true) = (&inputs.poller, decision.awaits_engine) {
            poller.ask_for_engine();
        }
        let recovery = inputs.identity.as_ref().map(|identity| &identity.athena.recovery);
        state.wait_for_recovery(recovery, inputs.scope.recovered_at);
        state.prolong_wait(decision.prolonged, inputs.now.tick, &self.observer.needs.timing);
        state.watch(inputs.poller.clone().zip(inputs.session_id.clone()).zip(decision.interest));
    }
}

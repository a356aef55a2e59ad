//! Applies the rules of `spec.cleanup` after each complete list: makes the requests that a run names. All rules are in
//! [`super::cleanup`], none is here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use tracing::warn;

use super::cleanup::facts::CleanupFacts;
use super::cleanup::hold::Hold;
use super::cleanup::memory::CleanupMemory;
use super::cleanup::queue::RunQueue;
use super::cleanup::registrations::{Registered, Registrations, WorkGroupId};
use super::cleanup::report::CleanupReport;
use super::cleanup::run::{CleanupStep, Run};
use super::cleanup_audit_log::EndByRule;
use crate::api::cleanup::{CleanupBudget, CleanupStatus};
use crate::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus};
use crate::athena::identity::Identity;
use crate::athena::informer::Poller;
use crate::athena::marker::Marker;
use crate::athena::quota::Priority;
use crate::athena::session_arn::session_arn;
use crate::athena::types::{CallError, CallerContext, ErrorClass, Operation, QuotaScope, SessionStatus};
use crate::cleanup::conditions::Ages;
use crate::cleanup::declarations::{Declaration, Declarations, DeclaredSessions};
use crate::index::objects::Group;
use crate::kubernetes::{Answer, Requests, within};
use crate::live_declarations::LiveDeclarations;
use crate::session::reconcile::Dependencies;

/// What is kept of clean-up between two reconciliations of an AthenaWorkGroup.
#[derive(Default)]
pub(super) struct CleanupState {
    /// Only where this AthenaWorkGroup's reconciliation applies the rules.
    memory: Option<CleanupMemory>,
    /// What the last run found; None before the first.
    pub(super) report: Option<CleanupReport>,
}

/// The clean-up of one work group.
pub(super) struct CleanupReconciler<'a> {
    pub(super) shared: &'a Dependencies,
    pub(super) requests: &'a Requests<AthenaWorkGroup>,
    pub(super) group: &'a AthenaWorkGroup,
    pub(super) identity: &'a Arc<Identity>,
    pub(super) poller: &'a Arc<Poller>,
    /// Where calls went when the reconciliation began.
    pub(super) scope: &'a CallerContext,
    /// The runs of all work groups.
    pub(super) queue: &'a Mutex<RunQueue>,
}

/// Whether the rules have been applied to the last complete list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CleanupProgress {
    /// The rules have been applied, or there are none to apply here.
    Done,
    /// The rules haven't been applied: runs of other work groups come first.
    WaitsForTurn,
}

/// A run is under way.
struct UnderWay<'a> {
    queue: &'a Mutex<RunQueue>,
    name: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.queue.lock().ended(&self.name);
    }
}

/// What holds during a run, besides the rules.
struct RunContext<'a> {
    work_group: WorkGroupId<'a>,
    /// What kept the run from ending anything when it began.
    hold: Option<Hold>,
    reserved_by_others: usize,
    ended_before: u32,
}

impl CleanupReconciler<'_> {
    /// Applies the rules to the last complete list, unless that was done before. Of several AthenaWorkGroups that stand for one
    /// work group, only the oldest with rules does that, and each of the others that has rules reports the same.
    pub(super) async fn reconcile(&self, state: &mut CleanupState) -> CleanupProgress {
        let groups = self.shared.index.objects.groups();
        let (Some(account), Some(region)) = (self.scope.account.known(), self.scope.region.as_deref()) else {
            return CleanupProgress::Done;
        };
        let id = WorkGroupId { account, region, work_group: self.poller.work_group() };
        let registrations = self.registrations(id, &groups);
        let leader = registrations.leader();
        self.poller.keep_descriptions(leader.is_some());
        match leader {
            Some(leader) if leader.uid() == self.group.uid() => {
                return self.apply_rules(state, &registrations, id).await;
            }
            Some(leader) if self.group.spec.cleanup.is_some() => {
                *state = CleanupState { memory: None, report: CleanupReport::of_leader(leader) };
            }
            Some(_) | None => *state = CleanupState::default(),
        }
        CleanupProgress::Done
    }

    fn registrations<'g>(&self, id: WorkGroupId<'_>, groups: &'g [Arc<Group>]) -> Registrations<'g> {
        let work_groups = &self.shared.index.work_groups;
        let registered = groups.iter().map(|group| match &group.0 {
            Ok(group) => Registered::Readable { group, location: work_groups.location_of(group) },
            Err(_) => Registered::Unreadable(group.name_any()),
        });
        Registrations::of(id, registered)
    }

    fn hold(&self, registrations: &Registrations<'_>) -> Option<Hold> {
        registrations.hold(self.shared.index.work_groups.rules.read_only)
    }

    async fn apply_rules(
        &self,
        state: &mut CleanupState,
        registrations: &Registrations<'_>,
        work_group: WorkGroupId<'_>,
    ) -> CleanupProgress {
        if !self.shared.index.objects.is_complete() {
            return CleanupProgress::Done;
        }
        let ended_before = self.ended_before(state);
        let (sources, since) = (registrations.sources(), self.scope.since);
        let memory = match state.memory.take() {
            Some(memory) if memory.fits(&sources, since) => memory,
            _ => CleanupMemory::new(&sources, since),
        };
        let memory = state.memory.insert(memory);
        if self.poller.last_list(|began, _| memory.is_due(began, self.shared.timing.steady)) != Some(true) {
            return CleanupProgress::Done;
        }
        let Some(_under_way) = self.take_turn() else { return CleanupProgress::WaitsForTurn };
        let hold = self.hold(registrations);
        let reserved_by_others =
            memory.reserved_by_others(registrations.budget(), self.shared.timing.steady, Timestamp::now());
        let mut context = RunContext { work_group, hold, reserved_by_others, ended_before };
        let Some(mut run) = self.begin(memory, &context) else { return CleanupProgress::Done };
        self.take_steps(&mut run, memory, &mut context).await;
        let is_second = memory.has_judged();
        run.finish(memory);
        if is_second {
            let report = self.with_facts(memory, &context, |facts| {
                CleanupReport::of(&run, facts, context.hold.clone(), Timestamp::now())
            });
            self.tell_hold(state.report.as_ref(), &report);
            state.report = Some(report);
        }
        CleanupProgress::Done
    }

    /// How many sessions the runs before have ended. What this process has counted isn't recorded at once, and what is recorded
    /// may be of another process.
    fn ended_before(&self, state: &CleanupState) -> u32 {
        let recorded = self.group.status.as_ref().and_then(|status| status.cleanup.as_ref());
        let reported = state.report.as_ref().map(|report| &report.status);
        recorded.into_iter().chain(reported).map(|status| status.ended).max().unwrap_or_default()
    }

    fn take_turn(&self) -> Option<UnderWay<'_>> {
        let name = self.group.name_any();
        let begins = self.queue.lock().begin(&name, Instant::now());
        begins.then(|| UnderWay { queue: self.queue, name })
    }

    /// Judges the last complete list.
    fn begin(&self, memory: &CleanupMemory, context: &RunContext<'_>) -> Option<Run> {
        self.poller.last_list(|began, sessions| {
            self.with_facts(memory, context, |facts| Run::begin(began, sessions, memory, facts))
        })
    }

    async fn take_steps(&self, run: &mut Run, memory: &mut CleanupMemory, context: &mut RunContext<'_>) {
        // The AthenaWorkGroup as it was read last.
        let mut current = None;
        loop {
            self.stop_where_due(run, memory, context);
            match self.with_facts(memory, context, |facts| run.next(facts)) {
                CleanupStep::Done => return,
                CleanupStep::ListTags { id } => {
                    let answer = self.list_tags(&id, context.work_group).await;
                    self.with_facts(memory, context, |facts| run.tags_read(&id, answer, facts));
                }
                CleanupStep::GetCallerIdentity => {
                    // Other reconciliations go on with the account that was known before, where STS doesn't answer. An end needs
                    // an answer of this moment.
                    let is_confirmed = self.identity.confirm().await.is_ok();
                    run.account_confirmed(is_confirmed && self.is_same_account());
                }
                CleanupStep::ReadWorkGroups => {
                    current = self.read_work_groups(memory, context).await;
                    run.work_groups_read(current.is_some());
                }
                CleanupStep::Reserve { ends } => {
                    let is_recorded = match current.take() {
                        Some(current) => self.reserve(run, memory, context, current, ends).await,
                        None => false,
                    };
                    run.reserved(is_recorded);
                }
                CleanupStep::GetSessionStatus { id, before_end } => {
                    let (answer, sent) = self.get_session_status(&id, before_end).await;
                    run.status_read(&id, answer, sent);
                }
                CleanupStep::ReadDeclarations { id, markers } => {
                    let (answer, sent) = self.read_declarations(&id, &markers, context.work_group).await;
                    run.declarations_read(&id, answer, sent);
                }
                // The list that the run is about shows the sessions of the account before.
                CleanupStep::TerminateSession { .. } if !self.is_same_account() => return,
                CleanupStep::TerminateSession { id, rule } => {
                    let answer = self.terminate(run, &id, &rule).await;
                    run.terminated(&id, answer);
                }
            }
        }
    }

    /// Stops the run where a later list decides about the rest, or the rules or what holds them up have changed.
    fn stop_where_due(&self, run: &mut Run, memory: &CleanupMemory, context: &RunContext<'_>) {
        if let Some(latest) = self.poller.full_scan_at() {
            run.overtaken_by(latest, self.shared.timing.steady);
        }
        if !self.is_unchanged(memory, context) {
            run.work_groups_changed();
        }
    }

    async fn list_tags(&self, id: &str, of: WorkGroupId<'_>) -> Result<BTreeMap<String, String>, CallError> {
        let scope = QuotaScope::of(self.scope);
        self.shared.quotas.take(&scope, Operation::ListTagsForResource, Priority::Poll).await;
        let answer = self.identity.athena.list_tags(&session_arn(of.region, of.account, of.work_group, id)).await;
        self.notice_throttling(answer.as_ref().err());
        answer
    }

    /// The session's status, and when it was asked for. Before an end the token of TerminateSession is waited for first: waited
    /// for after the status had been read, it would make the status too old.
    async fn get_session_status(&self, id: &str, before_end: bool) -> (Result<SessionStatus, CallError>, Instant) {
        let scope = QuotaScope::of(self.scope);
        if before_end {
            self.shared.quotas.take(&scope, Operation::TerminateSession, Priority::End).await;
        }
        self.shared.quotas.take(&scope, Operation::GetSessionStatus, Priority::FreshLook).await;
        let sent = Instant::now();
        let answer = self.identity.athena.get_session_status(id).await;
        self.notice_throttling(answer.as_ref().err());
        (answer, sent)
    }

    /// What AthenaSessions declare of the session, as the API server says, and when it was asked.
    async fn read_declarations(
        &self,
        id: &str,
        markers: &[Marker],
        of: WorkGroupId<'_>,
    ) -> (Result<DeclaredSessions, String>, Instant) {
        let declarations = LiveDeclarations::new(self.shared.client.clone(), self.shared.deadline);
        let sent = Instant::now();
        let answer = declarations.of(id, markers, of.account_and_region()).await;
        (answer.map_err(|failure| failure.words()), sent)
    }

    /// Whether the watch shows the rules, and what holds them up, as they were when the run began.
    fn is_unchanged(&self, memory: &CleanupMemory, context: &RunContext<'_>) -> bool {
        let groups = self.shared.index.objects.groups();
        let registrations = self.registrations(context.work_group, &groups);
        memory.fits(&registrations.sources(), self.scope.since) && self.hold(&registrations) == context.hold
    }

    /// Whether calls have gone to one account since the reconciliation began.
    fn is_same_account(&self) -> bool {
        let now = self.identity.caller_context();
        now.since == self.scope.since && now.account == self.scope.account && now.region == self.scope.region
    }

    /// Calls `ask` with the facts of this moment.
    fn with_facts<T>(
        &self,
        memory: &CleanupMemory,
        context: &RunContext<'_>,
        ask: impl FnOnce(&CleanupFacts<'_>) -> T,
    ) -> T {
        let index = &self.shared.index;
        let declared_by =
            |id: &str, marker: Option<&Marker>| self.declared_by(id, marker, context.work_group.account_and_region());
        ask(&CleanupFacts {
            policy: &memory.policy,
            declarations: Declarations { cluster: Some(&index.cluster), declared_by: &declared_by },
            athena_time: self.identity.caller_context().athena_time(Timestamp::now()),
            tick: Instant::now(),
            may_end: memory.policy.enforces && context.hold.is_none(),
            reserved_by_others: context.reserved_by_others,
            ended_before: context.ended_before,
        })
    }

    /// The AthenaSession that declares a session, as the watches show it.
    fn declared_by(&self, id: &str, marker: Option<&Marker>, account_and_region: (&str, &str)) -> Option<String> {
        let index = &self.shared.index;
        let marked = marker.filter(|marker| marker.cluster == index.cluster);
        let marked = marked.map(|marker| (marker.namespace.clone(), marker.name.clone()));
        let mut declared = DeclaredSessions::default();
        for key in index.claims.claimants(id).into_iter().chain(marked) {
            let Some(object) = index.objects.session(&key) else { continue };
            let name = format!("{}/{}", key.0, key.1);
            // What can't be read of the object may be anywhere.
            let status = object.outline().ok().and_then(|object| object.status);
            let recorded_in = status.as_ref().map(|it| (it.account_id.as_deref(), it.region.as_deref()));
            declared.add(
                &Declaration {
                    object: &name,
                    uid: object.meta().uid.as_deref().unwrap_or_default(),
                    named: object.session_id(),
                    recorded: None,
                    recorded_in: recorded_in.unwrap_or_default(),
                },
                account_and_region,
            );
        }
        declared.declared_by(id, marker)
    }

    /// Reads all AthenaWorkGroups anew: an administrator may have protected sessions a moment ago, and the watch may lag behind.
    /// Returns this AthenaWorkGroup and the ends that were reserved last; None where the rules have changed, another
    /// AthenaWorkGroup is to apply them, or something holds the run.
    async fn read_work_groups(
        &self,
        memory: &CleanupMemory,
        context: &mut RunContext<'_>,
    ) -> Option<(AthenaWorkGroup, Option<CleanupBudget>)> {
        let groups = match within(self.shared.deadline, self.requests.api.list(&ListParams::default())).await {
            Ok(listed) => listed.items.into_iter().map(Arc::new).collect::<Vec<_>>(),
            Err(failure) => {
                warn!(problem = failure.words(), "the AthenaWorkGroups can't be listed: this run ends no session");
                return None;
            }
        };
        let registrations = self.registrations(context.work_group, &groups);
        let leader = registrations.leader().filter(|leader| leader.uid() == self.group.uid())?;
        let budget = registrations.budget();
        context.reserved_by_others = context.reserved_by_others.max(memory.reserved_by_others(
            budget,
            self.shared.timing.steady,
            Timestamp::now(),
        ));
        let is_held = self.hold(&registrations).is_some();
        let is_same = memory.fits(&registrations.sources(), self.scope.since);
        (is_same && !is_held).then(|| (leader.clone(), budget.cloned()))
    }

    /// Records how many ends follow, on the copy that was read a moment ago. Of two operators that try, one succeeds.
    async fn reserve(
        &self,
        run: &Run,
        memory: &mut CleanupMemory,
        context: &RunContext<'_>,
        (current, budget): (AthenaWorkGroup, Option<CleanupBudget>),
        ends: usize,
    ) -> bool {
        let report = self.with_facts(memory, context, |facts| CleanupReport::of(run, facts, None, Timestamp::now()));
        let reservation = memory.reserve(budget.as_ref(), ends, self.shared.timing.steady, Timestamp::now());
        let recorded = current.status.unwrap_or_default();
        let cleanup =
            CleanupStatus { budget: Some(reservation.budget.clone()), ..report.to_record(recorded.cleanup.clone()) };
        let status = AthenaWorkGroupStatus { cleanup: Some(cleanup), ..recorded };
        match self.requests.write_status(Box::new(AthenaWorkGroup { status: Some(status), ..current })).await {
            Ok(Answer::Object(_)) => {
                memory.reserved(reservation);
                true
            }
            Ok(Answer::Conflict { .. } | Answer::Gone) => false,
            Err(error) => {
                let name = self.group.name_any();
                warn!(name, problem = %error, "status.cleanup.budget can't be written: this run ends no session");
                false
            }
        }
    }

    async fn terminate(&self, run: &Run, id: &str, rule: &str) -> Result<(), CallError> {
        let answer = self.identity.athena.on_behalf_of_rule(rule).terminate_session(id).await;
        self.notice_throttling(answer.as_ref().err());
        if let Some(session) = run.session(id) {
            let ages = Ages::of(session.status, self.identity.caller_context().athena_time(Timestamp::now()));
            let end = EndByRule::of(self.group, self.poller.work_group(), rule, &session, ages);
            match &answer {
                Ok(accepted) => {
                    let answer = accepted.state.as_ref().map_or("none", |state| state.as_str());
                    end.log_accepted(answer, accepted.request_id.as_deref().unwrap_or("none"));
                    self.shared.events.tell(self.group.object_ref(&()), end.event());
                }
                Err(error) => end.log_failed(error),
            }
        }
        answer.map(drop)
    }

    fn notice_throttling(&self, error: Option<&CallError>) {
        if let Some(error) = error.filter(|error| error.class == ErrorClass::Throttled) {
            self.shared.quotas.throttled(&QuotaScope::of(self.scope), error.operation);
        }
    }

    /// Says in the log what holds the rules up, once.
    fn tell_hold(&self, before: Option<&CleanupReport>, now: &CleanupReport) {
        let reason = |report: &CleanupReport| report.held.as_ref().map(|held| held.reason.clone());
        if let Some(held) = &now.held
            && before.and_then(reason).as_ref() != Some(&held.reason)
        {
            let (name, reason, why) = (self.group.name_any(), &held.reason, &held.message);
            warn!(name, reason, why, "clean-up is held");
        }
    }
}

//! `cleanup`: ends the sessions of one work group that rules match, without the operator: from a laptop, a pipeline or a
//! CronJob. The rules are those of the operator, and nothing is ended without `--enforce`.
//!
//! Two complete lists are read, since a session must be matched in both. Right before each end three things are looked up anew:
//! which object declares the session, the session's status, and with these the verdict.

mod cluster;
mod manifest;
mod options;
mod report;
mod sessions;
mod terminal;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::cluster::Cluster;
use self::manifest::Task;
pub use self::options::Options;
use self::options::Output;
use self::report::{Outcome, Report, Row};
use self::sessions::{Sessions, TRIES, pause};
use self::terminal::{Person, Progress, agrees, has_colours};
use crate::athena::marker::Marker;
use crate::athena::types::{ErrorClass, ListedSession, SessionStatus};
use crate::cleanup::declarations::{Declarations, DeclaredSessions};
use crate::cleanup::plan::{Judged, RunPlan, Tally, Turn};
use crate::cleanup::verdict::{Judge, ProtectedBy, Tags, Verdict, markers};
use crate::session::observed::ANSWER_LIFE;
use crate::text::duration;

/// After so long, an end that Athena accepted counts as failed.
const END_DEADLINE: Duration = Duration::from_secs(300);

/// What is told before the first session is judged, where there is no cluster.
const NO_CLUSTER: &str = "no cluster is asked which sessions AthenaSessions declare: a rule may match, and --enforce may end, a \
                          session that an AthenaSession names in spec.sessionId. Only sessions that an operator started are \
                          left alone, by their mark. Give --kubeconfig if a cluster has AthenaSessions";

const QUESTION_UNSEEN: &str = "nothing was ended: stderr isn't a terminal, so nobody would see the question of --enforce; \
                               give --yes to end sessions without it";

/// Between two looks at a session that is ending.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Judges the sessions, ends those that are to be ended, and prints the result. Returns the exit code.
///
/// # Errors
/// Why nothing could be judged: then nothing has been ended. Or why the result can't be written to stdout: the summary on stderr
/// says how many sessions have ended.
pub async fn run(options: &Options) -> Result<u8, String> {
    let asks = options.enforce && !options.yes;
    if asks && Person::at_terminal() == Person::SeesNoQuestion {
        return Err(QUESTION_UNSEEN.to_owned());
    }
    let progress = Progress::new();
    let result = match Command::connect(options, &progress).await {
        Ok(command) => {
            // Before anything is ended.
            if command.cluster.is_none() {
                progress.aside(|| eprintln!("{NO_CLUSTER}"));
            }
            command.report(options, &progress).await
        }
        Err(why) => Err(why),
    };
    progress.clear();
    let report = result?;
    let text = match options.output {
        Output::Table => report.table(has_colours()),
        Output::Json => format!("{:#}\n", report.json()),
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    eprintln!("{}", report.summary());
    if let Some(held) = &report.held {
        eprintln!("{held}");
    }
    written.map_err(|error| format!("the result can't be written: {error}"))?;
    Ok(report.exit_code())
}

/// What is to be judged, and who is asked about it.
struct Command {
    task: Task,
    cluster: Option<Cluster>,
    sessions: Sessions,
}

/// A complete list, with what was declared when it was read.
struct List {
    sessions: Vec<(String, SessionStatus)>,
    declared: DeclaredSessions,
}

impl Command {
    async fn connect(options: &Options, progress: &Progress) -> Result<Self, String> {
        let task = Task::read(options)?;
        progress.doing("Asking who calls AWS, and which cluster there is");
        let cluster = Cluster::connect(options.kubeconfig.as_deref()).await?;
        let sessions = Sessions::connect(&task).await?;
        Ok(Self { task, cluster, sessions })
    }

    async fn report(&self, options: &Options, progress: &Progress) -> Result<Report, String> {
        let first = self.list(progress).await?;
        let was_matched: HashSet<_> = self
            .judged(&first, &HashMap::new())
            .iter()
            .filter(|judged| matches!(judged.verdict, Verdict::NeedsTags { .. }))
            .map(|judged| judged.session.id.to_owned())
            .collect();
        let list = if was_matched.is_empty() {
            first
        } else {
            progress.doing("Waiting before the second list");
            sleep(options.between_lists).await;
            self.list(progress).await?
        };
        let tags = self.tags(&list, &was_matched, progress).await;
        let judged = self.judged(&list, &tags);
        let plan = RunPlan::of(Tally::default(), &judged, &self.task.policy, |id| was_matched.contains(id), 0);
        let mut rows: Vec<_> = judged.iter().map(|judged| self.row(judged)).collect();
        for (position, turn) in &plan.turns {
            rows[*position].outcome = Outcome::Waits(self.why_it_waits(*turn));
        }
        self.carry_out(options, &list, &plan, &tags, &mut rows, progress).await?;
        Ok(Report {
            work_group: self.task.work_group.clone(),
            account: self.sessions.account.clone(),
            region: self.sessions.region.clone(),
            enforces: options.enforce,
            cluster: self.cluster.as_ref().map(|cluster| cluster.address.clone()),
            held: plan.held.map(|held| held.to_string()),
            rows,
            now: self.sessions.now(),
        })
    }

    fn account_and_region(&self) -> (&str, &str) {
        (&self.sessions.account, &self.sessions.region)
    }

    async fn list(&self, progress: &Progress) -> Result<List, String> {
        let work_group = &self.task.work_group;
        progress.doing(format!("Listing the sessions of {work_group}"));
        let read = |count| progress.doing(format!("Listing the sessions of {work_group}: {count}"));
        let sessions = self.sessions.list(read).await.map_err(|error| error.to_string())?;
        // After the sessions: an object that is applied meanwhile is seen.
        let declared = match &self.cluster {
            Some(cluster) => {
                cluster.declarations.all(self.account_and_region()).await.map_err(|failure| failure.words())?
            }
            None => DeclaredSessions::default(),
        };
        Ok(List { sessions, declared })
    }

    fn judged<'a>(&self, list: &'a List, tags: &HashMap<String, Tags>) -> Vec<Judged<'a>> {
        let declared_by = |id: &str, marker: Option<&Marker>| list.declared.declared_by(id, marker);
        let judge = self.judge(&declared_by);
        let unread = Tags::Unread;
        let judged = list.sessions.iter().map(|(id, status)| {
            let session = ListedSession::new(id, status);
            let verdict = judge.verdict(&session, tags.get(id).unwrap_or(&unread));
            Judged { session, verdict, tried_at: None }
        });
        judged.collect()
    }

    fn judge<'a>(&'a self, declared_by: &'a dyn Fn(&str, Option<&Marker>) -> Option<String>) -> Judge<'a> {
        let cluster = self.cluster.as_ref().map(|cluster| cluster.id.as_str());
        let declarations = Declarations { cluster, declared_by };
        Judge { policy: &self.task.policy, declarations, now: self.sessions.now() }
    }

    /// The tags of the sessions that both lists show as matched.
    async fn tags(&self, list: &List, was_matched: &HashSet<String>, progress: &Progress) -> HashMap<String, Tags> {
        let judged = self.judged(list, &HashMap::new());
        let is_due = |judged: &&Judged<'_>| {
            matches!(judged.verdict, Verdict::NeedsTags { .. }) && was_matched.contains(judged.session.id)
        };
        let due: Vec<_> = judged.iter().filter(is_due).map(|judged| judged.session.id).collect();
        progress.begin("Reading tags", due.len());
        let mut tags = HashMap::new();
        for id in due {
            tags.insert(id.to_owned(), self.read_tags(id).await);
            progress.step();
        }
        tags
    }

    async fn read_tags(&self, id: &str) -> Tags {
        self.sessions.tags(id).await.map_or_else(|error| Tags::Unreadable(error.to_string()), Tags::Read)
    }

    fn row(&self, judged: &Judged<'_>) -> Row {
        let left = |why: &str| Outcome::Left(why.to_owned());
        let (rule, outcome) = match &judged.verdict {
            Verdict::Ending => (None, left("it is being ended")),
            Verdict::Declared(object) => (None, Outcome::Left(format!("declared by the AthenaSession {object}"))),
            Verdict::Unmatched => (None, left("no rule matches")),
            // A role that may never read tags would end nothing for ever, and each run would seem to have done its work.
            Verdict::Protected { rule, by: by @ ProtectedBy::UnreadableTags(_) } => {
                (Some(*rule), Outcome::Failed(by.to_string()))
            }
            Verdict::Protected { rule, by } => (Some(*rule), Outcome::Left(format!("protected: {by}"))),
            Verdict::NeedsTags { rule } | Verdict::Matched { rule } => (Some(*rule), left("")),
        };
        let rule = rule.map(|rule| self.task.policy.rule_name(rule).to_owned());
        let (id, status) = (judged.session.id.to_owned(), judged.session.status.clone());
        Row { id, status, rule, outcome }
    }

    fn why_it_waits(&self, turn: Turn) -> String {
        match turn {
            Turn::Now => String::new(),
            Turn::NextList | Turn::NeedsTags => {
                "the first of the two lists didn't show it as matched: a later run decides".to_owned()
            }
            Turn::NextRun => {
                let most = self.task.policy.max_terminations_per_run;
                format!("left to a later run, since a run ends {most} sessions at the most (maxTerminationsPerRun)")
            }
            Turn::Held => "nothing is ended, since the rules match too many sessions (maxMatchedPercent)".to_owned(),
        }
    }

    /// Looks at each session that is due once more, ends it with `--enforce`, and waits for the ends.
    async fn carry_out(
        &self,
        options: &Options,
        list: &List,
        plan: &RunPlan,
        tags: &HashMap<String, Tags>,
        rows: &mut [Row],
        progress: &Progress,
    ) -> Result<(), String> {
        let due: Vec<_> = plan.ends().collect();
        if due.is_empty() {
            return Ok(());
        }
        if options.enforce && !options.yes && Person::at_terminal() != Person::Absent {
            let (live, work_group) = (plan.tally.live, &self.task.work_group);
            let Sessions { account, region, .. } = &self.sessions;
            let sessions: String =
                due.iter().map(|position| rows[*position].in_question(self.sessions.now())).collect();
            let question = format!(
                "{sessions}End {} of {live} sessions of {work_group}, account {account}, Region {region}?",
                due.len()
            );
            if !progress.aside(|| agrees(&question)) {
                return Err("nothing was ended".to_owned());
            }
        }
        progress.begin(if options.enforce { "Ending sessions" } else { "Looking at sessions" }, due.len());
        let mut ending = Vec::new();
        for position in due {
            let (id, status) = &list.sessions[position];
            let tags = tags.get(id).unwrap_or(&Tags::Unread);
            rows[position].outcome = self.look_and_end(id, status, tags, options.enforce).await;
            if rows[position].outcome == Outcome::Ended {
                ending.push(position);
            }
            progress.step();
        }
        progress.begin("Waiting for the ends", ending.len());
        let until = Instant::now() + END_DEADLINE;
        for position in ending {
            if let Err(why) = self.until_ended(&rows[position].id, until).await {
                rows[position].outcome = Outcome::Failed(why);
            }
            progress.step();
        }
        Ok(())
    }

    /// Looks at a session that is due, and ends it with `enforces`. [`Outcome::Ended`]: the end was asked for.
    async fn look_and_end(&self, id: &str, listed: &SessionStatus, tags: &Tags, enforces: bool) -> Outcome {
        let listed_as = |verdict| Judged { session: ListedSession::new(id, listed), verdict, tried_at: None };
        let outcome_by = |verdict| self.row(&listed_as(verdict)).outcome;
        if !enforces {
            return match self.last_look(id, listed, tags).await {
                Ok(Verdict::Matched { .. }) => Outcome::WouldEnd,
                Ok(verdict) => outcome_by(verdict),
                Err(why) => Outcome::Failed(why),
            };
        }
        let (mut tries, mut may_have_begun) = (1, false);
        loop {
            // Before the look, whose answers would be too old after a wait.
            self.sessions.take_token_to_end().await;
            // Somebody may have protected the session by a tag since the tags were read: to read many takes minutes, and so may
            // the answer to the question of `--enforce`.
            let tags = self.read_tags(id).await;
            let rule = match self.last_look(id, listed, &tags).await {
                Ok(Verdict::Matched { rule }) => rule,
                Ok(Verdict::Ending) if may_have_begun => return Outcome::Ended,
                Ok(verdict) => return outcome_by(verdict),
                Err(why) => return Outcome::Failed(why),
            };
            match self.sessions.end(id, self.task.policy.rule_name(rule)).await {
                Ok(()) => return Outcome::Ended,
                // Somebody may have begun to use the session meanwhile, or have declared it: another try needs another look.
                Err(error) if tries < TRIES && error.class.may_pass() => {
                    may_have_begun |= error.class == ErrorClass::Unavailable;
                    pause(tries).await;
                }
                Err(error) => return Outcome::Failed(error.to_string()),
            }
            tries += 1;
        }
    }

    /// The verdict on a session, by what is so at this moment.
    async fn last_look(&self, id: &str, listed: &SessionStatus, tags: &Tags) -> Result<Verdict, String> {
        let (status, sent) = self.sessions.status(id).await.map_err(|error| error.to_string())?;
        let status = status.after(Some(listed));
        // Last, so that an object that is applied in the middle of the run saves its session.
        let declared = self.declared_now(id, &status, tags).await;
        let declared = declared.map_err(|why| format!("the cluster can't tell whether it is declared: {why}"))?;
        let declared_by = |id: &str, marker: Option<&Marker>| declared.declared_by(id, marker);
        let verdict = self.judge(&declared_by).verdict(&ListedSession::new(id, &status), tags);
        if matches!(verdict, Verdict::Matched { .. }) && sent.elapsed() > ANSWER_LIFE {
            return Err(
                "a last look at it took too long: Athena's answer and the cluster's must be close together".to_owned()
            );
        }
        Ok(verdict)
    }

    /// What the cluster declares of this session at this moment.
    async fn declared_now(&self, id: &str, status: &SessionStatus, tags: &Tags) -> Result<DeclaredSessions, String> {
        let Some(cluster) = &self.cluster else { return Ok(DeclaredSessions::default()) };
        let markers = markers(status, Some(tags), &cluster.id);
        cluster.declarations.of(id, &markers, self.account_and_region()).await.map_err(|failure| failure.words())
    }

    async fn until_ended(&self, id: &str, until: Instant) -> Result<(), String> {
        loop {
            let (status, _) = self.sessions.status(id).await.map_err(|error| error.to_string())?;
            if status.state.is_ended() {
                return Ok(());
            }
            if Instant::now() >= until {
                let (waited, state) = (duration(END_DEADLINE), status.state);
                return Err(format!(
                    "Athena accepted its end {waited} ago, and it is {state} still: run the command again"
                ));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

//! `athena-session-operator cleanup`: the real program against the fake Athena, without a cluster.

#![allow(missing_docs, reason = "the tests' names say what they show")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod terminal;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use fake_athena::{Config, FakeAthena, Fault, NewSession};
use serde_json::Value;
use tokio::process::Command;

const RULES: &str = r#"
rules:
- name: forgotten-dbt
  match: {states: [IDLE], idleFor: 1h, olderThan: 2h, description: "^dbt: "}
- name: nameless
  match: {olderThan: 3h, description: "^$"}
protect:
- {description: "prod"}
- {tag: team, value: risk}
"#;

struct World {
    athena: FakeAthena,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(rules: &str) -> Self {
        let terminating = Some(Duration::from_millis(100));
        let athena = FakeAthena::start(Config { terminating, ..Config::default() }).await.unwrap();
        let world = Self { athena, folder: tempfile::tempdir().unwrap() };
        std::fs::write(world.rules(), rules).unwrap();
        world
    }

    fn rules(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    fn session(&self, description: Option<&str>, hours: u64) -> String {
        self.add(NewSession { description: description.map(str::to_owned), ..aged(hours) })
    }

    fn add(&self, session: NewSession) -> String {
        self.athena.add_session(NewSession { work_group: Some("spark-team-a".to_owned()), ..session })
    }

    fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("HOME", "/nonexistent".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL", self.athena.url()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "planted-secret".to_owned()),
        ]
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athena-session-operator"));
        command.env_clear().envs(self.environment()).stdin(Stdio::null()).arg("cleanup").args(["--between-lists", "0"]);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(["--work-group", "spark-team-a", "--rules"]).arg(self.rules()).args(arguments);
        command.output().await.unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.run(&[&["-o", "json"], arguments].concat()).await;
        let value = serde_json::from_slice(&output.stdout);
        (value.unwrap_or_else(|error| panic!("{error}: {}", said(&output))), output.status.code().unwrap())
    }

    fn state(&self, id: &str) -> String {
        self.athena.session(id).unwrap().state
    }
}

fn aged(hours: u64) -> NewSession {
    NewSession { age: Duration::from_secs(hours * 3600), ..NewSession::default() }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn of<'a>(report: &'a Value, id: &str) -> &'a Value {
    let sessions = report["sessions"].as_array().unwrap();
    sessions.iter().find(|session| session["sessionId"] == id).unwrap_or_else(|| panic!("{id} isn't in {report}"))
}

#[tokio::test]
async fn a_dry_run_says_what_enforce_then_ends() {
    let world = World::new(RULES).await;
    let dbt = world.session(Some("dbt: orders"), 4);
    let nameless = world.session(None, 4);
    let prod = world.session(Some("dbt: prod"), 4);
    let young = world.session(Some("dbt: orders"), 1);
    let risk = world.add(NewSession { tags: [("team".to_owned(), "risk".to_owned())].into(), ..aged(4) });
    let marked = world.session(Some("dbt: x [athena-operator c1 team-a/nightly u1]"), 4);

    let (dry, code) = world.json(&[]).await;
    assert_eq!(code, 2, "{dry}");
    assert_eq!(world.athena.calls_of("TerminateSession", None), 0);
    for (id, rule) in [(&dbt, "forgotten-dbt"), (&nameless, "nameless")] {
        assert_eq!((&of(&dry, id)["verdict"], &of(&dry, id)["rule"]), (&"WouldEnd".into(), &rule.into()));
    }
    for (id, why) in [
        (&prod, "protected: protect: description"),
        (&young, "no rule matches"),
        (&risk, "protected: protect: tag team"),
        (&marked, "no cluster was asked"),
    ] {
        let left = of(&dry, id);
        assert!(left["verdict"] == "Left" && left["why"].as_str().unwrap().contains(why), "{left}");
    }
    assert_eq!(world.athena.calls_of("ListTagsForResource", None), 3, "only of those that a rule matches");

    let (done, code) = world.json(&["--enforce"]).await;
    assert_eq!(code, 0, "{done}");
    for session in done["sessions"].as_array().unwrap() {
        let id = session["sessionId"].as_str().unwrap();
        let would = of(&dry, id)["verdict"] == "WouldEnd";
        assert_eq!(session["verdict"] == "Ended", would, "{session}");
        assert_eq!(world.state(id) == "TERMINATED", would, "{session}");
    }
    let agents = world.athena.calls();
    let ends: Vec<_> = agents.iter().filter(|call| call.operation == "TerminateSession").collect();
    assert_eq!(ends.len(), 2);
    assert!(
        ends.iter().any(|call| call.user_agent.as_ref().unwrap().contains("(cleanup forgotten-dbt)")),
        "CloudTrail names the rule"
    );
    let (again, code) = world.json(&[]).await;
    assert_eq!(code, 0, "nothing matches any more: {again}");
}

#[tokio::test]
async fn a_table_as_kubectl_prints_it_without_colours_in_a_pipe() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    let output = world.run(&[]).await;
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("SESSION ") && lines[0].ends_with("VERDICT"), "{table}");
    let words: Vec<_> = lines[1].split("   ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(words, [&id, "IDLE", "4h", "4h", "dbt: orders", "would be ended (forgotten-dbt)"]);
    assert!(!table.contains('\u{1b}'));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("\nspark-team-a: 1 session, 1 would be ended with --enforce\n"), "{errors}");
    assert!(errors.contains("no cluster is asked") && !errors.contains('\u{1b}'), "{errors}");
    assert!(errors.contains("--enforce may end, a session that an AthenaSession names"), "the danger: {errors}");
}

/// The disk is full, or the program that reads the table has gone: people learn all the same what was ended.
#[tokio::test]
async fn the_summary_is_told_where_the_table_cant_be_written() {
    let world = World::new(RULES).await;
    world.session(Some("dbt: orders"), 4);
    let mut command = world.command();
    command.args(["--work-group", "spark-team-a", "--enforce", "--yes", "--rules"]).arg(world.rules());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().await.unwrap();
    let said = said(&output);
    assert!(said.contains("1 session, 1 ended") && said.contains("the result can't be written"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_session_that_is_at_work_again_isnt_ended() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    // The lists lag behind.
    world.athena.set_state(&id, "BUSY");
    world.athena.list_as(&id, Some("IDLE"));
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!((code, world.state(&id).as_str()), (0, "BUSY"), "{report}");
    assert_eq!(of(&report, &id)["verdict"], "Left");
}

/// Athena refuses the first TerminateSession for being too fast. The session goes to work before the next try.
#[tokio::test]
async fn a_session_that_goes_to_work_between_two_tries_isnt_ended() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    world.athena.fault(Fault::throttled().on("TerminateSession").times(1));
    let goes_to_work = async {
        while world.athena.calls_of("TerminateSession", None) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.athena.set_state(&id, "BUSY");
    };
    let ((report, code), ()) = tokio::join!(world.json(&["--enforce"]), goes_to_work);
    assert_eq!((code, world.state(&id).as_str()), (0, "BUSY"), "{report}");
    assert_eq!(of(&report, &id)["verdict"], "Left");
}

#[tokio::test]
async fn an_end_whose_answer_is_lost_counts_as_an_end() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    world.athena.fault(Fault::cut().on("TerminateSession").after_effect().times(1));
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!((code, world.state(&id).as_str()), (0, "TERMINATED"), "{report}");
    assert_eq!(of(&report, &id)["verdict"], "Ended");
}

/// Tags of many sessions are read in minutes, and a person at a terminal may answer in an hour.
#[tokio::test]
async fn a_tag_that_is_put_on_while_others_are_read_protects() {
    let world = World::new(RULES).await;
    let id = world.add(NewSession {
        description: Some("dbt: orders".to_owned()),
        tags: [("team".to_owned(), "risk".to_owned())].into(),
        ..aged(4)
    });
    let untagged = serde_json::json!({"Tags": []});
    world.athena.fault(Fault::says(untagged).on("ListTagsForResource").times(1));
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!((code, world.state(&id).as_str()), (0, "IDLE"), "{report}");
    assert!(of(&report, &id)["why"].as_str().unwrap().contains("protect: tag team"), "{report}");
}

#[tokio::test]
async fn tags_that_cant_be_read_protect_and_fail_the_run() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    world.athena.fault(Fault::error("AccessDeniedException", "no").on("ListTagsForResource"));
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!((code, world.state(&id).as_str()), (1, "IDLE"), "{report}");
    assert!(of(&report, &id)["why"].as_str().unwrap().contains("its tags can't be read"), "{report}");
}

#[tokio::test]
async fn too_large_a_share_and_the_budget_leave_sessions() {
    let world = World::new(&format!("{RULES}\nmaxTerminationsPerRun: 3\n")).await;
    let ids: Vec<_> = (0..6).map(|hour| world.session(Some("dbt: x"), 4 + hour)).collect();
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!((code, world.athena.calls_of("TerminateSession", None)), (1, 0), "{report}");
    assert!(report["held"].as_str().unwrap().contains("the rules match 6 of 6 sessions"), "{report}");
    (0..6).for_each(|_| drop(world.session(Some("used"), 1)));
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!(code, 1, "three are left: {report}");
    let ended = ids.iter().map(|id| world.state(id) == "TERMINATED").collect::<Vec<_>>();
    assert_eq!(ended, [false, false, false, true, true, true], "the oldest first");
}

#[tokio::test]
async fn a_refused_end_fails_the_run() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    world.athena.fault(Fault::error("AccessDeniedException", "no").on("TerminateSession"));
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!((code, &of(&report, &id)["verdict"]), (1, &"Failed".into()), "{report}");
}

#[tokio::test]
async fn a_manifest_gives_work_group_role_and_rules() {
    let world = World::new(RULES).await;
    let id = world.session(Some("dbt: orders"), 4);
    let rules = RULES.replace('\n', "\n    ");
    let manifest = format!(
        "apiVersion: athena-operator.dev/v1alpha1\nkind: AthenaWorkGroup\nmetadata: {{name: a}}\nspec:\n  workGroup: \
         spark-team-a\n  region: eu-west-1\n  roleArn: arn:aws:iam::123456789012:role/cleaner\n  cleanup:\n    {rules}"
    );
    let file = world.folder.path().join("group.yaml");
    std::fs::write(&file, manifest).unwrap();
    let output = world.command().args(["--enforce", "-f"]).arg(&file).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(world.state(&id), "TERMINATED");
    assert!(world.athena.calls_of("AssumeRole", None) > 0);
}

/// A misspelt Region or role would lead to other sessions.
#[tokio::test]
async fn a_manifest_that_isnt_one_of_this_kind_is_refused() {
    let world = World::new(RULES).await;
    let file = world.folder.path().join("group.yaml");
    let manifest = "apiVersion: athena-operator.dev/v1alpha1\nkind: AthenaWorkGroup\nmetadata: {name: spark-team-a}\nspec: \
                    {region: eu-west-1, cleanup: {protect: [{tag: keep}]}, namespaces: {from: Selector, selector: \
                    {matchLabels: {team: a}}}}";
    for (from, to, words) in [
        ("region", "regin", "there is no field spec.regin"),
        ("protect", "protekt", "there is no field spec.cleanup.protekt"),
        ("v1alpha1", "v9", "is no AthenaWorkGroup of athena-operator.dev/v1alpha1"),
        ("kind: Athena", "kind: Other", "is no AthenaWorkGroup of"),
        ("cleanup: {protect: [{tag: keep}]}", "workGroup: a", "has no rules"),
        ("from: Selector", "from: Somewhere", "line 4, column "),
        ("}}}}", "}}}}\n---\na: b", "at line 6, column 1"),
    ] {
        std::fs::write(&file, manifest.replace(from, to)).unwrap();
        let output = world.command().arg("-f").arg(&file).output().await.unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains(words), "{from}: {}", said(&output));
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    }
    assert!(world.athena.calls().is_empty());
    std::fs::write(&file, manifest).unwrap();
    let output = world.command().arg("-f").arg(&file).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[tokio::test]
async fn bad_rules_and_bad_flags_fail_with_one_line_each() {
    for (rules, words) in [
        ("rules: [{name: x, match: {}}]", "rules[0].match: an empty match would match every session"),
        ("rules: [{name: x, match: {description: '('}}]", "rules[0].match.description: the regular expression \"(\""),
        ("rules: [{name: x, match: {idelFor: 1h}}]", "there is no field rules[0].match.idelFor"),
        ("protekt: [{tag: keep}]", "there is no field protekt"),
        ("rules: [{match: {description: x}}]", "rules[0].name: a rule needs a name"),
        ("mode: Maybe", "line 1, column 7: unknown variant"),
        ("rules: [{name: x, match: {states: IDLE}}]", "line 1, column 35: invalid type: string \"IDLE\""),
        ("rules: [{name: x, match: {orphaned: 'yes'}}]", "invalid type: string \"yes\", expected a boolean"),
        ("rules: []\n---\nrules: []", "at line 3, column 1"),
        ("rules: []\nrules: []", "at line 2, column 1"),
        ("", "has no rules: write the fields of spec.cleanup"),
        ("cleanup: {rules: []}", "there is no field cleanup"),
        ("kind: AthenaWorkGroup", "is a manifest: give it with -f"),
    ] {
        let world = World::new(rules).await;
        let output = world.run(&["--enforce"]).await;
        assert_eq!(output.status.code(), Some(1), "{rules}");
        assert!(said(&output).contains(words), "{}", said(&output));
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        assert!(world.athena.calls().is_empty());
    }
    let world = World::new(RULES).await;
    for arguments in [&["--work-group", "x"][..], &["-f", "x", "--rules", "y"], &["--wrong"], &[]] {
        let output = world.command().args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "2 means that rules match: {}", said(&output));
    }
    let kubeconfig = world.run(&["--kubeconfig", "/nonexistent/config"]).await;
    assert!(kubeconfig.status.code() == Some(1) && said(&kubeconfig).contains("/nonexistent/config"));
}

#[tokio::test]
async fn without_a_match_one_list_is_read_and_nothing_else_is_asked() {
    let world = World::new(RULES).await;
    world.session(Some("used"), 9);
    let (report, code) = world.json(&["--enforce"]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(world.athena.calls_of("ListSessions", None), 2, "one for each of two filters");
    assert_eq!(world.athena.calls().len(), 3, "and GetCallerIdentity");
}

//! The manifests of `deploy/` and its examples. All other tests run under the RBAC rules of these manifests.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, World, in_checkout};

const EXAMPLES: &str = "deploy/examples";

#[tokio::test]
async fn the_installation_applies_as_one() {
    let world = World::new().await;
    let rendered = world.plane.kubectl_ok(&["kustomize", &in_checkout("deploy")]).await;
    for kind in [
        "CustomResourceDefinition",
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "Deployment",
    ] {
        assert!(rendered.contains(&format!("kind: {kind}\n")), "there is no {kind}");
    }
    for promise in [
        "type: Recreate",
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "path: /livez",
        "path: /readyz",
        "containerPort: 8080",
    ] {
        assert!(rendered.contains(&format!(" {promise}\n")), "{promise} isn't there");
    }
    let apply = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"];
    world.plane.kubectl_with_ok(&apply, &rendered).await;
}

/// The other tests show that the rights are enough. This test shows that there are few more.
#[tokio::test]
async fn the_rights_are_few() {
    let world = World::new().await;
    let account = format!("--as=system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
    let kind = "athenasessions.athena-operator.dev";
    for (verb, resource) in [
        ("get", "secrets"),
        ("create", "pods"),
        ("list", "events.events.k8s.io"),
        ("create", kind),
        ("update", kind),
        ("delete", kind),
        ("deletecollection", kind),
    ] {
        let output = world.plane.kubectl(&["auth", "can-i", verb, resource, "-A", &account]).await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "no", "the operator may {verb} {resource}");
    }
}

#[tokio::test]
async fn the_examples_are_valid() {
    let world = World::new().await;
    let folder = in_checkout(EXAMPLES);
    world.plane.kubectl_ok(&["apply", "--dry-run=server", "-n", &world.namespace, "-R", "-f", &folder]).await;
}

/// The objects that kubectl finds in a file, or in a folder with its subfolders.
async fn objects_of(world: &World, path: &str, input: &str) -> Vec<Value> {
    let read = ["create", "--dry-run=client", "-n", &world.namespace, "-o", "json", "-R", "-f", path];
    let json = world.plane.kubectl_with_ok(&read, input).await;
    let objects = serde_json::Deserializer::from_str(&json).into_iter::<Value>().map(Result::unwrap);
    objects.flat_map(|it| it.get("items").and_then(Value::as_array).cloned().unwrap_or(vec![it])).collect()
}

#[tokio::test]
async fn the_examples_can_be_applied_together() {
    let world = World::new().await;
    for usual in ["adopt", "start", "with-job", "limits", "keep"] {
        assert!(Path::new(&in_checkout(&format!("{EXAMPLES}/{usual}.yaml"))).is_file(), "{usual}.yaml");
    }
    let mut seen = BTreeSet::new();
    for object in objects_of(&world, &in_checkout(EXAMPLES), "").await {
        let (kind, name, spec) = (&object["kind"], &object["metadata"]["name"], &object["spec"]);
        for what in [
            format!("{kind} {name}"),
            format!("session {}", spec["sessionId"]),
            format!("ConfigMap {}", spec["publishTo"]["configMapName"]),
            format!("work group {}", spec["workGroup"]),
        ] {
            assert!(what.ends_with("null") || seen.insert(what.clone()), "{what} is in two examples");
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[tokio::test]
async fn an_example_says_at_its_top_what_it_needs_and_costs() {
    let mut folders = vec![in_checkout(EXAMPLES)];
    let mut number = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.display().to_string());
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let top: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
                for word in ["# Needs: ", "# Costs: "] {
                    assert!(top.iter().any(|line| line.starts_with(word)), "{} lacks {word}", path.display());
                }
                number += 1;
            }
        }
    }
    assert!(number > 9, "{number}");
}

/// A Job that still exists and is complete would end the session of the next run at once.
#[tokio::test]
async fn an_example_run_uses_one_name_and_its_job_goes_first() {
    let world = World::new().await;
    let folder = in_checkout(EXAMPLES);
    let per_run = std::fs::read_to_string(format!("{folder}/with-job-per-run.yaml.in")).unwrap().replace("${RUN}", "7");
    for (path, input, suffix) in [(&*format!("{folder}/with-job.yaml"), "", ""), ("-", &*per_run, "-7")] {
        let objects = objects_of(&world, path, input).await;
        let [session, job] = &objects[..] else { panic!("{objects:?}") };
        let (run, spec) = (format!("nightly-report{suffix}"), &session["spec"]);
        let config_map = &job["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"];
        assert_eq!(
            (&session["metadata"]["name"], &job["metadata"]["name"]),
            (&run.clone().into(), &run.clone().into())
        );
        assert_eq!(spec["endWith"][0]["name"], run);
        assert_eq!(&spec["publishTo"]["configMapName"], config_map);
        assert!(config_map.as_str().unwrap().starts_with(&run));
        assert_eq!((&spec["ttlAfterEnded"], &job["spec"]["ttlSecondsAfterFinished"]), (&"24h".into(), &3600.into()));
    }
    world.plane.kubectl_with_ok(&["create", "--dry-run=server", "-n", &world.namespace, "-f", "-"], &per_run).await;
}

/// The script of the example's Job, as far as it runs without a kubelet.
#[test]
fn the_job_of_an_example_waits_for_a_session_and_not_for_ever() {
    for path in ["with-job.yaml", "with-job-per-run.yaml.in", "job-owns-session/job.yaml.in"] {
        let text = std::fs::read_to_string(in_checkout(&format!("{EXAMPLES}/{path}"))).unwrap();
        let script = text.lines().find_map(|line| line.trim().strip_prefix("- for second in ")).expect(path);
        assert!(
            text.contains("activeDeadlineSeconds: ") && text.contains("{containerName: wait-for-session, "),
            "{path}"
        );
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(path.replace(['/', '.'], "-"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        // The test doesn't wait for a quarter of an hour.
        let script = format!("for second in {script}").replace("seq 900", "seq 3").replace("sleep 1", "sleep 0");
        let script = script.replace("/session/", &format!("{}/", folder.display()));
        let wait = || std::process::Command::new("sh").args(["-c", &script]).status().unwrap().code();
        assert_eq!(wait(), Some(1), "{script}");
        std::fs::write(folder.join("ATHENA_SESSION_ID"), "one").unwrap();
        assert_eq!(wait(), Some(0), "{script}");
    }
}

/// Uses the component deploy/names, and a ConfigMap that only kustomize sees.
#[tokio::test]
async fn kustomize_renames_what_an_athena_session_refers_to() {
    let world = World::new().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("renamed");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let example = |path: &str| in_checkout(&format!("{EXAMPLES}/{path}"));
    for path in [example("with-job.yaml"), example("tenants/work-group.yaml"), in_checkout("deploy/names")] {
        assert!(
            std::process::Command::new("cp").arg("-R").args([path.as_str()]).arg(&folder).status().unwrap().success()
        );
    }
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: nightly-report-session\n  \
                      annotations: {config.kubernetes.io/local-config: \"true\"}\n";
    std::fs::write(folder.join("config-map.yaml"), config_map).unwrap();
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: use}\nrules:\n- apiGroups: \
                [athena-operator.dev]\n  resources: [athenaworkgroups]\n  resourceNames: [team-a-spark]\n  verbs: [use]\n";
    std::fs::write(folder.join("role.yaml"), role).unwrap();
    let kustomization = "namePrefix: dev-\nnameSuffix: \"-2\"\nresources: [with-job.yaml, work-group.yaml, config-map.yaml, \
                         role.yaml]\ncomponents: [names]\n";
    std::fs::write(folder.join("kustomization.yaml"), kustomization).unwrap();
    let yaml = world.plane.kubectl_ok(&["kustomize", folder.to_str().unwrap()]).await;
    let objects = objects_of(&world, "-", &yaml).await;
    let of = |kind: &str| objects.iter().find(|it| it["kind"] == kind);
    let (session, job) = (of("AthenaSession").unwrap(), of("Job").unwrap());
    let (name, pod) = ("dev-nightly-report-2", &job["spec"]["template"]["spec"]);
    assert_eq!((&session["metadata"]["name"], &job["metadata"]["name"]), (&name.into(), &name.into()));
    assert_eq!(session["spec"]["endWith"][0]["name"], name);
    assert_eq!(session["spec"]["workGroupRef"]["name"], "dev-team-a-spark-2");
    assert_eq!(of("AthenaWorkGroup").unwrap()["metadata"]["name"], "dev-team-a-spark-2");
    assert_eq!(of("ClusterRole").unwrap()["rules"][0]["resourceNames"][0], "dev-team-a-spark-2");
    let config_map = "dev-nightly-report-session-2";
    assert_eq!(session["spec"]["publishTo"]["configMapName"], config_map);
    assert_eq!(pod["containers"][0]["envFrom"][0]["configMapRef"]["name"], config_map);
    assert_eq!(pod["volumes"][0]["configMap"]["name"], config_map);
    assert!(of("ConfigMap").is_none(), "the operator creates it");
}

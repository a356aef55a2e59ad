//! The blocks of pages that are neither run nor applied: the file name of the page, the block's first line, and why.

use super::manifests::manifest;
use super::pages;

#[rustfmt::skip]
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "make demo    # watch it start and end sessions, with a real Kubernetes API server and a fake Athena: no AWS, no cluster", "CI runs both"),
    ("README.md", "kubectl apply -k deploy", "installation.md runs it"),
    ("installation.md", "docker build -t images.example.com/athena-session-operator:0.1.0 .", "needs a registry"),
    ("installation.md", "aws eks create-pod-identity-association --cluster-name data --namespace athena-session-operator \\", "needs AWS"),
    ("installation.md", "resources: [deploy]", "a kustomization; admission_policies.rs renders it"),
    ("installation.md", "kubectl rollout status -n athena-session-operator deploy/athena-session-operator", "no node runs the Deployment"),
    ("installation.md", "cargo install --path . --locked", "builds for minutes, and runs until Ctrl-C"),
    ("security.md", "namespaces:", "a field of an AthenaWorkGroup"),
    ("backup-and-restore.md", "velero backup create nightly --exclude-resources athenasessions.athena-operator.dev", "needs Velero"),
    ("gitops.md", "resource.customizations.health.athena-operator.dev_AthenaSession: |", "Argo CD reads it"),
    ("troubleshooting.md", "metadata:", "annotations for any manifest"),
    ("cleanup.md", "aws athena tag-resource --tags Key=athena-operator.dev/keep-until,Value=2027-01-31T00:00:00Z \\", "needs AWS"),
];

/// Every block is run, or applied, or read, or listed above.
#[test]
fn no_block_escapes_the_tests() {
    let mut unlisted = Vec::new();
    let mut unused: Vec<_> = NOT_RUN.iter().collect();
    for page in pages::for_users() {
        let name = page.path.rsplit('/').next().unwrap_or_default();
        for block in page.blocks() {
            let first = block.text.lines().next().unwrap_or_default().trim();
            let is_tested = match block.language.as_str() {
                "console" | "text" | "" => true,
                "yaml" => manifest(&block.text).is_some(),
                "json" => serde_json::from_str::<serde_json::Value>(&block.text).is_ok(),
                _ => false,
            };
            if is_tested {
                continue;
            }
            if let Some(at) = unused.iter().position(|(of, line, _)| *of == name && *line == first) {
                unused.remove(at);
            } else {
                unlisted.push(format!("{}:{}: {:?}", page.path, block.line, (name, first, block.language.as_str())));
            }
        }
    }
    assert!(
        unlisted.is_empty(),
        "NOT_RUN of tests/operator/docs/not_run.rs must say why these aren't run: {unlisted:#?}"
    );
    assert!(unused.is_empty(), "NOT_RUN lists blocks that aren't there: {unused:#?}");
}

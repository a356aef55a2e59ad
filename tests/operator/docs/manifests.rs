//! The API server takes each manifest of the pages.

use super::pages;
use crate::world::World;

/// What a block in YAML says to create; None where it is no manifest of Kubernetes. Where it has nothing but `spec`, it is taken
/// for a part of one of our kinds.
pub fn manifest(block: &str) -> Option<String> {
    let has = |key: &str| block.lines().any(|line| line.starts_with(key));
    if has("apiVersion:") && has("kind:") {
        // kustomize reads it, not the API server.
        return (!has("kind: Kustomization") && !has("kind: Component")).then(|| block.to_owned());
    }
    let spec = block.strip_prefix("spec:\n")?;
    let of_work_group = ["workGroup:", "region:", "roleArn:", "namespaces:"];
    let fields = || spec.lines().filter_map(|line| line.strip_prefix("  "));
    let begins = |names: &[&str]| fields().any(|field| names.iter().any(|name| field.starts_with(name)));
    let (kind, names_a_session) = if begins(&of_work_group) {
        ("AthenaWorkGroup", true)
    } else {
        ("AthenaSession", begins(&["sessionId:", "start:"]))
    };
    let session = if names_a_session { "" } else { "  sessionId: of-the-docs\n" };
    Some(format!(
        "apiVersion: athena-operator.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: of-the-docs}}\nspec:\n{session}{spec}"
    ))
}

#[tokio::test]
async fn each_manifest_of_the_docs_is_taken() {
    let world = World::new().await;
    let mut taken = 0;
    for page in pages::for_users() {
        for block in page.blocks().filter(|block| block.language == "yaml") {
            let Some(manifest) = manifest(&block.text) else { continue };
            if let Err(refusal) = apply(&world, &manifest).await {
                panic!("{}:{}: {refusal}\n{manifest}", page.path, block.line);
            }
            taken += 1;
        }
    }
    assert!(taken >= 5, "{taken}");
}

/// A dry run. The namespaces that the manifest names are created, since the docs assume that they are there.
async fn apply(world: &World, manifest: &str) -> Result<(), String> {
    for _ in 0..5 {
        let asked = ["apply", "--dry-run=server", "-f", "-", "-n", &world.namespace];
        // kubectl refuses a namespace on the command line that differs from the manifest's.
        let asked = if manifest.contains("namespace:") { &asked[..4] } else { &asked };
        let output = world.plane.kubectl_with(asked, manifest).await.unwrap();
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8(output.stderr).unwrap();
        let missing = said.split_once("namespaces \"").and_then(|(_, rest)| rest.split_once("\" not found"));
        let Some((missing, _)) = missing else { return Err(said) };
        world.plane.kubectl_ok(&["create", "namespace", missing]).await;
    }
    Err("its namespaces".to_owned())
}

#[test]
fn a_part_of_a_manifest_is_completed() {
    let limits = manifest("spec:\n  maxLifetime: 8h").unwrap();
    assert!(limits.ends_with("spec:\n  sessionId: of-the-docs\n  maxLifetime: 8h"), "{limits}");
    assert!(manifest("spec:\n  start: {}").unwrap().ends_with("spec:\n  start: {}"));
    assert!(manifest("spec:\n  namespaces: {from: All}").unwrap().contains("kind: AthenaWorkGroup"));
    assert_eq!(manifest("resources: [deploy]"), None);
}

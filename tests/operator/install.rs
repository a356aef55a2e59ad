//! The files of `deploy/`, as the API server takes them. Every other test runs under their RBAC rules.

use crate::world::{World, in_checkout};

#[tokio::test]
async fn the_installation_applies_as_one() {
    let world = World::new().await;
    let rendered = world.plane.kubectl_ok(&["kustomize", &in_checkout("deploy")]).await;
    for kind in
        ["CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment"]
    {
        assert!(rendered.contains(&format!("kind: {kind}\n")), "there is no {kind}");
    }
    let apply = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"];
    world.plane.kubectl_with_ok(&apply, &rendered).await;
}

#[tokio::test]
async fn the_examples_are_valid() {
    let world = World::new().await;
    let folder = in_checkout("deploy/examples");
    world.plane.kubectl_ok(&["apply", "--dry-run=server", "-n", &world.namespace, "-f", &folder]).await;
}

//! The files of `deploy/`, as the API server takes them. Every other test runs under their RBAC rules.

use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, World, in_checkout};

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

/// What works is shown by the other tests; this shows that there is little more.
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
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "no", "it may {verb} {resource}");
    }
}

#[tokio::test]
async fn the_examples_are_valid() {
    let world = World::new().await;
    let folder = in_checkout("deploy/examples");
    world.plane.kubectl_ok(&["apply", "--dry-run=server", "-n", &world.namespace, "-R", "-f", &folder]).await;
}

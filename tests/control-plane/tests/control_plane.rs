//! What a control plane can do: everything that an operator and its tests need is real.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::Duration;

use control_plane::{AuditEntry, ControlPlane};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{
    Api, Client, Error, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

/// Also long enough for the first start on a busy machine.
async fn bounded<T>(test: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(150), test).await.unwrap()
}

async fn new_namespace(client: &Client, name: &str) {
    let namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

async fn new_service_account(client: &Client, namespace: &str, name: &str) {
    let account = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    Api::<ServiceAccount>::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
}

fn code<T>(answer: Result<T, Error>) -> u16 {
    match answer {
        Ok(_) => 200,
        Err(Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn it_serves_the_version_that_go_mod_names() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let version = control_plane.client().await.apiserver_version().await;
    let version = version.unwrap();
    assert!(include_str!("../go.mod").contains(&format!("k8s.io/kubernetes {}\n", version.git_version)), "{version:?}");
}

#[tokio::test]
async fn tests_of_one_process_share_one() {
    let (one, other) = bounded(async {
        // Each on a runtime of its own, as tests are.
        let start = || std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(ControlPlane::shared()));
        let (one, other) = (start(), start());
        (one.join().unwrap(), other.join().unwrap())
    })
    .await;
    assert_eq!(one.folder(), other.folder());
}

#[tokio::test]
async fn a_service_account_may_do_what_a_role_allows_and_nothing_else() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let admin = control_plane.client().await;
    new_namespace(&admin, "rbac").await;
    new_service_account(&admin, "rbac", "reader").await;
    let kubeconfig = control_plane.kubeconfig_for_service_account("rbac", "reader").await.unwrap();
    let reader = control_plane::client(&kubeconfig).await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(reader.clone(), "rbac");
    let all = ListParams::default();
    assert_eq!(code(maps.list(&all).await), 403);

    control_plane.kubectl_ok(&["-n=rbac", "create", "role", "reader", "--verb=list", "--resource=configmaps"]).await;
    control_plane
        .kubectl_ok(&["-n=rbac", "create", "rolebinding", "reader", "--role=reader", "--serviceaccount=rbac:reader"])
        .await;
    let allowed_by = Instant::now() + Duration::from_secs(10);
    while code(maps.list(&all).await) == 403 {
        assert!(Instant::now() < allowed_by);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(code(maps.create(&PostParams::default(), &ConfigMap::default()).await), 403);
    let elsewhere = Api::<ConfigMap>::namespaced(reader, "default");
    assert_eq!(code(elsewhere.list(&all).await), 403);
}

#[tokio::test]
async fn a_deleted_namespace_goes_with_its_content() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let admin = control_plane.client().await;
    new_namespace(&admin, "goes").await;
    new_service_account(&admin, "goes", "with-it").await;
    let namespaces = Api::<Namespace>::all(admin.clone());
    namespaces.delete("goes", &DeleteParams::default()).await.unwrap();
    let gone_by = Instant::now() + Duration::from_secs(60);
    while namespaces.get_opt("goes").await.unwrap().is_some() {
        assert!(Instant::now() < gone_by);
        sleep(Duration::from_millis(100)).await;
    }
    let accounts = Api::<ServiceAccount>::namespaced(admin, "goes");
    assert!(accounts.get_opt("with-it").await.unwrap().is_none());
}

#[tokio::test]
async fn an_object_goes_with_its_owner() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let maps = Api::<ConfigMap>::namespaced(control_plane.client().await, "default");
    let map = |value| serde_json::from_value(value).unwrap();
    let owner = map(json!({ "metadata": { "name": "owner" } }));
    let owner = maps.create(&PostParams::default(), &owner).await.unwrap();
    let owned = map(json!({ "metadata": { "name": "owned", "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(),
    }] } }));
    maps.create(&PostParams::default(), &owned).await.unwrap();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    let gone_by = Instant::now() + Duration::from_secs(60);
    while maps.get_opt("owned").await.unwrap().is_some() {
        assert!(Instant::now() < gone_by);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn kubectl_applies_what_it_is_given_and_tells_what_is_refused() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: applied}, data: {key: value}}";
    let applied = control_plane.kubectl_with_ok(&["apply", "-f", "-"], manifest).await;
    assert_eq!(applied, "configmap/applied created\n");
    let read = ["get", "configmap", "applied", "-o=jsonpath={.data.key}"];
    assert_eq!(control_plane.kubectl_ok(&read).await, "value");

    let output = control_plane.kubectl(&["get", "configmap", "absent"]).await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("(NotFound)"));
}

#[tokio::test]
async fn a_kubeconfig_for_a_token_leads_to_its_address_as_its_user() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let token = control_plane.service_account_token("kube-system", "default").await.unwrap();
    let kubeconfig = control_plane.kubeconfig_for_token_at(control_plane.api_url(), &token).unwrap();
    let whoami = control_plane
        .kubectl_ok(&[
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
            "auth",
            "whoami",
            "-o=jsonpath={.status.userInfo.username}",
        ])
        .await;
    assert_eq!(whoami, "system:serviceaccount:kube-system:default");

    // A plain-http proxy has no certificate that could be verified.
    let kubeconfig = control_plane.kubeconfig_for_token_at("http://127.0.0.1:1", &token).unwrap();
    let kubeconfig = std::fs::read_to_string(kubeconfig).unwrap();
    assert!(kubeconfig.contains("http://127.0.0.1:1"), "{kubeconfig}");
    assert!(!kubeconfig.contains("certificate-authority"), "{kubeconfig}");
}

#[tokio::test]
async fn the_audit_log_tells_who_wrote_what_and_the_answer() {
    let control_plane = bounded(ControlPlane::shared()).await;
    let maps = Api::<ConfigMap>::namespaced(control_plane.client().await, "default");
    let map = serde_json::from_value(json!({ "metadata": { "name": "audited" } })).unwrap();
    for expected in [200, 409] {
        assert_eq!(code(maps.create(&PostParams::default(), &map).await), expected);
    }
    let entry = |code, name: &str| AuditEntry {
        verb: "create".to_owned(),
        group: String::new(),
        resource: "configmaps".to_owned(),
        subresource: String::new(),
        user: "admin".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        code,
        dry_run: false,
    };
    let ours = |mut entries: Vec<AuditEntry>| {
        entries.retain(|entry| entry.is_write() && entry.name == "audited");
        entries
    };
    let mut reader = control_plane.audit_reader().unwrap();
    let mut in_portions = vec![];
    let written_by = Instant::now() + Duration::from_secs(5);
    loop {
        in_portions.extend(ours(reader.read().unwrap()));
        let entries = ours(control_plane.audit_entries().unwrap());
        if entries == [entry(201, "audited"), entry(409, "audited")] {
            in_portions.extend(ours(reader.read().unwrap()));
            assert_eq!(in_portions, entries);
            return;
        }
        assert!(Instant::now() < written_by, "{entries:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

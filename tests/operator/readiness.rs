//! `/readyz` fails for problems that don't heal by waiting. It gives the reason in the same words as the log, and
//! passes when the problem is solved.

use std::time::Duration;

use fake_athena::Fault;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::launch::Start;
use crate::probes::{address, ask, unready, until_ready, until_unready};
use crate::world::{OPERATOR_NAMESPACE, World, eventually};

const CREDENTIALS: &str = "[-]AWS credentials failed: ";
const ENDPOINT: &str = "[-]Athena's endpoint failed: ";

/// Checks that an operator with this environment isn't ready, that `/readyz` has this line, and that the log has it
/// once.
async fn isnt_ready(arguments: &[&str], environment: &[(&'static str, &str)], line: &str) -> World {
    let world = World::new().await;
    let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    world.start_operator_with(Start { environment, ..Start::with(arguments) }).await;
    let address = address(&world).await;
    let told = until_unready(&address, line).await;
    assert!(told.starts_with(line), "{told}");
    let (_, why) = told.split_once(" failed: ").unwrap();
    let warnings = world.log().lines().filter(|line| line.contains("WARN") && line.contains(why)).count();
    assert_eq!(warnings, 1, "{}", world.log());
    let lines = unready(&address).await;
    assert_eq!(lines.iter().filter(|line| line.contains(why)).count(), 1, "{lines:?}");
    world
}

const NO_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

#[tokio::test]
async fn without_credentials_or_region_it_isnt_ready() {
    isnt_ready(&[], &NO_KEYS, &format!("{CREDENTIALS}no AWS credentials were found")).await;
    isnt_ready(&[], &[("AWS_REGION", "")], &format!("{CREDENTIALS}no AWS Region is configured: set AWS_REGION")).await;
}

/// S4: the SDK alone would ignore this profile, and use other credentials.
#[tokio::test]
async fn a_profile_that_doesnt_exist_is_named_and_no_call_is_made() {
    let said = "there is no profile nobody, which AWS_PROFILE names, in /nonexistent/.aws/config or \
                /nonexistent/.aws/credentials";
    let world = isnt_ready(&[], &[("AWS_PROFILE", "nobody")], &format!("{CREDENTIALS}{said}")).await;
    world.declare("profiled", "IDLE").await;
    world.until_reason("profiled", "AwsNotConfigured").await;
    assert_eq!(world.athena.calls().len(), 0);
}

/// With --require-work-group each AthenaWorkGroup may name its Region. Credentials are needed to assume roles.
#[tokio::test]
async fn with_required_work_groups_no_default_region_is_needed() {
    let required = ["--require-work-group"];
    let nothing = [NO_KEYS[0], NO_KEYS[1], ("AWS_REGION", "")];
    isnt_ready(&required, &nothing, &format!("{CREDENTIALS}no AWS credentials were found")).await;
    let world = World::new().await;
    let environment = vec![("AWS_REGION", String::new()), ("AWS_ENDPOINT_URL_ATHENA", "http://127.0.0.1:1".to_owned())];
    world.start_operator_with(Start { environment, ..Start::with(&required) }).await;
    until_ready(&address(&world).await).await;
}

#[tokio::test]
async fn an_endpoint_where_nobody_answers_is_named() {
    let line = format!("{ENDPOINT}http://127.0.0.1:1 can't be reached: ");
    let world = isnt_ready(&[], &[("AWS_ENDPOINT_URL_ATHENA", "http://127.0.0.1:1")], &line).await;
    let told = until_unready(&address(&world).await, &line).await;
    assert!(told.contains("refused") && !told.contains("dispatch failure"), "{told}");
}

#[tokio::test]
async fn an_endpoint_that_isnt_athenas_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>";
            let _ = stream.write_all(answer).await;
            // Waits until the client has read the answer.
            sleep(Duration::from_millis(100)).await;
        }
    });
    let line = format!("{ENDPOINT}{url} answered with HTTP status 404, and not as AWS does");
    isnt_ready(&[], &[("AWS_ENDPOINT_URL_ATHENA", &url)], &line).await;
}

/// An outage heals by itself, and a rollout during the outage must go on.
#[tokio::test]
async fn an_operator_that_starts_in_an_outage_of_aws_is_ready() {
    let world = World::new().await;
    world.athena.fault(Fault::internal());
    world.start_operator().await;
    let address = address(&world).await;
    until_ready(&address).await;
    let asked = || world.athena.calls_of("GetCallerIdentity", None);
    eventually("it is asked again", || async { (asked() >= 3).then_some(()) }).await;
    assert_eq!(unready(&address).await, [""; 0]);
}

#[tokio::test]
async fn what_aws_takes_no_more_fails_readiness_and_an_outage_doesnt() {
    let world = World::new().await;
    world.start_operator().await;
    let address = address(&world).await;
    until_ready(&address).await;
    world.athena.fault(Fault::cut());
    let asked = world.athena.calls_of("GetCallerIdentity", None);
    eventually("silence twice", || async {
        (world.athena.calls_of("GetCallerIdentity", None) >= asked + 3).then_some(())
    })
    .await;
    assert_eq!(unready(&address).await, [""; 0]);
    world.athena.clear_faults();
    world.athena.fault(Fault::error_with_status("ExpiredToken", "The security token is expired", 403));
    until_unready(&address, &format!("{CREDENTIALS}GetCallerIdentity: ExpiredToken: The security token is expired"))
        .await;
    world.athena.clear_faults();
    until_ready(&address).await;
}

#[tokio::test]
async fn a_missing_watched_namespace_is_named_until_it_is_created() {
    let missing = format!("missing-{}", std::process::id());
    let line =
        format!("[-]namespaces failed: --watch-namespace names a namespace that doesn't exist, {missing}: create it,");
    let world = isnt_ready(&["--watch-namespace", &missing], &[], &line).await;
    let id = world.declare("elsewhere", "IDLE").await;
    world.until_reason("elsewhere", "Running").await;
    assert_eq!(world.terminations(&id), 0);
    world.plane.kubectl_ok(&["create", "namespace", &missing]).await;
    until_ready(&address(&world).await).await;
    world.plane.kubectl_ok(&["delete", "namespace", &missing]).await;
    until_unready(&address(&world).await, &line).await;
}

#[tokio::test]
async fn rights_that_are_missing_are_named_until_they_are_granted() {
    let world = World::new().await;
    let account = format!("powerless-{}", world.namespace);
    let plane = world.plane;
    plane.kubectl_ok(&["create", "serviceaccount", &account, "-n", OPERATOR_NAMESPACE]).await;
    let kubeconfig = plane.kubeconfig_for_service_account(OPERATOR_NAMESPACE, &account).await.unwrap();
    world.start_operator_with(Start { kubeconfig: Some(kubeconfig), ..Start::default() }).await;
    let address = address(&world).await;
    until_unready(&address, "[-]cluster failed: the operator may not list AthenaSessions: apply the RBAC rules").await;
    assert_eq!(ask(&address, "/livez").await.0, 200);
    let subject = format!("--serviceaccount={OPERATOR_NAMESPACE}:{account}");
    let bind = |role: String| {
        let (name, subject) = (format!("{account}-{role}"), &subject);
        async move {
            plane.kubectl_ok(&["create", "clusterrolebinding", &name, "--clusterrole", &role, subject]).await;
            name
        }
    };
    let sees_all = bind("athena-session-operator".to_owned()).await;
    bind("athena-session-operator-work-groups".to_owned()).await;
    until_ready(&address).await;

    plane.kubectl_ok(&["delete", "clusterrolebinding", &sees_all]).await;
    let line =
        format!("watch of AthenaSessions in {} failed: the operator may not list AthenaSessions", world.namespace);
    until_unready(&address, &line).await;
    bind("athena-session-operator".to_owned()).await;
    until_ready(&address).await;
}

//! S4: the AWS account that calls go to. Answers from another account than the session's count for nothing.

use std::time::Duration;

use fake_athena::Fault;
use tokio::time::sleep;

use crate::launch::Start;
use crate::world::{World, condition};

const HOME: &str = "123456789012";
const ELSEWHERE: &str = "999999999999";

fn move_to(world: &World, account: &str) {
    world.athena.reconfigure(|config| config.account = account.to_owned());
}

/// S4: after a restart with other credentials.
#[tokio::test]
async fn in_another_account_or_region_nothing_is_called() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("elsewhere", "IDLE").await;
    world.until_reason("elsewhere", "Running").await;
    world.kill_operator();
    world.athena.clear_calls();

    move_to(&world, ELSEWHERE);
    world.start_operator().await;
    world.until_reason("elsewhere", "WrongAccount").await;
    world.kill_operator();
    move_to(&world, HOME);

    let environment = vec![("AWS_REGION", "us-east-1".to_owned())];
    world.start_operator_with(Start { environment, ..Start::default() }).await;
    world.until_reason("elsewhere", "WrongRegion").await;
    world.delete("elsewhere").await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.get("elsewhere").await.is_some());
    world.kill_operator();
    let calls = world.athena.calls();
    assert!(calls.iter().all(|call| call.session.as_deref() != Some(&id)), "{calls:?}");

    world.start_operator().await;
    world.until_gone("elsewhere").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// S4: STS is denied.
#[tokio::test]
async fn while_the_account_cant_be_told_a_recorded_session_waits() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("unsure", "IDLE").await;
    world.until_reason("unsure", "Running").await;
    world.kill_operator();
    world.athena.clear_calls();
    world.athena.fault(Fault::internal().on("GetCallerIdentity"));
    world.start_operator().await;
    world.until_reason("unsure", "AccountUnknown").await;
    assert!(world.athena.calls().iter().all(|call| call.session.as_deref() != Some(&id)));
    world.athena.clear_faults();
    world.until_reason("unsure", "Running").await;
}

/// S2, S4: the credentials change to another account while the operator runs. Nobody has noticed yet when Athena denies
/// the session.
#[tokio::test]
async fn credentials_of_another_account_prove_no_absence() {
    let world = World::new().await;
    world.start_operator_with(Start::with(&["--poll-interval=60s"])).await;
    let id = world.declare("moved", "IDLE").await;
    let object = world.until_reason("moved", "Running").await;
    assert_eq!(object.status.unwrap().account_id.as_deref(), Some(HOME));
    move_to(&world, ELSEWHERE);
    world.delete("moved").await;
    let object = world.until_reason("moved", "WrongAccount").await;
    assert!(condition(&object, "Stalled").unwrap().2.contains("deletionPolicy: Retain"), "the way out is told");
    assert_eq!(object.status.unwrap().account_id.as_deref(), Some(HOME), "where the session was seen");
    world.kill_operator();
    move_to(&world, HOME);
    world.start_operator().await;
    world.until_gone("moved").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

/// S4: and no call to Athena is made meanwhile.
#[tokio::test]
async fn passing_credentials_of_another_account_are_told_and_forgotten() {
    let world = World::new().await;
    world.start_operator().await;
    let id = world.declare("while", "IDLE").await;
    world.until_reason("while", "Running").await;
    move_to(&world, ELSEWHERE);
    let object = world.until_reason("while", "WrongAccount").await;
    assert_eq!(object.status.unwrap().account_id.as_deref(), Some(HOME), "where the session was seen");
    world.athena.clear_calls();
    sleep(Duration::from_secs(3)).await;
    let calls = world.athena.calls();
    assert!(calls.iter().all(|call| call.operation == "GetCallerIdentity"), "{calls:?}");
    move_to(&world, HOME);
    world.until_reason("while", "Running").await;
    world.delete("while").await;
    world.until_gone("while").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
    assert_eq!(world.terminations(&id), 1);
}

/// S2, S4: while STS is denied no account is recorded. Later any account could be taken for the session's.
#[tokio::test]
async fn without_a_recorded_account_another_one_proves_no_absence() {
    let world = World::new().await;
    world.athena.fault(Fault::error("AccessDenied", "no sts").on("GetCallerIdentity"));
    world.start_operator().await;
    let id = world.declare("unsure", "IDLE").await;
    let object = world.until_reason("unsure", "Running").await;
    assert_eq!(object.status.unwrap().account_id, None);
    world.kill_operator();
    world.athena.clear_faults();
    move_to(&world, ELSEWHERE);
    world.start_operator().await;
    world.delete("unsure").await;
    let object = world.until_reason("unsure", "SessionNotFound").await;
    assert!(condition(&object, "Stalled").unwrap().2.contains("deletionPolicy: Retain"), "the way out is told");
    sleep(Duration::from_secs(4)).await;
    assert!(world.get("unsure").await.is_some(), "the session is {}", world.athena_session(&id).state);
    world.kill_operator();
    move_to(&world, HOME);
    world.start_operator().await;
    world.until_gone("unsure").await;
    assert_eq!(world.athena_session(&id).state, "TERMINATED");
}

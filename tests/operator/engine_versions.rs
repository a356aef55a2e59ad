//! Engine versions of work groups: PySpark engine version 3, Apache Spark version 3.5, and SQL, which has no sessions.

use std::time::Duration;

use fake_athena::{ATHENA_3, Config, Fault, SPARK_3_5, WorkGroup};
use serde_json::{Value, json};

use crate::api::AthenaSession;
use crate::tenancy::{TEAM_A, Whole, brisk};
use crate::world::{World, condition, eventually};

/// An Athena where the work group of team A has this engine.
fn of_engine(engine: &str) -> Config {
    Config { work_groups: vec![WorkGroup::with_engine(TEAM_A, engine)], ..brisk() }
}

impl World {
    async fn of_engine(engine: &str) -> Self {
        Self::with(of_engine(engine)).await
    }

    fn starts_of(&self) -> usize {
        self.athena.calls_of("StartSession", None)
    }

    async fn create_starting(&self, name: &str, group: &str, configuration: Value) {
        let start = json!({"engineConfiguration": configuration});
        self.create(name, json!({"start": start, "workGroupRef": {"name": group}})).await;
    }

    async fn until_message(&self, name: &str, reason: &str) -> String {
        let object = self.until_reason(name, reason).await;
        condition(&object, "Ready").unwrap().2.to_owned()
    }
}

#[tokio::test]
async fn a_created_session_of_spark_3_5_is_active_and_published() {
    let world = World::with_workloads().await;
    world.athena.reconfigure(|config| config.work_groups = of_engine(SPARK_3_5).work_groups);
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    let publish = json!({"configMapName": "nightly-session"});
    world.create("nightly", json!({"start": {}, "workGroupRef": {"name": group}, "publishTo": publish})).await;
    let object = world.until_reason("nightly", "Running").await;
    assert_eq!(condition(&object, "Active").unwrap().0, "True");
    let status = object.status.unwrap();
    assert_eq!((status.state.as_deref(), status.engine_version.as_deref()), (Some("CREATED"), Some(SPARK_3_5)));
    eventually("it is published", || async {
        world.kubectl(&["get", "configmap", "nightly-session"]).await.status.success().then_some(())
    })
    .await;
    world.delete("nightly").await;
    world.until_gone("nightly").await;
    assert_eq!(world.athena.sessions()[0].state, "TERMINATED");
}

#[tokio::test]
async fn a_created_session_of_pyspark_3_isnt_active() {
    let world = World::with(Config { created: Duration::from_secs(3600), ..brisk() }).await;
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    world.start_session("nightly", &group).await;
    let is_created = |object: &_| is_in("CREATED", object);
    let object = world.until("nightly", "it is created", is_created).await;
    assert_eq!(condition(&object, "Active").map(|it| (it.0, it.1)), Some(("False", "Starting")));
    let id = object.status.unwrap().session_id.unwrap();
    world.athena.set_state(&id, "IDLE");
    world.until_reason("nightly", "Running").await;
}

fn is_in(state: &str, object: &AthenaSession) -> bool {
    object.status.as_ref().and_then(|status| status.state.as_deref()) == Some(state)
}

#[tokio::test]
async fn without_get_work_group_the_session_tells_the_engine() {
    let world = World::of_engine(SPARK_3_5).await;
    world.athena.fault(Fault::error("AccessDeniedException", "no athena:GetWorkGroup").on("GetWorkGroup"));
    world.start_operator().await;
    let group = world.register_for_starts("a", json!({})).await;
    for name in ["first", "second"] {
        world.start_session(name, &group).await;
        let object = world.until_reason(name, "Running").await;
        assert!(is_in("CREATED", &object));
        assert_eq!(object.status.unwrap().engine_version.as_deref(), Some(SPARK_3_5));
    }
}

#[tokio::test]
async fn what_an_engine_refuses_is_told_and_not_called_for() {
    let properties = json!({"spark.sql.shuffle.partitions": "8"});
    let classifications = json!([{"name": "spark-defaults", "properties": properties}]);
    for (engine, field, value, instead) in [
        (SPARK_3_5, "coordinatorDpuSize", json!(1), "without this field. The operator asks"),
        (SPARK_3_5, "defaultExecutorDpuSize", json!(1), "without this field. The operator asks"),
        (SPARK_3_5, "sparkProperties", properties, "into classifications, as spark-defaults"),
        (fake_athena::PYSPARK_3, "classifications", classifications, "into sparkProperties"),
    ] {
        let world = World::of_engine(engine).await;
        world.start_operator().await;
        let group = world.register_for_starts("a", json!({})).await;
        world.create_starting("nightly", &group, json!({field: value})).await;
        let message = world.until_message("nightly", "EngineRefuses").await;
        for word in [engine, &format!("spec.start.engineConfiguration.{field}"), instead] {
            assert!(message.contains(word), "{message}");
        }
        world.delete("nightly").await;
        world.until_gone("nightly").await;
        assert_eq!(world.starts_of(), 0, "{field}");
    }
}

#[tokio::test]
async fn defaults_that_the_engine_refuses_arent_sent_and_are_told() {
    let whole = Whole::new().await;
    whole.athena.reconfigure(|config| config.work_groups = of_engine(SPARK_3_5).work_groups);
    whole.start(&[]).await;
    let defaults = json!({"maxConcurrentDpus": 4, "coordinatorDpuSize": 1, "sparkProperties": {"a": "b"}});
    let group = whole.register_for_starts("a", json!({"engineConfiguration": defaults})).await;
    whole.start_session("nightly", &group).await;
    whole.until_reason("nightly", "Running").await;
    assert_eq!(whole.athena.sessions()[0].input["EngineConfiguration"], json!({"MaxConcurrentDpus": 4}));
    let group = whole.until_group(&group, "its engine is known", |group| {
        group.status.as_ref().is_some_and(|status| status.engine_version.is_some())
    });
    let message = crate::tenancy::ready_of(&group.await).unwrap().1;
    let unused = "Apache Spark version 3.5 doesn't support spec.start.engineConfiguration.coordinatorDpuSize, \
                  spec.start.engineConfiguration.sparkProperties: the operator doesn't send these defaults.";
    assert!(message.contains(unused), "{message}");
}

#[tokio::test]
async fn a_work_group_that_isnt_spark_says_so() {
    for is_allowed in [true, false] {
        let whole = Whole::new().await;
        whole.athena.reconfigure(|config| config.work_groups = of_engine(ATHENA_3).work_groups);
        if !is_allowed {
            whole.athena.fault(Fault::error("AccessDeniedException", "no athena:GetWorkGroup").on("GetWorkGroup"));
        }
        whole.start(&[]).await;
        let group = whole.register_for_starts("a", json!({})).await;
        let message = whole.until_group_reason(&group, "WorkGroupNotSpark").await;
        let engine = if is_allowed { ATHENA_3 } else { "an engine of SQL queries" };
        assert!(message.contains(&format!("Work group {TEAM_A} runs {engine}, not Spark")), "{message}");
        whole.start_session("nightly", &group).await;
        let message = whole.until_message("nightly", "WorkGroupNotSpark").await;
        assert!(message.contains(engine), "{message}");
        assert_eq!(whole.starts_of(), 0);
        if is_allowed {
            let wide = whole.plane.kubectl_ok(&["get", "atwg", &group, "-o", "wide"]).await;
            assert!(wide.contains("ENGINE") && wide.contains(ATHENA_3), "{wide}");
        }
    }
}

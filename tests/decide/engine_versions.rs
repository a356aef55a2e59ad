//! Engine versions of Athena for Apache Spark: when a session is usable, what a start may ask for, and what is sent.

use std::sync::Arc;

use kube::core::Duration as Asked;

use crate::core::{
    CallError, Classification, Engine, EngineConfiguration, EngineKnowledge, ErrorClass, Operation, SessionState,
    StartBounds,
};
use crate::fixtures::{condition, error, minutes, seconds};
use crate::world::{Event, Fault, Poller, World, message, reason};

fn known(engine: Engine) -> EngineKnowledge {
    EngineKnowledge::Known(engine)
}

fn denied() -> EngineKnowledge {
    let error: CallError = error(Operation::GetWorkGroup, ErrorClass::Denied);
    EngineKnowledge::NotKnown(Some(Arc::new(error)))
}

fn other() -> Engine {
    Engine::from("Apache Spark version 5")
}

/// Settings of which each engine refuses some.
pub fn everything() -> EngineConfiguration {
    EngineConfiguration {
        coordinator_dpu_size: Some(1),
        max_concurrent_dpus: Some(4),
        default_executor_dpu_size: Some(1),
        spark_properties: Some([("a".to_owned(), "b".to_owned())].into()),
        classifications: Some(vec![Classification { name: "spark-defaults".to_owned(), properties: None }]),
        ..EngineConfiguration::default()
    }
}

/// An object that starts a session in an AthenaWorkGroup with these defaults.
fn with_defaults(defaults: EngineConfiguration, engine: EngineKnowledge) -> World {
    let mut world = World::starting();
    world.starts.bounds = Some(StartBounds { engine_configuration: Some(defaults), ..StartBounds::default() });
    world.starts.engine = engine;
    world
}

fn asks_for(engine: EngineKnowledge, configuration: EngineConfiguration) -> World {
    let mut world = World::starting();
    world.starts.engine = engine;
    world.object.as_mut().unwrap().spec.start.as_mut().unwrap().engine_configuration = Some(configuration);
    world
}

#[test]
fn a_created_session_is_usable_on_spark_3_5_alone() {
    for (group, session, is_usable) in [
        (known(Engine::Spark35), None, true),
        (denied(), Some(Engine::Spark35), true),
        (known(Engine::PySpark3), Some(Engine::Spark35), true),
        (known(Engine::Spark35), Some(Engine::PySpark3), false),
        (known(Engine::PySpark3), None, false),
        (known(other()), None, false),
        (denied(), None, false),
        (EngineKnowledge::Awaited, None, false),
    ] {
        let mut world = World::bound(SessionState::Created);
        (world.starts.engine, world.starts.session_engine) = (group.clone(), session.clone());
        world.run_for(minutes(5));
        let active = condition(world.recorded(), "Active").unwrap().status.clone();
        let told = (reason(&world), active);
        let expected = if is_usable { ("Running", "True") } else { ("Starting", "False") };
        assert_eq!((told.0.as_str(), told.1.as_str()), expected, "{group:?}, {session:?}");
        let engine = session.as_ref().or(group.known()).and_then(Engine::version);
        assert_eq!(world.recorded().engine_version.as_deref(), engine, "{group:?}, {session:?}");
        assert_eq!(world.breach, None);
    }
}

/// L2: a poller with few sessions calls GetSessionStatus, which doesn't tell the engine.
#[test]
fn a_created_session_is_asked_for_its_engine_once() {
    for (session, expected) in [(Some(Engine::Spark35), "Running"), (None, "Starting")] {
        let mut world = World::starting();
        (world.starts.engine, world.starts.session_engine) = (denied(), session);
        world.around.poller = Poller::Shows { lag: seconds(0) };
        world.run_for(seconds(5));
        assert_eq!(world.count(Operation::GetSession), 1, "for the mark; then the poller looks at it");
        world.event(&Event::Becomes(SessionState::Created));
        world.run_for(minutes(30));
        assert_eq!((reason(&world).as_str(), world.count(Operation::GetSession)), (expected, 1));
        let is_why_told = message(&world).contains("allow athena:GetWorkGroup");
        assert_eq!(is_why_told, expected == "Starting", "{}", message(&world));
    }
}

#[test]
fn what_the_engine_doesnt_take_is_told_before_the_call() {
    let (old, new) = (Engine::PySpark3, Engine::Spark35);
    let none = EngineConfiguration::default;
    type Cases = [(Engine, EngineConfiguration, &'static str); 4];
    let cases: Cases = [
        (new.clone(), EngineConfiguration { coordinator_dpu_size: Some(1), ..none() }, "coordinatorDpuSize"),
        (new.clone(), EngineConfiguration { default_executor_dpu_size: Some(1), ..none() }, "defaultExecutorDpuSize"),
        (new, EngineConfiguration { spark_properties: Some([].into()), ..none() }, "sparkProperties"),
        (old, EngineConfiguration { classifications: Some(Vec::new()), ..none() }, "classifications"),
    ];
    for (engine, configuration, field) in cases {
        let mut world = asks_for(known(engine.clone()), configuration.clone());
        world.run_for(minutes(10));
        assert!(world.starts.requests.is_empty(), "{field}");
        assert_eq!(reason(&world), "EngineRefuses");
        let told = message(&world);
        let is_told =
            told.contains(&format!("spec.start.engineConfiguration.{field}")) && told.contains(&engine.to_string());
        assert!(is_told, "{told}");
        for engine in [known(other()), denied()] {
            let mut world = asks_for(engine, configuration.clone());
            world.run_for(seconds(5));
            assert_eq!(world.starts.requests.len(), 1, "what isn't known isn't refused: {field}");
        }
    }
}

#[test]
fn nothing_is_started_in_a_work_group_that_isnt_spark() {
    let mut world = World::starting();
    world.starts.engine = known(Engine::from("Athena engine version 3"));
    world.run_for(minutes(10));
    assert!(world.starts.requests.is_empty());
    assert_eq!(reason(&world), "WorkGroupNotSpark");
    assert!(message(&world).contains("Athena engine version 3"), "{}", message(&world));
}

#[test]
fn defaults_that_the_engine_doesnt_take_arent_sent() {
    let all = everything();
    for (engine, sent) in [
        (known(Engine::PySpark3), EngineConfiguration { classifications: None, ..all.clone() }),
        (
            known(Engine::Spark35),
            EngineConfiguration {
                coordinator_dpu_size: None,
                default_executor_dpu_size: None,
                spark_properties: None,
                ..all.clone()
            },
        ),
        (known(other()), all.clone()),
        (denied(), all.clone()),
    ] {
        let mut world = with_defaults(all.clone(), engine.clone());
        world.run_for(seconds(5));
        assert_eq!(world.starts.requests[0].engine, sent, "{engine:?}");
    }
}

/// S3: Athena compares a repeated call with the first one, and refuses a call that differs.
#[test]
fn a_repeated_call_asks_for_the_same_whatever_was_learned_since() {
    for (before, after) in [
        (denied(), known(Engine::Spark35)),
        (known(Engine::Spark35), denied()),
        (known(Engine::PySpark3), known(Engine::Spark35)),
    ] {
        for restarts in [false, true] {
            let mut world = with_defaults(everything(), before.clone());
            world.faults.push_back(Fault::Late);
            world.pass();
            assert_eq!(world.starts.requests.len(), 1, "{}", world.told());
            world.starts.engine = after.clone();
            if restarts {
                world.event(&Event::Restart);
            }
            world.run_for(minutes(10));
            let requests = &world.starts.requests;
            assert!(requests.iter().all(|request| *request == requests[0]), "{before:?}, {after:?}, {restarts}");
            assert_eq!(
                (reason(&world).as_str(), &world.breach),
                ("Starting", &None),
                "{before:?}, {after:?}, {restarts}"
            );
        }
    }
}

#[test]
fn after_a_refusal_the_next_call_goes_by_what_was_learned() {
    let mut world = with_defaults(everything(), denied());
    world.faults.push_back(Fault::Fails(ErrorClass::NotFoundOrInvalid));
    world.run_for(seconds(30));
    world.starts.engine = known(Engine::Spark35);
    world.run_for(minutes(15));
    let [first, second] = world.starts.requests.as_slice() else { panic!("{:?}", world.starts.requests) };
    assert!(first.engine.spark_properties.is_some() && second.engine.spark_properties.is_none());
    assert_eq!(world.breach, None);
}

#[test]
fn a_start_waits_until_the_engine_was_asked_for() {
    let mut world = World::starting();
    world.starts.engine = EngineKnowledge::Awaited;
    world.run_for(minutes(2));
    assert!(world.starts.requests.is_empty() && world.writes.is_empty(), "{:?}", world.writes);
    world.starts.engine = known(Engine::PySpark3);
    world.run_for(seconds(5));
    assert_eq!(world.starts.requests.len(), 1);
    assert_eq!(world.breach, None);
}

/// L1: only a start needs to know the engine.
#[test]
fn an_end_waits_for_no_engine() {
    let mut world = World::starting();
    world.starts.engine = EngineKnowledge::Awaited;
    world.run_for(seconds(10));
    world.event(&Event::Delete);
    world.run_for(seconds(1));
    assert!(world.object.is_none(), "{}", world.told());
}

/// Athena itself ends a session that was started with an idle timeout. An adopted session may have no idle timeout.
#[test]
fn an_idle_limit_that_cant_be_kept_is_told() {
    for (is_started, is_told) in [(false, true), (true, false)] {
        let mut world = if is_started { World::starting() } else { World::granted(SessionState::Created) };
        world.starts.engine = known(Engine::Spark35);
        world.object.as_mut().unwrap().spec.max_idle = Some(Asked::from(minutes(30)));
        world.run_for(seconds(5));
        world.event(&Event::Becomes(SessionState::Created));
        world.run_for(minutes(2));
        assert_eq!(reason(&world), "Running");
        assert_eq!(message(&world).matches("spec.maxIdle").count(), 1, "{}", message(&world));
        let words = "spec.maxIdle (30m) doesn't end it: Athena doesn't say since when the session is idle. Set spec.maxLifetime.";
        assert_eq!(message(&world).contains(words), is_told, "{}", message(&world));
    }
}

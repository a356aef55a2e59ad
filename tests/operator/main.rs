//! Tests of the real program against a real control plane and, over HTTP, the fake Athena. The tests run side by side,
//! each in a namespace of its own, with an operator and an Athena of its own.
//!
//! One file a subject. The files `adversarial_*` have what an attacker would try. The labels S1 to S8, L1 and L2 are
//! the invariants of docs/design/invariants.md. Helpers: [`world`], [`tenancy`], [`launch`], [`proxy`], [`probes`].

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod absence;
mod accounts;
mod admission_policies;
mod adversarial_answers;
mod adversarial_claims;
mod adversarial_session_quota;
mod api;
mod api_server;
mod athena_quotas;
mod audit_log;
mod aws_errors;
mod backup_restore;
mod clean_up;
mod cleanup_command;
mod cleanup_rules;
mod clients;
mod condition_advice;
mod contradictory_answers;
mod crash_sweep;
mod crash_sweep_of_clean_up;
mod crd_validation;
mod deploy_manifests;
mod deployment_guards;
mod docs;
mod engine_versions;
mod fairness;
mod forged_status;
mod grants;
mod iam_policies;
mod iam_roles;
mod large_objects;
mod launch;
mod limits;
mod manifest_mistakes;
mod many_iam_roles;
mod many_objects;
mod object_size_limit;
mod off_boarding;
mod paused_and_read_only;
mod probes;
mod proxy;
mod races;
mod readiness;
mod recorded_status;
mod restart_with_many_objects;
mod retain;
mod secret_redaction;
mod session_owner;
mod session_start;
mod startup_and_shutdown;
mod tenancy;
mod termination;
mod two_operators;
mod watches;
mod work_group_limits;
mod work_groups;
mod workloads;
mod world;

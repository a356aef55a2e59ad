//! The real program against a real control plane and, over HTTP, the fake Athena. One file a theme;
//! the tests wait side by side, each in a namespace of its own, with an operator and an Athena of its own.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod absence;
mod accounts;
mod admission;
mod api_server;
mod attacked;
mod attacks_on_places;
mod brakes;
mod claims;
mod clients;
mod confusion;
mod crash;
mod docs;
mod ending;
mod engines;
mod grants;
mod guards;
mod iam;
mod install;
mod kind;
mod launch;
mod limits;
mod load;
mod mistakes;
mod off_boarding;
mod on_record;
mod process;
mod proxy;
mod quotas;
mod races;
mod record;
mod refusals;
mod restored;
mod retain;
mod roles;
mod secrets;
mod starts;
mod telling;
mod tenancy;
mod two_operators;
mod watching;
mod work_groups;
mod workload;
mod world;

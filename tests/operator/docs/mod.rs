//! The documents. Each command on a page is run, each link leads somewhere, the references are made from the code, and each
//! test that a threat or an invariant names exists.

mod compare;
mod links;
mod manifests;
mod not_run;
pub mod pages;
mod picture;
mod promises;
mod reference;
mod run;
mod shell;
mod stage;

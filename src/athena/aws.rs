//! The calls to AWS. Only the files of this module know the AWS SDK, and none of its types leaves the module.
//!
//! An operation is called in `requests`, StartSession's request is built in `start_session`, `answers` and `errors` say
//! what comes back. All roles share the connections and the clients of a Region. Each call has its role's credentials.

mod answers;
mod bounded;
mod clients;
mod connections;
mod errors;
mod interceptors;
mod requests;
mod role_credentials;
mod start_session;

pub(crate) use self::clients::Aws;
pub(crate) use self::requests::Athena;

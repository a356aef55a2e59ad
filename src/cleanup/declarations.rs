//! Which sessions the AthenaSessions of the cluster declare. PURE.

use std::collections::HashMap;

use crate::athena::marker::Marker;

/// What is known of the cluster's AthenaSessions.
#[derive(Clone, Copy)]
pub struct Declarations<'a> {
    /// The cluster's id; None where no cluster was asked. Then each mark may be that of an object that exists.
    pub cluster: Option<&'a str>,
    /// The AthenaSession that declares a session: it names the session's id, or the session bears its mark.
    pub declared_by: &'a dyn Fn(&str, Option<&Marker>) -> Option<String>,
}

/// The declarations of a list of AthenaSessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredSessions {
    by_session: HashMap<String, String>,
    by_uid: HashMap<String, String>,
}

/// What an AthenaSession says of its session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Declaration<'a> {
    /// The object, as NAMESPACE/NAME.
    pub object: &'a str,
    /// The object's UID.
    pub uid: &'a str,
    /// The session that the spec names.
    pub named: Option<&'a str>,
    /// The session that the status names.
    pub recorded: Option<&'a str>,
    /// The account and the Region that the status names.
    pub recorded_in: (Option<&'a str>, Option<&'a str>),
}

impl DeclaredSessions {
    /// Takes in an AthenaSession, with or without a grant. `account_and_region`: those that the rules are for. An object
    /// whose recorded account or Region is another one names another session; what isn't recorded may be here.
    pub fn add(&mut self, declaration: &Declaration<'_>, account_and_region: (&str, &str)) {
        let Declaration { object, uid, named, recorded, recorded_in: (account, region) } = *declaration;
        self.by_uid.insert(uid.to_owned(), object.to_owned());
        let is_elsewhere = account.is_some_and(|account| account != account_and_region.0)
            || region.is_some_and(|region| region != account_and_region.1);
        if !is_elsewhere {
            for id in named.into_iter().chain(recorded) {
                self.by_session.insert(id.to_owned(), object.to_owned());
            }
        }
    }

    /// The object that declares this session.
    pub fn declared_by(&self, id: &str, marker: Option<&Marker>) -> Option<String> {
        let by_mark = || self.by_uid.get(&marker?.uid);
        self.by_session.get(id).or_else(by_mark).cloned()
    }
}

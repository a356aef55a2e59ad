//! `sessionsPerNamespace`: which object has, and which waits for, one of the sessions that an AthenaWorkGroup allows to a
//! namespace at once. PURE.
//!
//! The watch shows too late which other object was about to start a session, and anybody may have written the status that the
//! watch shows. So a slot is reserved here before the attempt to start a session is recorded. The reservation stays until
//! Athena shows, or it is proven, that there is no session. The status counts in addition, for objects that this process
//! hasn't looked at yet.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;

use super::objects::{Session, reference};
use crate::api::cached::StartPlace;
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;

/// What a reconciliation found out about the session that takes an object's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The session was started, and hasn't been seen to end.
    InUse,
    MaybeInUse,
    /// No session is known, and one may be started.
    Wanted,
    /// There is no session, and as things are none is going to be started.
    Unused,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// The object has its slot, or the number of sessions isn't limited.
    #[default]
    Held,
    /// There is a slot. The object has to reserve it before it starts anything.
    Free,
    NoneFree(QuotaExceeded),
}

/// The objects of a namespace that have all slots, or have waited for them longer than another object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaExceeded {
    pub limit: u32,
    /// The names of the objects that have a slot, in the order of the alphabet.
    pub holders: Vec<String>,
    pub waiting: usize,
}

impl QuotaExceeded {
    const NAMED: usize = 3;

    /// How many sessions there may be, which objects have them, and how many objects come first.
    pub fn sentence(&self, group: &str) -> String {
        let (limit, waiting) = (self.limit, self.waiting);
        let sessions = if limit == 1 { "session" } else { "sessions" };
        let allowed = format!("AthenaWorkGroup {group} allows {limit} {sessions} at once to a namespace");
        let held = self.held().map_or_else(String::new, |held| format!(", and {held}"));
        let before = match waiting {
            0 => String::new(),
            1 => " 1 other object waits before this one.".to_owned(),
            _ => format!(" {waiting} other objects wait before this one."),
        };
        format!("{allowed}{held}.{before}")
    }

    fn held(&self) -> Option<String> {
        let count = self.holders.len();
        let mut names: Vec<_> = self.holders.iter().take(Self::NAMED).map(String::as_str).collect();
        let others = match count.saturating_sub(Self::NAMED) {
            0 => None,
            1 => Some("1 other".to_owned()),
            more => Some(format!("{more} others")),
        };
        names.extend(others.as_deref());
        let (last, first) = names.split_last()?;
        let who = if first.is_empty() { (*last).to_owned() } else { format!("{} and {last}", first.join(", ")) };
        let has = if count == 1 { "has" } else { "have" };
        let what = match to_usize(self.limit) {
            1 if count == 1 => "it".to_owned(),
            limit if count == limit => "them".to_owned(),
            limit if count > limit => count.to_string(),
            _ if count == 1 => "one of them".to_owned(),
            _ => format!("{count} of them"),
        };
        Some(format!("{who} {has} {what}"))
    }
}

/// The objects that start sessions, as the watch shows them, and their reservations.
#[derive(Default)]
pub(crate) struct SessionQuotas(Mutex<HashMap<QuotaKey, Entries>>);

type QuotaKey = (String, String);
/// When the object was created, and its UID: the object that has waited longer goes first.
type Age = (Option<Timestamp>, String);
type Entries = BTreeMap<Age, Entry>;

struct Entry {
    name: String,
    recorded: StartPlace,
    is_held: bool,
    reservation: Option<Reservation>,
}

/// A slot that this process knows to be taken, whatever the status says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reservation {
    /// An earlier process may have started a session. The object has no right to start one.
    Unconfirmed,
    /// The slot was reserved, or the session has been seen.
    Confirmed,
}

/// How an object stands in the line for the slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Out,
    Waits,
    HasSlot,
}

impl SessionQuotas {
    /// Takes in an object that is new or has changed. `limit`: how many sessions its namespace may have. Returns the objects that
    /// may have a slot now.
    pub(crate) fn applied(&self, object: &Session, limit: Option<u32>) -> Vec<Key> {
        let (Some(recorded), Some((quota, age))) = (object.start_place(), entry_of(object, object.reference())) else {
            return Vec::new();
        };
        let is_held = is_held(object);
        // An object that we have let go has no session of ours, whatever else keeps the object.
        let is_leaving = !is_held && object.meta().deletion_timestamp.is_some();
        let mut quotas = self.0.lock();
        let entries = quotas.entry(quota.clone()).or_default();
        let before = entries.get(&age);
        let entry = Entry {
            name: object.name_any(),
            recorded: if is_leaving { StartPlace::Free } else { recorded },
            is_held,
            reservation: if is_leaving { None } else { before.and_then(|before| before.reservation) },
        };
        let gives_way = before.is_some_and(|before| entry.rank() < before.rank());
        entries.insert(age, entry);
        if gives_way { next(entries, &quota, limit) } else { Vec::new() }
    }

    pub(crate) fn deleted(&self, object: &Session, limit: Option<u32>) -> Vec<Key> {
        let Some((quota, age)) = entry_of(object, object.reference()) else { return Vec::new() };
        let mut quotas = self.0.lock();
        let Some(entries) = quotas.get_mut(&quota) else { return Vec::new() };
        let gives_way = entries.remove(&age).is_some_and(|entry| entry.rank() > Rank::Out);
        let woken = if gives_way { next(entries, &quota, limit) } else { Vec::new() };
        if entries.is_empty() {
            quotas.remove(&quota);
        }
        woken
    }

    /// Drops the objects that are gone. `uid_of`: the UID of the object that has a name now.
    pub(crate) fn retain(&self, uid_of: impl Fn(&Key) -> Option<String>) {
        self.0.lock().retain(|(namespace, _), entries| {
            entries.retain(|(_, uid), entry| uid_of(&(namespace.clone(), entry.name.clone())).as_ref() == Some(uid));
            !entries.is_empty()
        });
    }

    pub(crate) fn report_usage(&self, object: &AthenaSession, usage: Usage, limit: Option<u32>) -> Vec<Key> {
        let Some((quota, age)) = entry_of(object, reference(object)) else { return Vec::new() };
        let mut quotas = self.0.lock();
        let Some(entries) = quotas.get_mut(&quota) else { return Vec::new() };
        let Some(entry) = entries.get_mut(&age) else { return Vec::new() };
        let before = entry.rank();
        entry.reservation = match usage {
            Usage::InUse => Some(Reservation::Confirmed),
            Usage::MaybeInUse => entry.reservation.or(Some(Reservation::Unconfirmed)),
            Usage::Wanted => entry.reservation,
            Usage::Unused => None,
        };
        if entry.rank() < before { next(entries, &quota, limit) } else { Vec::new() }
    }

    /// Whether there is a slot for an object. The answer reserves nothing.
    pub(crate) fn slot(&self, object: &AthenaSession, limit: u32) -> Slot {
        let Some((quota, age)) = entry_of(object, reference(object)) else { return Slot::Free };
        self.0.lock().get(&quota).map_or(Slot::Free, |entries| slot(entries, &age, limit))
    }

    /// Reserves a slot for an object, if there is one: [`SessionQuotas::slot`] tells.
    pub(crate) fn reserve(&self, object: &AthenaSession, limit: u32) {
        let Some((quota, age)) = entry_of(object, reference(object)) else { return };
        let mut quotas = self.0.lock();
        // An object that the watch doesn't show is gone, and nothing would give its slot back.
        let Some(entries) = quotas.get_mut(&quota) else { return };
        if slot(entries, &age, limit) == Slot::Free
            && let Some(entry) = entries.get_mut(&age)
        {
            entry.reservation = Some(Reservation::Confirmed);
        }
    }
}

impl Entry {
    fn rank(&self) -> Rank {
        match self.recorded {
            _ if self.reservation.is_some() => Rank::HasSlot,
            StartPlace::Counts => Rank::HasSlot,
            StartPlace::Waits if self.is_held => Rank::Waits,
            StartPlace::Waits | StartPlace::Free => Rank::Out,
        }
    }

    /// Whether the object may have a session that this process has neither seen nor given a slot.
    fn is_unconfirmed(&self) -> bool {
        self.rank() == Rank::HasSlot && self.reservation != Some(Reservation::Confirmed)
    }
}

fn slot(entries: &Entries, own: &Age, limit: u32) -> Slot {
    let entry = entries.get(own);
    if entry.is_some_and(|entry| entry.reservation == Some(Reservation::Confirmed)) {
        return Slot::Held;
    }
    let is_unconfirmed = entry.is_some_and(Entry::is_unconfirmed);
    let others = || entries.iter().filter(|(age, _)| *age != own);
    // Objects that aren't confirmed would keep each other from starting for ever. Of these the older go first.
    let goes_after = |age: &Age, entry: &Entry| is_unconfirmed && entry.is_unconfirmed() && age > own;
    let holders = others().filter(|(age, entry)| entry.rank() == Rank::HasSlot && !goes_after(age, entry));
    let mut holders: Vec<_> = holders.map(|(_, entry)| entry.name.clone()).collect();
    let waits_longer = |(age, entry): &(&Age, &Entry)| entry.rank() == Rank::Waits && *age < own && !is_unconfirmed;
    let waiting = others().filter(waits_longer).count();
    if holders.len() + waiting < to_usize(limit) {
        return Slot::Free;
    }
    holders.sort_unstable();
    Slot::NoneFree(QuotaExceeded { limit, holders, waiting })
}

/// The first objects in the line, as many as there are free slots. The other objects learn of their position when they ask.
fn next(entries: &Entries, quota: &QuotaKey, limit: Option<u32>) -> Vec<Key> {
    let of_rank = |rank| entries.values().filter(move |entry| entry.rank() == rank);
    let free = limit.map_or(usize::MAX, |limit| to_usize(limit).saturating_sub(of_rank(Rank::HasSlot).count()));
    of_rank(Rank::Waits).take(free).map(|entry| (quota.0.clone(), entry.name.clone())).collect()
}

fn to_usize(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn entry_of(object: &impl Resource, reference: Option<&str>) -> Option<(QuotaKey, Age)> {
    let metadata = object.meta();
    let quota = (metadata.namespace.clone()?, reference?.to_owned());
    Some((quota, (metadata.creation_timestamp.as_ref().map(|created| created.0), metadata.uid.clone()?)))
}

#[cfg(test)]
mod tests;

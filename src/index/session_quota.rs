//! Who has, and who waits for, one of the sessions that an AthenaWorkGroup allows to a namespace at once.
//!
//! The watch shows too late who else was asked for, and anybody may have written what it shows. So a place is reserved
//! here, before the attempt to start a session is recorded, and kept until a pass has it from Athena, or by proof, that
//! there is no session. What is recorded counts in addition, for what this process hasn't looked at yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::objects::Session;
use crate::api::cached::StartPlace;
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;

/// What a pass knows of the session that an object has its place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It was started, and hasn't been seen to end.
    InUse,
    /// A call may have started one.
    MaybeInUse,
    /// None is known of, and one may be started.
    Wanted,
    /// There is none, and none is going to be started as things are.
    Unused,
}

/// How an object stands among those of its namespace that start sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// It has its place, or the number isn't limited.
    #[default]
    Held,
    /// There is one, which it has to reserve before it starts anything.
    Free,
    /// Others have, or before this one wait for, as many as there are.
    NoneFree(QuotaExceeded),
}

/// Objects of a namespace that have, or before this one wait for, as many sessions as it may have at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// How many sessions it may have.
    pub limit: u32,
    /// The names of those that have a place, in order.
    pub holders: Vec<String>,
    /// How many wait longer than this one.
    pub waiting: usize,
}

impl QuotaExceeded {
    const NAMED: usize = 3;

    /// How many there may be, who has them, and how many come first.
    #[must_use]
    pub fn sentence(&self, group: &str) -> String {
        let (limit, waiting) = (self.limit, self.waiting);
        let sessions = if limit == 1 { "session" } else { "sessions" };
        let allowed = format!("AthenaWorkGroup {group} allows {limit} {sessions} at once to a namespace");
        let held = self.held().map_or_else(String::new, |held| format!(", and {held}"));
        let before = match waiting {
            0 => String::new(),
            1 => " 1 other waits before this one.".to_owned(),
            _ => format!(" {waiting} others wait before this one."),
        };
        format!("{allowed}{held}.{before}")
    }

    /// Who has how many.
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
        let what = match usize::try_from(self.limit).unwrap_or(usize::MAX) {
            1 if count == 1 => "it".to_owned(),
            limit if count == limit => "them".to_owned(),
            limit if count > limit => count.to_string(),
            _ if count == 1 => "one of them".to_owned(),
            _ => format!("{count} of them"),
        };
        Some(format!("{who} {has} {what}"))
    }
}

/// The objects that start sessions, as the watch shows them, and the places that this process knows to be taken.
#[derive(Default)]
pub struct SessionQuotas(Mutex<HashMap<Room, Guests>>);

/// A namespace, and an AthenaWorkGroup.
type Room = (String, String);
/// Who waits longer goes first.
type Age = (Option<Timestamp>, String);
type Guests = BTreeMap<Age, Guest>;

struct Guest {
    name: String,
    /// What its status says.
    recorded: StartPlace,
    is_held: bool,
    hold: Option<Hold>,
}

/// A place that this process knows to be taken, whatever the status says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// By what an earlier process may have started. That gives no right to start anything.
    Doubt,
    /// It was reserved, or the session has been seen.
    Own,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Out,
    Waits,
    Has,
}

impl SessionQuotas {
    /// An object is there, or has changed. `limit`: how many sessions its namespace may have. Returns those that may
    /// have a place now.
    pub fn shown(&self, object: &Session, limit: Option<u32>) -> Vec<Key> {
        let (Some(recorded), Some((room, age))) = (object.start_place(), of(object, object.reference())) else {
            return Vec::new();
        };
        let is_held = is_held(object);
        // What we have let go has no session that is ours, whatever else holds it.
        let is_leaving = !is_held && object.meta().deletion_timestamp.is_some();
        let mut rooms = self.lock();
        let guests = rooms.entry(room.clone()).or_default();
        let before = guests.get(&age);
        let guest = Guest {
            name: object.name_any(),
            recorded: if is_leaving { StartPlace::Free } else { recorded },
            is_held,
            hold: before.and_then(|before| before.hold).filter(|_| !is_leaving),
        };
        let makes_room = before.is_some_and(|before| guest.rank() < before.rank());
        guests.insert(age, guest);
        if makes_room { next(guests, &room, limit) } else { Vec::new() }
    }

    /// An object is gone. Returns likewise.
    pub fn gone(&self, object: &Session, limit: Option<u32>) -> Vec<Key> {
        let Some((room, age)) = of(object, object.reference()) else { return Vec::new() };
        let mut rooms = self.lock();
        let Some(guests) = rooms.get_mut(&room) else { return Vec::new() };
        let makes_room = guests.remove(&age).is_some_and(|guest| guest.rank() > Rank::Out);
        let woken = if makes_room { next(guests, &room, limit) } else { Vec::new() };
        if guests.is_empty() {
            rooms.remove(&room);
        }
        woken
    }

    /// Drops the objects that are gone: `uid_of` says whose a name is now.
    pub fn retain(&self, uid_of: impl Fn(&Key) -> Option<String>) {
        self.lock().retain(|(namespace, _), guests| {
            guests.retain(|(_, uid), guest| uid_of(&(namespace.clone(), guest.name.clone())).as_ref() == Some(uid));
            !guests.is_empty()
        });
    }

    /// What a pass knows of an object. Returns those that may have a place now.
    pub fn report_usage(&self, object: &AthenaSession, usage: Usage, limit: Option<u32>) -> Vec<Key> {
        let Some((room, age)) = of(object, reference(object)) else { return Vec::new() };
        let mut rooms = self.lock();
        let Some(guests) = rooms.get_mut(&room) else { return Vec::new() };
        let Some(guest) = guests.get_mut(&age) else { return Vec::new() };
        let before = guest.rank();
        guest.hold = match usage {
            Usage::InUse => Some(Hold::Own),
            Usage::MaybeInUse => guest.hold.or(Some(Hold::Doubt)),
            Usage::Wanted => guest.hold,
            Usage::Unused => None,
        };
        if guest.rank() < before { next(guests, &room, limit) } else { Vec::new() }
    }

    /// Whether an object may start its session. To ask promises nothing.
    pub fn place(&self, object: &AthenaSession, limit: u32) -> Slot {
        let Some((room, age)) = of(object, reference(object)) else { return Slot::Free };
        self.lock().get(&room).map_or(Slot::Free, |guests| place(guests, &age, limit))
    }

    /// Gives an object a place, if there is one still: the next look tells.
    pub fn reserve(&self, object: &AthenaSession, limit: u32) {
        let Some((room, age)) = of(object, reference(object)) else { return };
        let mut rooms = self.lock();
        // What the watch doesn't show is gone: who would give the place back?
        let Some(guests) = rooms.get_mut(&room) else { return };
        if place(guests, &age, limit) == Slot::Free
            && let Some(guest) = guests.get_mut(&age)
        {
            guest.hold = Some(Hold::Own);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Room, Guests>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    fn rank(&self) -> Rank {
        match self.recorded {
            _ if self.hold.is_some() => Rank::Has,
            StartPlace::Counts => Rank::Has,
            StartPlace::Waits if self.is_held => Rank::Waits,
            StartPlace::Waits | StartPlace::Free => Rank::Out,
        }
    }

    /// It may have a session, and this process has neither seen it nor given it a place.
    fn is_doubtful(&self) -> bool {
        self.rank() == Rank::Has && self.hold != Some(Hold::Own)
    }
}

fn place(guests: &Guests, own: &Age, limit: u32) -> Slot {
    let guest = guests.get(own);
    if guest.is_some_and(|guest| guest.hold == Some(Hold::Own)) {
        return Slot::Held;
    }
    let is_doubtful = guest.is_some_and(Guest::is_doubtful);
    let others = || guests.iter().filter(|(age, _)| *age != own);
    // Those in doubt would keep each other from starting for ever: of them the older go first.
    let has = |(age, guest): &(&Age, &Guest)| {
        guest.rank() == Rank::Has && !(is_doubtful && guest.is_doubtful() && *age > own)
    };
    let mut holders: Vec<_> = others().filter(has).map(|(_, guest)| guest.name.clone()).collect();
    let waits_longer = |(age, guest): &(&Age, &Guest)| guest.rank() == Rank::Waits && *age < own && !is_doubtful;
    let waiting = others().filter(waits_longer).count();
    if holders.len() + waiting < count(limit) {
        return Slot::Free;
    }
    holders.sort_unstable();
    Slot::NoneFree(QuotaExceeded { limit, holders, waiting })
}

/// As many of those that wait as there are free places, in the order of the line. The others hear of their place in it
/// when they ask.
fn next(guests: &Guests, room: &Room, limit: Option<u32>) -> Vec<Key> {
    let those = |rank| guests.values().filter(move |guest| guest.rank() == rank);
    let free = limit.map_or(usize::MAX, |limit| count(limit).saturating_sub(those(Rank::Has).count()));
    those(Rank::Waits).take(free).map(|guest| (room.0.clone(), guest.name.clone())).collect()
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

pub(super) fn reference(object: &AthenaSession) -> Option<&str> {
    object.spec.work_group_ref.as_ref().map(|reference| reference.name.as_str())
}

fn of(object: &impl Resource, reference: Option<&str>) -> Option<(Room, Age)> {
    let metadata = object.meta();
    let room = (metadata.namespace.clone()?, reference?.to_owned());
    Some((room, (metadata.creation_timestamp.as_ref().map(|created| created.0), metadata.uid.clone()?)))
}

#[cfg(test)]
mod tests;

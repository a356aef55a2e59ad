//! Who has, and who waits for, one of the sessions that an AthenaWorkGroup allows to a namespace at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::registry::{Key, Session};
use super::terms::Crowd;
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::api::slim::StartPlace;

/// The objects that start sessions, as the watch shows them.
#[derive(Default)]
pub struct Places(Mutex<Index>);

/// A namespace, and an AthenaWorkGroup.
type Room = (String, String);
/// Who waits longer goes first.
type Age = (Option<Timestamp>, String);

#[derive(Default)]
struct Index {
    rooms: HashMap<Room, BTreeMap<Age, Guest>>,
    /// The UIDs of those that have been promised a place: the watch shows too late who else was asked for.
    promised: HashSet<String>,
}

struct Guest {
    name: String,
    place: StartPlace,
    is_held: bool,
}

impl Places {
    /// An object is there, or has changed. `limit`: how many sessions its namespace may have. Returns those that may
    /// have a place now.
    pub fn shown(&self, object: &Session, limit: Option<u32>) -> Vec<Key> {
        let (Some(place), Some((room, age))) = (object.start_place(), of(object, object.reference())) else {
            return Vec::new();
        };
        let mut index = self.lock();
        let guest = Guest { name: object.name_any(), place, is_held: is_held(object) };
        let uid = age.1.clone();
        let before = index.rooms.entry(room.clone()).or_default().insert(age, guest);
        let is_news = before.is_some_and(|before| before.place != StartPlace::Free);
        if place == StartPlace::Free && (index.promised.remove(&uid) || is_news) {
            return index.next(&room, limit);
        }
        Vec::new()
    }

    /// An object is gone. Returns likewise.
    pub fn gone(&self, object: &Session, limit: Option<u32>) -> Vec<Key> {
        let Some((room, age)) = of(object, object.reference()) else { return Vec::new() };
        let mut index = self.lock();
        index.promised.remove(&age.1);
        let Some(guests) = index.rooms.get_mut(&room) else { return Vec::new() };
        let before = guests.remove(&age);
        if guests.is_empty() {
            index.rooms.remove(&room);
            return Vec::new();
        }
        if before.is_some_and(|before| before.place != StartPlace::Free) {
            index.next(&room, limit)
        } else {
            Vec::new()
        }
    }

    /// Drops the objects that are gone: `uid_of` says whose a name is now.
    pub fn retain(&self, uid_of: impl Fn(&Key) -> Option<String>) {
        let mut index = self.lock();
        let Index { rooms, promised } = &mut *index;
        rooms.retain(|(namespace, _), guests| {
            guests.retain(|(_, uid), guest| {
                let is_there = uid_of(&(namespace.clone(), guest.name.clone())).as_ref() == Some(uid);
                if !is_there {
                    promised.remove(uid);
                }
                is_there
            });
            !guests.is_empty()
        });
    }

    /// Who keeps an object from starting its session: those of its namespace that may have one already, or have been
    /// promised one, and those that wait for one longer. An object that nobody keeps is promised a place by this very
    /// question.
    pub fn crowd(&self, object: &AthenaSession, limit: u32) -> Option<Crowd> {
        let reference = object.spec.work_group_ref.as_ref().map(|reference| reference.name.as_str());
        let (room, own) = of(object, reference)?;
        let mut index = self.lock();
        if index.promised.contains(&own.1) {
            return None;
        }
        let guests = index.rooms.get(&room).into_iter().flatten();
        let others = guests.filter(|(age, guest)| {
            let waits_longer = guest.place == StartPlace::Waits && guest.is_held && **age < own;
            age.1 != own.1 && (index.has_place(age, guest) || waits_longer)
        });
        let mut names: Vec<_> = others.map(|(_, guest)| guest.name.clone()).collect();
        if names.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            index.promised.insert(own.1);
            return None;
        }
        names.sort_unstable();
        Some(Crowd { limit, names })
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn has_place(&self, (_, uid): &Age, guest: &Guest) -> bool {
        let is_promised = || guest.place == StartPlace::Waits && self.promised.contains(uid);
        guest.place == StartPlace::Counts || is_promised()
    }

    /// As many of those that wait as there are free places, in the order of the line. The others hear of their place in
    /// it when they ask.
    fn next(&self, room: &Room, limit: Option<u32>) -> Vec<Key> {
        let Some(guests) = self.rooms.get(room) else { return Vec::new() };
        let taken = guests.iter().filter(|(age, guest)| self.has_place(age, guest)).count();
        let free = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(taken));
        let waits = |(age, guest): &(&Age, &Guest)| {
            guest.place == StartPlace::Waits && guest.is_held && !self.promised.contains(&age.1)
        };
        guests.iter().filter(waits).take(free).map(|(_, guest)| (room.0.clone(), guest.name.clone())).collect()
    }
}

fn of(object: &impl Resource, reference: Option<&str>) -> Option<(Room, Age)> {
    let metadata = object.meta();
    let room = (metadata.namespace.clone()?, reference?.to_owned());
    Some((room, (metadata.creation_timestamp.as_ref().map(|created| created.0), metadata.uid.clone()?)))
}

#[cfg(test)]
mod tests;

//! Which objects follow which workloads (`spec.endWith`), and when a watch last had news of a workload.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::api::workload::{Workload, WorkloadKind, WorkloadState};
use crate::athena::quota::Key;

#[derive(Default)]
pub(crate) struct FollowedWorkloads(Mutex<Index>);

#[derive(Default)]
struct Index {
    followers: HashMap<(String, Workload), Followers>,
    followed: HashMap<Key, Box<[Workload]>>,
}

#[derive(Default)]
struct Followers {
    keys: Vec<Key>,
    /// The state that the watch last showed. A Job changes often without a change of its state; then nobody is woken.
    last: Option<WorkloadState>,
    news: Option<Instant>,
}

impl FollowedWorkloads {
    /// From now on the object follows these workloads, and no others.
    pub(crate) fn follow(&self, key: &Key, workloads: &[Workload]) {
        let mut index = self.0.lock();
        if index.followed.get(key).map_or(&[][..], |known| known) == workloads {
            return;
        }
        index.forget(key);
        if workloads.is_empty() {
            return;
        }
        index.followed.insert(key.clone(), workloads.into());
        for workload in workloads {
            let followers = index.followers.entry((key.0.clone(), workload.clone())).or_default();
            followers.keys.push(key.clone());
            // A change before this moment wasn't noticed, so the workload has to be read again.
            followers.news = Some(Instant::now());
        }
    }

    pub(crate) fn retain(&self, is_there: impl Fn(&Key) -> bool) {
        let mut index = self.0.lock();
        let gone: Vec<_> = index.followed.keys().filter(|key| !is_there(key)).cloned().collect();
        gone.iter().for_each(|key| index.forget(key));
    }

    /// Takes in what a watch shows of a workload. Returns the objects that the change concerns.
    pub(crate) fn changed(&self, namespace: &str, workload: Workload, state: WorkloadState) -> Vec<Key> {
        let mut index = self.0.lock();
        let Some(followers) = index.followers.get_mut(&(namespace.to_owned(), workload)) else { return Vec::new() };
        if followers.last.as_ref() == Some(&state) {
            return Vec::new();
        }
        (followers.last, followers.news) = (Some(state), Some(Instant::now()));
        followers.keys.clone()
    }

    /// Takes in that all workloads of a kind have been listed anew, in one namespace or in all. Some may have gone without an
    /// event. Returns the objects that follow any of them.
    pub(crate) fn listed(&self, kind: WorkloadKind, namespace: Option<&str>) -> Vec<Key> {
        let mut index = self.0.lock();
        let concerned = index
            .followers
            .iter_mut()
            .filter(|((of, workload), _)| workload.kind == kind && namespace.is_none_or(|namespace| namespace == of));
        let concerned = concerned.flat_map(|(_, followers)| {
            followers.news = Some(Instant::now());
            followers.keys.clone()
        });
        concerned.collect()
    }

    pub(crate) fn news(&self, namespace: &str, workloads: &[Workload]) -> Option<Instant> {
        let index = self.0.lock();
        let of = |workload: &Workload| index.followers.get(&(namespace.to_owned(), workload.clone()))?.news;
        workloads.iter().filter_map(of).max()
    }
}

impl Index {
    fn forget(&mut self, key: &Key) {
        for workload in self.followed.remove(key).unwrap_or_default() {
            let followed = (key.0.clone(), workload);
            let Some(followers) = self.followers.get_mut(&followed) else { continue };
            followers.keys.retain(|other| other != key);
            if followers.keys.is_empty() {
                self.followers.remove(&followed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_being_followed_is_read_anew_when_the_list_changes() {
        let job = |name: &str| Workload { kind: WorkloadKind::Job, name: name.to_owned() };
        let key = ("team-a".to_owned(), "nightly".to_owned());
        let followed = FollowedWorkloads::default();
        followed.follow(&key, &[job("one")]);
        let before = followed.news("team-a", &[job("one")]);
        followed.follow(&key, &[job("one")]);
        assert_eq!(followed.news("team-a", &[job("one")]), before);
        followed.follow(&key, &[job("one"), job("two")]);
        assert!(followed.news("team-a", &[job("one")]) > before);
    }
}

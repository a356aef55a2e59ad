//! Token buckets for the configured rates.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::{config::Quota, world::Place};

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

/// One bucket for each operation, account and Region.
#[derive(Debug, Default)]
pub(crate) struct Buckets(HashMap<(Place, String), Bucket>);

impl Buckets {
    /// Takes a token, if the quota leaves one.
    pub(crate) fn allow(
        &mut self,
        quotas: &BTreeMap<String, Quota>,
        place: &Place,
        operation: &str,
        now: Timestamp,
    ) -> bool {
        let key = (place.clone(), operation.to_owned());
        let Some(quota) = quotas.get(operation).or_else(|| quotas.get("*")) else {
            // A quota that comes back later starts with a full bucket.
            self.0.remove(&key);
            return true;
        };
        let bucket = self.0.entry(key).or_insert(Bucket { tokens: quota.burst, filled_at: now });
        let elapsed = now.duration_since(bucket.filled_at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + elapsed * quota.rate).min(quota.burst);
        bucket.filled_at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

//! Which call is next, and whether it is a session's own or a list's. PURE.

use std::time::{Duration, Instant};

use super::cursor::Quarry;
use super::demand::{Demand, Group, earlier, quarry, wished};
use super::plan::{Asked, Plan};
use super::store::{Entry, Pace, Watch};
use super::types::Ask;

/// Fewer are never worth a hunt, which reads two lists.
const FEW: usize = 2;
/// So many calls that are more urgent go before one page of a sweep, or of a complete list.
pub(super) const AHEAD: u32 = 3;

/// Which way sessions are looked at, at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    hunt_started: bool,
    hunt_ended: bool,
    sweep: bool,
}

impl Ways {
    pub(super) fn hunts(&self, quarry: Quarry) -> bool {
        match quarry {
            Quarry::Started => self.hunt_started,
            Quarry::Ended => self.hunt_ended,
        }
    }
}

impl Plan {
    /// Whether the next page of the sweep is asked for at once, without going through all sessions to find a more urgent
    /// call. There are a hundred sessions to a page, so going through them before each page costs most of the CPU. A more
    /// urgent call waits a tenth of `changing` at the most.
    pub(super) fn is_sweep_alone(&self, now: Instant) -> bool {
        let is_alone = self.only_sweep_since.is_some_and(|since| now < since + self.timing.changing / 10);
        is_alone && self.sweep.is_some() && self.woken.is_empty() && !self.is_listing_in_trouble(now)
    }

    pub(super) fn demand(&self, now: Instant) -> Demand {
        Demand::of(&self.store, self.sweep.as_ref().map(|sweep| sweep.began), &self.timing, now)
    }

    /// Forgets what nobody watches and no sweep shows any more; and doubts what a sweep costs, since only trying
    /// tells.
    pub(super) fn tidy(&mut self, now: Instant) {
        let steady = self.timing.steady;
        if *self.tidied.get_or_insert(now) + steady > now {
            return;
        }
        self.tidied = Some(now);
        let is_kept = |entry: &Entry| {
            entry.watch.is_some() || entry.sight.as_ref().is_some_and(|sight| now < sight.at + steady * 2)
        };
        self.store.retain(|_, entry| is_kept(entry));
        self.tidy_full_list(now);
        if self.priced.is_some_and(|priced| priced + steady * 10 <= now) {
            self.price_sweep((self.sweep_calls / 2).max(1), now);
        }
    }

    pub(super) fn price_sweep(&mut self, calls: usize, now: Instant) {
        self.sweep_calls = calls;
        self.priced = Some(now);
    }

    /// Few that wait to be seen are left to themselves, and all are while no list can be had.
    pub(super) fn settle_wishes(&mut self, demand: &Demand, now: Instant) {
        if self.is_listing_in_trouble(now) {
            self.refuse(|_| true);
        } else if self.is_gathered(demand, now) && demand.wishes <= self.sweep_calls {
            let covered = self.sweep.as_ref().map(|sweep| sweep.began);
            self.refuse(|since| covered.is_none_or(|covered| since > covered));
        }
    }

    pub(super) fn is_gathered(&self, demand: &Demand, now: Instant) -> bool {
        demand.first_wish.is_some_and(|first| first + self.timing.gather() <= now)
    }

    /// The sweep that began then doesn't show them: whoever wished to know asks.
    pub(super) fn refuse_wishes(&mut self, began: Instant) {
        self.refuse(|since| since <= began);
    }

    fn refuse(&mut self, is_meant: impl Fn(Instant) -> bool) {
        for (id, entry) in &mut self.store {
            if wished(entry).is_some_and(&is_meant)
                && let Some(watch) = &mut entry.watch
                && watch.leave_alone()
            {
                self.woken.push(id.to_string());
            }
        }
    }

    pub(super) fn ways(&self, demand: &Demand, now: Instant) -> Ways {
        Ways {
            hunt_started: self.is_worth_a_hunt(Quarry::Started, &demand.started, now),
            hunt_ended: self.is_worth_a_hunt(Quarry::Ended, &demand.ended, now),
            sweep: self.is_worth_a_sweep(demand, now) && !self.is_listing_in_trouble(now),
        }
    }

    pub(super) fn is_worth_a_hunt(&self, quarry: Quarry, group: &Group, now: Instant) -> bool {
        let cost = self.depths.calls_to(quarry, group.oldest()).max(FEW);
        !self.is_listing_in_trouble(now) && group.near > 0 && (group.near > cost || self.is_status_in_trouble(now))
    }

    pub(super) fn is_worth_a_sweep(&self, demand: &Demand, now: Instant) -> bool {
        let in_trouble = demand.steady > 0 && self.is_status_in_trouble(now);
        self.counting || demand.steady > self.sweep_calls || in_trouble
    }

    pub(super) fn is_listing_in_trouble(&self, now: Instant) -> bool {
        self.listing.is_some_and(|trouble| trouble.retry_at > now)
    }

    pub(super) fn is_status_in_trouble(&self, now: Instant) -> bool {
        self.status.is_some_and(|trouble| trouble.retry_at > now)
    }

    pub(super) fn begin_listings(&mut self, demand: &Demand, ways: Ways, now: Instant) {
        if self.sweep.is_none() && self.next_sweep(demand, now).is_some_and(|due| due <= now) {
            self.begin_sweep(now);
        }
        if self.hunt.is_some() {
            return;
        }
        let due = [Quarry::Ended, Quarry::Started].into_iter().filter_map(|quarry| {
            let due = self.next_hunt(quarry, demand, ways)?;
            (due <= now).then_some((due, quarry))
        });
        if let Some((_, quarry)) = due.min_by_key(|(due, _)| *due) {
            self.begin_hunt(quarry, now);
        }
    }

    /// When a sweep is due, if one is.
    pub(super) fn next_sweep(&self, demand: &Demand, now: Instant) -> Option<Instant> {
        let after = |wait: Duration| self.sweep_began.map_or(now, |began| began + wait);
        let wishes = demand.first_wish.filter(|_| demand.wishes > self.sweep_calls);
        let for_wishes = wishes.map(|first| (first + self.timing.gather()).max(after(self.timing.near())));
        let regular = self.is_worth_a_sweep(demand, now).then(|| after(self.timing.steady));
        let due = earlier(for_wishes, regular)?;
        Some(self.listing.map_or(due, |trouble| due.max(trouble.retry_at)))
    }

    /// When a hunt is due, if it is worth one.
    pub(super) fn next_hunt(&self, quarry: Quarry, demand: &Demand, ways: Ways) -> Option<Instant> {
        let first = demand.group(quarry).first.filter(|_| ways.hunts(quarry))?;
        let spaced = match quarry {
            Quarry::Started => self.next_started,
            Quarry::Ended => self.next_ended,
        };
        Some(spaced.map_or(first, |spaced| first.max(spaced)))
    }

    /// A hunt and single calls take turns, and now and then the sweep goes on, or the complete list: these two take turns, too.
    pub(super) fn choose(&self, ways: Ways, now: Instant) -> Option<Asked> {
        let listing = !self.is_listing_in_trouble(now);
        let sweep = (self.sweep.is_some() && listing).then_some(Asked::Sweep);
        let full_list = (self.full.is_under_way() && listing).then_some(Asked::FullList);
        let long = if self.was_full_list { sweep.or(full_list) } else { full_list.or(sweep) };
        if long.is_some() && self.ahead >= AHEAD {
            return long;
        }
        let hunt = (self.hunt.is_some() && listing).then_some(Asked::Hunt);
        let single = self.next_single(ways, now).filter(|(at, _)| *at <= now).map(|(_, id)| Asked::Status(id));
        let urgent = if self.was_single { hunt.or(single) } else { single.or(hunt) };
        urgent.or(long)
    }

    pub(super) fn ask(&mut self, asked: Asked, now: Instant) -> Ask {
        match asked {
            Asked::Sweep | Asked::FullList => {
                self.ahead = 0;
                self.was_full_list = asked == Asked::FullList;
            }
            Asked::Status(_) | Asked::Hunt => {
                self.ahead = self.ahead.saturating_add(1);
                self.was_single = asked != Asked::Hunt;
            }
        }
        let ask = match &asked {
            Asked::Status(id) => {
                self.status_asked = Some(now);
                let watch = self.store.get(id.as_str()).and_then(|entry| entry.watch.as_ref());
                let urgent = watch.is_some_and(|watch| watch.pace == Pace::Ending);
                Some(Ask::Status { id: id.clone(), urgent })
            }
            Asked::Sweep => self.sweep.as_ref().map(|sweep| sweep.ask(false)),
            Asked::Hunt => self.hunt.as_ref().map(|hunt| hunt.walk.ask(hunt.urgent)),
            Asked::FullList => self.full.walk().map(|walk| walk.ask(false)),
        };
        self.asked = Some(asked);
        ask.unwrap_or(Ask::Wait(Some(now + self.timing.near())))
    }

    /// The session whose own call is due first, or most overdue for its pace; and when it may be asked for.
    pub(super) fn next_single(&self, ways: Ways, now: Instant) -> Option<(Instant, String)> {
        let lateness = |watch: &Watch| {
            let late = now.saturating_duration_since(watch.due).as_secs_f64();
            let early = watch.due.saturating_duration_since(now).as_secs_f64();
            late / self.timing.of(watch.pace).as_secs_f64() - early
        };
        let candidates = self.store.iter().filter_map(|(id, entry)| {
            let (watch, _) = entry.tended()?;
            is_asked_singly(entry, watch, ways).then(|| (lateness(watch), watch.due, id))
        });
        let (_, due, id) = candidates.max_by(|one, other| one.0.total_cmp(&other.0))?;
        Some((self.status_allowed(now).map_or(due, |allowed| due.max(allowed)), id.to_string()))
    }

    /// When GetSessionStatus may be called, if not at once. While no list can be had, many could want it.
    pub(super) fn status_allowed(&self, now: Instant) -> Option<Instant> {
        let spaced = self.status_asked.filter(|_| self.is_listing_in_trouble(now));
        let spaced = spaced.map(|asked| asked + self.timing.changing / 10);
        spaced.max(self.status.map(|trouble| trouble.retry_at))
    }

    /// Until when there is nothing to do. Never now: that would go round in circles.
    pub(super) fn rest(&self, demand: &Demand, ways: Ways, now: Instant) -> Option<Instant> {
        let gathered = demand.first_wish.map(|first| first + self.timing.gather()).filter(|gathered| *gathered > now);
        let sweep = self.next_sweep(demand, now).filter(|_| self.sweep.is_none());
        let hunts = [Quarry::Started, Quarry::Ended].map(|quarry| {
            let group = demand.group(quarry);
            // What is near counts only once it is due.
            self.next_hunt(quarry, demand, ways).or(group.first.filter(|first| *first > now))
        });
        let single = self.next_single(ways, now).map(|(at, _)| at);
        let troubles = [self.listing, self.status].map(|trouble| trouble.map(|trouble| trouble.retry_at));
        let retries = troubles.into_iter().flatten().filter(|retry_at| *retry_at > now && self.is_wanted());
        let full_list = self.full.next(&self.timing);
        let full_list = full_list.map(|due| self.listing.map_or(due, |trouble| due.max(trouble.retry_at)));
        let until = [gathered, sweep, single, full_list].into_iter().chain(hunts).flatten().chain(retries).min();
        until.map(|until| until.max(now + self.timing.changing / 100))
    }
}

fn is_asked_singly(entry: &Entry, watch: &Watch, ways: Ways) -> bool {
    match quarry(entry) {
        _ if watch.hunted => false,
        _ if entry.is_single() => true,
        Some(quarry) => !ways.hunts(quarry),
        None => !ways.sweep,
    }
}

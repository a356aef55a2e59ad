//! The rules and protections that hold for a work group, read from the objects that register it. PURE.

use std::collections::HashSet;

use super::conditions::{Conditions, is_empty};
use super::fault::Fault;
use super::patterns::{Pattern, PatternSet, Patterns};
use crate::api::cleanup::{
    Cleanup, CleanupMode, CleanupRule, DESCRIPTION_OR_TAG, EMPTY_MATCH, MOST_RULES, NAME_NEEDED, Protect,
};

/// `spec.cleanup` of one AthenaWorkGroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source<'a> {
    /// The name of the AthenaWorkGroup; empty where the rules come from a file.
    pub owner: &'a str,
    /// The AthenaWorkGroup's rules; None where it has none.
    pub cleanup: Option<&'a Cleanup>,
}

/// What holds for the sessions of one work group.
#[derive(Debug)]
pub struct Policy {
    /// Whether every AthenaWorkGroup that registers the work group has `mode: Enforce`. This value says only whether an end is
    /// carried out. No verdict and no plan depends on it.
    pub enforces: bool,
    /// How many sessions are ended in one run at the most.
    pub max_terminations_per_run: usize,
    /// The largest share of the sessions, in percent, that the rules may match.
    pub max_matched_percent: usize,
    /// What is wrong with the rules.
    pub faults: Vec<Fault>,
    /// The rules that are applied, in their order.
    pub(super) rules: Vec<Rule>,
    /// The rules that can't be used as they are written. Each of them protects what it may be about.
    pub(super) skipped: Vec<Rule>,
    pub(super) protections: Vec<Protection>,
    /// The regular expressions of all rules and protections.
    pub(super) patterns: PatternSet,
}

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// The rule's name, after that of its AthenaWorkGroup.
    pub(super) label: String,
    pub(super) conditions: Conditions,
}

/// A condition that protects.
#[derive(Debug)]
pub(super) enum Protection {
    Description {
        text: String,
        pattern: Pattern,
    },
    Tag {
        key: String,
        value: Option<String>,
    },
    /// An entry at this path can't be read. It may have been meant for any session, so it protects all of them.
    Everything(String),
}

/// A policy, while it is being read.
#[derive(Default)]
struct Reading {
    rules: Vec<Rule>,
    skipped: Vec<Rule>,
    protections: Vec<Protection>,
    patterns: Patterns,
    faults: Vec<Fault>,
}

impl Policy {
    /// Reads the rules of all AthenaWorkGroups that register one work group, the oldest first. Their rules and protections add
    /// up, and the smaller limits hold.
    pub fn read(sources: &[Source<'_>]) -> Self {
        let all = || sources.iter().filter_map(|source| source.cleanup);
        let mut reading = Reading::default();
        for source in sources {
            reading.read(source);
        }
        let Reading { rules, skipped, protections, patterns, faults } = reading;
        let number = |number: Option<u32>| number.map_or(0, |number| usize::try_from(number).unwrap_or(usize::MAX));
        Self {
            enforces: sources.iter().all(|source| source.cleanup.is_some_and(|it| it.mode == CleanupMode::Enforce)),
            max_terminations_per_run: number(all().map(|cleanup| cleanup.max_terminations_per_run).min()),
            max_matched_percent: number(all().map(|cleanup| cleanup.max_matched_percent).min()),
            faults,
            rules,
            skipped,
            protections,
            patterns: patterns.build(),
        }
    }

    /// The name of the rule of this number, after that of its AthenaWorkGroup.
    pub fn rule_name(&self, rule: usize) -> &str {
        self.rules.get(rule).map_or("", |rule| &rule.label)
    }
}

impl Reading {
    fn read(&mut self, source: &Source<'_>) {
        let Some(cleanup) = source.cleanup else { return };
        let within = |path: String| if source.owner.is_empty() { path } else { format!("{}: {path}", source.owner) };
        let mut names = HashSet::new();
        let twice: HashSet<_> =
            cleanup.rules.iter().map(|rule| rule.name.as_str()).filter(|name| !names.insert(*name)).collect();
        for (number, rule) in cleanup.rules.iter().enumerate() {
            let path = within(format!("rules[{number}]"));
            let before = self.faults.len();
            let conditions =
                Conditions::read(&format!("{path}.match"), &rule.matches, &mut self.patterns, &mut self.faults);
            self.faults.extend(fault_of(rule, number, twice.contains(rule.name.as_str()), &path));
            let is_usable = self.faults.len() == before;
            let name = if rule.name.is_empty() { format!("rules[{number}]") } else { rule.name.clone() };
            let label = if source.owner.is_empty() { name } else { format!("{}/{name}", source.owner) };
            let rule = Rule { label, conditions };
            if is_usable { self.rules.push(rule) } else { self.skipped.push(rule) }
        }
        for (number, entry) in cleanup.protect.iter().enumerate() {
            self.protect(entry, within(format!("protect[{number}]")));
        }
        if cleanup.max_terminations_per_run == 0 {
            let problem = "with 0 nothing is ever ended: write 1 or more";
            self.faults.push(Fault::new(within("maxTerminationsPerRun".to_owned()), problem));
        }
        if cleanup.max_matched_percent == 0 {
            let problem = "with 0 nothing is ended while the rules match more than five sessions: write 1 or more";
            self.faults.push(Fault::new(within("maxMatchedPercent".to_owned()), problem));
        }
    }

    fn protect(&mut self, entry: &Protect, path: String) {
        let Protect { description, tag, value } = entry;
        if let Some(text) = description {
            match self.patterns.add(text) {
                Ok(pattern) => self.protections.push(Protection::Description { text: text.clone(), pattern }),
                Err(problem) => {
                    self.faults.push(Fault::new(format!("{path}.description"), problem));
                    self.protections.push(Protection::Everything(path.clone()));
                }
            }
        }
        if let Some(key) = tag {
            self.protections.push(Protection::Tag { key: key.clone(), value: value.clone() });
        }
        if description.is_some() == tag.is_some() || value.is_some() && tag.is_none() {
            self.faults.push(Fault::new(path.clone(), DESCRIPTION_OR_TAG));
        }
        if description.is_none() && tag.is_none() {
            self.protections.push(Protection::Everything(path));
        }
    }
}

/// What is wrong with a rule, apart from its conditions.
fn fault_of(rule: &CleanupRule, number: usize, is_twice: bool, path: &str) -> Option<Fault> {
    if !is_name(&rule.name) {
        Some(Fault::new(format!("{path}.name"), NAME_NEEDED))
    } else if is_twice {
        let problem = format!("another rule has the name {}, too: give each rule a name of its own", rule.name);
        Some(Fault::new(format!("{path}.name"), problem))
    } else if number >= MOST_RULES {
        Some(Fault::new(path, format!("there are more than {MOST_RULES} rules: write fewer")))
    } else if is_empty(&rule.matches) {
        Some(Fault::new(format!("{path}.match"), EMPTY_MATCH))
    } else {
        None
    }
}

/// Whether a rule can have this name. The name stands in the user agent of calls.
fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(is_inner) && !name.starts_with('-') && !name.ends_with('-')
}

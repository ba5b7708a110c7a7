//! What all environments of a repository ask for: `platform.yaml` alone and with each overlay. There is one lock for all of them, so an adapter
//! has one source and one range that suits every one. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Comparator, Op, VersionReq};

use crate::error::{Failure, Location};
use crate::paths::Repository;
use crate::platform::{self, Platform, Plugin};
use crate::plugins::locked::place;

/// What is asked for, and where two environments ask for what no one adapter can be.
pub(crate) struct Joined {
    /// The platform without an overlay, with the sections and plugins of all.
    pub(crate) platform: Platform,
    /// By adapter.
    pub(crate) contradictions: BTreeMap<String, Contradiction>,
}

/// What two environments ask for and no one adapter can be.
#[derive(Clone, Debug)]
pub(crate) struct Contradiction {
    /// `source` or `version`.
    key: &'static str,
    /// Where which one stands.
    asked: [(Option<Location>, String); 2],
}

impl Contradiction {
    /// Says it.
    pub(crate) fn failure(&self, name: &str) -> Failure {
        let Self { key, asked } = self;
        let mut failure = Failure::invalid(format!(
            "environments ask for `{name}` with a `{key}` each that do not go together, and there is one lock for all of them"
        ))
        .help(format!(
            "write one `plugins.{name}.{key}` into platform.yaml that suits all environments"
        ));
        for (place, text) in asked {
            let place = place.as_ref().map(Location::to_string);
            let place = place.unwrap_or_else(|| "platform.yaml".to_owned());
            failure = failure.detail(format!("{place} asks for `{text}`"));
        }
        failure.at(asked[1].0.clone())
    }
}

/// Adds to a platform what the overlays ask for.
pub(crate) fn join(repository: &Repository, base: Platform) -> Result<Joined, Failure> {
    let mut joined = Joined {
        platform: base,
        contradictions: BTreeMap::new(),
    };
    for environment in platform::overlays(repository) {
        let other = Platform::load(repository, Some(&environment))?;
        for section in &other.sections {
            let known = &mut joined.platform.sections;
            if !known.iter().any(|known| known.adapter == section.adapter) {
                known.push(section.clone());
            }
        }
        for (name, plugin) in &other.plugins {
            joined.add(repository, &other, name, plugin);
        }
    }
    Ok(joined)
}

/// Returns every adapter that an environment names, in a section or under `plugins`; nothing where one of them cannot be read.
pub(crate) fn named(repository: &Repository) -> Option<BTreeSet<String>> {
    let base = Platform::load(repository, None).ok()?;
    let all = join(repository, base).ok()?.platform;
    let sections = all.sections.into_iter().map(|section| section.adapter);
    Some(sections.chain(all.plugins.into_keys()).collect())
}

impl Joined {
    fn add(&mut self, repository: &Repository, other: &Platform, name: &str, plugin: &Plugin) {
        let Some(known) = self.platform.plugins.get(name) else {
            self.platform.take_plugin(other, name, plugin.clone());
            return;
        };
        match (&known.path, &plugin.path) {
            // What is an executable of the repository there is not installed.
            (_, Some(_)) => return,
            (Some(_), None) => {
                self.platform.take_plugin(other, name, plugin.clone());
                return;
            }
            (None, None) => {}
        }
        let (known, mut merged) = (known.clone(), known.clone());
        match (&known.source, &plugin.source) {
            (Some(one), Some(two)) => {
                if place(one, repository.root()) != place(two, repository.root()) {
                    self.refuse(other, (name, "source"), (one, two));
                }
            }
            (None, Some(_)) => merged.source.clone_from(&plugin.source),
            (_, None) => {}
        }
        match (&known.version, &plugin.version) {
            (Some(one), Some(two)) if one != two => match both(one, two) {
                Some(both) => merged.version = Some(both),
                None => self.refuse(other, (name, "version"), (one, two)),
            },
            (None, Some(_)) => merged.version.clone_from(&plugin.version),
            _ => {}
        }
        if merged != known {
            self.platform.take_plugin(other, name, merged);
        }
    }

    fn refuse(
        &mut self,
        other: &Platform,
        (name, key): (&str, &'static str),
        (one, two): (&str, &str),
    ) {
        let pointer = format!("/{key}");
        let asked = [(&self.platform, one), (other, two)];
        let asked =
            asked.map(|(platform, text)| (platform.locate_plugin(name, &pointer), text.to_owned()));
        let known = self.contradictions.entry(name.to_owned());
        known.or_insert(Contradiction { key, asked });
    }
}

/// Writes two ranges as one; nothing where no version is in both.
fn both(one: &str, two: &str) -> Option<String> {
    let parse = |text: &str| text.parse::<VersionReq>().ok();
    let (Some(first), Some(second)) = (parse(one), parse(two)) else {
        return Some(one.to_owned());
    };
    if first.comparators.is_empty() {
        return Some(two.to_owned());
    }
    if second.comparators.is_empty() {
        return Some(one.to_owned());
    }
    let bounds = first.comparators.iter().chain(&second.comparators);
    let (low, high) = bounds
        .map(bounds_of)
        .fold((LOWEST, HIGHEST), |(low, high), (from, to)| {
            (low.max(from), high.min(to))
        });
    (low < high).then(|| format!("{one}, {two}"))
}

type Point = (u64, u64, u64);

const LOWEST: Point = (0, 0, 0);
const HIGHEST: Point = (u64::MAX, u64::MAX, u64::MAX);

/// From which version on, and up to below which. What comes before a release counts as the release.
fn bounds_of(comparator: &Comparator) -> (Point, Point) {
    let major = comparator.major;
    let (minor, patch) = (comparator.minor, comparator.patch);
    let from = (major, minor.unwrap_or(0), patch.unwrap_or(0));
    let next_major = (major.saturating_add(1), 0, 0);
    let after = match (minor, patch) {
        (None, _) => next_major,
        (Some(minor), None) => (major, minor.saturating_add(1), 0),
        (Some(minor), Some(patch)) => (major, minor, patch.saturating_add(1)),
    };
    match comparator.op {
        Op::Greater => (after, HIGHEST),
        Op::GreaterEq => (from, HIGHEST),
        // A version before a release is below it.
        Op::Less if !comparator.pre.is_empty() => (LOWEST, after),
        Op::Less => (LOWEST, from),
        Op::LessEq => (LOWEST, after),
        Op::Tilde => match minor {
            None => (from, next_major),
            Some(minor) => (from, (major, minor.saturating_add(1), 0)),
        },
        Op::Caret => match (major, minor, patch) {
            (0, Some(0), Some(_)) | (0, Some(0), None) => (from, after),
            (0, Some(minor), _) => (from, (0, minor.saturating_add(1), 0)),
            _ => (from, next_major),
        },
        _ => (from, after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, two: &str, expected: Option<&str>) {
        assert_eq!(both(one, two).as_deref(), expected, "{one} and {two}");
        assert_eq!(both(two, one).is_some(), expected.is_some());
    }

    #[test]
    fn two_ranges_are_one_or_none() {
        check("^0.1", "*", Some("^0.1"));
        check("^0.1", ">=0.1.3", Some("^0.1, >=0.1.3"));
        check("^1", "~1.4", Some("^1, ~1.4"));
        check("^1", "=1.2.3", Some("^1, =1.2.3"));
        check(">=1, <2", "^1.9", Some(">=1, <2, ^1.9"));
        check("<=1.2.3", ">=1.2.3", Some("<=1.2.3, >=1.2.3"));
        check(">1.2", "^1", Some(">1.2, ^1"));
        check("1.*", "1.2.*", Some("1.*, 1.2.*"));
        check(
            "<1.0.0-rc.2",
            "=1.0.0-rc.1",
            Some("<1.0.0-rc.2, =1.0.0-rc.1"),
        );
        for (one, two) in [
            ("^0.1", "^0.2"),
            ("^0.0.1", "^0.0.2"),
            ("^1", "^2"),
            ("~1.2", "~1.3"),
            ("~1", "2.*"),
            ("=1.2.3", "=1.2.4"),
            ("<1.2.3", ">=1.2.3"),
            ("<=1.2", ">1.2"),
        ] {
            check(one, two, None);
        }
    }
}

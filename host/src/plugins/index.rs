//! `index.json`, the one signed file of a tree: its form, what makes it invalid, and the choice of a release. Pure; signatures are in
//! `signature`, and what was seen before is in `seen`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::{Op, Version, VersionReq};
use serde::{Deserialize, Serialize};
use ztc_protocol::ProtocolVersion;

use crate::error::{Exit, Failure, did_you_mean, listed};
use crate::foreign::clean_value;
use crate::platform::structure::is_name;
use crate::plugins::inputs::Inputs;
use crate::plugins::name::{is_platform, path_problem};
use crate::plugins::tables::{self, Table};
use crate::plugins::unfit::{self, Unfit};

/// The version of the form that this program writes; it reads this one and refuses newer ones.
pub(crate) const FORMAT: u32 = 1;

/// The file, and that of its signature.
pub(crate) const FILE: &str = "index.json";
pub(crate) const SIGNATURE: &str = "index.json.minisig";

/// The largest index, signature and executable.
pub(crate) const MOST_INDEX: u64 = 8 << 20;
pub(crate) const MOST_SIGNATURE: u64 = 4 << 10;
pub(crate) const MOST_EXECUTABLE: u64 = 1 << 30;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// The version of this form.
    pub(crate) format: u32,
    /// Grows with every publication.
    pub(crate) serial: u64,
    /// When it was made, RFC 3339, UTC.
    pub(crate) issued: String,
    /// After this nobody trusts it any more: the publisher renews it, so that an old copy cannot be shown for ever.
    pub(crate) expires: String,
    /// Whose tree it is.
    pub(crate) publisher: Publisher,
    /// Every adapter by name.
    pub(crate) adapters: BTreeMap<String, Entry>,
    /// Tables of versions by adapter, also of adapters that are not published here; the oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) versions: BTreeMap<String, Vec<Table>>,
}

/// Whose tree it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Publisher {
    /// For people; proves nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    /// The public key, as minisign writes it.
    pub(crate) key: String,
}

/// One adapter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What it is for, in one line.
    #[serde(default)]
    pub(crate) description: String,
    /// Every release by version.
    pub(crate) versions: BTreeMap<String, Release>,
}

/// One release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Release {
    /// When it was published, RFC 3339, UTC.
    pub(crate) released: String,
    /// Why nobody should install it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) yanked: Option<String>,
    /// The serial of the index that offers it again, where it was taken back before: so nobody takes that for an older copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offered_again: Option<u64>,
    /// The protocols that it speaks, such as `1.0`.
    pub(crate) protocols: Vec<String>,
    /// Capabilities that it provides, such as `cni 1.0`.
    #[serde(default)]
    pub(crate) provides: Vec<String>,
    /// Capabilities that it requires.
    #[serde(default)]
    pub(crate) requires: Vec<String>,
    /// What it may touch.
    #[serde(default)]
    pub(crate) touches: Touches,
    /// Its inputs, in a line each; nothing where nobody has asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inputs: Option<Inputs>,
    /// Its executables by platform, such as `linux-x86_64`.
    pub(crate) platforms: BTreeMap<String, Asset>,
}

/// What a release may touch, as its manifest says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Touches {
    /// Variables of the operator's environment.
    pub(crate) environment: Vec<String>,
    /// Secrets.
    pub(crate) secrets: Vec<String>,
    /// `host:port`.
    pub(crate) network: Vec<String>,
    /// Programs.
    pub(crate) tools: Vec<String>,
}

/// One executable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asset {
    /// Relative to the tree.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// Lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// A release that was chosen for this machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) release: Release,
    pub(crate) asset: Asset,
}

impl Index {
    /// Reads an index. `place` is what people know the source by.
    pub(crate) fn parse(text: &[u8], place: &str) -> Result<Self, Failure> {
        let bad = |exit: Exit, why: String| {
            Failure::new(
                exit,
                format!("the index of `{place}` cannot be used: {why}"),
            )
            .help("tell its publisher; `ztc plugins publish-check DIR` shows the same to them")
        };
        let broken = |why: String| bad(Exit::Failed, why);
        let mut document: serde_json::Value = serde_json::from_slice(text)
            .map_err(|error| broken(format!("it is not JSON: {error}")))?;
        // Its texts are shown, and its publisher may be anybody.
        clean_value(&mut document);
        let format = document.get("format").and_then(serde_json::Value::as_u64);
        if let Some(format) = format.filter(|format| *format > u64::from(FORMAT)) {
            let message = format!(
                "the index of `{place}` has format {format}, and this program reads {FORMAT}"
            );
            return Err(Failure::failed(message).help("upgrade ztc"));
        }
        let index: Self = serde_json::from_value(document)
            .map_err(|error| broken(format!("it does not have its form: {error}")))?;
        // What leads out of the tree, or of the store, is an attack, or looks like one.
        match (index.escape(), index.problem()) {
            (Some(escape), _) => Err(bad(Exit::Refused, escape)),
            (None, Some(problem)) => Err(broken(problem)),
            (None, None) => Ok(index),
        }
    }

    /// Says what leads out of the tree or of the store: a path, or a name, a version or a digest of which one is made.
    fn escape(&self) -> Option<String> {
        let names = self.adapters.keys().chain(self.versions.keys());
        let mut names = names.filter(|name| !is_name(name));
        if let Some(name) = names.next() {
            return Some(format!("`{name}` is not the name of an adapter"));
        }
        let versions = self.adapters.iter().flat_map(|(name, entry)| {
            let versions = entry.versions.keys();
            versions.filter_map(move |version| version_problem(name, version))
        });
        if let Some(problem) = versions.into_iter().next() {
            return Some(problem);
        }
        let paths = self.adapters.iter().flat_map(|(name, entry)| {
            entry.versions.iter().flat_map(move |(version, release)| {
                let platforms = release.platforms.iter();
                platforms.map(move |(platform, asset)| {
                    let at = format!("`{name}` {version} for {platform}");
                    (at, &asset.path, &asset.sha256)
                })
            })
        });
        let tables = self.versions.iter().flat_map(|(name, tables)| {
            let at =
                move |table: &Table| format!("table {} of the versions of `{name}`", table.serial);
            let file = move |table| (at(table), &table.path, &table.sha256);
            tables.iter().map(file)
        });
        paths
            .chain(tables)
            .find_map(|(at, path, sha256)| Some(format!("{at}: {}", file_problem(path, sha256)?)))
    }

    /// Says what is wrong with it, first thing first.
    fn problem(&self) -> Option<String> {
        for (what, time) in [("issued", &self.issued), ("expires", &self.expires)] {
            if time.parse::<Timestamp>().is_err() {
                return Some(format!("`{what}` is not a time: `{time}`"));
            }
        }
        let problem = self.adapters.iter().find_map(|(name, entry)| {
            let mut versions = entry.versions.iter();
            versions.find_map(|(version, release)| release.problem(name, version))
        });
        problem.or_else(|| tables::problem(&self.versions))
    }

    /// The paths of all executables.
    pub(crate) fn executables(&self) -> impl Iterator<Item = &str> {
        let entries = self.adapters.values();
        let releases = entries.flat_map(|entry| entry.versions.values());
        let assets = releases.flat_map(|release| release.platforms.values());
        assets.map(|asset| asset.path.as_str())
    }

    /// Whether it is over at a time.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires
            .parse::<Timestamp>()
            .is_ok_and(|expires| expires <= now)
    }

    /// Chooses the newest release of an adapter that fits a range and this machine. Yanked ones and pre-releases are taken only where they
    /// are asked for by their exact version.
    pub(crate) fn choose(
        &self,
        place: &str,
        name: &str,
        range: Option<&VersionReq>,
        platform: &str,
    ) -> Result<Choice, Failure> {
        let entry = self.adapters.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.adapters.keys().map(String::as_str).collect();
            let failure = missing(format!("`{place}` has no adapter `{name}`"));
            let help = did_you_mean(name, names.iter().copied());
            failure.help(help.unwrap_or_else(|| format!("it has {}", and(&names))))
        })?;
        let all = entry.newest_first();
        let wanted = |version: &Version| match range {
            Some(range) => range.matches(version),
            None => version.pre.is_empty(),
        };
        let mut fitting = all.iter().filter(|(version, _)| wanted(version)).peekable();
        if fitting.peek().is_none() {
            let range = range.map_or("that is no pre-release".to_owned(), |range| {
                format!("`{range}`")
            });
            let known: Vec<String> = all.iter().map(|(version, _)| version.to_string()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(
                missing(format!("`{place}` has no version of `{name}` {range}"))
                    .help(format!("it has {}", and(&known))),
            );
        }
        let exact = range.is_some_and(is_exact);
        let mut reasons = Vec::new();
        for (version, release) in fitting {
            match Unfit::of(release, platform, exact) {
                None => {
                    return Ok(Choice {
                        name: name.to_owned(),
                        version: version.clone(),
                        asset: release.platforms[platform].clone(),
                        release: (*release).clone(),
                    });
                }
                Some(why) => reasons.push((version, why)),
            }
        }
        let mut failure = missing(format!(
            "no version of `{name}` of `{place}` can be used here"
        ));
        let lines = reasons.iter();
        failure.details = lines.map(|(at, why)| format!("{at} {why}")).collect();
        let other = all.iter().find(|(version, release)| {
            version.pre.is_empty() && Unfit::of(release, platform, false).is_none()
        });
        Err(failure.help(unfit::help(
            name,
            &reasons,
            other.map(|(version, _)| version),
        )))
    }
}

/// Why a newer release is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// It cannot be used here: why.
    Unfit(String),
    /// It is outside of this range.
    Outside(String),
}

impl Entry {
    /// Returns the newest release beyond a version, and why a range or this machine leaves it out; pre-releases are nobody's concern. Nothing
    /// where nothing is newer.
    pub(crate) fn beyond(
        &self,
        version: &Version,
        range: Option<&VersionReq>,
        platform: &str,
    ) -> Option<(Version, Beyond)> {
        let (newest, release) = self
            .newest_first()
            .into_iter()
            .find(|(newer, _)| newer.pre.is_empty() && newer > version)?;
        let unfit = Unfit::of(release, platform, false);
        let unfit = unfit.map(|why| Beyond::Unfit(why.to_string()));
        let outside = || {
            let range = range.filter(|range| !range.matches(&newest))?;
            Some(Beyond::Outside(range.to_string()))
        };
        let why = unfit.or_else(outside)?;
        Some((newest, why))
    }

    /// Returns all releases, the newest first.
    pub(crate) fn newest_first(&self) -> Vec<(Version, &Release)> {
        let mut all: Vec<(Version, &Release)> = self
            .versions
            .iter()
            .filter_map(|(version, release)| Some((Version::parse(version).ok()?, release)))
            .collect();
        all.sort_by(|(a, _), (b, _)| b.cmp(a));
        all
    }
}

impl Release {
    fn problem(&self, name: &str, version: &str) -> Option<String> {
        let at = format!("`{name}` {version}");
        if let Some(protocol) = self
            .protocols
            .iter()
            .find(|protocol| protocol.parse::<ProtocolVersion>().is_err())
        {
            return Some(format!("{at}: `{protocol}` is not a protocol"));
        }
        self.platforms
            .iter()
            .find_map(|(platform, asset)| match asset.problem() {
                _ if !is_platform(platform) => {
                    Some(format!("{at}: `{platform}` is not a platform"))
                }
                Some(problem) => Some(format!("{at} for {platform}: {problem}")),
                None => None,
            })
    }
}

impl Asset {
    fn problem(&self) -> Option<String> {
        if let Some(problem) = file_problem(&self.path, &self.sha256) {
            return Some(problem);
        }
        (self.size > MOST_EXECUTABLE).then(|| {
            format!(
                "{} bytes are more than an adapter may have ({MOST_EXECUTABLE})",
                self.size
            )
        })
    }
}

fn version_problem(name: &str, version: &str) -> Option<String> {
    match Version::parse(version) {
        Ok(version) if version.build.is_empty() => None,
        _ => Some(format!(
            "`{name}` {version}: this is not a version such as 1.2.0"
        )),
    }
}

fn refused_path(path: &str) -> Option<String> {
    let problem = path_problem(path)?;
    Some(format!("the path `{path}` is refused: {problem}"))
}

/// Says what is wrong with what an index says about a file.
pub(crate) fn file_problem(path: &str, sha256: &str) -> Option<String> {
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if let Some(problem) = refused_path(path) {
        return Some(problem);
    }
    let is_digest = sha256.len() == 64 && sha256.chars().all(hexadecimal);
    (!is_digest).then(|| format!("`{sha256}` is not a SHA-256"))
}

/// Whether a range names one version: `=1.2.0`, and not `=1` or `=1.2`, which fit several.
fn is_exact(range: &VersionReq) -> bool {
    range.comparators.iter().any(|comparator| {
        comparator.op == Op::Exact && comparator.minor.is_some() && comparator.patch.is_some()
    })
}

fn missing(message: String) -> Failure {
    Failure::new(Exit::Missing, message)
}

/// Writes a list of what there is.
pub(crate) fn and(words: &[&str]) -> String {
    listed(words.iter().copied())
        .replace(", or ", ", and ")
        .replace(" or ", " and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(platforms: &[&str], protocol: &str) -> Release {
        let asset = |platform: &str| Asset {
            path: format!("bgp/{platform}"),
            size: 3,
            sha256: "a".repeat(64),
        };
        Release {
            protocols: vec![protocol.to_owned()],
            platforms: platforms
                .iter()
                .map(|platform| ((*platform).to_owned(), asset(platform)))
                .collect(),
            ..Release::default()
        }
    }

    fn index() -> Index {
        let yanked = Release {
            yanked: Some("loses routes".into()),
            ..release(&["linux-x86_64"], "1.0")
        };
        let versions = [
            ("1.9.0", release(&["linux-x86_64"], "1.0")),
            ("1.10.0", release(&["linux-x86_64"], "1.0")),
            ("1.11.0", yanked),
            ("1.12.0", release(&["macos-aarch64"], "1.0")),
            ("2.0.0-rc.1", release(&["linux-x86_64"], "1.0")),
            ("3.0.0", release(&["linux-x86_64"], "9.0")),
        ];
        let versions = versions.map(|(version, release)| (version.to_owned(), release));
        let entry = Entry {
            versions: versions.into(),
            ..Entry::default()
        };
        Index {
            format: FORMAT,
            issued: "2026-01-01T00:00:00Z".into(),
            expires: "2026-02-01T00:00:00Z".into(),
            adapters: [("bgp".to_owned(), entry)].into(),
            ..Index::default()
        }
    }

    #[track_caller]
    fn chooses(name: &str, range: Option<&str>, expected: Result<&str, (&str, &str)>) {
        let range = range.map(|range| range.parse().unwrap());
        let chosen = index().choose("there", name, range.as_ref(), "linux-x86_64");
        match (chosen, expected) {
            (Ok(choice), Ok(version)) => assert_eq!(choice.version.to_string(), version),
            (Err(failure), Err((message, help))) => assert_eq!(
                (failure.message.as_str(), failure.help.as_deref()),
                (message, Some(help))
            ),
            (chosen, expected) => panic!("{chosen:?} is not {expected:?}"),
        }
    }

    #[test]
    fn the_newest_release_that_fits_is_chosen() {
        chooses("bgp", None, Ok("1.10.0"));
        chooses("bgp", Some("=1.9.0"), Ok("1.9.0"));
        chooses("bgp", Some("=1.11.0"), Ok("1.11.0"));
        chooses("bgp", Some("=2.0.0-rc.1"), Ok("2.0.0-rc.1"));
        // Names several, so the one that was taken back is not meant.
        chooses("bgp", Some("=1"), Ok("1.10.0"));
        chooses("bgp", Some(">=1.9, =1.11.0"), Ok("1.11.0"));
        chooses(
            "bgp",
            Some("^4"),
            Err((
                "`there` has no version of `bgp` `^4`",
                "it has `3.0.0`, `2.0.0-rc.1`, `1.12.0`, `1.11.0`, `1.10.0`, and `1.9.0`",
            )),
        );
        chooses(
            "bpg",
            None,
            Err(("`there` has no adapter `bpg`", "did you mean `bgp`?")),
        );
        let failure = index()
            .choose(
                "there",
                "bgp",
                Some(&">=1.11".parse().unwrap()),
                "linux-x86_64",
            )
            .unwrap_err();
        assert_eq!(
            (failure.exit, failure.details),
            (
                Exit::Missing,
                vec![
                    "3.0.0 speaks protocol 9.0, and this ztc speaks 1.0".to_owned(),
                    "1.12.0 is not published for linux-x86_64, only for macos-aarch64".to_owned(),
                    "1.11.0 was taken back by its publisher: loses routes".to_owned(),
                ]
            )
        );
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Index), why: &str) {
        let mut index = index();
        change(&mut index);
        let text = serde_json::to_vec(&index).unwrap();
        let failure = Index::parse(&text, "there").unwrap_err();
        assert_eq!(failure.message, format!("the index of `there` {why}"));
    }

    #[test]
    fn an_index_that_points_outside_of_its_tree_is_refused() {
        let path = |path: &'static str| {
            move |index: &mut Index| {
                let entry = index.adapters.get_mut("bgp").unwrap();
                let release = entry.versions.get_mut("1.9.0").unwrap();
                release.platforms.get_mut("linux-x86_64").unwrap().path = path.to_owned();
            }
        };
        refused(
            path("../bgp"),
            "cannot be used: `bgp` 1.9.0 for linux-x86_64: the path `../bgp` is refused: it leaves the tree",
        );
        refused(
            path("/usr/bin/env"),
            "cannot be used: `bgp` 1.9.0 for linux-x86_64: the path `/usr/bin/env` is refused: it is absolute",
        );
        refused(
            |index| index.format = 2,
            "has format 2, and this program reads 1",
        );
        refused(
            |index| index.expires = "soon".into(),
            "cannot be used: `expires` is not a time: `soon`",
        );
        refused(
            |index| {
                let entry = index.adapters.remove("bgp").unwrap();
                index.adapters.insert("../bgp".into(), entry);
            },
            "cannot be used: `../bgp` is not the name of an adapter",
        );
    }

    #[test]
    fn texts_of_an_index_cannot_act_on_a_terminal() {
        let mut index = index();
        let entry = index.adapters.get_mut("bgp").unwrap();
        entry.description = "routes\u{1b}[2J\u{202e}\nnext".into();
        let text = serde_json::to_vec(&index).unwrap();
        let index = Index::parse(&text, "there").unwrap();
        assert_eq!(
            index.adapters["bgp"].description,
            "routes\u{fffd}[2J\u{fffd} next"
        );
    }

    #[test]
    fn an_index_ends() {
        let index = index();
        assert!(!index.is_expired("2026-01-31T23:59:59Z".parse().unwrap()));
        assert!(index.is_expired("2026-02-01T00:00:00Z".parse().unwrap()));
    }
}

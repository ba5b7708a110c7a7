//! What the lock says of the adapters themselves: which version of each, from where, whose, and which bytes on which platform. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lock::machine;

/// The sources of adapters that nobody installs, as [`LockedPlugin::source`] has them.
const FOUND: [&str; 4] = ["built-in", "path", "plugin-directory", "PATH"];

/// Every adapter by its name.
pub type LockedPlugins = BTreeMap<String, LockedPlugin>;

/// An adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPlugin {
    /// Its own version.
    pub version: String,
    /// Where it is installed from: an address, or a directory as platform.yaml writes it (`./adapters`); or where it was found: `built-in`,
    /// `path`, `plugin-directory` or `PATH`.
    pub source: String,
    /// The protocol that was spoken with it.
    pub protocol: String,
    /// The key of its publisher; nothing: nobody has signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher_key: Option<String>,
    /// The serial of the index that it comes from; 0: it comes from none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index_serial: u64,
    /// Whether it is wanted since the last render, which was done by another one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unrendered: bool,
    /// Its executables by platform, such as `linux-x86_64`. What is installed has all that its publisher built; what was found, those of the
    /// machines that rendered; a built-in none, which its version covers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, LockedExecutable>,
}

/// The executable for one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedExecutable {
    /// Relative to the source; empty where there is no source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// In bytes; nothing in what a lock of format 1 knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Digest of the content.
    pub sha256: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl LockedPlugin {
    /// Whether it is installed from a source. Then nothing else runs in its place; what was only found can be another file tomorrow.
    pub fn is_installed(&self) -> bool {
        !FOUND.contains(&self.source.as_str())
    }

    /// The executable for this machine.
    pub fn here(&self) -> Option<&LockedExecutable> {
        self.platforms.get(&machine())
    }

    /// Whether it is another program than an earlier one: another version, or other bytes for a platform that both know.
    pub(crate) fn is_another(&self, earlier: &Self) -> bool {
        let is_other = |(platform, executable): (&String, &LockedExecutable)| {
            let known = earlier.platforms.get(platform);
            known.is_some_and(|known| known.sha256 != executable.sha256)
        };
        self.version != earlier.version || self.platforms.iter().any(is_other)
    }

    /// The platforms for which there is an executable.
    pub(crate) fn built_for(&self) -> String {
        let platforms: Vec<&str> = self.platforms.keys().map(String::as_str).collect();
        platforms.join(", ")
    }
}

/// Says everything that a lock would say otherwise than before.
pub(crate) fn differences(old: &LockedPlugins, new: &LockedPlugins) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, now) in new {
        match old.get(name) {
            None => differences.push(format!("`{name}` {} is not in the lock", now.version)),
            Some(then) => differences.extend(difference(name, then, now)),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    differences.extend(gone.map(|name| format!("`{name}` is in the lock, and nothing uses it")));
    differences
}

/// Says what a render takes although the lock names something else: files that were only found, which cannot be installed again, and what
/// comes from another place by the word of platform.yaml. That a machine is new is no surprise.
pub(crate) fn surprises(old: &LockedPlugins, new: &LockedPlugins) -> Vec<String> {
    let surprising = |(name, now): (&String, &LockedPlugin)| {
        let then = old.get(name)?;
        let is_found = !now.is_installed() && now.source != "built-in";
        (then.source != now.source || is_found && now.is_another(then))
            .then(|| difference(name, then, now))?
    };
    new.iter().filter_map(surprising).collect()
}

/// Whether [`differences`] says anything of an adapter.
pub(crate) fn is_said(name: &str, old: &LockedPlugins, new: &LockedPlugins) -> bool {
    match (old.get(name), new.get(name)) {
        (Some(then), Some(now)) => difference(name, then, now).is_some(),
        (then, now) => then.is_some() || now.is_some(),
    }
}

fn difference(name: &str, then: &LockedPlugin, now: &LockedPlugin) -> Option<String> {
    if then.version != now.version {
        return Some(format!(
            "`{name}` is {}, locked is {}",
            now.version, then.version
        ));
    }
    if then.source != now.source {
        return Some(format!(
            "`{name}` comes from {}, locked is {}",
            now.source, then.source
        ));
    }
    if then.publisher_key != now.publisher_key {
        return Some(format!(
            "`{name}` has another publisher's key than the locked one"
        ));
    }
    for (platform, executable) in &now.platforms {
        match then.platforms.get(platform) {
            Some(known) if known.sha256 == executable.sha256 => {}
            Some(_) => {
                return Some(format!(
                    "`{name}` {} has other bytes for {platform} than the locked ones",
                    now.version
                ));
            }
            None => {
                return Some(format!(
                    "the lock does not know the executable of `{name}` {} for {platform}",
                    now.version
                ));
            }
        }
    }
    None
}

/// Reads what a lock of format 1 knew: digests of executables, at the sections.
pub(crate) fn of_format_1(document: &Value) -> LockedPlugins {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let sections = document["adapters"].as_object().into_iter().flatten();
    sections
        .map(|(_, section)| {
            let executables = section["executables"].as_object().into_iter().flatten();
            let platforms = executables.filter_map(|(platform, sha256)| {
                let executable = LockedExecutable {
                    sha256: sha256.as_str()?.to_owned(),
                    ..LockedExecutable::default()
                };
                Some((platform.clone(), executable))
            });
            let plugin = LockedPlugin {
                version: text(section, "adapter_version"),
                source: text(section, "source"),
                protocol: text(document, "protocol"),
                platforms: platforms.collect(),
                ..LockedPlugin::default()
            };
            (text(section, "type"), plugin)
        })
        // From where an adapter was installed, that form did not say.
        .filter(|(_, plugin)| !plugin.is_installed())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(version: &str, source: &str, sha256: &str) -> LockedPlugin {
        let executable = LockedExecutable {
            sha256: sha256.into(),
            ..LockedExecutable::default()
        };
        LockedPlugin {
            version: version.into(),
            source: source.into(),
            platforms: [("linux-x86_64".to_owned(), executable)].into(),
            ..LockedPlugin::default()
        }
    }

    #[track_caller]
    fn differ(then: Option<LockedPlugin>, now: Option<LockedPlugin>, all: &str, surprise: &str) {
        let map = |plugin: Option<LockedPlugin>| -> LockedPlugins {
            plugin
                .map(|plugin| ("bgp".to_owned(), plugin))
                .into_iter()
                .collect()
        };
        let (then, now) = (map(then), map(now));
        assert_eq!(differences(&then, &now).join("; "), all);
        assert_eq!(surprises(&then, &now).join("; "), surprise);
    }

    #[test]
    fn every_difference_has_its_words() {
        let path = || Some(plugin("1.0.0", "PATH", "a"));
        differ(path(), path(), "", "");
        differ(None, path(), "`bgp` 1.0.0 is not in the lock", "");
        differ(
            path(),
            None,
            "`bgp` is in the lock, and nothing uses it",
            "",
        );
        let newer = "`bgp` is 1.1.0, locked is 1.0.0";
        differ(path(), Some(plugin("1.1.0", "PATH", "b")), newer, newer);
        let own = |version: &str| LockedPlugin {
            platforms: BTreeMap::new(),
            ..plugin(version, "built-in", "")
        };
        differ(Some(own("1.0.0")), Some(own("1.1.0")), newer, "");
        let other = "`bgp` 1.0.0 has other bytes for linux-x86_64 than the locked ones";
        differ(path(), Some(plugin("1.0.0", "PATH", "b")), other, other);
        let moved = "`bgp` comes from path, locked is PATH";
        differ(path(), Some(plugin("1.0.0", "path", "a")), moved, moved);
        let installed = plugin("1.0.0", "https://example.org", "a");
        let found = "`bgp` comes from PATH, locked is https://example.org";
        differ(Some(installed.clone()), path(), found, found);
        let signed = LockedPlugin {
            publisher_key: Some("RW".into()),
            ..installed.clone()
        };
        let key = "`bgp` has another publisher's key than the locked one";
        differ(Some(installed), Some(signed), key, "");
        let unknown = LockedPlugin {
            platforms: BTreeMap::new(),
            ..plugin("1.0.0", "PATH", "a")
        };
        let unknown_here = "the lock does not know the executable of `bgp` 1.0.0 for linux-x86_64";
        differ(Some(unknown), path(), unknown_here, "");
    }

    #[test]
    fn digests_of_format_1_are_kept() {
        let document = serde_json::json!({"protocol": "1.0", "adapters": {
            "rack": {"type": "bgp", "adapter_version": "1.0.0", "source": "PATH", "executables": {"linux-x86_64": "a"}},
            "talos": {"type": "talos", "adapter_version": "0.1.0", "source": "built-in"},
            "lost": {"type": "lost", "adapter_version": "0.1.0", "source": "installed", "executables": {"linux-x86_64": "a"}},
        }});
        let bgp = LockedPlugin {
            protocol: "1.0".into(),
            ..plugin("1.0.0", "PATH", "a")
        };
        let talos = LockedPlugin {
            version: "0.1.0".into(),
            source: "built-in".into(),
            protocol: "1.0".into(),
            ..LockedPlugin::default()
        };
        let expected = [("bgp".to_owned(), bgp), ("talos".to_owned(), talos)];
        assert_eq!(of_format_1(&document), expected.into());
    }
}

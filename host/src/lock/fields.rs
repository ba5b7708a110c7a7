//! What a lock says of an adapter, field by field, against what is known of it: what is installed, what its publisher has signed, what is there. Pure.
//!
//! `index_serial` is not compared: a record may come from a newer or an older index than the lock of a colleague. It says what may be expected: with
//! the same key, the same serial is the same index, and then both have the same platforms.

use ztc_protocol::ProtocolVersion;

use crate::error::Finding;
use crate::foreign::printable;
use crate::lock::plugins::{LockedExecutable, LockedPlugin};
use crate::shell::word;

/// What is known of an adapter beside the lock.
#[derive(Debug)]
pub(crate) struct Known {
    /// As a lock would say it.
    pub(crate) plugin: LockedPlugin,
    /// What it speaks; nothing: nobody has asked it.
    pub(crate) protocols: Vec<ProtocolVersion>,
    /// Where that is known from, as in "and 675 in the index of `there`".
    pub(crate) place: String,
}

/// Everything in which a lock is not what is known of an adapter.
#[derive(Debug)]
pub(crate) struct Contradiction {
    name: String,
    known: LockedPlugin,
    place: String,
    fields: Vec<Field>,
}

/// One field.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    /// Below `plugins.<name>`.
    path: String,
    locked: Option<String>,
    known: Option<String>,
}

/// The fields that say whose an adapter is.
const KEY: &str = "publisher_key";
const SOURCE: &str = "source";
/// The source of what is part of ztc.
const BUILT_IN: &str = "built-in";

impl Known {
    /// Compares; nothing where the lock is right. `is_place` says whether two sources are the same one.
    pub(crate) fn against(
        self,
        name: &str,
        locked: &LockedPlugin,
        is_place: impl FnOnce(&str, &str) -> bool,
    ) -> Option<Contradiction> {
        let known = &self.plugin;
        let mut fields = Vec::new();
        let mut differ = |path: &str, locked: Option<&str>, known: Option<&str>| {
            fields.push(Field {
                path: path.to_owned(),
                locked: locked.map(str::to_owned),
                known: known.map(str::to_owned),
            });
        };
        if locked.version != known.version {
            differ("version", Some(&locked.version), Some(&known.version));
        }
        if !is_place(&locked.source, &known.source) {
            differ(SOURCE, Some(&locked.source), Some(&known.source));
        }
        if !self.protocols.is_empty() && !speaks(&locked.protocol, &self.protocols) {
            differ("protocol", Some(&locked.protocol), Some(&known.protocol));
        }
        let (ours, theirs) = (&locked.publisher_key, &known.publisher_key);
        if ours != theirs {
            differ(KEY, ours.as_deref(), theirs.as_deref());
        }
        // A built-in comes from no index, and has no bytes of its own.
        let is_built_in = known.source == BUILT_IN;
        if is_built_in && locked.index_serial != 0 {
            differ("index_serial", Some(&locked.index_serial.to_string()), None);
        }
        let same_index = (locked.is_installed() || is_built_in)
            && ours == theirs
            && locked.index_serial == known.index_serial
            && locked.version == known.version;
        for (platform, executable) in &locked.platforms {
            let path = format!("platforms.{platform}");
            match known.platforms.get(platform) {
                Some(known) => fields.extend(executables(&path, executable, known)),
                None if same_index => fields.push(Field {
                    path,
                    locked: Some(executable.sha256.clone()),
                    known: None,
                }),
                None => {}
            }
        }
        let unknown = known.platforms.iter().filter(|(platform, _)| {
            same_index && !locked.platforms.contains_key(platform.as_str())
        });
        fields.extend(unknown.map(|(platform, known)| Field {
            path: format!("platforms.{platform}"),
            locked: None,
            known: Some(known.sha256.clone()),
        }));
        (!fields.is_empty()).then(|| Contradiction {
            name: name.to_owned(),
            known: self.plugin,
            place: self.place,
            fields,
        })
    }
}

/// Whether a protocol is one that is spoken. A lower minor is what an older ztc has agreed on.
fn speaks(locked: &str, spoken: &[ProtocolVersion]) -> bool {
    let locked = locked.parse::<ProtocolVersion>().ok();
    locked.is_some_and(|locked| ProtocolVersion::agree(&[locked], spoken) == Some(locked))
}

fn executables(path: &str, locked: &LockedExecutable, known: &LockedExecutable) -> Vec<Field> {
    let number = |size: Option<u64>| size.map(|size| size.to_string());
    let field = |name: &str, locked: Option<String>, known: Option<String>| Field {
        path: format!("{path}.{name}"),
        locked: locked.filter(|text| !text.is_empty()),
        known: known.filter(|text| !text.is_empty()),
    };
    let all = [
        field("path", Some(locked.path.clone()), Some(known.path.clone())),
        // A lock of format 1 knew no sizes.
        field(
            "size",
            number(locked.size.or(known.size)),
            number(known.size),
        ),
        field(
            "sha256",
            Some(locked.sha256.clone()),
            Some(known.sha256.clone()),
        ),
    ];
    all.into_iter()
        .filter(|field| field.locked != field.known)
        .collect()
}

impl Contradiction {
    /// The adapter.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is only about whose key has signed.
    pub(crate) fn is_of_key_alone(&self) -> bool {
        self.fields.iter().all(|field| field.path == KEY)
    }

    /// Says each field, with both values.
    pub(crate) fn lines(&self) -> Vec<String> {
        let value = |value: &Option<String>| match value {
            Some(text) => format!("`{}`", printable(text)),
            None => "nothing".to_owned(),
        };
        let line = |field: &Field| {
            format!(
                "`plugins.{}.{}` is {} in the lock, and {} in {}",
                self.name,
                printable(&field.path),
                value(&field.locked),
                value(&field.known),
                self.place
            )
        };
        self.fields.iter().map(line).collect()
    }

    /// What to type: the lock as it was, or a lock that names what is known.
    pub(crate) fn help(&self) -> String {
        format!(
            "put the lock back with `git checkout -- platform/lock.json`; where the other is right, `{}` locks it",
            self.command()
        )
    }

    /// The command that locks what is known.
    fn command(&self) -> String {
        let known = &self.known;
        if !known.is_installed() {
            return "ztc render".to_owned();
        }
        let has = |path: &str| self.fields.iter().any(|field| field.path == path);
        let what = format!("{}@{}", self.name, known.version);
        let mut command = format!("ztc plugins install {}", word(&what));
        if has(SOURCE) {
            command += &format!(" --source {} --moved", word(&known.source));
        }
        match &known.publisher_key {
            Some(key) if has(KEY) => command += &format!(" --key {key}"),
            None if has(KEY) => command += " --allow-unsigned",
            _ => {}
        }
        command
    }

    /// Says it as findings.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let help = self.help();
        let finding = |line| Finding::warning(line).help(&help);
        self.lines().into_iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> LockedPlugin {
        let executable = LockedExecutable {
            path: "bgp/1.0.0/x".into(),
            size: Some(7),
            sha256: "a".into(),
        };
        LockedPlugin {
            version: "1.0.0".into(),
            source: "https://example.org".into(),
            protocol: "1.0".into(),
            publisher_key: Some("RWA".into()),
            index_serial: 3,
            unrendered: false,
            platforms: [("linux-x86_64".to_owned(), executable)].into(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut LockedPlugin), lines: &[&str], command: &str) {
        let mut locked = plugin();
        change(&mut locked);
        let known = Known {
            plugin: plugin(),
            protocols: vec![ProtocolVersion { major: 1, minor: 2 }],
            place: "it".into(),
        };
        let found = known.against("bgp", &locked, |one, other| one == other);
        let said = found.as_ref().map(Contradiction::lines).unwrap_or_default();
        assert_eq!(said, lines);
        let typed = found.as_ref().map(Contradiction::command);
        assert_eq!(typed.unwrap_or_default(), command);
    }

    #[test]
    fn every_field_is_named_with_both_values() {
        let install = "ztc plugins install bgp@1.0.0";
        check(|_| {}, &[], "");
        check(|locked| locked.index_serial = 900, &[], "");
        check(|locked| locked.protocol = "1.2".into(), &[], "");
        check(
            |locked| locked.protocol = "1.3".into(),
            &["`plugins.bgp.protocol` is `1.3` in the lock, and `1.0` in it"],
            install,
        );
        check(
            |locked| locked.publisher_key = None,
            &["`plugins.bgp.publisher_key` is nothing in the lock, and `RWA` in it"],
            "ztc plugins install bgp@1.0.0 --key RWA",
        );
        check(
            |locked| locked.source = "https://example.com".into(),
            &[
                "`plugins.bgp.source` is `https://example.com` in the lock, and `https://example.org` in it",
            ],
            "ztc plugins install bgp@1.0.0 --source https://example.org --moved",
        );
        check(
            |locked| {
                let here = locked.platforms.get_mut("linux-x86_64").unwrap();
                here.size = Some(1);
                here.path = "../x".into();
            },
            &[
                "`plugins.bgp.platforms.linux-x86_64.path` is `../x` in the lock, and `bgp/1.0.0/x` in it",
                "`plugins.bgp.platforms.linux-x86_64.size` is `1` in the lock, and `7` in it",
            ],
            install,
        );
    }

    #[test]
    fn platforms_are_those_of_the_same_index() {
        let executable = plugin().platforms.remove("linux-x86_64").unwrap();
        let install = "ztc plugins install bgp@1.0.0";
        let more = |locked: &mut LockedPlugin| {
            locked
                .platforms
                .insert("macos-x86_64".into(), executable.clone());
        };
        check(
            more,
            &["`plugins.bgp.platforms.macos-x86_64` is `a` in the lock, and nothing in it"],
            install,
        );
        check(
            |locked| locked.platforms.clear(),
            &["`plugins.bgp.platforms.linux-x86_64` is nothing in the lock, and `a` in it"],
            install,
        );
        // A colleague has locked it from an index with one more.
        check(
            |locked| {
                locked.index_serial = 4;
                more(locked);
            },
            &[],
            "",
        );
    }
}

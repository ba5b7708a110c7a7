//! Plugins and the lock: what a lock says of what is installed, whether platform.yaml asks for that, and what a lock lets this machine know of a
//! source. How what it says is installed is in `follow`. Writes no lock.

use std::path::Path;

use jiff::Timestamp;
use semver::VersionReq;
use ztc_protocol::{PROTOCOL, ProtocolVersion};

use crate::error::{Exit, Failure};
use crate::lock::fields::{self, Contradiction};
use crate::lock::machine;
use crate::lock::plugins::{LockedExecutable, LockedPlugin, LockedPlugins};
use crate::paths::Machine;
use crate::platform::Plugin;
use crate::plugins::index::{Asset, Choice, Release};
use crate::plugins::install::{self, Moved, Terms};
use crate::plugins::mirror;
use crate::plugins::remembered;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Record;
use crate::plugins::tree::{self, Known, LOCK, OPTION, Signed, Tree};
use crate::plugins::trust::Trust;
use crate::shell::word;

/// Makes what the lock says of what is installed. `root` is the repository, `asked` what its platform.yaml says of the adapter.
pub(crate) fn entry(record: &Record, root: &Path, asked: Option<&Plugin>) -> LockedPlugin {
    LockedPlugin {
        version: record.version.to_string(),
        source: portable(&record.source, root, asked),
        publisher_key: record.publisher_key.clone(),
        index_serial: record.index_serial,
        ..of_release(&record.release)
    }
}

fn of_release(release: &Release) -> LockedPlugin {
    let protocol = ProtocolVersion::agree(&[PROTOCOL], &spoken(release)).unwrap_or(PROTOCOL);
    let platforms = release.platforms.iter();
    let platforms = platforms.map(|(platform, asset)| (platform.clone(), asset.into()));
    LockedPlugin {
        protocol: protocol.to_string(),
        platforms: platforms.collect(),
        ..LockedPlugin::default()
    }
}

fn spoken(release: &Release) -> Vec<ProtocolVersion> {
    let protocols = release.protocols.iter();
    protocols
        .filter_map(|protocol| protocol.parse().ok())
        .collect()
}

/// Says in which fields the lock is not what was installed; nothing where it is. `running` is the protocol that it speaks now, where it runs.
pub(crate) fn against_record(
    name: &str,
    locked: &LockedPlugin,
    record: &Record,
    running: Option<ProtocolVersion>,
    root: &Path,
) -> Option<Contradiction> {
    let mut protocols = spoken(&record.release);
    if protocols.is_empty() {
        // Nobody has asked it before it was installed.
        protocols.extend(running);
    }
    let known = fields::Known {
        plugin: entry(record, root, None),
        protocols,
        place: "what was installed".to_owned(),
    };
    // A directory of the repository lies elsewhere in every copy of it, and one machine may have several; whose it is says the key.
    let is_copy = |one: &str| {
        let is_relative = one.starts_with("./") || one.starts_with("../");
        let key = &locked.publisher_key;
        is_relative
            && record.source.starts_with("file://")
            && key.is_some()
            && *key == record.publisher_key
    };
    known.against(name, locked, |one, other| {
        place(one, root) == place(other, root) || is_copy(one)
    })
}

/// Says in which fields the lock is not what the index of a source has signed, from wherever that was read.
pub(crate) fn against_index(
    name: &str,
    locked: &LockedPlugin,
    tree: &Tree,
    choice: &Choice,
) -> Option<Contradiction> {
    let known = fields::Known {
        plugin: LockedPlugin {
            version: choice.version.to_string(),
            source: locked.source.clone(),
            publisher_key: tree.signer.key().map(|key| key.text().to_owned()),
            index_serial: tree.index.serial,
            ..of_release(&choice.release)
        },
        protocols: spoken(&choice.release),
        place: format!("the index of `{}`", tree.source.name()),
    };
    known.against(name, locked, |one, other| one == other)
}

/// Writes a source as other machines understand it: as platform.yaml does, or relative to the repository where it is inside.
pub(crate) fn portable(source: &str, root: &Path, asked: Option<&Plugin>) -> String {
    let same = |text: &&String| place(text, root).as_deref() == Some(source);
    if let Some(text) = asked.and_then(|plugin| plugin.source.as_ref()).filter(same) {
        let is_plain = !text.contains("://") && !text.starts_with(['.', '/']);
        return if is_plain {
            format!("./{text}")
        } else {
            text.clone()
        };
    }
    let real = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let inside = source
        .strip_prefix("file://")
        .and_then(|path| Path::new(path).strip_prefix(real).ok());
    match inside {
        Some(path) => format!("./{}", path.display()),
        None => source.to_owned(),
    }
}

/// Returns the one name of a source; nothing where it is none.
pub(crate) fn place(text: &str, root: &Path) -> Option<String> {
    Source::parse(text, root).ok().map(|source| source.name())
}

/// Says why the lock does not have what platform.yaml asks for; nothing where it has.
pub(crate) fn contradiction(
    name: &str,
    locked: &LockedPlugin,
    asked: Option<&Plugin>,
    root: &Path,
) -> Option<Failure> {
    let version = &locked.version;
    let refused = |asks: String, help: String| {
        let message = format!("the lock has `{name}` {version}, and {asks}");
        Some(Failure::new(Exit::Refused, message).help(help))
    };
    let range = asked?.version.as_deref();
    let parsed = range.and_then(|range| range.parse::<VersionReq>().ok());
    let is_inside =
        |range: VersionReq| version.parse().is_ok_and(|version| range.matches(&version));
    if let Some(range) = range
        && !parsed.is_none_or(is_inside)
    {
        return refused(
            format!("`plugins.{name}.version` asks for `{range}`"),
            format!(
                "run `ztc plugins install {}`, which changes the lock, or change platform.yaml back",
                word(&format!("{name}@{range}"))
            ),
        );
    }
    let source = asked?.source.as_deref()?;
    let wanted = match Source::parse(source, root) {
        Ok(wanted) => wanted,
        // What nothing can be read from is no place that anybody has moved to.
        Err(failure) => return Some(failure),
    };
    if let Some(range) = wanted.range()
        && !is_inside(range.clone())
    {
        return refused(
            format!("`plugins.{name}.source` names `{range}`"),
            format!(
                "run `ztc plugins install {}`, which changes the lock, or change platform.yaml back",
                word(&format!("{name}@{range}"))
            ),
        );
    }
    if Some(wanted.name()) == place(&locked.source, root) {
        return None;
    }
    refused(
        format!("`plugins.{name}.source` asks for it from {source}"),
        format!(
            "the lock has it from {}; where its publisher has moved, run `ztc plugins install {} --moved`, which changes the lock",
            locked.source,
            word(&format!("{name}@{version}"))
        ),
    )
}

/// Returns the one version that the address of a source names.
pub(crate) fn source_range(asked: &Plugin, root: &Path) -> Option<VersionReq> {
    let source = asked.source.as_deref()?;
    Source::parse(source, root).ok()?.range()
}

/// Returns what the lock has for this machine.
pub(crate) fn executable<'a>(
    name: &str,
    locked: &'a LockedPlugin,
) -> Result<&'a LockedExecutable, Failure> {
    let LockedPlugin { version, .. } = locked;
    match locked.here() {
        Some(executable) if is_digest(&executable.sha256) => Ok(executable),
        Some(executable) => Err(Failure::invalid(format!(
            "the lock was edited: `{}` is not a SHA-256",
            executable.sha256
        ))
        .help("put it back with `git checkout -- platform/lock.json`")),
        None => Err(Failure::new(
            Exit::Missing,
            format!(
                "the lock has no executable of `{name}` {version} for {}, only for {}",
                machine(),
                match locked.platforms.is_empty() {
                    true => "nothing".to_owned(),
                    false => locked.built_for(),
                }
            ),
        )
        .help(format!(
            "ask its publisher for one; then `ztc plugins install {}` locks it, too",
            word(&format!("{name}@{version}"))
        ))),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the lock has an adapter from a source of this name.
pub(crate) fn is_from(locked: &LockedPlugin, source: &str, root: &Path) -> bool {
    place(&locked.source, root).as_deref() == Some(source)
}

/// Opens a source for another version of what is locked, with all that this machine and the lock know of it.
pub(crate) fn open(
    machine: &Machine,
    root: &Path,
    source: Source,
    locked: &LockedPlugin,
    terms: &Terms,
) -> Result<Tree, Failure> {
    if !is_from(locked, &source.name(), root) {
        return install::open(machine, source, terms);
    }
    let source = mirror::through(machine, source)?;
    let known = known(machine, &source, locked, terms, locked.index_serial)?;
    let place = source.name();
    if let (None, Some((key, LOCK)), Some(pinned)) =
        (&terms.key, &known.key, Trust::load(machine)?.key(&place)?)
        && *key != pinned
    {
        return Err(Failure::new(
            Exit::Refused,
            format!("the lock names another key of `{place}` than this machine trusts"),
        )
        .detail(format!("locked: {}", key.text()))
        .detail(format!("trusted: {}", pinned.text()))
        .help("ask its publisher by another way which one is right, then run `ztc plugins install NAME@RANGE --key KEY`"));
    }
    let tree = Tree::open(source, known, Timestamp::now())?;
    install::notice(machine, &tree, terms);
    Ok(tree)
}

/// Refuses a key that is new on this machine where a lock has another one for the same source, by whichever adapter.
pub(crate) fn refuse_new_key(
    plugins: &LockedPlugins,
    root: &Path,
    tree: &Tree,
) -> Result<(), Failure> {
    let Signed::New(key) = &tree.signer else {
        return Ok(());
    };
    let place = tree.source.name();
    let mut keys = plugins
        .values()
        .filter(|locked| is_from(locked, &place, root))
        .filter_map(|locked| Key::parse(locked.publisher_key.as_deref()?).ok());
    match keys.find(|known| known != key) {
        Some(known) => Err(tree::other_key(&place, LOCK, &known, &key.shown())),
        None => Ok(()),
    }
}

/// Returns what is known of a source that a lock names, of which it has seen this serial. The lock's key is reviewed by the team and comes before
/// what this machine has pinned.
pub(crate) fn known<'a>(
    machine: &Machine,
    source: &Source,
    locked: &LockedPlugin,
    terms: &Terms,
    serial: u64,
) -> Result<Known<'a>, Failure> {
    let place = source.name();
    let key = match (&terms.key, &locked.publisher_key) {
        (Some(key), _) => Some((key.clone(), OPTION)),
        (None, Some(key)) => Some((own_key(key)?, LOCK)),
        (None, None) => remembered::key(machine, &place)?,
    };
    // A key by an operator's word begins anew, and so does a tree.
    let is_locked_key = terms.key.as_ref().map(Key::text).is_none_or(|key| {
        locked
            .publisher_key
            .as_deref()
            .is_none_or(|locked| locked == key)
    });
    Ok(Known {
        key,
        seen: install::last_seen(machine, &place, terms)?,
        serial: match is_locked_key && terms.moved == Moved::Refuse {
            true => serial,
            false => 0,
        },
        unsigned: terms.unsigned,
    })
}

/// Reads the key that a lock names.
fn own_key(text: &str) -> Result<Key, Failure> {
    Key::parse(text).map_err(|_| {
        Failure::invalid(format!(
            "the lock was edited: `{text}` is not a publisher's key"
        ))
        .help("put it back with `git checkout -- platform/lock.json`")
    })
}

impl From<&Asset> for LockedExecutable {
    fn from(asset: &Asset) -> Self {
        Self {
            path: asset.path.clone(),
            size: Some(asset.size),
            sha256: asset.sha256.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(version: &str, source: &str) -> LockedPlugin {
        LockedPlugin {
            version: version.into(),
            source: source.into(),
            ..LockedPlugin::default()
        }
    }

    fn asked(source: Option<&str>, version: Option<&str>) -> Plugin {
        Plugin {
            source: source.map(str::to_owned),
            version: version.map(str::to_owned),
            ..Plugin::default()
        }
    }

    #[test]
    fn sources_are_written_for_other_machines() {
        let directory = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(directory.path()).unwrap();
        std::fs::create_dir(root.join("tree")).unwrap();
        let inside = format!("file://{}/tree", root.display());
        for (source, asks, expected) in [
            ("https://example.org/t", None, "https://example.org/t"),
            (
                "https://example.org/t",
                Some("https://example.org/t/"),
                "https://example.org/t/",
            ),
            (inside.as_str(), None, "./tree"),
            (inside.as_str(), Some("tree"), "./tree"),
            (inside.as_str(), Some("./tree/../tree"), "./tree/../tree"),
            ("file:///srv/none", Some("tree"), "file:///srv/none"),
        ] {
            let plugin = asks.map(|source| asked(Some(source), None));
            let written = portable(source, &root, plugin.as_ref());
            assert_eq!(written, expected, "{source} {asks:?}");
        }
    }

    #[test]
    fn what_platform_yaml_asks_for_has_to_be_what_is_locked() {
        #[track_caller]
        fn check(plugin: &Plugin, message: Option<&str>) {
            let locked = locked("1.2.0", "https://example.org/t");
            let failure = contradiction("bgp", &locked, Some(plugin), Path::new("/repo"));
            assert_eq!(failure.map(|failure| failure.message).as_deref(), message);
        }
        check(&asked(None, None), None);
        check(&asked(Some("https://example.org/t/"), Some("^1")), None);
        check(
            &asked(None, Some("^2")),
            Some("the lock has `bgp` 1.2.0, and `plugins.bgp.version` asks for `^2`"),
        );
        check(
            &asked(Some("https://example.com"), None),
            Some(
                "the lock has `bgp` 1.2.0, and `plugins.bgp.source` asks for it from https://example.com",
            ),
        );
    }

    #[test]
    fn an_edited_lock_reaches_no_other_file() {
        let executable_of = |sha256: &str| {
            let here = LockedExecutable {
                sha256: sha256.into(),
                ..LockedExecutable::default()
            };
            let locked = LockedPlugin {
                platforms: [(machine(), here)].into(),
                ..locked("1.0.0", "https://example.org")
            };
            executable("bgp", &locked).map(|found| found.sha256.clone())
        };
        assert_eq!(
            executable_of("../../x").unwrap_err().message,
            "the lock was edited: `../../x` is not a SHA-256"
        );
        assert!(executable_of(&"a".repeat(64)).is_ok());
    }
}

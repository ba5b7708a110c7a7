//! Plugins and the lock: what a lock says of what is installed, and how what it says is installed on another machine. The lock has fixed the
//! bytes, so nobody has to be trusted on first use, and an index that is over hides nothing. Writes no lock.

use std::path::Path;

use jiff::Timestamp;
use semver::{Version, VersionReq};
use ztc_protocol::{PROTOCOL, ProtocolVersion};

use crate::digest;
use crate::error::{Exit, Failure};
use crate::lock::machine;
use crate::lock::plugins::{LockedExecutable, LockedPlugin};
use crate::paths::Machine;
use crate::platform::Plugin;
use crate::plugins::index::{Asset, Choice};
use crate::plugins::install::{self, Done, Mode, State, Terms, TrustWord};
use crate::plugins::mirror;
use crate::plugins::seen;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::{Record, Store};
use crate::plugins::tree::{Known, LOCK, Tree};
use crate::plugins::trust::Trust;

/// Makes what the lock says of what is installed. `root` is the repository, `asked` what its platform.yaml says of the adapter.
pub(crate) fn entry(record: &Record, root: &Path, asked: Option<&Plugin>) -> LockedPlugin {
    let spoken: Vec<ProtocolVersion> = record
        .release
        .protocols
        .iter()
        .filter_map(|protocol| protocol.parse().ok())
        .collect();
    let protocol = ProtocolVersion::agree(&[PROTOCOL], &spoken).unwrap_or(PROTOCOL);
    let platforms = record.release.platforms.iter();
    let platforms = platforms.map(|(platform, asset)| (platform.clone(), asset.into()));
    LockedPlugin {
        version: record.version.to_string(),
        source: portable(&record.source, root, asked),
        protocol: protocol.to_string(),
        publisher_key: record.publisher_key.clone(),
        index_serial: record.index_serial,
        unrendered: false,
        platforms: platforms.collect(),
    }
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
fn place(text: &str, root: &Path) -> Option<String> {
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
                "run `ztc plugins install '{name}@{range}'`, which changes the lock, or change platform.yaml back"
            ),
        );
    }
    let source = asked?.source.as_deref()?;
    if place(source, root) == place(&locked.source, root) {
        return None;
    }
    refused(
        format!("`plugins.{name}.source` asks for it from {source}"),
        format!(
            "the lock has it from {}; where its publisher has moved, run `ztc plugins install {name}@{version} --moved`, which changes the lock",
            locked.source
        ),
    )
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
                locked.built_for()
            ),
        )
        .help(format!(
            "ask its publisher for one; then `ztc plugins install {name}@{version}` locks it, too"
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
    Tree::open(source, known, Timestamp::now())
}

/// Opens the source of what is locked and finds it there, to show it.
pub(crate) fn look(
    machine: &Machine,
    root: &Path,
    (name, locked): (&str, &LockedPlugin),
    terms: &Terms,
) -> Result<(Tree, Choice), Failure> {
    let follow = Follow {
        machine,
        root,
        terms,
        instead: None,
        network: Network::Use,
    };
    executable(name, locked)?;
    let tree = follow.open(locked, follow.source(name, locked)?)?;
    let choice = follow.choose(&tree, name, locked)?;
    Ok((tree, choice))
}

/// Returns what is known of a source that a lock names. The lock's key is reviewed by the team and comes before what this machine has pinned.
fn known<'a>(
    machine: &Machine,
    source: &Source,
    locked: &LockedPlugin,
    terms: &Terms,
    serial: u64,
) -> Result<Known<'a>, Failure> {
    let place = source.name();
    let key = match (&terms.key, &locked.publisher_key) {
        (Some(key), _) => Some((key.clone(), "`--key`")),
        (None, Some(key)) => Some((Key::parse(key)?, LOCK)),
        (None, None) => {
            let pinned = Trust::load(machine)?.key(&place)?;
            pinned.map(|key| (key, "the list of trusted publishers"))
        }
    };
    Ok(Known {
        key,
        seen: seen::load(&machine.data(), &place)?,
        serial,
        unsigned: terms.unsigned,
    })
}

/// Whether anything may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Use,
    /// Directories of this machine will do.
    Never,
}

/// How what a lock names is installed.
pub(crate) struct Follow<'a> {
    pub(crate) machine: &'a Machine,
    /// The repository.
    pub(crate) root: &'a Path,
    pub(crate) terms: &'a Terms,
    /// Where to take it from instead: the bytes are fixed, so any copy will do.
    pub(crate) instead: Option<&'a Source>,
    pub(crate) network: Network,
}

impl Follow<'_> {
    /// Installs exactly what a lock names. The store is held. `progress` hears how many bytes of how many have come.
    pub(crate) fn install(
        &self,
        name: &str,
        locked: &LockedPlugin,
        progress: impl FnMut(u64, u64),
    ) -> Result<Done, Failure> {
        let wanted = executable(name, locked)?;
        let version = parse(&locked.version)?;
        let store = Store::new(self.machine);
        let is_it = |record: &&Record| {
            let asset = record.asset();
            (&record.name, &record.version) == (&name.to_owned(), &version)
                && asset.is_some_and(|asset| asset.sha256 == wanted.sha256)
        };
        let before = store.installed();
        let recorded = before.iter().find(is_it);
        let path = store.bytes_of(&wanted.sha256, &wanted.path);
        let is_whole = |path: &std::path::PathBuf| {
            digest::file(path).is_ok_and(|sha256| sha256 == wanted.sha256)
        };
        let whole = path.filter(is_whole);
        if whole.is_some() && (recorded.is_some() || self.network == Network::Never) {
            return Ok(Done {
                program: whole,
                ..self.done(name, locked, wanted, State::Present)?
            });
        }
        let source = self.source(name, locked)?;
        if let Source::Directory(path) = &source
            && path.is_file()
        {
            return self.file(name, locked, path);
        }
        let tree = self.open(locked, source)?;
        let choice = self.choose(&tree, name, locked)?;
        let mut done = self.done(name, locked, wanted, State::Planned)?;
        done.source = tree.source.name();
        if tree.index.is_expired(Timestamp::now()) {
            done.warnings.push(format!(
                "the index of {} is not valid any more since {}: newer versions of `{name}` may be missing in it",
                done.source, tree.index.expires
            ));
        }
        if let Some(why) = &choice.release.yanked {
            done.warnings.push(format!(
                "`{name}` {version} was taken back by its publisher: {why}"
            ));
        }
        if self.terms.mode == Mode::DryRun {
            return Ok(done);
        }
        let place = place(&locked.source, self.root).unwrap_or_else(|| done.source.clone());
        (done.program, done.state) =
            install::take(self.machine, &tree, &place, &choice, self.terms, progress)?;
        Ok(done)
    }

    fn done(
        &self,
        name: &str,
        locked: &LockedPlugin,
        wanted: &LockedExecutable,
        state: State,
    ) -> Result<Done, Failure> {
        Ok(Done {
            name: name.to_owned(),
            version: parse(&locked.version)?,
            platform: machine(),
            source: place(&locked.source, self.root).unwrap_or_else(|| locked.source.clone()),
            publisher_key: locked.publisher_key.clone(),
            trust: match locked.publisher_key {
                Some(_) => TrustWord::Locked,
                None => TrustWord::Unsigned,
            },
            size: wanted.size.unwrap_or_default(),
            sha256: wanted.sha256.clone(),
            program: None,
            state,
            lock_was: None,
            warnings: Vec::new(),
        })
    }

    /// Returns where it comes from, as far as that may be asked.
    fn source(&self, name: &str, locked: &LockedPlugin) -> Result<Source, Failure> {
        let source = match self.instead {
            Some(source) => source.clone(),
            None => mirror::through(self.machine, Source::parse(&locked.source, self.root)?)?,
        };
        match self.network {
            Network::Use => Ok(source),
            Network::Never if source.is_here() => Ok(source),
            Network::Never => Err(Failure::new(
                Exit::Refused,
                format!(
                    "`{name}` {} is locked and not installed, and `--locked` uses no network",
                    locked.version
                ),
            )
            .help("run `ztc plugins install` without `--locked` first, or give a copy: `ztc plugins install --locked --source DIR`")),
        }
    }

    fn open(&self, locked: &LockedPlugin, source: Source) -> Result<Tree, Failure> {
        // A copy may be older than what it was made from.
        let serial = match (self.instead, &source) {
            (Some(_), _) | (None, Source::Mirrored { .. }) => 0,
            (None, _) => locked.index_serial,
        };
        let known = known(self.machine, &source, locked, self.terms, serial)?;
        Tree::open(source, known, Timestamp::MIN)
    }

    /// Chooses the locked release. It has to have the locked bytes, on other platforms, too.
    fn choose(&self, tree: &Tree, name: &str, locked: &LockedPlugin) -> Result<Choice, Failure> {
        let place = tree.source.name();
        let exactly = format!("={}", locked.version).parse().ok();
        let choice = tree
            .index
            .choose(&place, name, exactly.as_ref(), &machine())?;
        for (platform, executable) in &locked.platforms {
            if let Some(asset) = choice.release.platforms.get(platform)
                && asset.sha256 != executable.sha256
            {
                return Err(Failure::new(
                    Exit::Refused,
                    format!(
                        "`{name}` {} of `{place}` has other bytes for {platform} than the lock names",
                        locked.version
                    ),
                )
                .detail(format!("locked: {}", executable.sha256))
                .detail(format!("now: {}", asset.sha256))
                .help("a version never changes its bytes: ask its publisher, who has to give the change a new version"));
            }
        }
        Ok(choice)
    }

    /// Installs a locked file of the operator's own.
    fn file(&self, name: &str, locked: &LockedPlugin, path: &Path) -> Result<Done, Failure> {
        let wanted = executable(name, locked)?;
        let found = digest::file(path).map_err(|error| Failure::io("read", path, &error))?;
        if found != wanted.sha256 {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "`{}` has other bytes than the lock names for `{name}` {}",
                    path.display(),
                    locked.version
                ),
            )
            .detail(format!("locked: {}", wanted.sha256))
            .detail(format!("now: {found}"))
            .help(format!("where that is what you want, run `ztc plugins install {} --allow-unsigned`, which changes the lock", path.display())));
        }
        install::from_file(self.machine, path, self.terms)
    }
}

fn parse(version: &str) -> Result<Version, Failure> {
    version.parse().map_err(|_| {
        Failure::invalid(format!("the lock was edited: `{version}` is not a version"))
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
    use crate::plugins::signature::{Signer, new_pair};

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

    /// A tree with `bgp` 1.0.0, signed, whose index is over, and what a lock says of it.
    fn over(directory: &Path) -> LockedPlugin {
        let key = directory.join("key");
        std::fs::write(&key, new_pair(None).unwrap().0).unwrap();
        let signer = Signer::open(&key, || panic!("it has no password")).unwrap();
        let content = "#!/bin/sh\n";
        let sha256 = crate::digest::sha256_hex(content.as_bytes());
        let release = serde_json::json!({
            "released": "2026-01-01T00:00:00Z",
            "yanked": "it does harm",
            "protocols": ["1.0"],
            "platforms": {machine(): {"path": "bgp", "size": content.len(), "sha256": sha256}},
        });
        let text = serde_json::json!({
            "format": 1,
            "serial": 7,
            "issued": "2026-01-01T00:00:00Z",
            "expires": "2026-02-01T00:00:00Z",
            "publisher": {"key": signer.public().text()},
            "adapters": {"bgp": {"versions": {"1.0.0": release}}},
        })
        .to_string();
        let signature = signer.sign(text.as_bytes(), "index").unwrap();
        std::fs::write(directory.join("index.json"), &text).unwrap();
        std::fs::write(directory.join("index.json.minisig"), signature).unwrap();
        std::fs::write(directory.join("bgp"), content).unwrap();
        let executable = LockedExecutable {
            path: "bgp".into(),
            size: Some(content.len() as u64),
            sha256,
        };
        LockedPlugin {
            publisher_key: Some(signer.public().text().to_owned()),
            index_serial: 7,
            platforms: [(machine(), executable)].into(),
            ..locked("1.0.0", &format!("file://{}", directory.display()))
        }
    }

    #[test]
    fn what_is_locked_installs_after_its_index_is_over_and_after_it_was_taken_back() {
        let (tree, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let locked = over(tree.path());
        let machine = Machine {
            plugins: home.path().join("data/plugins"),
            cache: home.path().join("cache"),
            config: home.path().join("config"),
            running: crate::paths::Running::default(),
        };
        let terms = Terms {
            unsigned: crate::plugins::tree::Unsigned::Refuse,
            moved: install::Moved::Refuse,
            key: None,
            mode: Mode::Install,
        };
        let source = Source::parse(&locked.source, tree.path()).unwrap();
        // For another version it would be refused.
        assert!(open(&machine, tree.path(), source, &locked, &terms).is_err());
        let follow = Follow {
            machine: &machine,
            root: tree.path(),
            terms: &terms,
            instead: None,
            network: Network::Use,
        };
        let done = follow.install("bgp", &locked, |_, _| {}).unwrap();
        assert_eq!(
            (done.state, done.trust),
            (State::Installed, TrustWord::Locked)
        );
        let place = &done.source;
        assert_eq!(
            done.warnings,
            [
                format!(
                    "the index of {place} is not valid any more since 2026-02-01T00:00:00Z: newer versions of `bgp` may be missing in it"
                ),
                "`bgp` 1.0.0 was taken back by its publisher: it does harm".to_owned(),
            ]
        );
        // That the key is the lock's is no reason to trust it elsewhere.
        assert_eq!(Trust::load(&machine).unwrap(), Trust::default());
    }
}

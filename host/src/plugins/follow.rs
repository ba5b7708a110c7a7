//! Following a lock: exactly what it names is installed, on any machine. The lock has fixed the bytes, so nobody has to be trusted on first
//! use, and an index that is over hides nothing. Writes no lock.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use semver::Version;

use crate::error::{Exit, Failure};
use crate::intact;
use crate::lock::fields::Contradiction;
use crate::lock::machine;
use crate::lock::plugins::{LockedExecutable, LockedPlugin};
use crate::paths::Machine;
use crate::plugins::agreed::{self, Powers};
use crate::plugins::index::Choice;
use crate::plugins::install::{self, Done, Mode, Moved, State, Terms, TrustWord, Watch};
use crate::plugins::locked::{against_index, against_record, executable, known, place};
use crate::plugins::mirror;
use crate::plugins::own;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::{Record, Store};
use crate::plugins::taken_back::{self, TakenBack};
use crate::plugins::tree::{Signed, Tree};
use crate::plugins::trust::Trust;
use crate::shell::word;

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
    /// Installs exactly what a lock names.
    pub(crate) fn install(
        &self,
        name: &str,
        locked: &LockedPlugin,
        watch: &Watch<'_>,
    ) -> Result<Done, Failure> {
        let wanted = executable(name, locked)?;
        let version = parse(&locked.version)?;
        let store = Store::new(self.machine);
        let is_it = |record: &&Record| {
            (&record.name, &record.version) == (&name.to_owned(), &version)
                && has_bytes(record, wanted)
        };
        let before = store.installed();
        let recorded = before.iter().find(is_it);
        let path = store.bytes_of(&wanted.sha256, &wanted.path);
        let is_whole = |path: &PathBuf| intact::flaw(path, &wanted.sha256).is_none();
        let whole = path.filter(is_whole);
        let differs =
            recorded.and_then(|record| against_record(name, locked, record, None, self.root));
        let is_settled = match self.network {
            // What its publisher has signed says who is right.
            Network::Use => recorded.is_some_and(|record| differs.is_none() || record.is_file()),
            Network::Never => true,
        };
        if whole.is_some() && is_settled {
            if recorded.is_none()
                && let Some(other) = before.iter().find(|record| has_bytes(record, wanted))
            {
                return Err(of_another(name, locked, other));
            }
            if let Some(differs) = &differs {
                return Err(not_as_locked(name, locked, "what was installed", differs));
            }
            let mut done = self.done(name, locked, wanted, State::Present)?;
            done.program = whole;
            done.warnings.extend(self.lasting(name, locked, None));
            if let Some(record) = recorded {
                done.powers = Powers::of(&record.release, None);
            }
            let taken_back = TakenBack::new(self.machine).find(&done.source, name, &locked.version);
            done.warnings.extend(
                taken_back.map(|reason| taken_back::message(name, &locked.version, &reason.why)),
            );
            return Ok(done);
        }
        let source = self.source(name, locked, &store, wanted)?;
        if let Source::Directory(path) = &source
            && path.is_file()
        {
            return self.file(name, locked, path, watch);
        }
        let tree = self.open(locked, source)?;
        let choice = self.choose(&tree, name, locked)?;
        let mut done = self.done(name, locked, wanted, State::Planned)?;
        done.source = tree.source.name();
        if let (None, Some(key)) = (&locked.publisher_key, tree.signer.key()) {
            // The lock knows of no key, and the one that has signed is trusted all the same.
            done.publisher_key = Some(key.text().to_owned());
            done.trust = match tree.signer {
                Signed::New(_) => TrustWord::FirstUse,
                _ => TrustWord::Pinned,
            };
        }
        if let Some(differs) = against_index(name, locked, &tree, &choice) {
            // The bytes are the locked ones, whoever has signed them; but `--locked` takes nothing that the lock does not say.
            if !differs.is_of_key_alone() || self.network == Network::Never {
                let place = format!("the index of `{}`", tree.source.name());
                return Err(not_as_locked(name, locked, &place, &differs));
            }
            let lines = differs.lines().into_iter();
            done.warnings
                .extend(lines.map(|line| format!("{line}: {}", differs.help())));
        }
        // The team has agreed to what its lock names; that it may touch more than what was here is said.
        let earlier = agreed::earlier(&before, None, None, &choice);
        done.powers = Powers::of(&choice.release, earlier.as_ref());
        let question = done.powers.question(name, &locked.version);
        done.warnings.extend(question);
        done.warnings.extend(self.other_pin(&tree, &done.source)?);
        done.warnings
            .extend(self.lasting(name, locked, Some(&tree)));
        if tree.index.is_expired(Timestamp::now()) {
            done.warnings.push(format!(
                "the index of {} is not valid any more since {}: newer versions of `{name}` may be missing in it",
                done.source, tree.index.expires
            ));
        }
        if let Some(why) = &choice.release.yanked {
            let version = version.to_string();
            done.warnings.push(taken_back::message(name, &version, why));
        }
        if self.terms.mode == Mode::DryRun {
            return Ok(done);
        }
        let place = place(&locked.source, self.root).unwrap_or_else(|| done.source.clone());
        (done.program, done.state) = install::take(
            self.machine,
            &tree,
            &place,
            &choice,
            self.terms,
            watch,
            |_| Ok(()),
        )?;
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
            powers: Powers::default(),
            lock_was: None,
            lock_serial_was: None,
            warnings: Vec::new(),
        })
    }

    /// Returns where it comes from, as far as that may be asked.
    fn source(
        &self,
        name: &str,
        locked: &LockedPlugin,
        store: &Store,
        wanted: &LockedExecutable,
    ) -> Result<Source, Failure> {
        let source = match self.instead {
            Some(Source::Directory(path)) => {
                let locked = Source::parse(&locked.source, self.root)?;
                let mirrored = mirror::inside(path, &locked);
                mirrored.unwrap_or_else(|| Source::Directory(path.clone()))
            }
            Some(source) => source.clone(),
            None => mirror::through(self.machine, Source::parse(&locked.source, self.root)?)?,
        };
        match self.network {
            Network::Use => Ok(source),
            Network::Never if source.is_here() => Ok(source),
            Network::Never => Err(self.away(name, locked, store, wanted)),
        }
    }

    /// Says that what is locked is not here, or not as it was, and may not be fetched.
    fn away(
        &self,
        name: &str,
        locked: &LockedPlugin,
        store: &Store,
        wanted: &LockedExecutable,
    ) -> Failure {
        let version = &locked.version;
        let refused = |message: String| Failure::new(Exit::Refused, message);
        let other = "run `ztc plugins install` without `--locked` first, or give a copy: `ztc plugins install --locked --source DIR`";
        let flawed = store
            .bytes_of(&wanted.sha256, &wanted.path)
            .and_then(|path| Some((intact::flaw(&path, &wanted.sha256)?, path)));
        let Some((flaw, path)) = flawed else {
            let message = "is locked and not installed, and `--locked` uses no network";
            return refused(format!("`{name}` {version} {message}")).help(other);
        };
        let failure = refused(format!(
            "`{name}` {version} is not what was installed: {}",
            flaw.word()
        ))
        .detail(format!("installed: `{}`", path.display()));
        match flaw.remedy(&path) {
            Some(remedy) => failure.help(format!("run `{remedy}`, and `ztc plugins verify`")),
            None => failure.help(other),
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

    /// Says what the lock goes on naming where the operator has said that a publisher began anew: following a lock changes nothing in it.
    fn lasting(&self, name: &str, locked: &LockedPlugin, tree: Option<&Tree>) -> Option<String> {
        let LockedPlugin {
            version, source, ..
        } = locked;
        let command = format!("ztc plugins install {name}@{version}");
        let old = locked.publisher_key.as_deref();
        let given = self.terms.key.as_ref().map(Key::text);
        if let (Some(old), Some(given)) = (old, given.filter(|given| old != Some(*given))) {
            return Some(format!(
                "the lock goes on naming the key {old} for `{name}`, and other machines with it: `{command} --key {given}` changes that"
            ));
        }
        let serial = locked.index_serial;
        let is_newer = tree.is_some_and(|tree| tree.index.serial >= serial);
        if self.terms.moved == Moved::Refuse || is_newer || serial == 0 {
            return None;
        }
        let place = place(source, self.root).unwrap_or_else(|| source.clone());
        Some(format!(
            "the lock goes on naming serial {serial} of {place} for `{name}`, and other machines with it: `{command} --moved` changes that"
        ))
    }

    /// Says that this machine trusts another key than the lock; the bytes are those of the lock either way.
    fn other_pin(&self, tree: &Tree, place: &str) -> Result<Option<String>, Failure> {
        let pinned = Trust::load(self.machine)?.key(place)?;
        let differs = pinned.filter(|pinned| tree.signer.key().is_some_and(|key| key != pinned));
        Ok(differs.map(|pinned| {
            format!(
                "the lock names another key of {place} than this machine trusts ({}): find out which one is right, then `ztc plugins trust add {} KEY`",
                pinned.text(),
                word(place)
            )
        }))
    }

    /// Installs a locked file of the operator's own.
    fn file(
        &self,
        name: &str,
        locked: &LockedPlugin,
        path: &Path,
        watch: &Watch<'_>,
    ) -> Result<Done, Failure> {
        let wanted = executable(name, locked)?;
        let own = own::read(self.machine, path, self.terms)?;
        let found = &own.choice.asset.sha256;
        if *found != wanted.sha256 {
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
            .help(format!("where that is what you want, run `ztc plugins install {} --allow-unsigned`, which changes the lock", word(&path.display().to_string()))));
        }
        own::install(self.machine, own, Some(locked), self.terms, watch.waiting)
    }
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
    let wanted = executable(name, locked)?;
    let source = follow.source(name, locked, &Store::new(machine), wanted)?;
    let tree = follow.open(locked, source)?;
    let choice = follow.choose(&tree, name, locked)?;
    Ok((tree, choice))
}

/// Whether an installed adapter has the bytes that a lock names, for this machine.
fn has_bytes(record: &Record, wanted: &LockedExecutable) -> bool {
    record
        .asset()
        .is_some_and(|asset| asset.sha256 == wanted.sha256)
}

/// Refuses a lock that gives one adapter the bytes of another.
fn of_another(name: &str, locked: &LockedPlugin, other: &Record) -> Failure {
    let version = &locked.version;
    let message = format!(
        "the lock gives `{name}` {version} the bytes of `{}` {}",
        other.name, other.version
    );
    let failure = Failure::new(Exit::Refused, message);
    failure.help("put the lock back with `git checkout -- platform/lock.json`")
}

/// Refuses a lock that says of an adapter what is not so.
fn not_as_locked(
    name: &str,
    locked: &LockedPlugin,
    place: &str,
    differs: &Contradiction,
) -> Failure {
    let message = format!(
        "the lock says of `{name}` {} something else than {place}",
        locked.version
    );
    let mut failure = Failure::new(Exit::Refused, message).help(differs.help());
    failure.details = differs.lines();
    failure
}

fn parse(version: &str) -> Result<Version, Failure> {
    version.parse().map_err(|_| {
        Failure::invalid(format!("the lock was edited: `{version}` is not a version"))
            .help("put it back with `git checkout -- platform/lock.json`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::locked::open as open_for_another;
    use crate::plugins::signature::{Signer, new_pair};

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
            version: "1.0.0".into(),
            protocol: "1.0".into(),
            source: format!("file://{}", directory.display()),
            ..LockedPlugin::default()
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
        let terms = Terms::plain(Mode::Install);
        let source = Source::parse(&locked.source, tree.path()).unwrap();
        // For another version it would be refused.
        assert!(open_for_another(&machine, tree.path(), source, &locked, &terms).is_err());
        let follow = Follow {
            machine: &machine,
            root: tree.path(),
            terms: &terms,
            instead: None,
            network: Network::Use,
        };
        let watch = Watch {
            waiting: &|| {},
            progress: &|_, _| {},
            new_key: &|_, _| panic!("no key is pinned"),
            begins: &|_| {},
            has_come: &|| {},
        };
        let done = follow.install("bgp", &locked, &watch).unwrap();
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

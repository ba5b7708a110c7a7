//! The repository in which a command about plugins runs: what its platform.yaml asks for, what its lock names, and how that is changed: by naming
//! an adapter on the command line, and by nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use semver::{Version, VersionReq};

use crate::adapter::builtin;
use crate::atomic;
use crate::commands::Context;
use crate::commands::render::refuse_during_a_run;
use crate::error::{Exit, Failure, Location};
use crate::lock::plugins::{LockedPlugin, LockedPlugins};
use crate::lock::{self, Lock};
use crate::paths::Repository;
use crate::pipeline::journal::now;
use crate::platform::{Platform, Plugin};
use crate::plugins::environments::{Contradiction, Joined, join};
use crate::plugins::install::{Done, Mode, Moved, Terms, both};
use crate::plugins::signature::Key;
use crate::plugins::store::Store;
use crate::plugins::tree::Tree;
use crate::plugins::{locked, projects};
use crate::render::workspace::{self, RenderLock};

/// A repository, which may be none: then nothing is asked for and nothing locked.
pub(crate) struct Project {
    repository: Repository,
    /// platform.yaml, with what the overlays ask for.
    pub(crate) platform: Option<Platform>,
    contradictions: BTreeMap<String, Contradiction>,
    lock: Option<Lock>,
}

impl Project {
    /// Reads it.
    pub(crate) fn read(context: &Context) -> Result<Self, Failure> {
        let repository = context.repository.clone();
        let joined = match repository.platform().exists() {
            true => Some(join(&repository, Platform::load(&repository, None)?)?),
            false => None,
        };
        Self::of(repository, joined)
    }

    /// Takes a platform that was read already, of which anything may be missing.
    pub(crate) fn with(context: &Context, platform: &Platform) -> Result<Self, Failure> {
        let repository = context.repository.clone();
        // What is wrong with an overlay is said by whoever needs it.
        let joined = join(&repository, platform.clone()).unwrap_or_else(|_| Joined {
            platform: platform.clone(),
            contradictions: BTreeMap::new(),
        });
        Self::of(repository, Some(joined))
    }

    fn of(repository: Repository, joined: Option<Joined>) -> Result<Self, Failure> {
        let lock = Lock::load(&repository)?;
        let (platform, contradictions) = match joined {
            Some(joined) => (Some(joined.platform), joined.contradictions),
            None => (None, BTreeMap::new()),
        };
        Ok(Self {
            repository,
            platform,
            contradictions,
            lock,
        })
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        self.repository.root()
    }

    /// Its lock.
    pub(crate) fn lock(&self) -> Option<&Lock> {
        self.lock.as_ref()
    }

    /// What platform.yaml and its overlays say of an adapter.
    pub(crate) fn asked(&self, name: &str) -> Option<&Plugin> {
        self.platform.as_ref()?.plugins.get(name)
    }

    /// Refuses a key that is new on this machine where the lock has another one for the same source, by whichever adapter.
    pub(crate) fn refuse_new_key(&self, tree: &Tree) -> Result<(), Failure> {
        match self.lock() {
            Some(lock) => locked::refuse_new_key(&lock.plugins, self.root(), tree),
            None => Ok(()),
        }
    }

    /// Refuses an adapter that two environments ask for in two ways.
    pub(crate) fn refuse_contradiction(&self, name: &str) -> Result<(), Failure> {
        match self.contradictions.get(name) {
            Some(contradiction) => Err(contradiction.failure(name)),
            None => Ok(()),
        }
    }

    /// Where platform.yaml, or the overlay that does, says something of an adapter.
    pub(crate) fn place_of(&self, name: &str, pointer: &str) -> Location {
        let platform = self.platform.as_ref();
        platform
            .and_then(|platform| platform.locate_plugin(name, pointer))
            .unwrap_or_else(|| Location::file("platform.yaml"))
    }

    /// Says where platform.yaml asks for other versions than this one; nothing where it would take it.
    pub(crate) fn unwanted(&self, name: &str, version: &Version) -> Option<String> {
        let asked = self.asked(name)?;
        if range_of(asked).is_some_and(|range| !range.matches(version)) {
            let text = asked.version.as_deref().unwrap_or_default();
            let place = self.place_of(name, "/version");
            return Some(format!(
                "is outside of `{text}`, which `plugins.{name}.version` asks for at {place}"
            ));
        }
        let range = locked::source_range(asked, self.root())?;
        (!range.matches(version)).then(|| {
            let place = self.place_of(name, "/source");
            format!("is outside of `{range}`, which `plugins.{name}.source` names at {place}")
        })
    }

    /// The versions that platform.yaml asks for: by a range, and by a source that names one.
    pub(crate) fn asked_range(&self, name: &str) -> Option<VersionReq> {
        let asked = self.asked(name)?;
        let named = locked::source_range(asked, self.root());
        both(range_of(asked).as_ref(), named)
    }

    /// Whether what is installed under a name is used here.
    fn is_open(&self, name: &str) -> bool {
        let asked = self.asked(name);
        let is_explicit = asked.is_some_and(|plugin| plugin.path.is_some());
        let is_named =
            asked.is_some_and(|plugin| plugin.source.is_some() || plugin.version.is_some());
        !is_explicit && (is_named || builtin::find(name).is_none())
    }

    /// Whether ztc goes on with an adapter of its own, whatever is installed under its name.
    pub(crate) fn keeps_own(&self, name: &str) -> bool {
        let is_explicit = self.asked(name).is_some_and(|asked| asked.path.is_some());
        builtin::find(name).is_some() && !is_explicit && !self.is_open(name)
    }

    /// What the lock pins an adapter to.
    pub(crate) fn pin(&self, name: &str) -> Option<&LockedPlugin> {
        let plugin = self.lock.as_ref()?.plugins.get(name)?;
        (plugin.is_installed() && self.is_open(name)).then_some(plugin)
    }

    /// Everything that the lock pins.
    pub(crate) fn pins(&self) -> impl Iterator<Item = (&String, &LockedPlugin)> {
        let plugins = self.lock.iter().flat_map(|lock| &lock.plugins);
        plugins.filter(|(name, _)| self.pin(name).is_some())
    }

    /// Refuses an adapter of another source or with another key than the lock has, where the operator has not said that it has moved.
    pub(crate) fn refuse_moved(
        &self,
        name: &str,
        place: &str,
        key: Option<&Key>,
        terms: &Terms,
    ) -> Result<(), Failure> {
        let Some(locked) = self.pin(name) else {
            return Ok(());
        };
        if !locked::is_from(locked, place, self.root()) {
            return match terms.moved {
                Moved::Allow => Ok(()),
                Moved::Refuse => Err(Failure::new(
                    Exit::Refused,
                    format!("`{name}` is locked from another source"),
                )
                .detail(format!("locked: {} from {}", locked.version, locked.source))
                .detail(format!("now: {place}"))
                .help("add `--moved` to `ztc plugins install` where its publisher has moved, and you know it from them")),
            };
        }
        // A tree that was opened before anybody knew which of its adapters is wanted was compared with the pins of this machine only.
        let key = key.map(Key::text);
        match &locked.publisher_key {
            Some(locked_key) if terms.key.is_none() && key != Some(locked_key) => {
                Err(Failure::new(
                    Exit::Refused,
                    format!("`{name}` is signed with another key than the lock names"),
                )
                .detail(format!("locked: {locked_key}"))
                .detail(format!("now: {}", key.unwrap_or("nobody has signed it")))
                .help(format!(
                    "ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install {name}@{} --key KEY`",
                    locked.version
                )))
            }
            _ => Ok(()),
        }
    }

    /// Prepares to change what the lock says of an adapter: nothing else may be changing the lock or using it meanwhile.
    pub(crate) fn relock(
        &self,
        context: &Context,
        name: &str,
        terms: &Terms,
    ) -> Result<Relock<'_>, Failure> {
        let lock = self.lock.as_ref();
        let lock = lock.filter(|lock| lock.plugins.contains_key(name) && self.is_open(name));
        let guard = match (lock, terms.mode) {
            (Some(lock), Mode::Install) => {
                refuse_during_a_run(context, std::iter::once(lock.environment.as_str()))?;
                let guard = RenderLock::take(&self.repository, Duration::ZERO)?;
                workspace::repair_locked(&self.repository, &guard)?;
                Some(guard)
            }
            _ => None,
        };
        Ok(Relock {
            project: self,
            guard,
            moved: terms.moved,
        })
    }

    /// Remembers the repository as one whose lock needs what is installed.
    pub(crate) fn remember(&self, context: &Context, mode: Mode) {
        let nothing = LockedPlugins::new();
        let plugins = self.lock.as_ref().map_or(&nothing, |lock| &lock.plugins);
        if mode == Mode::Install {
            projects::remember(&context.machine, &self.repository, plugins);
        }
    }
}

/// The right to change what the lock says of one adapter, where it says anything.
pub(crate) struct Relock<'a> {
    project: &'a Project,
    guard: Option<RenderLock>,
    moved: Moved,
}

impl Relock<'_> {
    /// Makes the lock name what was installed, unless platform.yaml asks for something else.
    pub(crate) fn take(self, context: &Context, mut done: Done) -> Result<Done, Failure> {
        let repository = &self.project.repository;
        let (Some(_guard), Some(mut lock)) = (&self.guard, Lock::load(repository)?) else {
            return Ok(done);
        };
        let store = Store::new(&context.machine);
        let installed = store.installed();
        let record = installed
            .iter()
            .find(|record| (&record.name, &record.version) == (&done.name, &done.version));
        let (Some(record), Some(old)) = (record, lock.plugins.get(&done.name)) else {
            return Ok(done);
        };
        let asked = self.project.asked(&done.name);
        let new = locked::entry(record, repository.root(), asked);
        if let Some(failure) = locked::contradiction(&done.name, &new, asked, repository.root()) {
            let (name, version) = (&done.name, &done.version);
            let asks = failure.message.rsplit(", and ").next().unwrap_or_default();
            done.warnings.push(format!(
                "the lock goes on with `{name}` {}: {asks}; change {} and run `ztc plugins install {name}@{version}` where you want this one",
                old.version,
                self.project.place_of(name, match asks.contains(".source`") {
                    true => "/source",
                    false => "/version",
                }),
            ));
            return Ok(done);
        }
        // That the publisher has signed again meanwhile is nothing new; that the tree began anew is.
        let index_serial = match self.moved {
            Moved::Refuse => old.index_serial,
            Moved::Allow => new.index_serial,
        };
        let same = LockedPlugin {
            index_serial,
            unrendered: old.unrendered,
            ..new.clone()
        };
        if same == *old {
            return Ok(done);
        }
        done.lock_serial_was = Some(old.index_serial).filter(|old| *old > new.index_serial);
        done.lock_was = Some(old.version.clone());
        let new = LockedPlugin {
            unrendered: old.unrendered || new.is_another(old),
            ..new
        };
        lock.plugins.insert(done.name.clone(), new);
        lock.format = lock::FORMAT;
        lock.timestamp = now();
        atomic::public(&repository.lock(), &lock.text())?;
        projects::remember(&context.machine, repository, &lock.plugins);
        Ok(done)
    }
}

/// Returns the range of versions that platform.yaml gives.
pub(crate) fn range_of(plugin: &Plugin) -> Option<VersionReq> {
    plugin
        .version
        .as_deref()
        .and_then(|range| range.parse().ok())
}

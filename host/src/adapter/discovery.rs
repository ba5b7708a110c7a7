//! Which adapters there are and which one a name means. Looks at directories, starts nothing.
//!
//! The strongest place wins: a path in `platform.yaml`, what the lock names, what is installed, the user's plugin directory, PATH, this program
//! itself. But an adapter of this program is replaced only where `plugins` of `platform.yaml` names it with a path, a source or a version.

mod explain;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use semver::{Version, VersionReq};
use ztc_protocol::ADAPTER_ARGUMENT;

use crate::adapter::grant::Granted;
use crate::adapter::sandbox::Sandbox;
use crate::adapter::{Candidate, Source, builtin};
use crate::error::{Exit, Failure, did_you_mean, listed};
use crate::lock::Lock;
use crate::lock::plugins::{LockedPlugin, LockedPlugins};
use crate::paths::{Confinement, Machine, Repository, Running};
use crate::platform::Plugin;
use crate::plugins::locked;
use crate::plugins::name::PREFIX;
use crate::plugins::source;
use crate::plugins::store::{Record, Store};
use crate::shell::word;
pub(crate) use explain::Contender;
use places::{Files, Place, Standing};

/// Finds adapters.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// What `platform.yaml` says of adapters, by name.
    asked: BTreeMap<String, Plugin>,
    /// What the lock says of them.
    locked: LockedPlugins,
    /// The variables that adapters may see, by their names, from `platform.yaml`.
    granted: BTreeMap<String, Vec<String>>,
    store: Store,
    /// What is installed, the newest version of a name first.
    records: Vec<Record>,
    /// The user's plugin directory.
    plugins: PathBuf,
    /// The directories of PATH.
    path: Vec<PathBuf>,
    /// What lies in these directories, once somebody has looked.
    files: Arc<OnceLock<Files>>,
    /// The repository.
    repository: PathBuf,
    /// How adapters run.
    running: Running,
}

impl Discovery {
    /// Says where to look. `plugins` is that of `platform.yaml`; see [`Discovery::with_lock`].
    pub fn new(
        machine: &Machine,
        repository: &Repository,
        plugins: &BTreeMap<String, Plugin>,
    ) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = once_each(std::env::split_paths(&path));
        let granted = plugins
            .iter()
            .map(|(name, plugin)| (name.clone(), plugin.environment.clone()))
            .collect();
        let store = Store::new(machine);
        Self {
            asked: plugins.clone(),
            locked: LockedPlugins::new(),
            granted,
            records: store.installed(),
            store,
            plugins: machine.plugins.clone(),
            path,
            files: Arc::default(),
            repository: repository.root().to_owned(),
            running: machine.running.clone(),
        }
    }

    /// Keeps to what a lock names.
    #[must_use]
    pub fn with_lock(mut self, lock: Option<&Lock>) -> Self {
        self.locked = lock.map(|lock| lock.plugins.clone()).unwrap_or_default();
        self
    }

    /// Returns the variables that an adapter may see of those that it declares: all where it is part of ztc, else what `platform.yaml` grants.
    pub(crate) fn granted(&self, candidate: &Candidate) -> Granted<'_> {
        match candidate.source {
            Source::BuiltIn => Granted::Everything,
            _ => Granted::These(self.granted.get(&candidate.name).map_or(&[], Vec::as_slice)),
        }
    }

    /// Grants nothing beyond what every program may see: enough for an adapter to say who it is.
    pub(crate) fn granting_nothing(mut self) -> Self {
        self.granted.clear();
        self
    }

    /// Takes the very file that is named, whatever the operator's environment would rather have.
    pub(crate) fn without_overrides(mut self) -> Self {
        self.running.attached.clear();
        self.running.dev.clear();
        self
    }

    /// Returns the adapters that run already, with their sockets.
    pub(crate) fn attached(&self) -> &BTreeMap<String, PathBuf> {
        &self.running.attached
    }

    /// Returns the adapters of which their authors have a build of their own.
    pub(crate) fn builds(&self) -> impl Iterator<Item = &String> {
        self.running.dev.keys()
    }

    /// Returns where what is said with adapters is written.
    pub(crate) fn record(&self) -> Option<&Path> {
        self.running.record.as_deref()
    }

    /// Returns the sandbox in which they run; nothing where the operator wants none or the kernel has none.
    pub(crate) fn sandbox(&self) -> Option<Sandbox> {
        match self.running.confinement {
            Confinement::Sandbox => Sandbox::new(&self.repository),
            Confinement::Nothing => None,
        }
    }

    /// Returns what the lock says of an adapter.
    pub(crate) fn locked(&self, name: &str) -> Option<&LockedPlugin> {
        self.locked.get(name)
    }

    /// Returns what is installed: the newest version of a name first.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns the record of the bytes of a candidate, where it was installed.
    pub(crate) fn installation(&self, candidate: &Candidate) -> Option<&Record> {
        let of_it = |record: &&Record| {
            let asset = record.asset();
            record.name == candidate.name
                && asset.is_some_and(|asset| candidate.sha256.as_ref() == Some(&asset.sha256))
        };
        let is_installed = candidate.source == Source::Installed;
        self.records.iter().filter(|_| is_installed).find(of_it)
    }

    /// Returns the source that the adapter of a name was installed from, where it was.
    pub(crate) fn source_of(&self, name: &str) -> Option<String> {
        let candidate = self.find(name).ok()?;
        self.installation(&candidate)
            .map(|record| record.source.clone())
    }

    /// Returns all names that mean something, or that somebody asks for.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let running = self.running.attached.keys().chain(self.running.dev.keys());
        let asked = self.asked.iter().filter(|(_, plugin)| is_asked(plugin));
        let locked = self
            .locked
            .iter()
            .filter(|(_, plugin)| plugin.is_installed());
        running
            .chain(asked.map(|(name, _)| name))
            .chain(locked.map(|(name, _)| name))
            .map(String::as_str)
            .chain(builtin::ALL.iter().map(|adapter| adapter.name))
            .chain(self.records.iter().map(|record| record.name.as_str()))
            .chain(self.files().names())
            .map(str::to_owned)
            .collect()
    }

    /// Returns the adapter that each name means, by name. A name whose adapter is missing is left out.
    pub fn all(&self) -> Vec<Candidate> {
        let names = self.names();
        let found = names.iter().filter_map(|name| {
            // That there is no such file is said when it is started.
            let explicit = || Some(self.places(name).into_iter().next()?.candidate);
            let is_explicit = self.explicit(name).is_some();
            self.find(name)
                .ok()
                .or_else(|| explicit().filter(|_| is_explicit))
        });
        found.collect()
    }

    /// Returns the adapter that a name means.
    pub fn find(&self, name: &str) -> Result<Candidate, Failure> {
        if let Some((_, failure)) = self.obstacle(name) {
            return Err(failure);
        }
        let found = self.places(name).into_iter().find(Place::fits);
        found
            .map(|place| place.candidate)
            .ok_or_else(|| self.unknown(name))
    }

    /// Says why nothing runs under a name, although weaker places may have something; and which place it is.
    fn obstacle(&self, name: &str) -> Option<(Standing, Failure)> {
        if self.running.attached.contains_key(name) || self.running.dev.contains_key(name) {
            return None;
        }
        if let Some(path) = self.explicit(name) {
            let failure = check_explicit(name, &path).err()?;
            return Some((Standing::Explicit, failure));
        }
        if let Some(plugin) = self.pin(name) {
            let failure = self.pinned(name, plugin).err()?;
            return Some((Standing::Locked, failure));
        }
        let asked = self.asked.get(name)?.source.is_some();
        let is_there = || self.places(name).iter().any(Place::is_installed);
        (asked && !is_there()).then(|| (Standing::Installed, not_installed(name)))
    }

    /// Whether something else may run under a name than what is part of ztc.
    fn may_replace(&self, name: &str) -> bool {
        builtin::find(name).is_none() || self.asked.get(name).is_some_and(is_asked)
    }

    fn explicit(&self, name: &str) -> Option<PathBuf> {
        let path = self.asked.get(name)?.path.as_ref()?;
        Some(self.repository.join(path))
    }

    /// Returns what the lock pins a name to.
    fn pin(&self, name: &str) -> Option<&LockedPlugin> {
        let plugin = self.locked.get(name)?;
        (plugin.is_installed() && self.may_replace(name)).then_some(plugin)
    }

    /// Returns the very bytes that the lock names.
    fn pinned(&self, name: &str, plugin: &LockedPlugin) -> Result<Candidate, Failure> {
        let asked = self.asked.get(name);
        if let Some(failure) = locked::contradiction(name, plugin, asked, &self.repository) {
            return Err(failure);
        }
        let executable = locked::executable(name, plugin)?;
        let path = self
            .store
            .bytes_of(&executable.sha256, &executable.path)
            .ok_or_else(|| {
                let version = &plugin.version;
                Failure::new(
                    Exit::Missing,
                    format!("adapter `{name}` {version}, which the lock names, is not installed"),
                )
                .help("run `ztc plugins install`")
            })?;
        Ok(Candidate {
            sha256: Some(executable.sha256.clone()),
            ..program(name, Source::Installed, path)
        })
    }

    /// Says why an installed version cannot be what a name means.
    fn unfit(&self, record: &Record) -> Option<String> {
        if let Some(why) = self.out_of_range(&record.name, &record.version) {
            return Some(why);
        }
        let source = self.asked.get(&record.name)?.source.as_deref()?;
        let parsed = source::Source::parse(source, &self.repository).ok()?;
        (parsed.name() != record.source).then(|| {
            format!(
                "it is from {}, and platform.yaml asks for {source}",
                record.source
            )
        })
    }

    fn out_of_range(&self, name: &str, version: &Version) -> Option<String> {
        let range = self.asked.get(name)?.version.as_deref()?;
        let parsed: VersionReq = range.parse().ok()?;
        (!parsed.matches(version)).then(|| format!("platform.yaml asks for {range}"))
    }

    fn files(&self) -> &Files {
        self.files
            .get_or_init(|| Files::find(&self.plugins, &self.path))
    }

    fn unknown(&self, name: &str) -> Failure {
        let all = self.names();
        let names = || all.iter().map(String::as_str);
        let failure =
            Failure::new(Exit::Missing, format!("there is no adapter `{name}`")).detail(format!(
                "known are {}",
                listed(names())
                    .replace(", or ", ", and ")
                    .replace(" or ", " and ")
            ));
        match did_you_mean(name, names()) {
            Some(help) => failure.help(help),
            None => failure
                .detail(format!(
                    "`{PREFIX}{name}` is neither in `{}` nor on PATH, and platform.yaml has no `plugins.{name}.path`",
                    self.plugins.display()
                ))
                .help(format!(
                    "look for it with `ztc plugins search {0}`, or install it with `ztc plugins install {0} --source SOURCE`",
                        word(name)
                )),
        }
    }
}

/// Whether `platform.yaml` says which adapter it means, and not only what one may see.
fn is_asked(plugin: &Plugin) -> bool {
    plugin.path.is_some() || plugin.source.is_some() || plugin.version.is_some()
}

/// Returns directories without those that are there already under another name; a name with `..` in it is the one without.
fn once_each(directories: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let (mut known, mut found) = (BTreeSet::new(), Vec::new());
    for directory in directories.filter_map(|directory| std::path::absolute(directory).ok()) {
        let Ok(real) = std::fs::canonicalize(&directory) else {
            continue;
        };
        let has_detours = directory
            .components()
            .any(|part| part == Component::ParentDir);
        if known.insert(real.clone()) {
            found.push(if has_detours { real } else { directory });
        }
    }
    found
}

fn check_explicit(name: &str, path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let message = format!(
        "there is no file `{}`, which `plugins.{name}.path` names",
        path.display()
    );
    Err(Failure::new(Exit::Missing, message)
        .help("correct the path in platform.yaml; it is relative to that file"))
}

fn not_installed(name: &str) -> Failure {
    Failure::new(
        Exit::Missing,
        format!("adapter `{name}`, which `plugins.{name}` asks for, is not installed"),
    )
    .help("run `ztc plugins install`")
}

fn program(name: &str, source: Source, program: PathBuf) -> Candidate {
    Candidate {
        name: name.to_owned(),
        source,
        program,
        arguments: vec![ADAPTER_ARGUMENT.to_owned()],
        sha256: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(root: &Path) -> Discovery {
        let plugin = Plugin {
            path: Some("tools/mine".into()),
            ..Plugin::default()
        };
        Discovery {
            path: vec![root.join("bin"), root.join("bin2")],
            ..Discovery::new(
                &Machine {
                    plugins: root.join("plugins"),
                    cache: root.into(),
                    config: root.into(),
                    running: Running::default(),
                },
                &Repository::at(root),
                &[("mine".to_owned(), plugin)].into(),
            )
        }
    }

    fn touch(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn the_strongest_place_wins() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        touch(
            root,
            &[
                "tools/mine",
                "bin/ztc-adapter-mine",
                "bin/ztc-adapter-talos",
                "bin/ztc-adapter-first",
                "bin/ztc-adapter-first.minisig",
                "bin/other",
                "bin2/ztc-adapter-first",
                "bin2/ztc-adapter-bgp",
                "plugins/ztc-adapter-bgp-1.9.0",
                "plugins/ztc-adapter-bgp-1.10.0",
                "plugins/ztc-adapter-bgp-1.10.0-rc.1",
            ],
        );
        let found: Vec<String> = discovery(root)
            .all()
            .into_iter()
            .map(|candidate| {
                let place = candidate
                    .program
                    .strip_prefix(root)
                    .unwrap_or(Path::new("ztc"))
                    .display()
                    .to_string();
                format!("{} {} {place}", candidate.name, candidate.source.word())
            })
            .collect();
        assert_eq!(
            found,
            [
                "bgp plugin-directory plugins/ztc-adapter-bgp-1.10.0",
                "cilium built-in ztc",
                "first PATH bin/ztc-adapter-first",
                "hetzner built-in ztc",
                "mine path tools/mine",
                "talos built-in ztc",
            ]
        );
    }

    #[test]
    fn an_unknown_name_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let discovery = discovery(directory.path());
        let failure = discovery.find("talso").unwrap_err();
        assert_eq!(
            (
                failure.exit,
                failure.message.as_str(),
                failure.details,
                failure.help.as_deref()
            ),
            (
                Exit::Missing,
                "there is no adapter `talso`",
                vec!["known are `cilium`, `hetzner`, `mine`, and `talos`".to_owned()],
                Some("did you mean `talos`?")
            )
        );
        let failure = discovery.find("mine").unwrap_err();
        let file = directory.path().join("tools/mine");
        assert_eq!(
            failure.message,
            format!(
                "there is no file `{}`, which `plugins.mine.path` names",
                file.display()
            )
        );
    }
}

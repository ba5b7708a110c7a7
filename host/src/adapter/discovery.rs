//! Which adapters there are and which one a name means. Looks at directories, starts nothing.
//!
//! The strongest place wins: a path in `platform.yaml`, this program itself, what is installed, the user's plugin directory, PATH. An
//! installed adapter that `platform.yaml` asks for by its name comes before one of this program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use ztc_protocol::ADAPTER_ARGUMENT;

use crate::adapter::grant::Granted;
use crate::adapter::sandbox::Sandbox;
use crate::adapter::{Candidate, Source, builtin};
use crate::error::{Exit, Failure, did_you_mean, listed};
use crate::paths::{Confinement, Machine, Repository, Running};
use crate::platform::Plugin;
use crate::plugins::store::Store;

/// What the file name of every adapter starts with.
pub const PREFIX: &str = "ztc-adapter-";

/// Finds adapters.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Names with paths, from `platform.yaml`.
    explicit: BTreeMap<String, PathBuf>,
    /// The variables that adapters may see, by their names, from `platform.yaml`.
    granted: BTreeMap<String, Vec<String>>,
    /// The newest installed version of each name that `platform.yaml` allows.
    installed: BTreeMap<String, Candidate>,
    /// The user's plugin directory.
    plugins: PathBuf,
    /// The names of which `platform.yaml` says where they are installed from.
    asked: BTreeSet<String>,
    /// The directories of PATH.
    path: Vec<PathBuf>,
    /// The repository.
    repository: PathBuf,
    /// How adapters run.
    running: Running,
}

impl Discovery {
    /// Says where to look. `plugins` is that of `platform.yaml`.
    pub fn new(
        machine: &Machine,
        repository: &Repository,
        plugins: &BTreeMap<String, Plugin>,
    ) -> Self {
        let explicit = plugins
            .iter()
            .filter_map(|(name, plugin)| {
                Some((name.clone(), repository.root().join(plugin.path.as_ref()?)))
            })
            .collect();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path)
            .filter_map(|directory| std::path::absolute(directory).ok());
        let granted = plugins
            .iter()
            .map(|(name, plugin)| (name.clone(), plugin.environment.clone()))
            .collect();
        let asked = plugins
            .iter()
            .filter(|(_, plugin)| plugin.source.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        Self {
            explicit,
            granted,
            installed: installed(&Store::new(machine), plugins),
            asked,
            plugins: machine.plugins.clone(),
            path: path.collect(),
            repository: repository.root().to_owned(),
            running: machine.running.clone(),
        }
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

    /// Returns the adapters that run already, with their sockets.
    pub(crate) fn attached(&self) -> &BTreeMap<String, PathBuf> {
        &self.running.attached
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

    /// Returns the adapter that each name means, by name.
    pub fn all(&self) -> Vec<Candidate> {
        let mut found = BTreeMap::new();
        let attached = self
            .running
            .attached
            .iter()
            .map(|(name, path)| attached(name, path));
        let explicit = self
            .explicit
            .iter()
            .map(|(name, path)| program(name, Source::Explicit, path.clone()));
        let built_in = builtin::ALL.iter().map(|adapter| built_in(adapter.name));
        let path = self.path.iter().flat_map(|directory| on_path(directory));
        let asked = self
            .asked
            .iter()
            .filter_map(|name| self.installed.get(name));
        for candidate in attached
            .chain(explicit)
            .chain(asked.cloned())
            .chain(built_in)
            .chain(self.installed.values().cloned())
            .chain(newest(&self.plugins))
            .chain(path)
        {
            found.entry(candidate.name.clone()).or_insert(candidate);
        }
        found.into_values().collect()
    }

    /// Returns the adapter that a name means.
    pub fn find(&self, name: &str) -> Result<Candidate, Failure> {
        if let Some(path) = self.running.attached.get(name) {
            return Ok(attached(name, path));
        }
        if let Some(path) = self.explicit.get(name) {
            return self
                .check_explicit(name, path)
                .map(|()| program(name, Source::Explicit, path.clone()));
        }
        if self.asked.contains(name) && !self.installed.contains_key(name) {
            return Err(Failure::new(
                Exit::Missing,
                format!("adapter `{name}`, which `plugins.{name}` asks for, is not installed"),
            )
            .help("run `ztc plugins install`"));
        }
        let all = self.all();
        all.iter()
            .find(|candidate| candidate.name == name)
            .cloned()
            .ok_or_else(|| self.unknown(name, &all))
    }

    fn check_explicit(&self, name: &str, path: &Path) -> Result<(), Failure> {
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

    fn unknown(&self, name: &str, all: &[Candidate]) -> Failure {
        let names = || all.iter().map(|candidate| candidate.name.as_str());
        let failure =
            Failure::new(Exit::Missing, format!("there is no adapter `{name}`")).detail(format!(
                "known are {}",
                listed(names())
                    .replace(", or ", ", and ")
                    .replace(" or ", " and ")
            ));
        match did_you_mean(name, names()) {
            Some(help) => failure.help(help),
            None => failure.help(format!(
                "put `{PREFIX}{name}` into `{}` or on PATH, or set `plugins.{name}.path` in platform.yaml",
                self.plugins.display()
            )),
        }
    }
}

/// Returns the newest installed version of each name in the range that `platform.yaml` gives, from the source that it gives.
fn installed(store: &Store, plugins: &BTreeMap<String, Plugin>) -> BTreeMap<String, Candidate> {
    let mut found = BTreeMap::new();
    for record in store.installed() {
        let range = plugins
            .get(&record.name)
            .and_then(|plugin| plugin.version.as_deref()?.parse::<VersionReq>().ok());
        if range.is_some_and(|range| !range.matches(&record.version)) {
            continue;
        }
        let (Some(asset), Some(path)) = (record.asset(), store.program(&record)) else {
            continue;
        };
        let candidate = Candidate {
            sha256: Some(asset.sha256.clone()),
            ..program(&record.name, Source::Installed, path)
        };
        found.entry(record.name.clone()).or_insert(candidate);
    }
    found
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

fn attached(name: &str, socket: &Path) -> Candidate {
    Candidate {
        name: name.to_owned(),
        source: Source::Attached,
        program: socket.to_owned(),
        arguments: Vec::new(),
        sha256: None,
    }
}

fn built_in(name: &str) -> Candidate {
    Candidate {
        name: name.to_owned(),
        source: Source::BuiltIn,
        program: builtin::program(),
        arguments: builtin::arguments(name),
        sha256: None,
    }
}

/// Returns the newest file of each name in the plugin directory; one without a version counts as the newest.
fn newest(directory: &Path) -> Vec<Candidate> {
    let mut best: BTreeMap<String, (Option<Version>, PathBuf)> = BTreeMap::new();
    for (file, path) in adapters_in(directory) {
        let (name, version) = split_version(&file);
        let newer = best
            .get(name)
            .is_none_or(|(known, _)| match (known, &version) {
                (Some(known), Some(version)) => version > known,
                (known, _) => known.is_some(),
            });
        if newer {
            best.insert(name.to_owned(), (version, path));
        }
    }
    best.into_iter()
        .map(|(name, (_, path))| program(&name, Source::PluginDirectory, path))
        .collect()
}

fn on_path(directory: &Path) -> Vec<Candidate> {
    adapters_in(directory)
        .into_iter()
        .map(|(name, path)| program(&name, Source::Path, path))
        .collect()
}

/// Returns what follows the prefix in the name of each adapter's file, and the file, in order.
fn adapters_in(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let adapter = name.strip_prefix(PREFIX)?;
            // What lies beside an adapter (a README, a signature) has a suffix that is not part of a version.
            let plain = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            };
            let (bare, _) = split_version(adapter);
            (!bare.is_empty() && plain(bare)).then(|| (adapter.to_owned(), directory.join(&name)))
        })
        .collect();
    found.sort();
    found
}

/// Splits `bgp-check-1.2.0` into its name and its version.
pub(crate) fn split_version(file: &str) -> (&str, Option<Version>) {
    let splits = file
        .match_indices('-')
        .map(|(at, _)| (&file[..at], &file[at + 1..]));
    let found = splits
        .filter_map(|(name, rest)| Some((name, Version::parse(rest).ok()?)))
        .next();
    found.map_or((file, None), |(name, version)| (name, Some(version)))
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

    #[test]
    fn versions_are_told_from_names() {
        for (file, name, version) in [
            ("bgp", "bgp", None),
            ("bgp-check-1.2.0", "bgp-check", Some("1.2.0")),
            ("k8s-2", "k8s-2", None),
            ("a-1.0.0-rc.1", "a", Some("1.0.0-rc.1")),
        ] {
            let (found, found_version) = split_version(file);
            assert_eq!(
                (
                    found,
                    found_version.map(|version| version.to_string()).as_deref()
                ),
                (name, version)
            );
        }
    }
}

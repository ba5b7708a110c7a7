//! Every place where an adapter of a name may be, the strongest first.

use std::path::{Path, PathBuf};

use semver::Version;

use crate::adapter::discovery::{Discovery, program};
use crate::adapter::{Candidate, Source, builtin};
use crate::plugins::name::{PREFIX, split_version};

/// How strong a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// `ZTC_ATTACH` names it.
    Attached,
    /// `ZTC_PLUGIN_DEV` names it.
    Dev,
    /// `platform.yaml` names its path.
    Explicit,
    /// Part of ztc, and `platform.yaml` does not name another.
    Kept,
    /// The lock names it.
    Locked,
    /// It is installed.
    Installed,
    /// It lies in the plugin directory.
    PluginDirectory,
    /// It lies on PATH.
    Path,
    /// Part of ztc, and `platform.yaml` would rather have another.
    Replaced,
}

/// An adapter in its place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) standing: Standing,
    pub(super) candidate: Candidate,
    /// Where it is known without asking the adapter.
    pub(super) version: Option<String>,
    /// Why it cannot be what its name means, whatever there is beside it.
    pub(super) unfit: Option<String>,
}

impl Place {
    fn new(standing: Standing, candidate: Candidate) -> Self {
        Self {
            standing,
            candidate,
            version: None,
            unfit: None,
        }
    }

    pub(super) fn fits(&self) -> bool {
        self.unfit.is_none()
    }

    /// Whether it is installed and can be used.
    pub(super) fn is_installed(&self) -> bool {
        self.standing == Standing::Installed && self.fits()
    }
}

/// What lies in directories.
#[derive(Debug)]
pub(super) struct Files {
    /// The plugin directory: name, version and file, the newest version of a name first.
    plugins: Vec<(String, Option<Version>, PathBuf)>,
    /// PATH: name and file.
    path: Vec<(String, PathBuf)>,
}

impl Files {
    /// Looks.
    pub(super) fn find(plugins: &Path, path: &[PathBuf]) -> Self {
        let mut files: Vec<_> = adapters_in(plugins)
            .into_iter()
            .map(|(file, path)| {
                let (name, version) = split_version(&file);
                (name.to_owned(), version, path)
            })
            .collect();
        // One without a version counts as the newest.
        files.sort_by(|(a, one, _), (b, other, _)| {
            let newest = |version: &Option<Version>| (version.is_none(), version.clone());
            a.cmp(b).then(newest(other).cmp(&newest(one)))
        });
        Self {
            plugins: files,
            path: path.iter().flat_map(|path| adapters_in(path)).collect(),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let plugins = self.plugins.iter().map(|(name, ..)| name.as_str());
        plugins.chain(self.path.iter().map(|(name, _)| name.as_str()))
    }
}

impl Discovery {
    /// Returns every place that has an adapter of a name, the strongest first.
    pub(super) fn places(&self, name: &str) -> Vec<Place> {
        let mut all = Vec::new();
        if let Some(socket) = self.running.attached.get(name) {
            let mut candidate = program(name, Source::Attached, socket.clone());
            candidate.arguments.clear();
            all.push(Place::new(Standing::Attached, candidate));
        }
        if let Some(path) = self.running.dev.get(name) {
            let candidate = program(name, Source::Dev, path.clone());
            all.push(Place::new(Standing::Dev, candidate));
        }
        if let Some(path) = self.explicit(name) {
            let candidate = program(name, Source::Explicit, path);
            all.push(Place::new(Standing::Explicit, candidate));
        }
        let own = builtin::find(name).map(|_| built_in(name));
        let (kept, replaced) = match self.may_replace(name) {
            true => (None, own),
            false => (own, None),
        };
        all.extend(kept.map(|candidate| Place::new(Standing::Kept, candidate)));
        let pinned = self.pin(name).and_then(|plugin| {
            let candidate = self.pinned(name, plugin).ok()?;
            Some(Place {
                version: Some(plugin.version.clone()),
                ..Place::new(Standing::Locked, candidate)
            })
        });
        let locked = pinned.as_ref().map(|place| place.candidate.clone());
        all.extend(pinned);
        all.extend(
            self.installed(name)
                .into_iter()
                .filter(|place| Some(&place.candidate) != locked.as_ref()),
        );
        let (plugins, path) = (&self.files().plugins, &self.files().path);
        all.extend(
            plugins
                .iter()
                .filter(|(of, ..)| of == name)
                .map(|(_, version, path)| Place {
                    version: version.as_ref().map(Version::to_string),
                    ..Place::new(
                        Standing::PluginDirectory,
                        program(name, Source::PluginDirectory, path.clone()),
                    )
                }),
        );
        all.extend(path.iter().filter(|(of, _)| of == name).map(|(_, path)| {
            Place::new(Standing::Path, program(name, Source::Path, path.clone()))
        }));
        all.extend(replaced.map(|candidate| Place::new(Standing::Replaced, candidate)));
        all
    }

    /// Returns the installed versions of a name, the newest first.
    fn installed(&self, name: &str) -> Vec<Place> {
        let records = self.records.iter().filter(|record| record.name == name);
        records
            .filter_map(|record| {
                let path = self.store.program(record)?;
                let candidate = Candidate {
                    sha256: Some(record.asset()?.sha256.clone()),
                    ..program(name, Source::Installed, path)
                };
                Some(Place {
                    version: Some(record.version.to_string()),
                    unfit: self.unfit(record),
                    ..Place::new(Standing::Installed, candidate)
                })
            })
            .collect()
    }
}

fn built_in(name: &str) -> Candidate {
    Candidate {
        arguments: builtin::arguments(name),
        ..program(name, Source::BuiltIn, builtin::program())
    }
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

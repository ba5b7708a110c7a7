//! A repository against its lock: configuration, adapters, artifacts and pipeline. Every difference is named, with what to do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adapter::{Adapter, Source, dev};
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure, Finding, Location};
use crate::lock::compare::{Difference, compare, scan};
use crate::lock::plugins::LockedPlugin;
use crate::lock::{self, Lock, LockedAdapter, LockedFile, LockedTable};
use crate::paths::Repository;
use crate::pipeline::file::Pipeline;
use crate::platform::input_files::{self, InputFiles};
use crate::platform::{Platform, canonical_json};
use crate::render::output::GENERATED;
use crate::yaml;

const OLDER: &str = "what was rendered is older than its inputs";
const RENDER: &str = "run `ztc render`, and read what changes with `git diff`";

const UNSET: &str = "run `unset ZTC_PLUGIN_DEV`, then `ztc render`; to go on with that build, name it with `path` under `plugins` in platform.yaml";

/// How many differences are listed.
const LISTED: usize = 50;

/// What there is now.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) platform_hash: String,
    pub(crate) adapters: BTreeMap<String, FoundAdapter>,
    pub(crate) artifacts: BTreeMap<String, LockedFile>,
    /// The text of the pipeline; nothing where there is none.
    pub(crate) pipeline: Option<String>,
}

/// An adapter as it is now.
#[derive(Debug, Default)]
pub(crate) struct FoundAdapter {
    pub(crate) adapter: String,
    pub(crate) config_hash: String,
    pub(crate) adapter_version: String,
    /// How it was found.
    pub(crate) source: Option<Source>,
    pub(crate) digest: Option<String>,
    /// The digests of the files that the section names.
    pub(crate) files: BTreeMap<String, String>,
    /// The table of versions that it works with.
    pub(crate) versions: Option<LockedTable>,
}

impl Found {
    /// Looks.
    pub(crate) fn read(
        repository: &Repository,
        lock: &Lock,
        platform: &Platform,
        adapters: &BTreeMap<String, Arc<Adapter>>,
        files: &BTreeMap<String, InputFiles>,
    ) -> Result<Self, Failure> {
        let pipeline = repository.pipeline(&lock.environment);
        let mut found = Self {
            platform_hash: platform.digest(),
            artifacts: scan(&repository.generated())?,
            pipeline: match std::fs::read_to_string(&pipeline) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    return Err(Failure::io("read", repository.display(&pipeline), &error));
                }
            },
            ..Self::default()
        };
        for section in &platform.sections {
            let Some(adapter) = adapters.get(&section.name) else {
                continue;
            };
            let config = canonical_json(&serde_json::Value::Object(section.config.clone()));
            let adapter = FoundAdapter {
                adapter: section.adapter.clone(),
                config_hash: sha256_hex(config.as_bytes()),
                adapter_version: adapter.manifest.version.clone(),
                source: Some(adapter.candidate.source),
                digest: adapter.digest()?,
                versions: adapter.versions.as_ref().map(|used| used.table.clone()),
                files: files
                    .get(&section.name)
                    .map(input_files::digests)
                    .unwrap_or_default(),
            };
            found.adapters.insert(section.name.clone(), adapter);
        }
        Ok(found)
    }

    /// Fails with everything that differs.
    pub(crate) fn refuse(&self, lock: &Lock) -> Result<(), Failure> {
        let inputs = self.inputs(lock);
        let files = self.files(lock);
        if inputs.is_empty() && files.is_empty() {
            return Ok(());
        }
        let what = if files.is_empty() {
            OLDER
        } else {
            "files differ from the lock"
        };
        let help = match (inputs.is_empty(), files.is_empty()) {
            (true, _) => {
                "put the files back with `ztc render` or `git checkout -- platform bootstrap/pipeline`; generated files are changed \
                 through platform.yaml"
            }
            (false, true) => RENDER,
            (false, false) => "run `ztc render`: it makes all files again from platform.yaml",
        };
        let is_dev = |now: &FoundAdapter| now.source == Some(Source::Dev);
        let help = match self.adapters.values().any(is_dev) {
            // Until then every render is one that is never locked.
            true => UNSET,
            false => help,
        };
        let all: Vec<String> = inputs.into_iter().chain(files).collect();
        let mut failure = Failure::new(Exit::Differences, what).help(help);
        let hidden = all.len().saturating_sub(LISTED);
        failure.details = all.into_iter().take(LISTED).collect();
        Err(if hidden > 0 {
            failure.detail(format!("and {hidden} more"))
        } else {
            failure
        })
    }

    /// Returns what differs in what was rendered from.
    fn inputs(&self, lock: &Lock) -> Vec<String> {
        let mut differences = Vec::new();
        for (section, now) in &self.adapters {
            match lock.adapters.get(section) {
                None => {
                    differences.push(format!("`adapters.{section}` was added to platform.yaml"));
                }
                Some(then) => {
                    let plugin = lock.plugins.get(&now.adapter);
                    differences.extend(adapter(section, then, plugin, now));
                }
            }
            let then = lock.versions.get(&now.adapter);
            differences.extend(
                then.zip(now.versions.as_ref())
                    .and_then(|(then, now)| table(section, then, now)),
            );
        }
        let gone = lock
            .adapters
            .keys()
            .filter(|section| !self.adapters.contains_key(*section));
        differences.extend(
            gone.map(|section| format!("`adapters.{section}` was removed from platform.yaml")),
        );
        if differences.is_empty() && self.platform_hash != lock.platform_hash {
            differences.push("platform.yaml was changed outside of `adapters`".to_owned());
        }
        differences
    }

    /// Returns what differs in what was rendered.
    fn files(&self, lock: &Lock) -> Vec<String> {
        let mut differences: Vec<String> = compare(&lock.artifacts, &self.artifacts)
            .iter()
            .map(|difference| below(GENERATED, difference))
            .collect();
        if lock::artifacts_hash(&lock.artifacts) != lock.artifacts_hash {
            differences.push(
                "edited: platform/lock.json (`artifacts_hash` does not fit `artifacts`)".to_owned(),
            );
        }
        match &self.pipeline {
            None => differences.push(format!("removed: {}", lock.pipeline.path)),
            Some(text) if sha256_hex(text.as_bytes()) != lock.pipeline.sha256 => {
                differences.push(format!("changed: {}", lock.pipeline.path));
            }
            Some(_) => {}
        }
        differences
    }

    /// Returns what is worth knowing and no difference.
    pub(crate) fn warnings(&self, lock: &Lock) -> Vec<Finding> {
        let mut warnings = Vec::new();
        let version = env!("CARGO_PKG_VERSION");
        if lock.ztc_version != version {
            let message = format!(
                "rendered by ztc {}, and this is {version}",
                lock.ztc_version
            );
            warnings.push(
                Finding::warning(message)
                    .help("`ztc render --check` shows whether it makes a difference"),
            );
        }
        for (section, now) in &self.adapters {
            let plugin = lock.plugins.get(&now.adapter);
            let known = plugin.is_some_and(|plugin| plugin.here().is_some());
            let message = match plugin {
                Some(_) if now.digest.is_some() && !known => format!(
                    "the lock does not know the executable of adapter `{section}` for {}",
                    lock::machine()
                ),
                // What is never locked is refused by another sentence.
                None if !is_never_locked(now.source) => {
                    format!("the lock does not name the adapter `{}`", now.adapter)
                }
                _ => continue,
            };
            warnings.push(Finding::warning(message).help("`ztc render` records it"));
        }
        warnings
    }

    /// Reads the pipeline.
    pub(crate) fn pipeline(&self) -> Result<Pipeline, Failure> {
        let text = self.pipeline.as_deref().unwrap_or_default();
        yaml::parse(text).map_err(|error| {
            Failure::invalid("the pipeline cannot be read")
                .at(Location::file("bootstrap/pipeline"))
                .detail(error)
                .help("run `ztc render`")
        })
    }
}

fn is_never_locked(source: Option<Source>) -> bool {
    matches!(source, Some(Source::Dev | Source::Attached))
}

fn adapter(
    section: &str,
    then: &LockedAdapter,
    plugin: Option<&LockedPlugin>,
    now: &FoundAdapter,
) -> Vec<String> {
    if then.adapter != now.adapter {
        return vec![format!(
            "`adapters.{section}` is now adapter `{}`, it was `{}`",
            now.adapter, then.adapter
        )];
    }
    let mut differences = Vec::new();
    if then.config_hash != now.config_hash {
        differences.push(format!("`adapters.{section}` was changed in platform.yaml"));
    }
    let changed = now.files.iter().filter(|(path, sha256)| {
        let known = then.files.get(*path);
        known.is_some_and(|known| known != *sha256)
    });
    differences.extend(
        changed.map(|(path, _)| format!("changed: {path}, which `adapters.{section}` names")),
    );
    if now.source == Some(Source::Dev) {
        differences.push(format!(
            "adapter `{section}` is its author's build (`{}`), which is never locked",
            dev::VARIABLE
        ));
    } else if then.source == Source::Dev.word() {
        differences.push(format!(
            "`adapters.{section}` was rendered by an author's build (`{}`), which is never locked",
            dev::VARIABLE
        ));
    } else if then.adapter_version != now.adapter_version {
        differences.push(format!(
            "adapter `{section}` is now {}, it was {}",
            now.adapter_version, then.adapter_version
        ));
    } else if plugin.is_some_and(|plugin| plugin.unrendered) {
        differences.push(format!(
            "adapter `{section}` {} was locked anew since it rendered, with other bytes",
            now.adapter_version
        ));
    } else if let (Some(known), Some(digest)) = (plugin.and_then(LockedPlugin::here), &now.digest)
        && known.sha256 != *digest
    {
        differences.push(other_executable(
            section,
            &now.adapter_version,
            (digest, &known.sha256),
        ));
    }
    differences
}

/// Says that a file is not the one that rendered.
pub(crate) fn other_executable(section: &str, version: &str, (now, then): (&str, &str)) -> String {
    format!(
        "adapter `{section}` {version} is another executable than the one that rendered: {now}, it was {then}"
    )
}

/// What was rendered is older than what is there now.
pub(crate) fn older_than_inputs(differences: Vec<String>) -> Failure {
    Failure {
        details: differences,
        ..Failure::new(Exit::Differences, OLDER).help(RENDER)
    }
}

/// Another table of versions can be another render, also of the same adapter.
fn table(section: &str, then: &LockedTable, now: &LockedTable) -> Option<String> {
    let word = |table: &LockedTable| format!("table {} ({})", table.serial, table.source);
    (then.sha256 != now.sha256).then(|| {
        format!(
            "adapter `{section}` works with other versions: {}, it was {}",
            word(now),
            word(then)
        )
    })
}

fn below(directory: &str, difference: &Difference) -> String {
    let full = |path: &String| format!("{directory}/{path}");
    match difference {
        Difference::Added(path) => Difference::Added(full(path)),
        Difference::Changed(path) => Difference::Changed(full(path)),
        Difference::Mode(path, locked, found) => {
            Difference::Mode(full(path), locked.clone(), found.clone())
        }
        Difference::Removed(path) => Difference::Removed(full(path)),
        Difference::Renamed(from, to) => Difference::Renamed(full(from), full(to)),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::LockedPipeline;
    use crate::lock::plugins::LockedExecutable;

    fn lock() -> Lock {
        let file = |text: &str| LockedFile {
            sha256: sha256_hex(text.as_bytes()),
            mode: "0644".into(),
        };
        let artifacts = BTreeMap::from([("a".to_owned(), file("a")), ("b".to_owned(), file("b"))]);
        let adapter = LockedAdapter {
            adapter: "talos".into(),
            adapter_version: "0.1.0".into(),
            config_hash: "c".into(),
            ..LockedAdapter::default()
        };
        let executable = LockedExecutable {
            sha256: "e".into(),
            ..LockedExecutable::default()
        };
        let plugin = LockedPlugin {
            version: "0.1.0".into(),
            platforms: BTreeMap::from([(lock::machine(), executable)]),
            ..LockedPlugin::default()
        };
        Lock {
            plugins: BTreeMap::from([("talos".to_owned(), plugin)]),
            ztc_version: env!("CARGO_PKG_VERSION").into(),
            platform_hash: "p".into(),
            artifacts_hash: lock::artifacts_hash(&artifacts),
            artifacts,
            pipeline: LockedPipeline {
                path: "bootstrap/pipeline/x.yaml".into(),
                sha256: sha256_hex(b"stages"),
            },
            adapters: BTreeMap::from([("talos".to_owned(), adapter)]),
            ..Lock::default()
        }
    }

    fn found() -> Found {
        let adapter = FoundAdapter {
            adapter: "talos".into(),
            config_hash: "c".into(),
            adapter_version: "0.1.0".into(),
            source: Some(Source::Path),
            digest: Some("e".into()),
            ..FoundAdapter::default()
        };
        Found {
            platform_hash: "p".into(),
            adapters: BTreeMap::from([("talos".to_owned(), adapter)]),
            artifacts: lock().artifacts,
            pipeline: Some("stages".into()),
        }
    }

    #[track_caller]
    fn differs(lock: &Lock, found: &Found, message: &str, details: &[&str]) {
        let failure = found.refuse(lock).unwrap_err();
        assert_eq!(failure.exit, Exit::Differences);
        assert_eq!(
            (
                failure.message.as_str(),
                failure.details.iter().map(String::as_str).collect()
            ),
            (message, details.to_vec())
        );
    }

    #[test]
    fn what_is_the_same_passes() {
        assert!(found().refuse(&lock()).is_ok());
        assert!(found().warnings(&lock()).is_empty());
    }

    #[test]
    fn inputs_that_changed_are_named() {
        let older = "what was rendered is older than its inputs";
        let mut now = found();
        now.platform_hash = "q".into();
        differs(
            &lock(),
            &now,
            older,
            &["platform.yaml was changed outside of `adapters`"],
        );
        now.adapters.get_mut("talos").unwrap().config_hash = "d".into();
        now.adapters.get_mut("talos").unwrap().digest = Some("f".into());
        now.adapters
            .insert("cilium".into(), FoundAdapter::default());
        differs(
            &lock(),
            &now,
            older,
            &[
                "`adapters.cilium` was added to platform.yaml",
                "`adapters.talos` was changed in platform.yaml",
                "adapter `talos` 0.1.0 is another executable than the one that rendered: f, it was e",
            ],
        );
        now.adapters = BTreeMap::new();
        differs(
            &lock(),
            &now,
            older,
            &["`adapters.talos` was removed from platform.yaml"],
        );
        now.adapters.insert(
            "talos".into(),
            FoundAdapter {
                adapter: "k3s".into(),
                ..FoundAdapter::default()
            },
        );
        differs(
            &lock(),
            &now,
            older,
            &["`adapters.talos` is now adapter `k3s`, it was `talos`"],
        );
    }

    #[test]
    fn another_table_of_versions_is_named() {
        let table = |serial: u64, sha256: &str, source: &str| LockedTable {
            serial,
            sha256: sha256.into(),
            source: source.into(),
            ..LockedTable::default()
        };
        let mut lock = lock();
        let mut now = found();
        now.adapters.get_mut("talos").unwrap().versions = Some(table(3, "x", "embedded"));
        // A lock of an older ztc knows none.
        assert!(now.refuse(&lock).is_ok());
        lock.versions = BTreeMap::from([("talos".to_owned(), table(2, "y", "https://there"))]);
        differs(
            &lock,
            &now,
            "what was rendered is older than its inputs",
            &[
                "adapter `talos` works with other versions: table 3 (embedded), it was table 2 (https://there)",
            ],
        );
        lock.versions = BTreeMap::from([("talos".to_owned(), table(3, "x", "https://there"))]);
        assert!(now.refuse(&lock).is_ok());
    }

    #[test]
    fn what_an_author_builds_is_never_what_was_rendered() {
        let older = "what was rendered is older than its inputs";
        let mut now = found();
        now.adapters.get_mut("talos").unwrap().source = Some(Source::Dev);
        differs(
            &lock(),
            &now,
            older,
            &["adapter `talos` is its author's build (`ZTC_PLUGIN_DEV`), which is never locked"],
        );
        let mut rendered = lock();
        rendered.adapters.get_mut("talos").unwrap().source = "dev".into();
        differs(
            &rendered,
            &found(),
            older,
            &[
                "`adapters.talos` was rendered by an author's build (`ZTC_PLUGIN_DEV`), which is never locked",
            ],
        );
    }

    #[test]
    fn files_that_changed_are_named() {
        let mut now = found();
        let moved = now.artifacts.remove("b").unwrap();
        now.artifacts.insert("c".into(), moved);
        now.pipeline = None;
        differs(
            &lock(),
            &now,
            "files differ from the lock",
            &[
                "renamed: platform/generated/b to platform/generated/c",
                "removed: bootstrap/pipeline/x.yaml",
            ],
        );
        let mut edited = lock();
        edited.artifacts.remove("b");
        let mut now = found();
        now.artifacts.remove("b");
        now.pipeline = Some("other".into());
        differs(
            &edited,
            &now,
            "files differ from the lock",
            &[
                "edited: platform/lock.json (`artifacts_hash` does not fit `artifacts`)",
                "changed: bootstrap/pipeline/x.yaml",
            ],
        );
    }

    #[test]
    fn another_machine_and_another_release_are_warnings() {
        let mut other = lock();
        other.ztc_version = "0.0.1".into();
        let plugin = other.plugins.get_mut("talos").unwrap();
        let executable = plugin.platforms.remove(&lock::machine()).unwrap();
        plugin.platforms.insert("plan9-mips".into(), executable);
        assert!(found().refuse(&other).is_ok());
        assert_eq!(
            found()
                .warnings(&other)
                .into_iter()
                .map(|warning| warning.message)
                .collect::<Vec<_>>(),
            [
                format!(
                    "rendered by ztc 0.0.1, and this is {}",
                    env!("CARGO_PKG_VERSION")
                ),
                format!(
                    "the lock does not know the executable of adapter `talos` for {}",
                    lock::machine()
                ),
            ]
        );
    }
}

//! From the adapters' answers to everything that a render writes: artifacts, pipeline and lock, in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use ztc_protocol::{Manifest, PROTOCOL, sha256_hex};

use crate::error::{Failure, Finding};
use crate::lock::plugins::{LockedPlugin, LockedPlugins};
use crate::lock::{self, Lock, LockedAdapter, LockedFile, LockedPipeline, LockedTable};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::pipeline::file::{AdapterStages, Pipeline, compose};
use crate::platform::{Platform, Section, canonical_json};
use crate::render::artifacts::{Collection, Owner};
use crate::render::bundles::Bundles;
use crate::render::engine::Answer;
use crate::render::output::{GENERATED, LOCK, Output, Tree};
use crate::resolve::Resolution;
use crate::secrets::stored;
use crate::yaml;

/// Everything that a render makes.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// All files, pipeline and lock included.
    pub(crate) tree: Tree,
    /// The section that each artifact comes from.
    pub(crate) owners: BTreeMap<String, String>,
    pub(crate) pipeline: Pipeline,
    pub(crate) lock: Lock,
    pub(crate) warnings: Vec<Finding>,
    /// Secret bundles that have to be made before anything can run.
    pub(crate) unmade: Vec<String>,
}

/// What the lock says about an adapter beside its answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) manifest: Manifest,
    /// Where it puts large content.
    pub(crate) scratch: std::path::PathBuf,
    /// How it was found.
    pub(crate) source: String,
    /// What the lock says of it; nothing where no lock may name it.
    pub(crate) plugin: Option<LockedPlugin>,
    /// The digests of the files that the section names.
    pub(crate) files: BTreeMap<String, String>,
    /// The table of versions that it worked with.
    pub(crate) versions: Option<LockedTable>,
}

/// What to assemble from.
pub(crate) struct Assembly<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) platform: &'a Platform,
    pub(crate) resolution: &'a Resolution,
    /// By section.
    pub(crate) origins: &'a BTreeMap<String, Origin>,
    pub(crate) bundles: &'a Bundles,
    pub(crate) mask: &'a Mask,
    /// The lock as it is.
    pub(crate) old: Option<&'a Lock>,
    /// The adapters that any environment names; nothing where that is not known.
    pub(crate) named: Option<&'a BTreeSet<String>>,
}

impl Assembly<'_> {
    /// Assembles. `answers` are by section.
    pub(crate) fn assemble(
        &self,
        mut answers: BTreeMap<String, Answer>,
    ) -> Result<Rendered, Failure> {
        let mut collection = Collection::new(&self.bundles.loaded);
        let mut stages = Vec::new();
        for section in self.resolution.waves.iter().flatten() {
            let (origin, answer) = (&self.origins[section], &answers[section]);
            if let Some(written) = self
                .platform
                .sections
                .iter()
                .find(|one| one.name == *section)
            {
                let asked = stored::asked(self.repository, written, origin.files.keys());
                collection.asked.insert(section.clone(), asked);
            }
            collection.take(
                &Owner {
                    section,
                    manifest: &origin.manifest,
                    scratch: &origin.scratch,
                },
                answer,
            )?;
            self.refuse_values(section, answer)?;
            stages.push(contribution(section, origin, answer));
        }
        collection.finish()?;
        let mut pipeline = compose(&stages)?;
        pipeline.mode.clone_from(&self.platform.environment);
        let mut warnings: Vec<Finding> = self.bundles.warnings.clone();
        for finding in answers
            .values_mut()
            .flat_map(|answer| std::mem::take(&mut answer.warnings))
        {
            if !warnings.contains(&finding) {
                warnings.push(finding);
            }
        }
        let Collection {
            mut tree, owners, ..
        } = collection;
        let artifacts = locked(&tree);
        let path = self.pipeline_path();
        let text = Output::text(pipeline_text(&pipeline)?);
        let lock = self.lock(
            artifacts,
            LockedPipeline {
                path: path.clone(),
                sha256: sha256_hex(&text.content),
            },
            &answers,
        );
        tree.insert(path, text);
        tree.insert(LOCK.to_owned(), self.lock_file(&lock));
        self.refuse_leaks(&tree, &owners)?;
        Ok(Rendered {
            tree,
            owners,
            pipeline,
            lock,
            warnings,
            unmade: self.bundles.unmade.clone(),
        })
    }

    fn pipeline_path(&self) -> String {
        self.repository
            .display(&self.repository.pipeline(&self.platform.environment))
    }

    /// Makes the lock; where it says the same as the one that is there, it keeps that one's time.
    fn lock(
        &self,
        artifacts: BTreeMap<String, LockedFile>,
        pipeline: LockedPipeline,
        answers: &BTreeMap<String, Answer>,
    ) -> Lock {
        let mut lock = Lock {
            format: lock::FORMAT,
            ztc_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL.to_string(),
            environment: self.platform.environment.clone(),
            timestamp: now(),
            platform_hash: self.platform.digest(),
            artifacts_hash: lock::artifacts_hash(&artifacts),
            artifacts,
            pipeline,
            adapters: self
                .platform
                .sections
                .iter()
                .map(|section| {
                    (
                        section.name.clone(),
                        self.adapter(section, &answers[&section.name]),
                    )
                })
                .collect(),
            plugins: self.plugins(),
            versions: self
                .origins
                .values()
                .filter_map(|origin| Some((origin.manifest.name.clone(), origin.versions.clone()?)))
                .collect(),
            secrets: self.bundles.fingerprints.clone(),
            assets: BTreeMap::new(),
        };
        if let Some(old) = self.old.filter(|old| old.same_content(&lock)) {
            lock.timestamp.clone_from(&old.timestamp);
        }
        lock
    }

    fn adapter(&self, section: &Section, answer: &Answer) -> LockedAdapter {
        let origin = &self.origins[&section.name];
        LockedAdapter {
            version: technology(section, &origin.manifest),
            adapter: section.adapter.clone(),
            adapter_version: origin.manifest.version.clone(),
            source: origin.source.clone(),
            config_hash: config_hash(section),
            files: origin.files.clone(),
            facts: answer.facts.clone(),
        }
    }

    /// Returns what the lock says of adapters. What is installed and any environment names stays locked, whichever is rendered.
    fn plugins(&self) -> LockedPlugins {
        let old = self.old.into_iter().flat_map(|old| &old.plugins);
        let is_named = |name: &String| self.named.is_none_or(|named| named.contains(name));
        let named = old.filter(|(name, plugin)| plugin.is_installed() && is_named(name));
        let kept = named.map(|(name, plugin)| (name.clone(), plugin.clone()));
        let sections = self.platform.sections.iter();
        let used = sections.filter_map(|section| {
            let plugin = self.origins[&section.name].plugin.clone()?;
            Some((section.adapter.clone(), plugin))
        });
        kept.chain(used).collect()
    }

    /// Returns the file of the lock; one that says the same keeps its bytes.
    fn lock_file(&self, lock: &Lock) -> Output {
        let kept = self
            .old
            .filter(|old| *old == lock)
            .and_then(|_| std::fs::read_to_string(self.repository.lock()).ok());
        Output::text(kept.unwrap_or_else(|| lock.text()))
    }

    /// Refuses a secret in what an adapter answered, before the form of a file can hide it.
    fn refuse_values(&self, section: &str, answer: &Answer) -> Result<(), Failure> {
        let contexts = answer.scripts.iter().map(|script| {
            (
                "the context of a script",
                Value::Object(script.context_data.clone()),
            )
        });
        let variables = answer
            .result
            .env_vars
            .values()
            .map(|value| ("a variable", Value::String(value.clone())));
        let facts = answer.facts.values().map(|value| ("a fact", value.clone()));
        let stages = serde_json::to_value(&answer.result.stages)
            .ok()
            .map(|stages| ("a stage", stages));
        for (place, value) in contexts.chain(variables).chain(facts).chain(stages) {
            if let Some(secret) = leaked(self.mask, &value) {
                return Err(leak(section, place, &secret));
            }
        }
        Ok(())
    }

    /// Refuses a secret in what is about to be written.
    fn refuse_leaks(&self, tree: &Tree, owners: &BTreeMap<String, String>) -> Result<(), Failure> {
        for (path, output) in tree {
            if let Some(secret) = self.mask.leak(&output.content) {
                let owner = owners.get(path).map_or("ztc", String::as_str);
                return Err(leak(owner, &format!("`{path}`"), &secret));
            }
        }
        Ok(())
    }
}

fn leak(section: &str, place: &str, secret: &str) -> Failure {
    Failure::failed(format!(
        "adapter `{section}` put the value of a secret into {place}"
    ))
    .detail(format!("the secret: {secret}"))
    .detail("nothing was written")
    .help(
        "this is a bug of the adapter: artifacts hold placeholders, never values; tell its author",
    )
}

fn leaked(mask: &Mask, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => mask.leak(text.as_bytes()),
        Value::Array(items) => items.iter().find_map(|item| leaked(mask, item)),
        Value::Object(object) => object
            .iter()
            .find_map(|(key, item)| mask.leak(key.as_bytes()).or_else(|| leaked(mask, item))),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn contribution(section: &str, origin: &Origin, answer: &Answer) -> AdapterStages {
    AdapterStages {
        section: section.to_owned(),
        manifest: origin.manifest.clone(),
        stages: answer.result.stages.clone(),
        scripts: answer.scripts.clone(),
        env_vars: answer.result.env_vars.clone(),
    }
}

/// Returns the digest of a section.
pub(crate) fn config_hash(section: &Section) -> String {
    sha256_hex(canonical_json(&Value::Object(section.config.clone())).as_bytes())
}

/// Returns the version of the technology that a section chose.
fn technology(section: &Section, manifest: &Manifest) -> String {
    section
        .config
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or(&manifest.default_version)
        .to_owned()
}

fn locked(tree: &Tree) -> BTreeMap<String, LockedFile> {
    let prefix = format!("{GENERATED}/");
    tree.iter()
        .filter_map(|(path, output)| {
            Some((path.strip_prefix(&prefix)?.to_owned(), output.locked()))
        })
        .collect()
}

fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .map_or_else(|_| String::new(), |now| now.to_string())
}

fn pipeline_text(pipeline: &Pipeline) -> Result<String, Failure> {
    let text = yaml::write(pipeline)
        .map_err(|error| Failure::failed("failed to write the pipeline").detail(error))?;
    Ok(format!(
        "# The stages of the bootstrap, in an order in which they could run one by one.\n\
         # Written by `ztc render`; do not edit: `ztc validate` and `ztc bootstrap` compare it with platform/lock.json.\n{text}"
    ))
}

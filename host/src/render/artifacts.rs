//! From what an adapter answered to files: where each goes, what is in it, and that it holds nothing it may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ztc_protocol::Manifest;
use ztc_protocol::message::Artifact;
use ztc_protocol::sha256_hex;
use ztc_protocol::stage::{Script, Stage};

use crate::error::{Failure, listed};
use crate::render::contract::bug;
use crate::render::engine::Answer;
use crate::render::names::{self, Names};
use crate::render::output::{GENERATED, Output, Tree};
use crate::secrets::bundle::{self, Bundle};
use crate::secrets::stored;

/// The directory below `platform/generated` that belongs to the host.
const DEBUG: &str = "debug";
/// Where scripts and their contexts go, below `platform/generated`.
const SCRIPTS: &str = "debug/scripts";
const README: &str = include_str!("scripts-readme.md");

/// The files of all adapters, as far as they are collected.
pub(crate) struct Collection<'a> {
    names: Names,
    bundles: &'a BTreeMap<String, Bundle>,
    /// By section, the names of stored secrets that the operator wrote there.
    pub(crate) asked: BTreeMap<String, BTreeSet<String>>,
    /// All files by path relative to the repository.
    pub(crate) tree: Tree,
    /// The section that each comes from.
    pub(crate) owners: BTreeMap<String, String>,
}

/// An adapter whose files are collected.
pub(crate) struct Owner<'a> {
    pub(crate) section: &'a str,
    pub(crate) manifest: &'a Manifest,
    /// Where it puts large content.
    pub(crate) scratch: &'a Path,
}

impl<'a> Collection<'a> {
    /// Begins with nothing. `bundles` are those that exist.
    pub(crate) fn new(bundles: &'a BTreeMap<String, Bundle>) -> Self {
        Self {
            names: Names::default(),
            bundles,
            asked: BTreeMap::new(),
            tree: Tree::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Takes everything that an adapter rendered.
    pub(crate) fn take(&mut self, owner: &Owner<'_>, answer: &Answer) -> Result<(), Failure> {
        let directory = directory(owner)?;
        for artifact in &answer.result.artifacts {
            if let Some(why) = names::refuse(&artifact.path) {
                return Err(bug(
                    owner.section,
                    format!(
                        "rendered an artifact with the path `{}`: {why}",
                        artifact.path
                    ),
                ));
            }
            let output = Output {
                content: content(owner, artifact)?,
                executable: artifact.executable,
            };
            self.placeholders(owner, artifact, &output.content)?;
            self.add(
                owner.section,
                &format!("{directory}/{}", artifact.path),
                output,
            )?;
        }
        for script in &answer.scripts {
            self.script(owner.section, script)?;
        }
        self.referenced(owner.section, &answer.result.stages, &answer.scripts)
    }

    /// Adds what explains the scripts, where there are any.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let prefix = format!("{GENERATED}/{SCRIPTS}/");
        if self.tree.keys().any(|path| path.starts_with(&prefix)) {
            self.add("ztc", &format!("{SCRIPTS}/README.md"), Output::text(README))?;
        }
        Ok(())
    }

    fn add(&mut self, section: &str, path: &str, output: Output) -> Result<(), Failure> {
        self.names.take(section, path)?;
        let path = format!("{GENERATED}/{path}");
        self.owners.insert(path.clone(), section.to_owned());
        self.tree.insert(path, output);
        Ok(())
    }

    fn script(&mut self, section: &str, script: &Script) -> Result<(), Failure> {
        let path = format!("{SCRIPTS}/{section}/{}", script.name);
        if !script.context_data.is_empty() {
            let mut text = serde_json::to_string_pretty(&script.context_data)
                .expect("a JSON object can be written");
            text.push('\n');
            self.add(section, &format!("{path}.context.json"), Output::text(text))?;
        }
        self.add(
            section,
            &path,
            Output {
                content: script.content.clone().into_bytes(),
                executable: true,
            },
        )
    }

    /// Checks that placeholders belong to the adapter's own bundles and, where those exist, that there is a value for each.
    fn placeholders(
        &self,
        owner: &Owner<'_>,
        artifact: &Artifact,
        content: &[u8],
    ) -> Result<(), Failure> {
        let Ok(text) = std::str::from_utf8(content) else {
            return Ok(());
        };
        let mut referenced = bundle::referenced(text);
        let asked = self.asked.get(owner.section);
        if asked.is_some_and(|asked| stored::names(text).is_subset(asked)) {
            referenced.remove(stored::STORE);
        }
        let own = || {
            owner
                .manifest
                .bundles
                .iter()
                .map(|bundle| bundle.name.as_str())
        };
        if let Some(foreign) = referenced
            .iter()
            .find(|name| !own().any(|own| own == *name))
        {
            return Err(bug(
                owner.section,
                format!(
                    "put a placeholder of the secret bundle `{foreign}` into `{}`",
                    artifact.path
                ),
            )
            .detail(format!("the bundles that it declares: {}", listed(own()))));
        }
        if !referenced.is_empty()
            && stored::names(text).is_empty()
            && referenced
                .iter()
                .all(|name| self.bundles.contains_key(name))
        {
            bundle::fill(text, self.bundles).map_err(|failure| {
                failure.detail(format!(
                    "in the artifact `{}` of adapter `{}`",
                    artifact.path, owner.section
                ))
            })?;
        }
        Ok(())
    }

    /// Checks that the files that stages get were rendered.
    fn referenced(
        &self,
        section: &str,
        stages: &[Stage],
        scripts: &[Script],
    ) -> Result<(), Failure> {
        let items = stages
            .iter()
            .flat_map(|stage| &stage.for_each)
            .flat_map(|each| &each.items);
        let files = scripts
            .iter()
            .map(|script| &script.files)
            .chain(items.map(|item| &item.files));
        match files
            .flat_map(BTreeMap::values)
            .find(|path| !self.tree.contains_key(&format!("{GENERATED}/{path}")))
        {
            Some(path) => Err(bug(
                section,
                format!("gives its stages the artifact `{path}`, which was not rendered"),
            )),
            None => Ok(()),
        }
    }
}

/// Returns the directory of an adapter below `platform/generated`.
fn directory(owner: &Owner<'_>) -> Result<String, Failure> {
    let manifest = owner.manifest;
    let directory = match manifest.output_dir.as_str() {
        "" => format!("{}/{}", manifest.phase, manifest.name),
        given => given.to_owned(),
    };
    let why = match directory.split('/').next() {
        Some(first) if first.eq_ignore_ascii_case(DEBUG) => {
            Some(format!("`{DEBUG}` belongs to ztc"))
        }
        _ => names::refuse(&directory),
    };
    match why {
        Some(why) => Err(bug(
            owner.section,
            format!("wants its artifacts in `{directory}`: {why}"),
        )),
        None => Ok(directory),
    }
}

/// Returns what is in an artifact.
fn content(owner: &Owner<'_>, artifact: &Artifact) -> Result<Vec<u8>, Failure> {
    let Artifact {
        path,
        content,
        content_file,
        sha256,
        ..
    } = artifact;
    let content = match content_file {
        None => content.clone().into_bytes(),
        Some(_) if !content.is_empty() => {
            return Err(bug(
                owner.section,
                format!("sent the artifact `{path}` twice: in the answer and in a file"),
            ));
        }
        Some(_) if sha256.is_none() => {
            return Err(bug(
                owner.section,
                format!("sent the artifact `{path}` in a file without a digest"),
            ));
        }
        Some(file) => {
            let place = inside(owner.scratch, file).ok_or_else(|| {
                bug(owner.section, format!("sent the artifact `{path}` in `{file}`, which is not a file in its scratch directory"))
            })?;
            fs::read(&place).map_err(|error| Failure::io("read", &place, &error))?
        }
    };
    match sha256 {
        Some(said) if *said != sha256_hex(&content) => Err(bug(
            owner.section,
            format!("sent the artifact `{path}` with a digest that is not its own"),
        )
        .detail(format!("said: {said}"))
        .detail(format!("is:   {}", sha256_hex(&content)))),
        _ => Ok(content),
    }
}

/// Returns the place of an ordinary file in a directory; nothing where it is a link, or elsewhere.
fn inside(directory: &Path, file: &str) -> Option<PathBuf> {
    let place = directory.join(file);
    let is_file = fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_file());
    let real = fs::canonicalize(&place).ok()?;
    (is_file && real.starts_with(fs::canonicalize(directory).ok()?)).then_some(real)
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;

//! What every task is made from: the locked artifacts that the pipeline names, read and compared with the lock.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::digest::sha256_hex;
use crate::error::{Exit, Failure};
use crate::lock::Lock;
use crate::paths::Repository;
use crate::pipeline::context;
use crate::pipeline::file::{Kind, Pipeline, StageEntry};
use crate::pipeline::fingerprint::Fingerprint;
use crate::pipeline::gates::{self, Action};
use crate::pipeline::tasks::{Task, Tasks};
use crate::platform::canonical_json;
use crate::secrets::bundle::{self, Bundle};
use crate::secrets::stored;

/// Reads artifacts, each only where it is what the lock says.
#[derive(Clone, Copy)]
pub struct Artifacts<'a> {
    repository: &'a Repository,
    lock: &'a Lock,
}

impl<'a> Artifacts<'a> {
    /// Reads nothing yet.
    pub fn new(repository: &'a Repository, lock: &'a Lock) -> Self {
        Self { repository, lock }
    }

    /// Reads an artifact, given by its path below `platform/generated/`.
    pub fn read(&self, artifact: &str) -> Result<Vec<u8>, Failure> {
        let path = self.repository.generated().join(artifact);
        let refused = |what: &str| {
            Failure::new(
                Exit::Refused,
                format!("`{}` {what}", self.repository.display(&path)),
            )
            .help("see what changed with `ztc validate`, or make it again with `ztc render`")
        };
        let locked = self
            .lock
            .artifacts
            .get(artifact)
            .ok_or_else(|| refused("is not in the lock"))?;
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::io("read", self.repository.display(&path), &error))?;
        match sha256_hex(&bytes) == locked.sha256 {
            true => Ok(bytes),
            false => Err(refused("is not what the lock says")),
        }
    }

    /// Reads the script of a stage.
    pub fn script(&self, entry: &StageEntry) -> Result<Vec<u8>, Failure> {
        self.read(&script_path(entry)?)
    }
}

/// The artifact that holds a stage's script.
pub fn script_path(entry: &StageEntry) -> Result<String, Failure> {
    let (section, name) = entry.script.split_once("://").ok_or_else(|| {
        Failure::invalid(format!(
            "stage `{}` names no script: `{}`",
            entry.name, entry.script
        ))
    })?;
    Ok(format!("debug/scripts/{section}/{name}"))
}

/// One task's inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// What the script is told.
    pub context: Map<String, Value>,
    /// Name in the script's private directory → artifact.
    pub files: BTreeMap<String, String>,
    /// What is done.
    pub action: Action,
    /// Digests of everything.
    pub fingerprint: Fingerprint,
}

/// Reads the inputs of all tasks.
pub fn load(
    artifacts: Artifacts<'_>,
    pipeline: &Pipeline,
    tasks: &Tasks,
    bundles: &BTreeMap<String, Bundle>,
) -> Result<Vec<Inputs>, Failure> {
    let stages: Vec<StageInputs> = pipeline
        .stages
        .iter()
        .map(|entry| StageInputs::load(artifacts, pipeline, entry))
        .collect::<Result<_, _>>()?;
    let mut digests = BTreeMap::new();
    tasks
        .list
        .iter()
        .map(|task| stages[task.stage].task(artifacts, pipeline, task, bundles, &mut digests))
        .collect()
}

/// What all tasks of a stage share.
struct StageInputs {
    script: String,
    context: Map<String, Value>,
    variables: BTreeMap<String, String>,
}

impl StageInputs {
    fn load(
        artifacts: Artifacts<'_>,
        pipeline: &Pipeline,
        entry: &StageEntry,
    ) -> Result<Self, Failure> {
        let script = match entry.kind {
            Kind::Script => artifacts.script(entry)?,
            Kind::Health | Kind::Manual => Vec::new(),
        };
        let context = match &entry.context_file {
            None => Map::new(),
            Some(file) => serde_json::from_slice(
                &artifacts.read(&format!("debug/scripts/{file}"))?,
            )
            .map_err(|error| {
                Failure::invalid(format!(
                    "the context data of stage `{}` are not a JSON object",
                    entry.name
                ))
                .detail(error)
            })?,
        };
        let text = String::from_utf8_lossy(&script);
        let mentioned = pipeline
            .env
            .iter()
            .filter(|(name, _)| mentions(&text, name));
        let variables = mentioned
            .map(|(name, value)| (name.clone(), digest(value.as_bytes())))
            .collect();
        Ok(Self {
            script: match entry.kind {
                Kind::Script => sha256_hex(&script),
                Kind::Health | Kind::Manual => String::new(),
            },
            context,
            variables,
        })
    }

    fn task(
        &self,
        artifacts: Artifacts<'_>,
        pipeline: &Pipeline,
        task: &Task,
        bundles: &BTreeMap<String, Bundle>,
        digests: &mut BTreeMap<String, String>,
    ) -> Result<Inputs, Failure> {
        let entry = task.entry(pipeline);
        let item = task.item(pipeline);
        let context = context::merge(&self.context, item, &pipeline.variables());
        context::shell(&context).map_err(|why| {
            Failure::invalid(format!(
                "the context of `{}` does not fit bash: {why}",
                task.name
            ))
        })?;
        let action = gates::action(entry, &context, &pipeline.variables());
        let mut files = entry.files.clone();
        files.extend(item.map(|item| item.files.clone()).unwrap_or_default());
        let mut fingerprint = Fingerprint {
            script: self.script.clone(),
            args: if entry.args.is_empty() {
                String::new()
            } else {
                digest(entry.args.join("\0").as_bytes())
            },
            context: digests_of(&context),
            files: BTreeMap::new(),
            variables: self.variables.clone(),
        };
        if action != Action::Script {
            // Only what its texts make of the context counts.
            fingerprint.script = action.word().to_owned();
            fingerprint.context = digests_of(&action.parts());
        }
        // What the item is called does not change what is done.
        fingerprint.context.remove("item");
        for (name, artifact) in &files {
            if !digests.contains_key(artifact) {
                let digest = file_digest(&artifacts.read(artifact)?, bundles)?;
                digests.insert(artifact.clone(), digest);
            }
            fingerprint
                .files
                .insert(name.clone(), digests[artifact].clone());
        }
        Ok(Inputs {
            context,
            files,
            action,
            fingerprint,
        })
    }
}

fn digests_of(values: &Map<String, Value>) -> BTreeMap<String, String> {
    values
        .iter()
        .map(|(key, value)| (key.clone(), digest(canonical_json(value).as_bytes())))
        .collect()
}

/// The digest of a file with placeholders, and of the bundles that they refer to.
fn file_digest(bytes: &[u8], bundles: &BTreeMap<String, Bundle>) -> Result<String, Failure> {
    let mut parts = sha256_hex(bytes);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let store = bundles.get(stored::STORE);
    stored::check(text, store)?;
    for value in stored::names(text)
        .iter()
        .filter_map(|name| store?.value(name))
    {
        parts.push(' ');
        parts.push_str(&sha256_hex(value.as_bytes()));
    }
    for name in bundle::referenced(text) {
        // A renewed certificate is no reason to do anything again.
        let bundle = bundles.get(&name);
        if bundle.is_some_and(|bundle| bundle.derived) {
            continue;
        }
        parts.push(' ');
        parts.push_str(&bundle.map(Bundle::fingerprint).unwrap_or_default());
    }
    Ok(digest(parts.as_bytes()))
}

/// Half a SHA-256 is enough to tell a change.
fn digest(bytes: &[u8]) -> String {
    let mut digest = sha256_hex(bytes);
    digest.truncate(32);
    digest
}

/// Whether a text holds a name as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, _)| {
        !text[..start].ends_with(is_word) && !text[start + name.len()..].starts_with(is_word)
    })
}

//! What the attempts of a run share: repository, lock, inputs and secrets; and how an attempt is made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Failure;
use crate::lock::Lock;
use crate::mask::Mask;
use crate::paths::Repository;
use crate::pipeline::attempt::Attempt;
use crate::pipeline::file::Pipeline;
use crate::pipeline::inputs::{Artifacts, Inputs};
use crate::pipeline::output::Masker;
use crate::pipeline::tasks::Tasks;
use crate::secrets::bundle::{self, Bundle};

/// What a run works with.
pub struct Site {
    /// The repository.
    pub repository: Repository,
    /// The environment.
    pub environment: String,
    /// What is locked.
    pub lock: Lock,
    /// What runs.
    pub pipeline: Pipeline,
    /// Its tasks.
    pub tasks: Tasks,
    /// What each task is made from.
    pub inputs: Vec<Inputs>,
    /// Generated secrets.
    pub bundles: BTreeMap<String, Bundle>,
    /// Values of secrets by section and input.
    pub secrets: BTreeMap<(String, String), String>,
    /// The variables of the operator's environment that stages may see.
    pub variables: BTreeMap<String, String>,
    /// What is taken out of output.
    pub mask: Mask,
    /// How long a stage may take to end when asked to.
    pub grace: Duration,
}

impl Site {
    /// Reads everything that an attempt needs, each artifact only where it is what the lock says.
    pub(crate) fn attempt(
        &self,
        task: usize,
        number: u32,
        log: PathBuf,
    ) -> Result<Attempt, Failure> {
        let entry = self.tasks.list[task].entry(&self.pipeline);
        let artifacts = Artifacts::new(&self.repository, &self.lock);
        let script = artifacts.script(entry)?;
        let inputs = &self.inputs[task];
        let files = inputs
            .files
            .iter()
            .map(|(name, artifact)| Ok((name.clone(), self.filled(artifacts.read(artifact)?)?)));
        let name = entry
            .script
            .rsplit("://")
            .next()
            .unwrap_or(&entry.name)
            .to_owned();
        Ok(Attempt {
            task: self.tasks.list[task].name.clone(),
            number,
            script: (name, script),
            args: entry.args.clone(),
            context: inputs.context.clone(),
            files: files.collect::<Result<_, Failure>>()?,
            environment: self.environment_of(task, number),
            directory: self.repository.root().to_owned(),
            log,
            limit: Duration::from_secs(entry.timeout.into()),
            grace: self.grace,
            masker: Masker::new(self.mask.values().iter().map(String::as_str)),
        })
    }

    fn filled(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        match std::str::from_utf8(&bytes) {
            Ok(text) if text.contains(bundle::PREFIX) => {
                Ok(bundle::fill(text, &self.bundles)?.into_bytes())
            }
            _ => Ok(bytes),
        }
    }

    /// The variables of a stage: what every program sees, what the adapter declares, what all adapters agreed on, its secrets, and ztc's.
    fn environment_of(&self, task: usize, number: u32) -> BTreeMap<String, String> {
        let entry = self.tasks.list[task].entry(&self.pipeline);
        let allowed = |name: &str| {
            crate::process::ALLOWED_VARIABLES.contains(&name) || name.starts_with("LC_")
        };
        let declared = |name: &str| entry.environment.iter().any(|declared| declared == name);
        let inherited = self
            .variables
            .iter()
            .filter(|(name, _)| allowed(name) || declared(name));
        let mut variables: BTreeMap<String, String> = inherited
            .chain(&self.pipeline.env)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for secret in &entry.secrets {
            if let Some(value) = self
                .secrets
                .get(&(entry.adapter.clone(), secret.input.clone()))
            {
                variables.insert(secret.variable.clone(), value.clone());
            }
        }
        let path = |path: PathBuf| path.display().to_string();
        variables.extend(
            [
                ("TERM", "dumb".to_owned()),
                ("ZTC_REPO", path(self.repository.root().to_owned())),
                ("ZTC_ENVIRONMENT", self.environment.clone()),
                (
                    "ZTC_STATE_DIR",
                    path(self.repository.state(&self.environment)),
                ),
                (
                    "ZTC_SECRETS_DIR",
                    path(self.repository.secrets_of(&self.environment)),
                ),
                ("ZTC_STAGE", entry.name.clone()),
                ("ZTC_ATTEMPT", number.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        variables
    }
}

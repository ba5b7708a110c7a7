//! What the attempts of a run share: repository, lock, inputs and secrets; and how an attempt is made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::Failure;
use crate::lock::Lock;
use crate::mask::Mask;
use crate::paths::Repository;
use crate::pipeline::attempt::{Attempt, Ended, Stop};
use crate::pipeline::file::Pipeline;
use crate::pipeline::gates::Action;
use crate::pipeline::inputs::{Artifacts, Inputs};
use crate::pipeline::manual::{Desk, Request};
use crate::pipeline::output::Masker;
use crate::pipeline::probe::Watch;
use crate::pipeline::tasks::Tasks;
use crate::pipeline::transcript::{Lines, Paper};
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
    /// The program that starts scripts in a session of their own, `ztc` itself; without one they only get a process group.
    pub launcher: Option<PathBuf>,
    /// Who answers stages of the kind `manual`.
    pub desk: Desk,
}

/// One attempt at a task, ready to run.
pub(crate) enum Work {
    Script(Attempt),
    Health(Watch),
    Manual(Request),
}

impl Work {
    /// Runs it to its end.
    pub(crate) async fn run(self, stop: watch::Receiver<Stop>, lines: Lines) -> Ended {
        match self {
            Self::Script(attempt) => attempt.run(stop, lines).await,
            Self::Health(watch) => watch.run(stop, lines).await,
            Self::Manual(request) => request.run(stop, lines).await,
        }
    }
}

impl Site {
    /// Makes the next attempt at a task.
    pub(crate) fn work(&self, task: usize, number: u32, log: PathBuf) -> Result<Work, Failure> {
        let limit = Duration::from_secs(self.tasks.list[task].entry(&self.pipeline).timeout.into());
        let paper = Paper {
            task: self.tasks.list[task].name.clone(),
            number,
            log,
            masker: Masker::new(self.mask.values().iter().map(String::as_str)),
        };
        Ok(match &self.inputs[task].action {
            Action::Script => Work::Script(self.attempt(task, paper, limit)?),
            Action::Health(health) => Work::Health(Watch {
                environment: self.environment_of(task, number),
                paper,
                health: health.clone(),
                directory: self.repository.root().to_owned(),
                limit,
            }),
            Action::Manual(instructions) => Work::Manual(Request {
                paper,
                instructions: self.mask.apply(instructions),
                desk: self.desk.clone(),
                limit,
            }),
        })
    }

    /// Reads everything that an attempt at a script needs, each artifact only where it is what the lock says.
    fn attempt(&self, task: usize, paper: Paper, limit: Duration) -> Result<Attempt, Failure> {
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
            environment: self.environment_of(task, paper.number),
            paper,
            launcher: self.launcher.clone(),
            script: (name, script),
            args: entry.args.clone(),
            context: inputs.context.clone(),
            files: files.collect::<Result<_, Failure>>()?,
            directory: self.repository.root().to_owned(),
            limit,
            grace: self.grace,
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

//! Turns references into values, which from then on are masked everywhere.

use std::time::Duration;

use crate::error::{Exit, Failure};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::process;
use crate::secrets::Reference;

/// How long a secret command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Reads secrets.
#[derive(Clone)]
pub struct Vault {
    repository: Repository,
    mask: Mask,
}

impl Vault {
    /// Reads nothing yet.
    pub fn new(repository: &Repository, mask: &Mask) -> Self {
        Self {
            repository: repository.clone(),
            mask: mask.clone(),
        }
    }

    /// Returns the value. `what` names the secret for people, such as `hetzner.api_token`.
    pub async fn resolve(&self, what: &str, reference: &Reference) -> Result<String, Failure> {
        let value = self.read(what, reference).await?;
        if value.is_empty() {
            return Err(self.missing(what, reference, "it is empty"));
        }
        self.mask.add(what, &value);
        Ok(value)
    }

    async fn read(&self, what: &str, reference: &Reference) -> Result<String, Failure> {
        match reference {
            Reference::Env { name } => match std::env::var(name) {
                Ok(value) => Ok(value.trim().to_owned()),
                Err(_) => Err(self.missing(what, reference, "it is not set").help(format!(
                    "set it without leaving a trace in the shell's history: `read -rs {name} && export {name}`"
                ))),
            },
            Reference::File { path } => self.file(what, reference, &self.repository.root().join(path)),
            Reference::Store { name } => self.file(what, reference, &self.repository.secrets().join(name)),
            Reference::Command { command } => self.command(what, reference, command).await,
        }
    }

    fn file(
        &self,
        what: &str,
        reference: &Reference,
        path: &std::path::Path,
    ) -> Result<String, Failure> {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| self.missing(what, reference, &error.to_string()))
    }

    async fn command(
        &self,
        what: &str,
        reference: &Reference,
        command: &[String],
    ) -> Result<String, Failure> {
        let mut program = process::program(&command[0]);
        program
            .args(&command[1..])
            .current_dir(self.repository.root());
        let finished = process::run(program, COMMAND_LIMIT)
            .await
            .map_err(|error| self.missing(what, reference, &error.to_string()))?;
        if !finished.success {
            let last = finished
                .stderr
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned();
            return Err(self.missing(what, reference, &format!("{}: {last}", finished.status)));
        }
        Ok(finished.stdout.trim().to_owned())
    }

    fn missing(&self, what: &str, reference: &Reference, why: &str) -> Failure {
        Failure::new(
            Exit::Invalid,
            format!("secret `{what}` has no value: {reference}: {why}"),
        )
    }
}

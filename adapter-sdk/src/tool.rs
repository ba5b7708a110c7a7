//! Programs that `discover` starts: found on PATH, old ones refused, run without stdin and with their whole output kept.
//!
//! The manifest lists them in `discover_tools`, or the sandbox does not let them run. They end with the adapter: the host ends its whole
//! process group. No other call starts anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ztc_protocol::ErrorCode;
use ztc_protocol::manifest::Tool;

use crate::AdapterError;

/// A program that is there and new enough.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a program left that ended well.
#[derive(Clone, Debug)]
pub struct Output {
    /// What it wrote to stdout.
    pub stdout: String,
}

impl Program {
    /// Finds a program; one that is missing or too old ends the command with exit code 4 and the tool's `install_hint`.
    pub fn find(tool: &Tool, environment: &[(&str, String)]) -> Result<Self, AdapterError> {
        let missing = |why: String| {
            AdapterError::new(ErrorCode::ToolMissing, why).help(tool.install_hint.clone())
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path)
            .map(|directory| directory.join(&tool.name))
            .find(|file| is_executable(file))
            .ok_or_else(|| missing(format!("`{}` is not on PATH", tool.name)))?;
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let program = Self { path, environment };
        let arguments: Vec<&str> = tool.version_arguments.iter().map(String::as_str).collect();
        let said = program.run(&arguments)?.stdout;
        let version = first_version(&said).ok_or_else(|| {
            missing(format!(
                "`{}` does not say its version",
                program.path.display()
            ))
        })?;
        match numbers(version) < numbers(&tool.minimum_version) {
            false => Ok(program),
            true => Err(missing(format!(
                "`{}` is version {version}, but {} or newer is needed",
                program.path.display(),
                tool.minimum_version
            ))),
        }
    }

    /// Runs it; where it fails, the error has its last words.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, AdapterError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let shown = format!("{name} {}", arguments.first().copied().unwrap_or_default());
        let failed = |why: String| {
            AdapterError::new(
                ErrorCode::ExternalFailure,
                format!("`{}` failed: {why}", shown.trim()),
            )
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where an adapter starts programs, in its sandbox"
        )]
        let mut command = Command::new(&self.path);
        let ended = command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !ended.status.success() {
            let words = String::from_utf8_lossy(&ended.stderr);
            let last: Vec<&str> = words
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            let last = last[last.len().saturating_sub(3)..].join("; ");
            return Err(failed(match last.as_str() {
                "" => ended.status.to_string(),
                last => last.to_owned(),
            }));
        }
        let stdout = String::from_utf8(ended.stdout)
            .map_err(|_| failed("what it wrote is not UTF-8".into()))?;
        Ok(Output { stdout })
    }
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Returns the first thing that looks like a version: numbers with a dot between them.
fn first_version(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.'))
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .trim_start_matches('v')
        .split('.')
        .map_while(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_compared() {
        assert_eq!(first_version("v3.14.0+g1"), Some("3.14.0"));
        assert_eq!(first_version("helm"), None);
        assert!(numbers("3.8") < numbers("3.14.0") && numbers("v4.0.1") > numbers("3.8"));
    }

    #[test]
    fn what_fails_says_its_last_words() {
        let shell = Program {
            path: "/bin/sh".into(),
            environment: vec![("WORD".into(), "set".into())],
        };
        let said = shell.run(&["-c", "echo $WORD"]).unwrap().stdout;
        assert_eq!(said, "set\n");
        let error = shell.run(&["-c", "echo 1 >&2; echo no such chart >&2; exit 3"]);
        assert_eq!(
            error.unwrap_err().message,
            "`sh -c` failed: 1; no such chart"
        );
        let error = shell.run(&["-c", "exit 3"]).unwrap_err();
        assert_eq!(error.message, "`sh -c` failed: exit status: 3");
    }
}

//! Programs on the operator's machine: whether they are there and new enough.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ztc_protocol::manifest::Tool;

use crate::error::{Exit, Failure};
use crate::process;

/// How long a program may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its version, where it was asked for.
    pub version: Option<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{version} at {}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// Bash, which every script needs.
pub fn bash() -> Tool {
    Tool {
        name: "bash".into(),
        minimum_version: "4.0".into(),
        version_arguments: vec!["--version".into()],
        install_hint: "install bash 4 or newer (macOS: `brew install bash`)".into(),
    }
}

/// Adds tools to those that are needed already; of two versions the higher one counts.
pub fn merge(needed: &mut BTreeMap<String, Tool>, tools: &[Tool]) {
    for tool in tools {
        let entry = needed
            .entry(tool.name.clone())
            .or_insert_with(|| tool.clone());
        if numbers(&tool.minimum_version) > numbers(&entry.minimum_version) {
            *entry = tool.clone();
        }
    }
}

/// Looks a program up on PATH and asks for its version where a lowest one is wanted.
pub async fn find(tool: &Tool) -> Result<Found, Failure> {
    let path = which::which(&tool.name)
        .map_err(|_| missing(tool, format!("`{}` is not on PATH", tool.name)))?;
    if tool.minimum_version.is_empty() {
        return Ok(Found {
            path,
            version: None,
        });
    }
    let mut program = process::program(&path);
    program.args(&tool.version_arguments);
    let finished = process::run(program, LIMIT).await.map_err(|error| {
        missing(
            tool,
            format!("`{}` does not say its version: {error}", path.display()),
        )
    })?;
    let output = format!("{}\n{}", finished.stdout, finished.stderr);
    let version = first_version(&output).ok_or_else(|| {
        missing(
            tool,
            format!("`{}` does not say its version", path.display()),
        )
    })?;
    if numbers(version) < numbers(&tool.minimum_version) {
        return Err(missing(
            tool,
            format!(
                "`{}` is version {version}, but {} or newer is needed",
                path.display(),
                tool.minimum_version
            ),
        ));
    }
    Ok(Found {
        path,
        version: Some(version.to_owned()),
    })
}

fn missing(tool: &Tool, message: String) -> Failure {
    let failure = Failure::new(Exit::Missing, message);
    match tool.install_hint.as_str() {
        "" => failure,
        hint => failure.help(hint),
    }
}

/// Returns the first thing that looks like a version: two numbers or more with dots between them.
fn first_version(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    text.split(|c: char| !is_part(c))
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.') && word.split('.').all(|number| !number.is_empty()))
        // jq 1.6 and older print `jq-1.6`; ssh prints `OpenSSH_9.2p1`: both are split at the letters already.
        .or_else(|| {
            text.split(|c: char| !is_part(c))
                .find(|word| word.chars().any(|c| c.is_ascii_digit()))
        })
}

fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version
        .trim_start_matches('v')
        .split('.')
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, version: Option<&str>) {
        assert_eq!(first_version(output), version);
    }

    #[test]
    fn versions_are_found_in_what_programs_print() {
        check("jq-1.6\n", Some("1.6"));
        check(
            "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1",
            Some("7.88.1"),
        );
        check(
            "OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17",
            Some("9.2"),
        );
        check("Client:\n\tTalos v1.11.5\n", Some("1.11.5"));
        check("GNU bash, version 5.2.15(1)-release", Some("5.2.15"));
        check(
            "{\"clientVersion\": {\"gitVersion\": \"v1.33.4\"}}",
            Some("1.33.4"),
        );
        check("no version here", None);
    }

    #[test]
    fn the_higher_version_counts() {
        let tool = |minimum: &str| Tool {
            name: "jq".into(),
            minimum_version: minimum.into(),
            ..Tool::default()
        };
        let mut needed = BTreeMap::new();
        merge(
            &mut needed,
            &[tool("1.6"), tool("1.10"), tool("1.7"), tool("")],
        );
        assert_eq!(needed["jq"].minimum_version, "1.10");
        assert!(numbers("1.11.0") == numbers("v1.11"));
    }
}

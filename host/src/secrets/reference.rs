//! A reference to a secret, as it stands in `platform.yaml`. Pure.

use serde_json::{Value, json};

use crate::error::{did_you_mean, listed};

/// Where a secret's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In a variable of the operator's environment.
    Env {
        /// The variable.
        name: String,
    },
    /// In a file, relative to the repository; white space at its ends does not count.
    File {
        /// The path.
        path: String,
    },
    /// On the standard output of a command (a password manager, `sops -d`, `vault`).
    Command {
        /// Program and arguments; no shell.
        command: Vec<String>,
    },
    /// In `secrets/<name>`.
    Store {
        /// The file's name.
        name: String,
    },
}

const SOURCES: [&str; 4] = ["env", "file", "command", "store"];

impl Reference {
    /// Reads a reference. The error is a fragment for people and never holds the value.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let example = "write a reference such as `{from: env, name: HCLOUD_TOKEN}`";
        let Value::Object(object) = value else {
            return Err(format!(
                "a secret never stands in platform.yaml itself; {example}"
            ));
        };
        let Some(from) = object.get("from").and_then(Value::as_str) else {
            return Err(format!("a reference needs `from`; {example}"));
        };
        let text = |key: &str| match object.get(key).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(format!(
                "a reference `from: {from}` needs `{key}`; {example}"
            )),
        };
        let (reference, key) = match from {
            "env" => (
                Self::Env {
                    name: text("name")?,
                },
                "name",
            ),
            "file" => (
                Self::File {
                    path: text("path")?,
                },
                "path",
            ),
            "store" => (
                Self::Store {
                    name: file_name(text("name")?)?,
                },
                "name",
            ),
            "command" => (
                Self::Command {
                    command: command(object.get("command"))?,
                },
                "command",
            ),
            other => {
                let hint = did_you_mean(other, SOURCES)
                    .unwrap_or_else(|| format!("use {}", listed(SOURCES)));
                return Err(format!("a secret cannot come from `{other}`; {hint}"));
            }
        };
        match object
            .keys()
            .find(|known| *known != "from" && *known != key)
        {
            Some(unknown) => Err(format!(
                "unknown key `{unknown}` in a reference `from: {from}`, which has `{key}`"
            )),
            None => Ok(reference),
        }
    }

    /// Writes it as it stands in `platform.yaml`.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Env { name } => json!({ "from": "env", "name": name }),
            Self::File { path } => json!({ "from": "file", "path": path }),
            Self::Command { command } => json!({ "from": "command", "command": command }),
            Self::Store { name } => json!({ "from": "store", "name": name }),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env { name } => write!(f, "environment variable `{name}`"),
            Self::File { path } => write!(f, "file `{path}`"),
            Self::Command { command } => write!(
                f,
                "command `{}`",
                command.first().map_or("", String::as_str)
            ),
            Self::Store { name } => write!(f, "file `secrets/{name}`"),
        }
    }
}

fn file_name(name: String) -> Result<String, String> {
    match name.contains(['/', '\\']) || name == ".." {
        true => Err(format!("`{name}` is not the name of a file in `secrets/`")),
        false => Ok(name),
    }
}

fn command(value: Option<&Value>) -> Result<Vec<String>, String> {
    let words: Option<Vec<String>> = value.and_then(Value::as_array).and_then(|words| {
        words
            .iter()
            .map(|word| word.as_str().map(str::to_owned))
            .collect()
    });
    words.filter(|words| !words.is_empty()).ok_or_else(|| {
        "a reference `from: command` needs `command`, a list of program and arguments".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(value: &Value, why: &str) {
        assert_eq!(Reference::parse(value).unwrap_err(), why);
    }

    #[test]
    fn references_go_both_ways() {
        for value in [
            json!({"from": "env", "name": "HCLOUD_TOKEN"}),
            json!({"from": "file", "path": "../token"}),
            json!({"from": "command", "command": ["pass", "show", "hcloud"]}),
            json!({"from": "store", "name": "token"}),
        ] {
            assert_eq!(Reference::parse(&value).unwrap().to_value(), value);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_without_showing_it() {
        let example = "write a reference such as `{from: env, name: HCLOUD_TOKEN}`";
        refused(
            &json!("abc"),
            &format!("a secret never stands in platform.yaml itself; {example}"),
        );
        refused(&json!({}), &format!("a reference needs `from`; {example}"));
        refused(
            &json!({"from": "evn", "name": "X"}),
            "a secret cannot come from `evn`; did you mean `env`?",
        );
        refused(
            &json!({"from": "env"}),
            &format!("a reference `from: env` needs `name`; {example}"),
        );
        refused(
            &json!({"from": "env", "name": "X", "default": "y"}),
            "unknown key `default` in a reference `from: env`, which has `name`",
        );
        refused(
            &json!({"from": "store", "name": "../x"}),
            "`../x` is not the name of a file in `secrets/`",
        );
    }
}

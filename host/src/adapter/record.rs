//! Recordings of what is said with adapters: `--record FILE` writes one JSON object a line, and `ztc plugins replay` reads them. The file is
//! the operator's alone (0600), and secrets are masked in it before they are written.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ztc_protocol::Method;
use ztc_protocol::message::{CheckSecrets, GenerateSecrets};

use crate::error::Failure;
use crate::mask::{MASK, Mask};

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    /// The host, to the adapter.
    #[serde(rename = "host")]
    To,
    /// The adapter.
    #[serde(rename = "adapter")]
    From,
}

/// One line that was said: what the protocol's own transcripts have, and beside it when and with whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) from: Direction,
    /// The message; a text where the line was none.
    pub(crate) message: Value,
    /// The adapter; the protocol's transcripts hold one conversation and do not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapter: Option<String>,
    /// Milliseconds since the recording began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_ms: Option<u64>,
}

/// Writes a recording. What cannot be written is left out: a recording is no reason for a command to fail half-way.
pub(crate) struct Recorder {
    start: Instant,
    mask: Mask,
    state: Mutex<State>,
}

struct State {
    file: File,
    /// Requests without an answer whose results are secrets: adapter and id.
    secret: HashMap<(String, String), ()>,
}

/// Makes an empty recording that only this user can read.
pub(crate) fn create(path: &Path) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::io("record to", path, &error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .map_err(fail)
}

impl Recorder {
    /// Goes on with a recording that [`create`] has made.
    pub(crate) fn open(path: &Path, mask: Mask) -> Result<Self, Failure> {
        let file = OpenOptions::new().append(true).open(path);
        Ok(Self {
            start: Instant::now(),
            mask,
            state: Mutex::new(State {
                file: file.map_err(|error| Failure::io("record to", path, &error))?,
                secret: HashMap::new(),
            }),
        })
    }

    /// Writes a line that was said.
    pub(crate) fn write(&self, adapter: &str, direction: Direction, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let mut line = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (adapter.to_owned(), line["id"].to_string());
        match direction {
            Direction::To => {
                if [GenerateSecrets::NAME, CheckSecrets::NAME]
                    .map(Value::from)
                    .contains(&line["method"])
                {
                    state.secret.insert(key, ());
                }
                // What is no request has none.
                line.get_mut("params").into_iter().for_each(hide_parameters);
            }
            Direction::From if state.secret.remove(&key).is_some() => hide(&mut line["result"]),
            Direction::From => {}
        }
        self.mask_texts(&mut line);
        let entry = Entry {
            from: direction,
            message: line,
            adapter: Some(adapter.to_owned()),
            at_ms: u64::try_from(self.start.elapsed().as_millis()).ok(),
        };
        if let Ok(mut text) = serde_json::to_string(&entry) {
            text.push('\n');
            let _ = state.file.write_all(text.as_bytes());
        }
    }

    /// Takes the known values out of every text, also where JSON would write it differently.
    fn mask_texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask.apply(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_texts(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_texts(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Hides the parameters that hold secrets by their meaning, whether or not their values are known.
fn hide_parameters(params: &mut Value) {
    for name in ["secrets", "from", "content"] {
        if let Some(value) = params.get_mut(name) {
            hide(value);
        }
    }
}

/// Hides every text.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) => MASK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A recorded request and what the adapter answered, where it did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) adapter: String,
    pub(crate) method: String,
    pub(crate) params: Value,
    /// The answer: `result` or `error`.
    pub(crate) answer: Option<Value>,
}

impl Exchange {
    /// Whether something was hidden that the adapter would need to answer the same.
    pub(crate) fn is_masked(&self) -> bool {
        self.params.to_string().contains(MASK)
    }
}

/// Reads a recording.
pub(crate) fn read(path: &Path) -> Result<Vec<Exchange>, Failure> {
    let file = File::open(path).map_err(|error| Failure::io("read", path, &error))?;
    let mut entries = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| Failure::io("read", path, &error))?;
        let entry: Entry = serde_json::from_str(&line).map_err(|error| {
            let message = format!(
                "line {} of `{}` is not part of a recording: {error}",
                number + 1,
                path.display()
            );
            Failure::invalid(message).help("give a file that `ztc --record FILE` has written")
        })?;
        entries.push(entry);
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = introduced(&entries).unwrap_or_else(|| stem.into_owned());
    Ok(exchanges(entries, &name))
}

/// Returns the name with which an adapter has introduced itself.
fn introduced(entries: &[Entry]) -> Option<String> {
    let mut names = entries.iter().filter_map(|entry| {
        let name = entry.message.pointer("/result/manifest/name")?;
        name.as_str().map(str::to_owned)
    });
    names.next()
}

/// Brings requests and answers together. An adapter that was started anew begins to count anew, with `initialize`.
/// `nameless` is the adapter where a line names none.
fn exchanges(entries: Vec<Entry>, nameless: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let mut waiting: HashMap<(String, String), usize> = HashMap::new();
    for Entry {
        from: direction,
        message: line,
        adapter,
        ..
    } in entries
    {
        let adapter = adapter.unwrap_or_else(|| nameless.to_owned());
        let key = (adapter.clone(), line["id"].to_string());
        match direction {
            Direction::To if line["id"].is_u64() || line["id"].is_string() => {
                let Some(method) = line["method"].as_str() else {
                    continue;
                };
                waiting.insert(key, found.len());
                found.push(Exchange {
                    adapter,
                    method: method.to_owned(),
                    params: line["params"].clone(),
                    answer: None,
                });
            }
            Direction::To => {}
            Direction::From => {
                let answer = ["result", "error"]
                    .into_iter()
                    .find_map(|name| Some(serde_json::json!({ name: line.get(name)? })));
                if let Some(index) = waiting.remove(&key) {
                    found[index].answer = answer;
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_and_answers_find_their_requests() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.ndjson");
        create(&path).unwrap();
        let mask = Mask::default();
        mask.add("token", "two\nlines-of-a-token");
        let recorder = Recorder::open(&path, mask).unwrap();
        let say =
            |direction, line: Value| recorder.write("a", direction, line.to_string().as_bytes());
        say(
            Direction::To,
            json!({ "id": 0, "method": "discover", "params": { "secrets": { "t": "short" }, "config": "x two\nlines-of-a-token" } }),
        );
        say(
            Direction::To,
            json!({ "id": 1, "method": "generate_secrets", "params": { "bundle": "b", "from": { "c": "old" } } }),
        );
        recorder.write("a", Direction::From, b"Compiling foo\n");
        say(
            Direction::From,
            json!({ "id": 1, "result": { "content": "new" } }),
        );
        say(Direction::From, json!({ "id": 0, "error": { "code": 1 } }));
        say(Direction::To, json!({ "method": "$/cancel", "params": {} }));
        let exchange = |method: &str, params: Value, answer: Value| Exchange {
            adapter: "a".into(),
            method: method.into(),
            params,
            answer: Some(answer),
        };
        assert_eq!(
            read(&path).unwrap(),
            [
                exchange(
                    "discover",
                    json!({ "secrets": { "t": MASK }, "config": format!("x {MASK}") }),
                    json!({ "error": { "code": 1 } })
                ),
                exchange(
                    "generate_secrets",
                    json!({ "bundle": "b", "from": { "c": MASK } }),
                    json!({ "result": { "content": MASK } })
                ),
            ]
        );
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(r#"{"from":"adapter","message":"Compiling foo","adapter":"a""#),
            "{text}"
        );
    }
}

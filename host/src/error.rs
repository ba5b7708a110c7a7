//! What went wrong, in the one form in which the program says it: what, where, why, what to do next, and the exit code.
//!
//! Modules whose callers distinguish failures have enums of their own and turn them into a [`Failure`]; all others make a [`Failure`]
//! directly. Nothing here prints.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
pub use ztc_protocol::message::Severity;

/// The exit codes, documented in `ztc --help` and README.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: wrong usage or invalid input.
    Invalid,
    /// 3: differences (`render --check`, `validate`) or degraded (`status`), or not tested as a whole (`plugins test`).
    Differences,
    /// 4: a tool or an adapter is missing.
    Missing,
    /// 5: refused for safety.
    Refused,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Invalid,
        Self::Differences,
        Self::Missing,
        Self::Refused,
        Self::Interrupted,
    ];

    /// Returns the number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::Differences => 3,
            Self::Missing => 4,
            Self::Refused => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A place in a file of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file, relative to the repository where it is inside.
    pub file: String,
    /// From 1; 0: the whole file.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Location {
    /// Points at a whole file.
    pub fn file(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// One thing that is wrong with an input, or worth a warning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment without a full stop.
    pub message: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The place as an adapter says it, a JSON Pointer into what it was given, until somebody who knows that gives it a location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl Finding {
    /// Makes an error.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            location: None,
            help: None,
            pointer: None,
        }
    }

    /// Makes a warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, location: impl Into<Option<Location>>) -> Self {
        self.location = location.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A failed command.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong: a lower-case fragment without a full stop, values in backticks.
    pub message: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Further lines: causes, lists, the last lines of an output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Everything that is wrong, where it is more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What to do next; a command to type where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Failure {
    /// Makes a failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            location: None,
            details: Vec::new(),
            findings: Vec::new(),
            help: None,
        }
    }

    /// Something failed while doing what was asked.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The input is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, message)
    }

    /// A file could not be read, written, made or removed: `operation` is the verb.
    pub fn io(operation: &str, path: impl AsRef<std::path::Path>, error: &std::io::Error) -> Self {
        let shown = path.as_ref().display();
        let failure = Self::failed(format!("failed to {operation} `{shown}`")).detail(error);
        match error.kind() {
            std::io::ErrorKind::StorageFull => {
                failure.help("free some space on the device and run the same command again")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                failure.help("make the place writable for this user and run the same command again")
            }
            std::io::ErrorKind::NotFound => {
                failure.help("give a path that is there, and run the same command again")
            }
            std::io::ErrorKind::IsADirectory => {
                failure.help("give a file, and no directory, and run the same command again")
            }
            _ => failure.help(format!(
                "look at it with `ls -ld {}`, and run the same command again",
                crate::shell::word(&shown.to_string())
            )),
        }
    }

    /// Several things are wrong with the input. `message` says what was checked.
    pub fn findings(message: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self {
            findings,
            ..Self::invalid(message)
        }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, location: impl Into<Option<Location>>) -> Self {
        self.location = location.into();
        self
    }

    /// Adds a line.
    #[must_use]
    pub fn detail(mut self, line: impl fmt::Display) -> Self {
        self.details.push(line.to_string());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Returns "did you mean" for the nearest of the candidates, or nothing where none is near.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1.max(candidate.chars().count().min(word.chars().count()) / 3)
        })
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// Writes a list for people: "`a`, `b`, or `c`".
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first} or {second}"),
        [init @ .., last] => format!("{}, or {last}", init.join(", ")),
    }
}

/// Writes how many there are: "1 file", "2 files".
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(
    count: N,
    one: &str,
    several: &str,
) -> String {
    let is_one = count == N::from(1);
    format!("{count} {}", if is_one { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_like_english() {
        let files = |count: usize| counted(count, "file", "files");
        assert_eq!([0, 1, 2].map(files), ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let names = ["hetzner", "cilium", "talos"];
        assert_eq!(
            did_you_mean("hetzer", names).as_deref(),
            Some("did you mean `hetzner`?")
        );
        assert_eq!(
            did_you_mean("tlaos", names).as_deref(),
            Some("did you mean `talos`?")
        );
        assert_eq!(did_you_mean("calico", names), None);
        assert_eq!(did_you_mean("", names), None);
    }

    #[test]
    fn lists_read_like_english() {
        assert_eq!(listed([]), "nothing");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b"]), "`a` or `b`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b`, or `c`");
    }
}

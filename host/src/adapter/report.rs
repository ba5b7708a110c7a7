//! What the operator reads when an adapter cannot be started, breaks, is silent or refuses. Makes texts, starts nothing.

mod start;

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use jsonrpsee::types::ErrorObjectOwned;
use semver::Version;
use ztc_protocol::message::{Diagnostic, Initialize};
use ztc_protocol::{DESCRIBE_ARGUMENT, ErrorCode, ErrorData, Method, PROTOCOL, ProtocolVersion};

use crate::adapter::connection::{CallError, LastWord};
use crate::adapter::text::Spoken;
use crate::adapter::{Candidate, Source, limits};
use crate::error::{Exit, Failure, Finding};
use crate::foreign::printable;
use crate::plugins::powers::Power;

pub(crate) use start::cannot_start;

/// What is known about an adapter whose call failed.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) candidate: Candidate,
    /// The adapter's version; empty before the handshake.
    pub(crate) version: String,
    /// Where its author can be told.
    pub(crate) homepage: Option<String>,
    /// What was called, and for how long.
    pub(crate) method: &'static str,
    pub(crate) called: Duration,
    /// How long the process had run by then.
    pub(crate) lasted: Duration,
    /// How the process ended, where it has.
    pub(crate) status: Option<ExitStatus>,
    /// The last lines of its stderr.
    pub(crate) stderr: Vec<String>,
    /// What it wrote to stdout that is no message.
    pub(crate) offenses: Vec<String>,
    /// The beginning of the line that it has not ended.
    pub(crate) unfinished: Option<String>,
}

impl Scene {
    /// Says why a call failed.
    pub(crate) fn failure(&self, error: CallError) -> Failure {
        let (name, method) = (&self.candidate.name, self.method);
        match error {
            CallError::Refused(error) => self.refused(&error),
            CallError::Gone => self.crash(),
            CallError::Form(error) => self.bug(format!(
                "adapter `{name}` answered `{method}` with a result of the wrong form: {}",
                printable(&error.to_string())
            )),
            CallError::TooLong(bytes) => {
                let message = format!(
                    "the request `{method}` to adapter `{name}` would be {bytes} bytes long"
                );
                Failure::failed(message).detail("a line of the protocol holds at most 32 MiB")
            }
            CallError::Idle(limit, last) => {
                let message = format!(
                    "adapter `{name}` has been silent in `{method}` for {}",
                    seconds(limit)
                );
                self.too_slow(message, &last)
            }
            CallError::Total(limit, last) => {
                let message = format!(
                    "adapter `{name}` has not answered `{method}` within {}",
                    seconds(limit)
                );
                self.too_slow(message, &last)
            }
        }
    }

    fn too_slow(&self, message: String, last: &LastWord) -> Failure {
        let last = match last {
            LastWord::Nothing => "when cancelled, it said nothing".to_owned(),
            LastWord::GaveUp(why) => format!("when cancelled, it answered: {why}"),
            LastWord::Result => "its answer came just after the limit".to_owned(),
        };
        let longer = format!(
            "if it only needs longer, set `{}=<seconds>`",
            limits::VARIABLE
        );
        let help = match self.no_adapter() {
            Some(suspicion) => format!("{suspicion}; {longer}"),
            None => longer,
        };
        self.details(Failure::failed(message).detail(last))
            .help(help)
    }

    fn crash(&self) -> Failure {
        let how = self
            .status
            .map_or_else(|| "closed its stdout".to_owned(), ended);
        let message = format!(
            "adapter `{}` {how} during `{}`",
            self.candidate.name, self.method
        );
        let help = match self.status.and_then(|status| status.signal()) {
            Some(9) => "the system may have run out of memory (see `dmesg`), or somebody ended it"
                .to_owned(),
            // What a shell and `env` say where they do not find a program.
            _ if self.status.and_then(|status| status.code()) == Some(127) => {
                return self.details(Failure::new(Exit::Missing, message)).help("a program that the adapter needs is not on PATH: install the one that its last lines name");
            }
            _ => self.no_adapter().unwrap_or_else(|| self.whose_fault()),
        };
        self.details(Failure::failed(message)).help(help)
    }

    /// What speaks before it has shaken hands is often not an adapter.
    fn no_adapter(&self) -> Option<String> {
        (self.method == Initialize::NAME && !self.offenses.is_empty()).then(|| {
            format!(
                "it may be no adapter at all: see what `{} {DESCRIBE_ARGUMENT}` prints",
                self.candidate.program.display()
            )
        })
    }

    fn refused(&self, error: &ErrorObjectOwned) -> Failure {
        let mut data: ErrorData = error
            .data()
            .and_then(|data| serde_json::from_str(data.get()).ok())
            .unwrap_or_default();
        data.diagnostics.iter_mut().for_each(Spoken::clean);
        let name = &self.candidate.name;
        let message = format!("adapter `{name}`: {}", error.message());
        let failure = match ErrorCode::from(error.code()) {
            ErrorCode::ProtocolUnsupported => return mismatch(&self.candidate, &data.supported),
            ErrorCode::Internal => return self.bug(message),
            ErrorCode::ParseError
            | ErrorCode::InvalidRequest
            | ErrorCode::MethodNotFound
            | ErrorCode::InvalidParams
            | ErrorCode::NotInitialized => {
                return self.bug(format!("{message} (in `{}`)", self.method));
            }
            ErrorCode::InvalidInputs => Failure::invalid(message),
            ErrorCode::Cancelled => Failure::new(Exit::Interrupted, message),
            ErrorCode::ToolMissing => Failure::new(Exit::Missing, message),
            _ => Failure::failed(message),
        };
        let failure = Failure {
            findings: data.diagnostics.into_iter().map(finding).collect(),
            ..failure
        };
        match data.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }

    /// The adapter has a bug.
    fn bug(&self, message: String) -> Failure {
        let help = self.whose_fault();
        self.details(Failure::failed(message)).help(help)
    }

    fn whose_fault(&self) -> String {
        let name = &self.candidate.name;
        match (&self.homepage, self.candidate.source) {
            (_, Source::BuiltIn) => "this is a bug of ztc; report it with these lines".to_owned(),
            (Some(homepage), _) => {
                format!("this is a bug of the adapter; report it with these lines: {homepage}")
            }
            (None, _) => format!(
                "this is a bug of the adapter; report it with these lines to whoever made `{name}`"
            ),
        }
    }

    fn details(&self, failure: Failure) -> Failure {
        let Candidate {
            name,
            source,
            program,
            ..
        } = &self.candidate;
        let version = if self.version.is_empty() {
            String::new()
        } else {
            format!(" {}", self.version)
        };
        let mut failure = failure
            .detail(format!(
                "adapter: {name}{version}, {}, `{}`",
                source.word(),
                program.display()
            ))
            .detail(format!(
                "after: {} in `{}`, {} since its start",
                short(self.called),
                self.method,
                short(self.lasted)
            ));
        let unfinished = self.unfinished.iter().cloned().collect();
        for (title, lines) in [
            ("what it did beside answering:", &self.offenses),
            ("a line that it began and did not end:", &unfinished),
            ("last lines of its stderr:", &self.stderr),
        ] {
            if !lines.is_empty() {
                failure = failure.detail(title);
                failure = lines
                    .iter()
                    .fold(failure, |failure, line| failure.detail(format!("  {line}")));
            }
        }
        failure
    }
}

fn finding(diagnostic: Diagnostic) -> Finding {
    let Diagnostic {
        pointer,
        severity,
        message,
        help,
    } = diagnostic;
    Finding {
        severity,
        message,
        location: None,
        help,
        pointer: Some(pointer).filter(|pointer| !pointer.is_empty()),
    }
}

/// Neither side's versions of the protocol are among the other's.
pub(crate) fn mismatch(candidate: &Candidate, theirs: &[ProtocolVersion]) -> Failure {
    let name = &candidate.name;
    let listed: Vec<String> = theirs.iter().map(ToString::to_string).collect();
    if listed.is_empty() {
        let message = format!(
            "adapter `{name}` does not speak protocol {PROTOCOL}, and does not say what it speaks"
        );
        return Failure::new(Exit::Missing, message)
            .detail(place(candidate))
            .help(format!("upgrade the older of the two: `{name}`, or ztc"));
    }
    let speaks = listed.join(" or ");
    let message = format!("adapter `{name}` speaks protocol {speaks}, this ztc speaks {PROTOCOL}");
    let newer = theirs.iter().max().is_some_and(|theirs| *theirs > PROTOCOL);
    let help = match newer {
        true => format!(
            "upgrade ztc ({}) to a release that speaks protocol {speaks}",
            env!("CARGO_PKG_VERSION")
        ),
        false => format!(
            "upgrade adapter `{name}` to a release that speaks protocol {}.x",
            PROTOCOL.major
        ),
    };
    Failure::new(Exit::Missing, message)
        .detail(place(candidate))
        .help(help)
}

/// The adapter says that it is another one.
pub(crate) fn wrong_name(candidate: &Candidate, says: &str) -> Failure {
    let message = format!(
        "the program that should be adapter `{}` says that it is `{says}`",
        candidate.name
    );
    match candidate.source {
        // Somebody has said what it is, and another has believed it.
        Source::Installed => Failure::new(Exit::Refused, message)
            .detail(place(candidate))
            .help("do not use it: tell its publisher, who has to say what a file is"),
        _ => Failure::failed(message)
            .detail(place(candidate))
            .help(format!(
                "rename the file to `ztc-adapter-{says}`, or use the name `{says}` in platform.yaml"
            )),
    }
}

/// The adapter declares more than its publisher has signed, and the operator has agreed to.
pub(crate) fn beyond(candidate: &Candidate, powers: &[Power]) -> Failure {
    let mut failure = Failure::new(
        Exit::Refused,
        format!(
            "adapter `{}` may touch more than its publisher has signed for this version",
            candidate.name
        ),
    )
    .detail(place(candidate))
    .help("do not use this version: tell its publisher, whose index has to say what an adapter touches");
    let lines = powers.iter().map(|power| format!("not signed: {power}"));
    failure.details.extend(lines);
    failure
}

/// The adapter says that it is another version than the one that was chosen, locked and agreed to.
pub(crate) fn other_version(candidate: &Candidate, says: &str, installed: &Version) -> Failure {
    Failure::new(
        Exit::Refused,
        format!(
            "adapter `{}` says that it is version {says}, and it was installed as {installed}",
            candidate.name
        ),
    )
    .detail(place(candidate))
    .help("do not use this version: tell its publisher, whose index has to say what a file is")
}

/// A call to an adapter whose end was reported before.
pub(crate) fn gone(candidate: &Candidate, method: &str) -> Failure {
    Failure::failed(format!(
        "adapter `{}` cannot answer `{method}`: it has ended, as reported before",
        candidate.name
    ))
}

fn place(candidate: &Candidate) -> String {
    format!(
        "{}: `{}`",
        candidate.source.word(),
        candidate.program.display()
    )
}

/// Writes how a process ended: `exited with code 3`, `was killed by signal 9 (SIGKILL)`.
pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}{}", signal_name(signal)),
        (None, None) => "ended".to_owned(),
    }
}

fn signal_name(number: i32) -> &'static str {
    match number {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

fn short(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
    }
}

#[cfg(test)]
mod tests;

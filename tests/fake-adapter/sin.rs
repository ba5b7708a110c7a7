//! The sins, and how each is committed.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

/// The variable that tells the program that it has started itself again.
const AGAIN: &str = "FAKE_ADAPTER_AGAIN";

/// A sin and when it is committed.
pub(crate) struct Sin {
    name: String,
    method: String,
}

/// What a sinner does next.
pub(crate) enum Outcome {
    /// Waits for the next request.
    Answered,
    /// Ends with this exit code.
    End(u8),
}

impl Sin {
    /// Reads `<sin>` or `<sin>-at-<method>`; hyphens in the method stand for underscores.
    pub(crate) fn named(text: &str) -> Self {
        let (name, method) = text.split_once("-at-").unwrap_or((text, "initialize"));
        Self {
            name: name.to_owned(),
            method: method.replace('-', "_"),
        }
    }

    /// Whether this method is the moment.
    pub(crate) fn is_due(&self, method: &str) -> bool {
        self.method == method
    }

    /// Sins that are committed before anything is read.
    pub(crate) fn before_all(&self, program: &str) -> Option<ExitCode> {
        match self.name.as_str() {
            "exit-0" if self.method == "initialize" => Some(ExitCode::SUCCESS),
            "exit-3" if self.method == "initialize" => {
                complain("no reason to stay");
                Some(ExitCode::from(3))
            }
            "stray-before" => {
                let _ = io::stdout().write_all(b"Compiling foo v0.1.0\n");
                None
            }
            "deaf" => stay(),
            "ignores-term" if std::env::var_os(AGAIN).is_none() => {
                Some(again_without_term(program))
            }
            _ => None,
        }
    }

    /// Sins that are committed after the end of stdin.
    pub(crate) fn after_all(&self) {
        if matches!(self.name.as_str(), "ignores-term" | "ignores-eof") {
            stay()
        }
    }

    /// Commits the sin instead of giving, around, or after the answer.
    pub(crate) fn commit(
        &self,
        out: &mut impl Write,
        answer: &str,
        request: &Value,
    ) -> io::Result<Outcome> {
        match self.name.as_str() {
            "garbage" => writeln!(out, "Segmentation fault (just kidding)")?,
            "silent" => {}
            "panic" => panic!("the fake adapter was told to panic"),
            "abort" => std::process::abort(),
            "exit-0" => return Ok(Outcome::End(0)),
            "exit-3" => return Ok(Outcome::End(3)),
            "half-line" => write!(out, "{}", &answer[..answer.len() / 2])?,
            "stray-between" => {
                writeln!(out, "warning: unused variable\n\n{answer}\ntrailing words")?;
            }
            "null-id" => {
                let error = json!({ "code": -32700, "message": "parse error" });
                writeln!(
                    out,
                    "{}\n{answer}",
                    json!({ "jsonrpc": "2.0", "id": null, "error": error })
                )?;
            }
            "unknown-id" => writeln!(
                out,
                "{}\n{answer}",
                json!({ "jsonrpc": "2.0", "id": 777, "result": {} })
            )?,
            "twice" => writeln!(out, "{answer}\n{answer}")?,
            "asks" => {
                writeln!(
                    out,
                    "{}\n{answer}",
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "prompt", "params": {} })
                )?;
            }
            "not-utf8" => {
                out.write_all(b"\xff\xfe\xfd\n")?;
                writeln!(out, "{answer}")?;
            }
            "bom" => writeln!(out, "\u{feff}{answer}")?,
            "crlf" => write!(out, "\r\n{answer}\r\n")?,
            "long-line" => {
                out.write_all(&vec![b'x'; 33 * 1024 * 1024])?;
                writeln!(out, "\n{answer}")?;
            }
            "floods-stderr" => {
                for n in 0..1_000_000 {
                    complain(&format!(
                        "line {n} of a flood, a hundred bytes wide {:60}",
                        ""
                    ));
                }
                writeln!(out, "{answer}")?;
            }
            "floods-progress" => {
                for n in 0..100_000 {
                    let params = json!({ "call_id": request["params"]["call"]["id"], "message": format!("step {n}") });
                    writeln!(
                        out,
                        "{}",
                        json!({ "jsonrpc": "2.0", "method": "$/progress", "params": params })
                    )?;
                }
                writeln!(out, "{answer}")?;
            }
            "old-protocol" => writeln!(out, "{}", with_protocol(answer, "0.9"))?,
            "new-protocol" => writeln!(out, "{}", with_protocol(answer, "2.0"))?,
            "refuses-protocol" => {
                let data = json!({ "supported": ["2.0", "3.1"] });
                let error =
                    json!({ "code": 1001, "message": "unsupported protocol", "data": data });
                writeln!(
                    out,
                    "{}",
                    json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
                )?;
            }
            "wrong-form" => {
                writeln!(
                    out,
                    "{}",
                    json!({ "jsonrpc": "2.0", "id": request["id"], "result": ["not", "this"] })
                )?;
            }
            "wrong-name" => writeln!(out, "{}", answer.replace("wrong-name", "somebody-else"))?,
            "grandchild" => {
                leave_grandchild();
                writeln!(out, "{answer}")?;
            }
            _ => writeln!(out, "{answer}")?,
        }
        Ok(Outcome::Answered)
    }
}

fn with_protocol(answer: &str, version: &str) -> String {
    answer.replace(r#""protocol":"1.0""#, &format!(r#""protocol":"{version}""#))
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

/// Starts this program again, deaf to TERM: what a shell ignores stays ignored by what it becomes.
fn again_without_term(program: &str) -> ExitCode {
    let mut shell = command("sh");
    shell
        .args(["-c", "trap '' TERM; exec \"$0\" --ztc-adapter", program])
        .env(AGAIN, "1");
    complain(&shell.exec().to_string());
    ExitCode::FAILURE
}

/// Leaves a process behind that holds stderr open.
fn leave_grandchild() {
    let started = command("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    if let Err(error) = started {
        complain(&error.to_string());
    }
}

fn command(program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "an adapter has no host to start its programs"
    )]
    Command::new(program)
}

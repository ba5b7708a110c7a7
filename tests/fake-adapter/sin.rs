//! The sins, and how each is committed.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{
    again_without_term, close_stdout, complain, kill_self, leave_daemon, leave_grandchild,
    leave_session, stay,
};

/// A sin and when it is committed.
pub(crate) struct Sin {
    name: String,
    method: String,
}

/// What a sinner does next.
pub(crate) enum Outcome {
    /// Answers as if nothing had happened.
    Answer,
    /// Says this instead of the answer.
    Say(String),
    /// Says this, but only so long after the call is cancelled.
    WhenCancelled(Duration, String),
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

    /// Whether nothing is read any more once the call is answered.
    pub(crate) fn deafens(&self) -> bool {
        self.name == "deaf"
    }

    /// Sins that are committed before anything is read.
    pub(crate) fn before_all(&self, program: &str) -> Option<ExitCode> {
        match self.name.as_str() {
            "exit-0" if self.method == "start" => Some(ExitCode::SUCCESS),
            "exit-3" if self.method == "start" => {
                complain("no reason to stay");
                Some(ExitCode::from(3))
            }
            "stray" if self.method == "start" => {
                let _ = io::stdout().write_all(b"Compiling foo v9.9.9\n");
                None
            }
            "reads-nothing" => stay(),
            "ignores-term" => again_without_term(program),
            _ => None,
        }
    }

    /// Sins that are committed after the end of stdin.
    pub(crate) fn after_all(&self) {
        if matches!(self.name.as_str(), "ignores-term" | "ignores-eof") {
            stay()
        }
    }

    /// Commits the sin instead of giving, around, or before the answer.
    pub(crate) fn commit(
        &self,
        out: &mut impl Write,
        answer: &str,
        request: &Value,
    ) -> io::Result<Outcome> {
        match self.name.as_str() {
            "grandchild" => leave_grandchild(),
            "escapes" => leave_session(),
            "daemon" => leave_daemon(),
            "silent" => return Ok(Outcome::Say(String::new())),
            "late" => return Ok(late(200, answer)),
            "too-late" => return Ok(late(1200, answer)),
            "gives-up" => {
                let error = refusal(request, 1020, "stopped at peer 3", &Value::Null);
                return Ok(Outcome::WhenCancelled(Duration::ZERO, error));
            }
            "panic" => panic!("the fake adapter was told to panic"),
            "abort" => std::process::abort(),
            "kill" => kill_self(),
            "closes-stdout" => return Err(close_stdout()),
            "exit-0" => return Ok(Outcome::End(0)),
            "exit-3" => {
                (1..=50).for_each(|n| complain(&format!("complaint {n}")));
                return Ok(Outcome::End(3));
            }
            "floods-stderr" => {
                let line = format!("{:99}\n", "a line of a flood");
                (0..1_000_000).try_for_each(|_| io::stderr().write_all(line.as_bytes()))?;
            }
            "floods-progress" => {
                (0..100_000).try_for_each(|n| report(out, request, &format!("step {n}")))?;
            }
            "works" => work(out, request, 16)?,
            "works-for-ever" => work(out, request, u32::MAX)?,
            _ => return self.stray(out, answer, request),
        }
        Ok(Outcome::Answer)
    }

    /// Sins against the form of the stream.
    fn stray(&self, out: &mut impl Write, answer: &str, request: &Value) -> io::Result<Outcome> {
        let (head, tail) = answer.split_at(answer.find("[").unwrap_or(10));
        let text = match self.name.as_str() {
            "garbage" => "Segmentation fault (just kidding)\n".to_owned(),
            "half-line" => head.to_owned(),
            "stray-around" => format!("warning: unused variable\n\n{answer}\ntrailing words\n"),
            "stray-inside" => format!("{head}\nwarning: unused variable\n{tail}\n"),
            "babbles" => format!("{}{answer}\n", "bla\n".repeat(1000)),
            "paints" => format!("\u{1b}[2J\u{1b}]0;owned\u{7}\n{answer}\n"),
            "null-id" => {
                let error = json!({ "code": -32700, "message": "parse error" });
                let line = json!({ "jsonrpc": "2.0", "id": null, "error": error });
                format!("{line}\n{answer}\n")
            }
            "unknown-id" => {
                let line = json!({ "jsonrpc": "2.0", "id": 777, "result": {} });
                format!("{line}\n{answer}\n")
            }
            "twice" => format!("{answer}\n{answer}\n"),
            "asks" => {
                let line = json!({ "jsonrpc": "2.0", "id": 1, "method": "prompt", "params": {} });
                format!("{line}\n{answer}\n")
            }
            "not-utf8" => {
                out.write_all(b"caf\xe9\n")?;
                format!("{answer}\n")
            }
            "bom" => format!("\u{feff}{answer}\n"),
            "crlf" => format!("\r\n{answer}\r\n"),
            "long-line" => {
                out.write_all(&vec![b'x'; 33 * 1024 * 1024])?;
                format!("\n{answer}\n")
            }
            _ => return Ok(self.handshake(answer, request)),
        };
        Ok(Outcome::Say(text))
    }

    /// Sins against what both sides agree on.
    fn handshake(&self, answer: &str, request: &Value) -> Outcome {
        let mut changed: Value = serde_json::from_str(answer).unwrap_or_default();
        let result = &mut changed["result"];
        match self.name.as_str() {
            "speaks-0.9" => result["protocol"] = json!("0.9"),
            "speaks-1.7" => result["protocol"] = json!("1.7"),
            "speaks-2.0" => {
                *result = json!({ "protocol": "2.0", "identity": { "of": "another form" } });
            }
            "refuses-for-0.9" => return unsupported(request, &["0.9"]),
            "refuses-for-2.0" => return unsupported(request, &["2.0", "3.1"]),
            "refuses-for-nothing" => return unsupported(request, &[]),
            "wrong-form" => *result = json!(["not", "this"]),
            "wrong-name" => result["manifest"]["name"] = json!("somebody-else"),
            _ => return self.words(changed, request),
        }
        Outcome::Say(format!("{changed}\n"))
    }

    /// Sins against the operator's terminal: what is shown would move the cursor, turn the writing round, or never end.
    fn words(&self, mut changed: Value, request: &Value) -> Outcome {
        const PAINT: &str = "\u{1b}[2J\u{9b}31m\u{202e}evil\u{7}\r\nerror: forged";
        let result = &mut changed["result"];
        match self.name.as_str() {
            "paints-manifest" => {
                for field in ["description", "version", "homepage"] {
                    result["manifest"][field] = json!(PAINT);
                }
                result["manifest"]["environment"][0]["why"] = json!(PAINT);
            }
            "paints-error" => {
                return Outcome::Say(refusal(request, 1030, PAINT, &json!({ "help": PAINT })));
            }
            "paints-finding" => {
                result["diagnostics"] =
                    json!([{ "pointer": "/greeting", "message": PAINT, "help": PAINT }]);
            }
            "paints-path" => result["artifacts"][0]["path"] = json!(format!("a{PAINT}")),
            "paints-stage" => {
                result["stages"] =
                    json!([{ "name": PAINT, "description": PAINT, "script": PAINT }]);
            }
            "talks" => {
                return Outcome::Say(refusal(request, 1030, &"bla ".repeat(5000), &Value::Null));
            }
            _ => return Outcome::Answer,
        }
        Outcome::Say(format!("{changed}\n"))
    }
}

fn late(millis: u64, answer: &str) -> Outcome {
    Outcome::WhenCancelled(Duration::from_millis(millis), format!("{answer}\n"))
}

fn unsupported(request: &Value, versions: &[&str]) -> Outcome {
    let data = json!({ "supported": versions });
    Outcome::Say(refusal(request, 1001, "unsupported protocol", &data))
}

fn refusal(request: &Value, code: i32, message: &str, data: &Value) -> String {
    let error = json!({ "code": code, "message": message, "data": data });
    format!(
        "{}\n",
        json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
    )
}

/// Reports progress every quarter of a second.
fn work(out: &mut impl Write, request: &Value, quarters: u32) -> io::Result<()> {
    (0..quarters).try_for_each(|_| {
        report(out, request, "peer 3 of 7")?;
        std::thread::sleep(Duration::from_millis(250));
        Ok(())
    })
}

fn report(out: &mut impl Write, request: &Value, message: &str) -> io::Result<()> {
    let params = json!({ "call_id": request["params"]["call"]["id"], "message": message });
    writeln!(
        out,
        "{}",
        json!({ "jsonrpc": "2.0", "method": "$/progress", "params": params })
    )?;
    out.flush()
}

//! A hostile adapter: well-behaved but for its sins.
//!
//! Its sins are the words of a file beside it, `<program>.sin`, or else the name that it goes by, `ztc-adapter-<sin>`: an adapter sees no
//! variables that a test could set. A sin is committed when `initialize` is called; `<sin>-at-<method>` says another method. A word that
//! is no sin does nothing.
//!
//! It knows nothing of the protocol's crates, so that it stays what a stranger would write.

mod good;
mod process;
mod sin;

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use sin::{Outcome, Sin};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    if arguments.next().as_deref() != Some("--ztc-adapter") {
        return ExitCode::from(2);
    }
    let name = Path::new(&program)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = name
        .strip_prefix("ztc-adapter-")
        .unwrap_or(&name)
        .to_owned();
    let sins = std::fs::read_to_string(format!("{program}.sin")).unwrap_or_else(|_| name.clone());
    let sins: Vec<Sin> = sins.split_whitespace().map(Sin::named).collect();
    for sin in &sins {
        if let Some(code) = sin.before_all(&program) {
            return code;
        }
    }
    let code = serve(&name, &sins).unwrap_or(ExitCode::FAILURE);
    sins.iter().for_each(Sin::after_all);
    code
}

/// Answers until stdin ends.
fn serve(name: &str, sins: &[Sin]) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    // A call that is answered only when it is cancelled.
    let mut waiting: Option<(Value, Duration, String)> = None;
    for line in io::stdin().lock().lines() {
        let Ok(request) = serde_json::from_str::<Value>(&line?) else {
            continue;
        };
        let Some(method) = request["method"].as_str() else {
            continue;
        };
        let Some(id) = request.get("id") else {
            if method == "$/cancel"
                && let Some((call, pause, text)) = waiting.take()
                && request["params"]["call_id"] == call
            {
                std::thread::sleep(pause);
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            continue;
        };
        let answer = good::answer(name, id, method, &request["params"]).to_string();
        let mut said = format!("{answer}\n");
        for sin in sins.iter().filter(|sin| sin.is_due(method)) {
            match sin.commit(&mut out, &answer, &request)? {
                Outcome::Answer => {}
                Outcome::Say(text) => said = text,
                Outcome::WhenCancelled(pause, text) => {
                    waiting = Some((request["params"]["call"]["id"].clone(), pause, text));
                    said.clear();
                }
                Outcome::End(code) => return Ok(ExitCode::from(code)),
            }
        }
        out.write_all(said.as_bytes())?;
        out.flush()?;
        if sins.iter().any(|sin| sin.is_due(method) && sin.deafens()) {
            process::stay()
        }
    }
    Ok(ExitCode::SUCCESS)
}

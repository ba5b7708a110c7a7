//! A hostile adapter: well-behaved but for one sin.
//!
//! The sin is the name that the program goes by, `ztc-adapter-<sin>`, or the text of a file beside it, `<program>.sin`: an adapter sees no
//! variables that a test could set. A sin is committed when `initialize` is called; `<sin>-at-<method>` says another method. A name that
//! is no sin makes a good adapter.
//!
//! It knows nothing of the protocol's crates, so that it stays what a stranger would write.

mod good;
mod sin;

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

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
    let sin = std::fs::read_to_string(format!("{program}.sin")).unwrap_or_else(|_| name.clone());
    let sin = Sin::named(sin.trim());
    if let Some(code) = sin.before_all(&program) {
        return code;
    }
    let code = serve(&name, &sin).unwrap_or(ExitCode::FAILURE);
    sin.after_all();
    code
}

/// Answers until stdin ends.
fn serve(name: &str, sin: &Sin) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let Ok(request) = serde_json::from_str::<Value>(&line?) else {
            continue;
        };
        let (Some(id), Some(method)) = (request.get("id"), request["method"].as_str()) else {
            continue;
        };
        let answer = good::answer(name, id, method, &request["params"]).to_string();
        if sin.is_due(method) {
            match sin.commit(&mut out, &answer, &request)? {
                Outcome::Answered => {}
                Outcome::End(code) => return Ok(ExitCode::from(code)),
            }
        } else {
            writeln!(out, "{answer}")?;
        }
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

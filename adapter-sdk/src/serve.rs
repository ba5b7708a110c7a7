//! What an adapter's `main` calls: decides between serving a host, describing the adapter, and running it as an ordinary program.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use ztc_protocol::message::InitializeResult;
use ztc_protocol::{ADAPTER_ARGUMENT, DESCRIBE_ARGUMENT, LISTEN_ARGUMENT, Manifest, PROTOCOL};

use crate::{Adapter, listen, say, session, stdio, versions};

/// The argument with which an adapter that has a table of versions prints its own.
const VERSIONS_ARGUMENT: &str = "versions";

/// The exit code for wrong usage.
const USAGE: u8 = 2;

/// Runs an adapter: `fn main() -> ExitCode { ztc_adapter_sdk::serve(MyAdapter) }`.
pub fn serve(adapter: impl Adapter) -> ExitCode {
    serve_with(adapter, std::env::args_os().skip(1))
}

/// Runs an adapter with these arguments (without the program's name) instead of the process's own.
pub fn serve_with(
    adapter: impl Adapter,
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match arguments.first().map(String::as_str) {
        Some(ADAPTER_ARGUMENT) if !std::io::stdin().is_terminal() => speak(adapter),
        Some(DESCRIBE_ARGUMENT) => describe(&adapter),
        Some(LISTEN_ARGUMENT) => done(
            "listen for hosts",
            listen::run(adapter, arguments.get(1).map(String::as_str)),
        ),
        Some(VERSIONS_ARGUMENT) if let Some(table) = adapter.versions() => {
            say::out(table.own_text().trim_end());
            ExitCode::SUCCESS
        }
        _ => match adapter.command(&arguments) {
            Some(code) => ExitCode::from(code),
            None => explain(&adapter.manifest()),
        },
    }
}

fn speak(adapter: impl Adapter) -> ExitCode {
    done(
        "speak with the host on stdin and stdout",
        stdio::take().and_then(|streams| session::run(adapter, streams)),
    )
}

fn done(what: &str, result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::err(&format!("error: failed to {what}: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn describe(adapter: &impl Adapter) -> ExitCode {
    let result = InitializeResult {
        protocol: PROTOCOL,
        manifest: versions::manifest(adapter),
    };
    match serde_json::to_string(&result) {
        Ok(line) => {
            say::out(&line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::err(&format!(
                "error: failed to write the manifest as JSON: {error}"
            ));
            ExitCode::FAILURE
        }
    }
}

fn explain(manifest: &Manifest) -> ExitCode {
    say::err(&explanation(manifest));
    ExitCode::from(USAGE)
}

/// What somebody reads who starts an adapter by hand.
fn explanation(manifest: &Manifest) -> String {
    let Manifest {
        name,
        version,
        description,
        ..
    } = manifest;
    format!(
        "ztc-adapter-{name} {version}: {description}

This program is an adapter of ztc, which starts it and speaks with it on stdin and stdout.
Put it on PATH, or name it under `plugins` in platform.yaml; `ztc plugins info {name}` then says what it does.

  {DESCRIBE_ARGUMENT}   print what it is as one line of JSON
  {ADAPTER_ARGUMENT}    speak protocol {PROTOCOL} on stdin and stdout (not in a terminal)
  {LISTEN_ARGUMENT} [PATH]  speak it on a local socket, with one host after another: for debuggers"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_what_the_program_is() {
        let manifest = Manifest {
            name: "fake".into(),
            version: "1.2.3".into(),
            description: "does nothing".into(),
            ..Manifest::default()
        };
        assert_eq!(
            explanation(&manifest),
            "ztc-adapter-fake 1.2.3: does nothing

This program is an adapter of ztc, which starts it and speaks with it on stdin and stdout.
Put it on PATH, or name it under `plugins` in platform.yaml; `ztc plugins info fake` then says what it does.

  --ztc-describe   print what it is as one line of JSON
  --ztc-adapter    speak protocol 1.0 on stdin and stdout (not in a terminal)
  --ztc-listen [PATH]  speak it on a local socket, with one host after another: for debuggers"
        );
    }
}

//! `validate-config`: checks files that machines are to get. Reads the files that it is given, and nothing else.

use std::io;
use std::path::Path;

use ztc_adapter_sdk::protocol::message::Severity;

use super::finding::{Findings, Place};
use super::report::{Report, Verdict};
use super::{Finding, Mode, Options, suggest};

/// The command's name.
const NAME: &str = "validate-config";

/// The exit code for files that are not valid, and for wrong usage.
const INVALID: u8 = 2;

/// Larger than what the Talos API takes.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// What the adapter says about its commands.
const OVERVIEW: &str = "\
Commands of the talos adapter:
  validate-config FILE...  check machine configurations, without a machine

`ztc plugins run talos validate-config --help` says more.";

/// What `--help` says.
const HELP: &str = "\
Check machine configurations of Talos 1.11, without a machine

Usage: ztc-adapter-talos validate-config [OPTIONS] FILE...
       ztc plugins run talos validate-config [OPTIONS] FILE...

Options:
      --mode MODE  Where the machines run: metal (installs Talos on a disk) or cloud (starts from an image) [default: metal]
      --strict     Let warnings count as errors
      --json       Print the findings as JSON on stdout
  -h, --help       Print help

Findings go to stderr, verdicts to stdout. Exit code: 0 if all files are valid, else 2.";

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Request {
    mode: Mode,
    strict: bool,
    json: bool,
    files: Vec<String>,
}

/// Runs the adapter's own commands; returns the exit code, or nothing where no command is given.
pub(crate) fn dispatch(arguments: &[String]) -> Option<u8> {
    let (name, rest) = arguments.split_first()?;
    Some(match name.as_str() {
        NAME => run(rest),
        "-h" | "--help" | "help" => {
            say(io::stdout(), &format!("{OVERVIEW}\n"));
            0
        }
        other => {
            let near = suggest::did_you_mean(other, [NAME]);
            say(
                io::stderr(),
                &format!("error: the talos adapter has no command `{other}`{near}\n{OVERVIEW}\n"),
            );
            INVALID
        }
    })
}

/// Runs the command with what follows its name; returns the exit code.
fn run(arguments: &[String]) -> u8 {
    let request = match parse(arguments) {
        Ok(Some(request)) => request,
        Ok(None) => {
            say(io::stdout(), &format!("{HELP}\n"));
            return 0;
        }
        Err(why) => {
            let text = format!(
                "error: {why}\n  help: `ztc-adapter-talos {NAME} --help` shows how it is used\n"
            );
            say(io::stderr(), &text);
            return INVALID;
        }
    };
    let options = Options::new(request.mode);
    let report = Report {
        mode: request.mode,
        strict: request.strict,
        verdicts: request
            .files
            .into_iter()
            .map(|file| verdict(file, &options))
            .collect(),
    };
    if request.json {
        say(io::stdout(), &format!("{:#}\n", report.json()));
    } else {
        say(io::stderr(), &report.findings());
        say(io::stdout(), &report.summary());
    }
    if report.is_good() { 0 } else { INVALID }
}

/// A reader that went away is no reason to fail.
fn say(mut to: impl io::Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

fn parse(arguments: &[String]) -> Result<Option<Request>, String> {
    let mut request = Request {
        mode: Mode::Metal,
        strict: false,
        json: false,
        files: Vec::new(),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--strict" => request.strict = true,
            "--json" => request.json = true,
            "--mode" => request.mode = mode(rest.next().map_or("", String::as_str))?,
            "--" => request.files.extend(rest.by_ref().cloned()),
            other => match other.strip_prefix("--mode=") {
                Some(text) => request.mode = mode(text)?,
                None if other.starts_with('-') => {
                    return Err(format!("there is no option `{other}`"));
                }
                None => request.files.push(other.to_owned()),
            },
        }
    }
    if request.files.is_empty() {
        return Err("no file is given".into());
    }
    Ok(Some(request))
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "metal" => Ok(Mode::Metal),
        "cloud" => Ok(Mode::Cloud),
        "" => Err("`--mode` needs a mode: metal or cloud".into()),
        other => Err(format!("`{other}` is not a mode: metal or cloud")),
    }
}

fn verdict(file: String, options: &Options) -> Verdict {
    let findings = match read(Path::new(&file)) {
        Ok(bytes) => super::check(&bytes, options),
        Err((message, help)) => unreadable(message, help),
    };
    Verdict { file, findings }
}

fn unreadable(message: String, help: &str) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.add(Severity::Error, "", Place::default(), message, help);
    findings.all
}

fn read(path: &Path) -> Result<Vec<u8>, (String, &'static str)> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => (
            "there is no such file".to_owned(),
            "`ztc render` writes the configurations below `platform/generated/os/talos/nodes/`",
        ),
        _ => (
            format!("failed to read the file: {error}"),
            "check its permissions",
        ),
    })?;
    if metadata.is_dir() {
        return Err((
            "this is a directory, and files are expected".into(),
            "name the files in it, as in `nodes/*/config.yaml`",
        ));
    }
    if metadata.len() > MAX_BYTES {
        let message = format!(
            "the file has {} bytes, and Talos takes at most {MAX_BYTES}",
            metadata.len()
        );
        return Err((message, "take manifests out of it"));
    }
    std::fs::read(path).map_err(|error| {
        (
            format!("failed to read the file: {error}"),
            "check its permissions",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood() {
        let parsed = |text: &str| parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let request = parsed("--mode cloud --strict a.yaml --json -- --b")
            .unwrap()
            .unwrap();
        assert_eq!(
            request,
            Request {
                mode: Mode::Cloud,
                strict: true,
                json: true,
                files: vec!["a.yaml".into(), "--b".into()],
            }
        );
        assert_eq!(parsed("--help"), Ok(None));
        for (text, why) in [
            ("--strict", "no file is given"),
            ("--mode", "`--mode` needs a mode: metal or cloud"),
            (
                "--mode=container a",
                "`container` is not a mode: metal or cloud",
            ),
            ("--fast a", "there is no option `--fast`"),
        ] {
            assert_eq!(parsed(text), Err(why.to_owned()), "{text}");
        }
    }
}

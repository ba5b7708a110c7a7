//! `ztc plugins test`: the conformance kit on one adapter, told to people, programs and machines that build.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use ztc_protocol::ADAPTER_ARGUMENT;

use crate::adapter::record::Recorder;
use crate::adapter::{Candidate, Source, attach, process};
use crate::atomic;
use crate::commands::plugins::discovery;
use crate::commands::{Context, wait_for};
use crate::conformance::{self, Counts, Given, Report, Verdict};
use crate::error::{Exit, Failure, Location};
use crate::plugins::name::{PREFIX, split_version};
use crate::yaml;

/// Options of `ztc plugins test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The adapter: a path to its program, or the name of one that is built in, installed or on PATH
    #[arg(value_name = "BIN")]
    program: String,
    /// Configuration to render with: the adapter's section of a platform.yaml [default: made up]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Facts to render with, as in the lock, instead of calling `discover` for them
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Data of the capabilities that it requires, by name, instead of small samples
    #[arg(long, value_name = "FILE")]
    capabilities: Option<PathBuf>,
    /// Let the adapter see this variable of yours, which it declares (may be given several times)
    #[arg(long = "env", value_name = "NAME")]
    environment: Vec<String>,
    /// Write the result as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let (candidate, named) = candidate(context, &arguments.program)?;
    let given = Given {
        config: read(arguments.config.as_deref())?,
        facts: read(arguments.facts.as_deref())?,
        capabilities: read(arguments.capabilities.as_deref())?.unwrap_or_default(),
        environment: arguments.environment.clone(),
    };
    let recorder = recorder(context)?;
    let report = wait_for(conformance::run(candidate, named, given, recorder))?;
    if let Some(path) = &arguments.junit {
        atomic::public(path, &report.junit())?;
    }
    if context.ui.is_json() {
        context.ui.json(&report);
    } else {
        context.ui.data(&report.text());
    }
    Ok(conclude(context, &report))
}

/// Says the verdict.
fn conclude(context: &Context, report: &Report) -> Exit {
    let Counts {
        ok,
        failed,
        skipped,
    } = report.counts();
    let subject = report.subject();
    let counts = format!("{ok} ok, {failed} failed, {skipped} skipped");
    match report.verdict() {
        Verdict::Conforms => {
            let conforms = format!("{subject} conforms to protocol 1.0: {counts}");
            context.ui.done(conforms);
            Exit::Done
        }
        Verdict::Incomplete => {
            context.ui.say(format!(
                "{subject} was not tested as a whole, since nothing was rendered: {counts}"
            ));
            context.ui.next(
                "ztc plugins test BIN --config FILE",
                "renders with a configuration of yours: what would stand below the adapter's key in platform.yaml",
            );
            Exit::Differences
        }
        Verdict::Fails => {
            context.ui.say(format!(
                "{subject} does not conform to protocol 1.0: {counts}"
            ));
            Exit::Failed
        }
    }
}

/// Returns what writes the conversations down, where the operator wants that.
fn recorder(context: &Context) -> Result<Option<Recorder>, Failure> {
    let discovery = discovery(context);
    let path = discovery.record();
    path.map(|path| Recorder::open(path, context.ui.mask().clone()))
        .transpose()
}

/// Returns what is tested, and whether its name is more than that of a file.
fn candidate(context: &Context, program: &str) -> Result<(Candidate, bool), Failure> {
    let discovery = discovery(context);
    attach::check_used(discovery.attached(), &[])?;
    if !program.contains('/') {
        let candidate = discovery.find(program)?;
        process::check(&candidate)?;
        return Ok((candidate, true));
    }
    let path = std::path::absolute(context.repository.root().join(program))
        .map_err(|error| Failure::io("find", program, &error))?;
    if !path.is_file() {
        return Err(
            Failure::new(Exit::Missing, format!("there is no program `{program}`"))
                .help("give the path of an adapter's program, or the name of one that `ztc plugins list` shows"),
        );
    }
    let file = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let prefixed = file.strip_prefix(PREFIX);
    let (name, _) = split_version(prefixed.unwrap_or(&file));
    let candidate = Candidate {
        name: name.to_owned(),
        source: Source::Explicit,
        program: path.clone(),
        arguments: vec![ADAPTER_ARGUMENT.to_owned()],
        sha256: None,
    };
    Ok((candidate, prefixed.is_some()))
}

fn read<T: DeserializeOwned>(path: Option<&Path>) -> Result<Option<T>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
    let parsed = yaml::parse(&text).map_err(|error| {
        let location = Location {
            file: path.display().to_string(),
            line: error.line,
            column: error.column,
        };
        Failure::invalid(format!(
            "`{}` cannot be used: {}",
            path.display(),
            error.message
        ))
        .help("correct the file and run the same command again")
        .at(location)
    })?;
    Ok(Some(parsed))
}

//! `ztc report`: what a run was, as a page, JSON, JUnit or Markdown; or which runs there are.

use std::path::{Path, PathBuf};

use crate::atomic;
use crate::commands::{Context, status};
use crate::error::{Exit, Failure, Finding, did_you_mean};
use crate::lock::Lock;
use crate::pipeline::event::RunKind;
use crate::pipeline::journal;
use crate::report::history::{self, Listed, Unreadable};
use crate::report::model::Status;
use crate::report::{self, RunReport, html, junit, markdown};
use crate::secrets::bundle::Bundle;
use crate::ui::run::NextCommands;
use crate::ui::table::table;

const AFTER_HELP: &str = "\
Without RUN it tells of the last run of the environment. The HTML page is one file that needs no network; its path
goes to stdout. Every other form goes to stdout. Secrets are masked in all of them.
docs/report.schema.json describes the JSON.";

/// Options of `ztc report`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The run, or the beginning of its name [default: the last one of the environment]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Environment [default: that of the lock]
    #[arg(long, value_name = "ENV", conflicts_with = "run")]
    env: Option<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where to write it [default for html: beside the run's journal; for others: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// List the runs, of all environments unless --env names one
    #[arg(long, conflicts_with_all = ["run", "format", "output"])]
    list: bool,
}

/// How to write a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One page for a browser
    #[default]
    Html,
    /// For programs
    Json,
    /// For test viewers
    Junit,
    /// For the summary of a job
    Markdown,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.list {
        return list(context, arguments);
    }
    let run = chosen(context, arguments)?;
    let nothing = || {
        Failure::failed(format!("run {run} ended before it did anything"))
            .help("list the runs with `ztc report --list`")
    };
    let environment = history::read(&context.repository, &run)?
        .ok_or_else(nothing)?
        .environment;
    mask_known_secrets(context, &environment);
    let mut report =
        report::read(&context.repository, &run, context.ui.mask())?.ok_or_else(nothing)?;
    if let Some(next) = next(context, arguments, &report) {
        report.resume = Some(next.resume());
        report.eject = Some(next.eject());
    }
    // With `--json` a program reads stdout, whatever the form of a file.
    let format = match (arguments.format, context.ui.is_json()) {
        (Format::Html, true) => Format::Json,
        (format, _) => format,
    };
    let text = match format {
        Format::Html => html::html(&report),
        Format::Json => serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::failed("failed to write the report as JSON").detail(error))?,
        Format::Junit => junit::junit(&report),
        Format::Markdown => markdown::markdown(&report),
    };
    let beside = journal::directory(&context.repository, &run).join("report.html");
    match (&arguments.output, format) {
        (Some(file), _) => write(context, file, &text),
        (None, Format::Html) => write(context, &beside, &text),
        (None, Format::Json | Format::Junit | Format::Markdown) => {
            context.ui.data(&text);
            Ok(Exit::Done)
        }
    }
}

fn write(context: &Context, file: &Path, text: &str) -> Result<Exit, Failure> {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if parent.is_some_and(|parent| !parent.is_dir()) {
        return Err(Failure::invalid(format!(
            "`{}` cannot be written: its directory does not exist",
            file.display()
        ))
        .help("make the directory, or give another `--output`"));
    }
    atomic::public(&absolute(file)?, &context.ui.mask().apply(text))?;
    context.ui.data(&file.display().to_string());
    Ok(Exit::Done)
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|error| Failure::io("write", file, &error))
}

/// The run that was asked for: its name, a beginning of it that no other has, or the last one of the environment.
fn chosen(context: &Context, arguments: &Arguments) -> Result<String, Failure> {
    let Some(asked) = &arguments.run else {
        let environment = status::environment(context, arguments.env.as_deref())?;
        let last = history::last(&context.repository, &environment)
            .map_err(|failure| failure.detail("`ztc report --list` has the runs before it"))?;
        return last.ok_or_else(|| {
            Failure::new(
                Exit::Differences,
                format!("nothing has been run for `{environment}` yet"),
            )
            .help("see what would run with `ztc plan`, and run it with `ztc bootstrap`")
        });
    };
    let runs = journal::runs(&context.repository)?;
    let wanted = asked.to_uppercase();
    let mut matching = runs.iter().filter(|run| run.starts_with(&wanted));
    match (matching.next(), matching.next()) {
        (Some(run), None) => Ok(run.clone()),
        (Some(first), Some(second)) => Err(Failure::invalid(format!(
            "`{asked}` can be run {first} or {second}"
        ))
        .help("give more of its name; list the runs with `ztc report --list`")),
        (None, _) => {
            let near = did_you_mean(&wanted, runs.iter().map(String::as_str));
            Err(Failure::invalid(format!("there is no run `{asked}`"))
                .help(near.unwrap_or_else(|| "list the runs with `ztc report --list`".to_owned())))
        }
    }
}

/// What is generated and lies in the repository is masked again: logs are masked when they are written, but who knows by which version.
fn mask_known_secrets(context: &Context, environment: &str) {
    let Ok(Some(lock)) = Lock::load(&context.repository) else {
        return;
    };
    for name in lock.secrets.keys() {
        // A bundle that is gone has nothing to hide any more than it had when the log was written.
        let _ = Bundle::load(&context.repository, environment, context.ui.mask(), name);
    }
}

/// The commands that go on; nothing where nothing is left to do.
fn next(context: &Context, arguments: &Arguments, report: &RunReport) -> Option<NextCommands> {
    let locked = Lock::load(&context.repository)
        .ok()
        .flatten()
        .map(|lock| lock.environment);
    let env = match &arguments.env {
        Some(env) => Some(env.as_str()),
        None => Some(report.environment.as_str()).filter(|env| locked.as_deref() != Some(*env)),
    };
    let command = match &report.kind {
        RunKind::Bootstrap => "bootstrap".to_owned(),
        RunKind::Rollback { to } => format!("rollback --to {to}"),
        RunKind::Reset { .. } => return None,
    };
    match report.status {
        Status::Succeeded | Status::Running => None,
        Status::Degraded
        | Status::Failed
        | Status::Interrupted
        | Status::Lost
        | Status::Pending
        | Status::Skipped => Some(NextCommands::new(context.repository.root(), env, &command)),
    }
}

fn list(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let all = history::list(&context.repository, arguments.env.as_deref())?;
    let mut rows: Vec<Vec<String>> = all
        .runs
        .iter()
        .map(row)
        .chain(all.unreadable.iter().map(unreadable))
        .collect();
    rows.sort_by(|a, b| b[0].cmp(&a[0]));
    if context.ui.is_json() {
        context.ui.json(&all);
    } else if rows.is_empty() {
        context.ui.say("nothing has been run yet");
    } else {
        context.ui.data(&table(
            &[
                "RUN",
                "ENVIRONMENT",
                "WHAT",
                "BEGAN",
                "STATE",
                "TOOK",
                "TASKS",
            ],
            &rows,
        ));
    }
    for broken in &all.unreadable {
        let why = std::iter::once(&broken.error.message).chain(&broken.error.details);
        let mut warning = Finding::warning(why.cloned().collect::<Vec<_>>().join("\n  "));
        warning.help.clone_from(&broken.error.help);
        context.ui.finding(&warning);
    }
    Ok(Exit::Done)
}

fn unreadable(broken: &Unreadable) -> Vec<String> {
    vec![
        broken.run.clone(),
        broken.environment.clone().unwrap_or_else(|| "?".to_owned()),
        "?".to_owned(),
        broken.began.clone(),
        "unreadable".to_owned(),
    ]
}

fn row(listed: &Listed) -> Vec<String> {
    let what = match &listed.kind {
        RunKind::Bootstrap => "bootstrap".to_owned(),
        RunKind::Rollback { to } => format!("rollback to {to}"),
        RunKind::Reset { .. } => "reset".to_owned(),
    };
    vec![
        listed.run.clone(),
        listed.environment.clone(),
        what,
        listed.began.clone(),
        listed.status.of_run().to_owned(),
        match listed.kind {
            RunKind::Bootstrap | RunKind::Rollback { .. } => listed.status.took(listed.seconds),
            RunKind::Reset { .. } => String::new(),
        },
        listed.tasks.clone(),
    ]
}

//! `ztc reset`: what succeeded counts no more. Journals, logs and secrets stay; the reset is a record of its own, so that an old journal
//! cannot bring back what was forgotten.

use serde_json::json;

use crate::commands::running;
use crate::commands::{Context, status};
use crate::error::{Exit, Failure};
use crate::pipeline::cache::Cache;
use crate::pipeline::event::{Event, Outcome, RunKind, RunStarted};
use crate::pipeline::journal::{self, Journal};
use crate::pipeline::run_lock::Holder;
use crate::platform::Platform;
use crate::ui::run::NextCommands;

/// Options of `ztc reset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of the lock]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Forget also what destroyed data, so that the next bootstrap destroys it again
    #[arg(long)]
    pub(crate) destructive: bool,
    /// Forget without being asked
    #[arg(long, conflicts_with = "destructive")]
    pub(crate) yes: bool,
    /// Confirm `--destructive` without being asked: the name of the cluster
    #[arg(long, value_name = "NAME", requires = "destructive")]
    pub(crate) confirm: Option<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = status::environment(context, arguments.env.as_deref())?;
    let _lock = running::lock(context, &environment)?;
    let cache = Cache::load(&context.repository, &environment)?;
    let (forgotten, kept) = sorted(&cache, arguments.destructive);
    if forgotten.is_empty() {
        report(context, &environment, None, (&forgotten, &kept));
        context.ui.done(format!(
            "nothing of `{environment}` is known that could be forgotten"
        ));
        return Ok(Exit::Done);
    }
    let list = list(&forgotten, &kept, arguments.destructive);
    confirm(context, arguments, &environment, &list)?;
    let run = forget(context, &environment, arguments.destructive)?;
    report(context, &environment, Some(&run), (&forgotten, &kept));
    context.ui.done(format!(
        "{} tasks of `{environment}` are forgotten",
        forgotten.len()
    ));
    context.ui.next("ztc plan", "what runs now");
    Ok(Exit::Done)
}

/// The tasks that are forgotten, those that destroy data last, and those that are kept.
fn sorted(cache: &Cache, destructive: bool) -> (Vec<String>, Vec<String>) {
    let name = |(key, item, _): &(&str, &str, bool)| match *item {
        "" => (*key).to_owned(),
        item => format!("{key}[{item}]"),
    };
    let (destroying, harmless): (Vec<_>, Vec<_>) =
        cache.known().partition(|(_, _, destructive)| *destructive);
    let mut forgotten: Vec<String> = harmless.iter().map(name).collect();
    let destroying: Vec<String> = destroying.iter().map(name).collect();
    match destructive {
        true => {
            forgotten.extend(destroying);
            (forgotten, Vec::new())
        }
        false => (forgotten, destroying),
    }
}

/// Writes what was forgotten for programs.
fn report(
    context: &Context,
    environment: &str,
    run: Option<&str>,
    (forgotten, kept): (&[String], &[String]),
) {
    if context.ui.is_json() {
        context.ui.json(&json!({
            "environment": environment, "run": run, "forgotten": forgotten, "kept": kept
        }));
    }
}

fn list(forgotten: &[String], kept: &[String], destructive: bool) -> String {
    let mut text = format!(
        "these are forgotten and run again: {}",
        forgotten.join(", ")
    );
    if destructive {
        text.push_str(
            "\nthat includes what destroyed data: THE NEXT BOOTSTRAP WIPES THOSE DISKS AGAIN, with everything that the cluster holds by then",
        );
    } else if !kept.is_empty() {
        text.push_str(&format!(
            "\nthese destroyed data and stay known, so that no disk is wiped again (`--destructive` forgets them too): {}",
            kept.join(", ")
        ));
    }
    text + "\nsecrets, logs and journals stay"
}

fn confirm(
    context: &Context,
    arguments: &Arguments,
    environment: &str,
    list: &str,
) -> Result<(), Failure> {
    let next = NextCommands::new(
        context.repository.root(),
        arguments.env.as_deref(),
        if arguments.destructive {
            "reset --destructive"
        } else {
            "reset"
        },
    );
    if !arguments.destructive {
        context.ui.say(list);
        return running::consent(context, arguments.yes, "Forget them?", &next.resume());
    }
    let cluster = Platform::load(&context.repository, Some(environment))
        .ok()
        .and_then(|platform| platform.cluster_name().map(str::to_owned))
        .unwrap_or_else(|| environment.to_owned());
    let refusal = "forgetting what destroyed data lets it be destroyed again, and nobody is there to confirm it";
    running::named(
        context,
        arguments.confirm.as_deref(),
        &cluster,
        list,
        (refusal.to_owned(), next.resume()),
    )
}

/// Writes the record, then the cache that follows from it. Returns the run that the record is of.
fn forget(context: &Context, environment: &str, destructive: bool) -> Result<String, Failure> {
    let repository = &context.repository;
    let last = journal::runs(repository)?.pop().unwrap_or_default();
    let run = journal::new_run(&last);
    let mut journal = Journal::create(repository, &run)?;
    let head = RunStarted {
        environment: environment.to_owned(),
        kind: RunKind::Reset { destructive },
        ztc_version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        host: Holder::host_name(),
        ..RunStarted::default()
    };
    let end = Event::RunFinished {
        outcome: Outcome::Succeeded,
        seconds: 0.0,
    };
    journal.append(vec![Event::RunStarted(head), end])?;
    Cache::load(repository, environment)?.save(repository, environment)?;
    if destructive {
        // Keys of rescue systems and the like, of machines that are made anew.
        let state = repository.state(environment);
        match std::fs::remove_dir_all(&state) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &state, &error));
            }
            _ => {}
        }
    }
    Ok(run)
}

//! `ztc bootstrap`: the pipeline, run or resumed.
//!
//! Nothing is touched before everything is checked: the repository against its lock, the tools, the secrets, the operator's consent.

use std::sync::Arc;
use std::time::Duration;

use crate::commands::plan;
use crate::commands::validate::{Verified, verify};
use crate::commands::{Context, interrupt, until_interrupted, wait_for_all_of};
use crate::error::{Exit, Failure};
use crate::jq;
use crate::pipeline::event::Outcome;
use crate::pipeline::file::Pipeline;
use crate::pipeline::journal;
use crate::pipeline::plan::Options;
use crate::pipeline::prepared::{Prepared, cluster_name};
use crate::pipeline::run_lock::{Holder, RunLock};
use crate::pipeline::runner::{Runner, exit};
use crate::pipeline::site::Site;
use crate::pipeline::state::RunState;
use crate::secrets::Vault;
use crate::ui::run::{NextCommands, RunView, duration, end};
use crate::ui::table::table;

/// How many tasks run at the same time unless the operator says otherwise: stages mostly wait for other machines.
const JOBS: u16 = 16;

/// How long a stage may take to end when asked to.
const GRACE: Duration = Duration::from_secs(10);

/// What of an item's context an operator recognizes a machine by.
const RECOGNIZED: [&str; 7] = [
    "server_id",
    "id",
    "server_name",
    "machine",
    "disk",
    "install_disk",
    "role",
];

/// Options of `ztc bootstrap`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Run every stage, whatever succeeded before
    #[arg(long)]
    pub(crate) skip_cache: bool,
    /// Check everything and show the plan, but run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many stages and items run at the same time [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Run this stage and what comes after it, whatever succeeded before
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Run only this stage, or one task of it such as `install_talos[cp01]`
    #[arg(long, value_name = "STAGE", conflicts_with = "from")]
    pub(crate) only: Option<String>,
    /// Confirm destructive stages without being asked: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    wait_for_all_of(bootstrap(context, arguments))
}

async fn bootstrap(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let verified = until_interrupted(verify(context, arguments.env.as_deref()))
        .await
        .map_err(refused)?;
    verified
        .warnings
        .iter()
        .for_each(|warning| context.ui.finding(warning));
    let environment = verified.platform.environment.clone();
    let mut lock = if arguments.dry_run {
        None
    } else {
        Some(lock(context, &environment)?)
    };
    let Verified {
        platform,
        lock: locked,
        pipeline,
        bundles,
        ..
    } = verified;
    let options = Options {
        skip_cache: arguments.skip_cache,
        from: arguments.from.clone(),
        only: arguments.only.clone(),
    };
    let prepared = Prepared::new(
        &context.repository,
        &environment,
        &locked,
        &pipeline,
        &bundles,
        &options,
    )?;
    let vault = Vault::new(&context.repository, context.ui.mask());
    let secrets = until_interrupted(async {
        prepared.check_tools(&pipeline).await?;
        prepared.secrets(&pipeline, &platform, &vault).await
    })
    .await?;
    let Some(lock) = &mut lock else {
        return Ok(show_plan(context, &environment, &pipeline, &prepared));
    };
    plan::summary(&context.ui, &pipeline, &prepared);
    let next = NextCommands::new(context.repository.root(), arguments.env.as_deref());
    confirm(
        context,
        arguments,
        &cluster_name(&platform),
        &pipeline,
        &prepared,
        &next,
    )?;
    let Prepared {
        tasks,
        inputs,
        cache,
        plan,
    } = prepared;
    let site = Arc::new(Site {
        repository: context.repository.clone(),
        environment,
        lock: locked,
        pipeline,
        tasks,
        inputs,
        bundles,
        secrets,
        variables: jq::with_jq(&context.repository)?,
        mask: context.ui.mask().clone(),
        grace: GRACE,
    });
    let host = host();
    let runner = Runner::new(
        site.clone(),
        plan,
        cache,
        usize::from(arguments.jobs.unwrap_or(JOBS)),
        host.clone(),
    )?;
    let holder = Holder {
        run: runner.name().to_owned(),
        pid: std::process::id(),
        host,
        since: journal::now(),
    };
    lock.sign(&holder)
        .map_err(|error| Failure::failed("failed to write who runs").detail(error))?;
    context.ui.say(format!("run {}", runner.name()));
    let mut view = RunView::new(&context.ui);
    let state = runner
        .run(interrupt::wishes()?, |told| view.show(&told))
        .await?;
    finish(context, &site, &state, &next)
}

/// What differs from the lock is a reason not to run.
fn refused(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Differences => Failure {
            exit: Exit::Refused,
            ..failure
        },
        _ => failure,
    }
}

fn lock(context: &Context, environment: &str) -> Result<RunLock, Failure> {
    let lock = RunLock::acquire(&context.repository, environment)?;
    if let Some(Holder { run, pid, .. }) = &lock.died {
        context.ui.warning(format!(
            "run {run} ended without a word (process {pid} is gone); going on from its journal"
        ));
    }
    Ok(lock)
}

fn show_plan(
    context: &Context,
    environment: &str,
    pipeline: &Pipeline,
    prepared: &Prepared,
) -> Exit {
    if context.ui.is_json() {
        context
            .ui
            .json(&plan::report(environment, pipeline, prepared));
    } else {
        context.ui.data(&plan::text(pipeline, prepared));
        plan::summary(&context.ui, pipeline, prepared);
        context
            .ui
            .done("everything is in place; nothing has been run (--dry-run)");
    }
    Exit::Done
}

/// Lists what is about to be destroyed and goes on only with the cluster's name.
fn confirm(
    context: &Context,
    arguments: &Arguments,
    cluster: &str,
    pipeline: &Pipeline,
    prepared: &Prepared,
    next: &NextCommands,
) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = prepared
        .destructive(pipeline)
        .map(|task| destroyed(pipeline, prepared, task))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let list = format!(
        "these destroy data:\n{}",
        table(&["STAGE", "ITEM", "KEY", "WHAT", "WHY"], &rows)
    );
    let given = match &arguments.confirm {
        Some(name) => {
            context.ui.say(list);
            name.clone()
        }
        None if context.ui.is_interactive() => context.ui.ask(
            &list,
            &format!("Type the name of the cluster, `{cluster}`, to go on"),
        )?,
        None => {
            context.ui.say(list);
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "{} tasks destroy data, and nobody is there to confirm it",
                    rows.len()
                ),
            )
            .help(format!(
                "read the list above; then run `{} --confirm {cluster}`",
                next.resume()
            )));
        }
    };
    match given.trim() == cluster {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Refused,
            format!(
                "`{}` is not the name of the cluster; nothing has been run",
                given.trim()
            ),
        )
        .help(format!(
            "the name is `{cluster}`; make sure that this is the cluster you mean"
        ))),
    }
}

fn destroyed(pipeline: &Pipeline, prepared: &Prepared, task: usize) -> Vec<String> {
    let (why, inputs) = (&prepared.plan.why[task], &prepared.inputs[task]);
    let task = &prepared.tasks.list[task];
    let facts = RECOGNIZED.iter().filter_map(|key| {
        let value = inputs.context.get(*key)?;
        Some(format!(
            "{key} {}",
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        ))
    });
    vec![
        task.entry(pipeline).name.clone(),
        task.item(pipeline)
            .map_or(String::new(), |item| item.name.clone()),
        task.item_key(pipeline).to_owned(),
        facts.collect::<Vec<_>>().join(", "),
        why.to_string(),
    ]
}

/// The name of this machine.
fn host() -> String {
    let system = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    system
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Says how the run ended.
fn finish(
    context: &Context,
    site: &Site,
    state: &RunState,
    next: &NextCommands,
) -> Result<Exit, Failure> {
    let logs = journal::directory(&site.repository, &state.run);
    let log = |task: &str| {
        let found = site.tasks.list.iter().find(|other| other.name == task);
        let name = found.map_or_else(|| task.to_owned(), |task| task.file_name());
        site.repository.display(&logs.join(format!("{name}.log")))
    };
    let (outcome, seconds) = state.outcome.unwrap_or((Outcome::Failed, 0.0));
    if let Some(failure) = end(state, log, next) {
        return context.ui.run_failure(failure);
    }
    let count = state.phases.len();
    context
        .ui
        .done(format!("{count} tasks in {}", duration(seconds)));
    if outcome == Outcome::Degraded {
        context.ui.warning(
            "some tasks that are not required failed; the next bootstrap tries them again",
        );
    }
    Ok(exit(outcome))
}

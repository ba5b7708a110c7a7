//! `ztc rollback --to STAGE`: the rollback scripts of what ran behind a stage, the last first. Recorded like any run, so that it can be
//! interrupted and gone on with by the same command.

use crate::commands::bootstrap::refused;
use crate::commands::running::{self, Pace};
use crate::commands::validate::{Verified, verify};
use crate::commands::{Context, plan, until_interrupted, wait_for_all_of};
use crate::error::{Exit, Failure};
use crate::jq;
use crate::pipeline::cache::Cache;
use crate::pipeline::event::RunKind;
use crate::pipeline::inputs::{self, Artifacts};
use crate::pipeline::manual::Desk;
use crate::pipeline::prepared::{Prepared, cluster_name};
use crate::pipeline::rollback::{self, Rollback};
use crate::pipeline::site::Site;
use crate::pipeline::tasks::Tasks;
use crate::render::Strictness;
use crate::secrets::Vault;
use crate::shell::word;
use crate::ui::run::NextCommands;

/// Options of `ztc rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// The last stage that stays: everything behind it in the pipeline is undone
    #[arg(long, value_name = "STAGE")]
    pub(crate) to: String,
    /// Show what would be undone, but run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Undo without being asked
    #[arg(long)]
    pub(crate) yes: bool,
    /// Confirm rollback scripts that destroy data without being asked: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    wait_for_all_of(undo(context, arguments))
}

async fn undo(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let Verified {
        platform,
        lock: locked,
        pipeline,
        bundles,
        warnings,
    } = until_interrupted(verify(
        context,
        arguments.env.as_deref(),
        Strictness::Normal,
    ))
    .await
    .map_err(refused)?;
    warnings
        .iter()
        .for_each(|warning| context.ui.finding(warning));
    let environment = platform.environment.clone();
    let Rollback { pipeline, without } = rollback::rollback(&pipeline, &arguments.to)?;
    let mut lock = match arguments.dry_run {
        true => None,
        false => Some(running::lock(context, &environment)?),
    };
    let repository = &context.repository;
    let tasks = Tasks::of(&pipeline)?;
    let cache = Cache::load(repository, &environment)?;
    let prepared = Prepared {
        inputs: inputs::load(
            Artifacts::new(repository, &locked),
            &pipeline,
            &tasks,
            &bundles,
        )?,
        plan: rollback::plan(&pipeline, &tasks, &cache, &arguments.to),
        tasks,
        cache,
    };
    let vault = Vault::new(repository, context.ui.mask());
    let secrets = until_interrupted(async {
        prepared.check_tools(&pipeline).await?;
        prepared.secrets(&pipeline, &platform, &vault).await
    })
    .await?;
    show(context, &environment, &pipeline, &prepared, &without);
    let nothing = prepared.plan.running().next().is_none();
    let (Some(lock), false) = (&mut lock, nothing) else {
        context.ui.done(match nothing {
            true => "there is nothing to undo".to_owned(),
            false => "nothing has been undone (--dry-run)".to_owned(),
        });
        return Ok(Exit::Done);
    };
    let command = format!("rollback --to {}", word(&arguments.to));
    let next = NextCommands::new(repository.root(), arguments.env.as_deref(), &command);
    let next = arguments.pace.kept(next);
    confirm(
        context,
        arguments,
        &cluster_name(&platform),
        &pipeline,
        &prepared,
        &next,
    )?;
    let site = Site {
        repository: repository.clone(),
        environment,
        lock: locked,
        pipeline,
        tasks: prepared.tasks,
        inputs: prepared.inputs,
        bundles,
        secrets,
        variables: jq::with_jq(repository)?,
        mask: context.ui.mask().clone(),
        grace: running::GRACE,
        launcher: std::env::current_exe().ok(),
        desk: Desk::Nobody,
    };
    let kind = RunKind::Rollback {
        to: arguments.to.clone(),
    };
    running::execute(
        context,
        lock,
        (site, prepared.plan, prepared.cache),
        (kind, &arguments.pace),
        &next,
    )
    .await
}

fn show(
    context: &Context,
    environment: &str,
    pipeline: &crate::pipeline::file::Pipeline,
    prepared: &Prepared,
    without: &[String],
) {
    let ui = &context.ui;
    match ui.is_json() {
        // Before a run stdout belongs to its events.
        true => {}
        false => ui.data(&plan::text(pipeline, prepared)),
    }
    plan::summary_of_undoing(ui, pipeline, prepared);
    if !without.is_empty() {
        ui.warning(format!(
            "nothing undoes {} of `{environment}`: they stay as they are",
            without
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
}

fn confirm(
    context: &Context,
    arguments: &Arguments,
    cluster: &str,
    pipeline: &crate::pipeline::file::Pipeline,
    prepared: &Prepared,
    next: &NextCommands,
) -> Result<(), Failure> {
    let count = prepared.plan.running().count();
    match running::destroyed(pipeline, prepared, context.ui.columns()) {
        Some(list) => running::named(
            context,
            arguments.confirm.as_deref(),
            cluster,
            &list,
            (
                "undoing this destroys data, and nobody is there to confirm it".to_owned(),
                next.resume(),
            ),
        ),
        None => running::consent(
            context,
            arguments.yes || arguments.confirm.as_deref() == Some(cluster),
            &format!("Undo these {count} tasks?"),
            &next.resume(),
        ),
    }
}

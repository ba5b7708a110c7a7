//! `ztc bootstrap`: the pipeline, run or resumed.
//!
//! Nothing is touched before everything is checked: the repository against its lock, the tools, the secrets, the operator's consent.

use crate::commands::running::{self, Pace};
use crate::commands::validate::{Verified, verify};
use crate::commands::{Context, plan, until_interrupted, wait_for_all_of};
use crate::error::{Exit, Failure};
use crate::jq;
use crate::pipeline::event::RunKind;
use crate::pipeline::file::Pipeline;
use crate::pipeline::plan::Options;
use crate::pipeline::prepared::{Prepared, cluster_name};
use crate::pipeline::site::Site;
use crate::render::Strictness;
use crate::secrets::Vault;
use crate::ui::run::NextCommands;

/// Options of `ztc bootstrap`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Refuse what the lock does not know yet (an executable, a secret bundle) instead of warning of it
    #[arg(long)]
    pub(crate) locked: bool,
    /// Run every stage, whatever succeeded before
    #[arg(long)]
    pub(crate) skip_cache: bool,
    /// Check everything and show the plan, but run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run this stage and what comes after it, whatever succeeded before
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Run only this stage, or one task of it such as `install_talos[cp01]`
    #[arg(long, value_name = "STAGE", conflicts_with = "from")]
    pub(crate) only: Option<String>,
    /// Confirm destructive stages without being asked: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Confirm manual stages beforehand: what they ask for has been done
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    wait_for_all_of(bootstrap(context, arguments))
}

async fn bootstrap(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let verified = until_interrupted(verify(
        context,
        arguments.env.as_deref(),
        Strictness::of(arguments.locked),
    ))
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
        Some(running::lock(context, &environment)?)
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
    let next = next(context, arguments);
    confirm(
        context,
        arguments,
        &cluster_name(&platform),
        &pipeline,
        &prepared,
        &next,
    )?;
    let desk = running::desk(context, arguments.yes, &prepared, &next)?;
    let Prepared {
        tasks,
        inputs,
        cache,
        plan,
    } = prepared;
    let site = Site {
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
        grace: running::GRACE,
        launcher: std::env::current_exe().ok(),
        desk,
    };
    let kind = RunKind::Bootstrap;
    running::execute(
        context,
        lock,
        (site, plan, cache),
        (kind, &arguments.pace),
        &next,
    )
    .await
}

/// The command that goes on. What succeeded after `--from` and with `--skip-cache` is not run again, so these are not repeated; neither is the
/// consent to destroy data.
fn next(context: &Context, arguments: &Arguments) -> NextCommands {
    let root = context.repository.root();
    let mut next = NextCommands::new(root, arguments.env.as_deref(), "bootstrap");
    if let Some(only) = &arguments.only {
        next = next.with("--only", Some(only));
    }
    if arguments.locked {
        next = next.with("--locked", None);
    }
    if arguments.yes {
        next = next.with("--yes", None);
    }
    arguments.pace.kept(next)
}

/// What differs from the lock is a reason not to run.
pub(crate) fn refused(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Differences => Failure {
            exit: Exit::Refused,
            ..failure
        },
        _ => failure,
    }
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
    let Some(list) = running::destroyed(pipeline, prepared, context.ui.columns()) else {
        return Ok(());
    };
    let count = prepared.destructive(pipeline).count();
    running::named(
        context,
        arguments.confirm.as_deref(),
        cluster,
        &list,
        (
            format!("{count} tasks destroy data, and nobody is there to confirm it"),
            next.resume(),
        ),
    )
}

//! `ztc plan`: what a bootstrap would do.

use serde::Serialize;

use crate::commands::validate::{Verified, verify};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure};
use crate::pipeline::file::Pipeline;
use crate::pipeline::plan::Options;
use crate::pipeline::prepared::Prepared;
use crate::pipeline::why::Why;
use crate::render::Strictness;
use crate::ui::Ui;
use crate::ui::table::table;

/// Options of `ztc plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Refuse what the lock does not know yet (an executable, a secret bundle) instead of warning of it
    #[arg(long)]
    pub(crate) locked: bool,
    /// Plan as if nothing had run before
    #[arg(long)]
    pub(crate) skip_cache: bool,
    /// Plan from this stage on
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Plan only this stage, or one task of it such as `install_talos[cp01]`
    #[arg(long, value_name = "STAGE", conflicts_with = "from")]
    pub(crate) only: Option<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let Verified {
        platform,
        lock,
        pipeline,
        bundles,
        warnings,
    } = wait_for(verify(
        context,
        arguments.env.as_deref(),
        Strictness::of(arguments.locked),
    ))?;
    warnings
        .iter()
        .for_each(|warning| context.ui.finding(warning));
    let options = Options {
        skip_cache: arguments.skip_cache,
        from: arguments.from.clone(),
        only: arguments.only.clone(),
    };
    let prepared = Prepared::new(
        &context.repository,
        &platform.environment,
        &lock,
        &pipeline,
        &bundles,
        &options,
    )?;
    if context.ui.is_json() {
        context
            .ui
            .json(&report(&platform.environment, &pipeline, &prepared));
    } else {
        context.ui.data(&text(&pipeline, &prepared));
        summary(&context.ui, &pipeline, &prepared);
    }
    Ok(Exit::Done)
}

/// The plan as `--json` shows it.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    environment: &'a str,
    tasks: Vec<TaskReport<'a>>,
}

#[derive(Serialize)]
struct TaskReport<'a> {
    task: &'a str,
    stage: &'a str,
    adapter: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    item: &'a str,
    action: &'static str,
    why: &'a Why,
    text: String,
    destructive: bool,
    required: bool,
}

fn action(why: &Why) -> &'static str {
    if why.runs() { "run" } else { "skip" }
}

/// Makes the report.
pub(crate) fn report<'a>(
    environment: &'a str,
    pipeline: &'a Pipeline,
    prepared: &'a Prepared,
) -> Report<'a> {
    let tasks = prepared
        .tasks
        .list
        .iter()
        .zip(&prepared.plan.why)
        .map(|(task, why)| {
            let entry = task.entry(pipeline);
            TaskReport {
                task: &task.name,
                stage: &entry.name,
                adapter: &entry.adapter,
                item: task.item_key(pipeline),
                action: action(why),
                why,
                text: why.to_string(),
                destructive: entry.destructive,
                required: entry.required,
            }
        });
    Report {
        environment,
        tasks: tasks.collect(),
    }
}

/// Writes the plan as a table.
pub(crate) fn text(pipeline: &Pipeline, prepared: &Prepared) -> String {
    let rows: Vec<Vec<String>> = prepared
        .tasks
        .list
        .iter()
        .zip(&prepared.plan.why)
        .map(|(task, why)| {
            let entry = task.entry(pipeline);
            let item = task.item(pipeline).map_or("", |item| &item.name);
            let destroys = if entry.destructive && why.runs() {
                "destroys data"
            } else {
                ""
            };
            [&entry.name, item, action(why), &why.to_string(), destroys]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    table(&["STAGE", "ITEM", "ACTION", "WHY", ""], &rows)
}

/// Says how much there is to do.
pub(crate) fn summary(ui: &Ui, pipeline: &Pipeline, prepared: &Prepared) {
    let all = prepared.tasks.list.len();
    let running = prepared.plan.running().count();
    let destructive = match prepared.destructive(pipeline).count() {
        0 => String::new(),
        count => format!(", {count} of them destroy data"),
    };
    ui.say(format!("{running} of {all} tasks run{destructive}"));
}

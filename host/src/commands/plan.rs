//! `ztc plan`: what a bootstrap would do.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::adapter::Source;
use crate::commands::validate::{Verified, verify};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding};
use crate::pipeline::file::Pipeline;
use crate::pipeline::plan::Options;
use crate::pipeline::prepared::Prepared;
use crate::pipeline::run_lock;
use crate::pipeline::why::{Unfinished, Why};
use crate::render::Strictness;
use crate::render::output::SCRIPTS;
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
    // Asked before the journal is read: what begins afterwards is no news of this plan.
    let live = run_lock::live(&context.repository, &platform.environment);
    let prepared = Prepared::new(
        &context.repository,
        &platform.environment,
        &lock,
        &pipeline,
        &bundles,
        &options,
    )?;
    let environment = &platform.environment;
    let live = live.map(|holder| holder.run);
    if context.ui.is_json() {
        let mut report = report(environment, &pipeline, &prepared);
        for task in &mut report.tasks {
            task.text = reason(task.why, live.as_deref());
        }
        report.live = live;
        context.ui.json(&report);
        return Ok(Exit::Done);
    }
    context
        .ui
        .data(&rows(&pipeline, &prepared, live.as_deref()));
    summary(&context.ui, &pipeline, &prepared);
    let others: BTreeSet<&str> = prepared
        .plan
        .running()
        .map(|task| prepared.tasks.list[task].entry(&pipeline).adapter.as_str())
        .filter(|section| {
            let adapter = lock.adapters.get(*section);
            adapter.is_some_and(|adapter| adapter.source != Source::BuiltIn.word())
        })
        .collect();
    for section in others {
        context.ui.say(format!(
            "  `{section}` is no part of ztc, and its stages run as you, outside of the sandbox: {SCRIPTS}/{section}"
        ));
    }
    if let Some(run) = live {
        context.ui.finding(
            &Finding::warning(format!(
                "run {run} of `{environment}` is going on: this is what would be left if it ended now"
            ))
            .help("follow it with `ztc status --follow`"),
        );
    }
    Ok(Exit::Done)
}

/// A reason, as it is while a run goes on: what that has begun is not unfinished yet.
fn reason(why: &Why, live: Option<&str>) -> String {
    match why {
        Why::Unfinished {
            run,
            how: Unfinished::Lost | Unfinished::Undoing,
        } if live == Some(run) => format!("is running now in run {run}"),
        why => why.to_string(),
    }
}

/// The plan as `--json` shows it.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    environment: &'a str,
    /// The run that goes on meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<String>,
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
        live: None,
        tasks: tasks.collect(),
    }
}

/// Writes the plan as a table.
pub(crate) fn text(pipeline: &Pipeline, prepared: &Prepared) -> String {
    rows(pipeline, prepared, None)
}

fn rows(pipeline: &Pipeline, prepared: &Prepared, live: Option<&str>) -> String {
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
            [&entry.name, item, action(why), &reason(why, live), destroys]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    table(&["STAGE", "ITEM", "ACTION", "WHY", ""], &rows)
}

/// Says how much there is to do.
pub(crate) fn summary(ui: &Ui, pipeline: &Pipeline, prepared: &Prepared) {
    say(ui, pipeline, prepared, "run");
}

/// Says how much there is to undo.
pub(crate) fn summary_of_undoing(ui: &Ui, pipeline: &Pipeline, prepared: &Prepared) {
    say(ui, pipeline, prepared, "are undone");
}

fn say(ui: &Ui, pipeline: &Pipeline, prepared: &Prepared, verb: &str) {
    let all = prepared.tasks.list.len();
    let running = prepared.plan.running().count();
    let destructive = match prepared.destructive(pipeline).count() {
        0 => String::new(),
        count => format!(", {count} of them destroy data"),
    };
    ui.say(format!("{running} of {all} tasks {verb}{destructive}"));
}

//! `ztc cancel`: ends a live run as Ctrl-C would where it runs, and waits for its end.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::commands::running::GRACE;
use crate::commands::status::{self, headline};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure};
use crate::pipeline::event::Outcome;
use crate::pipeline::live::Ask;
use crate::pipeline::run_lock::{self, Holder};
use crate::report::history::History;

/// How often it looks whether a run has ended that cannot be talked to.
const LOOK: Duration = Duration::from_millis(50);

/// Options of `ztc cancel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of the lock]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Kill running stages at once, as a second Ctrl-C would
    #[arg(long)]
    pub(crate) force: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = status::environment(context, arguments.env.as_deref())?;
    let Some(holder) = run_lock::live(&context.repository, &environment) else {
        report(context, &environment, None, None);
        context
            .ui
            .done(format!("no run of `{environment}` is going on"));
        return Ok(Exit::Done);
    };
    wait_for(cancel(context, &environment, &holder, arguments.force))
}

async fn cancel(
    context: &Context,
    environment: &str,
    holder: &Holder,
    force: bool,
) -> Result<Exit, Failure> {
    let ask = if force { Ask::Kill } else { Ask::Cancel };
    let mut outcome = None;
    let told = match status::knock(holder, ask).await {
        Some(mut reader) => {
            let how = match force {
                true => "its stages are killed".to_owned(),
                false => format!("its stages may take {} s for that", GRACE.as_secs()),
            };
            context
                .ui
                .say(format!("run {} is asked to end; {how}", holder.run));
            let seen = status::watch(context, &mut reader, false, History::default()).await?;
            outcome = seen.state.outcome.map(|(outcome, _)| outcome);
            Some(headline(&seen.state, None))
        }
        None => {
            signal(holder, force)?;
            context.ui.say(format!(
                "run {} does not answer; process {} got a signal",
                holder.run, holder.pid
            ));
            None
        }
    };
    // Its last words come a moment before it lets go of the lock.
    while run_lock::live(&context.repository, environment)
        .is_some_and(|other| other.run == holder.run)
    {
        tokio::time::sleep(LOOK).await;
    }
    report(context, environment, Some(&holder.run), outcome);
    context
        .ui
        .done(told.unwrap_or_else(|| format!("run {} has ended", holder.run)));
    Ok(Exit::Done)
}

/// Signals a run that cannot be talked to, as far as it is a process of this machine.
fn signal(holder: &Holder, force: bool) -> Result<(), Failure> {
    let unreachable = || {
        Failure::failed(format!(
            "run {} on {} cannot be reached from here",
            holder.run, holder.host
        ))
        .help(format!("run `ztc cancel` on {}", holder.host))
    };
    let pid = i32::try_from(holder.pid)
        .ok()
        .and_then(Pid::from_raw)
        .filter(|_| holder.is_here())
        .ok_or_else(unreachable)?;
    for _ in 0..if force { 2 } else { 1 } {
        kill_process(pid, Signal::INT).map_err(|error| {
            Failure::failed(format!("failed to signal process {}", holder.pid)).detail(error)
        })?;
    }
    Ok(())
}

/// Writes which run has ended and how, for programs; how is not known of one that did not answer.
fn report(context: &Context, environment: &str, run: Option<&str>, outcome: Option<Outcome>) {
    if context.ui.is_json() {
        context
            .ui
            .json(&json!({ "environment": environment, "run": run, "outcome": outcome }));
    }
}

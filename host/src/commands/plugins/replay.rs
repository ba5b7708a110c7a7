//! `ztc plugins replay`: one side of a recording again. As the adapter, it answers the requests on stdin with what was recorded; as the host,
//! it sends what was recorded to the adapters. Either way it shows what the other side does differently now. Changes nothing.

mod adapter_side;
mod difference;
mod host_side;

use std::path::PathBuf;

use serde_json::json;

use crate::adapter::record::{self, Exchange};
use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc plugins replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A file that `--record` has written, or a transcript of the protocol
    file: PathBuf,
    /// Replay this adapter's part only
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Be the host: start the adapters, ask them what was asked, compare their answers
    #[arg(long)]
    as_host: bool,
}

/// How a replay went.
#[derive(Default)]
struct Outcome {
    same: usize,
    /// Calls that cannot be compared, and why.
    left_out: Vec<String>,
    /// What is different now, as text for people.
    different: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let exchanges = wanted(arguments)?;
    if arguments.as_host {
        let outcome = host_side::run(context, &exchanges)?;
        return shown(context, &outcome, "answers");
    }
    adapter_side::run(context, &exchanges)
}

fn wanted(arguments: &Arguments) -> Result<Vec<Exchange>, Failure> {
    let mut exchanges = record::read(&arguments.file)?;
    let wanted = arguments.adapter.as_ref();
    exchanges.retain(|exchange| wanted.is_none_or(|name| *name == exchange.adapter));
    match exchanges.is_empty() {
        true => Err(Failure::invalid(format!(
            "`{}` holds no call to replay",
            arguments.file.display()
        ))
        .help("record one with `--record FILE`, or leave `--adapter` out")),
        false => Ok(exchanges),
    }
}

/// Shows the outcome and returns the exit code. `what` is what was compared.
fn shown(context: &Context, outcome: &Outcome, what: &str) -> Result<Exit, Failure> {
    let ui = &context.ui;
    if ui.is_json() {
        ui.json(&json!({
            "same": outcome.same,
            "left_out": outcome.left_out,
            "different": outcome.different,
        }));
    } else {
        for difference in &outcome.different {
            ui.data(difference);
        }
    }
    if !outcome.left_out.is_empty() {
        ui.warning(format!("not compared: {}", outcome.left_out.join(", ")));
    }
    let same = outcome.same;
    match outcome.different.len() {
        0 => {
            ui.done(format!("{same} {what} are the same"));
            Ok(Exit::Done)
        }
        count => Err(Failure::new(
            Exit::Differences,
            format!("of {} {what}, {count} differ now", same + count),
        )
        .help(
            "look at the differences above; where they are right, record anew with `--record FILE`",
        )),
    }
}

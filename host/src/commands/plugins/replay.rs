//! `ztc plugins replay`: sends the requests of a recording to the adapters again and shows where they answer differently, or reads the
//! recorded answers again as the host does. Changes nothing.

use std::path::{Path, PathBuf};

use jsonrpsee::types::ErrorObjectOwned;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use similar::TextDiff;
use ztc_protocol::Method;
use ztc_protocol::message::{
    CheckSecrets, Discover, GenerateSecrets, GetInputs, Initialize, InitializeResult, Render,
    Scripts, Shutdown, Validate,
};

use crate::adapter::record::{self, Exchange};
use crate::adapter::{Adapter, Supervisor};
use crate::commands::plugins::discovery;
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding};

/// Options of `ztc plugins replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A file that `--record` has written
    file: PathBuf,
    /// Replay this adapter's part only
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Start no adapter: read the recorded answers again, as the host does
    #[arg(long)]
    as_host: bool,
}

/// How a replay went.
#[derive(Default)]
struct Outcome {
    same: usize,
    masked: usize,
    different: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let exchanges = wanted(&arguments.file, arguments.adapter.as_deref())?;
    if arguments.as_host {
        return as_host(context, &exchanges);
    }
    let supervisor = Supervisor::new(discovery(context), context.ui.clone());
    let outcome = wait_for(async {
        let outcome = replay(&supervisor, &exchanges).await;
        supervisor.shutdown().await;
        outcome
    })?;
    if context.ui.is_json() {
        context.ui.json(&json!({
            "same": outcome.same,
            "masked": outcome.masked,
            "different": outcome.different,
        }));
    } else {
        for difference in &outcome.different {
            context.ui.data(difference);
        }
    }
    if outcome.masked > 0 {
        let count = outcome.masked;
        context.ui.warning(format!(
            "left out, because the recording hides secrets in them: {count} calls"
        ));
    }
    match outcome.different.len() {
        0 => {
            context
                .ui
                .done(format!("{} answers are the same", outcome.same));
            Ok(Exit::Done)
        }
        count => Err(Failure::failed(format!(
            "of {} recorded calls, the adapter answers {count} differently now",
            outcome.same + count
        ))),
    }
}

/// Reads the recorded answers as this program does: each must have the form of its method's result.
fn as_host(context: &Context, exchanges: &[Exchange]) -> Result<Exit, Failure> {
    let answered = exchanges
        .iter()
        .filter(|exchange| exchange.answer.is_some())
        .count();
    let findings: Vec<Finding> = exchanges.iter().filter_map(misread).collect();
    if findings.is_empty() {
        context
            .ui
            .done(format!("all {answered} recorded answers can be read"));
        return Ok(Exit::Done);
    }
    let message = format!(
        "of {answered} recorded answers, {} cannot be read",
        findings.len()
    );
    Err(Failure {
        exit: Exit::Failed,
        ..Failure::findings(message, findings)
    })
}

/// Says why an answer cannot be read, where it cannot.
fn misread(exchange: &Exchange) -> Option<Finding> {
    let Exchange {
        adapter,
        method,
        answer,
        ..
    } = exchange;
    let answer = answer.as_ref()?;
    let read = match answer.get("result") {
        None => form::<ErrorObjectOwned>(&answer["error"]),
        Some(result) => match method.as_str() {
            Initialize::NAME => form::<<Initialize as Method>::Result>(result),
            GetInputs::NAME => form::<<GetInputs as Method>::Result>(result),
            Validate::NAME => form::<<Validate as Method>::Result>(result),
            Discover::NAME => form::<<Discover as Method>::Result>(result),
            Render::NAME => form::<<Render as Method>::Result>(result),
            Scripts::NAME => form::<<Scripts as Method>::Result>(result),
            GenerateSecrets::NAME => form::<<GenerateSecrets as Method>::Result>(result),
            CheckSecrets::NAME => form::<<CheckSecrets as Method>::Result>(result),
            Shutdown::NAME => form::<<Shutdown as Method>::Result>(result),
            _ => Some("this ztc has no such method".to_owned()),
        },
    };
    read.map(|why| Finding::error(format!("the answer of `{adapter}` to `{method}`: {why}")))
}

fn form<T: DeserializeOwned>(value: &Value) -> Option<String> {
    serde_json::from_value::<T>(value.clone())
        .err()
        .map(|error| error.to_string())
}

fn wanted(file: &Path, adapter: Option<&str>) -> Result<Vec<Exchange>, Failure> {
    let mut exchanges = record::read(file)?;
    exchanges.retain(|exchange| adapter.is_none_or(|name| name == exchange.adapter));
    match exchanges.is_empty() {
        true => Err(Failure::invalid(format!(
            "`{}` holds no call to replay",
            file.display()
        ))),
        false => Ok(exchanges),
    }
}

async fn replay(supervisor: &Supervisor, exchanges: &[Exchange]) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut recorded_scratch = String::new();
    for exchange in exchanges {
        let Some(before) = &exchange.answer else {
            continue;
        };
        let adapter = supervisor.start(&exchange.adapter).await?;
        let (before, after) = match exchange.method.as_str() {
            Shutdown::NAME => continue,
            Initialize::NAME => {
                recorded_scratch = text(&exchange.params["scratch_dir"]);
                (typed(before), introduction(&adapter))
            }
            _ if exchange.is_masked() => {
                outcome.masked += 1;
                continue;
            }
            method => (
                before.clone(),
                adapter.replay(method, &exchange.params).await?,
            ),
        };
        let before = lines(&before, &recorded_scratch);
        let after = lines(&after, &adapter.scratch().display().to_string());
        if before == after {
            outcome.same += 1;
        } else {
            outcome
                .different
                .push(difference(exchange, &before, &after));
        }
    }
    Ok(outcome)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Reads a recorded introduction as this program understands it, to compare it with the one that it has read now.
fn typed(answer: &Value) -> Value {
    let result = serde_json::from_value::<InitializeResult>(answer["result"].clone());
    result.map_or_else(|_| answer.clone(), |result| json!({ "result": result }))
}

fn introduction(adapter: &Adapter) -> Value {
    json!({ "result": InitializeResult { protocol: adapter.protocol, manifest: adapter.manifest.clone() } })
}

/// Writes an answer for comparison: the scratch directory is another one each time.
fn lines(answer: &Value, scratch: &str) -> String {
    let text = format!("{answer:#}\n");
    match scratch.is_empty() {
        true => text,
        false => text.replace(scratch, "[scratch directory]"),
    }
}

fn difference(exchange: &Exchange, before: &str, after: &str) -> String {
    let name = format!("{} {}", exchange.adapter, exchange.method);
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&format!("{name} (recorded)"), &format!("{name} (now)"))
        .to_string()
}

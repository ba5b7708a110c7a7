//! The host's side of a recording again: each recorded request goes to the adapter, in its order, and the answer is compared with the recorded one.

use std::collections::BTreeMap;

use jsonrpsee::types::ErrorObjectOwned;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ztc_protocol::Method;
use ztc_protocol::message::{
    CheckSecrets, Discover, GenerateSecrets, GetInputs, Initialize, InitializeResult, Render,
    Scripts, Shutdown, Validate, VersionTable,
};

use super::{Outcome, difference};
use crate::adapter::record::Exchange;
use crate::adapter::text::Spoken;
use crate::adapter::{Adapter, Supervisor, attach};
use crate::commands::plugins::discovery;
use crate::commands::{Context, wait_for};
use crate::error::Failure;
use crate::versions::Tables;

/// Asks the adapters what they were asked.
pub(super) fn run(context: &Context, exchanges: &[Exchange]) -> Result<Outcome, Failure> {
    let discovery = discovery(context);
    let names: Vec<String> = exchanges.iter().map(|it| it.adapter.clone()).collect();
    attach::check_used(discovery.attached(), &names)?;
    let supervisor = Supervisor::new(discovery, context.ui.clone())
        .with_tables(Tables::exactly(handed_over(exchanges)));
    wait_for(async {
        let outcome = replay(&supervisor, exchanges).await;
        supervisor.shutdown().await;
        outcome
    })
}

/// The tables of versions that adapters were given then.
fn handed_over(exchanges: &[Exchange]) -> BTreeMap<String, VersionTable> {
    let table = |exchange: &Exchange| {
        let versions = exchange.params.get("versions")?.clone();
        let table = serde_json::from_value(versions).ok()?;
        Some((exchange.adapter.clone(), table))
    };
    exchanges.iter().filter_map(table).collect()
}

async fn replay(supervisor: &Supervisor, exchanges: &[Exchange]) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut recorded_scratch = String::new();
    for exchange in exchanges {
        let Some(recorded) = &exchange.answer else {
            continue;
        };
        let method = exchange.method.as_str();
        let title = format!("{} {method}", exchange.adapter);
        if let Some(why) = misread(method, recorded) {
            let text = format!("{title}: the recorded answer cannot be read: {why}");
            outcome.different.push(text);
            continue;
        }
        let given_later = exchange.params.get("versions").is_none()
            && supervisor.tables().gives(&exchange.adapter);
        if let Some(why) = incomparable(exchange, recorded, given_later) {
            outcome.left_out.push(format!("`{title}` ({why})"));
            continue;
        }
        let adapter = supervisor.start(&exchange.adapter).await?;
        let (recorded, now) = match method {
            Initialize::NAME => {
                let scratch = exchange.params["scratch_dir"].as_str();
                scratch
                    .unwrap_or_default()
                    .clone_into(&mut recorded_scratch);
                (typed(recorded), introduction(&adapter))
            }
            method => {
                let now = adapter.replay(method, &exchange.params).await?;
                (recorded.clone(), now)
            }
        };
        let recorded = placed(&recorded, &recorded_scratch);
        let now = placed(&now, &adapter.scratch().display().to_string());
        match difference::between(&title, &recorded, &now) {
            None => outcome.same += 1,
            Some(text) => outcome.different.push(text),
        }
    }
    Ok(outcome)
}

/// Says why an answer cannot be compared, where it cannot.
fn incomparable(exchange: &Exchange, recorded: &Value, given_later: bool) -> Option<&'static str> {
    match exchange.method.as_str() {
        Shutdown::NAME => Some("it ends the adapter"),
        GenerateSecrets::NAME => Some("its answer is another one each time"),
        Initialize::NAME if recorded.get("error").is_some() => Some("it was refused on purpose"),
        Initialize::NAME if given_later => Some("it was started anew with a table of versions"),
        _ if recorded["error"]["code"] == 1002 => Some("it came before `initialize`"),
        _ if recorded["error"]["code"] == 1020 => Some("it was cancelled"),
        _ if exchange.is_masked() => Some("the recording hides secrets in it"),
        _ => None,
    }
}

/// Says why a recorded answer cannot be read, where it cannot.
fn misread(method: &str, answer: &Value) -> Option<String> {
    let Some(result) = answer.get("result") else {
        return form::<ErrorObjectOwned>(&answer["error"]);
    };
    match method {
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
    }
}

fn form<T: DeserializeOwned>(value: &Value) -> Option<String> {
    let read = serde_json::from_value::<T>(value.clone());
    read.err().map(|error| error.to_string())
}

/// Reads a recorded introduction as this program understands it, to compare it with the one that it has read now.
fn typed(answer: &Value) -> Value {
    match serde_json::from_value::<InitializeResult>(answer["result"].clone()) {
        Ok(mut result) => {
            result.clean();
            json!({ "result": result })
        }
        Err(_) => answer.clone(),
    }
}

fn introduction(adapter: &Adapter) -> Value {
    json!({ "result": InitializeResult { protocol: adapter.protocol, manifest: adapter.manifest.clone() } })
}

/// Replaces the scratch directory, which is another one each time.
fn placed(answer: &Value, scratch: &str) -> Value {
    let replace = |text: &str| text.replace(scratch, "[scratch directory]");
    match answer {
        _ if scratch.is_empty() => answer.clone(),
        Value::String(text) => Value::from(replace(text)),
        Value::Array(items) => items.iter().map(|item| placed(item, scratch)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields
                    .map(|(key, value)| (key.clone(), placed(value, scratch)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

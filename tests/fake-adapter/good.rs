//! What a good adapter answers.

use serde_json::{Value, json};

/// Answers a request.
pub(crate) fn answer(name: &str, id: &Value, method: &str, params: &Value) -> Value {
    let result = match method {
        "initialize" => json!({ "protocol": "1.0", "manifest": manifest(name) }),
        "get_inputs" => json!({ "inputs": [] }),
        "validate" => json!({ "diagnostics": [] }),
        "render" => render(params),
        "scripts" => json!({ "scripts": told("scripts").unwrap_or_else(|| json!([])) }),
        "shutdown" => json!({}),
        _ => {
            let error = json!({ "code": -32601, "message": format!("no method `{method}`") });
            return json!({ "jsonrpc": "2.0", "id": id, "error": error });
        }
    };
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// Returns what the file beside the program, `<program>.stages`, says: its manifest's limits, its stages, their scripts.
fn told(what: &str) -> Option<Value> {
    let program = std::env::args().next()?;
    let text = std::fs::read_to_string(format!("{program}.stages")).ok()?;
    let mut all: Value = serde_json::from_str(&text).ok()?;
    Some(all[what].take()).filter(|value| !value.is_null())
}

fn manifest(name: &str) -> Value {
    json!({
        "max_parallel": told("max_parallel"),
        "name": name,
        "version": "1.0.0",
        "description": "a fake for tests",
        "phase": "services",
        "provides": [{ "capability": "example.com/fake", "version": "1.0", "schema": true }],
        "supported_versions": ["v1"],
        "default_version": "v1",
        "config_schema": {
            "type": "object",
            "properties": { "version": { "type": "string" }, "greeting": { "type": "string" } },
            "additionalProperties": false,
        },
        "environment": [{ "name": "FAKE_SETTING", "why": "shows that declared variables arrive" }],
    })
}

/// One file that shows what arrived.
fn render(params: &Value) -> Value {
    let setting = std::env::var("FAKE_SETTING").ok();
    let mut variables: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    variables.sort();
    let seen =
        json!({ "config": params["config"], "setting": setting, "variables": variables.join(" ") });
    json!({
        "artifacts": [{ "path": "fake.json", "content": format!("{seen:#}\n") }],
        "capabilities": { "example.com/fake": seen },
        "stages": told("stages").unwrap_or_else(|| json!([])),
        "env_vars": told("env_vars").unwrap_or_else(|| json!({})),
    })
}

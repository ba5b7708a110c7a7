//! What a good adapter answers.

use serde_json::{Value, json};

/// Answers a request.
pub(crate) fn answer(name: &str, id: &Value, method: &str, params: &Value) -> Value {
    let result = match method {
        "initialize" => json!({ "protocol": "1.0", "manifest": manifest(name) }),
        "get_inputs" => json!({ "inputs": [] }),
        "validate" => json!({ "diagnostics": [] }),
        "render" => render(params),
        "scripts" => json!({ "scripts": [] }),
        "shutdown" => json!({}),
        _ => {
            let error = json!({ "code": -32601, "message": format!("no method `{method}`") });
            return json!({ "jsonrpc": "2.0", "id": id, "error": error });
        }
    };
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn manifest(name: &str) -> Value {
    json!({
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
    })
}

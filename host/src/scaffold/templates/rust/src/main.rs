//! The adapter `my-adapter`: renders one file and adds one stage. Replace both by what yours is for.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::Manifest;
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::protocol::stage::{Script, Stage, StageKind};
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, script, serve, stage_for};

/// What the stage runs.
const CHECK: &str = r#"#!/usr/bin/env bash
# Says the message. Context: message.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

echo "my-adapter says: $CTX_MESSAGE"
"#;

struct MyAdapter;

impl Adapter for MyAdapter {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "my-adapter".into(),
            version: "0.1.0".into(),
            description: "an adapter to begin with".into(),
            phase: "services".into(),
            supported_versions: vec!["v1".into()],
            default_version: "v1".into(),
            config_schema: json!({
                "type": "object",
                "properties": {
                    "version": { "type": "string" },
                    "message": { "type": "string", "minLength": 1 },
                },
                "required": ["message"],
                "additionalProperties": false,
            }),
            ..Manifest::default()
        }
    }

    fn get_inputs(
        &self,
        _params: GetInputsParams,
        _call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        let message = InputPrompt {
            name: "message".into(),
            prompt: "What does it say?".into(),
            default: Some("hello".into()),
            required: true,
            ..InputPrompt::default()
        };
        Ok(GetInputsResult {
            inputs: vec![message],
            ..GetInputsResult::default()
        })
    }

    fn validate(
        &self,
        params: ValidateParams,
        _call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        let mut diagnostics = Vec::new();
        if message(&params.config).contains('\n') {
            diagnostics.push(Diagnostic {
                pointer: "/message".into(),
                message: "the message has more than one line".into(),
                help: Some("write it on one line".into()),
                ..Diagnostic::default()
            });
        }
        Ok(ValidateResult { diagnostics })
    }

    fn render(
        &self,
        params: RenderParams,
        _call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        let content = json!({ "message": message(&params.config) });
        let first = beginning(&params.platform);
        let stage = stage_for("my-adapter", &check(&params.config));
        let artifact = Artifact {
            path: format!("{first}message.json"),
            content: format!("{content:#}\n"),
            ..Artifact::default()
        };
        Ok(RenderResult {
            artifacts: vec![artifact],
            stages: vec![Stage {
                // A stage with a cache key runs once and again only when something about it changes.
                cache_key: None,
                name: format!("{}{}", first.replace('-', "_"), stage.name),
                ..stage
            }],
            ..RenderResult::default()
        })
    }

    fn scripts(
        &self,
        params: ScriptsParams,
        _call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError> {
        Ok(ScriptsResult {
            scripts: vec![check(&params.config)],
        })
    }
}

/// What the names begin with that two sections must not share. `section` is the key below `adapters` in platform.yaml.
fn beginning(platform: &PlatformContext) -> String {
    match platform.section.as_str() {
        "" | "my-adapter" => String::new(),
        section => format!("{section}-"),
    }
}

fn check(config: &Map<String, Value>) -> Script {
    let mut check = script(
        "check-my-adapter.sh",
        StageKind::Validation,
        "Say the message",
        CHECK,
    );
    check.timeout_seconds = 60;
    check
        .context_data
        .insert("message".into(), message(config).into());
    check
}

fn message(config: &Map<String, Value>) -> &str {
    config
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn main() -> ExitCode {
    serve(MyAdapter)
}

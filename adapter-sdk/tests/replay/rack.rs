//! The adapter of the specification's transcripts: machines in a rack of one's own. It uses every part of the protocol once, and asks nobody.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::capability::{CLOUD_INFRASTRUCTURE, barrier};
use ztc_adapter_sdk::protocol::manifest::*;
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::protocol::stage::*;
use ztc_adapter_sdk::protocol::{ErrorCode, Manifest};
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, from_config, script, stage_for};

pub(crate) struct Rack;

#[derive(Deserialize)]
struct Config {
    machines: Vec<Machine>,
}

#[derive(Deserialize)]
struct Machine {
    name: String,
    ip: String,
}

impl Adapter for Rack {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "rack".into(),
            version: "1.2.0".into(),
            description: "machines in a rack of your own".into(),
            homepage: Some("https://rack.example.com".into()),
            license: Some("MIT".into()),
            phase: "foundation".into(),
            selection_group: "cloud_provider".into(),
            group_prompt: "Where do the servers come from?".into(),
            provides: vec![
                provision(CLOUD_INFRASTRUCTURE, None),
                provision(
                    "example.com/rack",
                    Some(json!({"type": "object", "required": ["location"]})),
                ),
            ],
            requires: vec![Requirement {
                capability: "example.com/power".into(),
                version: "^1.2".into(),
                optional: true,
            }],
            supported_versions: vec!["v1".into()],
            default_version: "v1".into(),
            config_schema: config_schema(),
            output_schema: json!({"type": "object"}),
            output_dir: "infrastructure/rack".into(),
            environment: vec![EnvironmentVariable {
                name: "RACK_ENDPOINT".into(),
                why: "another address of the rack's controller".into(),
            }],
            secrets: vec![SecretInput {
                input: "api_token".into(),
                variable: "RACK_TOKEN".into(),
                why: "asks for and starts machines".into(),
                discover: true,
            }],
            bundles: vec![SecretBundle {
                name: "rack".into(),
                description: "the password of the machines' consoles".into(),
                from: Vec::new(),
            }],
            network: vec![NetworkEndpoint {
                host: "rack.example.com".into(),
                port: 443,
                why: "looks machines up".into(),
            }],
            tools: vec![curl()],
            discovers: true,
            ..Manifest::default()
        }
    }

    fn get_inputs(
        &self,
        params: GetInputsParams,
        _: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        let prompt = |name: &str, prompt: &str, kind| InputPrompt {
            name: name.into(),
            prompt: prompt.into(),
            kind,
            required: true,
            ..InputPrompt::default()
        };
        let mut inputs = vec![prompt(
            "api_token",
            "The controller's token",
            InputType::Password,
        )];
        // The second question is asked when the first one has its answer.
        if params.answers.contains_key("api_token") {
            inputs.push(InputPrompt {
                help_text: Some("One item for each machine in the rack.".into()),
                items: vec![
                    prompt("name", "Name", InputType::String),
                    InputPrompt {
                        validation: Some(r"\d+\.\d+\.\d+\.\d+".into()),
                        ..prompt("ip", "Address", InputType::String)
                    },
                ],
                ..prompt("machines", "The machines", InputType::List)
            });
        }
        Ok(GetInputsResult {
            inputs,
            ..GetInputsResult::default()
        })
    }

    fn validate(
        &self,
        params: ValidateParams,
        _: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        let mut seen = BTreeMap::new();
        let mut diagnostics = Vec::new();
        for (index, machine) in config.machines.iter().enumerate() {
            assert!(machine.name != "bug", "nobody thought of this name");
            if let Some(first) = seen.insert(&machine.ip, &machine.name) {
                diagnostics.push(Diagnostic {
                    pointer: format!("/machines/{index}/ip"),
                    severity: Severity::Error,
                    message: format!("`{first}` has the address `{}` already", machine.ip),
                    help: Some("give every machine an address of its own".into()),
                });
            }
        }
        Ok(ValidateResult { diagnostics })
    }

    fn discover(
        &self,
        params: DiscoverParams,
        call: &CallContext,
    ) -> Result<DiscoverResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        match params.secrets.get("api_token").map(String::as_str) {
            None => {
                let message = "`discover` needs the controller's token";
                return Err(AdapterError::new(ErrorCode::SecretMissing, message)
                    .help("set `api_token` in the section of the adapter"));
            }
            Some("expired") => {
                let message = "the controller refuses the token";
                return Err(AdapterError::new(ErrorCode::AuthenticationFailed, message)
                    .help("make a new one in the controller's settings"));
            }
            Some(_) => {}
        }
        call.log("debug", "asks rack.example.com");
        let mut facts = Facts::new();
        for (number, machine) in (1_u32..).zip(&config.machines) {
            let fraction = f64::from(number) / config.machines.len() as f64;
            call.progress(format!("looks `{}` up", machine.name), Some(fraction));
            // This one never answers; the host gives up.
            while machine.name == "lost" && !call.is_cancelled() {
                std::thread::yield_now();
            }
            if call.is_cancelled() {
                return Err(CallContext::cancelled());
            }
            facts.insert(
                machine.ip.clone(),
                json!({"id": format!("r7-{number}"), "architecture": "amd64"}),
            );
        }
        Ok(DiscoverResult {
            facts,
            diagnostics: Vec::new(),
        })
    }

    fn render(&self, params: RenderParams, _: &CallContext) -> Result<RenderResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        let mut servers = Map::new();
        let mut inventory = String::from("password: ztc-secret:rack/console/password\nmachines:\n");
        for (index, machine) in config.machines.iter().enumerate() {
            let fact = fact(&params.facts, index, machine)?;
            inventory.push_str(&format!(
                "  - {{name: {}, ip: {}}}\n",
                machine.name, machine.ip
            ));
            let server = json!({
                "id": fact["id"], "name": machine.name, "architecture": fact["architecture"],
                "platform": "metal", "disk": "/dev/nvme0n1", "provider_id": "",
            });
            servers.insert(machine.ip.clone(), server);
        }
        let ssh =
            json!({"user": "root", "identity_file": "rack/{ip}/id_ed25519", "config_file": ""});
        let infrastructure = json!({
            "provider": "rack", "servers": servers, "rescue_mode_enabled": true, "ssh": ssh,
        });
        Ok(RenderResult {
            artifacts: vec![Artifact {
                path: "inventory.yaml".into(),
                content: inventory,
                ..Artifact::default()
            }],
            stages: vec![stage(&config)],
            env_vars: [("RACK_LOCATION".into(), "room 7".into())].into(),
            capabilities: [
                (CLOUD_INFRASTRUCTURE.into(), infrastructure),
                ("example.com/rack".into(), json!({"location": "room 7"})),
            ]
            .into(),
            data: json!({"machines": config.machines.len()}),
            diagnostics: Vec::new(),
        })
    }

    fn scripts(&self, _: ScriptsParams, _: &CallContext) -> Result<ScriptsResult, AdapterError> {
        Ok(ScriptsResult {
            scripts: vec![power_on()],
        })
    }

    fn generate_secrets(
        &self,
        params: GenerateSecretsParams,
        _: &CallContext,
    ) -> Result<GenerateSecretsResult, AdapterError> {
        known(&params.bundle)?;
        Ok(GenerateSecretsResult {
            content: "console:\n  password: made-up-for-this-text\n".into(),
        })
    }

    fn check_secrets(
        &self,
        params: CheckSecretsParams,
        _: &CallContext,
    ) -> Result<CheckSecretsResult, AdapterError> {
        known(&params.bundle)?;
        let password = params
            .content
            .lines()
            .find_map(|line| line.trim().strip_prefix("password:"));
        let mut result = CheckSecretsResult::default();
        match password.map(str::trim) {
            Some(password) if password.len() >= 16 => {
                let length = format!("{} characters", password.len());
                result.facts.insert("console password".into(), length);
            }
            _ => result.diagnostics.push(Diagnostic {
                pointer: "/console/password".into(),
                message: "the password is missing or has less than 16 characters".into(),
                help: Some("restore the file from its backup".into()),
                ..Diagnostic::default()
            }),
        }
        Ok(result)
    }
}

fn provision(capability: &str, schema: Option<Value>) -> Provision {
    Provision {
        capability: capability.into(),
        version: "1.0".into(),
        schema,
    }
}

fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "version": {"type": "string"},
            "api_token": {"type": "object", "x-ztc-secret": true},
            "machines": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "ip": {"type": "string"}},
                    "required": ["name", "ip"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["api_token", "machines"],
        "additionalProperties": false,
    })
}

/// What was looked up about a machine.
fn fact<'a>(facts: &'a Facts, index: usize, machine: &Machine) -> Result<&'a Value, AdapterError> {
    facts.get(&machine.ip).ok_or_else(|| {
        let message = format!("nothing is known about `{}`", machine.name);
        let finding = Diagnostic {
            pointer: format!("/machines/{index}"),
            message: message.clone(),
            ..Diagnostic::default()
        };
        AdapterError::new(ErrorCode::InvalidInputs, message)
            .diagnostics(vec![finding])
            .help("look it up with `ztc render --refresh rack`")
    })
}

fn stage(config: &Config) -> Stage {
    let items = config.machines.iter().map(|machine| Item {
        key: machine.ip.clone(),
        name: machine.name.clone(),
        context: object(json!({"server_ip": machine.ip})),
        ..Item::default()
    });
    Stage {
        reaches: vec![barrier::RESCUE_READY.into()],
        for_each: Some(ForEach {
            item: "machine".into(),
            items: items.collect(),
        }),
        retry: Some(Retry {
            max_attempts: 3,
            backoff_seconds: 5,
            exit_codes: vec![75],
            ..Retry::default()
        }),
        ..stage_for("rack", &power_on())
    }
}

fn power_on() -> Script {
    let content = "#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=/dev/null
. \"$ZTC_CONTEXT_SH\"
printf 'header = \"Authorization: Bearer %s\"\\n' \"$RACK_TOKEN\" |
  curl -fsS --config - -X POST \"$CTX_CONTROLLER/machines/$CTX_SERVER_IP/rescue\"
";
    Script {
        timeout_seconds: 600,
        context_data: object(json!({"controller": "https://rack.example.com"})),
        files: [(
            "inventory.yaml".into(),
            "infrastructure/rack/inventory.yaml".into(),
        )]
        .into(),
        tools: vec![curl()],
        secrets: vec![ScriptSecret {
            variable: "RACK_TOKEN".into(),
            input: "api_token".into(),
        }],
        destructive: true,
        ..script(
            "rack-power-on.sh",
            StageKind::PreWork,
            "Boot every machine into its rescue system",
            content,
        )
    }
}

fn curl() -> Tool {
    Tool {
        name: "curl".into(),
        minimum_version: "7.58".into(),
        version_arguments: vec!["--version".into()],
        install_hint: "install the package `curl`".into(),
    }
}

fn known(bundle: &str) -> Result<(), AdapterError> {
    match bundle {
        "rack" => Ok(()),
        other => Err(AdapterError::new(
            ErrorCode::InvalidParams,
            format!("there is no bundle `{other}`"),
        )),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

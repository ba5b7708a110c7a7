//! The adapter `namespaces` of ztc: namespaces with their Pod Security level and an optional quota, there from the first hour of a cluster.
//!
//! It renders one file of manifests, a stage that applies it and a stage that compares the cluster with it. It deletes nothing: a namespace that
//! is no longer listed stays, with everything in it.

mod manifests;
mod stages;

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::Manifest;
use ztc_adapter_sdk::protocol::capability::{KUBERNETES_API, KubernetesApi};
use ztc_adapter_sdk::protocol::manifest::Requirement;
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, from_config, serve};

/// The adapter's name.
const NAME: &str = "namespaces";

/// The adapter's section of platform.yaml.
#[derive(Debug, Deserialize)]
struct Config {
    namespaces: Vec<Namespace>,
}

/// A namespace.
#[derive(Debug, Deserialize)]
struct Namespace {
    name: String,
    /// `privileged`, `baseline` or `restricted`.
    #[serde(default = "baseline")]
    pod_security: String,
    /// What all pods together may ask for, such as `8`.
    cpu: Option<String>,
    /// The same, such as `16Gi`.
    memory: Option<String>,
}

fn baseline() -> String {
    "baseline".to_owned()
}

struct Namespaces;

impl Adapter for Namespaces {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            description: "namespaces with their Pod Security level and quota".into(),
            license: Some(env!("CARGO_PKG_LICENSE").into()),
            phase: "platform".into(),
            requires: vec![Requirement {
                capability: KUBERNETES_API.into(),
                version: "^1.0".into(),
                optional: false,
            }],
            supported_versions: vec!["v1".into()],
            default_version: "v1".into(),
            config_schema: schema(),
            tools: stages::tools(),
            ..Manifest::default()
        }
    }

    fn get_inputs(
        &self,
        _params: GetInputsParams,
        _call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        let level = InputPrompt {
            name: "pod_security".into(),
            prompt: "Pod Security level".into(),
            kind: InputType::Choice,
            choices: ["baseline", "restricted", "privileged"]
                .map(str::to_owned)
                .into(),
            default: Some("baseline".into()),
            ..InputPrompt::default()
        };
        let name = InputPrompt {
            name: "name".into(),
            prompt: "Name".into(),
            required: true,
            ..InputPrompt::default()
        };
        let namespaces = InputPrompt {
            name: "namespaces".into(),
            prompt: "Which namespaces shall there be?".into(),
            kind: InputType::List,
            required: true,
            items: vec![name, level],
            ..InputPrompt::default()
        };
        Ok(GetInputsResult {
            inputs: vec![namespaces],
            ..GetInputsResult::default()
        })
    }

    fn validate(
        &self,
        params: ValidateParams,
        _call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        Ok(ValidateResult {
            diagnostics: findings(&config),
        })
    }

    fn render(
        &self,
        params: RenderParams,
        _call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        Ok(RenderResult {
            artifacts: vec![manifests::artifact(&config)],
            stages: stages::stages(&config, &kubernetes(&params)?),
            ..RenderResult::default()
        })
    }

    fn scripts(
        &self,
        params: ScriptsParams,
        _call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        Ok(ScriptsResult {
            scripts: stages::scripts(&config, &kubernetes(&params)?).into(),
        })
    }
}

/// Reads the capability that says where the kubeconfig is.
fn kubernetes(params: &RenderParams) -> Result<KubernetesApi, AdapterError> {
    let data = params.capabilities.get(KUBERNETES_API).cloned();
    serde_json::from_value(data.unwrap_or_default())
        .map_err(|error| AdapterError::internal(format!("`{KUBERNETES_API}`: {error}")))
}

fn schema() -> Value {
    let quantity = json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$" });
    json!({
        "type": "object",
        "properties": {
            "version": { "type": "string" },
            "namespaces": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63, "examples": ["team-a"] },
                        "pod_security": { "enum": ["privileged", "baseline", "restricted"] },
                        "cpu": quantity,
                        "memory": quantity,
                    },
                    "required": ["name"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["namespaces"],
        "additionalProperties": false,
    })
}

/// What the schema cannot say.
fn findings(config: &Config) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (number, namespace) in config.namespaces.iter().enumerate() {
        let name = &namespace.name;
        let mut error = |message: String, help: &str| {
            findings.push(Diagnostic {
                pointer: format!("/namespaces/{number}/name"),
                message,
                help: Some(help.to_owned()),
                ..Diagnostic::default()
            });
        };
        if name == "default" || name.starts_with("kube-") {
            error(
                format!("the namespace `{name}` belongs to Kubernetes"),
                "choose another name",
            );
        }
        if config.namespaces[..number]
            .iter()
            .any(|other| other.name == *name)
        {
            error(
                format!("the namespace `{name}` is listed twice"),
                "list it once",
            );
        }
    }
    findings
}

fn main() -> ExitCode {
    serve(Namespaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_schema_cannot_say_is_found() {
        let config: Config = serde_json::from_value(json!({
            "namespaces": [{ "name": "kube-system" }, { "name": "a" }, { "name": "a" }],
        }))
        .expect("it is a configuration");
        let found: Vec<String> = findings(&config)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.pointer, finding.message))
            .collect();
        assert_eq!(
            found,
            [
                "/namespaces/0/name: the namespace `kube-system` belongs to Kubernetes",
                "/namespaces/2/name: the namespace `a` is listed twice",
            ]
        );
    }
}

//! The talos adapter: machine configurations, the client configuration, the stages that install and start a Talos cluster, and its secrets.
//!
//! It never connects anywhere and never sees a secret while it renders: configurations hold placeholders.

mod cluster;
mod config;
mod deletion;
mod endpoint;
mod machine;
mod machine_config;
mod merge;
mod patch;
mod problem;
mod promises;
mod prompts;
mod render;
mod schematic;
mod scripts;
mod secrets;
mod stages;
mod syntax;
mod validate;
mod verify;
mod versions;
mod yaml;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::capability::{
    CLOUD_INFRASTRUCTURE, CNI, GATEWAY_API, KUBERNETES_API,
};
use ztc_adapter_sdk::protocol::manifest::{Manifest, Provision, Requirement, SecretBundle};
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::versions::AnyVersions;
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, from_config};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::versions::{minor_text, table};

const NAME: &str = "talos";
const OUTPUT_DIR: &str = "os/talos";
const KUBECONFIG: &str = "secrets/${ZTC_ENVIRONMENT}/kubeconfig";

/// The adapter.
pub struct TalosAdapter;

impl Adapter for TalosAdapter {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            description: "Talos Linux: an immutable operating system that runs Kubernetes".into(),
            homepage: Some("https://www.talos.dev".into()),
            license: Some(env!("CARGO_PKG_LICENSE").into()),
            phase: "foundation".into(),
            selection_group: "operating_system".into(),
            is_default: true,
            group_prompt: "Operating system".into(),
            group_help: "what the machines run; it is written to their disks".into(),
            provides: vec![Provision {
                capability: KUBERNETES_API.into(),
                version: "1.0".into(),
                schema: None,
            }],
            requires: vec![
                requirement(CLOUD_INFRASTRUCTURE, false),
                requirement(CNI, false),
                requirement(GATEWAY_API, true),
            ],
            supported_versions: table().supported(),
            default_version: table().default.clone(),
            config_schema: config::schema(),
            output_schema: render::output_schema(),
            output_dir: OUTPUT_DIR.into(),
            bundles: bundles(),
            tools: scripts::tools(&minor_text(&table().default)),
            ..Manifest::default()
        }
    }

    fn get_inputs(
        &self,
        params: GetInputsParams,
        _call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        Ok(GetInputsResult {
            inputs: prompts::prompts(&params.answers, &params.others, &params.capabilities),
            ..GetInputsResult::default()
        })
    }

    fn validate(
        &self,
        params: ValidateParams,
        _call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        let config = section(&params.config, &params.files)?;
        Ok(ValidateResult {
            diagnostics: validate::validate(&config, &params.capabilities)?,
        })
    }

    fn render(
        &self,
        params: RenderParams,
        call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        let cluster = checked(&params)?;
        render::render(&cluster, || {
            if call.is_cancelled() {
                Err(CallContext::cancelled())
            } else {
                Ok(())
            }
        })
    }

    fn scripts(
        &self,
        params: ScriptsParams,
        _call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError> {
        let cluster = checked(&params)?;
        Ok(ScriptsResult {
            scripts: scripts::scripts(&cluster),
        })
    }

    fn generate_secrets(
        &self,
        params: GenerateSecretsParams,
        call: &CallContext,
    ) -> Result<GenerateSecretsResult, AdapterError> {
        let content = match params.bundle.as_str() {
            secrets::TALOS => {
                call.progress(
                    "making the cluster's keys; the RSA key takes a few seconds",
                    None,
                );
                secrets::generate()?
            }
            secrets::ADMIN => {
                let talos = params.from.get(secrets::TALOS).ok_or_else(|| {
                    AdapterError::new(ErrorCode::SecretMissing, "the bundle `talos-admin` is made from the bundle `talos`")
                        .help("run `ztc secrets generate`, or `ztc secrets import` for a cluster that exists already")
                })?;
                secrets::generate_admin(talos, params.valid_hours)?
            }
            other => return Err(unknown_bundle(other)),
        };
        Ok(GenerateSecretsResult { content })
    }

    fn check_secrets(
        &self,
        params: CheckSecretsParams,
        _call: &CallContext,
    ) -> Result<CheckSecretsResult, AdapterError> {
        match params.bundle.as_str() {
            secrets::TALOS => Ok(secrets::check(&params.content)),
            secrets::ADMIN => {
                let talos = params.from.get(secrets::TALOS).map(String::as_str);
                Ok(secrets::check_admin(&params.content, talos))
            }
            other => Err(unknown_bundle(other)),
        }
    }

    fn versions(&self) -> Option<&'static dyn AnyVersions> {
        Some(&versions::TABLE)
    }

    fn command(&self, arguments: &[String]) -> Option<u8> {
        machine::command::dispatch(arguments)
    }
}

/// Reads a section, with the files that it names in their places.
fn section(
    config: &Map<String, Value>,
    files: &BTreeMap<String, InputFile>,
) -> Result<Config, AdapterError> {
    let mut config: Config = from_config(config)?;
    patch::take_files(&mut config, files)?;
    Ok(config)
}

/// Resolves a section that has no errors; warnings were said by `validate`.
fn checked(params: &RenderParams) -> Result<Cluster, AdapterError> {
    let config = section(&params.config, &params.files)?;
    let mut errors = validate::validate(&config, &params.capabilities)?;
    errors.retain(|finding| finding.severity == Severity::Error);
    if let Some(first) = errors.first() {
        let error = AdapterError::new(
            ErrorCode::InvalidInputs,
            format!("{}: {}", first.pointer, first.message),
        );
        return Err(error.diagnostics(errors));
    }
    let mut cluster = Cluster::resolve(config, &params.capabilities)?;
    let adapters = params.platform.adapters.values().map(String::as_str);
    cluster.has_cloud_controller |= promises::names_controller(adapters);
    Ok(cluster)
}

fn requirement(capability: &str, optional: bool) -> Requirement {
    Requirement {
        capability: capability.into(),
        version: "^1.0".into(),
        optional,
    }
}

fn bundles() -> Vec<SecretBundle> {
    vec![
        SecretBundle {
            name: secrets::TALOS.into(),
            description: "certificate authorities, keys and tokens of the cluster, in the format of `talosctl gen secrets`".into(),
            from: Vec::new(),
        },
        SecretBundle {
            name: secrets::ADMIN.into(),
            description: "the operator's certificate for the Talos API, valid for a year".into(),
            from: vec![secrets::TALOS.into()],
        },
    ]
}

fn unknown_bundle(name: &str) -> AdapterError {
    AdapterError::new(
        ErrorCode::InvalidParams,
        format!("there is no bundle `{name}`"),
    )
    .help("the bundles are `talos` and `talos-admin`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_says_what_the_adapter_does() {
        let manifest = TalosAdapter.manifest();
        let requires: Vec<_> = manifest
            .requires
            .iter()
            .map(|one| (one.capability.as_str(), one.optional))
            .collect();
        assert_eq!(
            requires,
            [
                ("cloud-infrastructure", false),
                ("cni", false),
                ("gateway-api", true)
            ]
        );
        assert_eq!(manifest.provides[0].capability, "kubernetes-api");
        assert!(
            manifest
                .supported_versions
                .contains(&manifest.default_version)
        );
        let tools: Vec<_> = manifest
            .tools
            .iter()
            .map(|tool| (tool.name.as_str(), tool.minimum_version.as_str()))
            .collect();
        assert_eq!(
            tools,
            [
                ("talosctl", "1.11"),
                ("kubectl", ""),
                ("ssh", ""),
                ("jq", "")
            ]
        );
        let bundles: Vec<_> = manifest
            .bundles
            .iter()
            .map(|bundle| (bundle.name.as_str(), bundle.from.clone()))
            .collect();
        assert_eq!(
            bundles,
            [("talos", vec![]), ("talos-admin", vec!["talos".to_owned()])]
        );
    }

    #[test]
    fn bundles_need_a_known_name_and_their_source() {
        let generate = |bundle: &str| {
            let params = GenerateSecretsParams {
                bundle: bundle.into(),
                ..GenerateSecretsParams::default()
            };
            TalosAdapter
                .generate_secrets(params, &CallContext::detached())
                .unwrap_err()
                .code
        };
        assert_eq!(generate("talos-admin"), ErrorCode::SecretMissing);
        assert_eq!(generate("other"), ErrorCode::InvalidParams);
    }
}

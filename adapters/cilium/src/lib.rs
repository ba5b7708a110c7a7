//! Cilium for ztc: renders the manifests of its releases, provides the pod network and the Gateway API, waits for both and checks them.
//!
//! It renders before the adapter that provides the cluster, which embeds the manifests, so it never applies anything itself and knows the
//! cluster only through its stages.
#![warn(missing_docs)]

mod config;
mod envoy;
mod rbac;
mod render;
mod stages;
mod validate;
mod versions;
mod wizard;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::capability::{CNI, Cni, GATEWAY_API, GatewayApi};
use ztc_adapter_sdk::protocol::manifest::{Manifest, Provision};
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::protocol::{ErrorCode, message::Severity};
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, from_config};

use crate::config::Config;
use crate::versions::{Images, KubernetesRange, Release};

/// The adapter.
#[derive(Clone, Copy, Debug)]
pub struct Cilium;

/// What was rendered, for people and tools.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The Cilium release.
    version: String,
    /// Its container images.
    images: Images,
    /// The Kubernetes minors that the release was tested with.
    kubernetes: KubernetesRange,
    /// The release of the Gateway API; empty: it is off.
    gateway_api_version: String,
    /// Whether nodes speak BGP.
    bgp_enabled: bool,
}

impl Adapter for Cilium {
    fn manifest(&self) -> Manifest {
        let table = versions::table();
        Manifest {
            name: "cilium".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            description: "Cilium: pod network, services without kube-proxy, Gateway API, BGP"
                .into(),
            homepage: Some("https://cilium.io".into()),
            license: Some("Apache-2.0".into()),
            phase: "networking".into(),
            selection_group: "network_tool".into(),
            is_default: true,
            group_prompt: "Select the pod network".into(),
            group_help: "What connects pods and services across nodes".into(),
            provides: [CNI, GATEWAY_API].into_iter().map(provision).collect(),
            supported_versions: table.supported(),
            default_version: table.default.clone(),
            config_schema: config::schema(),
            output_schema: schemars::schema_for!(Output).to_value(),
            output_dir: "network/cilium".into(),
            tools: vec![stages::kubectl()],
            ..Manifest::default()
        }
    }

    fn get_inputs(
        &self,
        params: GetInputsParams,
        _call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        Ok(GetInputsResult {
            inputs: wizard::questions(&params),
        })
    }

    fn validate(
        &self,
        params: ValidateParams,
        _call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        let config = from_config(&params.config)?;
        Ok(ValidateResult {
            diagnostics: validate::check(&config),
        })
    }

    fn render(
        &self,
        params: RenderParams,
        _call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        let (config, release, diagnostics) = checked(&params.config)?;
        let manifests = render::manifests(&config, release)?;
        let gateway = gateway_api(&config, release);
        let output = Output {
            version: config.version.clone(),
            images: release.images.clone(),
            kubernetes: release.kubernetes.clone(),
            gateway_api_version: gateway.version.clone(),
            bgp_enabled: config.bgp_enabled,
        };
        let cni = Cni {
            provider: "cilium".into(),
            manifests: manifests.clone(),
            replaces_kube_proxy: config.kube_proxy_replacement,
            bpf_masquerade: config.bpf_masquerade,
        };
        Ok(RenderResult {
            artifacts: vec![Artifact {
                path: "manifests.yaml".into(),
                content: manifests,
                ..Artifact::default()
            }],
            stages: stages::stages(&config, release),
            env_vars: BTreeMap::from([("CILIUM_VERSION".to_owned(), config.version)]),
            capabilities: BTreeMap::from([
                (CNI.to_owned(), json!(cni)),
                (GATEWAY_API.to_owned(), json!(gateway)),
            ]),
            data: json!(output),
            diagnostics,
        })
    }

    fn scripts(
        &self,
        params: ScriptsParams,
        _call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError> {
        let (config, release, _) = checked(&params.config)?;
        Ok(ScriptsResult {
            scripts: stages::scripts(&config, release),
        })
    }
}

fn provision(capability: &str) -> Provision {
    Provision {
        capability: capability.into(),
        version: "1.0".into(),
        schema: None,
    }
}

/// Says which definitions the cluster needs. What the manifest promises is always given: with the Gateway API off there is no version and
/// nothing to install.
fn gateway_api(config: &Config, release: &Release) -> GatewayApi {
    if !config.gateway_api {
        return GatewayApi::default();
    }
    let gateway = &release.gateway_api;
    GatewayApi {
        version: gateway.version.clone(),
        crd_urls: gateway.urls(),
        crds: String::new(),
    }
}

/// Reads a section that must be right by now: errors end the call, warnings come back.
fn checked(
    section: &Map<String, Value>,
) -> Result<(Config, &'static Release, Vec<Diagnostic>), AdapterError> {
    let config: Config = from_config(section)?;
    let diagnostics = validate::check(&config);
    if diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error)
    {
        return Err(
            AdapterError::new(ErrorCode::InvalidInputs, "the section `cilium` has errors")
                .help("correct platform.yaml, then `ztc validate`")
                .diagnostics(diagnostics),
        );
    }
    let release = versions::table()
        .releases
        .get(&config.version)
        .expect("the version was checked");
    Ok((config, release, diagnostics))
}

//! Cilium for ztc: renders the manifests of its releases, provides the pod network and the Gateway API, waits for both and checks them.
//!
//! It renders before the adapter that provides the cluster, which embeds the manifests, so it never applies anything itself and knows the
//! cluster only through its stages.
#![warn(missing_docs)]

mod bgp;
mod config;
mod envoy;
mod gateway;
mod helm;
mod labels;
mod objects;
mod rbac;
mod render;
mod stages;
mod validate;
mod versions;
mod wizard;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use ztc_adapter_sdk::protocol::capability::{CNI, Cni, GATEWAY_API, GatewayApi, KubernetesRange};
use ztc_adapter_sdk::protocol::manifest::{Manifest, NetworkEndpoint, Provision};
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::protocol::{ErrorCode, message::Severity};
use ztc_adapter_sdk::versions::AnyVersions;
use ztc_adapter_sdk::{Adapter, AdapterError, CallContext, from_config};

use crate::config::{Config, Source};
use crate::helm::Chart;
use crate::stages::Subject;
use crate::versions::{Images, table};

/// The adapter.
#[derive(Clone, Copy, Debug)]
pub struct Cilium;

/// What was rendered, for people and tools.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The Cilium release.
    version: String,
    /// Its container images; not known of a chart.
    images: Option<Images>,
    /// The digest of the chart; nothing where the templates were rendered.
    chart_sha256: Option<String>,
    /// The Kubernetes minors that the release was tested with, where they are known.
    kubernetes: Option<KubernetesRange>,
    /// The release of the Gateway API; empty: it is off.
    gateway_api_version: String,
    /// How many operators run.
    operator_replicas: u8,
    /// Whether nodes speak BGP.
    bgp_enabled: bool,
}

impl Adapter for Cilium {
    fn manifest(&self) -> Manifest {
        let table = table();
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
            // A chart can be any release.
            other_versions: true,
            default_version: table.default.clone(),
            config_schema: config::schema(),
            output_schema: schemars::schema_for!(Output).to_value(),
            output_dir: "network/cilium".into(),
            tools: vec![stages::kubectl()],
            discovers: true,
            discover_tools: vec![helm::tool()],
            network: [
                ("helm.cilium.io", "the chart"),
                ("quay.io", "the chart, as `oci://`"),
            ]
            .map(|(host, why)| NetworkEndpoint {
                host: host.into(),
                port: 443,
                why: format!("{why}, with `source: helm` only"),
            })
            .into(),
            ..Manifest::default()
        }
    }

    fn versions(&self) -> Option<&'static dyn AnyVersions> {
        Some(&versions::TABLE)
    }

    fn get_inputs(
        &self,
        params: GetInputsParams,
        _call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        Ok(GetInputsResult {
            inputs: wizard::questions(&params),
            ..GetInputsResult::default()
        })
    }

    fn validate(
        &self,
        params: ValidateParams,
        _call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        let config = from_config(&params.config)?;
        Ok(ValidateResult {
            diagnostics: validate::check(&config, &params.files),
        })
    }

    fn discover(
        &self,
        params: DiscoverParams,
        call: &CallContext,
    ) -> Result<DiscoverResult, AdapterError> {
        let config: Config = from_config(&params.config)?;
        let (errors, _) = judged(validate::check(&config, &params.files));
        match config.source {
            _ if !errors.is_empty() => Err(refused(errors)),
            Source::Templates => Ok(DiscoverResult::default()),
            Source::Helm => helm::discover(&config, &params, call),
        }
    }

    fn render(
        &self,
        params: RenderParams,
        _call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        let rendered = Rendered::of(&params)?;
        let (config, gateway) = (&rendered.config, &rendered.gateway);
        let kubernetes = rendered.subject.kubernetes.clone();
        let output = Output {
            version: config.version.clone(),
            images: rendered.images,
            chart_sha256: rendered.chart.map(|chart| chart.sha256),
            kubernetes: kubernetes.clone(),
            gateway_api_version: gateway.version.clone(),
            operator_replicas: rendered.subject.operators,
            bgp_enabled: config.bgp_enabled,
        };
        let cni = Cni {
            provider: "cilium".into(),
            manifests: rendered.manifests.clone(),
            replaces_kube_proxy: config.kube_proxy_replacement,
            bpf_masquerade: config.bpf_masquerade,
            kubernetes,
            address_families: config.address_families(),
        };
        Ok(RenderResult {
            artifacts: vec![Artifact {
                path: "manifests.yaml".into(),
                content: rendered.manifests,
                ..Artifact::default()
            }],
            stages: stages::stages(&rendered.subject),
            env_vars: BTreeMap::from([("CILIUM_VERSION".to_owned(), config.version.clone())]),
            capabilities: BTreeMap::from([
                (CNI.to_owned(), json!(cni)),
                (GATEWAY_API.to_owned(), json!(gateway)),
            ]),
            data: json!(output),
            diagnostics: rendered.warnings,
        })
    }

    fn scripts(
        &self,
        params: ScriptsParams,
        _call: &CallContext,
    ) -> Result<ScriptsResult, AdapterError> {
        Ok(ScriptsResult {
            scripts: stages::scripts(&Rendered::of(&params)?.subject),
        })
    }
}

/// What a section makes.
struct Rendered {
    config: Config,
    manifests: String,
    images: Option<Images>,
    chart: Option<Chart>,
    gateway: GatewayApi,
    subject: Subject,
    warnings: Vec<Diagnostic>,
}

impl Rendered {
    /// Renders a section that must be right by now: errors end the call, warnings come back.
    fn of(params: &RenderParams) -> Result<Self, AdapterError> {
        let config: Config = from_config(&params.config)?;
        let (errors, warnings) = judged(validate::check(&config, &params.files));
        if !errors.is_empty() {
            return Err(refused(errors));
        }
        let operators = config.operators(&params.platform.roles);
        let (manifests, daemon_sets, images, chart) = match config.source {
            Source::Templates => {
                let release = &table().releases[&config.version];
                let manifests = render::manifests(&config, release, operators)?;
                let daemon_sets = ["cilium", "cilium-envoy"].map(String::from).to_vec();
                (manifests, daemon_sets, Some(release.images.clone()), None)
            }
            Source::Helm => {
                let rendered = helm::recall(&config, &params.facts, &params.platform)?;
                let manifests = render::of_chart(&config, &rendered)?;
                let daemon_sets = daemon_sets(&rendered.manifests)?;
                (manifests, daemon_sets, None, Some(rendered.chart))
            }
        };
        let gateway = gateway::capability(&config.gateway_api, &config.version, &params.files)?;
        let minor = table().minor(&config.version);
        let subject = Subject {
            operators,
            daemon_sets,
            gateway_api: gateway.version.clone(),
            kubernetes: minor.and_then(|minor| minor.kubernetes.clone()),
        };
        Ok(Self {
            config,
            manifests,
            images,
            chart,
            gateway,
            subject,
            warnings,
        })
    }
}

/// Names the daemon sets of `kube-system` that a chart gives; they are waited for.
fn daemon_sets(manifests: &str) -> Result<Vec<String>, AdapterError> {
    let objects = objects::parse(manifests).map_err(AdapterError::internal)?;
    let names = objects
        .keys()
        .filter_map(|key| key.strip_prefix("DaemonSet kube-system/"));
    Ok(names.map(str::to_owned).collect())
}

fn provision(capability: &str) -> Provision {
    Provision {
        capability: capability.into(),
        version: "1.0".into(),
        schema: None,
    }
}

/// Parts errors from warnings.
fn judged(diagnostics: Vec<Diagnostic>) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    diagnostics
        .into_iter()
        .partition(|found| found.severity == Severity::Error)
}

fn refused(errors: Vec<Diagnostic>) -> AdapterError {
    AdapterError::new(ErrorCode::InvalidInputs, "the section `cilium` has errors")
        .help("correct platform.yaml, then `ztc validate`")
        .diagnostics(errors)
}

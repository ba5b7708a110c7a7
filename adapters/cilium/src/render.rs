//! The manifests: what the templates are given, and their text.
//!
//! Everything that a section of `platform.yaml` can change is decided here or by an `if` in a template; nothing is read from outside.

use serde::Serialize;
use serde_json::{Value, json};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::template::Templates;

use crate::config::Config;
use crate::helm::{Chart, Rendered};
use crate::versions::Release;
use crate::{bgp, envoy, rbac};

macro_rules! templates {
    ($($name:literal = $file:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../templates/", $file, ".hbs")))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = templates![
    "manifests" = "manifests.yaml",
    "accounts" = "accounts.yaml",
    "rbac" = "rbac.yaml",
    "rules" = "rules.yaml",
    "config" = "config.yaml",
    "agent" = "agent.yaml",
    "agent-init" = "agent-init.yaml",
    "agent-post-start" = "agent-post-start.sh",
    "envoy" = "envoy.yaml",
    "operator" = "operator.yaml",
    "gateway" = "gateway.yaml",
    "pool" = "pool.yaml",
    "bgp" = "bgp.yaml",
    "additions" = "additions.yaml",
    "env" = "env.yaml",
    "api-server" = "api-server.yaml",
    "node-privileges" = "node-privileges.yaml",
    "probe" = "probe.yaml",
];

/// Returns the YAML documents that install Cilium, made from the templates.
pub(crate) fn manifests(
    config: &Config,
    release: &Release,
    operators: u8,
) -> Result<String, AdapterError> {
    let mut context = context(config, operators);
    context["images"] = json!(release.images);
    Templates::new(TEMPLATES)?.render("manifests", &context)
}

/// Returns the YAML documents that install Cilium: what the chart gave, and Cilium's own resources.
pub(crate) fn of_chart(config: &Config, rendered: &Rendered) -> Result<String, AdapterError> {
    let additions = Templates::new(TEMPLATES)?.render("additions", &context(config, 0))?;
    let Chart {
        from,
        version,
        sha256,
    } = &rendered.chart;
    let from = json!(from);
    Ok(format!(
        "# Cilium {}, rendered by ztc from the chart {version} of {from}, sha256 {sha256}. Change platform.yaml and render again instead of editing.\n{}\n{additions}",
        config.version,
        rendered.manifests.trim_end()
    ))
}

fn context(config: &Config, operators: u8) -> Value {
    json!({
        "version": config.version,
        "kube_proxy_replacement": config.kube_proxy_replacement,
        "gateway_api": config.gateway_api.is_on(),
        "ipv6": config.ipv6,
        "bpf_masquerade": config.bpf_masquerade,
        "mtu": config.mtu,
        "load_balancer_cidrs": config.load_balancer_cidrs.iter().map(flow).collect::<Vec<_>>(),
        "bgp_enabled": config.bgp_enabled,
        "bgp": bgp::context(config),
        "accounts": ["cilium", "cilium-envoy", "cilium-operator"],
        "cluster_roles": rbac::cluster_roles(config),
        "roles": rbac::roles(config),
        "agent_labels": labels("cilium-agent", json!({"k8s-app": "cilium"})),
        "agent_probes": agent_probes(),
        "cleanup": cleanup(),
        "clustermesh_secrets": clustermesh_secrets(),
        "envoy_labels": labels("cilium-envoy", json!({"k8s-app": "cilium-envoy", "name": "cilium-envoy"})),
        "envoy_probes": envoy_probes(),
        "envoy_bootstrap": envoy::bootstrap(config.ipv6),
        "operator_labels": labels("cilium-operator", json!({"io.cilium/app": "operator", "name": "cilium-operator"})),
        "operator_probes": operator_probes(),
        "operator_replicas": operators,
        "operator_unavailable": if operators == 1 { "100%" } else { "50%" },
        "operator_tolerations": [
            "node-role.kubernetes.io/control-plane",
            "node-role.kubernetes.io/master",
            "node.kubernetes.io/not-ready",
            "node.cloudprovider.kubernetes.io/uninitialized",
            "node.cilium.io/agent-not-ready",
        ],
    })
}

/// Writes a value as JSON on one line, which every YAML parser reads as the same value, whatever an operator typed.
fn flow(value: impl Serialize) -> String {
    serde_json::to_string(&value).expect("strings, lists and maps of strings have a JSON form")
}

fn labels(name: &str, mut labels: Value) -> String {
    labels["app.kubernetes.io/name"] = json!(name);
    labels["app.kubernetes.io/part-of"] = json!("cilium");
    flow(labels)
}

/// The init container takes these settings as variables.
fn cleanup() -> Value {
    json!([
        {"variable": "CILIUM_ALL_STATE", "key": "clean-cilium-state"},
        {"variable": "CILIUM_BPF_STATE", "key": "clean-cilium-bpf-state"},
        {"variable": "WRITE_CNI_CONF_WHEN_READY", "key": "write-cni-conf-when-ready"},
    ])
}

fn clustermesh_secrets() -> Value {
    json!([
        {"name": "clustermesh-apiserver-remote-cert", "client": "common-etcd-client"},
        {"name": "clustermesh-apiserver-local-cert", "client": "local-etcd-client"},
    ])
}

fn agent_probes() -> Value {
    let brief = json!({"name": "brief", "value": "true"});
    // A node that lost the API server keeps its network, so the agent is not restarted for that.
    let offline = json!({"name": "require-k8s-connectivity", "value": "false"});
    json!({
        "startup": {"port": 9879, "headers": [brief], "timing": startup(300)},
        "liveness": {"port": 9879, "headers": [brief, offline], "timing": steady(10)},
        "readiness": {"port": 9879, "headers": [brief], "timing": steady(3)},
    })
}

fn envoy_probes() -> Value {
    json!({
        "startup": {"port": 9878, "headers": [], "timing": startup(105)},
        "liveness": {"port": 9878, "headers": [], "timing": steady(10)},
        "readiness": {"port": 9878, "headers": [], "timing": steady(3)},
    })
}

fn operator_probes() -> Value {
    let alive = json!({"initialDelaySeconds": 60, "periodSeconds": 10, "timeoutSeconds": 3});
    let ready = json!({"initialDelaySeconds": 0, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 5});
    json!({
        "liveness": {"port": 9234, "headers": [], "timing": alive},
        "readiness": {"port": 9234, "headers": [], "timing": ready},
    })
}

fn startup(failures: u32) -> Value {
    json!({"initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": failures, "successThreshold": 1})
}

fn steady(failures: u32) -> Value {
    json!({"periodSeconds": 30, "timeoutSeconds": 5, "failureThreshold": failures, "successThreshold": 1})
}

//! Machine configurations: the templates' data, and the patches of `platform.yaml` on top. Pure text in, text out; secrets are placeholders.

use serde::Serialize;
use serde_json::{Value, json};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::message::Severity;
use ztc_adapter_sdk::template::Templates;

use crate::cluster::{Cluster, Machine};
use crate::config::{Patch, Role};
use crate::merge::Documents;
use crate::patch;
use crate::problem::Problem;
use crate::verify::Verifier;
use crate::yaml::{self, scalar};

/// Makes machine configurations of one cluster.
pub(crate) struct MachineConfigs<'a> {
    cluster: &'a Cluster,
    templates: Templates,
    /// The same on all control planes, so written once.
    inline_manifests: String,
    verifier: Verifier<'a>,
}

/// What the templates see; every text is a YAML scalar already.
#[derive(Serialize)]
struct View<'a> {
    hostname: String,
    kubernetes_version: &'a str,
    cluster_name: String,
    endpoint: String,
    cert_sans: Vec<String>,
    api_server_sans: Vec<String>,
    provider_id: String,
    node_ip_subnets: Vec<String>,
    etcd_advertised_subnets: Vec<String>,
    vip: Option<Value>,
    disk: String,
    disk_selector: Vec<Value>,
    installer_image: String,
    mirrors: Vec<Value>,
    forward_dns_to_host: bool,
    labels: Vec<Value>,
    taints: Vec<Value>,
    /// Those that the kubelet registers its node with.
    first_taints: Vec<Value>,
    dns_domain: String,
    pod_subnets: Vec<String>,
    service_subnets: Vec<String>,
    no_cni: bool,
    no_proxy: bool,
    extra_manifests: Vec<String>,
    inline_manifests: &'a str,
    allow_scheduling_on_control_planes: bool,
}

impl<'a> MachineConfigs<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Result<Self, AdapterError> {
        let templates = Templates::new(&[
            ("machine", include_str!("../templates/machine.hbs")),
            (
                "controlplane",
                include_str!("../templates/controlplane.hbs"),
            ),
            ("worker", include_str!("../templates/worker.hbs")),
            ("talosconfig", include_str!("../templates/talosconfig.hbs")),
        ])?;
        Ok(Self {
            cluster,
            templates,
            inline_manifests: inline_manifests(cluster),
            verifier: Verifier::new(cluster),
        })
    }

    /// Makes the configuration of a machine.
    pub(crate) fn machine(&self, machine: &Machine) -> Result<String, AdapterError> {
        let text = self
            .templates
            .render(machine.role.word(), &self.view(machine))?;
        let patches: Vec<(usize, &Patch)> = self
            .cluster
            .config
            .patches
            .iter()
            .enumerate()
            .filter(|(_, patch)| applies(patch, machine))
            .collect();
        if patches.is_empty() {
            self.verifier
                .verify(machine, &text, &[], |_| Ok(String::new()))?;
            return Ok(text);
        }
        let made = patched(&text, &patches)?;
        let with = |count: usize| patched(&text, &patches[..count]);
        self.verifier.verify(machine, &made, &patches, with)?;
        Ok(made)
    }

    /// Makes the client configuration of `talosctl`. It names the control planes themselves, never an address that moves between them.
    pub(crate) fn talosconfig(&self) -> Result<String, AdapterError> {
        let endpoints: Vec<String> = self
            .cluster
            .of_role(Role::ControlPlane)
            .map(|machine| scalar(&machine.ip))
            .collect();
        let view = json!({ "cluster_name": scalar(&self.cluster.config.cluster_name), "endpoints": endpoints });
        self.templates.render("talosconfig", &view)
    }

    fn view(&self, machine: &Machine) -> View<'_> {
        let Cluster { config, cni, .. } = self.cluster;
        let is_control_plane = machine.role == Role::ControlPlane;
        let mut labels: Vec<Value> = Vec::new();
        if is_control_plane && !machine.labels.contains_key(NO_LOAD_BALANCER) {
            labels.push(pair(NO_LOAD_BALANCER, ""));
        }
        labels.extend(machine.labels.iter().map(|(key, value)| pair(key, value)));
        let mut api_server_sans = vec![self.cluster.endpoint.host.clone()];
        api_server_sans.extend(
            config
                .cert_sans
                .iter()
                .filter(|san| **san != self.cluster.endpoint.host)
                .cloned(),
        );
        View {
            hostname: scalar(&machine.name),
            kubernetes_version: &self.cluster.kubernetes_version,
            cluster_name: scalar(&config.cluster_name),
            endpoint: scalar(&self.cluster.endpoint.to_string()),
            cert_sans: scalars(&config.cert_sans),
            api_server_sans: scalars(&api_server_sans),
            provider_id: if machine.provider_id.is_empty() {
                String::new()
            } else {
                scalar(&machine.provider_id)
            },
            node_ip_subnets: scalars(&config.node_ip_subnets),
            etcd_advertised_subnets: scalars(&config.etcd_advertised_subnets),
            vip: config.vip.as_ref().filter(|_| is_control_plane).map(|vip| {
                let token = vip.token_placeholder();
                json!({
                    "ip": scalar(&vip.ip),
                    "interface": scalar(&vip.interface),
                    "token": token.as_deref().map(scalar),
                })
            }),
            disk: scalar(&machine.disk),
            disk_selector: disk_selector(machine),
            installer_image: scalar(&machine.installer_image),
            mirrors: mirrors(self.cluster),
            forward_dns_to_host: !cni.bpf_masquerade,
            labels,
            taints: taints(machine, is_control_plane, pair),
            first_taints: taints(machine, !is_control_plane, first_taint),
            dns_domain: scalar(&config.dns_domain),
            pod_subnets: scalars(&config.pod_subnets),
            service_subnets: scalars(&config.service_subnets),
            no_cni: !cni.provider.is_empty(),
            no_proxy: cni.replaces_kube_proxy,
            extra_manifests: scalars(&extra_manifests(self.cluster)),
            inline_manifests: &self.inline_manifests,
            allow_scheduling_on_control_planes: config.allow_scheduling_on_control_planes,
        }
    }
}

const NO_LOAD_BALANCER: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// A worker may taint its node only when it registers; control planes may at any time, and Talos keeps theirs up to date.
fn taints(machine: &Machine, are_here: bool, write: impl Fn(&str, &str) -> Value) -> Vec<Value> {
    let taints = machine.taints.iter().filter(|_| are_here);
    taints.map(|(key, value)| write(key, value)).collect()
}

fn first_taint(key: &str, taint: &str) -> Value {
    let (value, effect) = taint.rsplit_once(':').unwrap_or(("", taint));
    let value = (!value.is_empty()).then(|| scalar(value));
    json!({ "key": scalar(key), "value": value, "effect": effect })
}

/// Says whether a patch is for a machine.
pub(crate) fn applies(patch: &Patch, machine: &Machine) -> bool {
    patch.target == "all" || patch.target == machine.role.word() || patch.target == machine.name
}

/// Merges patches into a rendered configuration. The problem has the place of the patch.
fn patched(text: &str, patches: &[(usize, &Patch)]) -> Result<String, AdapterError> {
    let parsed = yaml::parse(text)
        .map_err(|error| AdapterError::internal(format!("a template renders no YAML: {error}")))?;
    let Value::Object(main) = parsed else {
        return Err(AdapterError::internal("a template renders no mapping"));
    };
    let mut documents = Documents {
        main,
        further: Vec::new(),
    };
    for &(index, patch) in patches {
        for one in
            patch::documents(patch, index).map_err(|(place, problem)| failed(problem, place))?
        {
            documents.merge(&one.content).map_err(|mut problem| {
                problem.message = one.say("", &problem.message);
                failed(problem, one.at(""))
            })?;
        }
    }
    let mut out = yaml::document(&Value::Object(documents.main));
    for document in documents.further {
        out.push_str("---\n");
        out.push_str(&yaml::document(&Value::Object(document)));
    }
    Ok(out)
}

fn failed(problem: Problem, place: String) -> AdapterError {
    let error = AdapterError::new(ErrorCode::InvalidInputs, "a patch cannot be merged");
    error.diagnostics(vec![problem.at(place, Severity::Error)])
}

/// The manifests that all control planes embed: names and contents.
pub(crate) fn embedded(cluster: &Cluster) -> Vec<(&str, &str)> {
    let definitions = cluster
        .gateway_api
        .as_ref()
        .map(|gateway_api| ("gateway-api", gateway_api.crds.as_str()));
    let network = (
        cluster.cni.provider.as_str(),
        cluster.cni.manifests.as_str(),
    );
    let all = definitions.into_iter().chain([network]);
    all.filter(|(_, contents)| !contents.is_empty()).collect()
}

/// The entry of the control planes' configuration, without its last line feed: the template's line has one.
fn inline_manifests(cluster: &Cluster) -> String {
    let manifests: Vec<Value> = embedded(cluster)
        .into_iter()
        .map(|(name, contents)| json!({ "name": name, "contents": contents }))
        .collect();
    let mut out = String::new();
    if !manifests.is_empty() {
        yaml::entry(&mut out, "inlineManifests", &manifests.into(), 4);
        out.pop();
    }
    out
}

fn extra_manifests(cluster: &Cluster) -> Vec<String> {
    let remote = cluster
        .gateway_api
        .iter()
        .filter(|gateway_api| gateway_api.crds.is_empty());
    let definitions = remote.flat_map(|gateway_api| gateway_api.crd_urls.iter());
    definitions
        .chain(&cluster.config.extra_manifests)
        .cloned()
        .collect()
}

fn disk_selector(machine: &Machine) -> Vec<Value> {
    let Some(selector) = &machine.disk_selector else {
        return Vec::new();
    };
    let Ok(Value::Object(fields)) = serde_json::to_value(selector) else {
        return Vec::new();
    };
    fields
        .iter()
        .filter_map(|(key, value)| Some(pair(key, value.as_str()?)))
        .collect()
}

fn mirrors(cluster: &Cluster) -> Vec<Value> {
    let one = |(registry, mirror): (&String, &crate::config::Mirror)| {
        json!({
            "registry": scalar(registry),
            "endpoints": scalars(&mirror.endpoints),
            "override_path": mirror.override_path,
            "skip_fallback": mirror.skip_fallback,
        })
    };
    cluster.config.registry_mirrors.iter().map(one).collect()
}

fn pair(key: &str, value: &str) -> Value {
    json!({ "key": scalar(key), "value": scalar(value) })
}

fn scalars(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| scalar(text)).collect()
}

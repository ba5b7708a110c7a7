//! What the lab needs of a Talos machine configuration, and the checks that Talos makes before it takes one. The one module that reads YAML.

use serde::Serialize;
use serde_json::Value;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Runs etcd and the API server.
    ControlPlane,
    /// Runs pods.
    Worker,
}

/// An object of the manifests that a control plane applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Manifest {
    /// Its kind.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// How many replicas it wants; 1 unless it says.
    pub(crate) replicas: u64,
    /// The image of its first container.
    pub(crate) image: String,
}

/// A machine configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MachineConfig {
    /// What the node does.
    pub(crate) role: Role,
    /// Its host name.
    pub(crate) host_name: String,
    /// The certificate of the Talos API's authority.
    pub(crate) machine_ca: String,
    /// The certificate of the Kubernetes API's authority.
    pub(crate) cluster_ca: String,
    /// The token that admits a kubelet.
    pub(crate) cluster_token: String,
    /// The cluster's name.
    pub(crate) cluster_name: String,
    /// Where the Kubernetes API answers.
    pub(crate) endpoint: String,
    /// The node's provider id; empty: none.
    pub(crate) provider_id: String,
    /// The kubelet's version.
    pub(crate) kubelet_version: String,
    /// Whether something else than Talos installs the pod network.
    pub(crate) cni_none: bool,
    /// The parts that Talos takes only with a reboot, as text.
    pub(crate) at_boot: String,
    /// What is applied when the cluster starts.
    pub(crate) manifests: Vec<Manifest>,
    /// URLs of what is applied when the cluster starts.
    pub(crate) extra_manifests: Vec<String>,
}

/// Reads a configuration; the error is one line for each reason.
pub(crate) fn parse(text: &str) -> Result<MachineConfig, Vec<String>> {
    let documents =
        documents(text).map_err(|error| vec![format!("error decoding document: {error}")])?;
    let Some(main) = documents
        .iter()
        .find(|document| document.get("machine").is_some())
    else {
        return Err(vec![
            "the applied machine configuration doesn't contain any v1alpha1 document".into(),
        ]);
    };
    let mut problems = Vec::new();
    if let Some(at) = text.find("ztc-secret:") {
        let placeholder = text[at..]
            .split(['\n', '"', '\'', ' '])
            .next()
            .unwrap_or_default();
        problems.push(format!(
            "the configuration holds the placeholder `{placeholder}` instead of a value"
        ));
    }
    let role = match string(main, "/machine/type").as_str() {
        "controlplane" => Role::ControlPlane,
        "worker" => Role::Worker,
        other => {
            problems.push(format!("unknown machine type `{other}`"));
            Role::Worker
        }
    };
    problems.extend(missing(main, role));
    let manifests = manifests(main).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    if problems.is_empty() {
        Ok(pick(main, role, manifests))
    } else {
        Err(problems)
    }
}

fn pick(main: &Value, role: Role, manifests: Vec<Manifest>) -> MachineConfig {
    let kubelet = string(main, "/machine/kubelet/image");
    MachineConfig {
        role,
        host_name: string(main, "/machine/network/hostname"),
        machine_ca: string(main, "/machine/ca/crt"),
        cluster_ca: string(main, "/cluster/ca/crt"),
        cluster_token: string(main, "/cluster/token"),
        cluster_name: string(main, "/cluster/clusterName"),
        endpoint: string(main, "/cluster/controlPlane/endpoint"),
        provider_id: string(main, "/machine/kubelet/extraArgs/provider-id"),
        kubelet_version: kubelet
            .rsplit_once(':')
            .map_or("v1.34.1", |(_, tag)| tag)
            .to_owned(),
        cni_none: string(main, "/cluster/network/cni/name") == "none",
        at_boot: ["env", "files", "disks", "systemDiskEncryption"]
            .iter()
            .filter_map(|part| main.pointer(&format!("/machine/{part}")))
            .map(Value::to_string)
            .collect(),
        manifests,
        extra_manifests: list(main, "/cluster/extraManifests")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

/// The parts that Talos does not start without, by role.
fn missing(main: &Value, role: Role) -> Vec<String> {
    let everywhere = [
        "/machine/token",
        "/machine/ca/crt",
        "/cluster/id",
        "/cluster/secret",
        "/cluster/token",
        "/cluster/ca/crt",
        "/cluster/controlPlane/endpoint",
    ];
    let control_plane = [
        "/machine/ca/key",
        "/cluster/ca/key",
        "/cluster/etcd/ca/crt",
        "/cluster/etcd/ca/key",
        "/cluster/serviceAccount/key",
        "/cluster/aggregatorCA/crt",
        "/cluster/aggregatorCA/key",
    ];
    let more: &[&str] = if role == Role::ControlPlane {
        &control_plane
    } else {
        &[]
    };
    let mut problems: Vec<String> = everywhere
        .iter()
        .chain(more)
        .filter(|path| string(main, path).is_empty())
        .map(|path| format!("{} is required", path[1..].replace('/', ".")))
        .collect();
    if role == Role::Worker {
        let keys = ["/machine/ca/key", "/cluster/ca/key"];
        problems.extend(
            keys.iter()
                .filter(|path| !string(main, path).is_empty())
                .map(|path| {
                    format!(
                        "{} is not allowed on worker nodes",
                        path[1..].replace('/', ".")
                    )
                }),
        );
    }
    let endpoint = string(main, "/cluster/controlPlane/endpoint");
    if !endpoint.is_empty() && !endpoint.starts_with("https://") {
        problems.push(format!(
            "invalid cluster endpoint `{endpoint}`: https:// is missing"
        ));
    }
    problems
}

fn manifests(main: &Value) -> Result<Vec<Manifest>, String> {
    let mut found = Vec::new();
    for entry in list(main, "/cluster/inlineManifests") {
        let name = string(entry, "/name");
        let objects = documents(&string(entry, "/contents"))
            .map_err(|error| format!("inline manifest `{name}` is not YAML: {error}"))?;
        found.extend(
            objects
                .iter()
                .filter(|object| !object.is_null())
                .map(|object| Manifest {
                    kind: string(object, "/kind"),
                    name: string(object, "/metadata/name"),
                    replicas: object
                        .pointer("/spec/replicas")
                        .and_then(Value::as_u64)
                        .unwrap_or(1),
                    image: string(object, "/spec/template/spec/containers/0/image"),
                }),
        );
    }
    Ok(found)
}

/// Reads a file of several documents.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// The text at a JSON pointer; empty when there is none.
pub(crate) fn string(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration as small as Talos takes it.
    pub(crate) fn sample(role: &str, host: &str) -> String {
        let keys = role == "controlplane";
        let key = |indent: &str| {
            if keys {
                format!("\n{indent}key: a2V5")
            } else {
                String::new()
            }
        };
        let more = "
  etcd: {ca: {crt: Y3J0, key: a2V5}}
  serviceAccount: {key: a2V5}
  aggregatorCA: {crt: Y3J0, key: a2V5}
  inlineManifests:
    - name: cilium
      contents: |
        apiVersion: apps/v1
        kind: DaemonSet
        metadata: {name: cilium}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: cilium-operator}
        spec: {replicas: 2}
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: GatewayClass
        metadata: {name: cilium}
        ---
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: gatewayclasses.gateway.networking.k8s.io}
";
        format!(
            "version: v1alpha1
machine:
  type: {role}
  token: abc
  ca:
    crt: b3M={}
  kubelet: {{image: 'ghcr.io/siderolabs/kubelet:v1.33.4', extraArgs: {{provider-id: 'hcloud://7'}}}}
  network: {{hostname: {host}}}
cluster:
  id: aWQ=
  secret: c2Vj
  token: def
  clusterName: demo
  controlPlane: {{endpoint: 'https://127.42.0.11:6443'}}
  network: {{cni: {{name: none}}}}
  ca:
    crt: azhz{}{}",
            key("    "),
            key("    "),
            if keys { more } else { "\n" }
        )
    }

    #[test]
    fn the_parts_that_the_lab_needs_are_found() {
        let config = parse(&sample("controlplane", "cp01")).unwrap();
        assert_eq!(
            (
                config.role,
                config.host_name.as_str(),
                config.provider_id.as_str()
            ),
            (Role::ControlPlane, "cp01", "hcloud://7")
        );
        assert_eq!(
            (config.kubelet_version.as_str(), config.machine_ca.as_str()),
            ("v1.33.4", "b3M=")
        );
        let kinds: Vec<(&str, &str, u64)> = config
            .manifests
            .iter()
            .map(|object| (object.kind.as_str(), object.name.as_str(), object.replicas))
            .collect();
        assert_eq!(
            kinds,
            [
                ("DaemonSet", "cilium", 1),
                ("Deployment", "cilium-operator", 2),
                ("GatewayClass", "cilium", 1),
                (
                    "CustomResourceDefinition",
                    "gatewayclasses.gateway.networking.k8s.io",
                    1
                ),
            ]
        );
    }

    #[test]
    fn what_talos_refuses_is_refused() {
        let worker = sample("worker", "w");
        for (text, expected) in [
            (
                worker.replace("token: abc", "token: ztc-secret:talos/trustdinfo/token"),
                "the configuration holds the placeholder `ztc-secret:talos/trustdinfo/token` instead of a value",
            ),
            (
                worker.replace("type: worker", "type: server"),
                "unknown machine type `server`",
            ),
            (
                worker.replace("id: aWQ=", "id: ''"),
                "cluster.id is required",
            ),
            (
                worker.replace("crt: b3M=", "crt: b3M=\n    key: a2V5"),
                "machine.ca.key is not allowed on worker nodes",
            ),
            (
                worker.replace("https://", ""),
                "invalid cluster endpoint `127.42.0.11:6443`: https:// is missing",
            ),
            (
                sample("controlplane", "c")
                    .replace("serviceAccount: {key: a2V5}", "serviceAccount: {}"),
                "cluster.serviceAccount.key is required",
            ),
        ] {
            assert_eq!(parse(&text).unwrap_err(), [expected]);
        }
        assert!(parse("a: [").unwrap_err()[0].starts_with("error decoding document: "));
    }
}

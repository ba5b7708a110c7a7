//! The cluster that grows from configured nodes: etcd, API server, manifests, kubelets, the pod network. Pure; what `kubectl` shows of it is in `objects`.

use crate::applied::Objects;
use crate::faults::Fault;
use crate::machine_config::{MachineConfig, Role};
use crate::node::Node;
use crate::state::State;
use crate::timing::Millis;

/// The definitions that a Gateway API release brings.
const GATEWAY_DEFINITIONS: [&str; 5] = [
    "gatewayclasses",
    "gateways",
    "grpcroutes",
    "httproutes",
    "referencegrants",
];
/// Definitions that Cilium's operator makes itself.
const CILIUM_DEFINITIONS: [&str; 3] = ["ciliumendpoints", "ciliumidentities", "ciliumnodes"];

/// What the nodes do not remember.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    /// When etcd was bootstrapped.
    pub(crate) bootstrapped: Option<Millis>,
    /// What the first control plane was configured with.
    pub(crate) config: Option<MachineConfig>,
    /// When Cilium's operator was restarted last.
    pub(crate) operator_restarted: Option<Millis>,
    /// Whether the Gateway API's definitions come late.
    pub(crate) definitions_late: bool,
    /// What was applied after the beginning.
    pub(crate) objects: Objects,
}

/// A node of the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// The machine.
    pub(crate) node: &'a Node,
    /// What it was configured with.
    pub(crate) config: &'a MachineConfig,
    /// Whether its pod of Cilium is ready.
    pub(crate) network: bool,
    /// Whether the node is ready.
    pub(crate) ready: bool,
}

/// When things happened, RFC 3339.
#[derive(Debug)]
pub(crate) struct Times {
    /// The API server answered.
    pub(crate) api: String,
    /// The manifests were applied.
    pub(crate) applied: String,
    /// The operator's pods started.
    pub(crate) operator: String,
    /// The Gateway API's definitions came into force.
    pub(crate) gateway: String,
}

/// A cluster whose API server answers.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// What the first control plane was configured with.
    pub(crate) config: &'a MachineConfig,
    /// The nodes that have joined.
    pub(crate) members: Vec<Member<'a>>,
    /// Whether the manifests are applied.
    pub(crate) applied: bool,
    /// When things happened.
    pub(crate) times: Times,
    /// Whether the operator's pods are ready.
    pub(crate) operator_ready: bool,
    /// Whether Cilium implements the Gateway API.
    pub(crate) gateway: bool,
    /// The names of the definitions.
    pub(crate) definitions: Vec<String>,
}

impl View<'_> {
    /// Whether the manifests hold this object and are applied.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.applied
            && self
                .config
                .manifests
                .iter()
                .any(|object| object.kind == kind && object.name == name)
    }

    /// The number of replicas that a deployment of the manifests wants.
    pub(crate) fn replicas(&self, name: &str) -> u64 {
        let found = self
            .config
            .manifests
            .iter()
            .find(|object| object.kind == "Deployment" && object.name == name);
        found.map_or(1, |object| object.replicas)
    }
}

impl State {
    /// The cluster as its API shows it; `None`: nothing answers.
    pub(crate) fn view(&self) -> Option<View<'_>> {
        let (start, config) = (self.cluster.bootstrapped?, self.cluster.config.as_ref()?);
        let api = start + self.timing.api_server();
        let served = self
            .nodes
            .iter()
            .any(|node| node.etcd && node.configured(self.now, self.timing).is_some());
        if !served || self.now < api {
            return None;
        }
        let applied_at = api + self.timing.manifests();
        let operator_at = self.cluster.operator_restarted.unwrap_or(applied_at) + self.timing.pod();
        let late = if self.cluster.definitions_late {
            self.timing.late_definitions()
        } else {
            0
        };
        let applied = self.now >= applied_at;
        let operator_ready = applied && self.now >= operator_at;
        let definitions = self.definitions(config, applied_at, applied_at + late);
        let declared = config
            .manifests
            .iter()
            .any(|object| object.kind == "GatewayClass");
        let complete = definitions
            .iter()
            .any(|name| name.starts_with("gatewayclasses."));
        Some(View {
            config,
            times: Times {
                api: self.clock(api),
                applied: self.clock(applied_at),
                operator: self.clock(operator_at),
                gateway: self.clock(applied_at + late),
            },
            members: self.members(config, api, applied_at),
            applied,
            operator_ready,
            gateway: declared && complete && operator_ready && operator_at >= applied_at + late,
            definitions,
        })
    }

    fn members<'a>(
        &'a self,
        first: &MachineConfig,
        api: Millis,
        applied_at: Millis,
    ) -> Vec<Member<'a>> {
        let cilium = first
            .manifests
            .iter()
            .any(|object| object.kind == "DaemonSet" && object.name == "cilium");
        let mut members = Vec::new();
        for node in &self.nodes {
            let Some(applied) = &node.applied else {
                continue;
            };
            let joined = (applied.at + self.timing.configure()).max(api) + self.timing.join();
            let admitted = applied.config.cluster_ca == first.cluster_ca
                && applied.config.cluster_token == first.cluster_token;
            if !admitted || self.now < joined {
                continue;
            }
            let network = cilium && self.now >= joined.max(applied_at) + self.timing.pod();
            let ready = node.talos().is_some() && (network || !first.cni_none);
            members.push(Member {
                node,
                config: &applied.config,
                network,
                ready,
            });
        }
        members
    }

    fn definitions(
        &self,
        config: &MachineConfig,
        applied_at: Millis,
        gateway_at: Millis,
    ) -> Vec<String> {
        let mut names = Vec::new();
        if self.now >= gateway_at {
            let inline = config
                .manifests
                .iter()
                .filter(|object| object.kind == "CustomResourceDefinition");
            names.extend(inline.map(|object| object.name.clone()));
            if config
                .extra_manifests
                .iter()
                .any(|url| url.contains("gateway-api") || url.contains("gateway.networking.k8s.io"))
            {
                names.extend(
                    GATEWAY_DEFINITIONS.map(|name| format!("{name}.gateway.networking.k8s.io")),
                );
            }
        }
        let operator = config
            .manifests
            .iter()
            .any(|object| object.kind == "Deployment" && object.name == "cilium-operator");
        if operator && self.now >= applied_at + self.timing.pod() {
            names.extend(CILIUM_DEFINITIONS.map(|name| format!("{name}.cilium.io")));
        }
        names.sort();
        names.dedup();
        names
    }

    /// Lets control planes join etcd and ends a cluster that has lost every member.
    pub(crate) fn tick_cluster(&mut self) {
        let Some(start) = self.cluster.bootstrapped else {
            return;
        };
        if !self.nodes.iter().any(|node| node.etcd) {
            self.cluster = Cluster::default();
            return;
        }
        let Some(first) = &self.cluster.config else {
            return;
        };
        let (now, timing) = (self.now, self.timing);
        let late = self.faults.has(Fault::JoinLate);
        for node in &mut self.nodes {
            let joins = !late
                && node.configured(now, timing).is_some_and(|applied| {
                    applied.config.role == Role::ControlPlane
                        && applied.config.cluster_ca == first.cluster_ca
                        && now >= start + timing.api_server()
                        && now >= applied.at + timing.configure() + timing.join()
                });
            node.etcd |= joins;
        }
    }

    /// Makes a node the first member of a second etcd where others of the same cluster hold the data of the first one, which must never
    /// happen; whether it did.
    pub(crate) fn begin_second_cluster(&mut self, ip: &str) -> bool {
        let Some(first) = &self.cluster.config else {
            return false;
        };
        let ca = first.cluster_ca.clone();
        let is_ours = |node: &Node| {
            let config = node.applied.as_ref().map(|applied| &applied.config);
            config.is_some_and(|config| config.cluster_ca == ca)
        };
        let members: Vec<&str> = self
            .nodes
            .iter()
            .filter(|node| node.etcd && is_ours(node))
            .map(|node| node.name.as_str())
            .collect();
        let members = members.join(", ");
        if members.is_empty() || !self.node_at(ip).is_some_and(is_ours) {
            return false;
        }
        if let Some(node) = self.node_at_mut(ip) {
            node.etcd = true;
            let violation = format!(
                "{}: a second etcd cluster was started beside that of {members}",
                node.name
            );
            self.violations.push(violation);
        }
        true
    }

    /// Notes where etcd loses its majority because this member reboots while others are away, which must never happen.
    pub(crate) fn note_lost_majority(&mut self, ip: &str) {
        let members = || self.nodes.iter().filter(|node| node.etcd);
        let up = members()
            .filter(|node| node.talos().is_some() && !node.restarts())
            .count();
        if members().count() < 3 || up > members().count() / 2 {
            return;
        }
        if let Some(node) = members().find(|node| node.ip == ip) {
            let violation = format!(
                "{}: rebooted while other members of etcd were away: it lost its majority",
                node.name
            );
            self.violations.push(violation);
        }
    }

    /// Makes a node the first member of etcd.
    pub(crate) fn begin_cluster(&mut self, ip: &str, definitions_late: bool) {
        let now = self.now;
        let Some(node) = self.node_at_mut(ip) else {
            return;
        };
        node.etcd = true;
        let config = node.applied.as_ref().map(|applied| applied.config.clone());
        self.cluster = Cluster {
            bootstrapped: Some(now),
            config,
            operator_restarted: None,
            definitions_late,
            objects: Objects::default(),
        };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::image::{Contents, Image};
    use crate::machine_config::{parse, tests::sample};
    use crate::node::Applied;
    use crate::state::tests::world;

    /// Boots Talos on a node and configures it at once.
    pub(crate) fn configure(state: &mut State, index: usize, text: &str) {
        let image = Image {
            version: "v1.11.5".into(),
            schematic: "0".into(),
            architecture: "amd64".into(),
            platform: "hcloud".into(),
        };
        let (now, timing) = (state.now, state.timing);
        state.nodes[index].start(now, timing, Contents::Talos(image), false);
        state.nodes[index].tick(now + 60_000);
        state.nodes[index].applied = Some(Applied {
            config: parse(text).unwrap(),
            at: now,
        });
    }

    fn ready(state: &State) -> Vec<(String, bool)> {
        let view = state.view();
        view.map(|view| {
            view.members
                .iter()
                .map(|member| (member.node.name.clone(), member.ready))
                .collect()
        })
        .unwrap_or_default()
    }

    #[test]
    fn nodes_join_and_become_ready_in_their_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        configure(&mut state, 1, &sample("worker", "worker01"));
        state.tick(20_000);
        assert!(state.view().is_none());
        state.begin_cluster("127.42.0.11", false);
        state.tick(59_999);
        assert!(state.view().is_none());
        state.tick(60_000);
        assert_eq!(ready(&state), []);
        state.tick(70_000);
        assert_eq!(
            ready(&state),
            [("cp01".into(), false), ("worker01".into(), false)]
        );
        state.tick(95_000);
        assert_eq!(
            ready(&state),
            [("cp01".into(), true), ("worker01".into(), true)]
        );
        let view = state.view().unwrap();
        assert!(view.gateway && view.operator_ready);
        assert_eq!(view.definitions.len(), 4);
    }

    #[test]
    fn a_worker_of_another_cluster_does_not_join() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        configure(
            &mut state,
            1,
            &sample("worker", "worker01").replace("token: def", "token: other"),
        );
        state.tick(20_000);
        state.begin_cluster("127.42.0.11", false);
        state.tick(200_000);
        assert_eq!(ready(&state), [("cp01".into(), true)]);
    }

    #[test]
    fn without_a_pod_network_no_node_is_ready() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(
            &mut state,
            0,
            &sample("controlplane", "cp01")
                .replace("metadata: {name: cilium}", "metadata: {name: other}"),
        );
        state.tick(20_000);
        state.begin_cluster("127.42.0.11", false);
        state.tick(500_000);
        assert_eq!(ready(&state), [("cp01".into(), false)]);
    }

    #[test]
    fn late_definitions_need_a_restart_of_the_operator() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        state.tick(20_000);
        state.begin_cluster("127.42.0.11", true);
        state.tick(300_000);
        assert!(!state.view().unwrap().gateway);
        state.cluster.operator_restarted = Some(300_000);
        state.tick(324_999);
        assert!(!state.view().unwrap().gateway);
        state.tick(325_000);
        assert!(state.view().unwrap().gateway);
    }

    #[test]
    fn a_cluster_ends_with_its_last_member() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        state.tick(20_000);
        state.begin_cluster("127.42.0.11", false);
        state.tick(100_000);
        state.nodes[0].disk_changed();
        state.tick(100_001);
        assert!(state.cluster.bootstrapped.is_none() && state.view().is_none());
    }
}

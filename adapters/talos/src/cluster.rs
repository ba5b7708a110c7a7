//! The cluster as it will be: the section of `platform.yaml` joined with what the cloud adapter knows about the machines. Renders nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::capability::{self, CloudInfrastructure, Cni, GatewayApi, Server};

use crate::config::{Config, DiskSelector, Node, Role};
use crate::endpoint::Endpoint;
use crate::problem::Problem;
use crate::promises;
use crate::schematic::Schematic;
use crate::versions::{Tested, table, with_v};

const USUAL_DISK: &str = "/dev/sda";

/// The cluster.
pub(crate) struct Cluster {
    pub(crate) config: Config,
    pub(crate) endpoint: Endpoint,
    /// With its leading `v`.
    pub(crate) kubernetes_version: String,
    pub(crate) infrastructure: CloudInfrastructure,
    pub(crate) cni: Cni,
    pub(crate) gateway_api: Option<GatewayApi>,
    /// Whether something that is named here installs a cloud controller manager.
    pub(crate) has_cloud_controller: bool,
    /// In the order of the section.
    pub(crate) machines: Vec<Machine>,
}

/// A machine of the cluster.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) ip: String,
    pub(crate) role: Role,
    /// What the image is written to.
    pub(crate) disk: String,
    pub(crate) disk_selector: Option<DiskSelector>,
    /// What the image is made from.
    pub(crate) schematic: Schematic,
    /// Where the image comes from.
    pub(crate) image_url: String,
    /// What upgrades install.
    pub(crate) installer_image: String,
    /// `spec.providerID`; empty: none.
    pub(crate) provider_id: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: BTreeMap<String, String>,
}

impl Cluster {
    /// Joins a section with the capabilities that a render hands over.
    pub(crate) fn resolve(
        config: Config,
        capabilities: &BTreeMap<String, Value>,
    ) -> Result<Self, AdapterError> {
        let infrastructure =
            needed::<CloudInfrastructure>(capabilities, capability::CLOUD_INFRASTRUCTURE)?;
        let cni = needed(capabilities, capability::CNI)?;
        let gateway_api = optional(capabilities, capability::GATEWAY_API)?;
        let endpoint = Endpoint::parse(&config.cluster_endpoint).map_err(|problem| {
            AdapterError::new(ErrorCode::InvalidInputs, problem.message).help(problem.help)
        })?;
        let machines = config
            .nodes
            .iter()
            .map(|node| machine(&config, node, &infrastructure))
            .collect::<Result<_, _>>()?;
        let kubernetes_version = with_v(&config.kubernetes_version);
        let has_cloud_controller = installs_controller(&config);
        Ok(Self {
            has_cloud_controller,
            config,
            endpoint,
            kubernetes_version,
            infrastructure,
            cni,
            gateway_api,
            machines,
        })
    }

    /// The machines of a role.
    pub(crate) fn of_role(&self, role: Role) -> impl Iterator<Item = &Machine> {
        self.machines
            .iter()
            .filter(move |machine| machine.role == role)
    }

    /// Where ssh finds the key of a machine's rescue system, below the stages' state directory.
    pub(crate) fn identity_file(&self, machine: &Machine) -> String {
        self.infrastructure
            .ssh
            .identity_file
            .replace("{ip}", &machine.ip)
    }
}

fn installs_controller(config: &Config) -> bool {
    let patches: Vec<String> = config
        .patches
        .iter()
        .map(|patch| patch.patch.to_string())
        .collect();
    let manifests = config.extra_manifests.iter().chain(&patches);
    promises::names_controller(manifests.map(String::as_str))
}

/// Reads a capability's data, where it was handed over.
pub(crate) fn optional<T: DeserializeOwned>(
    capabilities: &BTreeMap<String, Value>,
    name: &str,
) -> Result<Option<T>, AdapterError> {
    let Some(data) = capabilities.get(name).filter(|data| !data.is_null()) else {
        return Ok(None);
    };
    serde_json::from_value(data.clone())
        .map(Some)
        .map_err(|error| {
            AdapterError::new(
                ErrorCode::InvalidParams,
                format!("the data of capability `{name}`: {error}"),
            )
        })
}

/// Finds a machine of the infrastructure by its address, however that is written, with the address as the infrastructure writes it.
pub(crate) fn server<'a>(
    infrastructure: &'a CloudInfrastructure,
    ip: &str,
) -> Option<(&'a String, &'a Server)> {
    infrastructure.servers.get_key_value(ip).or_else(|| {
        let address: IpAddr = ip.parse().ok()?;
        infrastructure
            .servers
            .iter()
            .find(|(key, _)| key.parse() == Ok(address))
    })
}

fn needed<T: DeserializeOwned>(
    capabilities: &BTreeMap<String, Value>,
    name: &str,
) -> Result<T, AdapterError> {
    optional(capabilities, name)?.ok_or_else(|| {
        AdapterError::new(
            ErrorCode::CapabilityMissing,
            format!("talos needs the capability `{name}` to render"),
        )
        .help(format!(
            "select an adapter that provides `{name}` in `platform.yaml`"
        ))
    })
}

fn machine(
    config: &Config,
    node: &Node,
    infrastructure: &CloudInfrastructure,
) -> Result<Machine, AdapterError> {
    let (ip, server) = server(infrastructure, &node.ip).ok_or_else(|| {
        let message = format!(
            "node `{}` has the address `{}`, which no machine has",
            node.name, node.ip
        );
        AdapterError::new(ErrorCode::InvalidInputs, message)
    })?;
    let image = image(server).map_err(|problem| {
        let message = format!("node `{}`: {}", node.name, problem.message);
        AdapterError::new(ErrorCode::InvalidInputs, message).help(problem.help)
    })?;
    let schematic = schematic(config, node);
    let id = &schematic.id;
    let factory = config.factory();
    let registry = factory.split_once("://").map_or(factory, |(_, host)| host);
    let version = &config.version;
    let disk = node.install_disk.as_ref().or(config.install_disk.as_ref());
    Ok(Machine {
        name: node.name.clone(),
        // As in the stages of the infrastructure: their items and ours are matched by it.
        ip: ip.clone(),
        role: node.role,
        disk: disk
            .cloned()
            .unwrap_or_else(|| or(&server.disk, USUAL_DISK).to_owned()),
        disk_selector: node
            .disk_selector
            .clone()
            .or_else(|| config.disk_selector.clone()),
        image_url: format!(
            "{factory}/image/{id}/{version}/{}-{}.raw.xz",
            image.platform, image.architecture
        ),
        installer_image: format!("{registry}/{}-installer/{id}:{version}", image.platform),
        schematic,
        provider_id: node
            .provider_id
            .clone()
            .unwrap_or_else(|| server.provider_id.clone()),
        labels: node.labels.clone(),
        taints: node.taints.clone(),
    })
}

/// What is installed on a machine.
pub(crate) struct Image<'a> {
    platform: &'a str,
    architecture: &'a str,
}

/// Says which image a machine boots; the problem names what there are images of.
pub(crate) fn image(server: &Server) -> Result<Image<'_>, Problem> {
    let known = |what: &str, text: &str, known: &[String]| {
        if known.iter().any(|one| one == text) {
            return Ok(());
        }
        Err(Problem::new(
            format!("there is no Talos image for the {what} `{text}`"),
            format!("there are images for {}", known.join(" and ")),
        ))
    };
    let platform = or(&server.platform, "metal");
    let architecture = or(&server.architecture, "amd64");
    known("platform", platform, &table().platforms)?;
    known("architecture", architecture, &table().architectures)?;
    Ok(Image {
        platform,
        architecture,
    })
}

/// What a node's image is made from: what the node says, else what the section says.
fn schematic(config: &Config, node: &Node) -> Schematic {
    let own = node.extensions.is_some() || node.kernel_args.is_some();
    let id = node
        .schematic_id
        .as_ref()
        .or(config.schematic_id.as_ref().filter(|_| !own));
    match id {
        Some(id) => Schematic::known(id),
        None => Schematic::of(
            node.extensions.as_ref().unwrap_or(&config.extensions),
            node.kernel_args.as_ref().unwrap_or(&config.kernel_args),
        ),
    }
}

/// The minors of Kubernetes that the pod network says it is tested with.
pub(crate) fn tested(capabilities: &BTreeMap<String, Value>) -> Option<Tested> {
    let cni = capabilities.get(capability::CNI)?;
    let mut tested: Tested = serde_json::from_value(cni.get("kubernetes")?.clone()).ok()?;
    cni["provider"].as_str()?.clone_into(&mut tested.provider);
    Some(tested)
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

//! The stages of a bootstrap: their order, their items and the barriers that join them to the stages of other adapters.

use serde_json::json;
use ztc_adapter_sdk::protocol::capability::barrier;
use ztc_adapter_sdk::protocol::stage::{ForEach, Item, Script, Stage};
use ztc_adapter_sdk::stage_for;

use crate::cluster::{Cluster, Machine};
use crate::config::Role;
use crate::scripts::{self, object};
use crate::{NAME, OUTPUT_DIR};

/// The variable of the pipeline's environment that names the workers.
pub(crate) const WORKER_NODES: &str = "WORKER_NODES";

/// Makes all stages.
pub(crate) fn stages(cluster: &Cluster) -> Vec<Stage> {
    scripts::scripts(cluster)
        .iter()
        .map(|script| stage(cluster, script))
        .collect()
}

fn stage(cluster: &Cluster, script: &Script) -> Stage {
    let mut stage = stage_for(NAME, script);
    match script.name.as_str() {
        scripts::REGISTER => {}
        scripts::INSTALL => {
            // Without a rescue mode nobody reaches the barrier.
            stage.barrier = cluster
                .infrastructure
                .rescue_mode_enabled
                .then(|| barrier::RESCUE_READY.into());
            stage.for_each = Some(each(
                cluster
                    .machines
                    .iter()
                    .map(|machine| install_item(cluster, machine)),
            ));
        }
        scripts::APPLY => {
            "apply_control_plane".clone_into(&mut stage.name);
            stage.cache_key = Some(stage.name.clone());
            stage.reaches = vec![barrier::CLUSTER_INSTALLED.into()];
            stage.for_each = Some(each(cluster.of_role(Role::ControlPlane).map(config_item)));
        }
        scripts::BOOTSTRAP => {
            stage.barrier = Some(barrier::CLUSTER_INSTALLED.into());
            stage.reaches = vec![barrier::CLUSTER_ACCESSIBLE.into()];
        }
        scripts::ADD_WORKERS => {
            stage.barrier = Some(barrier::CLUSTER_ACCESSIBLE.into());
            stage.skip_if_empty = Some(WORKER_NODES.into());
            stage.for_each = Some(each(cluster.of_role(Role::Worker).map(config_item)));
        }
        _ => stage.barrier = Some(barrier::CLUSTER_ACCESSIBLE.into()),
    }
    stage
}

fn each(items: impl Iterator<Item = Item>) -> ForEach {
    ForEach {
        item: "node".into(),
        items: items.collect(),
    }
}

fn install_item(cluster: &Cluster, machine: &Machine) -> Item {
    Item {
        key: machine.ip.clone(),
        name: machine.name.clone(),
        context: object(json!({
            "server_ip": machine.ip,
            "role": machine.role.word(),
            "disk": machine.disk,
            "image_url": machine.image_url,
            "ssh_identity_file": cluster.identity_file(machine),
        })),
        ..Item::default()
    }
}

fn config_item(machine: &Machine) -> Item {
    Item {
        key: machine.ip.clone(),
        name: machine.name.clone(),
        context: object(json!({ "server_ip": machine.ip, "role": machine.role.word() })),
        files: [(
            "config.yaml".to_owned(),
            format!("{OUTPUT_DIR}/nodes/{}/config.yaml", machine.name),
        )]
        .into(),
    }
}

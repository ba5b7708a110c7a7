//! The wizard's questions, with defaults from the answers so far and from the sections before this one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::capability::CLOUD_INFRASTRUCTURE;
use ztc_adapter_sdk::protocol::message::{InputPrompt, InputType};

use crate::versions::table;

const DNS_LABEL: &str = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";

/// Lists the questions.
pub(crate) fn prompts(
    answers: &Map<String, Value>,
    others: &BTreeMap<String, Value>,
    capabilities: &BTreeMap<String, Value>,
) -> Vec<InputPrompt> {
    let addresses = server_ips(others);
    let names = server_names(capabilities, &addresses);
    let mut prompts = vec![
        cluster_name(),
        kubernetes_version(),
        nodes(&addresses, &names),
        endpoint(answers, &addresses),
    ];
    if has_no_worker(answers) {
        prompts.push(scheduling());
    }
    prompts
}

fn cluster_name() -> InputPrompt {
    InputPrompt {
        name: "cluster_name".into(),
        prompt: "Cluster name".into(),
        validation: Some(DNS_LABEL.into()),
        help_text: Some("lower-case letters, digits and hyphens, such as prod-fsn1; bootstrap asks for it before it wipes disks".into()),
        required: true,
        ..InputPrompt::default()
    }
}

fn kubernetes_version() -> InputPrompt {
    InputPrompt {
        name: "kubernetes_version".into(),
        prompt: "Kubernetes version".into(),
        default: Some(table().kubernetes_default.clone().into()),
        validation: Some(r"v?\d+\.\d+\.\d+".into()),
        help_text: Some("one that both Talos and the pod network are tested with".into()),
        required: true,
        ..InputPrompt::default()
    }
}

fn nodes(addresses: &[String], names: &[String]) -> InputPrompt {
    let ip = InputPrompt {
        name: "ip".into(),
        prompt: "IP address".into(),
        kind: if addresses.is_empty() {
            InputType::String
        } else {
            InputType::Choice
        },
        choices: addresses.to_vec(),
        choice_notes: names.to_vec(),
        validation: addresses.is_empty().then(|| r"[0-9a-fA-F:.]+".into()),
        help_text: Some(
            "the address of one of the machines that the cloud adapter was given".into(),
        ),
        required: true,
        ..InputPrompt::default()
    };
    let name = InputPrompt {
        name: "name".into(),
        prompt: "Node name".into(),
        validation: Some(DNS_LABEL.into()),
        help_text: Some("its host name, such as cp01 or worker01".into()),
        required: true,
        ..InputPrompt::default()
    };
    let role = InputPrompt {
        name: "role".into(),
        prompt: "Role".into(),
        kind: InputType::Choice,
        choices: vec!["controlplane".into(), "worker".into()],
        default: Some("worker".into()),
        help_text: Some("control planes run the Kubernetes API and etcd: one, or three to survive the loss of one".into()),
        required: true,
        ..InputPrompt::default()
    };
    InputPrompt {
        name: "nodes".into(),
        prompt: "Nodes".into(),
        kind: InputType::List,
        default: (!addresses.is_empty()).then(|| proposed(addresses, names)),
        help_text: Some("the machines of the cluster".into()),
        required: true,
        items: vec![name, ip, role],
        ..InputPrompt::default()
    }
}

/// The servers' own names, and the roles that those names tell. Where they tell none: one control plane and otherwise workers, which is what
/// most people start with.
fn proposed(addresses: &[String], names: &[String]) -> Value {
    let is_control_plane = |name: &String| {
        ["cp", "control", "master"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let told = names.iter().filter(|name| is_control_plane(name)).count();
    // Of an even number the last one would only be one more that can fail.
    let mut wanted = told - usize::from(told > 0 && told % 2 == 0);
    let mut workers = 0;
    let node = |(index, ip): (usize, &String)| {
        let own = names.get(index).filter(|name| is_label(name));
        let first = match told {
            0 => index == 0,
            _ => wanted > 0 && names.get(index).is_some_and(is_control_plane),
        };
        wanted = wanted.saturating_sub(usize::from(first));
        workers += usize::from(!first);
        let (number, prefix, role) = match first {
            true => (index + 1 - workers, "cp", "controlplane"),
            false => (workers, "worker", "worker"),
        };
        let name = own.map_or_else(|| format!("{prefix}{number:02}"), Clone::clone);
        json!({ "name": name, "ip": ip, "role": role })
    };
    addresses.iter().enumerate().map(node).collect()
}

fn endpoint(answers: &Map<String, Value>, addresses: &[String]) -> InputPrompt {
    let first = first_control_plane(answers).or_else(|| {
        // Before the nodes are answered, the proposal stands.
        answers
            .get("nodes")
            .is_none()
            .then(|| addresses.first().cloned())
            .flatten()
    });
    let url = |ip: String| {
        if ip.contains(':') {
            format!("https://[{ip}]:6443")
        } else {
            format!("https://{ip}:6443")
        }
    };
    InputPrompt {
        name: "cluster_endpoint".into(),
        prompt: "Address of the Kubernetes API".into(),
        default: first.map(|ip| url(ip).into()),
        validation: Some(r"(https://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}".into()),
        help_text: Some("https://host:port; the first control plane, or a load balancer or DNS name in front of all of them".into()),
        required: true,
        ..InputPrompt::default()
    }
}

fn scheduling() -> InputPrompt {
    InputPrompt {
        name: "allow_scheduling_on_control_planes".into(),
        prompt: "Run ordinary pods on control planes".into(),
        kind: InputType::Boolean,
        default: Some(true.into()),
        help_text: Some("there is no worker, so without it no ordinary pod runs".into()),
        ..InputPrompt::default()
    }
}

/// The `server_ips` of a section before this one, whichever adapter's it is: a list, or a text with commas.
fn server_ips(others: &BTreeMap<String, Value>) -> Vec<String> {
    let Some(ips) = others
        .values()
        .find_map(|section| section.get("server_ips"))
    else {
        return Vec::new();
    };
    let texts: Vec<&str> = match ips {
        Value::String(text) => text.split(',').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts
        .into_iter()
        .map(str::trim)
        .filter(|ip| !ip.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a server's name can be that of a node.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The names that the adapter of the servers knows for these addresses, in their order; nothing where it does not know them.
fn server_names(capabilities: &BTreeMap<String, Value>, addresses: &[String]) -> Vec<String> {
    let Some(servers) = capabilities
        .get(CLOUD_INFRASTRUCTURE)
        .and_then(|capability| capability.get("servers"))
    else {
        return Vec::new();
    };
    let name = |ip: &String| servers.get(ip)?.get("name")?.as_str();
    addresses
        .iter()
        .map(|ip| name(ip).unwrap_or_default().to_owned())
        .collect()
}

fn answered_nodes(answers: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    answers
        .get("nodes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn first_control_plane(answers: &Map<String, Value>) -> Option<String> {
    let node = answered_nodes(answers).find(|node| node["role"] == "controlplane")?;
    node["ip"].as_str().map(str::to_owned)
}

fn has_no_worker(answers: &Map<String, Value>) -> bool {
    answered_nodes(answers).next().is_some()
        && !answered_nodes(answers).any(|node| node["role"] == "worker")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::object;

    fn names(prompts: &[InputPrompt]) -> Vec<&str> {
        prompts.iter().map(|prompt| prompt.name.as_str()).collect()
    }

    #[test]
    fn servers_of_the_cloud_adapter_become_defaults() {
        for ips in [
            json!("203.0.113.10, 203.0.113.11"),
            json!(["203.0.113.10", "203.0.113.11"]),
        ] {
            let others = [("hetzner".to_owned(), json!({ "server_ips": ips }))].into();
            let prompts = prompts(&Map::new(), &others, &BTreeMap::new());
            assert_eq!(
                names(&prompts),
                [
                    "cluster_name",
                    "kubernetes_version",
                    "nodes",
                    "cluster_endpoint",
                ]
            );
            let proposal = json!([
                {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"},
                {"name": "worker01", "ip": "203.0.113.11", "role": "worker"},
            ]);
            assert_eq!(prompts[2].default, Some(proposal));
            assert_eq!(
                prompts[2].items[1].choices,
                ["203.0.113.10", "203.0.113.11"]
            );
            assert_eq!(prompts[3].default, Some("https://203.0.113.10:6443".into()));
        }
    }

    #[test]
    fn servers_keep_their_names_and_the_roles_that_these_tell() {
        let ips = json!(["203.0.113.10", "203.0.113.11", "203.0.113.12"]);
        let others = [("hetzner".to_owned(), json!({ "server_ips": ips }))].into();
        let check = |names: [&str; 3], expected: Value| {
            let servers = json!({
                "203.0.113.10": {"name": names[0]},
                "203.0.113.11": {"name": names[1]},
                "203.0.113.12": {"name": names[2]},
            });
            let capability = json!({ "servers": servers });
            let capabilities = [("cloud-infrastructure".to_owned(), capability)].into();
            let nodes = prompts(&Map::new(), &others, &capabilities).remove(2);
            assert_eq!(nodes.items[1].choice_notes, names);
            let proposal = nodes.default.unwrap();
            let short: Vec<_> = proposal
                .as_array()
                .unwrap()
                .iter()
                .map(|node| json!([node["name"], node["role"]]))
                .collect();
            assert_eq!(Value::from(short), expected);
        };
        check(
            ["node-a", "cp-1", "Node B"],
            json!([
                ["node-a", "worker"],
                ["cp-1", "controlplane"],
                ["worker02", "worker"]
            ]),
        );
        check(
            ["cp01", "cp02", "node"],
            json!([
                ["cp01", "controlplane"],
                ["cp02", "worker"],
                ["node", "worker"]
            ]),
        );
        check(
            ["a", "b", ""],
            json!([
                ["a", "controlplane"],
                ["b", "worker"],
                ["worker02", "worker"]
            ]),
        );
    }

    #[test]
    fn the_endpoint_follows_the_first_control_plane() {
        let answers = object(json!({"nodes": [
            {"name": "w", "ip": "203.0.113.11", "role": "worker"},
            {"name": "cp", "ip": "2001:db8::1", "role": "controlplane"},
        ]}));
        let prompts = prompts(&answers, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(
            prompts[3].default,
            Some("https://[2001:db8::1]:6443".into())
        );
        assert_eq!(prompts[2].default, None);
        assert_eq!(prompts[2].items[1].kind, InputType::String);
    }

    #[test]
    fn scheduling_is_asked_only_where_it_matters() {
        let answers = object(
            json!({"nodes": [{"name": "cp", "ip": "203.0.113.10", "role": "controlplane"}]}),
        );
        let prompts = prompts(&answers, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(
            names(&prompts),
            [
                "cluster_name",
                "kubernetes_version",
                "nodes",
                "cluster_endpoint",
                "allow_scheduling_on_control_planes",
            ]
        );
    }
}

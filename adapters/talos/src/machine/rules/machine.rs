//! The machine itself: what it is, its authority, its features, its log.

use super::super::at::At;
use super::super::finding::Findings;
use super::super::url::Url;
use super::Role;

const ROLES: [&str; 5] = [
    "os:admin",
    "os:operator",
    "os:reader",
    "os:etcd:backup",
    "os:impersonator",
];

pub(super) fn check(machine: &At<'_>, cluster: &At<'_>, role: Role, findings: &mut Findings) {
    kind(machine, role, findings);
    authority(machine, cluster, role, findings);
    api_access(&machine.get("features"), role, findings);
    let algorithm = machine.walk(&["features", "nodeAddressSortAlgorithm"]);
    if algorithm.has_text() && !["v1", "v2"].contains(&algorithm.text().to_lowercase().as_str()) {
        let message = format!("`{}` is not a way to sort addresses", algorithm.text());
        algorithm.error(findings, message, "the choices are v1, v2");
    }
    for destination in machine.walk(&["logging", "destinations"]).items() {
        logging(&destination, findings);
    }
}

fn kind(machine: &At<'_>, role: Role, findings: &mut Findings) {
    let at = machine.get("type");
    let text = at.text();
    if role == Role::Unknown {
        let help = match super::super::suggest::nearest(text, ["controlplane", "worker"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the choices are controlplane, worker".into(),
        };
        at.error(
            findings,
            format!("`{text}` is not a type of a machine"),
            help,
        );
    } else if role == Role::Worker && text != "worker" {
        let message = if text.is_empty() {
            "the type of the machine is missing, so it is a worker".to_owned()
        } else {
            format!("`{text}` is an old word for a worker")
        };
        at.warn(findings, message, "write `type: worker`");
    }
}

fn authority(machine: &At<'_>, cluster: &At<'_>, role: Role, findings: &mut Findings) {
    let (ca, accepted) = (machine.get("ca"), machine.get("acceptedCAs"));
    let key = ca.get("key");
    if !ca.is_set() && !accepted.has_items() {
        ca.error(
            findings,
            "the machine has neither an issuing authority (`.machine.ca`) nor accepted ones (`.machine.acceptedCAs`)",
            "take both from the cluster's secrets",
        );
    }
    match role {
        Role::ControlPlane if !ca.is_set() => ca.error(
            findings,
            "a control plane needs the issuing authority of the Talos API (`.machine.ca`)",
            "take it from the cluster's secrets",
        ),
        Role::ControlPlane if !key.has_text() => key.error(
            findings,
            "a control plane needs the key of the Talos API's authority, to issue certificates",
            "take it from the cluster's secrets",
        ),
        Role::Worker if ca.is_set() => {
            if key.has_text() {
                key.error(
                    findings,
                    "the key of the Talos API's authority (`.machine.ca`) must not be on a machine that is no control plane",
                    "leave `key` empty",
                );
            }
            if !ca.get("crt").has_text() && !accepted.has_items() {
                ca.get("crt").error(
                    findings,
                    "a worker needs certificates to trust: `.machine.ca.crt` or `.machine.acceptedCAs`",
                    "take the certificate from the cluster's secrets",
                );
            }
        }
        _ => {}
    }
    let cluster_key = cluster.walk(&["ca", "key"]);
    if role != Role::ControlPlane && cluster_key.has_text() {
        cluster_key.error(
            findings,
            "the key of the Kubernetes API's authority (`.cluster.ca`) must not be on a machine that is no control plane",
            "leave `key` empty",
        );
    }
}

fn api_access(features: &At<'_>, role: Role, findings: &mut Findings) {
    let access = features.get("kubernetesTalosAPIAccess");
    let enabled = access.get("enabled");
    if !enabled.is_on() {
        return;
    }
    if !features.get("rbac").is_on() {
        enabled.error(
            findings,
            "access to the Talos API from Kubernetes needs role-based access control",
            "set `.machine.features.rbac` to true",
        );
    }
    if role != Role::ControlPlane {
        enabled.error(
            findings,
            "access to the Talos API from Kubernetes is for control planes only",
            "take `kubernetesTalosAPIAccess` out",
        );
    }
    for item in access.get("allowedRoles").items() {
        if !ROLES.contains(&item.text()) {
            let message = format!("`{}` is not a role of the Talos API", item.text());
            item.error(
                findings,
                message,
                format!("the roles are {}", ROLES.join(", ")),
            );
        }
    }
}

fn logging(destination: &At<'_>, findings: &mut Findings) {
    let endpoint = destination.get("endpoint");
    match Url::parse(endpoint.text()) {
        _ if !endpoint.is_set() => endpoint.error(
            findings,
            "the destination of logs has no endpoint",
            "write it as `tcp://host:port` or `udp://host:port`",
        ),
        Ok(url) => {
            if url.authority.is_empty() {
                endpoint.error(
                    findings,
                    "the host of the endpoint is missing",
                    "write it as `tcp://host:port`",
                );
            }
            if !["tcp", "udp"].contains(&url.scheme.as_str()) {
                let message = format!("logs are sent over `tcp` or `udp`, not `{}`", url.scheme);
                endpoint.error(
                    findings,
                    message,
                    "write it as `tcp://host:port` or `udp://host:port`",
                );
            }
        }
        Err(_) => {}
    }
    let format = destination.get("format");
    if format.text() != "json_lines" {
        let message = format!("`{}` is not a format of logs", format.text());
        format.error(findings, message, "write `format: json_lines`");
    }
}

//! The cluster: where it answers, its networks, etcd, discovery, manifests, and the parts of the control plane.

use super::super::at::At;
use super::super::finding::Findings;
use super::super::url::Url;
use super::Role;

pub(super) fn check(cluster: &At<'_>, role: Role, findings: &mut Findings) {
    if !cluster.is_set() {
        cluster.error(
            findings,
            "the section about the cluster is missing",
            "a configuration has the sections `machine` and `cluster`",
        );
        return;
    }
    let endpoint = cluster.walk(&["controlPlane", "endpoint"]);
    if !endpoint.is_set() {
        endpoint.error(
            findings,
            "the endpoint of the Kubernetes API is missing",
            "write it as `https://203.0.113.10:6443`",
        );
        return;
    }
    reachable(
        &endpoint,
        "the endpoint",
        "write it as `https://203.0.113.10:6443`",
        findings,
    );
    networks(&cluster.get("network"), role, findings);
    etcd(&cluster.get("etcd"), role, findings);
    manifests(cluster, findings);
    discovery(cluster, findings);
    api_server(&cluster.get("apiServer"), findings);
    for part in ["apiServer", "controllerManager", "scheduler"] {
        for kind in ["requests", "limits"] {
            resources(&cluster.walk(&[part, "resources", kind]), findings);
        }
    }
}

fn reachable(at: &At<'_>, what: &str, help: &str, findings: &mut Findings) {
    let checked = Url::parse(at.text()).and_then(|url| url.check_endpoint());
    if let Err(why) = checked {
        let message = format!(
            "{what} `{}` is wrong: {why}",
            super::super::decode::short(at.text())
        );
        at.error(findings, message, help);
    }
}

fn networks(network: &At<'_>, role: Role, findings: &mut Findings) {
    let domain = network.get("dnsDomain");
    if domain.has_text() && !is_dns_domain(domain.text()) {
        let message = format!("`{}` is not a DNS name", domain.text());
        domain.error(findings, message, "write it as `cluster.local`");
    }
    for key in ["podSubnets", "serviceSubnets"] {
        for subnet in network.get(key).items() {
            if !super::super::forms::is_network(subnet.text()) {
                let message = format!("`{}` is not a network, so no pod will start", subnet.text());
                subnet.warn(findings, message, "write it as `10.244.0.0/16`");
            }
        }
    }
    if role == Role::ControlPlane && network.get("cni").is_set() {
        cni(&network.get("cni"), findings);
    }
}

/// Labels of letters, digits, `-` and `_`, joined by dots; a dot or underscore may end it.
fn is_dns_domain(name: &str) -> bool {
    let body = name.strip_suffix(['.', '_']).unwrap_or(name);
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && label.chars().all(inner)
    };
    name.len() - name.matches('.').count() <= 255 && body.split('.').all(label)
}

fn cni(cni: &At<'_>, findings: &mut Findings) {
    let (name, urls) = (cni.get("name"), cni.get("urls"));
    let arguments = cni.walk(&["flannel", "extraArgs"]);
    let kind = name.text();
    if !["flannel", "custom", "none"].contains(&kind) {
        let help = match super::super::suggest::nearest(kind, ["flannel", "custom", "none"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the choices are flannel, custom, none; other networks come as manifests with `none`".into(),
        };
        name.error(
            findings,
            format!("`{kind}` is not a pod network that Talos knows"),
            help,
        );
        return;
    }
    if kind == "custom" {
        if !urls.has_items() {
            urls.warn(
                findings,
                "a custom pod network has no URLs of manifests",
                "give `urls`",
            );
        }
        for url in urls.items() {
            reachable(
                &url,
                "the URL",
                "write it as `https://host/path.yaml`",
                findings,
            );
        }
    } else if urls.has_items() {
        let message = format!("`urls` must be empty with the pod network `{kind}`");
        urls.error(
            findings,
            message,
            "take `urls` out, or write `name: custom`",
        );
    }
    if kind != "flannel" && arguments.has_items() {
        let message = format!("arguments for flannel must not stand with the pod network `{kind}`");
        arguments.error(findings, message, "take `flannel` out");
    }
}

fn etcd(etcd: &At<'_>, role: Role, findings: &mut Findings) {
    if !etcd.is_set() {
        return;
    }
    if role != Role::ControlPlane {
        etcd.error(
            findings,
            "etcd runs on control planes, so its settings are for control planes only",
            "take `etcd` out",
        );
        return;
    }
    if !etcd.get("ca").is_set() {
        etcd.get("ca").error(
            findings,
            "the authority of etcd, a certificate and its key, is missing",
            "take it from the cluster's secrets",
        );
    }
    let (subnet, advertised) = (etcd.get("subnet"), etcd.get("advertisedSubnets"));
    if subnet.has_text() && advertised.has_items() {
        subnet.error(
            findings,
            "`subnet` must not stand beside `advertisedSubnets`",
            "use `advertisedSubnets` alone",
        );
    }
    if subnet.has_text() && !super::super::forms::is_subnet_filter(subnet.text()) {
        let message = format!("`{}` is not {}", subnet.text(), super::SUBNET_FILTER.0);
        subnet.error(findings, message, super::SUBNET_FILTER.1);
    }
    super::subnet_filters(&advertised, findings);
    super::subnet_filters(&etcd.get("listenSubnets"), findings);
}

fn manifests(cluster: &At<'_>, findings: &mut Findings) {
    let inline = cluster.get("inlineManifests").items();
    for (index, manifest) in inline.iter().enumerate() {
        let name = manifest.get("name");
        if name.text().trim().is_empty() {
            name.error(
                findings,
                "the name of an inline manifest is empty",
                "give it a name of its own",
            );
        }
        if inline[..index]
            .iter()
            .any(|other| other.get("name").text() == name.text())
        {
            let message = format!("two inline manifests have the name `{}`", name.text());
            name.error(findings, message, "give each a name of its own");
        }
    }
    let provider = cluster.get("externalCloudProvider");
    let list = provider.get("manifests");
    if !provider.get("enabled").is_on() {
        if list.has_items() {
            list.error(
                findings,
                "there are manifests of an external cloud provider, which is not enabled",
                "set `.cluster.externalCloudProvider.enabled` to true, or take the manifests out",
            );
        }
        return;
    }
    for url in list.items() {
        reachable(
            &url,
            "the URL of the manifest",
            "write it as `https://host/path.yaml`",
            findings,
        );
    }
}

fn discovery(cluster: &At<'_>, findings: &mut Findings) {
    let discovery = cluster.get("discovery");
    let service = discovery.walk(&["registries", "service"]);
    if !discovery.get("enabled").is_on() || service.get("disabled").is_on() {
        return;
    }
    let endpoint = service.get("endpoint");
    if endpoint.has_text() {
        match Url::parse_request(endpoint.text()) {
            Err(why) => endpoint.error(
                findings,
                format!("the endpoint of the discovery service is wrong: {why}"),
                "write it as `https://discovery.talos.dev`",
            ),
            Ok(url) if !["", "/"].contains(&url.path.as_str()) => endpoint.error(
                findings,
                format!(
                    "the endpoint of the discovery service has a path, `{}`",
                    url.path
                ),
                "take the path away",
            ),
            Ok(_) => {}
        }
    }
    for key in ["id", "secret"] {
        if !cluster.get(key).has_text() {
            cluster.get(key).error(
                findings,
                format!("the discovery service needs `.cluster.{key}`"),
                "take it from the cluster's secrets, or disable the service in `.cluster.discovery`",
            );
        }
    }
}

fn api_server(server: &At<'_>, findings: &mut Findings) {
    let authorizers = server.get("authorizationConfig");
    if authorizers.is_set() {
        for (argument, at) in server.get("extraArgs").entries() {
            if argument == "authorization-mode" || argument.starts_with("authorization-webhook-") {
                let message =
                    format!("the argument `{argument}` does not go with `authorizationConfig`");
                at.error(findings, message, "use one of the two");
            }
        }
    }
    for authorizer in authorizers.items() {
        let (kind, name) = (authorizer.get("type"), authorizer.get("name"));
        if kind.has_text() {
            super::choice(&kind, &["Node", "RBAC", "Webhook"], findings);
        } else {
            kind.error(
                findings,
                "the type of the authorizer is missing",
                "the choices are Node, RBAC, Webhook",
            );
        }
        if !name.has_text() {
            name.error(
                findings,
                "the name of the authorizer is missing",
                "give it a name",
            );
        }
    }
}

fn resources(resources: &At<'_>, findings: &mut Findings) {
    for (key, at) in resources.entries() {
        if !["cpu", "memory"].contains(&key) {
            let message = format!("`{key}` is not a resource that can be set here");
            at.error(findings, message, "the resources are cpu, memory");
        }
    }
}

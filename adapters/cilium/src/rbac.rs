//! Who may do what: the service accounts' roles as tables, for the template `rbac`.
//!
//! Only facts of the Kubernetes API; how they are written down is the template's business.

use serde_json::{Value, json};

use crate::config::Config;

const GATEWAY: &str = "gateway.networking.k8s.io";
const READ: &str = "get list watch";
const SECRETS_NAMESPACE: &str = "cilium-secrets";

/// A rule; lists are written as words.
struct Rule {
    group: &'static str,
    resources: &'static str,
    verbs: &'static str,
    names: &'static str,
}

const fn on(group: &'static str, resources: &'static str, verbs: &'static str) -> Rule {
    Rule {
        group,
        resources,
        verbs,
        names: "",
    }
}

/// Cilium's own custom resources that the agent watches.
const WATCHED: &str = "ciliumloadbalancerippools ciliumbgppeeringpolicies ciliumbgpnodeconfigs ciliumbgpadvertisements \
    ciliumbgppeerconfigs ciliumclusterwideenvoyconfigs ciliumclusterwidenetworkpolicies ciliumegressgatewaypolicies \
    ciliumendpoints ciliumendpointslices ciliumenvoyconfigs ciliumidentities ciliumlocalredirectpolicies \
    ciliumnetworkpolicies ciliumnodes ciliumnodeconfigs ciliumcidrgroups ciliuml2announcementpolicies ciliumpodippools";

/// The definitions that the operator installs and upgrades.
const INSTALLED: &str = "ciliumloadbalancerippools.cilium.io ciliumbgppeeringpolicies.cilium.io \
    ciliumbgpclusterconfigs.cilium.io ciliumbgppeerconfigs.cilium.io ciliumbgpadvertisements.cilium.io \
    ciliumbgpnodeconfigs.cilium.io ciliumbgpnodeconfigoverrides.cilium.io ciliumclusterwideenvoyconfigs.cilium.io \
    ciliumclusterwidenetworkpolicies.cilium.io ciliumegressgatewaypolicies.cilium.io ciliumendpoints.cilium.io \
    ciliumendpointslices.cilium.io ciliumenvoyconfigs.cilium.io ciliumidentities.cilium.io \
    ciliumlocalredirectpolicies.cilium.io ciliumnetworkpolicies.cilium.io ciliumnodes.cilium.io \
    ciliumnodeconfigs.cilium.io ciliumcidrgroups.cilium.io ciliuml2announcementpolicies.cilium.io \
    ciliumpodippools.cilium.io ciliumgatewayclassconfigs.cilium.io";

const AGENT: &[Rule] = &[
    on("networking.k8s.io", "networkpolicies", READ),
    on("discovery.k8s.io", "endpointslices", READ),
    on("", "namespaces services pods endpoints nodes", READ),
    on(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "list watch get",
    ),
    on("cilium.io", WATCHED, "list watch"),
    on(
        "cilium.io",
        "ciliumidentities ciliumendpoints ciliumnodes",
        "create",
    ),
    on("cilium.io", "ciliumidentities", "update"),
    on("cilium.io", "ciliumendpoints", "delete get"),
    on("cilium.io", "ciliumnodes ciliumnodes/status", "get update"),
    on(
        "cilium.io",
        "ciliumendpoints/status ciliumendpoints ciliuml2announcementpolicies/status ciliumbgpnodeconfigs/status",
        "patch",
    ),
];

/// What the operator does to nodes, pods and services.
const OPERATOR_CORE: &[Rule] = &[
    on("", "pods", "get list watch delete"),
    Rule {
        names: "cilium-config",
        ..on("", "configmaps", "patch")
    },
    on("", "nodes", "list watch"),
    on("", "nodes nodes/status", "patch"),
    on("discovery.k8s.io", "endpointslices", READ),
    on("", "services/status", "update patch"),
    on("", "namespaces secrets", READ),
];

/// Gateways get services of their own, so that the operator writes them.
const OPERATOR_SERVICES: Rule = on("", "services endpoints", READ);
const OPERATOR_SERVICES_FOR_GATEWAYS: Rule = on(
    "",
    "services endpoints",
    "get list watch create update delete patch",
);

const OPERATOR_CILIUM: &[Rule] = &[
    on(
        "cilium.io",
        "ciliumnetworkpolicies ciliumclusterwidenetworkpolicies",
        "create update deletecollection patch get list watch",
    ),
    on(
        "cilium.io",
        "ciliumnetworkpolicies/status ciliumclusterwidenetworkpolicies/status",
        "patch update",
    ),
    on(
        "cilium.io",
        "ciliumendpoints ciliumidentities",
        "delete list watch",
    ),
    on("cilium.io", "ciliumidentities", "update"),
    on(
        "cilium.io",
        "ciliumnodes",
        "create update get list watch delete",
    ),
    on("cilium.io", "ciliumnodes/status", "update"),
    on(
        "cilium.io",
        "ciliumendpointslices ciliumenvoyconfigs ciliumbgppeerconfigs ciliumbgpadvertisements ciliumbgpnodeconfigs",
        "create update get list watch delete patch",
    ),
    on(
        "cilium.io",
        "ciliumbgpclusterconfigs/status ciliumbgppeerconfigs/status",
        "update",
    ),
    on(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "create get list watch",
    ),
    Rule {
        names: INSTALLED,
        ..on(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "update",
        )
    },
    on(
        "cilium.io",
        "ciliumloadbalancerippools ciliumpodippools ciliumbgppeeringpolicies ciliumbgpclusterconfigs \
         ciliumbgpnodeconfigoverrides ciliumbgppeerconfigs",
        READ,
    ),
    on("cilium.io", "ciliumpodippools", "create"),
    on("cilium.io", "ciliumloadbalancerippools/status", "patch"),
    on("coordination.k8s.io", "leases", "create get update"),
];

const OPERATOR_GATEWAY: &[Rule] = &[
    on(
        GATEWAY,
        "gatewayclasses gateways tlsroutes httproutes grpcroutes referencegrants referencepolicies",
        READ,
    ),
    on(GATEWAY, "gatewayclasses", "patch"),
    on(
        GATEWAY,
        "gatewayclasses/status gateways/status httproutes/status grpcroutes/status tlsroutes/status",
        "update patch",
    ),
    on("cilium.io", "ciliumgatewayclassconfigs", READ),
    on(
        "cilium.io",
        "ciliumgatewayclassconfigs/status",
        "update patch",
    ),
    on("multicluster.x-k8s.io", "serviceimports", READ),
];

const READ_SECRETS: &[Rule] = &[on("", "secrets", READ)];
const WRITE_SECRETS: &[Rule] = &[on("", "secrets", "create delete update patch")];
const READ_CONFIG: &[Rule] = &[on("", "configmaps", READ)];

/// Lists the cluster roles, each named after the service account that holds it.
pub(crate) fn cluster_roles(config: &Config) -> Value {
    let services = if config.gateway_api.is_on() {
        OPERATOR_SERVICES_FOR_GATEWAYS
    } else {
        OPERATOR_SERVICES
    };
    let gateway = if config.gateway_api.is_on() {
        OPERATOR_GATEWAY
    } else {
        &[]
    };
    let operator = OPERATOR_CORE
        .iter()
        .chain([&services])
        .chain(OPERATOR_CILIUM)
        .chain(gateway);
    json!([
        {"name": "cilium", "rules": AGENT.iter().map(row).collect::<Vec<_>>()},
        {"name": "cilium-operator", "rules": operator.map(row).collect::<Vec<_>>()},
    ])
}

/// Lists the roles within a namespace.
pub(crate) fn roles(config: &Config) -> Value {
    let mut roles = vec![role(
        "cilium-config-agent",
        "kube-system",
        "cilium",
        READ_CONFIG,
    )];
    if config.bgp_enabled {
        roles.push(role(
            "cilium-bgp-control-plane-secrets",
            "kube-system",
            "cilium",
            READ_SECRETS,
        ));
    }
    let synced: &[&str] = if config.gateway_api.is_on() {
        &["gateway", "tlsinterception"]
    } else {
        &["tlsinterception"]
    };
    for part in synced {
        roles.push(role(
            &format!("cilium-{part}-secrets"),
            SECRETS_NAMESPACE,
            "cilium",
            READ_SECRETS,
        ));
        let name = format!("cilium-operator-{part}-secrets");
        roles.push(role(
            &name,
            SECRETS_NAMESPACE,
            "cilium-operator",
            WRITE_SECRETS,
        ));
    }
    Value::Array(roles)
}

fn role(name: &str, namespace: &str, account: &str, rules: &[Rule]) -> Value {
    let rules: Vec<_> = rules.iter().map(row).collect();
    json!({"name": name, "namespace": namespace, "account": account, "rules": rules})
}

fn row(rule: &Rule) -> Value {
    json!({
        "group": rule.group,
        "resources": words(rule.resources),
        "verbs": words(rule.verbs),
        "names": words(rule.names),
    })
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

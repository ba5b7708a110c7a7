//! The bootstrap configuration of the proxy: how it reaches the agent, and its two listeners for metrics and health.
//!
//! It is one line of JSON with sorted keys inside a ConfigMap, so it is built as data and not by a template.

use serde_json::{Map, Value, json};

const TYPES: &str = "type.googleapis.com";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const AGENT: &str = "xds-grpc-cilium";
const ADMIN: &str = "/envoy-admin";

/// Returns the configuration as one line; keys are sorted, so that equal configurations are equal texts.
pub(crate) fn bootstrap(ipv6: bool) -> String {
    let whole = json!({
        "admin": {"address": socket("admin")},
        "applicationLogConfig": {"logFormat": {"textFormat": "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"}},
        "bootstrapExtensions": [{
            "name": "envoy.bootstrap.internal_listener",
            "typedConfig": typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener", json!({})),
        }],
        "dynamicResources": {"cdsConfig": discovery(), "ldsConfig": discovery()},
        "node": {"cluster": "ingress-cluster", "id": "host~127.0.0.1~no-id~localdomain"},
        "overloadManager": {"resourceMonitors": [connection_limit()]},
        "staticResources": {
            "clusters": [
                original_destination("ingress-cluster", false),
                original_destination("egress-cluster-tls", true),
                original_destination("egress-cluster", false),
                original_destination("ingress-cluster-tls", true),
                agent_cluster(),
                local_cluster(ADMIN, "admin"),
            ],
            "listeners": [metrics_listener(ipv6), health_listener(ipv6)],
        },
    });
    sorted(whole).to_string()
}

fn typed(name: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("{TYPES}/{name}"));
    fields
}

fn socket(name: &str) -> Value {
    json!({"pipe": {"path": format!("/var/run/cilium/envoy/sockets/{name}.sock")}})
}

/// Listeners and clusters come from the agent.
fn discovery() -> Value {
    json!({
        "apiConfigSource": {
            "apiType": "GRPC",
            "grpcServices": [{"envoyGrpc": {"clusterName": AGENT}}],
            "setNodeOnFirstMessageOnly": true,
            "transportApiVersion": "V3",
        },
        "initialFetchTimeout": "30s",
        "resourceApiVersion": "V3",
    })
}

fn connection_limit() -> Value {
    json!({
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typedConfig": typed(
            "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            json!({"max_active_downstream_connections": "50000"}),
        ),
    })
}

/// A cluster for traffic that keeps the destination it was sent to.
fn original_destination(name: &str, tls: bool) -> Value {
    let mut protocol = json!({
        "commonHttpProtocolOptions": {
            "idleTimeout": "60s",
            "maxConnectionDuration": "0s",
            "maxRequestsPerConnection": 0,
        },
        "useDownstreamProtocolConfig": {},
    });
    if tls {
        protocol["upstreamHttpProtocolOptions"] = json!({});
    }
    let mut cluster = json!({
        "name": name,
        "type": "ORIGINAL_DST",
        "lbPolicy": "CLUSTER_PROVIDED",
        "connectTimeout": "2s",
        "cleanupInterval": "2.500s",
        "circuitBreakers": {"thresholds": [{"maxRetries": 128}]},
        "typedExtensionProtocolOptions": {HTTP_OPTIONS: typed(HTTP_OPTIONS, protocol)},
    });
    if tls {
        cluster["transportSocket"] = json!({
            "name": "cilium.tls_wrapper",
            "typedConfig": typed("cilium.UpstreamTlsWrapperContext", json!({})),
        });
    }
    cluster
}

/// A cluster behind a socket on the node.
fn local_cluster(name: &str, socket_name: &str) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(socket_name)}});
    json!({
        "name": name,
        "type": "STATIC",
        "connectTimeout": "2s",
        "loadAssignment": {"clusterName": name, "endpoints": [{"lbEndpoints": [endpoint]}]},
    })
}

fn agent_cluster() -> Value {
    let mut cluster = local_cluster(AGENT, "xds");
    let http2 = json!({"explicitHttpConfig": {"http2ProtocolOptions": {}}});
    cluster["typedExtensionProtocolOptions"] = json!({HTTP_OPTIONS: typed(HTTP_OPTIONS, http2)});
    cluster
}

fn metrics_listener(ipv6: bool) -> Value {
    let hosts = virtual_host("prometheus_metrics_route", "/metrics", "/stats/prometheus");
    let routes = json!({"virtualHosts": [hosts]});
    listener(
        "envoy-prometheus-metrics-listener",
        ["0.0.0.0", "::"],
        9964,
        routes,
        ipv6,
    )
}

fn health_listener(ipv6: bool) -> Value {
    // Envoy takes both spellings of this key; Cilium's health listener has this one.
    let routes = json!({"virtual_hosts": [virtual_host("health", "/healthz", "/ready")]});
    listener(
        "envoy-health-listener",
        ["127.0.0.1", "::1"],
        9878,
        routes,
        ipv6,
    )
}

fn virtual_host(name: &str, prefix: &str, target: &str) -> Value {
    let route = json!({
        "name": name,
        "match": {"prefix": prefix},
        "route": {"cluster": ADMIN, "prefixRewrite": target},
    });
    json!({"name": name, "domains": ["*"], "routes": [route]})
}

fn listener(name: &str, [v4, v6]: [&str; 2], port: u16, routes: Value, ipv6: bool) -> Value {
    let address = |host: &str| json!({"socketAddress": {"address": host, "portValue": port}});
    let router = json!({
        "name": "envoy.filters.http.router",
        "typedConfig": typed("envoy.extensions.filters.http.router.v3.Router", json!({})),
    });
    let manager = json!({
        "statPrefix": name,
        "routeConfig": routes,
        "httpFilters": [router],
        "internalAddressConfig": {"cidrRanges": internal_ranges(ipv6)},
        "streamIdleTimeout": "300s",
    });
    let manager_type =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let mut listener = json!({
        "name": name,
        "address": address(v4),
        "filterChains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typedConfig": typed(manager_type, manager),
        }]}],
    });
    if ipv6 {
        listener["additionalAddresses"] = json!([{"address": address(v6)}]);
    }
    listener
}

fn internal_ranges(ipv6: bool) -> Vec<Value> {
    let v4 = [
        ("10.0.0.0", 8),
        ("172.16.0.0", 12),
        ("192.168.0.0", 16),
        ("127.0.0.1", 32),
    ];
    let v6 = ipv6.then_some(("::1", 128));
    let range = |(address, length)| json!({"addressPrefix": address, "prefixLen": length});
    v4.into_iter().chain(v6).map(range).collect()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_listen_only_where_ipv6_is_on() {
        let v4: Value = serde_json::from_str(&bootstrap(false)).unwrap();
        let both: Value = serde_json::from_str(&bootstrap(true)).unwrap();
        let listener = |whole: &Value| whole["staticResources"]["listeners"][1].clone();
        assert_eq!(listener(&v4).get("additionalAddresses"), None);
        assert_eq!(
            listener(&both)["additionalAddresses"],
            json!([{"address": {"socketAddress": {"address": "::1", "portValue": 9878}}}])
        );
    }

    #[test]
    fn the_text_is_one_line_with_sorted_keys() {
        let text = bootstrap(true);
        assert!(!text.contains('\n'));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(sorted(value).to_string(), text);
    }
}

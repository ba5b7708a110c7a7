//! What an adapter gets of the operator's machine because its manifest declares it: variables, the TCP ports that it may
//! connect to, and the programs that `discover` may start.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ztc_protocol::Manifest;

use crate::process::ALLOWED_VARIABLES;

/// Variables that name a proxy; where one is set, connections go to its port instead.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "all_proxy",
];

/// What an adapter gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The operator's variables that it may see beside the ones that every program may.
    pub(crate) variables: Vec<(String, String)>,
    /// The TCP ports that it may connect to, where the kernel can refuse others.
    pub(crate) ports: Vec<u16>,
    /// The programs that `discover` may start, as far as this machine has them.
    pub(crate) programs: Vec<PathBuf>,
}

impl Grant {
    /// Returns the declared variables that the operator has set and that are not everybody's anyway, and the ports.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self::from(manifest, |name| std::env::var(name).ok())
    }

    fn from(manifest: &Manifest, variable: impl Fn(&str) -> Option<String>) -> Self {
        let names = manifest
            .environment
            .iter()
            .map(|variable| variable.name.as_str());
        let own =
            names.filter(|name| !ALLOWED_VARIABLES.contains(name) && !name.starts_with("LC_"));
        let variables: Vec<(String, String)> = own
            .filter_map(|name| Some((name.to_owned(), variable(name)?)))
            .collect();
        let ports = ports(manifest, &variables, variable);
        let tools = manifest
            .discover_tools
            .iter()
            .filter(|_| manifest.discovers);
        let programs = tools.filter_map(|tool| which::which(&tool.name).ok());
        Self {
            variables,
            ports,
            programs: programs.collect(),
        }
    }

    /// The same without ports, for a kernel that refuses none.
    pub(crate) fn without_ports(self) -> Self {
        Self {
            ports: Vec::new(),
            ..self
        }
    }
}

/// Only `discover` uses the network. A declared variable whose value is a URL moves an endpoint, so it grants that URL's port.
fn ports(
    manifest: &Manifest,
    variables: &[(String, String)],
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<u16> {
    if !manifest.discovers {
        return Vec::new();
    }
    let declared = manifest.network.iter().map(|endpoint| endpoint.port);
    let moved = variables.iter().filter_map(|(_, value)| port(value));
    let mut ports: BTreeSet<u16> = declared.chain(moved).collect();
    if !ports.is_empty() {
        let proxies = PROXIES.iter().filter_map(|name| port(&variable(name)?));
        ports.extend(proxies.collect::<Vec<_>>());
    }
    ports.into_iter().collect()
}

/// Returns the port of a URL.
fn port(url: &str) -> Option<u16> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let explicit = match host.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    match (explicit, scheme) {
        (Some(port), _) => port.parse().ok(),
        (None, "https") => Some(443),
        (None, "http") => Some(80),
        (None, "socks5" | "socks5h") => Some(1080),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use ztc_protocol::manifest::{EnvironmentVariable, NetworkEndpoint};

    use super::*;

    #[test]
    fn urls_have_ports() {
        for (url, expected) in [
            ("https://api.example.com/v1", Some(443)),
            ("http://127.0.0.1:8080/v1", Some(8080)),
            ("http://user:secret@proxy:3128", Some(3128)),
            ("http://[::1]:81", Some(81)),
            ("http://[::1]", Some(80)),
            ("https://host:99999", None),
            ("ftp://host", None),
            ("just text: 80", None),
        ] {
            assert_eq!(port(url), expected, "{url}");
        }
    }

    #[test]
    fn only_what_is_declared_is_granted() {
        let declared = |name: &str| EnvironmentVariable {
            name: name.into(),
            why: String::new(),
        };
        let mut manifest = Manifest {
            environment: ["API_URL", "UNSET", "HOME", "API_ZONE"]
                .map(declared)
                .into(),
            network: vec![NetworkEndpoint {
                host: "api.example.com".into(),
                port: 443,
                why: String::new(),
            }],
            discovers: true,
            ..Manifest::default()
        };
        let variable = |name: &str| match name {
            "API_URL" => Some("http://127.0.0.1:7001".to_owned()),
            "API_ZONE" => Some("east".to_owned()),
            "HOME" => Some("/home/me".to_owned()),
            "https_proxy" => Some("http://proxy:3128".to_owned()),
            "OTHER_URL" => Some("http://127.0.0.1:7002".to_owned()),
            _ => None,
        };
        let granted = Grant::from(&manifest, variable);
        let variables: Vec<(&str, &str)> = granted
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            variables,
            [("API_URL", "http://127.0.0.1:7001"), ("API_ZONE", "east")]
        );
        assert_eq!(granted.ports, [443, 3128, 7001]);

        manifest.discovers = false;
        assert_eq!(Grant::from(&manifest, variable).ports, [] as [u16; 0]);
        manifest = Manifest {
            discovers: true,
            ..Manifest::default()
        };
        assert_eq!(Grant::from(&manifest, variable), Grant::default());
    }
}

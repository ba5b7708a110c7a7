//! What an adapter gets of the operator's machine: the variables that its manifest declares and the operator grants, the TCP ports that it may
//! connect to, and the programs that `discover` may start. Also says what is declared and not granted, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ztc_protocol::Manifest;
use ztc_protocol::manifest::EnvironmentVariable;

use crate::adapter::{Adapter, Discovery};
use crate::error::{Finding, did_you_mean};
use crate::platform::Platform;
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

/// Which of the variables that it declares an adapter may see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Granted<'a> {
    /// All of them.
    Everything,
    /// These.
    These(&'a [String]),
}

impl Granted<'_> {
    pub(crate) fn includes(self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::These(names) => names.iter().any(|granted| granted == name),
        }
    }
}

/// Whether every program may see a variable anyway.
pub(crate) fn is_everybodys(name: &str) -> bool {
    ALLOWED_VARIABLES.contains(&name) || name.starts_with("LC_")
}

impl Grant {
    /// Returns the declared and granted variables that the operator has set and that are not everybody's anyway, and the ports.
    pub(crate) fn of(manifest: &Manifest, granted: Granted<'_>) -> Self {
        Self::from(manifest, granted, |name| std::env::var(name).ok())
    }

    fn from(
        manifest: &Manifest,
        granted: Granted<'_>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let names = manifest
            .environment
            .iter()
            .map(|variable| variable.name.as_str());
        let own = names.filter(|name| granted.includes(name) && !is_everybodys(name));
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

/// Says of each running adapter where what it declares and what it is granted differ.
pub(crate) fn findings_of_all(
    platform: &Platform,
    discovery: &Discovery,
    running: &BTreeMap<String, Arc<Adapter>>,
) -> Vec<Finding> {
    let found = running.iter().map(|(name, adapter)| {
        let granted = discovery.granted(&adapter.candidate);
        findings(platform, name, &adapter.manifest, granted)
    });
    found.flatten().collect()
}

/// Says what an adapter declares, the operator has set and platform.yaml does not grant; and what platform.yaml grants and the adapter does not
/// declare.
fn findings(
    platform: &Platform,
    name: &str,
    manifest: &Manifest,
    granted: Granted<'_>,
) -> Vec<Finding> {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let declared: Vec<&str> = manifest
        .environment
        .iter()
        .map(|variable| variable.name.as_str())
        .collect();
    let plugin = platform.plugins.get(name);
    let listed = plugin.map_or(&[][..], |plugin| &plugin.environment);
    let denied = manifest.environment.iter().filter(|variable| {
        let name = variable.name.as_str();
        !granted.includes(name) && !is_everybodys(name) && is_set(name)
    });
    let mut wanted = listed.to_vec();
    let mut said = Vec::new();
    let mut reasons = Vec::new();
    for EnvironmentVariable { name, why } in denied {
        wanted.push(name.clone());
        said.push(format!("`{name}`"));
        reasons.push(format!("`{name}`: {why}"));
    }
    let mut findings = Vec::new();
    if !said.is_empty() {
        let line = format!("environment: [{}]", wanted.join(", "));
        let add = match (plugin, platform.plugins.is_empty()) {
            (Some(_), _) => format!("write `{line}` under `plugins.{name}`"),
            (None, false) => format!("write `{name}: {{{line}}}` under `plugins`"),
            (None, true) => format!("add `plugins: {{{name}: {{{line}}}}}`"),
        };
        let message = format!(
            "adapter `{name}` does not get {}, which you have set: platform.yaml does not grant it",
            said.join(" and ")
        );
        let help = format!(
            "{}; to grant it, {add} in platform.yaml",
            reasons.join(", ")
        );
        findings.push(
            Finding::warning(message)
                .at(platform.locate_plugin(name, "/environment"))
                .help(help),
        );
    }
    for (number, unknown) in listed.iter().enumerate() {
        if !declared.contains(&unknown.as_str()) {
            let help = did_you_mean(unknown, declared.iter().copied())
                .unwrap_or_else(|| "take it out: the adapter gets nothing by it".to_owned());
            let message = format!(
                "`plugins.{name}.environment` grants `{unknown}`, which adapter `{name}` does not declare"
            );
            findings.push(
                Finding::warning(message)
                    .at(platform.locate_plugin(name, &format!("/environment/{number}")))
                    .help(help),
            );
        }
    }
    findings
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
    use ztc_protocol::manifest::NetworkEndpoint;

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
    fn only_what_is_declared_and_granted_is_given() {
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
        let granted = Grant::from(&manifest, Granted::Everything, variable);
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
        let names = ["API_ZONE", "OTHER_URL"].map(str::to_owned);
        let granted = Grant::from(&manifest, Granted::These(&names), variable);
        assert_eq!(granted.variables, [("API_ZONE".into(), "east".into())]);
        assert_eq!(granted.ports, [443, 3128]);

        manifest.discovers = false;
        let granted = Grant::from(&manifest, Granted::Everything, variable);
        assert_eq!(granted.ports, [] as [u16; 0]);
        manifest = Manifest {
            discovers: true,
            ..Manifest::default()
        };
        let granted = Grant::from(&manifest, Granted::Everything, variable);
        assert_eq!(granted, Grant::default());
    }
}

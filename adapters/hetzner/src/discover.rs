//! Looks up the servers behind the configured addresses. Only reads from the API, and keeps only what does not change by itself.

use std::collections::HashMap;

use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::message::{Diagnostic, DiscoverParams, DiscoverResult};
use ztc_adapter_sdk::{AdapterError, CallContext};

use crate::api::Client;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::facts::{self, ServerFact, ServerFacts};
use crate::pacing::Pacing;
use crate::refusal::one_line;
use crate::server::Server;

/// How many of the project's servers a message lists.
const LISTED: usize = 20;

/// Answers the call with the API that the environment names.
pub(crate) fn discover(
    params: &DiscoverParams,
    call: &CallContext,
) -> Result<DiscoverResult, AdapterError> {
    discover_at(Endpoint::from_environment()?, params, call)
}

fn discover_at(
    endpoint: Endpoint,
    params: &DiscoverParams,
    call: &CallContext,
) -> Result<DiscoverResult, AdapterError> {
    let config = Config::read(&params.config)?;
    let token = params.secrets.get("api_token").ok_or_else(|| {
        AdapterError::new(ErrorCode::SecretMissing, "`discover` needs the API token")
            .help("check what `api_token` refers to")
    })?;
    let client = Client::new(endpoint, token, Pacing::default(), call)?;
    let looked_up = client.servers().and_then(|servers| {
        client.check_write()?;
        Ok(servers)
    });
    client.report();
    let servers = looked_up?;
    let (facts, diagnostics) = select(&config, &servers);
    Ok(DiscoverResult {
        facts: facts::write(&facts)?,
        diagnostics,
    })
}

fn select(config: &Config, servers: &[Server]) -> (ServerFacts, Vec<Diagnostic>) {
    let mut by_ip: HashMap<&str, Vec<&Server>> = HashMap::new();
    for server in servers {
        if let Some(ip) = server.ip() {
            by_ip.entry(ip).or_default().push(server);
        }
    }
    let mut facts = ServerFacts::new();
    let mut diagnostics = Vec::new();
    for (pointer, ip) in config.server_ips.entries() {
        match by_ip.get(ip).map_or(&[][..], Vec::as_slice) {
            [server] => match fact(server) {
                Ok(fact) => drop(facts.insert(ip.to_owned(), fact)),
                Err(message) => diagnostics.push(finding(pointer, message, None)),
            },
            [_, _, ..] => {
                let message = format!("several servers have the public address `{ip}`");
                let same: Vec<_> = by_ip[ip].iter().copied().cloned().collect();
                diagnostics.push(finding(pointer, message, Some(inventory(&same))));
            }
            [] => {
                let message = format!(
                    "the project of the API token has no server with the public address `{ip}`"
                );
                diagnostics.push(finding(pointer, message, Some(inventory(servers))));
            }
        }
    }
    (facts, diagnostics)
}

fn fact(server: &Server) -> Result<ServerFact, String> {
    let architecture = server.architecture().ok_or_else(|| {
        let known = server.server_type.architecture.as_deref().map_or_else(
            || "none".to_owned(),
            |other| format!("`{}`", one_line(other)),
        );
        format!(
            "server `{}` has an architecture that is neither `x86` nor `arm`: {known}",
            server.name
        )
    })?;
    Ok(ServerFact {
        id: server.id.to_string(),
        name: server.name.clone(),
        kind: server.server_type.name.clone(),
        architecture: architecture.to_owned(),
        location: server.location().to_owned(),
        disk_gb: server.disk_gb(),
        protected: server.is_protected(),
    })
}

/// Lists the project's servers, so that a mistyped address is seen at once.
fn inventory(servers: &[Server]) -> String {
    if servers.is_empty() {
        return "the project has no servers at all: is the token that of another project?".into();
    }
    let mut lines: Vec<_> = servers
        .iter()
        .map(|server| {
            format!(
                "`{}` ({})",
                one_line(&server.name),
                server.ip().unwrap_or("no public IPv4 address")
            )
        })
        .collect();
    lines.sort();
    let more = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("the project has {}{rest}", lines.join(", "))
}

fn finding(pointer: String, message: String, help: Option<String>) -> Diagnostic {
    Diagnostic {
        pointer,
        message,
        help,
        ..Diagnostic::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake_api::{FakeApi, page, refusal, server};

    fn params(server_ips: Value) -> DiscoverParams {
        let config =
            json!({"api_token": {"from": "env", "name": "HCLOUD_TOKEN"}, "server_ips": server_ips});
        DiscoverParams {
            config: config.as_object().unwrap().clone(),
            secrets: [("api_token".to_owned(), "s3cr3t".to_owned())].into(),
            ..DiscoverParams::default()
        }
    }

    fn discover_with(
        answers: Vec<String>,
        server_ips: Value,
    ) -> Result<DiscoverResult, AdapterError> {
        // Behind the pages: the token may write.
        let writable = refusal(422, "invalid_input");
        let api = FakeApi::start([answers, vec![writable]].concat());
        discover_at(
            Endpoint::parse(&api.endpoint()).unwrap(),
            &params(server_ips),
            &CallContext::detached(),
        )
    }

    #[test]
    fn facts_are_those_of_the_configured_servers_on_whatever_page() {
        let mut arm = server(4712, "worker01", "203.0.113.11");
        arm["server_type"] = json!({"name": "cax21", "architecture": "arm"});
        arm["protection"]["delete"] = json!(true);
        let mut hidden = server(4713, "hidden", "");
        hidden["public_net"]["ipv4"] = Value::Null;
        let answers = vec![
            page(&[hidden, server(1, "other", "203.0.113.1")], Some(2)),
            page(&[server(4711, "cp01", "203.0.113.10")], Some(3)),
            page(&[arm], None),
        ];
        let result = discover_with(answers, json!("203.0.113.10,203.0.113.11")).unwrap();
        let expected = json!({
            "servers": {
                "203.0.113.10": {
                    "id": "4711", "name": "cp01", "type": "cpx21", "architecture": "amd64", "location": "fsn1", "protected": false,
                },
                "203.0.113.11": {
                    "id": "4712", "name": "worker01", "type": "cax21", "architecture": "arm64", "location": "fsn1", "protected": true,
                },
            },
        });
        assert_eq!(serde_json::to_value(&result.facts).unwrap(), expected);
        assert_eq!(result.diagnostics, []);
    }

    #[test]
    fn a_server_that_is_not_there_is_told_with_those_that_are() {
        let mut hidden = server(4713, "hidden", "");
        hidden["public_net"]["ipv4"] = Value::Null;
        let answers = vec![page(&[server(4711, "cp01", "203.0.113.10"), hidden], None)];
        let result = discover_with(answers, json!(["203.0.113.10", "203.0.113.99"])).unwrap();
        let help = "the project has `cp01` (203.0.113.10), `hidden` (no public IPv4 address)";
        let expected = Diagnostic {
            pointer: "/server_ips/1".into(),
            message:
                "the project of the API token has no server with the public address `203.0.113.99`"
                    .into(),
            help: Some(help.into()),
            ..Diagnostic::default()
        };
        assert_eq!(result.diagnostics, [expected]);
        let facts = serde_json::to_value(&result.facts).unwrap();
        assert_eq!(
            facts["servers"]
                .as_object()
                .unwrap()
                .keys()
                .collect::<Vec<_>>(),
            ["203.0.113.10"]
        );
    }

    #[test]
    fn an_address_of_two_servers_is_no_guess() {
        let answers = vec![page(
            &[
                server(1, "one", "203.0.113.1"),
                server(2, "two", "203.0.113.1"),
            ],
            None,
        )];
        let result = discover_with(answers, json!(["203.0.113.1"])).unwrap();
        let expected = Diagnostic {
            pointer: "/server_ips/0".into(),
            message: "several servers have the public address `203.0.113.1`".into(),
            help: Some("the project has `one` (203.0.113.1), `two` (203.0.113.1)".into()),
            ..Diagnostic::default()
        };
        assert_eq!(result.diagnostics, [expected]);
    }

    #[test]
    fn a_token_that_may_only_read_is_found_by_a_request_that_can_change_nothing() {
        let api = FakeApi::start(vec![
            page(&[server(1, "a", "203.0.113.1")], None),
            refusal(403, "token_readonly"),
        ]);
        let error = discover_at(
            Endpoint::parse(&api.endpoint()).unwrap(),
            &params(json!(["203.0.113.1"])),
            &CallContext::detached(),
        )
        .unwrap_err();
        assert_eq!(error.code, ErrorCode::AuthenticationFailed);
        let expected = format!(
            "cannot change anything in the project at `{}`: the API answered `token_readonly`: because",
            api.endpoint()
        );
        assert_eq!(error.message, expected);
        let sent = api.requests().pop().unwrap();
        assert!(sent.starts_with("POST /v1/ssh_keys HTTP/1.1\r\n"), "{sent}");
        assert!(sent.ends_with("\r\n\r\n{}"), "{sent}");
    }

    #[test]
    fn an_unknown_architecture_is_no_guess() {
        let mut odd = server(1, "odd", "203.0.113.1");
        odd["server_type"]["architecture"] = json!("riscv");
        let result = discover_with(vec![page(&[odd], None)], json!(["203.0.113.1"])).unwrap();
        let found: Vec<_> = result
            .diagnostics
            .iter()
            .map(|d| (d.pointer.as_str(), d.message.as_str()))
            .collect();
        let message = "server `odd` has an architecture that is neither `x86` nor `arm`: `riscv`";
        assert_eq!(found, [("/server_ips/0", message)]);
    }

    #[test]
    fn long_inventories_are_cut() {
        let servers: Vec<Server> = (0..25)
            .map(|n| serde_json::from_value(server(n, &format!("s{n:02}"), "203.0.113.1")).unwrap())
            .collect();
        let text = inventory(&servers);
        assert!(text.ends_with("`s19` (203.0.113.1) and 5 more"), "{text}");
        assert!(inventory(&[]).starts_with("the project has no servers at all"));
    }

    #[test]
    fn without_a_token_nothing_is_asked() {
        let mut params = params(json!(["203.0.113.10"]));
        params.secrets.clear();
        let endpoint = Endpoint::parse("http://127.0.0.1:1/v1").unwrap();
        let error = discover_at(endpoint, &params, &CallContext::detached()).unwrap_err();
        assert_eq!(error.code, ErrorCode::SecretMissing);
    }
}

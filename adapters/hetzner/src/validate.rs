//! Checks what the schema cannot say: addresses, duplicates, references to secrets, paths. Touches neither network nor disk.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};
use ztc_adapter_sdk::protocol::message::Diagnostic;

use crate::config::ServerIps;

/// What to write instead of a token.
const REFERENCE_HELP: &str = "write a reference: `{from: env, name: HCLOUD_TOKEN}`, `{from: file, path: ...}`, \
                              `{from: command, command: [...]}` or `{from: store, name: ...}`";

/// Returns every finding about a section.
pub(crate) fn section(config: &Map<String, Value>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    found.extend(api_token(config.get("api_token")));
    found.extend(server_ips(config.get("server_ips")));
    found.extend(
        config
            .get("ssh_config")
            .and_then(Value::as_str)
            .and_then(ssh_config),
    );
    found
}

fn api_token(value: Option<&Value>) -> Option<Diagnostic> {
    let Some(Value::Object(reference)) = value else {
        let what = if value.is_some() {
            "a value"
        } else {
            "nothing"
        };
        let message = format!(
            "expected a reference to the API token, not {what}: secrets never stand in `platform.yaml`"
        );
        return Some(finding("/api_token", message, REFERENCE_HELP));
    };
    let from = reference
        .get("from")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let needed = match from {
        "env" | "store" => "name",
        "file" => "path",
        "command" => "command",
        other => {
            return Some(finding(
                "/api_token/from",
                format!("`{other}` is no place for a secret"),
                REFERENCE_HELP,
            ));
        }
    };
    if let Some(extra) = reference
        .keys()
        .find(|key| *key != "from" && *key != needed)
    {
        let message = format!("`from: {from}` takes no `{extra}`");
        return Some(finding(
            &format!("/api_token/{extra}"),
            message,
            REFERENCE_HELP,
        ));
    }
    let given = reference.contains_key(needed);
    (!given).then(|| {
        finding(
            "/api_token",
            format!("`from: {from}` needs `{needed}`"),
            REFERENCE_HELP,
        )
    })
}

fn server_ips(value: Option<&Value>) -> Vec<Diagnostic> {
    let Some(ips) = value.and_then(|value| serde_json::from_value::<ServerIps>(value.clone()).ok())
    else {
        let message =
            "expected a list of IPv4 addresses, or one comma-separated string of them".to_owned();
        return vec![finding(
            "/server_ips",
            message,
            "such as `[203.0.113.10, 203.0.113.11]`",
        )];
    };
    let entries = ips.entries();
    if entries.is_empty() {
        return vec![finding(
            "/server_ips",
            "no server is listed".into(),
            "list at least one public IPv4 address",
        )];
    }
    let mut first_seen = HashMap::new();
    let mut found = Vec::new();
    for (index, (pointer, ip)) in entries.iter().enumerate() {
        let position = index + 1;
        if let Some((message, help)) = wrong_address(ip) {
            found.push(finding(pointer, message, help));
        } else if let Some(first) = first_seen.insert(*ip, position) {
            let message =
                format!("`{ip}` is listed twice, as address {first} and as address {position}");
            found.push(finding(pointer, message, "remove one of them"));
            first_seen.insert(ip, first);
        }
    }
    found
}

/// Says what is wrong with an address and what to do. Private and loopback addresses are fine: servers may be reached through a tunnel.
fn wrong_address(text: &str) -> Option<(String, &'static str)> {
    const WRITE: &str = "write the server's public IPv4 address, such as `203.0.113.10`";
    if text.is_empty() {
        return Some((
            "an address is empty".into(),
            "remove the superfluous comma or item",
        ));
    }
    if text.parse::<Ipv6Addr>().is_ok() || text.contains("::") {
        let message = format!(
            "`{text}` is an IPv6 address, but servers are found by their public IPv4 address"
        );
        return Some((message, WRITE));
    }
    let Ok(ip) = text.parse::<Ipv4Addr>() else {
        return Some((
            format!("`{text}` is not an IPv4 address: {}", why_no_ipv4(text)),
            WRITE,
        ));
    };
    let unusable = ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast();
    unusable.then(|| (format!("`{text}` cannot be the address of a server"), WRITE))
}

fn why_no_ipv4(text: &str) -> String {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(odd) = parts.iter().find(|part| !is_number(part)) {
        return format!("`{odd}` is not a number");
    }
    if parts.len() != 4 {
        return format!("it has {} parts, not 4", parts.len());
    }
    match parts.iter().find(|part| part.parse::<u8>().is_err()) {
        Some(large) => format!("`{large}` is above 255"),
        None => "its parts must not begin with 0".to_owned(),
    }
}

fn ssh_config(path: &str) -> Option<Diagnostic> {
    let why = if path.is_empty() {
        "the path is empty".to_owned()
    } else if path.starts_with(['/', '~']) {
        format!("`{path}` is not relative to the repository")
    } else if path.split('/').any(|part| part == "..") {
        format!("`{path}` leaves the repository")
    } else if path.chars().any(char::is_control) {
        "the path holds a control character".to_owned()
    } else {
        return None;
    };
    Some(finding(
        "/ssh_config",
        why,
        "put the file into the repository and write its path from there, such as `ssh/config`",
    ))
}

fn finding(pointer: &str, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        pointer: pointer.to_owned(),
        message,
        help: Some(help.to_owned()),
        ..Diagnostic::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(changes: Value, expected: &[(&str, &str)]) {
        let mut config = json!({
            "version": "v1",
            "api_token": {"from": "env", "name": "HCLOUD_TOKEN"},
            "server_ips": ["203.0.113.10"],
        });
        let config = config.as_object_mut().unwrap();
        config.extend(changes.as_object().unwrap().clone());
        let found = section(config);
        let found: Vec<_> = found
            .iter()
            .map(|d| (d.pointer.as_str(), d.message.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn good_sections_have_no_findings() {
        check(json!({}), &[]);
        check(
            json!({"server_ips": ["10.0.0.1", "127.4.0.11", "192.168.1.1"]}),
            &[],
        );
        check(
            json!({"server_ips": "203.0.113.10,203.0.113.11 , 203.0.113.12"}),
            &[],
        );
        check(json!({"ssh_config": "ssh/config"}), &[]);
        check(
            json!({"api_token": {"from": "file", "path": "secrets/token"}}),
            &[],
        );
        check(
            json!({"api_token": {"from": "command", "command": ["pass", "hcloud"]}}),
            &[],
        );
        check(
            json!({"api_token": {"from": "store", "name": "hcloud"}}),
            &[],
        );
    }

    #[test]
    fn a_bad_address_is_found_where_it_stands() {
        check(
            json!({"server_ips": ["203.0.113.10", "203.0.113.300"]}),
            &[(
                "/server_ips/1",
                "`203.0.113.300` is not an IPv4 address: `300` is above 255",
            )],
        );
        check(
            json!({"server_ips": "203.0.113.10,203.0.113.300"}),
            &[(
                "/server_ips",
                "`203.0.113.300` is not an IPv4 address: `300` is above 255",
            )],
        );
        check(
            json!({"server_ips": ["203.0.113", "203.0.113.x", "203.0.113.010", "0.0.0.0", "", "2001:db8::1"]}),
            &[
                (
                    "/server_ips/0",
                    "`203.0.113` is not an IPv4 address: it has 3 parts, not 4",
                ),
                (
                    "/server_ips/1",
                    "`203.0.113.x` is not an IPv4 address: `x` is not a number",
                ),
                (
                    "/server_ips/2",
                    "`203.0.113.010` is not an IPv4 address: its parts must not begin with 0",
                ),
                (
                    "/server_ips/3",
                    "`0.0.0.0` cannot be the address of a server",
                ),
                ("/server_ips/4", "an address is empty"),
                (
                    "/server_ips/5",
                    "`2001:db8::1` is an IPv6 address, but servers are found by their public IPv4 address",
                ),
            ],
        );
        check(
            json!({"server_ips": []}),
            &[("/server_ips", "no server is listed")],
        );
        check(
            json!({"server_ips": "203.0.113.10,"}),
            &[("/server_ips", "an address is empty")],
        );
    }

    #[test]
    fn a_duplicate_names_both_places() {
        check(
            json!({"server_ips": ["203.0.113.10", "203.0.113.11", "203.0.113.10", "203.0.113.10"]}),
            &[
                (
                    "/server_ips/2",
                    "`203.0.113.10` is listed twice, as address 1 and as address 3",
                ),
                (
                    "/server_ips/3",
                    "`203.0.113.10` is listed twice, as address 1 and as address 4",
                ),
            ],
        );
    }

    #[test]
    fn a_token_in_plain_text_is_refused_without_repeating_it() {
        let expected = "expected a reference to the API token, not a value: secrets never stand in `platform.yaml`";
        check(
            json!({"api_token": "very-secret"}),
            &[("/api_token", expected)],
        );
        let config = json!({"api_token": "very-secret", "server_ips": ["203.0.113.10"]});
        let found = section(config.as_object().unwrap());
        assert!(
            found[0]
                .help
                .as_deref()
                .unwrap()
                .starts_with("write a reference: `{from: env, name: HCLOUD_TOKEN}`")
        );
        assert!(
            !serde_json::to_string(&found)
                .unwrap()
                .contains("very-secret")
        );
    }

    #[test]
    fn a_reference_is_complete() {
        check(
            json!({"api_token": {"from": "env"}}),
            &[("/api_token", "`from: env` needs `name`")],
        );
        check(
            json!({"api_token": {"from": "file", "name": "x"}}),
            &[("/api_token/name", "`from: file` takes no `name`")],
        );
        check(
            json!({"api_token": {"from": "moon"}}),
            &[("/api_token/from", "`moon` is no place for a secret")],
        );
    }

    #[test]
    fn the_ssh_configuration_stays_in_the_repository() {
        check(
            json!({"ssh_config": "/etc/ssh"}),
            &[(
                "/ssh_config",
                "`/etc/ssh` is not relative to the repository",
            )],
        );
        check(
            json!({"ssh_config": "~/.ssh/config"}),
            &[(
                "/ssh_config",
                "`~/.ssh/config` is not relative to the repository",
            )],
        );
        check(
            json!({"ssh_config": "ssh/../../config"}),
            &[("/ssh_config", "`ssh/../../config` leaves the repository")],
        );
    }
}

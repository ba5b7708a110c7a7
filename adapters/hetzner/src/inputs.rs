//! The wizard's questions. Once the token has a value, the project's servers are looked up and offered; the project is only read.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use ztc_adapter_sdk::CallContext;
use ztc_adapter_sdk::protocol::capability::CLOUD_INFRASTRUCTURE;
use ztc_adapter_sdk::protocol::message::{
    GetInputsParams, GetInputsResult, InputPrompt, InputType,
};

use crate::api::Client;
use crate::endpoint::Endpoint;
use crate::pacing::Pacing;
use crate::refusal::one_line;
use crate::server::Server;

/// An IPv4 address with every part in range.
const IPV4_PATTERN: &str =
    r"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)";

/// What the operator should know wherever servers are asked for.
const ERASED: &str = "Everything on the servers that you choose is erased by `ztc bootstrap`, which asks once more before it begins.";

/// What a look-up found.
#[derive(Clone, Debug, Default)]
struct Found {
    servers: Vec<Server>,
    /// Why the servers are not known, or what is wrong with the token.
    trouble: Option<String>,
}

/// The last look-up with its token and address: the wizard asks for the questions again after every answer, and the API is not asked as often.
static LAST: Mutex<Option<(String, String, Found)>> = Mutex::new(None);

/// Answers `get_inputs`. `ssh_config` is not among the questions: few need it, and the file has to be written first anyway.
pub(crate) fn inputs(params: &GetInputsParams, call: &CallContext) -> GetInputsResult {
    let found = match params.secrets.get("api_token") {
        Some(token) => look_up(token, call),
        None => Found::default(),
    };
    questions(&found)
}

fn look_up(token: &str, call: &CallContext) -> Found {
    let endpoint = match Endpoint::from_environment() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            return Found {
                trouble: Some(error.message),
                ..Found::default()
            };
        }
    };
    let address = endpoint.as_str().to_owned();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known_token, known_address, found)) = last.as_ref()
        && (known_token.as_str(), known_address) == (token, &address)
    {
        return found.clone();
    }
    let found = ask(endpoint, token, Pacing::hasty(), call);
    *last = Some((token.to_owned(), address, found.clone()));
    found
}

fn ask(endpoint: Endpoint, token: &str, pacing: Pacing, call: &CallContext) -> Found {
    let client = match Client::new(endpoint, token, pacing, call) {
        Ok(client) => client,
        Err(error) => {
            return Found {
                trouble: Some(error.message),
                ..Found::default()
            };
        }
    };
    let mut found = Found::default();
    match client.servers() {
        Err(error) => found.trouble = Some(error.message),
        Ok(servers) => {
            found.servers = servers;
            found.trouble = client.check_write().err().map(|error| error.message);
        }
    }
    client.report();
    found
}

fn questions(found: &Found) -> GetInputsResult {
    let mut servers: Vec<(&str, &Server)> = found
        .servers
        .iter()
        .filter_map(|server| Some((server.ip()?, server)))
        .collect();
    servers.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    GetInputsResult {
        inputs: vec![token(), server_ips(found, &servers)],
        capabilities: match servers.is_empty() {
            true => [].into(),
            false => [(CLOUD_INFRASTRUCTURE.to_owned(), known(&servers))].into(),
        },
    }
}

fn token() -> InputPrompt {
    InputPrompt {
        name: "api_token".into(),
        prompt: "Where is the Hetzner Cloud API token?".into(),
        kind: InputType::Password,
        help_text: Some(
            "A token with read and write access, made in https://console.hetzner.cloud under Security, API tokens.".into(),
        ),
        required: true,
        ..InputPrompt::default()
    }
}

fn server_ips(found: &Found, servers: &[(&str, &Server)]) -> InputPrompt {
    let trouble = found
        .trouble
        .iter()
        .map(|trouble| format!("{}. ", sentence(trouble)));
    let trouble: String = trouble.collect();
    let hidden = found.servers.len() - servers.len();
    let hidden = match hidden {
        0 => String::new(),
        1 => "One server has no public IPv4 address and is not offered. ".to_owned(),
        count => format!("{count} servers have no public IPv4 address and are not offered. "),
    };
    let how = match servers.is_empty() {
        true => "Separated by commas, such as 203.0.113.10, 203.0.113.11. ",
        false => "",
    };
    InputPrompt {
        name: "server_ips".into(),
        prompt: match servers.is_empty() {
            true => "Public IPv4 addresses of the servers".into(),
            false => "Servers of the cluster".into(),
        },
        kind: InputType::List,
        choices: servers.iter().map(|(ip, _)| (*ip).to_owned()).collect(),
        choice_notes: notes(servers),
        validation: Some(IPV4_PATTERN.into()),
        help_text: Some(format!("{trouble}{hidden}{how}{ERASED}")),
        required: true,
        ..InputPrompt::default()
    }
}

/// Describes the servers in columns.
fn notes(servers: &[(&str, &Server)]) -> Vec<String> {
    let rows: Vec<[String; 4]> = servers
        .iter()
        .map(|(_, server)| {
            let kind = one_line(&server.server_type.name);
            let architecture = server.architecture().unwrap_or("unknown architecture");
            [
                one_line(&server.name),
                format!("{kind} {architecture}"),
                one_line(server.location()),
                server.doing(),
            ]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..3).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|[name, kind, location, doing]| {
            format!(
                "{name:0$}  {kind:1$}  {location:2$}  {doing}",
                widths[0], widths[1], widths[2]
            )
        })
        .collect()
}

/// What other adapters' questions may use of the capability: the servers by address, with their names.
fn known(servers: &[(&str, &Server)]) -> Value {
    let servers: serde_json::Map<String, Value> = servers
        .iter()
        .map(|(ip, server)| {
            let known = json!({
                "id": server.id.to_string(),
                "name": server.name,
                "architecture": server.architecture().unwrap_or_default(),
            });
            ((*ip).to_owned(), known)
        })
        .collect();
    json!({"provider": "hetzner", "servers": servers})
}

/// Makes a fragment a sentence's beginning.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_api::{FakeApi, page, refusal, server};

    fn asked(answers: Vec<String>) -> GetInputsResult {
        let api = FakeApi::start(answers);
        let endpoint = Endpoint::parse(&api.endpoint()).unwrap();
        let call = CallContext::detached();
        let found = ask(endpoint, "s3cr3t", Pacing::hasty(), &call);
        let mut questions = questions(&found);
        for input in &mut questions.inputs {
            input.help_text = input
                .help_text
                .take()
                .map(|help| help.replace(&api.endpoint(), "[API]"));
        }
        questions
    }

    #[test]
    fn the_projects_servers_are_offered_with_what_is_known_of_them() {
        let mut arm = server(2, "worker-long", "203.0.113.2");
        arm["server_type"] = json!({"name": "cax21", "architecture": "arm"});
        arm["labels"] = json!({"env": "test"});
        let mut hidden = server(3, "hidden", "");
        hidden["public_net"]["ipv4"] = Value::Null;
        let first = server(1, "cp01", "203.0.113.1");
        let pages = vec![
            page(&[arm, hidden, first], None),
            refusal(422, "invalid_input"),
        ];
        let result = asked(pages);
        let servers = &result.inputs[1];
        assert_eq!(servers.choices, ["203.0.113.1", "203.0.113.2"]);
        assert_eq!(
            servers.choice_notes,
            [
                "cp01         cpx21 amd64  fsn1  running",
                "worker-long  cax21 arm64  fsn1  running, env=test",
            ]
        );
        assert_eq!(
            servers.help_text.as_deref().unwrap(),
            format!("One server has no public IPv4 address and is not offered. {ERASED}")
        );
        assert_eq!(
            result.capabilities["cloud-infrastructure"]["servers"]["203.0.113.2"],
            json!({"id": "2", "name": "worker-long", "architecture": "arm64"})
        );
    }

    #[test]
    fn without_the_list_addresses_are_typed_and_the_reason_is_said() {
        let check = |result: GetInputsResult, reason: &str| {
            let servers = &result.inputs[1];
            assert!(servers.choices.is_empty() && result.capabilities.is_empty());
            let expected = format!(
                "{reason}Separated by commas, such as 203.0.113.10, 203.0.113.11. {ERASED}"
            );
            assert_eq!(servers.help_text.as_ref(), Some(&expected));
        };
        check(
            inputs(&GetInputsParams::default(), &CallContext::detached()),
            "",
        );
        check(
            asked(vec![refusal(401, "unauthorized")]),
            "Cannot list the servers at `[API]`: the API answered `unauthorized`: because. ",
        );
    }

    #[test]
    fn a_token_that_may_only_read_is_told_while_there_is_time() {
        let pages = vec![
            page(&[server(1, "cp01", "203.0.113.1")], None),
            refusal(403, "token_readonly"),
        ];
        let help = asked(pages).inputs[1].help_text.clone().unwrap();
        let reason = "Cannot change anything in the project at `[API]`: the API answered `token_readonly`: because. ";
        assert_eq!(help, format!("{reason}{ERASED}"));
    }
}

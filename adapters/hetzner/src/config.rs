//! The adapter's section of `platform.yaml`: its type and its schema. Judges no values; `validate` does.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};
use ztc_adapter_sdk::{AdapterError, from_config};

use crate::versions::versions;

/// The section as the adapter reads it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Version of the Hetzner Cloud API.
    #[serde(default, rename = "version")]
    #[schemars(schema_with = "version_schema")]
    _version: Option<String>,
    /// Where the API token is kept; the token itself never stands here.
    #[serde(rename = "api_token")]
    #[schemars(schema_with = "secret_schema")]
    _api_token: Value,
    /// Public IPv4 addresses of the servers.
    #[schemars(schema_with = "server_ips_schema")]
    pub(crate) server_ips: ServerIps,
    /// OpenSSH client configuration for the way to the servers, such as a jump host.
    #[serde(default)]
    #[schemars(schema_with = "ssh_config_schema")]
    pub(crate) ssh_config: Option<String>,
}

/// The servers' addresses: a list, or the same in one comma-separated string.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum ServerIps {
    /// One address per item.
    List(Vec<String>),
    /// `203.0.113.10,203.0.113.11`
    Text(String),
}

impl ServerIps {
    /// Returns each address with the JSON Pointer to where it stands.
    pub(crate) fn entries(&self) -> Vec<(String, &str)> {
        match self {
            Self::List(list) => list
                .iter()
                .enumerate()
                .map(|(index, ip)| (format!("/server_ips/{index}"), ip.as_str()))
                .collect(),
            Self::Text(text) => text
                .split(',')
                .map(|ip| ("/server_ips".to_owned(), ip.trim()))
                .collect(),
        }
    }
}

impl Config {
    /// Reads the section.
    pub(crate) fn read(section: &Map<String, Value>) -> Result<Self, AdapterError> {
        from_config(section)
    }

    /// Returns the OpenSSH client configuration's path, or nothing.
    pub(crate) fn ssh_config(&self) -> &str {
        self.ssh_config.as_deref().unwrap_or_default()
    }
}

/// Returns the schema of the section.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

fn version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": versions().supported, "default": versions().default })
}

fn secret_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-ztc-secret": true,
        "description": "A reference to the API token, such as `{from: env, name: HCLOUD_TOKEN}`; never the token itself.",
        "properties": {
            "from": { "type": "string", "enum": ["env", "file", "command", "store"] },
            "name": { "type": "string", "minLength": 1, "description": "The variable, for `env`; the entry, for `store`." },
            "path": { "type": "string", "minLength": 1, "description": "The file, for `file`." },
            "command": {
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
                "description": "The program and its arguments, for `command`; its output is the token."
            }
        },
        "required": ["from"],
        "additionalProperties": false
    })
}

fn server_ips_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["array", "string"],
        "items": { "type": "string" },
        "minItems": 1,
        "minLength": 1,
        "description": "Public IPv4 addresses of the servers: a list, or one comma-separated string."
    })
}

fn ssh_config_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "x-ztc-file": true,
        "description": "OpenSSH client configuration, relative to the repository, for servers behind a jump host."
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(section: Value) -> Result<Config, AdapterError> {
        Config::read(section.as_object().unwrap())
    }

    #[test]
    fn both_forms_of_the_addresses_are_read() {
        let token = json!({"from": "env", "name": "HCLOUD_TOKEN"});
        let list =
            read(json!({"api_token": token, "server_ips": ["203.0.113.10", "203.0.113.11"]}))
                .unwrap();
        let text =
            read(json!({"api_token": token, "server_ips": "203.0.113.10, 203.0.113.11"})).unwrap();
        let pointers = |ips: &[&'static str], pointers: &[&str]| -> Vec<(String, &'static str)> {
            pointers
                .iter()
                .map(|p| (*p).to_owned())
                .zip(ips.iter().copied())
                .collect()
        };
        let ips = ["203.0.113.10", "203.0.113.11"];
        assert_eq!(
            list.server_ips.entries(),
            pointers(&ips, &["/server_ips/0", "/server_ips/1"])
        );
        assert_eq!(
            text.server_ips.entries(),
            pointers(&ips, &["/server_ips", "/server_ips"])
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error =
            read(json!({"api_token": {}, "server_ips": [], "rescue_mode_confirm": "DESTROY"}))
                .unwrap_err();
        assert!(
            error
                .message
                .starts_with("unknown field `rescue_mode_confirm`"),
            "{error}"
        );
    }

    #[test]
    fn the_schema_is_flat_and_closed() {
        let schema = schema();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(
            properties.keys().collect::<Vec<_>>(),
            ["version", "api_token", "server_ips", "ssh_config"]
        );
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["required"], json!(["api_token", "server_ips"]));
        assert_eq!(properties["version"]["enum"], json!(["v1"]));
        assert_eq!(properties["api_token"]["type"], json!("object"));
        assert_eq!(properties["api_token"]["x-ztc-secret"], json!(true));
        assert_eq!(properties["ssh_config"]["x-ztc-file"], json!(true));
        assert_eq!(properties["server_ips"]["type"], json!(["array", "string"]));
    }
}

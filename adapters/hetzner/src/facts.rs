//! What is known about the servers: the form in which `discover` hands it out, the lock keeps it and `render` reads it back. Nothing that
//! changes by itself belongs here, or the lock would change with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::protocol::manifest::Facts;
use ztc_adapter_sdk::protocol::message::Diagnostic;

use crate::config::Config;

/// The one fact's name.
const SERVERS: &str = "servers";

/// What to type when facts are missing.
const REFRESH: &str = "run `ztc render --refresh`";

/// The servers by IP address.
pub(crate) type ServerFacts = BTreeMap<String, ServerFact>;

/// A server as the API described it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerFact {
    /// The API's id, as text: other providers' ids are no numbers.
    pub(crate) id: String,
    /// Its name in the project.
    pub(crate) name: String,
    /// Such as `cpx21`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `amd64` or `arm64`.
    pub(crate) architecture: String,
    /// Such as `fsn1`; empty: unknown.
    #[serde(default)]
    pub(crate) location: String,
    /// The size of its disk; 0: unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) disk_gb: u64,
    /// Whether it is protected against deletion or rebuild.
    #[serde(default)]
    pub(crate) protected: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the serializer passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ServerFact {
    /// Describes the machine in a few words, for who is about to erase it; empty where the facts are older than this.
    pub(crate) fn machine(&self) -> String {
        match self.disk_gb {
            0 => String::new(),
            size => format!("{} with a disk of {size} GB", self.kind),
        }
    }
}

/// Writes the facts.
pub(crate) fn write(servers: &ServerFacts) -> Result<Facts, AdapterError> {
    let value =
        serde_json::to_value(servers).map_err(|error| AdapterError::internal(error.to_string()))?;
    Ok(Facts::from([(SERVERS.to_owned(), value)]))
}

/// Reads the facts about exactly the servers that the section lists, in its order; servers that are no longer listed are left out.
pub(crate) fn read(
    facts: &Facts,
    config: &Config,
) -> Result<Vec<(String, ServerFact)>, AdapterError> {
    let mut known: ServerFacts = match facts.get(SERVERS) {
        Some(value) => serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?,
        None => ServerFacts::new(),
    };
    let mut servers = Vec::new();
    let mut unknown = Vec::new();
    for (pointer, ip) in config.server_ips.entries() {
        match known.remove_entry(ip) {
            Some(server) => servers.push(server),
            None => unknown.push((pointer, ip)),
        }
    }
    if unknown.is_empty() {
        Ok(servers)
    } else {
        Err(missing(unknown))
    }
}

fn unreadable(error: &serde_json::Error) -> AdapterError {
    let message =
        format!("the facts about the servers in `platform/lock.json` cannot be read: {error}");
    AdapterError::new(ErrorCode::InvalidInputs, message).help(REFRESH)
}

fn missing(unknown: Vec<(String, &str)>) -> AdapterError {
    let ips: Vec<_> = unknown.iter().map(|(_, ip)| format!("`{ip}`")).collect();
    let message = format!("nothing is known yet about {}: {REFRESH}", ips.join(", "));
    let diagnostics = unknown
        .into_iter()
        .map(|(pointer, ip)| Diagnostic {
            pointer,
            message: format!("nothing is known yet about the server with the address `{ip}`"),
            help: Some(REFRESH.into()),
            ..Diagnostic::default()
        })
        .collect();
    AdapterError::new(ErrorCode::InvalidInputs, message)
        .help(REFRESH)
        .diagnostics(diagnostics)
}

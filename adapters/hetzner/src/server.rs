//! A server as the API describes it. What the API may leave out or drop is optional, `datacenter` above all.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::refusal::one_line;

/// How many labels of a server are shown.
const LABELS: usize = 3;

/// A server, as far as it matters here. What the API may leave out or drop is optional.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: u64,
    pub(crate) name: String,
    #[serde(default)]
    public_net: Option<PublicNet>,
    pub(crate) server_type: ServerType,
    #[serde(default)]
    location: Option<Named>,
    #[serde(default)]
    datacenter: Option<Datacenter>,
    #[serde(default)]
    protection: Option<Protection>,
    #[serde(default)]
    primary_disk_size: Option<u64>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    rescue_enabled: Option<bool>,
    #[serde(default)]
    locked: Option<bool>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
struct PublicNet {
    #[serde(default)]
    ipv4: Option<Address>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    ip: String,
}

/// The type of a server.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServerType {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) architecture: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Datacenter {
    #[serde(default)]
    location: Option<Named>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Protection {
    delete: bool,
    rebuild: bool,
}

impl Server {
    /// Returns the public IPv4 address, which a server need not have.
    pub(crate) fn ip(&self) -> Option<&str> {
        Some(self.public_net.as_ref()?.ipv4.as_ref()?.ip.as_str())
    }

    /// Returns where it stands, such as `fsn1`. The API used to say it in the data center, which it is dropping.
    pub(crate) fn location(&self) -> &str {
        let newer = self.location.as_ref();
        let older = || self.datacenter.as_ref()?.location.as_ref();
        newer
            .or_else(older)
            .map_or("", |location| location.name.as_str())
    }

    /// Returns the architecture in the words of images; nothing where the API says something else or nothing.
    pub(crate) fn architecture(&self) -> Option<&'static str> {
        match self.server_type.architecture.as_deref() {
            Some("x86") => Some("amd64"),
            Some("arm") => Some("arm64"),
            _ => None,
        }
    }

    /// Returns the size of its disk; 0: unknown.
    pub(crate) fn disk_gb(&self) -> u64 {
        self.primary_disk_size.unwrap_or_default()
    }

    /// Says what is known of what it does: power, rescue system, protection, labels.
    pub(crate) fn doing(&self) -> String {
        let status = self.status.as_deref().unwrap_or("in an unknown state");
        let mut parts = vec![one_line(status)];
        if self.rescue_enabled == Some(true) {
            parts.push("boots its rescue system next".to_owned());
        }
        if self.locked == Some(true) {
            parts.push("locked".to_owned());
        }
        if self.is_protected() {
            parts.push("protected".to_owned());
        }
        let labels = self.labels.iter().flatten().take(LABELS);
        parts.extend(labels.map(|(key, value)| match value.as_str() {
            "" => one_line(key),
            value => one_line(&format!("{key}={value}")),
        }));
        parts.join(", ")
    }

    /// Whether the operator has protected it against deletion or rebuild.
    pub(crate) fn is_protected(&self) -> bool {
        self.protection
            .is_some_and(|protection| protection.delete || protection.rebuild)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_may_lack_address_data_center_and_protection() {
        let bare: Server = serde_json::from_value(json!({
            "id": 7, "name": "bare", "public_net": {"ipv4": null}, "server_type": {"name": "cax11", "architecture": "arm"},
        }))
        .unwrap();
        assert_eq!(
            (bare.ip(), bare.location(), bare.is_protected()),
            (None, "", false)
        );
        let older: Server = serde_json::from_value(json!({
            "id": 8, "name": "older", "public_net": {"ipv4": {"ip": "203.0.113.8"}}, "server_type": {"name": "cx22"},
            "datacenter": {"name": "fsn1-dc8", "location": {"name": "fsn1"}}, "protection": {"delete": false, "rebuild": true},
        }))
        .unwrap();
        assert_eq!(
            (older.ip(), older.location(), older.is_protected()),
            (Some("203.0.113.8"), "fsn1", true)
        );
    }

    #[test]
    fn what_a_server_does_is_said_in_a_few_words() {
        let check = |server: serde_json::Value, expected: &str| {
            let mut value = json!({"id": 7, "name": "x", "server_type": {"name": "cax11"}});
            value
                .as_object_mut()
                .unwrap()
                .extend(server.as_object().unwrap().clone());
            let server: Server = serde_json::from_value(value).unwrap();
            assert_eq!(server.doing(), expected);
        };
        check(json!({}), "in an unknown state");
        check(
            json!({"status": "running", "labels": {"env": "prod", "web": ""}}),
            "running, env=prod, web",
        );
        check(
            json!({"status": "off", "rescue_enabled": true, "locked": true, "protection": {"delete": true}}),
            "off, boots its rescue system next, locked, protected",
        );
    }
}

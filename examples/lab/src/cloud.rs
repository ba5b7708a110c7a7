//! The cloud project: its servers, those that are not ours among them, SSH keys, actions that take time, and the request budget. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use crate::node::Node;
use crate::timing::Millis;

/// Requests that a project may make at once, and what it gets back in an hour.
const BUDGET: u64 = 3600;

/// A server of the project.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its id.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// Its address; `None`: it has no IPv4 address.
    pub(crate) ip: Option<String>,
    /// The machine behind it; `None`: it is not ours, and nobody may touch it.
    pub(crate) node: Option<usize>,
}

/// A key that may be given to rescue systems.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SshKey {
    /// Its id.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// Stands for the real fingerprint.
    pub(crate) fingerprint: String,
    /// In OpenSSH's form.
    pub(crate) public_key: String,
    /// Labels.
    pub(crate) labels: Value,
    /// RFC 3339.
    pub(crate) created: String,
}

/// What happens at the end of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The power is cut.
    PowerOff,
    /// The power comes on.
    PowerOn,
    /// The power goes off and on.
    Reset,
    /// The next boot goes into rescue, for these keys.
    EnableRescue(Vec<String>),
    /// The next boot goes to the disk.
    DisableRescue,
}

impl Effect {
    /// The action's name in answers.
    pub(crate) fn command(&self, path: &str) -> String {
        match self {
            Self::PowerOff if path == "shutdown" => "shutdown_server".into(),
            Self::PowerOff => "stop_server".into(),
            Self::PowerOn => "start_server".into(),
            Self::Reset if path == "reboot" => "reboot_server".into(),
            Self::Reset => "reset_server".into(),
            Self::EnableRescue(_) => "enable_rescue".into(),
            Self::DisableRescue => "disable_rescue".into(),
        }
    }
}

/// Something that takes time.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// Its id.
    pub(crate) id: u64,
    /// Its name in answers.
    pub(crate) command: String,
    /// The server that it is about.
    pub(crate) server: u64,
    /// When it began.
    pub(crate) from: Millis,
    /// When it ends.
    pub(crate) until: Millis,
    /// What happens then; `None`: it has happened.
    pub(crate) effect: Option<Effect>,
    /// When it began, RFC 3339.
    pub(crate) started: String,
    /// When it ended, RFC 3339.
    pub(crate) finished: Option<String>,
}

impl Action {
    /// The action as the API shows it.
    pub(crate) fn to_json(&self, now: Millis) -> Value {
        let running = self.effect.is_some();
        let passed = now.saturating_sub(self.from) * 100 / (self.until - self.from).max(1);
        json!({
            "id": self.id,
            "command": self.command,
            "status": if running { "running" } else { "success" },
            "progress": if running { passed.min(99) } else { 100 },
            "started": self.started,
            "finished": self.finished,
            "resources": [{"id": self.server, "type": "server"}],
            "error": null,
        })
    }
}

/// The requests that are left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: f64,
    at: Millis,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: BUDGET as f64,
            at: 0,
        }
    }
}

impl Budget {
    /// Takes one request out; `false`: none is left. One comes back every second.
    pub(crate) fn spend(&mut self, now: Millis) -> bool {
        self.left = (self.left + (now - self.at) as f64 / 1000.0).min(BUDGET as f64);
        self.at = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }

    /// What the headers say: the limit, what is left, and the seconds until it is whole again.
    pub(crate) fn headers(&self) -> (u64, u64, u64) {
        let left = self.left as u64;
        (BUDGET, left, BUDGET - left)
    }
}

impl Server {
    /// The server as the API shows it. `locked`: an action runs on it.
    pub(crate) fn to_json(&self, node: Option<&Node>, locked: bool, protected: bool) -> Value {
        let arm = node.is_some_and(|node| node.architecture == "arm64");
        let ipv4 = self.ip.as_ref().map(|ip| json!({"id": self.id + 1, "ip": ip, "blocked": false, "dns_ptr": format!("{ip}.example.com")}));
        json!({
            "id": self.id,
            "name": self.name,
            "status": node.map_or("running", Node::status),
            "created": "2026-01-15T08:00:00+00:00",
            "public_net": {
                "ipv4": ipv4,
                "ipv6": {"id": self.id + 2, "ip": format!("2001:db8:{:x}::/64", self.id % 65536), "blocked": false, "dns_ptr": []},
                "floating_ips": [],
                "firewalls": [],
            },
            "private_net": [],
            "server_type": {
                "id": if arm { 93 } else { 22 },
                "name": if arm { "cax21" } else { "cpx31" },
                "description": if arm { "CAX21" } else { "CPX 31" },
                "architecture": if arm { "arm" } else { "x86" },
                "cores": 4,
                "memory": 8.0,
                "disk": 160,
                "storage_type": "local",
                "cpu_type": "shared",
                "category": "regular",
                "deprecated": false,
                "deprecation": null,
                "locations": [{"id": 1, "name": "fsn1", "available": true, "recommended": true, "deprecation": null}],
                "prices": [],
            },
            "location": {"id": 1, "name": "fsn1", "description": "Falkenstein DC Park 1", "country": "DE", "city": "Falkenstein", "latitude": 50.47612, "longitude": 12.370071, "network_zone": "eu-central"},
            "image": null,
            "iso": null,
            "rescue_enabled": node.is_some_and(|node| node.rescue.is_some()),
            "locked": locked,
            "protection": {"delete": protected, "rebuild": protected},
            "labels": if node.is_some() { json!({"cluster": "lab"}) } else { json!({"team": "somebody-else"}) },
            "volumes": [],
            "load_balancers": [],
            "primary_disk_size": 160,
            "included_traffic": 21_990_232_555_520_u64,
            "ingoing_traffic": 0,
            "outgoing_traffic": 0,
            "backup_window": null,
            "placement_group": null,
        })
    }
}

/// Servers that are not ours.
pub(crate) fn strangers(count: u64) -> Vec<Server> {
    (0..count)
        .map(|number| Server {
            id: 31_000_000 + number * 7919,
            name: format!("shop-{:02}", number + 1),
            // One in ten has no IPv4 address, as servers may.
            ip: (number % 10 != 9).then(|| format!("198.51.100.{}", number % 250 + 1)),
            node: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_ends_and_comes_back() {
        let mut budget = Budget::default();
        assert!((0..BUDGET).all(|_| budget.spend(0)));
        assert_eq!(
            (budget.spend(0), budget.headers()),
            (false, (3600, 0, 3600))
        );
        assert_eq!(
            (budget.spend(2000), budget.headers()),
            (true, (3600, 1, 3599))
        );
    }

    #[test]
    fn a_server_has_what_clients_read_and_not_what_was_removed() {
        let node = Node::new("cp01".into(), "127.42.0.11".into(), 7, "disk".into());
        let server = Server {
            id: 7,
            name: "cp01".into(),
            ip: Some(node.ip.clone()),
            node: Some(0),
        };
        let value = server.to_json(Some(&node), true, false);
        assert_eq!(
            value.pointer("/public_net/ipv4/ip"),
            Some(&json!("127.42.0.11"))
        );
        assert_eq!(
            (&value["locked"], &value["server_type"]["architecture"]),
            (&json!(true), &json!("x86"))
        );
        assert_eq!(value.get("datacenter"), None);
        assert_eq!(
            strangers(10)[9]
                .to_json(None, false, false)
                .pointer("/public_net/ipv4"),
            Some(&Value::Null)
        );
    }
}

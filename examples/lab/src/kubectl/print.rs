//! How `kubectl` prints objects and rollouts, and how it reads selectors and durations.

use std::time::Duration;

use serde_json::{Value, json};

use crate::machine_config::string;
use crate::{objects, say};

/// Prints objects. `single`: one object was asked for by name, so it is no list.
pub(super) fn objects(
    mut found: Vec<Value>,
    single: bool,
    output: Option<&str>,
) -> Result<(), String> {
    match output {
        Some("json") => {
            let value = if single && found.len() == 1 {
                found.remove(0)
            } else {
                json!({"apiVersion": "v1", "items": found, "kind": "List", "metadata": {"resourceVersion": ""}})
            };
            say::line(format_args!("{value:#}"));
        }
        Some("name") => {
            for item in &found {
                let resource = objects::resource(&string(item, "/kind"));
                let (plural, group) = resource
                    .split_once('.')
                    .map_or((resource, String::new()), |(plural, group)| {
                        (plural, format!(".{group}"))
                    });
                let singular = plural
                    .strip_suffix("es")
                    .filter(|stem| stem.ends_with("class"))
                    .or_else(|| plural.strip_suffix('s'))
                    .unwrap_or(plural);
                say::line(format_args!(
                    "{singular}{group}/{}",
                    string(item, "/metadata/name")
                ));
            }
        }
        None | Some("wide") => table(&found),
        Some(other) => {
            return Err(format!(
                "error: the lab's stand-in prints `-o json` and `-o name`, not `-o {other}`"
            ));
        }
    }
    Ok(())
}

fn table(found: &[Value]) {
    if found.is_empty() {
        say::error("No resources found");
        return;
    }
    let rows: Vec<[String; 3]> = found
        .iter()
        .map(|item| {
            let version = string(item, "/status/nodeInfo/kubeletVersion");
            [string(item, "/metadata/name"), status(item), version]
        })
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].len())
            .max()
            .unwrap_or(0)
            .max(6)
    };
    let (name, status) = (width(0), width(1));
    let last = if rows.iter().any(|row| !row[2].is_empty()) {
        "VERSION"
    } else {
        ""
    };
    say::line(
        format_args!("{:name$}   {:status$}   {last}", "NAME", "STATUS")
            .to_string()
            .trim_end(),
    );
    for row in &rows {
        say::line(format!("{:name$}   {:status$}   {}", row[0], row[1], row[2]).trim_end());
    }
}

fn status(item: &Value) -> String {
    let condition = |kind: &str| {
        let list = item.pointer("/status/conditions").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .find(|condition| condition["type"] == kind)
            .map(|condition| string(condition, "/status"))
    };
    match string(item, "/kind").as_str() {
        "Node" if condition("Ready").as_deref() == Some("True") => "Ready".into(),
        "Node" => "NotReady".into(),
        "Pod" => string(item, "/status/phase"),
        "GatewayClass" => condition("Accepted").unwrap_or_default(),
        "CustomResourceDefinition" => "Established".into(),
        _ => {
            let (_, done, wanted) = progress(item);
            format!("{done}/{wanted}")
        }
    }
}

/// Pods that are available and that are wanted; and whether it is a daemon set.
fn progress(item: &Value) -> (bool, u64, u64) {
    let number = |pointer: &str| {
        item.pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    if item["kind"] == "DaemonSet" {
        (
            true,
            number("/status/numberAvailable"),
            number("/status/desiredNumberScheduled"),
        )
    } else {
        (
            false,
            number("/status/availableReplicas"),
            number("/spec/replicas"),
        )
    }
}

/// Whether a rollout is complete, and what is said about it.
pub(super) fn rollout(item: &Value) -> (bool, String) {
    let name = string(item, "/metadata/name");
    let (daemon, done, wanted) = progress(item);
    match (daemon, done >= wanted && wanted > 0) {
        (true, true) => (
            true,
            format!("daemon set \"{name}\" successfully rolled out"),
        ),
        (false, true) => (
            true,
            format!("deployment \"{name}\" successfully rolled out"),
        ),
        (true, false) => (
            false,
            format!(
                "Waiting for daemon set \"{name}\" rollout to finish: {done} of {wanted} updated pods are available..."
            ),
        ),
        (false, false) => (
            false,
            format!(
                "Waiting for deployment \"{name}\" rollout to finish: {done} of {wanted} updated replicas are available..."
            ),
        ),
    }
}

/// Whether an object has the labels of a selector such as `a=b,c=d`.
pub(super) fn matches(item: &Value, selector: &str) -> bool {
    selector.split(',').all(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let label = item
            .get("metadata")
            .and_then(|metadata| metadata.get("labels"))
            .and_then(|labels| labels.get(key));
        label.and_then(Value::as_str) == Some(value.trim_start_matches('='))
    })
}

/// Reads `90s`, `5m` or `1m30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || {
        format!(
            "error: invalid argument \"{text}\" for \"--timeout\" flag: time: invalid duration \"{text}\""
        )
    };
    let (mut total, mut digits) = (0, String::new());
    for letter in text.chars() {
        let factor = match letter {
            '0'..='9' => {
                digits.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(invalid()),
        };
        total += digits.parse::<u64>().map_err(|_| invalid())? * factor;
        digits.clear();
    }
    if digits.is_empty() || digits == "0" {
        Ok(Duration::from_secs(total))
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_selectors_are_read() {
        assert_eq!(
            ["90s", "1m30s", "0", "5m"].map(|text| duration(text).unwrap().as_secs()),
            [90, 90, 0, 300]
        );
        assert!(duration("90").is_err() && duration("soon").is_err());
        let pod = json!({"metadata": {"labels": {"k8s-app": "cilium", "a": "b"}}});
        assert_eq!(
            ["k8s-app=cilium", "k8s-app==cilium,a=b", "a=c", "x=y"]
                .map(|selector| matches(&pod, selector)),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_rollout_of_nothing_is_not_complete() {
        let set = |wanted: u64, done: u64| json!({"kind": "DaemonSet", "metadata": {"name": "cilium"}, "status": {"desiredNumberScheduled": wanted, "numberAvailable": done}});
        assert_eq!(
            [(0, 0), (3, 2), (3, 3)].map(|(wanted, done)| rollout(&set(wanted, done)).0),
            [false, false, true]
        );
        assert_eq!(
            rollout(&set(3, 3)).1,
            "daemon set \"cilium\" successfully rolled out"
        );
    }
}

//! Objects that `kubectl apply` brings into the simulated cluster: what the real tool says about them and about differences. They are kept as
//! they are; a deployment is available as soon as a node is, and nothing of it runs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::machine_config::string;
use crate::wire::Reply;

/// The namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// What was applied, by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects(BTreeMap<Key, Value>);

type Key = (String, String, String);

impl Objects {
    /// Takes objects. `file` is where they come from, as errors name it.
    pub(crate) fn apply(&mut self, objects: &[Value], file: &str) -> Reply {
        let mut reply = Reply::default();
        for object in each(objects) {
            let key = key(object);
            let (_, namespace, _) = &key;
            if !namespace.is_empty() && !self.has_namespace(namespace) {
                let _ = writeln!(
                    reply.stderr,
                    "Error from server (NotFound): error when creating \"{file}\": namespaces \"{namespace}\" not found"
                );
                reply.code = 1;
                continue;
            }
            let word = match self.0.insert(key, object.clone()) {
                None => "created",
                Some(old) if old == *object => "unchanged",
                Some(_) => "configured",
            };
            let _ = writeln!(reply.stdout, "{} {word}", title(object));
        }
        reply.stdout.truncate(reply.stdout.trim_end().len());
        reply.stderr.truncate(reply.stderr.trim_end().len());
        reply
    }

    /// Says what applying would change; code 1 where it would.
    pub(crate) fn diff(&self, objects: &[Value]) -> Reply {
        let mut reply = Reply::default();
        for object in each(objects) {
            let old = self.0.get(&key(object));
            if old == Some(object) {
                continue;
            }
            let name = title(object);
            let _ = writeln!(reply.stdout, "--- LIVE/{name}\n+++ MERGED/{name}");
            for (sign, value) in [('-', old), ('+', Some(object))] {
                let text = value.map(|value| format!("{value:#}")).unwrap_or_default();
                for line in text.lines() {
                    let _ = writeln!(reply.stdout, "{sign}{line}");
                }
            }
            reply.code = 1;
        }
        reply
    }

    /// Returns the objects of a kind in a namespace, or in all where it is empty. `at` is when the cluster began.
    pub(crate) fn list(&self, kind: &str, namespace: &str, is_ready: bool, at: &str) -> Vec<Value> {
        let mut found = Vec::new();
        if kind == "Namespace" {
            let built_in = NAMESPACES.map(|name| {
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "creationTimestamp": at}})
            });
            found.extend(built_in);
        }
        let fits = |key: &&Key| {
            key.0 == kind && (namespace.is_empty() || key.1.is_empty() || key.1 == namespace)
        };
        for (_, object) in self.0.iter().filter(|(key, _)| fits(key)) {
            let mut object = object.clone();
            if kind == "Deployment" {
                let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
                let ready = if is_ready { wanted } else { 0 };
                object["status"] = json!({"observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready});
                object["metadata"]["generation"] = 1.into();
            }
            if kind == "Namespace" {
                object["status"] = json!({"phase": "Active"});
            }
            found.push(object);
        }
        found
    }

    fn has_namespace(&self, name: &str) -> bool {
        let key = ("Namespace".to_owned(), String::new(), name.to_owned());
        NAMESPACES.contains(&name) || self.0.contains_key(&key)
    }
}

/// The objects, with those of lists.
fn each(objects: &[Value]) -> Vec<&Value> {
    let mut all = Vec::new();
    for object in objects.iter().filter(|object| !object.is_null()) {
        match object["items"].as_array() {
            Some(items) => all.extend(items),
            None => all.push(object),
        }
    }
    all
}

fn key(object: &Value) -> Key {
    (
        string(object, "/kind"),
        string(object, "/metadata/namespace"),
        string(object, "/metadata/name"),
    )
}

/// An object as the tool names it: `deployment.apps/web`.
fn title(object: &Value) -> String {
    let version = string(object, "/apiVersion");
    let group = match version.split_once('/') {
        Some((group, _)) => format!(".{group}"),
        None => String::new(),
    };
    let (kind, _, name) = key(object);
    format!("{}{group}/{name}", kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_is_there_and_differences_are_shown() {
        let namespace = |level: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"level": level}}});
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}, "spec": {"replicas": 2}});
        let list = |objects: &[&Value]| vec![json!({"kind": "List", "items": objects})];
        let mut applied = Objects::default();
        let early = applied.apply(std::slice::from_ref(&web), "x.yaml");
        assert_eq!(
            early,
            Reply::failed(
                "Error from server (NotFound): error when creating \"x.yaml\": namespaces \"a\" not found"
            )
        );
        let both = list(&[&namespace("low"), &web]);
        assert_eq!(applied.diff(&both).code, 1);
        assert_eq!(
            applied.apply(&both, "x.yaml"),
            Reply::said("namespace/a created\ndeployment.apps/web created")
        );
        assert_eq!(applied.diff(&both), Reply::default());
        assert_eq!(
            applied.apply(&list(&[&namespace("high"), &web]), "x.yaml"),
            Reply::said("namespace/a configured\ndeployment.apps/web unchanged")
        );
        let changed = applied.diff(&both);
        assert_eq!(changed.code, 1);
        assert!(
            changed.stdout.starts_with("--- LIVE/namespace/a\n"),
            "{changed:?}"
        );
        let available = |ready: bool| {
            let found = applied.list("Deployment", "a", ready, "now");
            found[0]["status"]["availableReplicas"].clone()
        };
        assert_eq!((available(false), available(true)), (0.into(), 2.into()));
        assert_eq!(applied.list("Namespace", "", true, "now").len(), 5);
    }
}

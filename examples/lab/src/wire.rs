//! What the stand-ins for `talosctl` and `kubectl` ask the world, and what they get back. Types only.

use serde::{Deserialize, Serialize};

/// What a program prints and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// For standard output.
    pub(crate) stdout: String,
    /// For standard error.
    pub(crate) stderr: String,
    /// The exit code.
    pub(crate) code: u8,
}

impl Reply {
    /// Success, with something to print.
    pub(crate) fn said(stdout: impl Into<String>) -> Self {
        Self {
            stdout: stdout.into(),
            ..Self::default()
        }
    }

    /// Failure, with a reason.
    pub(crate) fn failed(stderr: impl Into<String>) -> Self {
        Self {
            stdout: String::new(),
            stderr: stderr.into(),
            code: 1,
        }
    }
}

/// A call of `talosctl` to one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TalosCall {
    /// The node's address.
    pub(crate) node: String,
    /// Whether the client shows no certificate.
    pub(crate) insecure: bool,
    /// The client's certificate and its authority, from the talosconfig.
    pub(crate) credentials: Option<Credentials>,
    /// What is asked.
    pub(crate) verb: TalosVerb,
}

/// A context of a talosconfig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The authority's certificate.
    pub(crate) ca: String,
    /// The client's certificate.
    pub(crate) crt: String,
    /// The client's key.
    pub(crate) key: String,
}

/// What `talosctl` can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TalosVerb {
    /// `version`.
    Version,
    /// `apply-config`, with the file's text.
    Apply(String),
    /// `bootstrap`.
    Bootstrap,
    /// `kubeconfig`.
    Kubeconfig,
    /// `get disks`.
    Disks,
    /// `get machinestatus`.
    Stage,
    /// `get machinetype`.
    Role,
    /// `get kubeletspec`: the image of the kubelet.
    Kubelet,
    /// `service etcd`.
    Etcd,
    /// `list /var/lib/etcd`.
    EtcdFiles,
}

/// A call of `kubectl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubeCall {
    /// The server of the kubeconfig.
    pub(crate) server: String,
    /// Its authority's certificate.
    pub(crate) ca: String,
    /// What is asked.
    pub(crate) verb: KubeVerb,
}

/// What `kubectl` can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KubeVerb {
    /// `get --raw /readyz`.
    Ready,
    /// `get KIND...`: all objects of these kinds, as JSON.
    Get {
        /// Kinds as the user wrote them.
        kinds: Vec<String>,
        /// The namespace; empty: every one.
        namespace: String,
    },
    /// `rollout restart deployment/cilium-operator`.
    RestartOperator,
    /// `apply`: the objects of a file, which errors name.
    Apply {
        /// All documents of the file.
        objects: Vec<serde_json::Value>,
        /// The file, as the user wrote it.
        file: String,
    },
    /// `diff`: what `apply` would change.
    Diff {
        /// All documents of the file.
        objects: Vec<serde_json::Value>,
    },
}

/// What a tool of a rescue system tells the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RescueEvent {
    /// The disk was wiped.
    Discarded,
    /// The disk is about to be written.
    Writing,
    /// The disk was written.
    Written,
    /// `reboot`.
    Reboot,
    /// `poweroff`.
    PowerOff,
    /// Something that must not happen.
    Violation(String),
}

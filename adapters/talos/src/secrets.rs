//! The secrets of a cluster: making them, checking them. Everything stays in memory; no message holds a value.

mod check;
mod generate;
mod pem;
mod x509;

pub(crate) use check::{check, check_admin};
pub(crate) use generate::{generate, generate_admin};

/// The bundle with the cluster's secrets.
pub(crate) const TALOS: &str = "talos";
/// The bundle with the operator's certificate.
pub(crate) const ADMIN: &str = "talos-admin";

/// The authorities of a bundle: key below `certs`, and the organization in their certificate (empty: no subject at all).
const AUTHORITIES: [(&str, &str); 4] = [
    ("etcd", "etcd"),
    ("k8s", "kubernetes"),
    ("k8saggregator", ""),
    ("os", "talos"),
];

/// The authority of the Talos API, which alone uses Ed25519.
const OS: &str = "os";

const ED25519_LABEL: &str = "ED25519 PRIVATE KEY";
const EC_LABEL: &str = "EC PRIVATE KEY";
const RSA_LABEL: &str = "RSA PRIVATE KEY";
const CERTIFICATE_LABEL: &str = "CERTIFICATE";

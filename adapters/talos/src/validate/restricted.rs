//! What a worker may not say about itself: Kubernetes (`NodeRestriction`) lets the kubelet's own credentials, which Talos uses on workers,
//! set no other labels of Kubernetes' own domains, and no taints after the node has registered.

/// Labels that a kubelet may set though their domains are Kubernetes' own: `kubeletLabels` of Kubernetes' package `k8s.io/kubelet/pkg/apis`.
const OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
];

/// Says whether Kubernetes refuses a label from a worker.
pub(super) fn is_restricted(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else {
        return false;
    };
    let within = |parent: &str| {
        domain
            .strip_suffix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let kubelets = within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    (within("kubernetes.io") || within("k8s.io")) && !kubelets && !OWN.contains(&label)
}

#[cfg(test)]
mod tests {
    use super::is_restricted;

    #[test]
    fn labels_of_kubernetes_are_restricted_with_exceptions() {
        for (label, expected) in [
            ("rack", false),
            ("example.com/rack", false),
            ("topology.kubernetes.io/zone", false),
            ("node.kubernetes.io/role", false),
            ("a.kubelet.kubernetes.io/b", false),
            ("notkubernetes.io/a", false),
            ("node-role.kubernetes.io/worker", true),
            ("node-restriction.kubernetes.io/a", true),
            ("kubernetes.io/role", true),
            ("a.k8s.io/b", true),
        ] {
            assert_eq!(is_restricted(label), expected, "{label}");
        }
    }
}

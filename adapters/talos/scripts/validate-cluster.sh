#!/usr/bin/env bash
# Checks that every node is in the cluster, ready, and runs the Kubernetes version of platform.yaml.
# Needs: kubectl, jq. Context: kubeconfig, kubernetes_version, nodes.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

# Prints what is not as it should be, one line a node.
complaints() {
    local name line ready version
    for name in "${CTX_NODES[@]}"; do
        line=$(jq -r --arg name "$name" '.items[] | select(.metadata.name == $name)
            | ([.status.conditions[]? | select(.type == "Ready") | .status] | first // "Unknown") + " " + .status.nodeInfo.kubeletVersion' <<<"$output")
        read -r ready version <<<"$line" || true
        if [[ -z $line ]]; then
            say "$name is not in the cluster"
        elif [[ $ready != True ]]; then
            say "$name is not ready"
        elif [[ $version != "$CTX_KUBERNETES_VERSION" ]]; then
            say "$name runs Kubernetes $version instead of $CTX_KUBERNETES_VERSION"
        fi
    done
}

end=$((SECONDS + CTX_READY_SECONDS))
attempt=0
say "waiting up to $CTX_READY_SECONDS s for ${#CTX_NODES[@]} nodes to be ready"
while true; do
    if try kubectl --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" get nodes -o json; then
        wrong=$(complaints)
    else
        wrong="the Kubernetes API does not answer: $last_error"
    fi
    if [[ -z $wrong ]]; then
        break
    fi
    if ((SECONDS >= end)); then
        say "$wrong"
        fail "after $CTX_READY_SECONDS s: ${wrong//$'\n'/; }"
    fi
    pause $((attempt++))
done
say "${#CTX_NODES[@]} nodes are ready with Kubernetes $CTX_KUBERNETES_VERSION"

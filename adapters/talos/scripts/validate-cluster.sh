#!/usr/bin/env bash
# Checks that every node is in the cluster, ready, and runs the versions of Kubernetes and Talos of platform.yaml.
# Needs: kubectl, jq. Context: kubeconfig, kubernetes_version, talos_version, nodes, installers.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

# Prints what is not as it should be, one line a node. One look at the list of nodes, however many there are.
complaints() {
    jq -rn --arg version "$CTX_KUBERNETES_VERSION" '
        input.nodes as $names
        | (input.items | map({
            key: .metadata.name,
            value: {
                ready: ([.status.conditions[]? | select(.type == "Ready") | .status] | first // "Unknown"),
                version: .status.nodeInfo.kubeletVersion,
            },
        }) | from_entries) as $live
        | $names[] as $name
        | $live[$name] as $node
        | if $node == null then "\($name) is not in the cluster"
          elif $node.ready != "True" then "\($name) is not ready"
          elif $node.version != $version then "\($name) runs Kubernetes \($node.version) instead of \($version)"
          else empty end' "$ZTC_CONTEXT_FILE" /dev/stdin <<<"$output"
}

# Prints the nodes that run another version of Talos, each with the command that upgrades it. A system that calls itself otherwise is not judged.
other_systems() {
    jq -rn --arg version "$CTX_TALOS_VERSION" --arg config "secrets/$ZTC_ENVIRONMENT/talosconfig" '
        input as $context
        | (input.items | map({key: .metadata.name, value: .status.nodeInfo.osImage}) | from_entries) as $live
        | $context.nodes[] as $name
        | ($live[$name] // "" | capture("^Talos \\((?<version>v[0-9][^ )]*)\\)$").version) as $runs
        | select($runs != $version)
        | $context.installers[$name] as $node
        | "\($name) runs Talos \($runs): talosctl upgrade -n \($node.ip) -e \($node.ip) --talosconfig \($config) --image \($node.image)"
    ' "$ZTC_CONTEXT_FILE" /dev/stdin <<<"$output"
}

# The first lines are enough to see what is wrong.
shortened() {
    local lines
    mapfile -t lines <<<"$1"
    printf '%s' "${lines[0]}"
    ((${#lines[@]} < 2)) || printf '; %s' "${lines[@]:1:9}"
    ((${#lines[@]} <= 10)) || printf ' and %d more' $((${#lines[@]} - 10))
}

end=$((SECONDS + CTX_READY_SECONDS))
attempt=0
say "waiting up to $CTX_READY_SECONDS s for ${#CTX_NODES[@]} nodes to be ready"
while true; do
    if try kubectl --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" get nodes -o json; then
        # Where the list cannot be read there is no verdict, so that is a complaint too.
        wrong=$(complaints 2>&1) || wrong="the list of nodes cannot be read: $wrong"
    else
        wrong="the Kubernetes API does not answer: $last_error"
    fi
    if [[ -z $wrong ]]; then
        break
    fi
    if ((SECONDS >= end)); then
        say "$wrong"
        fail "after $CTX_READY_SECONDS s: $(shortened "$wrong")"
    fi
    last_error=$(shortened "$wrong")
    not_yet
    pause $((attempt++))
done
# Waiting does not change this one: a bootstrap writes Talos to a disk once, and upgrades are somebody's decision.
others=$(other_systems 2>&1) || fail "the list of nodes cannot be read: $others"
if [[ -n $others ]]; then
    say "$others"
    fail "platform.yaml says Talos $CTX_TALOS_VERSION, and a bootstrap upgrades no running node. Upgrade one after the other (ztc secrets talosconfig writes what talosctl needs), then ztc bootstrap; or put the version back: $(shortened "$others")"
fi
say "${#CTX_NODES[@]} nodes are ready with Kubernetes $CTX_KUBERNETES_VERSION on Talos $CTX_TALOS_VERSION"

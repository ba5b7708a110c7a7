#!/usr/bin/env bash
# Waits until Cilium runs: an operator, the agent and the proxy on every node, and every node ready for pods.
# Needs: kubectl, jq; the kubeconfig. Changes nothing.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

# ztc: common.sh

operator_available() {
  fetch deployment cilium-operator -n kube-system || return 1
  satisfied 'if (.status.availableReplicas // 0) < 1 then "no operator is available" else empty end'
}

nodes_ready() {
  fetch nodes || return 1
  # shellcheck disable=SC2016 # the variables are jq's
  satisfied '[.items[] | .metadata.name as $node
    | ((.status.conditions // []) | map(select(.type == "Ready")) | .[0] // {}) as $ready
    | select($ready.status != "True") | "node \($node) is not ready: \($ready.message // "it has not reported yet")"]
    | .[0] // empty'
}

# The operator comes first: agents wait for the definitions that it installs.
cilium_runs() {
  local name
  operator_available || return 1
  for name in "${CTX_DAEMON_SETS[@]}"; do
    daemonset_ready "$name" || return 1
  done
  nodes_ready
}

if ! wait_until "Cilium on every node" cilium_runs; then
  trouble=""
  for label in io.cilium/app=operator k8s-app=cilium k8s-app=cilium-envoy; do
    found=$(pod_trouble "$label")
    trouble=${trouble:-$found}
  done
  if [[ -n "$trouble" ]]; then
    reason="$reason; $trouble"
  fi
  give_up "Cilium" "$(cause_of "$trouble $reason")"
fi

fetch deployment cilium-operator -n kube-system
available=$(jq -r '.status.availableReplicas // 0' <<<"$answer")
if ((available < CTX_OPERATOR_REPLICAS)); then
  echo "note: $available of $CTX_OPERATOR_REPLICAS operators are available, which is enough; each needs a node of its own," \
    "so set operator_replicas to the number of nodes where it is larger"
fi

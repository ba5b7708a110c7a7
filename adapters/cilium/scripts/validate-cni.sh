#!/usr/bin/env bash
# Checks the pod network: the agent runs on every node, no node lacks its network, and the DNS pods have addresses and are ready.
# Needs: kubectl, jq; the kubeconfig. Changes nothing.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

# ztc: common.sh

nodes_connected() {
  fetch nodes || return 1
  # shellcheck disable=SC2016 # the variables are jq's
  satisfied 'if (.items | length) == 0 then "the cluster has no node" else
    [.items[] | .metadata.name as $node | (.status.conditions // [])[]
      | select(.type == "NetworkUnavailable" and .status == "True")
      | "node \($node) has no network: \(.message // .reason // "no reason given")"] | .[0] // empty end'
}

# DNS pods are the first that need an address from the pod network.
dns_connected() {
  fetch pods -n kube-system -l k8s-app=kube-dns || return 1
  # shellcheck disable=SC2016 # the variables are jq's
  satisfied '[.items[] | select(.metadata.deletionTimestamp == null)]
    | if length == 0 then "there are no DNS pods (label k8s-app=kube-dns)" else
      [.[] | .metadata.name as $pod
        | if (.status.podIP // "") == "" then "pod \($pod) has no address"
          elif .status.podIP == (.status.hostIP // "") then "pod \($pod) has the address of its node"
          elif ([(.status.conditions // [])[] | select(.type == "Ready" and .status == "True")] | length) == 0
          then "pod \($pod) is not ready"
          else empty end] | .[0] // empty end'
}

pods_connected() {
  daemonset_ready cilium && nodes_connected && dns_connected
}

# Says which nodes run a Kubernetes that this Cilium was not tested with.
untested_kubelets() {
  fetch nodes || return 0
  # shellcheck disable=SC2016,SC2153 # the variables inside are jq's; the two outside come from the context
  jq -r --arg minimum "$CTX_KUBERNETES_MINIMUM" --arg maximum "$CTX_KUBERNETES_MAXIMUM" '
    def minor: ltrimstr("v") | split(".") | .[1] // "0" | tonumber;
    [.items[].status.nodeInfo.kubeletVersion // empty
      | select(minor < ($minimum | minor) or minor > ($maximum | minor))]
    | unique | join(", ")' <<<"$answer"
}

if ! wait_until "the pod network" pods_connected; then
  trouble=$(pod_trouble k8s-app=cilium)
  trouble=${trouble:-$(pod_trouble k8s-app=kube-dns)}
  if [[ -n "$trouble" ]]; then
    reason="$reason; $trouble"
  fi
  case "$trouble $reason" in
    *"no DNS pods"*)
      give_up "the pod network" "CoreDNS is switched off or was not created; control planes create it, so look at their log: talosctl logs controller-runtime" ;;
    *"is not ready"*)
      give_up "the pod network" "DNS runs but does not answer; read its log (kubectl -n kube-system logs -l k8s-app=kube-dns) and check that nodes reach their DNS servers" ;;
    *"has no network"*)
      give_up "the pod network" "the agent of that node has not taken it over; read its log: kubectl -n kube-system logs ds/cilium -c cilium-agent" ;;
    *)
      give_up "the pod network" "$(cause_of "$trouble $reason")" ;;
  esac
fi

untested=""
if [[ -n "$CTX_KUBERNETES_MINIMUM" ]]; then
  untested=$(untested_kubelets)
fi
if [[ -n "$untested" ]]; then
  echo "note: kubelets run $untested; this Cilium was tested with Kubernetes $CTX_KUBERNETES_MINIMUM to $CTX_KUBERNETES_MAXIMUM"
fi

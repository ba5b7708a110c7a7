#!/usr/bin/env bash
# Waits until the Gateway API's definitions are there and Cilium has accepted its GatewayClass.
# The operator looks for the definitions only when it starts: one that was earlier is restarted, once.
# Needs: kubectl, jq; the kubeconfig.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

# ztc: common.sh

# When the last of the definitions came into force, RFC 3339; such times sort as text.
established_at=""
# Releases among them other than the one that this Cilium was tested with.
other_releases=""
restarted=""

definitions_established() {
  local name
  established_at="" other_releases=""
  for name in "${CTX_DEFINITIONS[@]}"; do
    fetch crd "$name" || return 1
    # shellcheck disable=SC2016 # the variables are jq's
    satisfied '[(.status.conditions // [])[] | select(.type == "Established" and .status == "True")]
      | if length == 0 then "definition \($name) is not in force yet" else empty end' --arg name "$name" || return 1
    note_definition
  done
}

note_definition() {
  local at release
  at=$(jq -r '([(.status.conditions // [])[] | select(.type == "Established") | .lastTransitionTime] | .[0])
    // .metadata.creationTimestamp // ""' <<<"$answer")
  established_at=$(jq -nr --arg a "$established_at" --arg b "$at" '[$a, $b] | max')
  release=$(jq -r '(.metadata.annotations // {})["gateway.networking.k8s.io/bundle-version"] // ""' <<<"$answer")
  if [[ -n "$release" && "$release" != "$CTX_GATEWAY_API_VERSION" && " $other_releases " != *" $release "* ]]; then
    other_releases="${other_releases:+$other_releases }$release"
  fi
}

# Says when the earliest running operator started, where that was before the definitions came into force.
early_operator() {
  local seen=$reason
  if fetch pods -n kube-system -l io.cilium/app=operator; then
    jq -r --arg since "$established_at" '[.items[]
      | select(.metadata.deletionTimestamp == null and .status.phase == "Running")
      | ([(.status.containerStatuses // [])[] | .state.running.startedAt // empty] | max) // .status.startTime // empty]
      | min // empty | select(. <= $since)' <<<"$answer"
  fi
  reason=$seen
}

class_accepted() {
  fetch gatewayclass cilium || return 1
  satisfied '[(.status.conditions // [])[] | select(.type == "Accepted")] | .[0] // {}
    | if .status == "True" then empty
      else "GatewayClass cilium is not accepted: \(.message // "no controller has answered")" end' && return 0
  if [[ -z "$restarted" ]]; then
    restart_early_operator
  fi
  return 1
}

restart_early_operator() {
  local started
  started=$(early_operator)
  if [[ -z "$started" ]]; then
    return 0
  fi
  echo "restarting the operator: it started at $started and the definitions came into force at $established_at, so it has the Gateway API off"
  if kube rollout restart deployment/cilium-operator -n kube-system 2>"$scratch/error"; then
    restarted=yes
  else
    reason="the operator cannot be restarted: $(tail -n 1 "$scratch/error")"
  fi
}

if ! wait_until "the definitions of the Gateway API $CTX_GATEWAY_API_VERSION" definitions_established; then
  case "$reason" in
    *"not found"* | *NotFound*)
      give_up "the Gateway API" "the definitions are not in the cluster; control planes fetch them when they start, so check that they reach raw.githubusercontent.com" ;;
    *)
      give_up "the Gateway API" "$(cause_of "$reason")" ;;
  esac
fi
if [[ -n "$other_releases" ]]; then
  echo "note: the cluster has definitions of the Gateway API $other_releases; this Cilium was tested with $CTX_GATEWAY_API_VERSION"
fi

if ! wait_until "Cilium to accept GatewayClass cilium" class_accepted; then
  trouble=$(pod_trouble io.cilium/app=operator)
  if [[ -n "$trouble" ]]; then
    reason="$reason; $trouble"
  fi
  if [[ -n "$other_releases" ]]; then
    give_up "GatewayClass cilium" "the definitions are of the Gateway API $other_releases, with which this Cilium does not work; install $CTX_GATEWAY_API_VERSION"
  elif [[ -n "$restarted" && "$trouble" == *anti-affinity* ]]; then
    give_up "GatewayClass cilium" "there are more operators than nodes, so the restarted one finds no node; set operator_replicas: 1 in platform.yaml for the next cluster, and here: kubectl -n kube-system delete pod -l io.cilium/app=operator"
  fi
  case "$trouble $reason" in
    *"not accepted"*)
      give_up "GatewayClass cilium" "the operator has the Gateway API off or fails; read its log: kubectl -n kube-system logs deployment/cilium-operator" ;;
    *)
      give_up "GatewayClass cilium" "$(cause_of "$trouble $reason")" ;;
  esac
fi

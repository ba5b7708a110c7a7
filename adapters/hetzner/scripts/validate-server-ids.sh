#!/usr/bin/env bash
# Checks that every configured server runs the node it is meant to run: the node's spec.providerID names the server's id.
#
# Needs:    kubectl, jq; the kubeconfig at the path that the context names.
# Changes:  nothing.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

readonly limit=60      # seconds for the API server to give the list of nodes
readonly call_limit=15 # seconds for one call of kubectl, which may hang where a firewall drops what it sends

say() { printf '%s\n' "$*"; }

# fail MESSAGE CAUSE: ends the stage.
fail() {
  printf 'error: %s\n' "$1" >&2
  say "ZTC_CAUSE: $2"
  exit 1
}

kubeconfig=$ZTC_REPO/$CTX_KUBECONFIG
[ -f "$kubeconfig" ] || fail "there is no kubeconfig at $CTX_KUBECONFIG" "the cluster is not bootstrapped yet: run \`ztc bootstrap\`"

work=$(mktemp -d "${TMPDIR:-/tmp}/ztc-server-ids.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

deadline=$((SECONDS + limit))
delay=1
# list_nodes: fails with $why set.
list_nodes() {
  local exit_code=0
  timeout -k 5 "$call_limit" kubectl --request-timeout "${call_limit}s" --kubeconfig "$kubeconfig" get nodes -o json \
    >"$work/nodes.json" 2>"$work/kubectl.log" || exit_code=$?
  why=$(tail -n 1 "$work/kubectl.log")
  case $exit_code in
  124 | 137) why="\`kubectl get nodes\` gave no answer within $call_limit s" ;;
  esac
  return "$exit_code"
}

until list_nodes; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    fail "cannot list the nodes within $limit s: $why" \
      "the Kubernetes API does not answer: check that the control plane is up and that its address is reachable from here"
  fi
  sleep "$delay"
  delay=$((delay < 8 ? delay * 2 : 8))
done

# One pass over the nodes, in which they are looked up by address and by name, and one over the servers: a line per finding.
# The address tells; the name only where no node has the address.
jq -r --slurpfile nodes "$work/nodes.json" '
  ($nodes[0].items | map({node: .metadata.name, found: (.spec.providerID // ""),
    ips: [.status.addresses[]? | select(.type == "InternalIP" or .type == "ExternalIP") | .address] | unique})) as $all
  | (reduce ($all[] | .ips[] as $ip | {key: $ip, value: .}) as $one ({}; .[$one.key] += [$one.value])) as $by_ip
  | (reduce $all[] as $one ({}; .[$one.node] += [$one])) as $by_name
  | .servers[]
  | . as $server
  | ($by_ip[.ip] // $by_name[.name] // []) as $nodes
  | if $nodes == [] then "missing \(.ip) - - \(.name)"
    else $nodes[] | "\(if .found == $server.provider_id then "right" else "wrong" end) \($server.ip) \($server.provider_id) \(
      if .found == "" then "none" else .found end) \(.node)"
    end' "$ZTC_CONTEXT_FILE" >"$work/compared"

wrong=0
missing=0
checked=$(jq '.servers | length' "$ZTC_CONTEXT_FILE")
while IFS=' ' read -r result ip expected found name; do
  case $result in
  missing)
    say "server \`$name\` ($ip): no node has this address or name"
    missing=$((missing + 1))
    ;;
  right) say "node \`$name\` ($ip): $found" ;;
  wrong)
    say "node \`$name\` ($ip): expected $expected, found $found"
    wrong=$((wrong + 1))
    ;;
  esac
done <"$work/compared"

if [ "$wrong" -gt 0 ]; then
  fail "$wrong of $checked servers run a node with another provider id" \
    "it is set when a node joins and never changes: run \`ztc render --refresh\`, then \`kubectl delete node\`, and let the node join again"
fi
if [ "$missing" -gt 0 ]; then
  fail "$missing of $checked servers run no node" \
    "the server is in \`server_ips\` but is no node of the cluster, or has not joined: compare \`server_ips\` with the nodes"
fi
say "all $checked servers run the nodes they are meant to run"

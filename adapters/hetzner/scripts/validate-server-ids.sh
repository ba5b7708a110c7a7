#!/usr/bin/env bash
# Checks that every configured server runs the node it is meant to run: the node's spec.providerID names the server's id.
#
# Needs:    kubectl, jq; the kubeconfig at the path that the context names.
# Changes:  nothing.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

readonly limit=60 # seconds for the API server to give the list of nodes

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
until kubectl --kubeconfig "$kubeconfig" get nodes -o json >"$work/nodes.json" 2>"$work/kubectl.log"; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    fail "cannot list the nodes within $limit s: $(tail -n 1 "$work/kubectl.log")" \
      "the Kubernetes API does not answer: check that the control plane is up and that its address is reachable from here"
  fi
  sleep "$delay"
  delay=$((delay < 8 ? delay * 2 : 8))
done

jq -r '.servers[] | "\(.ip) \(.provider_id) \(.name)"' "$ZTC_CONTEXT_FILE" >"$work/expected"

wrong=0
missing=0
checked=0
while IFS=' ' read -r ip expected name; do
  checked=$((checked + 1))
  # One line per node that is this server: what it says its provider is, and its name. The address tells; the name only where
  # no node has the address.
  jq -r --arg ip "$ip" --arg name "$name" '
    [.items[] | select([.status.addresses[]? | select(.type == "InternalIP" or .type == "ExternalIP") | .address] | any(. == $ip))]
      as $by_address
    | (if $by_address == [] then [.items[] | select(.metadata.name == $name)] else $by_address end)[]
    | "\(.spec.providerID // "") \(.metadata.name)"' "$work/nodes.json" >"$work/found"
  if [ ! -s "$work/found" ]; then
    say "server \`$name\` ($ip): no node has this address or name"
    missing=$((missing + 1))
    continue
  fi
  while IFS= read -r line; do
    found=${line%% *}
    node=${line#* }
    if [ "$found" = "$expected" ]; then
      say "node \`$node\` ($ip): $found"
    else
      say "node \`$node\` ($ip): expected $expected, found ${found:-none}"
      wrong=$((wrong + 1))
    fi
  done <"$work/found"
done <"$work/expected"

if [ "$wrong" -gt 0 ]; then
  fail "$wrong of $checked servers run a node with another provider id" \
    "it is set when a node joins and never changes: run \`ztc render --refresh\`, then \`kubectl delete node\`, and let the node join again"
fi
if [ "$missing" -gt 0 ]; then
  fail "$missing of $checked servers run no node" \
    "the server is in \`server_ips\` but is no node of the cluster, or has not joined: compare \`server_ips\` with the nodes"
fi
say "all $checked servers run the nodes they are meant to run"

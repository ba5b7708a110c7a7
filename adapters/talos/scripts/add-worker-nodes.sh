#!/usr/bin/env bash
# Gives a worker its machine configuration and waits until it is in the cluster.
# Needs: talosctl, kubectl. Context: server_ip, role, kubeconfig, item name. Files: config.yaml, talosconfig.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

configure_node "$CTX_SERVER_IP" "$CTX_ITEM_NAME" "$CTX_ROLE"

end=$((SECONDS + 600))
attempt=0
say "waiting up to 600 s for $CTX_ITEM_NAME to join the cluster"
# Only this node is asked for: a list of all of them, for each of them, would be read in the square of their number.
until try kubectl --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" get nodes "$CTX_ITEM_NAME" -o json; do
    if ((SECONDS >= end)); then
        fail "$CTX_ITEM_NAME has its configuration but did not join within 600 s: it must reach the control planes on ports 50001 and 6443; last error: ${last_error:-none}"
    fi
    not_yet
    pause $((attempt++))
done
say "$CTX_ITEM_NAME is in the cluster"

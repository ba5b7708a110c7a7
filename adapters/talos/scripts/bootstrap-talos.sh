#!/usr/bin/env bash
# Starts etcd on the first control plane, once, and fetches the kubeconfig.
# Needs: talosctl, kubectl. Context: server_ip, kubeconfig, cluster_endpoint. Files: talosconfig.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

ip=$CTX_SERVER_IP
kubeconfig="$ZTC_SECRETS_DIR/kubeconfig"
talosconfig="$ZTC_FILES_DIR/talosconfig"

is_ready() {
    [[ -f $kubeconfig ]] && try kubectl --kubeconfig "$kubeconfig" get --raw /readyz
}

start_etcd() {
    local end=$((SECONDS + 600)) attempt=0
    say "starting etcd on $ip, for up to 600 s"
    until limit=60 try talosctl bootstrap -n "$ip" -e "$ip" --talosconfig "$talosconfig"; do
        case $last_error in
        *AlreadyExists*)
            say "etcd runs on $ip already"
            return
            ;;
        *"can only be performed on a control plane"*)
            fail "$ip does not run as a control plane; check the role of the first control plane in platform.yaml"
            ;;
        *"not available yet"* | *"time is not in sync"*) ;;
        *) is_transient "$last_error" || fail "etcd cannot be started on $ip: $last_error" ;;
        esac
        if ((SECONDS >= end)); then
            fail "etcd did not start on $ip within 600 s; last error: $last_error"
        fi
        not_yet
        pause $((attempt++))
    done
}

# Written beside its place and moved there, so that nobody reads half of it.
fetch_kubeconfig() {
    local end=$((SECONDS + 300)) attempt=0 new="$kubeconfig.new"
    umask 077
    rm -f "$new"
    until limit=60 try talosctl kubeconfig "$new" --force --merge=false -n "$ip" -e "$ip" --talosconfig "$talosconfig"; do
        if ((SECONDS >= end)); then
            fail "$ip gave no kubeconfig within 300 s; last error: $last_error"
        fi
        not_yet
        pause $((attempt++))
    done
    chmod 600 "$new"
    mv "$new" "$kubeconfig"
    say "the kubeconfig is in $CTX_KUBECONFIG"
}

wait_for_api() {
    local end=$((SECONDS + 900)) attempt=0
    say "waiting up to 900 s for the Kubernetes API at $CTX_CLUSTER_ENDPOINT"
    until is_ready; do
        if ((SECONDS >= end)); then
            fail "the Kubernetes API at $CTX_CLUSTER_ENDPOINT did not answer within 900 s: images may still be on their way, or the endpoint leads elsewhere; last error: $last_error"
        fi
        not_yet
        pause $((attempt++))
    done
    say "the Kubernetes API answers"
}

# A cluster that answers must never be started a second time: that would make another one. A kubeconfig for another endpoint says
# nothing about this cluster.
if grep -qsF "server: $CTX_CLUSTER_ENDPOINT" "$kubeconfig" && is_ready; then
    say "the Kubernetes API answers already"
    exit 0
fi
start_etcd
fetch_kubeconfig
wait_for_api

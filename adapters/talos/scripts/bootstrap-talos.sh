#!/usr/bin/env bash
# Starts etcd on the first control plane, once in the life of a cluster, and fetches the kubeconfig.
# Needs: talosctl, kubectl. Context: server_ip, control_planes, kubeconfig, cluster_endpoint. Files: talosconfig.
# A control plane that comes to a cluster which has etcd joins it by itself. Started beside it, etcd would be a second cluster with the same
# name and the same keys; so every control plane is asked first, and one that does not say stops this.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

ip=$CTX_SERVER_IP
kubeconfig="$ZTC_SECRETS_DIR/kubeconfig"
talosconfig="$ZTC_FILES_DIR/talosconfig"
# Which machines are known from here to have held data of etcd: "IDENTITY IP" in each line. The stage that wipes a disk takes its line out.
record="$ZTC_STATE_DIR/talos/etcd"
shown_record=${record#"$ZTC_REPO/"}

is_ready() {
    [[ -f $kubeconfig ]] && try kubectl --request-timeout 10s --kubeconfig "$kubeconfig" get --raw /readyz
}

# find_members: asks every control plane of the configuration, and every machine that was one according to the record. $members are those
# that hold data of etcd, $unknown those that do not say; $reason is the last one's.
find_members() {
    local one
    members="" unknown="" reason=""
    for one in "${CTX_CONTROL_PLANES[@]}" $(recorded); do
        [[ " $members $unknown " != *" $one "* ]] || continue
        etcd_state "$one"
        case $etcd in
        member) members="${members:+$members }$one" ;;
        unknown)
            unknown="${unknown:+$unknown }$one"
            reason="$one: $last_error"
            ;;
        esac
    done
}

# recorded: the machines of this cluster in the record.
recorded() {
    local known address
    [[ -f $record ]] || return 0
    while read -r known address; do
        [[ $known != "$identity" ]] || printf '%s ' "$address"
    done <"$record"
}

# remember IP...: notes that these hold data of etcd.
remember() {
    local one
    for one in "$@"; do
        grep -qsxF "$identity $one" "$record" || echo "$identity $one" >>"$record"
    done
}

# ask_for_members: succeeds where etcd has to be started, because every control plane says that it holds nothing of it.
ask_for_members() {
    local end=$((SECONDS + 600)) attempt=0
    say "asking ${#CTX_CONTROL_PLANES[@]} control planes, for up to 600 s, whether etcd of this cluster was started before"
    while true; do
        find_members
        [[ -z $members ]] || return 1
        [[ -n $unknown ]] || return 0
        if ((SECONDS >= end)); then
            fail "etcd was not started: these control planes do not say whether they hold data of etcd already, and a second etcd beside theirs would be another cluster: $unknown. Let each be reached on port 50000; take one that is gone for good out of platform.yaml (then \`ztc render\`) and out of $shown_record, and go on; last error: $reason"
        fi
        last_error=$reason
        not_yet
        pause $((attempt++))
    done
}

start_etcd() {
    local end=$((SECONDS + 600)) attempt=0
    say "starting etcd on $ip, for up to 600 s"
    # Before it is asked: an answer may get lost.
    remember "$ip"
    until limit=60 try talosctl bootstrap -n "$ip" -e "$ip" --talosconfig "$talosconfig"; do
        case $last_error in
        *AlreadyExists*)
            say "etcd runs on $ip already"
            return
            ;;
        *"can only be performed on a control plane"*)
            fail "$ip does not run as a control plane; check the role of the first control plane in platform.yaml"
            ;;
        *PermissionDenied*)
            fail "$ip does not let this talosconfig start etcd: it needs the role os:admin. Make it anew with \`ztc secrets talosconfig\`, and check that no patch takes roles away (machine.features.rbac); last error: $last_error"
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

# fetch_kubeconfig IP: written beside its place and moved there, so that nobody reads half of it.
fetch_kubeconfig() {
    local end=$((SECONDS + 300)) attempt=0 new="$kubeconfig.new"
    umask 077
    rm -f "$new"
    until limit=60 try talosctl kubeconfig "$new" --force --merge=false -n "$1" -e "$1" --talosconfig "$talosconfig"; do
        if ((SECONDS >= end)); then
            fail "$1 gave no kubeconfig within 300 s; last error: $last_error"
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

# A cluster that answers must never be started a second time. A kubeconfig for another endpoint says nothing about this cluster.
if grep -qsF "server: $CTX_CLUSTER_ENDPOINT" "$kubeconfig" && is_ready; then
    say "the Kubernetes API answers already"
    exit 0
fi
mkdir -p "$ZTC_STATE_DIR/talos"
# The authority of the Talos API tells one cluster from another.
identity=$(sed -n 's/^ *ca: *//p' "$talosconfig" | head -n 1 | sha256sum | cut -c 1-16)
if ask_for_members; then
    if [[ -n $(recorded) ]]; then
        say "an earlier run started etcd of this cluster, or meant to, and no control plane holds anything of it: it is started now"
    fi
    start_etcd
    members=$ip
else
    say "etcd of this cluster was started before; its data are on: $members"
    [[ " $members " == *" $ip "* ]] || say "$ip holds none of them and joins; etcd is not started on it"
fi
# shellcheck disable=SC2086 # one word for each machine
remember $members
fetch_kubeconfig "${members%% *}"
wait_for_api

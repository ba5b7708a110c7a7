# Shared by the scripts of this adapter: messages, waits with a limit, and what a node says about itself.

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
last_error=""

say() {
    printf '%s\n' "$*"
}

# fail CAUSE: ends the stage; the cause is shown with the failure.
fail() {
    printf 'ZTC_CAUSE: %s\n' "$*"
    exit 1
}

# pause N: waits a little before attempt N+1, longer each time.
pause() {
    local seconds=(0.2 0.5 1 2 3 5)
    sleep "${seconds[$(($1 < 5 ? $1 : 5))]}"
}

# not_yet: says why a wait goes on, whenever that is another reason than before.
said_reason=""
not_yet() {
    if [[ -n $last_error && $last_error != "$said_reason" ]]; then
        say "not yet: $last_error"
        said_reason=$last_error
    fi
}

# try COMMAND...: runs it with a limit; its output is in $output, its complaint in $last_error.
try() {
    local code=0
    output=$(timeout "${limit:-15}" "$@" 2>"$errors") || code=$?
    if [[ $code -eq 124 ]]; then
        last_error="no answer within ${limit:-15} s"
    elif [[ $code -ne 0 ]]; then
        last_error=$(tail -c 600 "$errors" | tr '\n' ' ')
        last_error=${last_error% }
    fi
    return "$code"
}

# node_state IP: sets $state to what the Talos API of a machine shows:
# configured (it has a configuration of this cluster), maintenance (it waits for one), foreign (it has another cluster's), silent.
node_state() {
    local ip=$1 configured_error
    if try talosctl get machinestatus -n "$ip" -e "$ip" --talosconfig "$ZTC_FILES_DIR/talosconfig" -o "jsonpath={.spec.stage}"; then
        state=configured
        return
    fi
    configured_error=$last_error
    if try talosctl get machinestatus --insecure -n "$ip" -o "jsonpath={.spec.stage}"; then
        state=maintenance
    elif [[ $configured_error == *x509* && ($last_error == *tls:* || $last_error == *x509*) ]]; then
        state=foreign
    else
        state=silent
    fi
}

# wait_for_node IP SECONDS: waits until a machine's Talos API answers; $state is configured or maintenance afterwards.
wait_for_node() {
    local ip=$1 end=$((SECONDS + $2)) attempt=0 foreign_since=""
    say "waiting up to $2 s for the Talos API of $ip"
    while true; do
        node_state "$ip"
        case $state in
        configured | maintenance) return ;;
        foreign) foreign_since=${foreign_since:-$SECONDS} ;;
        silent) foreign_since="" ;;
        esac
        # A machine that changes from maintenance to its configuration looks foreign for a moment.
        if [[ -n $foreign_since && $((SECONDS - foreign_since)) -ge 20 ]]; then
            fail "$ip runs Talos with a configuration of another cluster, or with other secrets than secrets/$ZTC_ENVIRONMENT/talos.yaml; nothing was sent to it. Bring back the secrets of its cluster with \`ztc secrets import talos FILE --replace --new-cluster\` and \`ztc render\`, or wipe it on purpose: switch it off, then ztc bootstrap --from 'enable_rescue_mode[$ip]'; last error: $last_error"
        fi
        not_yet
        if ((SECONDS >= end)); then
            fail "the Talos API of $ip (port 50000) did not answer within $2 s: the machine did not boot Talos, or a firewall is in between; last error: $last_error"
        fi
        pause $((attempt++))
    done
}

# is_transient TEXT: whether an error of talosctl may be gone at the next attempt.
is_transient() {
    [[ $1 =~ Unavailable|DeadlineExceeded|"connection refused"|"connection reset"|"i/o timeout"|EOF|"no route to host"|"context deadline"|"transport is closing"|"no answer within" ]]
}

# node_role IP: sets $live to the role that a configured machine has by its own word, or to nothing where it does not say.
node_role() {
    live=""
    if try talosctl get machinetype -n "$1" -e "$1" --talosconfig "$ZTC_FILES_DIR/talosconfig" -o "jsonpath={.spec}"; then
        case $output in
        controlplane | worker) live=$output ;;
        init) live=controlplane ;;
        esac
    fi
}

# configure_node IP NAME ROLE: brings a machine its configuration; nothing happens where it has that one already.
configure_node() {
    local ip=$1 name=$2 role=$3 config="$ZTC_FILES_DIR/config.yaml" record="$ZTC_STATE_DIR/talos/$1.applied"
    local digest known_role="" known_digest="" how=""
    mkdir -p "$ZTC_STATE_DIR/talos"
    digest=$(sha256sum "$config" | cut -d ' ' -f 1)
    if [[ -f $record ]]; then
        read -r known_role known_digest how <"$record" || true
    fi
    wait_for_node "$ip" "$CTX_BOOT_SECONDS"
    if [[ $state == maintenance ]]; then
        apply_new "$ip"
        return
    fi
    # The machine's own word counts; what was noted here is for the moment in which it says none.
    node_role "$ip"
    known_role=${live:-$known_role}
    if [[ -n $known_role && $known_role != "$role" ]]; then
        fail "$name ($ip) is a $known_role of this cluster, and a $role configuration would destroy it, so it was not sent. Change its role back in platform.yaml, or wipe it on purpose: switch it off, then ztc bootstrap --from 'enable_rescue_mode[$ip]'"
    fi
    # "first" means that the machine was in maintenance when this configuration was sent, so it can have no other one.
    if [[ $known_digest == "$digest" && ($how == applied || $how == first) ]]; then
        say "$name ($ip) has this configuration already"
    elif [[ -z $known_role ]]; then
        say "$name ($ip) has a configuration of this cluster already; it is not changed, because nothing here knows its role"
    else
        apply_changed "$ip"
    fi
    [[ -z $known_role ]] || echo "$role $digest applied" >"$record"
}

# apply_new IP: for a machine in maintenance. An apply can hang although it succeeded, so what counts is what the machine says afterwards.
apply_new() {
    local ip=$1 end=$((SECONDS + 600)) attempt=0 wait_end refusal
    echo "$role $digest first" >"$record"
    while true; do
        say "sending the configuration to $name ($ip)"
        if ! limit=30 try talosctl apply-config --insecure -n "$ip" -f "$config" && ! is_transient "$last_error"; then
            refusal=$last_error
            # A machine that has just taken the configuration refuses this way of talking.
            node_state "$ip"
            [[ $state == configured ]] || fail "$name ($ip) refused its configuration: $refusal"
        fi
        not_yet
        wait_end=$((SECONDS + 60))
        while ((SECONDS < wait_end)); do
            node_state "$ip"
            if [[ $state == configured ]]; then
                echo "$role $digest applied" >"$record"
                say "$name ($ip) has its configuration; stage: $output"
                return
            fi
            pause $((attempt++))
        done
        if ((SECONDS >= end)); then
            fail "$name ($ip) did not take its configuration within 600 s and is $state; last error: $last_error"
        fi
    done
}

# apply_changed IP: for a machine that has an older configuration of this cluster.
apply_changed() {
    local ip=$1 end=$((SECONDS + 300)) attempt=0
    say "sending the changed configuration to $name ($ip)"
    echo "$role $digest changing" >"$record"
    until limit=60 try talosctl apply-config -n "$ip" -e "$ip" --talosconfig "$ZTC_FILES_DIR/talosconfig" -f "$config"; do
        is_transient "$last_error" || fail "$name ($ip) refused its configuration: $last_error"
        ((SECONDS < end)) || fail "$name ($ip) did not take its configuration within 300 s; last error: $last_error"
        not_yet
        pause $((attempt++))
    done
    wait_for_node "$ip" "$CTX_BOOT_SECONDS"
}

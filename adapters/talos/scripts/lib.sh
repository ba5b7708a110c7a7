# Shared by the scripts of this adapter: messages, waits with a limit, and what a node says about itself.

errors=$(mktemp)
trap 'rm -f "$errors"; end_turn' EXIT
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

# try COMMAND...: runs it with a limit; its output is in $output, its complaint in $last_error. What ignores the end is killed.
try() {
    local code=0 called=$1
    case $1 in
    kubectl | talosctl) called="$1 $(subcommand "${@:2}")" ;;
    esac
    output=$(timeout -k 5 "${limit:-15}" "$@" 2>"$errors") || code=$?
    if [[ $code -eq 124 || $code -eq 137 ]]; then
        last_error="\`$called\` gave no answer within ${limit:-15} s"
    elif [[ $code -ne 0 ]]; then
        last_error=$(tail -c 600 "$errors" | tr '\n' ' ')
        last_error=${last_error% }
    fi
    return "$code"
}

# subcommand WORD...: the first that is no option, nor the value of one that stands before the command.
subcommand() {
    while (($#)); do
        case $1 in
        --request-timeout | --kubeconfig) shift ;;
        -*) ;;
        *) break ;;
        esac
        shift
    done
    printf '%s' "${1-}"
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

# etcd_state IP: sets $etcd to what a configured control plane says of its disk: member (it holds data of etcd), blank (it holds none), or
# unknown ($last_error says why). `bootstrap` refuses a machine for the same files.
etcd=unknown
etcd_state() {
    local ip=$1 code=0 name complaint
    etcd=unknown
    # The service comes after the disk: before that, a directory that is not there would prove nothing.
    limit=10 try talosctl service etcd -n "$ip" -e "$ip" --talosconfig "$ZTC_FILES_DIR/talosconfig" || return 0
    if [[ ! $output =~ (^|$'\n')STATE[[:space:]]+([A-Za-z]+) ]]; then
        last_error="talosctl does not say in which state the service etcd is"
        return
    fi
    if [[ ${BASH_REMATCH[2]} == Running ]]; then
        etcd=member
        return
    fi
    limit=10 try talosctl list /var/lib/etcd -n "$ip" -e "$ip" --talosconfig "$ZTC_FILES_DIR/talosconfig" || code=$?
    complaint=$(tr '\n' ' ' <"$errors")
    while read -r name; do
        case ${name##* } in
        '' | . | NAME) ;;
        *) etcd=member ;;
        esac
    done <<<"$output"
    [[ $etcd == unknown ]] || return 0
    # A directory that is not there is an error in one version of talosctl and a remark in another.
    if [[ $complaint == *"no such file or directory"* || ($code -eq 0 && -z $complaint) ]]; then
        etcd=blank
    else
        last_error=${complaint:-$last_error}
    fi
}

# anew IP: the commands that install one machine anew.
anew() {
    printf '%s' "ztc bootstrap --only 'enable_rescue_mode[$1]', then ztc bootstrap"
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
            fail "$ip runs Talos with a configuration of another cluster, or with other secrets than secrets/$ZTC_ENVIRONMENT/talos.yaml; nothing was sent to it. Restore that file from its backup, or take the machine out of its cluster, switch it off and install it anew: $(anew "$ip"); last error: $last_error"
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
        fail "$name ($ip) is a $known_role of this cluster, and a $role configuration would destroy it, so it was not sent. Change its role back in platform.yaml. To give it the other role on purpose, take it out of the cluster (\`kubectl drain $name --ignore-daemonsets\`, \`talosctl -n $ip reset\`, \`kubectl delete node $name\`) and install it anew: $(anew "$ip")"
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

# check_kubernetes IP: whether a control plane may go from the Kubernetes that it runs to the one of platform.yaml: up, one minor after the other.
# What a newer API server has written into etcd an older one cannot read, and no minor knows the objects of the one before the last.
check_kubernetes() {
    local ip=$1 end=$((SECONDS + 120)) attempt=0 image runs from to
    local back="then ztc render and ztc bootstrap; nothing was sent to it"
    until limit=10 try talosctl get kubeletspec -n "$ip" -e "$ip" --talosconfig "$ZTC_FILES_DIR/talosconfig" -o "jsonpath={.spec.image}"; do
        if ! is_transient "$last_error" || ((SECONDS >= end)); then
            fail "$name ($ip) does not say which Kubernetes it runs, so its changed configuration was not sent: $last_error"
        fi
        not_yet
        pause $((attempt++))
    done
    image=$output
    # No kubelet yet, or one of somebody's own making: there is nothing to compare.
    [[ $image =~ :(v1\.([0-9]+)\.[0-9]+) ]] || return 0
    runs=${BASH_REMATCH[1]}
    from=${BASH_REMATCH[2]}
    [[ $CTX_KUBERNETES_VERSION =~ ^v1\.([0-9]+)\. ]] || return 0
    to=${BASH_REMATCH[1]}
    if ((to < from)); then
        fail "$name ($ip) runs Kubernetes $runs, and platform.yaml says $CTX_KUBERNETES_VERSION: a cluster cannot go back to an older minor, since its data in etcd stay those of the newer one. Put $runs back into platform.yaml, $back"
    elif ((to > from + 1)); then
        fail "$name ($ip) runs Kubernetes $runs, and platform.yaml says $CTX_KUBERNETES_VERSION: a cluster goes up by one minor at a time. Put a version of 1.$((from + 1)) into platform.yaml, $back"
    fi
}

# apply_changed IP: for a machine that has an older configuration of this cluster.
apply_changed() {
    local ip=$1 end attempt=0 guarded="" answer
    if [[ $role == controlplane ]]; then
        check_kubernetes "$ip"
        await_turn
        keeps_cluster_alive "$ip" && guarded=yes
    fi
    end=$((SECONDS + 300))
    say "sending the changed configuration to $name ($ip)"
    echo "$role $digest changing" >"$record"
    until limit=60 try talosctl apply-config -n "$ip" -e "$ip" --talosconfig "$ZTC_FILES_DIR/talosconfig" -f "$config"; do
        is_transient "$last_error" || fail "$name ($ip) refused its configuration: $last_error"
        ((SECONDS < end)) || fail "$name ($ip) did not take its configuration within 300 s; last error: $last_error"
        not_yet
        pause $((attempt++))
    done
    answer="$output $(<"$errors")"
    [[ $answer != *"with a reboot"* ]] || await_reboot "$ip"
    wait_for_node "$ip" "$CTX_BOOT_SECONDS"
    [[ -z $guarded ]] || await_health "$ip"
    end_turn
}

# --- one control plane after the other --------------------------------------------------------------------------------

# A changed configuration may need a reboot, and two of three members of etcd that are away at the same time are the end of the cluster's
# API. So control planes of a living cluster take turns, and the next one waits until etcd and the node before it are well again.
turn="$ZTC_STATE_DIR/talos/turn"
has_turn=""

# await_turn: one at a time, at most an hour's wait. The turn of a script that was killed is taken away.
await_turn() {
    local end=$((SECONDS + 3000)) attempt=0 owner said=""
    # A link is made in one step, with its owner in it.
    until ln -s "$$" "$turn" 2>/dev/null; do
        owner=$(readlink "$turn") || continue
        if ! kill -0 "$owner" 2>/dev/null; then
            rm -f "$turn"
            continue
        fi
        ((SECONDS < end)) || fail "$name waited 3000 s for the turn of another control plane, which still changes (process $owner); see its log"
        [[ -n $said ]] || say "control planes change one after the other: $name waits for its turn"
        said=yes
        pause $((attempt++))
    done
    has_turn=yes
}

end_turn() {
    [[ -z $has_turn ]] || rm -f "$turn"
    has_turn=""
}

# is_healthy IP: whether a control plane's etcd serves and the machine runs.
is_healthy() {
    limit=10 try talosctl service etcd -n "$1" -e "$1" --talosconfig "$ZTC_FILES_DIR/talosconfig" || return 1
    if [[ ! $output =~ STATE[[:space:]]+Running || ! $output =~ HEALTH[[:space:]]+OK ]]; then
        last_error="etcd of $1 does not serve"
        return 1
    fi
    limit=10 try talosctl get machinestatus -n "$1" -e "$1" --talosconfig "$ZTC_FILES_DIR/talosconfig" -o "jsonpath={.spec.stage}" || return 1
    [[ $output == running ]] && return
    last_error="$1 is in the stage $output"
    return 1
}

# keeps_cluster_alive IP: succeeds where etcd of this machine serves, once all others do too: then it may be away for a while. Where its own
# does not serve, or there is no etcd yet, its change takes nothing away.
keeps_cluster_alive() {
    local ip=$1 other end=$((SECONDS + 300)) attempt=0
    is_healthy "$ip" || return 1
    for other in "${CTX_CONTROL_PLANES[@]}"; do
        [[ $other != "$ip" ]] || continue
        until is_healthy "$other"; do
            if ((SECONDS >= end)); then
                fail "the changed configuration was not sent to $name ($ip): control plane $other is not well, and without both of them etcd may lose its majority. Mend that one first; last error: $last_error"
            fi
            last_error="control plane $other: $last_error"
            not_yet
            pause $((attempt++))
        done
    done
}

# await_reboot IP: the machine says that it reboots and answers a little longer.
await_reboot() {
    local end=$((SECONDS + 120)) attempt=0
    say "$name ($1) reboots for its configuration"
    while limit=5 try talosctl get machinestatus -n "$1" -e "$1" --talosconfig "$ZTC_FILES_DIR/talosconfig" -o "jsonpath={.spec.stage}"; do
        [[ $output != rebooting && $output != booting ]] || return 0
        ((SECONDS < end)) || return 0
        pause $((attempt++ % 3))
    done
}

# await_health IP: before the next control plane changes.
await_health() {
    local end=$((SECONDS + 600)) attempt=0
    until is_healthy "$1"; do
        if ((SECONDS >= end)); then
            fail "$name ($1) has its changed configuration and is not well again after 600 s; no other control plane was changed behind it. Look at \`talosctl -n $1 service etcd\` and \`talosctl -n $1 dmesg\`, put the configuration right, then ztc render and ztc bootstrap; last error: $last_error"
        fi
        not_yet
        pause $((attempt++))
    done
    say "$name ($1) has its changed configuration and is well"
}

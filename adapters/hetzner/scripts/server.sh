# Shared by the scripts that look at one server of Hetzner Cloud before anything is done to it: whether it is the one that was configured,
# and whether it is a node of a cluster.
#
# Needs:    api.sh, kubectl, and where it is there talosctl. $label of the script; server_id, server_ip, kubeconfig of the context.
# Changes:  nothing.

readonly talos_port=50000
readonly ask_seconds=15 # for one question to a machine or to the Kubernetes API

# --- saying ---------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&3; }

# fail MESSAGE CAUSE: ends the stage.
fail() {
  printf 'error: %s\n' "$1" >&2
  say "ZTC_CAUSE: $2"
  exit 1
}

# --- the server -----------------------------------------------------------------------------------------------------

server_status=''
rescue_enabled=''
described=''

# look: reads the server; sets $server_status and $rescue_enabled, and refuses what is not the server that was configured.
look() {
  local name ip locked protected fields machine
  api GET "/servers/$CTX_SERVER_ID" || refused "cannot look up server $label"
  fields=$(jq -r '.server | .name, (.public_net.ipv4.ip // "none"), .locked, .status, .rescue_enabled,
    (.protection.delete or .protection.rebuild),
    "\(.server_type.name), \(.server_type.architecture), disk of \(.primary_disk_size // "unknown") GB"' "$work/answer") ||
    fail "cannot read the answer about server $label" "something else than the Hetzner Cloud API answers at $endpoint"
  # shellcheck disable=SC2034 # what one script of the two does not read
  { IFS= read -r name && IFS= read -r ip && IFS= read -r locked && IFS= read -r server_status &&
    IFS= read -r rescue_enabled && IFS= read -r protected && IFS= read -r machine; } <<<"$fields" ||
    fail "the answer about server $label is incomplete" "something else than the Hetzner Cloud API answers at $endpoint"
  if [ "$ip" != "$CTX_SERVER_IP" ]; then
    fail "server $CTX_SERVER_ID (\`$name\`) has the address $ip, not $CTX_SERVER_IP" \
      "addresses were moved since the last look-up: check \`server_ips\`, then run \`ztc render --refresh\`"
  fi
  if [ "$protected" = true ]; then
    fail "server $label is protected against deletion or rebuild" \
      "its data are meant to stay: make sure that \`server_ips\` means this server and not another team's; remove the protection only if its data may go"
  fi
  [ -n "$described" ] || say "$label is server $CTX_SERVER_ID: $machine, $server_status"
  described=yes
  [ "$locked" != true ] || server_status="locked, $server_status"
}

# settle: waits until the server is on or off and nothing else is going on with it.
settle() {
  local deadline=$((SECONDS + idle_limit)) delay=500 said=''
  while :; do
    look
    case $server_status in
    running | off) return 0 ;;
    *deleting) fail "server $label is being deleted" "check the project and \`server_ips\`" ;;
    esac
    if [ "$SECONDS" -ge "$deadline" ]; then
      fail "server $label is still $server_status after $idle_limit s" \
        "another action on it has not ended: see its activities in the console of Hetzner Cloud, then run \`ztc bootstrap\` again"
    fi
    [ "$said" = "$server_status" ] || say "waiting for $label, which is ${server_status/, / and }, at most $idle_limit s"
    said=$server_status
    pause "$delay"
    delay=$(grown "$delay" 5000)
  done
}

# --- whose it is ----------------------------------------------------------------------------------------------------

talos=''     # configured, maintenance (it waits for a configuration and belongs to nobody yet), absent (the port is closed), or silent
talos_why='' # why it is silent

# find_talos: sets $talos. Only a machine without a configuration talks to whoever asks.
find_talos() {
  local exit_code=0
  talos=silent
  if command -v talosctl >/dev/null; then
    timeout -k 5 "$ask_seconds" talosctl get machinestatus --insecure -n "$CTX_SERVER_IP" -o 'jsonpath={.spec.stage}' \
      >/dev/null 2>"$work/talosctl.log" || exit_code=$?
    talos_why=$(tail -n 1 "$work/talosctl.log")
    case $exit_code:$talos_why in
    0:*) talos=maintenance ;;
    124:* | 137:*) talos_why="\`talosctl get machinestatus\` gave no answer within $ask_seconds s" ;;
    *tls:* | *x509*) talos=configured ;;
    *'connection refused'*) talos=absent ;;
    esac
  else
    timeout 5 bash -c "exec 4<>/dev/tcp/$CTX_SERVER_IP/$talos_port" 2>"$work/talosctl.log" || exit_code=$?
    talos_why=$(tail -n 1 "$work/talosctl.log")
    case $exit_code:$talos_why in
    0:*) talos=configured ;;
    124:*) talos_why="no answer within 5 s" ;;
    *refused*) talos=absent ;;
    esac
  fi
}

# list_nodes: asks the cluster of the kubeconfig for its nodes, three times at most; fails with $why set.
list_nodes() {
  local attempt exit_code
  for attempt in 1 2 3; do
    [ "$attempt" -eq 1 ] || pause 2000
    exit_code=0
    timeout -k 5 "$ask_seconds" kubectl --request-timeout "${ask_seconds}s" --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" get nodes -o json \
      >"$work/nodes.json" 2>"$work/kubectl.log" || exit_code=$?
    [ "$exit_code" -ne 0 ] || return 0
    why=$(tail -n 1 "$work/kubectl.log")
    case $exit_code in
    124 | 137) why="\`kubectl get nodes\` gave no answer within $ask_seconds s" ;;
    esac
  done
  return 1
}

# refuse_member: a server that is a node of this cluster is left alone, whether it is on or off: its cluster counts on what is on its disk.
# So is one that has a configuration of Talos and belongs to nobody who is known here, and every one where the cluster cannot be asked.
refuse_member() {
  local node='' ready='' count why='' asked=no
  if [ -f "$ZTC_REPO/$CTX_KUBECONFIG" ]; then
    list_nodes ||
      fail "whether server $label is a node of this cluster cannot be asked: $why" \
        "nothing was changed. Let the Kubernetes API be reached from here (VPN, firewall before port 6443, control planes that are off) and go on; only where that cluster is gone for good, move its kubeconfig away: mv $CTX_KUBECONFIG $CTX_KUBECONFIG.gone"
    read -r count node ready <<<"$(jq -r --arg ip "$CTX_SERVER_IP" --arg id "hcloud://$CTX_SERVER_ID" '(.items | length | tostring) + ([.items[]
      | select(.spec.providerID == $id or any(.status.addresses[]?; .address == $ip))
      | " \(.metadata.name) \([.status.conditions[]? | select(.type == "Ready") | .status][0] // "Unknown")"][0] // "")' "$work/nodes.json")" || true
    [[ $count =~ ^[0-9]+$ ]] ||
      fail "whether server $label is a node of this cluster cannot be asked: kubectl answered something else than a list of nodes" \
        "nothing was changed; see what \`kubectl --kubeconfig $CTX_KUBECONFIG get nodes\` says"
    if [ -n "$node" ]; then
      [ "$ready" = True ] && ready='which is ready' || ready='which is not ready'
      fail "server $label is node \`$node\` of this cluster, $ready" \
        "nothing was changed. To install it anew, take it out first: \`kubectl drain $node --ignore-daemonsets --delete-emptydir-data\`, \`talosctl -n $CTX_SERVER_IP reset\` (a control plane leaves etcd with it; where it does not answer any more, \`talosctl etcd remove-member\` on another one), \`kubectl delete node $node\`; then \`ztc bootstrap --only 'enable_rescue_mode[$CTX_SERVER_NAME]'\` and \`ztc bootstrap\`"
    fi
    asked=yes
    say "$label is none of the $count nodes of this cluster"
  fi
  if [ "$server_status" = off ]; then
    [ $asked = yes ] || say "$label is off and there is no $CTX_KUBECONFIG, so nobody here can be asked whether it is a node of a cluster; it was confirmed by name"
    return 0
  fi
  find_talos
  case $talos in
  configured)
    if [ $asked = yes ]; then
      fail "server $label runs Talos with a configuration, and is not among the nodes of this cluster" \
        "nothing was changed; where it is to join, \`ztc bootstrap\` goes on with it; to install it anew all the same, switch it off first, in the console of Hetzner Cloud or with \`talosctl shutdown\`"
    fi
    fail "server $label runs Talos with a configuration, of this cluster or of another one" \
      "nothing was changed. Where its cluster lives, fetch the kubeconfig, and the cluster is asked: \`ztc bootstrap --only bootstrap_talos\`; to install it anew all the same, switch it off first, in the console of Hetzner Cloud or with \`talosctl shutdown\`"
    ;;
  silent)
    if [ $asked = no ]; then
      say "port $talos_port of $label neither answers nor refuses (${talos_why:-no message}) and there is no $CTX_KUBECONFIG, so nobody here can be asked whether it is a node of a cluster; it was confirmed by name"
    fi
    ;;
  esac
}

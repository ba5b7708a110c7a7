#!/usr/bin/env bash
# Boots one server of Hetzner Cloud into its rescue system, with a key made for this purpose alone.
#
# Needs:    curl, jq, ssh, ssh-keygen, kubectl, and where it is there talosctl; HCLOUD_TOKEN (read and write); HCLOUD_ENDPOINT where the API is elsewhere.
# Changes:  the server's power and its next boot; $ZTC_STATE_DIR/rescue/<ip>; a temporary SSH key in the project,
#           deleted on every way out. Nothing on the server's disk.
# Refuses:  a server that is protected, whose address is another one's now, or that runs a node of this cluster or a configured Talos.
# Again:    a server that answers as `rescue` to that key is left alone.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
umask 077
exec 3>&1 # the stage's output, also from inside a command substitution

readonly boot_limit=240 # seconds for one boot into the rescue system; 40 are usual
readonly denials=5      # refused logins in a row that tell another system from a rescue system that is still starting
readonly talos_port=50000

# --- saying ---------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&3; }

# fail MESSAGE CAUSE: ends the stage.
fail() {
  printf 'error: %s\n' "$1" >&2
  say "ZTC_CAUSE: $2"
  exit 1
}

# shellcheck source=api.sh
. api.sh

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

# is_open PORT: whether something listens there.
is_open() { timeout 5 bash -c "exec 4<>/dev/tcp/$CTX_SERVER_IP/$1" 2>/dev/null; }

# find_talos: sets $talos to configured, to maintenance (it waits for a configuration and belongs to nobody yet), or to silent. Only a machine
# without a configuration talks to whoever asks.
find_talos() {
  talos=silent
  if command -v talosctl >/dev/null; then
    if timeout 5 talosctl get machinestatus --insecure -n "$CTX_SERVER_IP" -o 'jsonpath={.spec.stage}' >/dev/null 2>"$work/talosctl.log"; then
      talos=maintenance
    elif grep -q -e 'tls:' -e x509 "$work/talosctl.log"; then
      talos=configured
    fi
  elif is_open "$talos_port"; then
    talos=configured
  fi
}

# refuse_member: a server that runs a node of this cluster is not switched off, and none that has a configuration of Talos: without a
# Kubernetes API that can be asked, nobody here knows whose it is.
refuse_member() {
  local kubeconfig=$ZTC_REPO/$CTX_KUBECONFIG node='' ready='' talos='' place
  local off="to install it anew all the same, switch it off first, in the console of Hetzner Cloud or with \`talosctl shutdown\`"
  [ "$server_status" != off ] || return 0
  find_talos
  if [ ! -f "$kubeconfig" ]; then
    [ "$talos" != configured ] ||
      fail "server $label runs Talos with a configuration, of this cluster or of another one" "nothing was changed; $off"
  elif timeout 20 kubectl --kubeconfig "$kubeconfig" get nodes -o json >"$work/nodes.json" 2>"$work/kubectl.log"; then
    read -r node ready <<<"$(jq -r --arg ip "$CTX_SERVER_IP" --arg id "hcloud://$CTX_SERVER_ID" '[.items[]
      | select(.spec.providerID == $id or any(.status.addresses[]?; .address == $ip))
      | "\(.metadata.name) \([.status.conditions[]? | select(.type == "Ready") | .status][0] // "Unknown")"][0] // ""' "$work/nodes.json")" || true
    if [ "$ready" = True ]; then
      fail "server $label runs node \`$node\` of this cluster, which is ready" "nothing was changed; $off"
    fi
    if [ "$talos" = configured ]; then
      place="and is not among the nodes of this cluster"
      [ -z "$node" ] || place="and is node \`$node\` of this cluster, which is not ready"
      fail "server $label runs Talos with a configuration, $place" "nothing was changed; $off"
    fi
    [ -z "$node" ] || say "node \`$node\` of this cluster was on $label, and nothing of it answers any more"
  elif [ "$talos" = configured ]; then
    fail "server $label runs Talos, and whether it is a node of this cluster cannot be asked: $(tail -n 1 "$work/kubectl.log")" \
      "nothing was changed; $off; a kubeconfig of a cluster that is gone can be deleted: $CTX_KUBECONFIG"
  fi
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

# act WHAT ACTION [JSON]
act() {
  say "$1 $label"
  api POST "/servers/$CTX_SERVER_ID/actions/$2" "${3-}" || refused "$1 $label failed"
  finish_action "$1 $label failed"
}

# --- the key --------------------------------------------------------------------------------------------------------

key_id=''
key_name=''

# make_key: a new pair for this boot. An old one may have been seen, and the API does not take the same key twice.
make_key() {
  mkdir -p "$key_dir"
  rm -f "$key" "$key.pub"
  ssh-keygen -q -t ed25519 -N '' -C "ztc rescue $CTX_SERVER_IP" -f "$key"
}

# delete_leftover_keys: those of runs that were killed before they could do it.
delete_leftover_keys() {
  local id
  api GET "/ssh_keys?label_selector=ztc-rescue%3D%3D$CTX_SERVER_ID" || return 0
  jq -r --arg server "$CTX_SERVER_ID" '.ssh_keys[]? | select(.labels["ztc-rescue"] == $server) | .id' \
    "$work/answer" >"$work/leftovers" 2>/dev/null || return 0
  while IFS= read -r id; do
    api DELETE "/ssh_keys/$id" || true
  done <"$work/leftovers"
}

# upload_key: sets $key_id. The name is remembered first: an answer may get lost after the key was taken.
upload_key() {
  local json
  key_name="ztc-rescue-$CTX_SERVER_ID-$(date +%s)-$$"
  json=$(jq -n -c --arg name "$key_name" --arg key "$(cat "$key.pub")" --arg server "$CTX_SERVER_ID" \
    '{name: $name, public_key: $key, labels: {"ztc-rescue": $server}}')
  if ! api POST /ssh_keys "$json"; then
    [ "$api_code" = uniqueness_error ] || refused "cannot add a temporary SSH key to the project"
    find_key && return 0
    api_code=uniqueness_error
    refused "cannot add a temporary SSH key to the project"
  fi
  key_id=$(jq -r '.ssh_key.id // ""' "$work/answer") || key_id=''
  [ -n "$key_id" ] || fail "the API took the SSH key without naming its id" "something else than the Hetzner Cloud API answers at $endpoint"
}

# find_key: sets $key_id from $key_name.
find_key() {
  api GET "/ssh_keys?name=$key_name" || return 1
  key_id=$(jq -r --arg name "$key_name" '.ssh_keys[]? | select(.name == $name) | .id' "$work/answer" 2>/dev/null | head -n 1)
  [ -n "$key_id" ]
}

# clean_up: runs on every way out and never changes how the stage ends.
clean_up() {
  set +e
  trap '' INT TERM HUP
  forget_action
  api_attempts=2
  api_seconds=5
  # The key goes even where the budget is spent.
  within_budget() { return 0; }
  if [ -n "$key_name" ]; then
    [ -n "$key_id" ] || find_key
    if [ -n "$key_id" ] && ! api DELETE "/ssh_keys/$key_id" && [ "$api_code" != not_found ]; then
      say "warning: the temporary SSH key $key_name is still in the project ($api_code); the next run deletes it"
    fi
  fi
  api_report
  rm -rf "$work"
}

# --- the rescue system ----------------------------------------------------------------------------------------------

answered='' # rescue, other, denied or silent
detail=''   # the other system's name, or what ssh said

# probe: asks the server who it is.
probe() {
  local exit_code=0
  ssh "${ssh_options[@]}" "$CTX_SSH_USER@$CTX_SERVER_IP" hostname </dev/null >"$work/ssh.out" 2>"$work/ssh.log" || exit_code=$?
  detail=$(tr -d '\r' <"$work/ssh.out" | head -n 1)
  if [ "$exit_code" -eq 0 ]; then
    answered=other
    [ "$detail" != rescue ] || answered=rescue
    return 0
  fi
  detail=$(tail -n 1 "$work/ssh.log" | tr -d '\r')
  answered=silent
  case $detail in
  *'Permission denied'* | *'Too many authentication failures'*) answered=denied ;;
  esac
}

# await_rescue: succeeds once the rescue system answers; fails when another system does, or when the time is over.
await_rescue() {
  local start=$SECONDS deadline=$((SECONDS + boot_limit)) delay=500 denied=0 next_word=30
  say "waiting for the rescue system of $label, at most $boot_limit s"
  while :; do
    probe
    case $answered in
    rescue) return 0 ;;
    other) return 1 ;;
    denied) denied=$((denied + 1)) ;;
    silent) denied=0 ;;
    esac
    if [ "$denied" -ge "$denials" ] || [ "$SECONDS" -ge "$deadline" ]; then
      return 1
    fi
    if [ $((SECONDS - start)) -ge "$next_word" ]; then
      say "still waiting after $((SECONDS - start)) s: ${detail:-no answer}"
      next_word=$((next_word + 30))
    fi
    pause "$delay"
    delay=$(grown "$delay" 4000)
  done
}

# who: what answered instead.
who() {
  case $answered in
  other) printf '%s' "another system answered, which calls itself \`$detail\`" ;;
  denied) printf '%s' "another system answered, which does not know the key ($detail)" ;;
  *) printf '%s' "nothing answered over SSH within $boot_limit s (${detail:-no message})" ;;
  esac
}

# enable_rescue: for the next boot. What is left of an earlier attempt names an earlier key.
enable_rescue() {
  settle
  if [ "$rescue_enabled" = true ]; then
    act 'clearing the pending rescue boot of' disable_rescue
  fi
  act 'enabling the rescue system of' enable_rescue "$(jq -n -c --arg key "$key_id" '{type: "linux64", ssh_keys: [$key | tonumber]}')"
}

boot_into_rescue() {
  settle
  if [ "$server_status" != off ]; then
    act 'switching off' poweroff
  fi
  enable_rescue
  act 'switching on' poweron
  if await_rescue; then
    return 0
  fi
  # The API may say that the rescue system is enabled, and the server boots its disk all the same.
  say "$(who); trying once more with a reset"
  enable_rescue
  if [ "$server_status" = off ]; then
    act 'switching on' poweron
  else
    act 'resetting' reset
  fi
  if await_rescue; then
    return 0
  fi
  if [ "$answered" = silent ]; then
    fail "server $label did not come up in its rescue system: $(who)" \
      "port 22 of $CTX_SERVER_IP is closed from here, or the server hangs: check firewalls and the server's console, or set \`ssh_config\`"
  fi
  fail "server $label did not boot its rescue system: $(who)" \
    "the server boots its disk instead, twice in a row: look at its console in the console of Hetzner Cloud, then run \`ztc bootstrap\` again"
}

# --- the stage ------------------------------------------------------------------------------------------------------

label="\`$CTX_SERVER_NAME\` ($CTX_SERVER_IP)"
key_dir=$ZTC_STATE_DIR/rescue/$CTX_SERVER_IP
key=$key_dir/id_ed25519
ssh_options=(-T -i "$key" -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o ConnectTimeout=10
  -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null
  -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -o ControlMaster=no -o ControlPath=none -o LogLevel=ERROR)
if [ -n "$CTX_SSH_CONFIG" ]; then
  ssh_options=(-F "$ZTC_REPO/$CTX_SSH_CONFIG" "${ssh_options[@]}")
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ztc-rescue.XXXXXX")
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

api_begin
look
if [ -f "$key" ]; then
  probe
  if [ "$answered" = rescue ]; then
    # A run that was killed after the boot left its key at the cloud.
    delete_leftover_keys
    say "$label is in its rescue system already"
    exit 0
  fi
fi
refuse_member
check_token
settle
delete_leftover_keys
make_key
upload_key
boot_into_rescue
say "$label is in its rescue system"

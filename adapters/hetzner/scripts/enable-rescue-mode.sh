#!/usr/bin/env bash
# Boots one server of Hetzner Cloud into its rescue system, with a key made for this purpose alone.
#
# Needs:    curl, jq, ssh, ssh-keygen, kubectl, and where it is there talosctl; HCLOUD_TOKEN (read and write); HCLOUD_ENDPOINT where the API is elsewhere.
# Changes:  the server's power and its next boot; $ZTC_STATE_DIR/rescue/<ip>; a temporary SSH key in the project,
#           deleted on every way out. Nothing on the server's disk.
# Refuses:  a server that is protected, whose address is another one's now, that is a node of this cluster (on or off), that runs a configured
#           Talos, and every one while the cluster of the kubeconfig cannot be asked.
# Again:    a server that answers as `rescue` to that key is left alone.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
umask 077
exec 3>&1 # the stage's output, also from inside a command substitution

readonly boot_limit=240 # seconds for one boot into the rescue system; 40 are usual
readonly stage_limit=900 # seconds that this script may take
readonly denials=5      # refused logins in a row that tell another system from a rescue system that is still starting

# shellcheck source=server.sh
. server.sh
# shellcheck source=api.sh
. api.sh

# --- the power -----------------------------------------------------------------------------------------------------

left=''   # how the server is left when the script ends now
stopped='' # whether somebody wants its end

# act WHAT ACTION [JSON]
act() {
  say "$1 $label"
  api POST "/servers/$CTX_SERVER_ID/actions/$2" "${3-}" || refused "$1 $label failed"
  case $2 in
  poweroff) left='switched off' ;;
  poweron | reset) left='in its rescue system, or on the way there' ;;
  esac
  finish_action "$1 $label failed"
}

# --- the key --------------------------------------------------------------------------------------------------------

key_id=''
key_name=''
delete_attempts=6

# make_key: a new pair for this boot. An old one may have been seen, and the API does not take the same key twice.
make_key() {
  mkdir -p "$key_dir"
  rm -f "$key" "$key.pub"
  ssh-keygen -q -t ed25519 -N '' -C "ztc rescue $CTX_SERVER_IP" -f "$key"
}

# delete_key ID: patient, since a key that stays opens a rescue system. Whatever may pass is tried again; what is gone already is deleted.
delete_key() {
  local attempt=1 delay=500
  until api DELETE "/ssh_keys/$1" || [ "$api_code" = not_found ]; do
    case $api_code in
    unauthorized | forbidden | token_readonly | budget_spent) return 1 ;;
    esac
    [ "$attempt" -lt "$delete_attempts" ] || return 1
    pause "$(jittered "$delay")"
    attempt=$((attempt + 1))
    delay=$(grown "$delay" 8000)
  done
}

# delete_leftover_keys: those of runs that were killed before they could do it. One that is younger than a stage may take, and of which
# nothing is known here, belongs to somebody who works on this server now.
delete_leftover_keys() {
  local id name public own='' age
  api GET "/ssh_keys?label_selector=ztc-rescue%3D%3D$CTX_SERVER_ID" || refused "cannot look for temporary SSH keys that are left"
  jq -r --arg server "$CTX_SERVER_ID" '.ssh_keys[]? | select(.labels["ztc-rescue"] == $server)
    | "\(.id) \(.name) \(.public_key | split(" ")[1] // "-")"' "$work/answer" >"$work/leftovers" 2>/dev/null || return 0
  [ ! -f "$key.pub" ] || read -r _ own _ <"$key.pub"
  while read -r id name public; do
    age=${name#ztc-rescue-*-}
    age=${age%%-*}
    [[ $age =~ ^[0-9]+$ ]] && age=$(($(date +%s) - age)) || age=$stage_limit
    if [ "$public" != "$own" ] && [ "${age#-}" -lt "$stage_limit" ]; then
      fail "somebody else works on server $label: the project has the temporary SSH key $name, which was not made here" \
        "nothing was changed. Ask who else runs \`ztc bootstrap\` for this cluster; where nobody does, delete that key under Security, SSH keys, in the console of Hetzner Cloud, or wait until it is $((stage_limit / 60)) minutes old"
    fi
    delete_key "$id" || key_stays "$name"
    say "deleted the temporary SSH key $name, which an earlier run had left in the project"
  done <"$work/leftovers"
}

# key_stays NAME: a key that cannot be deleted fails the stage, so that the next run comes here again.
key_stays() {
  fail "the temporary SSH key $1 is still in the project: $api_code${api_message:+: $api_message}" \
    "nothing else is wrong with $label; the next \`ztc bootstrap\` deletes the key, or do it under Security, SSH keys, in the console of Hetzner Cloud"
}

# drop_key: deletes the key of this boot, which its rescue system has taken over.
drop_key() {
  local id=$key_id name=$key_name
  delete_key "$id" || {
    key_name=''
    key_stays "$name"
  }
  key_id='' key_name=''
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

# clean_up: runs on every way out and never changes how the stage ends. Whoever wanted its end does not wait long.
clean_up() {
  set +e
  trap '' INT TERM HUP PIPE
  forget_action
  # A cause that was said already stays the cause.
  [ -z "$left" ] || say "${stopped:+ZTC_CAUSE: }server $label is left $left: \`ztc bootstrap\` goes on with it; to have back what it ran, switch it off and on in the console of Hetzner Cloud, its rescue boot disabled"
  api_attempts=2
  api_seconds=5
  delete_attempts=3
  # The key goes even where the budget is spent.
  within_budget() { return 0; }
  if [ -n "$key_name" ]; then
    [ -n "$key_id" ] || find_key
    if [ -n "$key_id" ] && ! delete_key "$key_id"; then
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
  left=''
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
trap 'stopped=yes; exit 130' INT
trap 'stopped=yes; exit 143' TERM
trap 'stopped=yes; exit 129' HUP
trap 'stopped=yes; exit 141' PIPE # nobody reads what is said here any more

api_begin
look
delete_leftover_keys
if [ -f "$key" ]; then
  probe
  if [ "$answered" = rescue ]; then
    say "$label is in its rescue system already"
    exit 0
  fi
fi
refuse_member
check_token
settle
make_key
upload_key
boot_into_rescue
left=''
drop_key
say "$label is in its rescue system"

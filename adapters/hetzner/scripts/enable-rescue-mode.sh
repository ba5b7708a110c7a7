#!/usr/bin/env bash
# Boots one server of Hetzner Cloud into its rescue system, with a key made for this purpose alone.
#
# Needs:    curl, jq, ssh, ssh-keygen; HCLOUD_TOKEN (read and write); HCLOUD_ENDPOINT where the API is elsewhere.
# Changes:  the server's power and its next boot; $ZTC_STATE_DIR/rescue/<ip>; a temporary SSH key in the project,
#           deleted on every way out. Nothing on the server's disk.
# Again:    a server that answers as `rescue` to that key is left alone.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
umask 077
exec 3>&1 # the stage's output, also from inside a command substitution

readonly endpoint_default=https://api.hetzner.cloud/v1
readonly boot_limit=240   # seconds for one boot into the rescue system; 40 are usual
readonly action_limit=180 # seconds for one action of the API; 20 are usual
readonly idle_limit=120   # seconds until other actions on the server have ended
readonly denials=5        # refused logins in a row that tell another system from a rescue system that is still starting

# --- saying ---------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&3; }

# fail MESSAGE CAUSE: ends the stage.
fail() {
  printf 'error: %s\n' "$1" >&2
  say "ZTC_CAUSE: $2"
  exit 1
}

# --- waiting --------------------------------------------------------------------------------------------------------

# pause MILLISECONDS
pause() { sleep "$(($1 / 1000)).$(printf '%03d' $(($1 % 1000)))"; }

# grown MILLISECONDS LIMIT: half as much again, up to the limit.
grown() {
  local next=$(($1 * 3 / 2))
  printf '%s' $((next < $2 ? next : $2))
}

# jittered MILLISECONDS: a random time from half of it to all of it, so that servers that failed together do not come back together.
jittered() { printf '%s' $(($1 / 2 + $1 * RANDOM / 65536)); }

# --- the API --------------------------------------------------------------------------------------------------------

api_attempts=6 # the cleanup is less patient, in this
api_seconds=30 # and in this
api_code=''    # why the last request failed
api_message=''
api_reset='' # UNIX time at which the rate limit is fresh again

# The token goes to curl through a pipe: an argument list is for everybody to read.
api_credentials() { printf 'header = "Authorization: Bearer %s"\n' "$HCLOUD_TOKEN"; }

# api_once METHOD PATH [JSON]: one request; the answer is in $work/answer. Fails with $api_code set.
api_once() {
  local method=$1 path=$2 json=${3-} status exit_code=0
  local -a arguments
  arguments=(--silent --show-error --globoff --proto '=http,https' --connect-timeout 10 --max-time "$api_seconds"
    --request "$method" --header 'Accept: application/json' --user-agent ztc
    --output "$work/answer" --dump-header "$work/headers" --write-out '%{http_code}')
  if [ -n "$no_proxy_host" ]; then
    arguments+=(--noproxy "$no_proxy_host")
  fi
  if [ "$method" = POST ]; then
    printf '%s' "$json" >"$work/request"
    arguments+=(--data-binary "@$work/request" --header "Content-Type:${json:+ application/json}")
  fi
  : >"$work/answer"
  : >"$work/headers"
  api_code='' api_message='' api_reset=''
  status=$(api_credentials | curl --disable --config - "${arguments[@]}" "$endpoint$path" 2>"$work/curl.log") || exit_code=$?
  case $exit_code in
  0) ;;
  28) api_code=timeout ;;
  6 | 7) api_code=unreachable ;; # the request was never sent
  *) api_code=network ;;
  esac
  if [ -n "$api_code" ]; then
    api_message=$(head -n 1 "$work/curl.log")
    return 1
  fi
  case $status in
  2??) return 0 ;;
  esac
  api_code=$(jq -r '.error.code // ""' "$work/answer" 2>/dev/null) || api_code=''
  api_message=$(jq -r '.error.message // "" | split("\n") | join(" ")' "$work/answer" 2>/dev/null) || api_message=''
  case $status:$api_code in
  502:*) api_code=bad_gateway ;;
  504:*) api_code=timeout ;;
  401:) api_code=unauthorized ;;
  403:) api_code=forbidden ;;
  404:) api_code=not_found ;;
  409:) api_code=conflict ;;
  423:) api_code=locked ;;
  429:) api_code=rate_limit_exceeded ;;
  *:) api_code=http_$status ;;
  esac
  api_reset=$(header ratelimit-reset)
  return 1
}

# header NAME: its value in the last answer.
header() {
  local line
  while IFS= read -r line; do
    case $(printf '%s' "${line%%:*}" | tr '[:upper:]' '[:lower:]') in
    "$1") printf '%s' "${line#*:}" | tr -d ' \r' ;;
    esac
  done <"$work/headers"
}

# api METHOD PATH [JSON]: the same, and tries again what the API documents as passing.
api() {
  local attempt=1 delay=500 wait_ms reset locked_until=$((SECONDS + idle_limit))
  until api_once "$@"; do
    wait_ms=$(jittered "$delay")
    case $api_code in
    locked) # another action holds the server: not a failed attempt, but not for ever either
      [ "$SECONDS" -lt "$locked_until" ] || return 1
      attempt=$((attempt - 1))
      [ "$wait_ms" -le 5000 ] || wait_ms=5000
      ;;
    rate_limit_exceeded)
      reset=${api_reset//[!0-9]/}
      if [ -n "$reset" ]; then
        reset=$(((reset - $(date +%s)) * 1000))
        [ "$reset" -le "$wait_ms" ] || wait_ms=$reset
      fi
      ;;
    conflict | bad_gateway | timeout | unreachable) ;;
    *) return 1 ;;
    esac
    [ "$attempt" -lt "$api_attempts" ] || return 1
    [ "$wait_ms" -le 60000 ] || wait_ms=60000
    say "the API answered $api_code${api_message:+ ($api_message)}; asking again in $((wait_ms / 1000)).$((wait_ms % 1000 / 100)) s"
    pause "$wait_ms"
    attempt=$((attempt + 1))
    delay=$((delay < 30000 ? delay * 2 : 60000))
  done
}

# refused WHAT: explains why the last request failed, and ends the stage.
refused() {
  local cause
  case $api_code in
  unauthorized) cause="the token that \`api_token\` refers to is not valid: make a new one in the console of Hetzner Cloud under Security, API tokens" ;;
  forbidden) cause="the token that \`api_token\` refers to may not do this: use one of the project that owns the server" ;;
  token_readonly) cause="the token that \`api_token\` refers to may only read: make one with read and write access" ;;
  not_found) cause="server $CTX_SERVER_ID is gone: check the project, then run \`ztc render --refresh\`" ;;
  protected) cause="the server is protected: remove the protection in the console of Hetzner Cloud, then run \`ztc bootstrap\` again" ;;
  locked) cause="another action on the server did not end within $idle_limit s: see the server's activities in the console of Hetzner Cloud" ;;
  rate_limit_exceeded) cause="the project has used up its requests: wait a few minutes, then run \`ztc bootstrap\` again" ;;
  resource_limit_exceeded) cause="the project has reached a limit: see Limits in the console of Hetzner Cloud" ;;
  maintenance | unavailable | bad_gateway) cause="the API is out of order: see https://status.hetzner.com, then run \`ztc bootstrap\` again" ;;
  timeout | unreachable | network) cause="the API cannot be reached at $endpoint: check the network, the proxy variables and HCLOUD_ENDPOINT" ;;
  *) cause="the API refused with $api_code: see the message above and https://docs.hetzner.cloud" ;;
  esac
  fail "$1: $api_code${api_message:+: $api_message}" "$cause"
}

# finish_action WHAT: waits until the action in the last answer has ended well.
finish_action() {
  local what=$1 deadline=$((SECONDS + action_limit)) delay=500 id status
  id=$(jq -r '.action.id // ""' "$work/answer") || id=''
  [ -n "$id" ] || fail "$what: the API named no action" "something else than the Hetzner Cloud API answers at $endpoint"
  while :; do
    status=$(jq -r '.action.status // "unknown"' "$work/answer") || status=unreadable
    case $status in
    success) return 0 ;;
    error)
      fail "$what: $(jq -r '.action.error | "\(.code): \(.message)"' "$work/answer")" \
        "Hetzner could not do it: see the server's activities in the console, then run \`ztc bootstrap\` again"
      ;;
    esac
    if [ "$SECONDS" -ge "$deadline" ]; then
      fail "$what: action $id is still $status after $action_limit s" \
        "Hetzner is slow or out of order: see https://status.hetzner.com, then run \`ztc bootstrap\` again"
    fi
    pause "$delay"
    delay=$(grown "$delay" 5000)
    api GET "/actions/$id" || refused "$what"
  done
}

# --- the server -----------------------------------------------------------------------------------------------------

server_status=''
rescue_enabled=''

# look: reads the server; sets $server_status and $rescue_enabled, and refuses what is not the server that was configured.
look() {
  local name ip locked protected fields
  api GET "/servers/$CTX_SERVER_ID" || refused "cannot look up server $label"
  fields=$(jq -r '.server | .name, (.public_net.ipv4.ip // "none"), .locked, .status, .rescue_enabled,
    (.protection.delete or .protection.rebuild)' "$work/answer") ||
    fail "cannot read the answer about server $label" "something else than the Hetzner Cloud API answers at $endpoint"
  { IFS= read -r name && IFS= read -r ip && IFS= read -r locked && IFS= read -r server_status &&
    IFS= read -r rescue_enabled && IFS= read -r protected; } <<<"$fields" ||
    fail "the answer about server $label is incomplete" "something else than the Hetzner Cloud API answers at $endpoint"
  if [ "$ip" != "$CTX_SERVER_IP" ]; then
    fail "server $CTX_SERVER_ID (\`$name\`) has the address $ip, not $CTX_SERVER_IP" \
      "addresses were moved since the last look-up: check \`server_ips\`, then run \`ztc render --refresh\`"
  fi
  if [ "$protected" = true ]; then
    fail "server $label is protected against deletion or rebuild" \
      "its data are meant to stay: remove the protection in the console of Hetzner Cloud if they are not"
  fi
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
    [ "$said" = "$server_status" ] || say "waiting for $label, which is $server_status, at most $idle_limit s"
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
  api_attempts=2
  api_seconds=5
  if [ -n "$key_name" ]; then
    [ -n "$key_id" ] || find_key
    if [ -n "$key_id" ] && ! api DELETE "/ssh_keys/$key_id" && [ "$api_code" != not_found ]; then
      say "warning: the temporary SSH key $key_name is still in the project ($api_code); the next run deletes it"
    fi
  fi
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

endpoint=${HCLOUD_ENDPOINT:-$endpoint_default}
endpoint=${endpoint%/}
no_proxy_host=''
case $endpoint in
https://*) ;;
http://127.* | http://localhost[:/]* | http://\[::1\]*)
  no_proxy_host='*'
  [[ $endpoint =~ ^http://(127\.[0-9]+\.[0-9]+\.[0-9]+|localhost|\[::1\])(:[0-9]+)?(/.*)?$ ]] ||
    fail "HCLOUD_ENDPOINT is not an address: $endpoint" "set it to an address such as $endpoint_default, or unset it"
  ;;
*) fail "HCLOUD_ENDPOINT would send the token unencrypted: $endpoint" "set it to an address such as $endpoint_default, or unset it" ;;
esac

label="\`$CTX_SERVER_NAME\` ($CTX_SERVER_IP)"
if [[ ! ${HCLOUD_TOKEN-} =~ ^[[:graph:]]+$ || $HCLOUD_TOKEN == *[\"\\]* ]]; then
  fail "HCLOUD_TOKEN is empty or holds characters that no token has" "check what \`api_token\` in platform.yaml refers to"
fi

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
settle
delete_leftover_keys
make_key
upload_key
boot_into_rescue
say "$label is in its rescue system"

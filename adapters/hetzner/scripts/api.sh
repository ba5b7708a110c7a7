# Shared by the scripts of this adapter: requests to the Hetzner Cloud API, and the actions that they begin.
#
# Needs:    curl, jq; HCLOUD_TOKEN; HCLOUD_ENDPOINT where the API is elsewhere. `say`, `fail`, $work and $label of the script.
# Changes:  $ZTC_STATE_DIR/hetzner, in which all stages of a run count their requests and share the answers about their actions.

readonly endpoint_default=https://api.hetzner.cloud/v1
readonly action_limit=180 # seconds for one action of the API; 20 are usual
readonly idle_limit=120   # seconds until other actions on the server have ended
readonly run_budget=3000  # requests of one run in an hour; the project gets 3600, and the operator may need some himself
readonly own_budget=300   # requests of one script; 30 are usual

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

# now: milliseconds since 1970, where bash knows them; else whole seconds.
now() {
  if [ -n "${EPOCHREALTIME-}" ]; then
    local micro=${EPOCHREALTIME//[!0-9]/}
    printf '%s' $((micro / 1000))
  else
    printf '%s' "$(date +%s)000"
  fi
}

# --- requests -------------------------------------------------------------------------------------------------------

api_attempts=6 # the first and five more; the cleanup is less patient, in this
api_seconds=30 # and in this
api_code=''    # why the last request failed
api_message=''
api_reset='' # UNIX time at which the rate limit is fresh again
api_requests=0
api_waited=0 # milliseconds for the sake of the rate limit
api_shared=$ZTC_STATE_DIR/hetzner
api_counter=$api_shared/requests.$PPID # one byte a request, of all scripts that this run has started

# api_begin: checks where the API is and whether the token can be one.
api_begin() {
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
  if [[ ! ${HCLOUD_TOKEN-} =~ ^[[:graph:]]+$ || $HCLOUD_TOKEN == *[\"\\]* ]]; then
    fail "HCLOUD_TOKEN is empty or holds characters that no token has" "check what \`api_token\` in platform.yaml refers to"
  fi
  mkdir -p "$api_shared/wanted" "$api_shared/seen"
  # The number of an earlier run's process may come again, but its hour is over then.
  if [ -f "$api_counter.since" ] && [ $(($(date +%s) - $(<"$api_counter.since"))) -ge 3600 ]; then
    rm -f "$api_counter" "$api_counter.since"
  fi
  [ -f "$api_counter.since" ] || date +%s >"$api_counter.since"
}

# api_total: requests of the whole run so far.
api_total() {
  local bytes=0
  [ ! -f "$api_counter" ] || bytes=$(wc -c <"$api_counter")
  printf '%s' $((bytes))
}

# api_report: says what was asked of the API.
api_report() {
  local waited=''
  [ "$api_waited" -eq 0 ] || waited="; waited $((api_waited / 1000)).$((api_waited % 1000 / 100)) s for its rate limit"
  say "requests to the API: $api_requests here (at most $own_budget), $(api_total) in this run (at most $run_budget)$waited"
}

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
  api_requests=$((api_requests + 1))
  printf . >>"$api_counter"
  status=$(api_credentials | curl --disable --config - "${arguments[@]}" "$endpoint$path" 2>"$work/curl.log") || exit_code=$?
  case $exit_code in
  0) ;;
  28) api_code=timeout ;;
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

# within_budget: fails with $api_code set once this run has asked enough: something goes round in circles then.
within_budget() {
  api_code='' api_message=''
  if [ "$api_requests" -ge "$own_budget" ]; then
    api_message="$api_requests requests of this script are enough"
  elif [ "$(api_total)" -ge "$run_budget" ]; then
    api_message="$run_budget requests of this run within an hour are enough"
  else
    return 0
  fi
  api_code=budget_spent
  return 1
}

# api METHOD PATH [JSON]: the same, and tries again what the API documents as passing.
api() {
  local attempt=1 delay=500 wait_ms reset locked_until=$((SECONDS + idle_limit))
  within_budget || return 1
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
    conflict | bad_gateway | timeout) ;;
    *) return 1 ;;
    esac
    [ "$attempt" -lt "$api_attempts" ] || return 1
    [ "$wait_ms" -le 60000 ] || wait_ms=60000
    say "the API answered $api_code${api_message:+ ($api_message)}; asking again in $((wait_ms / 1000)).$((wait_ms % 1000 / 100)) s"
    [ "$api_code" != rate_limit_exceeded ] || api_waited=$((api_waited + wait_ms))
    pause "$wait_ms"
    attempt=$((attempt + 1))
    delay=$((delay < 30000 ? delay * 2 : 60000))
    within_budget || return 1
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
  invalid_input) cause="the API does not take what was sent: see the message above and https://docs.hetzner.cloud" ;;
  protected) cause="the server is protected: make sure that it is the right one, remove the protection only if its data may go, then run \`ztc bootstrap\` again" ;;
  locked) cause="another action on the server did not end within $idle_limit s: see the server's activities in the console of Hetzner Cloud" ;;
  rate_limit_exceeded) cause="the project has used up its requests: wait a few minutes, then run \`ztc bootstrap\` again" ;;
  budget_spent) cause="the run is stopped so that it does not use up the project's requests: see above what it waited for, then run \`ztc bootstrap\` again" ;;
  resource_limit_exceeded) cause="the project has reached a limit: see Limits in the console of Hetzner Cloud" ;;
  maintenance | unavailable | bad_gateway) cause="the API is out of order: see https://status.hetzner.com, then run \`ztc bootstrap\` again" ;;
  timeout | network) cause="the API cannot be reached at $endpoint: check the network, the proxy variables and HCLOUD_ENDPOINT" ;;
  *) cause="the API refused with $api_code: see the message above and https://docs.hetzner.cloud" ;;
  esac
  fail "$1: $api_code${api_message:+: $api_message}" "$cause"
}

# check_token: fails where the token may only read. What is sent can create nothing, because both required fields are missing: a token
# that may write is told so (`invalid_input`), one that may not is refused for its method alone.
check_token() {
  api POST /ssh_keys '{}' && return 0
  case $api_code in
  unauthorized | forbidden | token_readonly | rate_limit_exceeded | budget_spent | timeout | network | bad_gateway)
    refused "cannot check whether the token may write"
    ;;
  esac
}

# --- actions --------------------------------------------------------------------------------------------------------

# The servers of a run are worked on at the same time. Whoever waits for an action writes its id into wanted/; one of those who wait
# asks for all of them with one request, and leaves what it learnt in seen/.
awaited=''    # the action that this script waits for
is_asking=no  # whether it is this script that asks for all
last_seen=''  # status, error code and message of the awaited action

# lock_asking: only one asks at a time. A lock whose owner was killed is taken away.
lock_asking() {
  local owner=''
  if mkdir "$api_shared/asking" 2>/dev/null; then
    is_asking=yes
    printf '%s\n' "$$" >"$api_shared/asking/owner"
    return 0
  fi
  read -r owner 2>/dev/null <"$api_shared/asking/owner" || true
  if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
    rm -rf "$api_shared/asking"
  fi
  return 1
}

unlock_asking() {
  [ "$is_asking" = yes ] || return 0
  is_asking=no
  rm -rf "$api_shared/asking"
}

# forget_action: what this script leaves behind on the board.
forget_action() {
  [ -z "$awaited" ] || rm -f "$api_shared/wanted/$awaited" "$api_shared/seen/$awaited"
  awaited=''
  unlock_asking
}

# ask_for_actions: one request for the awaited action and those of up to 24 others, which is all that fits into one.
ask_for_actions() {
  local query="id=$awaited" count=1 other id status rest
  for other in "$api_shared"/wanted/*; do
    other=${other##*/}
    if [ "$other" != "$awaited" ] && [ "$other" != '*' ] && [ "$count" -lt 25 ]; then
      query="$query&id=$other"
      count=$((count + 1))
    fi
  done
  now >"$api_shared/asked"
  api GET "/actions?per_page=50&$query" || return 1
  jq -r '.actions[] | "\(.id) \(.status) \(.error.code // "-") \(.error.message // "" | split("\n") | join(" "))"' \
    "$work/answer" >"$work/actions" || : >"$work/actions"
  while read -r id status rest; do
    if [ -e "$api_shared/wanted/$id" ]; then
      printf '%s %s\n' "$status" "$rest" >"$api_shared/seen/$id.$$"
      mv -f "$api_shared/seen/$id.$$" "$api_shared/seen/$id"
    fi
  done <"$work/actions"
}

# is_due MILLISECONDS: whether nobody has asked for that long.
is_due() {
  local asked=0
  read -r asked 2>/dev/null <"$api_shared/asked" || true
  [ ! -e "$api_shared/seen/$awaited" ] || [ $(($(now) - asked)) -ge "$1" ]
}

# finish_action WHAT: waits until the action in the last answer has ended well.
finish_action() {
  local what=$1 deadline=$((SECONDS + action_limit)) delay=500 status='' code='' message=''
  read -r awaited status <<<"$(jq -r '.action | "\(.id // "") \(.status // "")"' "$work/answer" 2>/dev/null)" || true
  [[ $awaited =~ ^[0-9]+$ ]] || fail "$what: the API named no action" "something else than the Hetzner Cloud API answers at $endpoint"
  last_seen=$(jq -r '.action | "\(.status) \(.error.code // "-") \(.error.message // "" | split("\n") | join(" "))"' "$work/answer")
  rm -f "$api_shared/seen/$awaited"
  : >"$api_shared/wanted/$awaited"
  while :; do
    read -r status code message <<<"$last_seen"
    case $status in
    success) break ;;
    error)
      fail "$what: $code: $message" \
        "Hetzner could not do it: see the server's activities in the console, then run \`ztc bootstrap\` again"
      ;;
    esac
    if [ "$SECONDS" -ge "$deadline" ]; then
      fail "$what: action $awaited is still ${status:-unknown} after $action_limit s" \
        "Hetzner is slow or out of order: see https://status.hetzner.com, then run \`ztc bootstrap\` again"
    fi
    pause "$delay"
    if is_due "$delay" && lock_asking; then
      ask_for_actions || refused "$what"
      unlock_asking
    fi
    delay=$(grown "$delay" 5000)
    if [ -e "$api_shared/seen/$awaited" ]; then
      last_seen=$(<"$api_shared/seen/$awaited")
    fi
  done
  forget_action
}

#!/bin/sh
# The adapter `my-adapter` of ztc: renders one file and adds one stage. Replace both by what yours is for.
# The shell says what never changes; one jq answers: a JSON-RPC 2.0 object a line on stdin and stdout.
set -eu

manifest='{
  "name": "my-adapter",
  "version": "0.1.0",
  "description": "an adapter to begin with",
  "phase": "services",
  "supported_versions": ["v1"],
  "default_version": "v1",
  "config_schema": {
    "type": "object",
    "properties": {
      "version": { "type": "string" },
      "message": { "type": "string", "minLength": 1 }
    },
    "required": ["message"],
    "additionalProperties": false
  },
  "tools": [
    { "name": "jq", "minimum_version": "1.6", "version_arguments": ["--version"], "install_hint": "install the package `jq`" }
  ]
}'

check=$(cat <<'SCRIPT'
#!/usr/bin/env bash
# Says the message. Context: message.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

echo "my-adapter says: $CTX_MESSAGE"
SCRIPT
)

# What the adapter does, as functions of the parameters. The same parameters always give the same bytes.
# shellcheck disable=SC2016
adapter='
def get_inputs:
  { inputs: [{ name: "message", prompt: "What does it say?", type: "string", default: "hello", required: true }] };

def validate:
  { diagnostics: [
      select(.config.message // "" | contains("\n"))
      | { pointer: "/message", severity: "error", message: "the message has more than one line", help: "write it on one line" }
  ] };

# What the names begin with that two sections must not share. `section` is the key below `adapters` in platform.yaml.
def beginning:
  (.platform.section // "my-adapter") as $section
  | if $section == "my-adapter" then "" else $section + "-" end;

def render:
  beginning as $first
  | { artifacts: [{ path: ($first + "message.json"), content: ({ message: .config.message } | tojson + "\n") }],
    stages: [{
      name: ($first + "check_my_adapter" | gsub("-"; "_")), description: "Say the message", script: "my-adapter://check-my-adapter.sh", kind: "validation",
      cache_key: null
    }] };

def scripts:
  { scripts: [{
      name: "check-my-adapter.sh", kind: "validation", description: "Say the message", content: ($check + "\n"), sha256: $sha256,
      timeout_seconds: 60, context_data: { message: .config.message }
  }] };
'

# The protocol. There is no need to change anything below.
# shellcheck disable=SC2016
protocol='
def refused($code; $text): { error: { code: $code, message: $text } };

def initialize:
  if [.protocols[]? | startswith("1.")] | any
  then { result: { protocol: "1.0", manifest: $manifest } }
  else refused(1001; "this adapter speaks protocol 1.0") | .error.data = { supported: ["1.0"] }
  end;

def answer($initialized):
  .method as $method | (.params // {}) |
  if $method == "initialize" then initialize
  elif $initialized | not then refused(1002; "`\($method)` came before `initialize`")
  elif $method == "get_inputs" then { result: get_inputs }
  elif $method == "validate" then { result: validate }
  elif $method == "render" then { result: render }
  elif $method == "scripts" then { result: scripts }
  elif $method == "shutdown" then { result: {} }
  elif $method == "discover" or $method == "generate_secrets" or $method == "check_secrets"
  then refused(1003; "this adapter does not offer `\($method)`")
  else refused(-32601; "there is no method `\($method)`")
  end;

foreach (inputs | fromjson? | objects | select(.id != null and (.method | type) == "string")) as $request
  ( { initialized: false };
    .initialized as $initialized
    | .answer = ($request | try answer($initialized) catch refused(-32603; tostring))
    | .initialized = ($initialized or ($request.method == "initialize" and (.answer | has("result"))));
    { jsonrpc: "2.0", id: $request.id } + .answer )
'

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d " " -f 1
}

case ${1:-} in
    --ztc-describe)
        jq -cn --argjson manifest "$manifest" '{ protocol: "1.0", manifest: $manifest }'
        ;;
    --ztc-adapter)
        exec jq -ncR --unbuffered --argjson manifest "$manifest" --arg check "$check" \
            --arg sha256 "$(printf '%s\n' "$check" | sha256)" "$adapter$protocol"
        ;;
    *)
        echo "This is an adapter of ztc: see \`ztc plugins info my-adapter\`." >&2
        exit 2
        ;;
esac

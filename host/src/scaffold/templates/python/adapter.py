#!/usr/bin/env python3
"""The adapter `my-adapter` of ztc: renders one file and adds one stage. Replace both by what yours is for.

The upper half is the adapter, the lower half the protocol: one JSON-RPC 2.0 object a line on stdin and stdout.
"""

import hashlib
import json
import sys

MANIFEST = {
    "name": "my-adapter",
    "version": "0.1.0",
    "description": "an adapter to begin with",
    "phase": "services",
    "supported_versions": ["v1"],
    "default_version": "v1",
    "config_schema": {
        "type": "object",
        "properties": {
            "version": {"type": "string"},
            "message": {"type": "string", "minLength": 1},
        },
        "required": ["message"],
        "additionalProperties": False,
    },
    "tools": [{
        "name": "python3",
        "version_arguments": ["--version"],
        "install_hint": "install the package `python3`",
    }],
}

CHECK = """#!/usr/bin/env bash
# Says the message. Context: message.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

echo "my-adapter says: $CTX_MESSAGE"
"""


def get_inputs(params):
    """What `ztc init` asks."""
    message = {"name": "message", "prompt": "What does it say?", "type": "string", "default": "hello", "required": True}
    return {"inputs": [message]}


def validate(params):
    """What the schema cannot say."""
    diagnostics = []
    if "\n" in params["config"].get("message", ""):
        diagnostics.append({
            "pointer": "/message",
            "severity": "error",
            "message": "the message has more than one line",
            "help": "write it on one line",
        })
    return {"diagnostics": diagnostics}


def beginning(params):
    """What the names begin with that two sections must not share. `section` is the key below `adapters` in platform.yaml."""
    section = params.get("platform", {}).get("section") or "my-adapter"
    return "" if section == "my-adapter" else section + "-"


def render(params):
    """Files and stages. The same parameters always give the same bytes."""
    content = json.dumps({"message": params["config"]["message"]}, indent=2) + "\n"
    first = beginning(params)
    stage = {
        "name": first.replace("-", "_") + "check_my_adapter",
        "description": "Say the message",
        "script": "my-adapter://check-my-adapter.sh",
        "kind": "validation",
        # A stage with a cache key runs once and again only when something about it changes.
        "cache_key": None,
    }
    return {"artifacts": [{"path": first + "message.json", "content": content}], "stages": [stage]}


def scripts(params):
    """What the stages run."""
    script = {
        "name": "check-my-adapter.sh",
        "kind": "validation",
        "description": "Say the message",
        "content": CHECK,
        "sha256": hashlib.sha256(CHECK.encode()).hexdigest(),
        "timeout_seconds": 60,
        "context_data": {"message": params["config"]["message"]},
    }
    return {"scripts": [script]}


# The protocol. There is no need to change anything below.

METHODS = {"get_inputs": get_inputs, "validate": validate, "render": render, "scripts": scripts}
NOT_OFFERED = {"discover", "generate_secrets", "check_secrets"}
PROTOCOL = "1.0"


class Refused(Exception):
    """An error that goes to the host."""

    def __init__(self, code, message, **data):
        super().__init__(message)
        self.error = {"code": code, "message": message}
        if data:
            self.error["data"] = data


class Adapter:
    """One connection."""

    def __init__(self):
        self.initialized = False

    def answer(self, method, params):
        if method == "initialize":
            return self.initialize(params)
        if not self.initialized:
            raise Refused(1002, f"`{method}` came before `initialize`")
        if method == "shutdown":
            return {}
        if method in NOT_OFFERED:
            raise Refused(1003, f"this adapter does not offer `{method}`")
        if method not in METHODS:
            raise Refused(-32601, f"there is no method `{method}`")
        return METHODS[method](params)

    def initialize(self, params):
        theirs = params.get("protocols", [])
        if not any(version.split(".")[0] == "1" for version in theirs):
            message = f"this adapter speaks protocol {PROTOCOL}, the host {' and '.join(theirs)}"
            raise Refused(1001, message, supported=[PROTOCOL])
        self.initialized = True
        return {"protocol": PROTOCOL, "manifest": MANIFEST}


def serve(lines, output):
    """Answers until stdin ends. What is not a request is none of our business."""
    adapter = Adapter()
    for line in lines:
        try:
            request = json.loads(line)
        except ValueError:
            if line.strip():
                print("warning: ignored a line that is not JSON", file=sys.stderr)
            continue
        if not isinstance(request, dict) or request.get("id") is None or "method" not in request:
            continue
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            answer["result"] = adapter.answer(request["method"], request.get("params") or {})
        except Refused as refused:
            answer["error"] = refused.error
        except Exception as problem:
            answer["error"] = {"code": -32603, "message": f"{type(problem).__name__}: {problem}"}
        output.write(json.dumps(answer).encode() + b"\n")
        output.flush()


def main():
    argument = sys.argv[1] if len(sys.argv) > 1 else ""
    if argument == "--ztc-describe":
        print(json.dumps({"protocol": PROTOCOL, "manifest": MANIFEST}))
        return 0
    if argument != "--ztc-adapter" or sys.stdin.isatty():
        print("This is an adapter of ztc: see `ztc plugins info my-adapter`.", file=sys.stderr)
        return 2
    # stdout belongs to the protocol: whatever is printed by mistake goes to stderr.
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    serve(sys.stdin.buffer, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

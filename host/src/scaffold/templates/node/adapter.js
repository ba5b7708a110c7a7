#!/usr/bin/env node
// The adapter `my-adapter` of ztc: renders one file and adds one stage. Replace both by what yours is for.
// The upper half is the adapter, the lower half the protocol: one JSON-RPC 2.0 object a line on stdin and stdout.
"use strict";

const crypto = require("node:crypto");
const readline = require("node:readline");

const MANIFEST = {
  name: "my-adapter",
  version: "0.1.0",
  description: "an adapter to begin with",
  phase: "services",
  supported_versions: ["v1"],
  default_version: "v1",
  config_schema: {
    type: "object",
    properties: {
      version: { type: "string" },
      message: { type: "string", minLength: 1 },
    },
    required: ["message"],
    additionalProperties: false,
  },
  tools: [{ name: "node", version_arguments: ["--version"], install_hint: "install the package `nodejs`, or see https://nodejs.org" }],
};

const CHECK = `#!/usr/bin/env bash
# Says the message. Context: message.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

echo "my-adapter says: $CTX_MESSAGE"
`;

/** What `ztc init` asks. */
function getInputs() {
  return { inputs: [{ name: "message", prompt: "What does it say?", type: "string", default: "hello", required: true }] };
}

/** What the schema cannot say. */
function validate({ config }) {
  const diagnostics = [];
  if ((config.message ?? "").includes("\n")) {
    diagnostics.push({ pointer: "/message", severity: "error", message: "the message has more than one line", help: "write it on one line" });
  }
  return { diagnostics };
}

/** What the names begin with that two sections must not share. `section` is the key below `adapters` in platform.yaml. */
function beginning(platform) {
  const section = platform?.section || "my-adapter";
  return section === "my-adapter" ? "" : `${section}-`;
}

/** Files and stages. The same parameters always give the same bytes. */
function render({ config, platform }) {
  const first = beginning(platform);
  const stage = {
    name: `${first.replaceAll("-", "_")}check_my_adapter`,
    description: "Say the message",
    script: "my-adapter://check-my-adapter.sh",
    kind: "validation",
    // A stage with a cache key runs once and again only when something about it changes.
    cache_key: null,
  };
  const content = JSON.stringify({ message: config.message }, null, 2) + "\n";
  return { artifacts: [{ path: `${first}message.json`, content }], stages: [stage] };
}

/** What the stages run. */
function scripts({ config }) {
  const script = {
    name: "check-my-adapter.sh",
    kind: "validation",
    description: "Say the message",
    content: CHECK,
    sha256: crypto.createHash("sha256").update(CHECK).digest("hex"),
    timeout_seconds: 60,
    context_data: { message: config.message },
  };
  return { scripts: [script] };
}

// The protocol. There is no need to change anything below.

const METHODS = { get_inputs: getInputs, validate, render, scripts };
const NOT_OFFERED = ["discover", "generate_secrets", "check_secrets"];
const PROTOCOL = "1.0";
let initialized = false;

/** An error that goes to the host. */
class Refused extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

function initialize(params) {
  const theirs = params.protocols ?? [];
  if (!theirs.some((version) => version.split(".")[0] === "1")) {
    throw new Refused(1001, `this adapter speaks protocol ${PROTOCOL}, the host ${theirs.join(" and ")}`, { supported: [PROTOCOL] });
  }
  initialized = true;
  return { protocol: PROTOCOL, manifest: MANIFEST };
}

function answer(method, params) {
  if (method === "initialize") return initialize(params);
  if (!initialized) throw new Refused(1002, `\`${method}\` came before \`initialize\``);
  if (method === "shutdown") return {};
  if (NOT_OFFERED.includes(method)) throw new Refused(1003, `this adapter does not offer \`${method}\``);
  if (!Object.hasOwn(METHODS, method)) throw new Refused(-32601, `there is no method \`${method}\``);
  return METHODS[method](params);
}

/** Answers one line. What is not a request is none of our business. */
function take(line) {
  let request;
  try {
    request = JSON.parse(line.replace(/^\ufeff/, ""));
  } catch {
    if (line.trim()) console.error("warning: ignored a line that is not JSON");
    return;
  }
  if (typeof request?.method !== "string" || request.id === undefined || request.id === null) return;
  const message = { jsonrpc: "2.0", id: request.id };
  try {
    message.result = answer(request.method, request.params ?? {});
  } catch (problem) {
    const refused = problem instanceof Refused;
    message.error = { code: refused ? problem.code : -32603, message: problem.message, data: problem.data };
  }
  process.stdout.write(JSON.stringify(message) + "\n");
}

if (process.argv[2] === "--ztc-describe") {
  process.stdout.write(JSON.stringify({ protocol: PROTOCOL, manifest: MANIFEST }) + "\n");
} else if (process.argv[2] === "--ztc-adapter" && !process.stdin.isTTY) {
  // stdout belongs to the protocol: whatever is printed by mistake goes to stderr.
  console.log = console.info = console.debug = console.error;
  readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", take);
} else {
  console.error("This is an adapter of ztc: see `ztc plugins info my-adapter`.");
  process.exitCode = 2;
}

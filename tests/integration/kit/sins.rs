//! What an adapter can do wrong, as changes to the template in Python. Makes and runs nothing.

/// Changes to the template in Python, each against one rule, and the check that must notice.
pub(super) const SINS: [(&str, &str, &str); 40] = [
    (
        "handshake",
        "return {\"protocol\": PROTOCOL, \"manifest\": MANIFEST}",
        "return {\"protocol\": \"2.0\", \"manifest\": MANIFEST}",
    ),
    (
        "describe",
        "print(json.dumps({\"protocol\": PROTOCOL, \"manifest\": MANIFEST}))",
        "print(\"hello\")",
    ),
    (
        "manifest",
        "\"phase\": \"services\"",
        "\"phase\": \"whenever\"",
    ),
    ("other-protocol", "supported=[PROTOCOL]", "retryable=False"),
    (
        "initialize-first",
        "raise Refused(1002, f",
        "raise Refused(-32600, f",
    ),
    (
        "unknown-method",
        "raise Refused(-32601,",
        "raise Refused(1003,",
    ),
    (
        "strange-lines",
        "print(\"warning: ignored a line that is not JSON\", file=sys.stderr)",
        "sys.exit(1)",
    ),
    (
        "end-of-stdin",
        "serve(sys.stdin.buffer, output)\n",
        "serve(sys.stdin.buffer, output)\n    return 3\n",
    ),
    (
        "scripts",
        "hashlib.sha256(CHECK.encode())",
        "hashlib.sha256(b\"\")",
    ),
    (
        "determinism",
        "{\"message\": params[\"config\"][\"message\"]}, indent=2)",
        "{\"message\": id(object()), \"at\": __import__(\"time\").time_ns()}, indent=2)",
    ),
    (
        "artifacts",
        "{\"path\": first + ",
        "{\"path\": \"../\" + first + ",
    ),
    (
        "handshake",
        "\"id\": request[\"id\"]",
        "\"id\": request[\"id\"] or None",
    ),
    (
        "request-ids",
        "\"id\": request[\"id\"]",
        "\"id\": request[\"id\"] if isinstance(request[\"id\"], int) else None",
    ),
    (
        "left-out-params",
        "def get_inputs(params):\n",
        "def get_inputs(params):\n    params[\"answers\"][\"x\"] = 1\n",
    ),
    ("strange-lines", "not isinstance(request, dict) or ", ""),
    (
        "pipeline",
        "\"kind\": \"validation\",\n        # A stage",
        "\"retry\": {\"max_attempts\": 0},\n        # A stage",
    ),
    (
        "pipeline",
        "\"kind\": \"validation\",\n        # A stage",
        "\"needs\": [\"check_my_bed\"],\n        # A stage",
    ),
    (
        "manifest",
        "\"phase\": \"services\"",
        "\"phase\": \"services\", \"secrets\": [{\"input\": \"message\", \"variable\": \"X\", \"why\": \"x\"}]",
    ),
    (
        "scripts",
        "\"sha256\": hashlib",
        "\"secrets\": [{\"variable\": \"X\", \"input\": \"key\"}], \"sha256\": hashlib",
    ),
    (
        "script-syntax",
        "echo \"my-bad says",
        "echo \"$(my-bad says",
    ),
    (
        "messages",
        "\"kind\": \"validation\",\n        # A stage",
        "\"kind\": \"sometime\",\n        # A stage",
    ),
    (
        "stdout",
        "output.flush()",
        "output.write(b\"by the way\\n\")\n        output.flush()",
    ),
    (
        "unknown-fields",
        "return {\"inputs\": [message]}",
        "return {\"inputs\": [message] if len(params) < 5 else []}",
    ),
    (
        "unknown-fields-in-render",
        "{\"message\": params[\"config\"][\"message\"]}, indent=2)",
        "{\"message\": len(params)}, indent=2)",
    ),
    (
        "cancel",
        "        if not isinstance(request, dict) or",
        "        if request.get(\"method\") == \"$/cancel\":\n            sys.exit(1)\n        if not isinstance(request, dict) or",
    ),
    (
        "time-limits",
        "    diagnostics = []\n",
        "    diagnostics = []\n    __import__(\"time\").sleep(6)\n",
    ),
    (
        "together",
        "    for line in lines:\n",
        "    for line in iter(lambda: __import__(\"os\").read(0, 65536).split(b\"\\n\")[0], b\"\"):\n",
    ),
    (
        "shutdown",
        "if method == \"shutdown\":\n            return {}",
        "if method == \"shutdown\":\n            raise Refused(1030, \"no\")",
    ),
    (
        "inputs",
        "\"prompt\": \"What does it say?\"",
        "\"prompt\": \"\"",
    ),
    (
        "validate",
        "    diagnostics = []\n",
        "    diagnostics = [{\"pointer\": \"message\", \"message\": \"odd\", \"severity\": \"warning\"}]\n",
    ),
    (
        "render",
        "    return {\"artifacts\": [{",
        "    raise ValueError(\"x\")\n    return {\"artifacts\": [{",
    ),
    (
        "capabilities",
        "\"stages\": [stage]}",
        "\"stages\": [stage], \"capabilities\": {\"cni\": {}}}",
    ),
    ("messages", "    diagnostics = []\n", BEYOND),
    (
        "two-sections",
        "else section + \"-\"",
        "else params[\"sections\"]",
    ),
    ("discover", NOT_OFFERED, DISCOVERS_BADLY),
    ("cancel", NOT_OFFERED, CANCELS_BADLY),
    ("secret-bundles", NOT_OFFERED, FORGETS),
    ("descendants", INITIALIZED, GRANDCHILD),
    ("descendants", INITIALIZED, ESCAPED),
    ("descendants", INITIALIZED, DAEMON),
];

/// Progress that is told in percent.
const BEYOND: &str = "    diagnostics = []
    told = {\"call_id\": params[\"call\"][\"id\"], \"message\": \"half\", \"fraction\": 50}
    told = {\"jsonrpc\": \"2.0\", \"method\": \"$/progress\", \"params\": told}
    sys.__stdout__.buffer.write(json.dumps(told).encode() + b\"\\n\")
";

/// An adapter that looks things up and ends, one that ends when that is cancelled, and one that refuses the bundle that it has made.
const NOT_OFFERED: &str = "NOT_OFFERED = {\"discover\", \"generate_secrets\", \"check_secrets\"}\n";
const DISCOVERS_BADLY: &str = "NOT_OFFERED = {}
MANIFEST[\"discovers\"] = True
METHODS[\"discover\"] = lambda params: sys.exit(1)
";
const CANCELS_BADLY: &str = "NOT_OFFERED = {}
MANIFEST[\"discovers\"] = True
METHODS[\"discover\"] = lambda params: {\"facts\": {}}
def loads(line, read=json.loads, last=[]):
    request = read(line)
    last.append(isinstance(request, dict) and request.get(\"method\"))
    return sys.exit(1) if last[-2:] == [\"discover\", \"$/cancel\"] else request
json.loads = loads
";
const FORGETS: &str = "NOT_OFFERED = {}
MANIFEST[\"bundles\"] = [{\"name\": \"my-bad\", \"description\": \"a password\"}]
METHODS[\"generate_secrets\"] = lambda params: {\"content\": \"word: \" + params[\"config\"][\"message\"]}
METHODS[\"check_secrets\"] = lambda params: {\"diagnostics\": [{\"pointer\": \"/word\", \"message\": \"is not mine\"}]}
";

/// Processes that the adapter leaves behind: in its group, in a session of its own, and without parent and streams as well.
const INITIALIZED: &str = "        self.initialized = True\n";
const GRANDCHILD: &str = "        self.initialized = True
        __import__(\"subprocess\").Popen([\"sleep\", \"1000\"], stdin=-3, stdout=-3, stderr=-3)
";
const ESCAPED: &str = "        self.initialized = True
        __import__(\"subprocess\").Popen([\"setsid\", \"sleep\", \"1000\"], stdin=-3, stdout=-3)
";
const DAEMON: &str = "        self.initialized = True
        __import__(\"os\").system(\"setsid sh -c 'setsid sleep 1000 <&- >&- 2>&- &' &\")
";

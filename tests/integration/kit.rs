//! The conformance kit: every adapter of this repository passes, adapters that sin do not, and new ones begin well.

mod sins;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::environment::{Lab, TestEnv, programs};
pub(crate) use crate::needs::has;
use sins::SINS;

/// The section of the hetzner adapter, with what its `discover` would find.
const HETZNER: (&str, &str) = (
    "api_token: {from: env, name: HCLOUD_TOKEN}\nserver_ips: [203.0.113.10, 203.0.113.11]\n",
    "servers:\n  203.0.113.10: {id: '1', name: cp01, type: cpx21, architecture: amd64}\n  203.0.113.11: {id: '2', name: worker01, type: cpx21, architecture: amd64}\n",
);

const TALOS: &str = "version: v1.11.5
kubernetes_version: v1.33.4
cluster_name: kit
cluster_endpoint: https://203.0.113.10:6443
nodes:
  - {name: cp01, ip: 203.0.113.10, role: controlplane}
  - {name: worker01, ip: 203.0.113.11, role: worker}
";

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Runs the kit; returns each check with its outcome, and the exit code.
fn kit(environment: &TestEnv, arguments: &[&str]) -> (Vec<(String, String)>, Option<i32>, Value) {
    let run = environment.ztc(&[&["plugins", "test", "--json"], arguments].concat());
    let report = run.json();
    let checks = report["checks"]
        .as_array()
        .unwrap_or_else(|| panic!("{run}"));
    let outcomes = checks
        .iter()
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap().to_owned();
            (text("name"), text("outcome"))
        })
        .collect();
    (outcomes, run.code, report)
}

/// Makes sure that an adapter passes, and that no other checks than these were skipped.
#[track_caller]
fn passes(environment: &TestEnv, arguments: &[&str], skipped: &[&str]) {
    let (outcomes, code, report) = kit(environment, arguments);
    // Whether two sections can share an adapter is its own affair.
    let outcomes = outcomes
        .into_iter()
        .filter(|(name, outcome)| name != "two-sections" || outcome == "failed")
        .collect::<Vec<_>>();
    let with = |outcome: &str| -> Vec<&str> {
        let found = outcomes.iter().filter(|(_, it)| it == outcome);
        found.map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(
        (with("failed"), with("skipped"), code),
        (vec![], skipped.to_vec(), Some(0)),
        "{report:#}"
    );
}

/// What an adapter without secrets and without `discover` has nothing to show for.
const PLAIN: [&str; 2] = ["discover", "secret-canary"];

#[test]
fn the_built_in_adapters_pass() {
    let mut environment = TestEnv::new();
    // Nobody listens there: `discover` is refused at once and nothing leaves this machine.
    environment.set("HCLOUD_ENDPOINT", "http://127.0.0.1:9/v1");
    environment.write("hetzner.yaml", HETZNER.0);
    environment.write("facts.yaml", HETZNER.1);
    environment.write("talos.yaml", TALOS);
    passes(
        &environment,
        &[
            "hetzner",
            "--config",
            "hetzner.yaml",
            "--facts",
            "facts.yaml",
        ],
        &["discover"],
    );
    passes(&environment, &["cilium"], &["secret-canary"]);
    passes(&environment, &["talos", "--config", "talos.yaml"], &PLAIN);
}

#[test]
fn the_examples_pass() {
    let environment = TestEnv::new();
    let example = |file: &str| examples().join(file).display().to_string();
    if has("python3") {
        let program = example("adapter-python/ztc-adapter-static-inventory");
        passes(&environment, &[&program], &PLAIN);
    }
    if has("jq") {
        let program = example("adapter-sh/ztc-adapter-endpoint-check");
        passes(&environment, &[&program], &PLAIN);
    }
    if has("node") {
        let program = example("adapter-node/ztc-adapter-hetzner-ccm");
        passes(&environment, &[&program], &["discover"]);
    }
    let program = programs().join("ztc-adapter-namespaces");
    passes(&environment, &[&program.display().to_string()], &PLAIN);
}

#[test]
fn a_new_adapter_passes_at_once() {
    let environment = TestEnv::new();
    for (language, interpreter) in [("python", "python3"), ("sh", "jq"), ("node", "node")] {
        let name = format!("my-{language}");
        environment.ztc_ok(&["plugins", "new", &name, "--lang", language]);
        if has(interpreter) {
            let program = format!("./ztc-adapter-{name}/ztc-adapter-{name}");
            passes(&environment, &[&program], &PLAIN);
            can_be_there_twice(&environment, &program);
        }
    }
    environment.ztc_ok(&["plugins", "new", "my-rust", "--lang", "rust"]);
    let main = environment.read("ztc-adapter-my-rust/src/main.rs");
    assert!(main.contains("name: \"my-rust\".into()"), "{main}");
    // The template itself is built with this repository.
    let program = programs().join("ztc-adapter-my-adapter");
    let program = program.display().to_string();
    passes(&environment, &[&program], &PLAIN);
    can_be_there_twice(&environment, &program);
}

/// Makes sure that two sections can share an adapter.
#[track_caller]
fn can_be_there_twice(environment: &TestEnv, program: &str) {
    let (outcomes, _, report) = kit(environment, &[program]);
    let shared = ("two-sections".to_owned(), "ok".to_owned());
    assert!(outcomes.contains(&shared), "{report:#}");
}

#[test]
fn every_sin_is_noticed_by_its_check() {
    if !has("python3") {
        return;
    }
    let mut environment = TestEnv::new();
    // Long for a call of this adapter, and short for a test that waits for no answer.
    environment.set("ZTC_ADAPTER_TIMEOUT", "5");
    environment.ztc_ok(&["plugins", "new", "my-bad", "--lang", "python"]);
    let program = "ztc-adapter-my-bad/ztc-adapter-my-bad";
    let good = environment.read(program);
    for (check, from, to) in SINS {
        assert!(good.contains(from), "the template has no {from:?}");
        environment.write(program, good.replace(from, to));
        let (outcomes, code, report) = kit(&environment, &[&format!("./{program}")]);
        let outcome = outcomes.iter().find(|(name, _)| name == check);
        assert_eq!(
            (outcome.map(|(_, outcome)| outcome.as_str()), code),
            (Some("failed"), Some(1)),
            "{check}: {report:#}"
        );
        if *check == *"descendants" {
            assert!(report.to_string().contains("`sleep 1000`"), "{report:#}");
        }
    }
}

#[test]
fn an_adapter_that_cannot_render_is_neither_right_nor_wrong() {
    if !has("python3") {
        return;
    }
    let environment = TestEnv::new();
    environment.ztc_ok(&["plugins", "new", "my-new", "--lang", "python"]);
    let program = "ztc-adapter-my-new/ztc-adapter-my-new";
    let good = environment.read(program);
    let (from, to) = ("\"message\": {", "\"message\": {\"pattern\": \"^x\", ");
    assert!(good.contains(from), "{good}");
    let (ask, quiet) = ("\"default\": ", "\"was_default\": ");
    environment.write(program, good.replace(from, to).replace(ask, quiet));
    let (outcomes, code, report) = kit(&environment, &[&format!("./{program}")]);
    assert_eq!(
        (code, &report["verdict"]),
        (Some(3), &json!("incomplete")),
        "{report:#}"
    );
    assert!(
        outcomes.iter().all(|(_, outcome)| outcome != "failed"),
        "{report:#}"
    );
    let checks = report["checks"].as_array().unwrap();
    let configuration = checks.iter().find(|check| check["name"] == "configuration");
    assert_eq!(
        configuration.unwrap()["why"],
        "no configuration could be made up (no value is known for `/properties/message` of `config_schema`: give it `examples`); give one with `--config FILE`"
    );
}

#[test]
fn a_section_that_breaks_the_schema_is_the_operators() {
    if !has("python3") {
        return;
    }
    let environment = TestEnv::new();
    environment.ztc_ok(&["plugins", "new", "my-new", "--lang", "python"]);
    environment.write("section.yaml", "my-new: {message: hello}\n");
    let program = "./ztc-adapter-my-new/ztc-adapter-my-new";
    let (_, code, report) = kit(&environment, &[program, "--config", "section.yaml"]);
    let checks = report["checks"].as_array().unwrap();
    let configuration = checks.iter().find(|check| check["name"] == "configuration");
    let faults = &configuration.unwrap()["faults"];
    assert_eq!(
        (code, faults),
        (
            Some(1),
            &json!([{
                "place": "`--config`",
                "why": "breaks the adapter's schema: Additional properties are not allowed ('my-new' was unexpected); \"message\" is a required property; give what stands below `my-new:`",
            }])
        ),
        "{report:#}"
    );
}

#[test]
fn the_schema_that_is_printed_is_the_frozen_one() {
    let environment = TestEnv::new();
    let printed = environment.ztc_ok(&["plugins", "schema"]).stdout;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/1.0/schema.json");
    let frozen = environment.filtered(&fs::read_to_string(file).unwrap());
    assert!(printed == frozen, "{printed}");
}

#[test]
fn what_the_kit_says_can_be_recorded() {
    if !has("python3") {
        return;
    }
    let environment = TestEnv::new();
    environment.ztc_ok(&["plugins", "new", "my-new", "--lang", "python"]);
    let program = "./ztc-adapter-my-new/ztc-adapter-my-new";
    environment.ztc_ok(&["--record", "talk.ndjson", "plugins", "test", program]);
    let talk = environment.read("talk.ndjson");
    let first: Value = serde_json::from_str(talk.lines().next().unwrap()).unwrap();
    assert_eq!(
        (
            &first["from"],
            &first["message"]["id"],
            &first["message"]["method"]
        ),
        (&json!("host"), &json!(0), &json!("initialize"))
    );
}

#[test]
fn two_sections_can_share_an_adapter() {
    if !has("jq") {
        return;
    }
    let environment = TestEnv::new();
    let program = examples().join("adapter-sh/ztc-adapter-endpoint-check");
    let adapters = json!({
        "endpoint-check": { "endpoints": ["203.0.113.1:179"] },
        "name-servers": { "type": "endpoint-check", "endpoints": ["203.0.113.2:53"] },
    });
    let platform = json!({
        "apiVersion": "ztc/v1", "environment": "production", "adapters": adapters,
        "plugins": { "endpoint-check": { "path": program } },
    });
    environment.write("platform.yaml", format!("{platform:#}\n"));
    environment.ztc_ok(&["render"]);
    let pipeline = environment.read("bootstrap/pipeline/production.yaml");
    let names: Vec<&str> = pipeline
        .lines()
        .filter_map(|line| line.trim_start_matches(['-', ' ']).strip_prefix("name: "))
        .filter(|name| name.ends_with("check_endpoints"))
        .collect();
    assert_eq!(
        names,
        ["check_endpoints", "name_servers_check_endpoints"],
        "{pipeline}"
    );
    environment.ztc_ok(&["render", "--refresh", "name-servers"]);
    let run = environment.ztc(&["render", "--refresh", "name-server"]);
    insta::assert_snapshot!(run.to_string(), @"
    exit: 2
    --- stderr
    error: platform.yaml has no adapter `name-server`
      help: did you mean `name-servers`?
    ");
}

#[test]
fn a_secret_that_is_repeated_is_noticed() {
    if !has("node") {
        return;
    }
    let environment = TestEnv::new();
    let good = fs::read_to_string(examples().join("adapter-node/ztc-adapter-hetzner-ccm")).unwrap();
    let from = "seconds: 300 }";
    assert!(good.contains(from));
    environment.tool(
        "ztc-adapter-hetzner-ccm",
        &good
            .replace(from, "seconds: 300, token: config.api_token }")
            .replace(
                "scripts({ capabilities })",
                "scripts({ capabilities, config })",
            ),
    );
    let run = environment.ztc(&["plugins", "test", "hetzner-ccm", "--junit", "report.xml"]);
    assert_eq!(run.code, Some(1), "{run}");
    let line = run
        .stdout
        .lines()
        .find(|line| line.starts_with("secret-canary"));
    assert_eq!(
        line.unwrap_or_else(|| panic!("{run}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
        "secret-canary FAILED the answer to `scripts`: repeats a reference to a secret; a script gets the value in a variable that it declares under `secrets`"
    );
    let report = environment.read("report.xml");
    assert!(report.contains("failures=\"1\""), "{report}");
}

#[test]
fn what_is_no_adapter_is_said() {
    let environment = TestEnv::new();
    environment.tool(
        "ztc-adapter-silent",
        "#!/bin/sh\necho not today >&2\nexit 0\n",
    );
    let run = environment.ztc(&["plugins", "test", "silent"]);
    assert_eq!(run.code, Some(1), "{run}");
    insta::with_settings!({filters => [(r"with \d+ ms", "with [TIME]")]}, {
        insta::assert_snapshot!(run.to_string(), @"
        exit: 1
        --- stdout
        CHECK        RESULT  WHAT
        handshake    FAILED  `initialize`: ended with exit status: 0 and did not answer; its last line on stderr: not today
        messages     ok      0 have the form of the schema
        stdout       ok      nothing but messages
        descendants  ok      none outlives the adapter
        time-limits  ok      slowest: `initialize` with [TIME]
        --- stderr
        adapter `silent` does not conform to protocol 1.0: 4 ok, 1 failed, 0 skipped
        ");
    });
    let run = environment.ztc(&["plugins", "test", "./nowhere"]);
    insta::assert_snapshot!(run.to_string(), @"
    exit: 4
    --- stderr
    error: there is no program `./nowhere`
      help: give the path of an adapter's program, or the name of one that `ztc plugins list` shows
    ");
    let run = environment.ztc(&["plugins", "new", "Bad_Name", "--lang", "sh"]);
    insta::assert_snapshot!(run.to_string(), @"
    exit: 2
    --- stderr
    error: `Bad_Name` cannot be the name of an adapter
      help: use lower-case letters, digits and hyphens, a letter first, at most 40, such as `bgp-check`
    ");
}

/// A platform whose machines come from the adapter in Python instead of the built-in one.
fn platform(lab: &Lab, key: &Path) -> String {
    let answers = fs::read_to_string(lab.answers()).unwrap();
    let mut platform: Value = serde_saphyr::from_str(&answers).unwrap();
    let adapters = platform["adapters"].as_object_mut().unwrap();
    let hetzner = adapters.remove("hetzner").unwrap();
    let nodes = adapters["talos"]["nodes"].as_array().unwrap();
    let machines: Vec<Value> = nodes
        .iter()
        .map(|node| json!({ "ip": node["ip"], "name": node["name"] }))
        .collect();
    let inventory =
        json!({ "ssh_key": key, "ssh_config": hetzner["ssh_config"], "machines": machines });
    adapters.insert("static-inventory".to_owned(), inventory);
    let program = examples().join("adapter-python/ztc-adapter-static-inventory");
    platform["plugins"] = json!({ "static-inventory": { "path": program } });
    // JSON is YAML.
    format!("{platform:#}\n")
}

#[test]
fn an_adapter_in_python_takes_the_place_of_hetzner() {
    if !has("python3") {
        return;
    }
    let mut environment = TestEnv::new();
    let key = environment.root().join("rescue-key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success(), "no key was made");
    let public = key.with_extension("pub").display().to_string();
    let lab = Lab::start(&mut environment, &["--nodes", "2", "--in-rescue", &public]);
    environment.unset("HCLOUD_TOKEN");
    environment.unset("HCLOUD_ENDPOINT");
    environment.write("platform.yaml", platform(&lab, &key));
    environment.secrets();
    environment.ztc_ok(&["render"]);
    environment.ztc_ok(&["bootstrap", "--confirm", "lab"]);
    let state = lab.state();
    let mut ready: Vec<&str> = state["ready"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    ready.sort_unstable();
    let mut nodes = lab.nodes();
    nodes.sort_unstable();
    assert_eq!(
        (ready, &state["violations"]),
        (nodes.iter().map(String::as_str).collect(), &json!([])),
        "{state:#}"
    );
    assert!(
        lab.installs().values().all(|count| *count == 1),
        "{state:#}"
    );
}

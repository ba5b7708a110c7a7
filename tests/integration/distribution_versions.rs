//! Tables of versions: published, fetched, taken by adapters or refused by them, pinned by a lock, and said at each step.

mod attacks;
mod channel;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::cilium::section;
use crate::environment::{Run, TestEnv};
use crate::schemas::valid;
use crate::terminal::Terminal;

/// A repository with Cilium, and beside it a publisher: the directory `tree`, the key `key`.
struct World {
    environment: TestEnv,
}

impl World {
    fn new() -> Self {
        let environment = TestEnv::new();
        environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
        fs::create_dir(environment.root().join("tree")).unwrap();
        section(&environment, &["version: v1.18.6", "gateway_api: false"]);
        Self { environment }
    }

    fn tree(&self) -> PathBuf {
        self.environment.root().join("tree")
    }

    /// Puts the adapter's own table, changed, where it will be published from.
    fn put(&self, adapter: &str, serial: u64, changes: &[(&str, &str)]) {
        let own = self
            .environment
            .command(&["plugins", "run", adapter, "versions"]);
        let mut text = String::from_utf8({ own }.output().unwrap().stdout).unwrap();
        text = text.replace("serial: 1\n", &format!("serial: {serial}\n"));
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        fs::write(
            self.tree()
                .join(format!("ztc-versions-{adapter}-{serial}.yaml")),
            text,
        )
        .unwrap();
    }

    fn publish(&self, options: &[&str]) -> Run {
        let command = ["plugins", "publish", "../tree", "--key", "../key"];
        self.run(&[&command, options].concat())
    }

    /// A channel with one newer table of Cilium.
    fn published() -> Self {
        let world = Self::new();
        world.put("cilium", 2, &[("v1.18.5", "v1.18.6")]);
        assert_eq!(world.publish(&[]).code, Some(0));
        world
    }

    fn update(&self) -> Run {
        self.run(&["update-versions", "--source", "../tree"])
    }

    /// Runs `ztc`; keys and times are replaced, and the columns of tables.
    fn run(&self, arguments: &[&str]) -> Run {
        let mut run = self.environment.ztc(arguments);
        for stream in [&mut run.stdout, &mut run.stderr] {
            let word = |word: &str| {
                let bare = word.trim_end_matches([' ', '\n', '"', ',']);
                let is_time = bare.len() >= 20 && bare.starts_with("20") && bare.ends_with('Z');
                let id = bare.trim_end_matches(')');
                if id.len() == 16 && id.bytes().all(|it| b"0123456789ABCDEF".contains(&it)) {
                    return word.replace(id, "[ID]");
                }
                match (bare.starts_with("RW") && bare.len() == 56, is_time) {
                    (true, _) => word.replace(bare, "[KEY]"),
                    (_, true) => word.replace(bare, "[TIME]"),
                    _ => word.to_owned(),
                }
            };
            let text: String = stream.split_inclusive([' ', '\n', '"']).map(word).collect();
            let line = |line: &str| {
                let cells = line
                    .split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty());
                match line.starts_with(' ') {
                    true => line.to_owned(),
                    false => cells.collect::<Vec<_>>().join("  "),
                }
            };
            *stream = text.lines().map(|text| line(text) + "\n").collect();
        }
        run
    }

    fn locked(&self) -> Value {
        let lock: Value =
            serde_json::from_str(&self.environment.read("platform/lock.json")).unwrap();
        lock["versions"]["cilium"].clone()
    }

    /// Takes everything away that belongs to the machine and not to the repository.
    fn another_machine(&self) {
        fs::remove_dir_all(self.environment.root().join("home")).unwrap();
        fs::create_dir(self.environment.root().join("home")).unwrap();
    }
}

#[test]
fn a_newer_table_is_published_fetched_used_and_pinned() {
    let world = World::published();
    insta::assert_snapshot!(world.run(&["plugins", "publish-check", "../tree"]), @"
    exit: 0
    --- stderr
    ✓ 0 files, 0 versions, 0 adapters, one table of versions: serial 1, valid until [TIME], key [KEY]
    ");
    insta::assert_snapshot!(world.run(&["render"]), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:6:14: error: `cilium.version`: this adapter has no templates for Cilium `v1.18.6`
        help: use `v1.18.5`, or `source: helm` for any other release
    ");
    insta::assert_snapshot!(world.run(&["update-versions"]), @"
    exit: 2
    --- stderr
    error: no channel of versions is configured
      adapters work with the versions that they know themselves
      help: name a signed tree: `ztc update-versions --source https://…`
    ");
    insta::assert_snapshot!(world.update(), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  remote  file://[ROOT]/tree  it was fetched just now
    hetzner  1  embedded  -  file://[ROOT]/tree has no newer one
    talos  1  embedded  -  file://[ROOT]/tree has no newer one
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ file://[ROOT]/tree has serial 1, valid until [TIME]
    ");
    insta::assert_snapshot!(world.run(&["render"]), @"
    exit: 0
    --- stderr
    versions of cilium: table 2, cached, of file://[ROOT]/tree (it is the newest that was fetched)
      added    bootstrap/pipeline/production.yaml
      added    platform/generated/debug/scripts/README.md
      added    platform/generated/debug/scripts/cilium/validate-cni.sh
      added    platform/generated/debug/scripts/cilium/validate-cni.sh.context.json
      added    platform/generated/debug/scripts/cilium/wait-cilium.sh
      added    platform/generated/debug/scripts/cilium/wait-cilium.sh.context.json
      added    platform/generated/debug/scripts/cluster/up.sh
      added    platform/generated/network/cilium/manifests.yaml
      added    platform/lock.json
    ✓ rendered `production`: 7 artifacts, 3 stages (9 added, 0 changed, 0 removed, 0 unchanged)
      read what is new in platform/generated/debug/scripts/cluster: `ztc bootstrap` runs it as you, outside of the sandbox
      next: ztc plan  shows what a bootstrap would do
    ");
    let manifests = world
        .environment
        .read("platform/generated/network/cilium/manifests.yaml");
    assert!(manifests.contains("quay.io/cilium/cilium:v1.18.6@sha256:"));
    let table = world.locked();
    let source = table["source"].as_str().unwrap();
    assert_eq!(world.environment.filtered(source), "file://[ROOT]/tree");
    assert_eq!(table["serial"], 2);
    assert_eq!(world.run(&["validate"]).code, Some(0));
    insta::assert_snapshot!(world.run(&["update-versions"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  cached  file://[ROOT]/tree  platform/lock.json pins it
    hetzner  1  embedded  -  file://[ROOT]/tree has no newer one
    talos  1  embedded  -  file://[ROOT]/tree has no newer one
    --- stderr
    ✓ file://[ROOT]/tree has serial 1, valid until [TIME]
    ");
    insta::assert_snapshot!(world.run(&["plugins", "publish-check", "../tree", "--json"]).json()["tables"], @"1");
}

#[test]
fn a_lock_means_the_same_on_another_machine() {
    let world = World::published();
    world.update();
    world.environment.ztc_ok(&["render"]);
    world.another_machine();
    insta::assert_snapshot!(world.run(&["render"]), @"
    exit: 4
    --- stderr
    error: the table of versions of `cilium` that platform/lock.json pins is not on this machine
      from: file://[ROOT]/tree
      sha256: [SHA256]
      help: run `ztc update-versions`, which fetches it; `ztc render --new-versions` takes what there is instead
    ");
    insta::assert_snapshot!(world.run(&["validate"]).code.unwrap(), @"4");
    insta::assert_snapshot!(world.run(&["update-versions", "--offline"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    hetzner  1  embedded  -  no channel is configured
    talos  1  embedded  -  no channel is configured
    --- stderr
    warning: adapter `cilium` is left out: the table of versions of `cilium` that platform/lock.json pins is not on this machine
      help: run `ztc update-versions`, which fetches it; `ztc render --new-versions` takes what there is instead
    ");
    // Its bytes are known by their digest: nobody has to be trusted for them, and no channel is configured by it.
    insta::assert_snapshot!(world.run(&["update-versions"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  cached  file://[ROOT]/tree  platform/lock.json pins it
    hetzner  1  embedded  -  no channel is configured
    talos  1  embedded  -  no channel is configured
    --- stderr
    ✓ fetched table 2 of the versions of `cilium`, which platform/lock.json pins, from file://[ROOT]/tree
    ");
    insta::assert_snapshot!(world.run(&["render"]), @"
    exit: 0
    --- stderr
    versions of cilium: table 2, cached, of file://[ROOT]/tree (platform/lock.json pins it)
    ✓ nothing changed for `production`: 7 artifacts, 3 stages
    ");
    // One who serves other bytes under that name is found out.
    world.another_machine();
    let table = world.tree().join(world.locked()["path"].as_str().unwrap());
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replace("v1.18.6", "v1.18.7")).unwrap();
    insta::assert_snapshot!(world.run(&["update-versions"]), @"
    exit: 5
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    hetzner  1  embedded  -  no channel is configured
    talos  1  embedded  -  no channel is configured
    --- stderr
    warning: adapter `cilium` is left out: the table of versions of `cilium` that platform/lock.json pins is not on this machine
      help: run `ztc update-versions`, which fetches it; `ztc render --new-versions` takes what there is instead
    error: `cilium/versions/ztc-versions-cilium-2.yaml` of `file://[ROOT]/tree` does not have the bytes that were signed
      expected: [SHA256]
      found: [SHA256]
      help: do not use this tree: tell its publisher by another way than this source
    ");
}

#[test]
fn what_is_newer_than_the_lock_is_taken_when_the_operator_says_so() {
    let world = World::published();
    world.update();
    world.environment.ztc_ok(&["render"]);
    world.put("cilium", 3, &[("v1.18.5", "v1.18.6"), ("v1.3.0", "v1.3.1")]);
    world.publish(&[]);
    insta::assert_snapshot!(world.run(&["update-versions"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  cached  file://[ROOT]/tree  platform/lock.json pins it
    hetzner  1  embedded  -  file://[ROOT]/tree has no newer one
    talos  1  embedded  -  file://[ROOT]/tree has no newer one
    --- stderr
    ✓ file://[ROOT]/tree has serial 2, valid until [TIME]
      next: ztc render --new-versions  takes what is newer than the lock for cilium
    ");
    insta::assert_snapshot!(world.run(&["render"]), @"
    exit: 0
    --- stderr
    versions of cilium: table 2, cached, of file://[ROOT]/tree (platform/lock.json pins it)
    ✓ nothing changed for `production`: 7 artifacts, 3 stages
    ");
    insta::assert_snapshot!(world.run(&["render", "--new-versions"]), @"
    exit: 0
    --- stderr
    versions of cilium: table 3, cached, of file://[ROOT]/tree (it is the newest that was fetched)
      changed  platform/lock.json
    ✓ rendered `production`: 7 artifacts, 3 stages (0 added, 1 changed, 0 removed, 8 unchanged)
      next: ztc plan  shows what a bootstrap would do
    ");
    assert_eq!(world.locked()["serial"], 3);
    insta::assert_snapshot!(world.run(&["render", "--json"]).json()["versions"]["cilium"], @r#"{"origin":"cached","serial":3,"sha256":"[SHA256]","source":"file://[ROOT]/tree","path":"cilium/versions/ztc-versions-cilium-3.yaml","size":1230,"why":"platform/lock.json pins it"}"#);
    // Without the channel the lock still holds.
    insta::assert_snapshot!(world.run(&["update-versions", "--forget"]), @"
    exit: 0
    --- stderr
    ✓ adapters work with their own tables of versions again, and with those that a lock pins
    ");
    assert_eq!(world.run(&["render", "--check"]).code, Some(0));
    // One who takes what there is goes back to the adapter's own, which does not know the release.
    assert_eq!(
        world.run(&["render", "--new-versions", "cilium"]).code,
        Some(2)
    );
}

#[test]
fn a_publisher_is_told_what_is_wrong_with_a_table() {
    let world = World::new();
    let check = |file: &str, text: &str| {
        let path = world.tree().join(file);
        fs::write(&path, text).unwrap();
        let run = world.publish(&[]);
        // What was published is not there any more.
        let _ = fs::remove_file(path);
        run
    };
    insta::assert_snapshot!(check("ztc-versions-cilium-2.yaml", "serial: 3\n"), @"
    exit: 2
    --- stderr
    error: `ztc-versions-cilium-2.yaml` says that its serial is 3
      help: give the file the name of its serial, or correct `serial` in it
    ");
    insta::assert_snapshot!(check("ztc-versions-cilium-2.yaml", "serial: 2\n  - x\n"), @"
    exit: 2
    --- stderr
    error: `ztc-versions-cilium-2.yaml` is not a table of versions: it has no number `serial`
      help: begin with what the adapter has itself: `ztc plugins run NAME versions`
    ");
    insta::assert_snapshot!(check("ztc-versions-cilium-2.yaml", "default: v1\n"), @"
    exit: 2
    --- stderr
    error: `ztc-versions-cilium-2.yaml` is not a table of versions: it has no number `serial`
      help: begin with what the adapter has itself: `ztc plugins run NAME versions`
    ");
    insta::assert_snapshot!(check("ztc-versions-unknown-2.yaml", "serial: 2\n"), @"
    exit: 0
    --- stderr
    warning: table 2 of the versions of `unknown` is published unseen: there is no adapter `unknown` on this machine
      help: install it, and it says whether it takes the table
      unknown/versions/ztc-versions-unknown-2.yaml
    ✓ signed the index with serial 1, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    world.put("hetzner", 1, &[]);
    insta::assert_snapshot!(world.publish(&[]), @"
    exit: 0
    --- stderr
      hetzner/versions/ztc-versions-hetzner-1.yaml
    ✓ signed the index with serial 2, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    world.put("hetzner", 1, &[("default: v1", "default: v1 # the same")]);
    insta::assert_snapshot!(world.publish(&[]), @"
    exit: 5
    --- stderr
    warning: table 1 of the versions of `hetzner` (for *) is not for the adapter of this machine, and is published unseen: hetzner [VERSION] has table 1
    error: the versions of `hetzner` have the table 1 already
      help: give this one the serial 2
    ");
}

#[test]
fn the_directory_to_publish_is_named_from_where_the_author_is() {
    let world = World::new();
    world.put("hetzner", 2, &[]);
    let tree = world.environment.repo().join("tree");
    fs::rename(world.tree(), &tree).unwrap();
    let run = world.run(&["plugins", "publish", "tree", "--key", "../key", "--quiet"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(tree.join("index.json").is_file());
    assert_eq!(
        world.run(&["plugins", "publish-check", "tree"]).code,
        Some(0)
    );
}

/// An adapter of somebody else that takes tables, as its author has written it without an SDK.
const STRANGER: &str = r#"#!/usr/bin/env python3
import json, sys, hashlib
OWN = "serial: 1\nreleases: v1\n"
table = {"serial": 1, "sha256": hashlib.sha256(OWN.encode()).hexdigest()}
def manifest():
    return {"name": "stranger", "version": "1.0.0", "description": "takes tables", "phase": "services", "config_schema": True,
        "supported_versions": releases, "default_version": releases[0], "versions": table}
releases = ["v1"]
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    answer, method = {"result": {}}, request["method"]
    if method == "initialize":
        given = request["params"].get("versions")
        lines = dict(line.split(": ") for line in given["content"].splitlines()) if given else {}
        if given and set(lines) != {"serial", "releases"}:
            answer = {"error": {"code": -32602, "message": "the table is none of mine"}}
        else:
            if given:
                table = {"serial": given["serial"], "sha256": given["sha256"]}
                releases = lines["releases"].split(",")
            answer = {"result": {"protocol": "1.0", "manifest": manifest()}}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
"#;

#[test]
fn the_publisher_of_an_adapter_publishes_its_versions_and_no_others() {
    let world = World::new();
    let machine = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let program = world
        .tree()
        .join(format!("ztc-adapter-stranger-1.0.0-{machine}"));
    fs::write(&program, STRANGER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    world.publish(&[]);
    let install = ["plugins", "install", "stranger", "--source", "../tree"];
    assert_eq!(world.run(&install).code, Some(0));
    let table = |serial: u64, text: &str| {
        let file = format!("ztc-versions-stranger-{serial}.yaml");
        fs::write(world.tree().join(file), text).unwrap();
    };
    table(2, "serial: 2\nreleases: v2,v1\n");
    // It is not the publisher of this one: nobody has asked them about Talos.
    world.put("talos", 2, &[]);
    assert_eq!(world.publish(&[]).code, Some(0));
    insta::assert_snapshot!(world.run(&["update-versions"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  1  embedded  -  no channel is configured
    hetzner  1  embedded  -  no channel is configured
    stranger  2  remote  file://[ROOT]/tree  it was fetched just now
    talos  1  embedded  -  no channel is configured
    --- stderr
    ✓ file://[ROOT]/tree has serial 2, valid until [TIME]
    ");
    let info = world.run(&["plugins", "info", "stranger"]).stdout;
    let lines = info
        .lines()
        .filter(|line| line.contains("versions") || line.contains("table"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    stranger 1.0.0: takes tables
      versions     v2 (default), v1
      table        table 2, cached, of file://[ROOT]/tree (it is the newest that was fetched)
    ");
    table(3, "serial: 3\nhooks: x\n");
    insta::assert_snapshot!(world.publish(&[]), @"
    exit: 2
    --- stderr
    error: `stranger` does not take table 3 of its versions
      adapter `stranger`: the table is none of mine (in `initialize`)
      help: correct the table; nothing was published
    ");
    let schema = |arguments: &[&str]| {
        let run = world.environment.command(arguments).output().unwrap();
        serde_json::from_slice(&run.stdout).unwrap()
    };
    valid(
        "update-versions.schema.json",
        &schema(&["update-versions", "--json"]),
    );
    valid(
        "update-versions.schema.json",
        &schema(&["update-versions", "--json", "--forget"]),
    );
    // The kit finds an adapter that takes anything.
    let own = ["plugins", "test", "stranger"];
    let versions = |run: Run| {
        let line = run
            .stdout
            .lines()
            .find(|line| line.contains("versions-table"))
            .map(str::to_owned);
        line.unwrap_or_else(|| panic!("{run}"))
    };
    insta::assert_snapshot!(versions(world.run(&own)), @"versions-table  ok  error -32602");
    let careless = STRANGER.replace(r#"set(lines) != {"serial", "releases"}"#, "False");
    let careless = careless.replace(r#"lines["releases"].split(",")"#, r#"["v9"]"#);
    world.environment.tool("careless", &careless);
    let path = world
        .environment
        .bin()
        .join("careless")
        .display()
        .to_string();
    insta::assert_snapshot!(versions(world.run(&["plugins", "test", &path])), @"versions-table  FAILED  `initialize`: answered with a result instead of the error -32602");
}

#[test]
fn a_recording_is_replayed_with_the_table_that_was_used_then() {
    let world = World::published();
    world.update();
    let render = world.run(&["render", "--record", "../said.ndjson"]);
    assert_eq!(render.code, Some(0), "{render}");
    world.another_machine();
    insta::assert_snapshot!(world.run(&["plugins", "replay", "../said.ndjson", "--as-host"]), @"
    exit: 0
    --- stderr
    warning: not compared: `cilium shutdown` (it ends the adapter), `cluster shutdown` (it ends the adapter)
    ✓ 11 answers are the same
    ");
}

/// Ends the wizard at its first question.
fn leave(mut terminal: Terminal) {
    terminal.wait_for("Environment");
    terminal.interrupt("interrupted");
    assert_eq!(terminal.exit_code(), Some(130));
}

#[test]
fn the_wizard_offers_what_was_fetched_while_it_began() {
    let world = World::new();
    let newer = [
        ("[v1.11.6,", "[v1.11.7, v1.11.6,"),
        ("default: v1.11.5", "default: v1.11.7"),
    ];
    world.put("talos", 2, &newer);
    world.publish(&[]);
    world.update();
    world.put(
        "talos",
        3,
        &[newer[0], ("default: v1.11.5", "default: v1.11.6")],
    );
    world.publish(&[]);
    fs::remove_file(world.environment.repo().join("platform.yaml")).unwrap();
    let mut terminal = Terminal::ztc(&world.environment, &["init"]);
    terminal.wait_for("versions of talos: table 3, of file://");
    leave(terminal);
    let mut terminal = Terminal::ztc(&world.environment, &["init", "--offline"]);
    terminal.wait_for("versions of talos: table 3, cached, of file://");
    leave(terminal);
    let answers = "\
adapters:
  hetzner: {api_token: {from: env, name: HCLOUD_TOKEN}, server_ips: [203.0.113.10]}
  cilium: {bgp_enabled: false}
  talos: {cluster_name: prod, nodes: [{name: cp01, ip: 203.0.113.10, role: controlplane}]}
";
    world.environment.write("answers.yaml", answers);
    let run = world.run(&["init", "--answers", "answers.yaml"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(
        world
            .environment
            .read("platform.yaml")
            .contains("version: v1.11.6")
    );
}

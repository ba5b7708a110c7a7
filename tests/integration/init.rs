//! `ztc init`: the wizard on a real terminal, and its twin, which writes the identical file.

use std::fs;
use std::os::unix::fs::symlink;

use crate::environment::{Lab, TestEnv, programs};
use crate::terminal::Terminal;

const ENTER: &str = "\r";

/// The answers that the wizard is given below.
const ANSWERS: &str = "\
environment: production
adapters:
  hetzner:
    api_token: {from: env, name: HCLOUD_TOKEN}
    server_ips: [203.0.113.10, 203.0.113.11]
  cilium: {bgp_enabled: false}
  talos:
    cluster_name: prod
    nodes:
      - {name: cp01, ip: 203.0.113.10, role: controlplane}
      - {name: worker01, ip: 203.0.113.11, role: worker}
";

fn hetzner(terminal: &mut Terminal) {
    terminal.answer("Environment", ENTER);
    terminal.answer("Where is the Hetzner Cloud API token?", ENTER);
    terminal.answer("Its name", ENTER);
}

fn rest(terminal: &mut Terminal) {
    cluster(terminal);
    terminal.wait_for("wrote `platform.yaml`");
}

pub(crate) fn cluster(terminal: &mut Terminal) {
    terminal.answer(
        "Public IPv4 addresses of the servers",
        "203.0.113.10, 203.0.113.11\r",
    );
    terminal.answer("Use the Gateway API?", ENTER);
    terminal.answer("Announce addresses over BGP?", ENTER);
    terminal.answer("Version of talos", ENTER);
    terminal.answer("Cluster name", "prod\r");
    terminal.answer("Kubernetes version", ENTER);
    terminal.answer("Take these?", ENTER);
    terminal.answer("Address of the Kubernetes API", ENTER);
}

#[test]
fn the_wizard_and_its_twin_write_the_identical_file() {
    let wizard = TestEnv::new();
    let mut terminal = Terminal::ztc(&wizard, &["init"]);
    hetzner(&mut terminal);
    rest(&mut terminal);
    assert_eq!(terminal.exit_code(), Some(0));

    let twin = TestEnv::new();
    twin.write("answers.yaml", ANSWERS);
    twin.ztc_ok(&["init", "--answers", "answers.yaml"]);
    assert_eq!(wizard.read("platform.yaml"), twin.read("platform.yaml"));
    insta::assert_snapshot!(twin.read("platform.yaml"), @"
    # What this platform is made of. Written by `ztc init`; edit it freely, then run `ztc validate`.
    apiVersion: ztc/v1
    environment: production
    adapters:
      hetzner:
        version: v1
        api_token: {from: env, name: HCLOUD_TOKEN}
        server_ips: [203.0.113.10, 203.0.113.11]
      cilium:
        version: v1.18.5
        gateway_api: true
        bgp_enabled: false
      talos:
        version: v1.11.5
        cluster_name: prod
        kubernetes_version: v1.33.4
        nodes:
          - {name: cp01, ip: 203.0.113.10, role: controlplane}
          - {name: worker01, ip: 203.0.113.11, role: worker}
        cluster_endpoint: https://203.0.113.10:6443
    ");
    assert_eq!(wizard.read(".gitignore"), "/secrets/\n/.zerotouch-cache/\n");
}

#[test]
fn what_a_foreign_adapter_may_see_is_asked() {
    const UP: &str = "\u{1b}[A";
    let granted = "plugins:\n  fake:\n    environment: [FAKE_SETTING]\n";
    for (key, is_granted) in [("y", true), ("n", false)] {
        let environment = TestEnv::new();
        symlink(
            programs().join("fake-adapter"),
            environment.bin().join("ztc-adapter-fake"),
        )
        .unwrap();
        let mut terminal = Terminal::ztc(&environment, &["init"]);
        terminal.answer("Environment", ENTER);
        terminal.answer("Which adapter for services?", &format!("{UP}{ENTER}"));
        terminal.answer("Where is the Hetzner Cloud API token?", ENTER);
        terminal.answer("Its name", ENTER);
        cluster(&mut terminal);
        terminal.wait_for("shows that declared variables arrive");
        terminal.answer(
            "Let `fake` see your variable `FAKE_SETTING`? (y/n) › no",
            &format!("{key}{ENTER}"),
        );
        terminal.wait_for("wrote `platform.yaml`");
        assert_eq!(terminal.exit_code(), Some(0));
        let platform = environment.read("platform.yaml");
        assert_eq!(platform.contains(granted), is_granted, "{platform}");
        assert_eq!(platform.contains("plugins"), is_granted, "{platform}");
    }
}

#[test]
fn answers_on_the_command_line_write_the_identical_file_too() {
    let file = TestEnv::new();
    file.write("answers.yaml", ANSWERS);
    file.ztc_ok(&["init", "--answers", "answers.yaml"]);
    let set = TestEnv::new();
    set.ztc_ok(&[
        "init",
        "--set",
        "hetzner.api_token={from: env, name: HCLOUD_TOKEN}",
        "--set",
        "hetzner.server_ips=203.0.113.10,203.0.113.11",
        "--set",
        "cilium.bgp_enabled=false",
        "--set",
        "talos.cluster_name=prod",
        "--set",
        "talos.nodes=[{name: cp01, ip: 203.0.113.10, role: controlplane}, {name: worker01, ip: 203.0.113.11, role: worker}]",
    ]);
    let lists = |text: String| {
        text.replace(
            "server_ips: [203.0.113.10, 203.0.113.11]",
            "server_ips: 203.0.113.10,203.0.113.11",
        )
    };
    assert_eq!(
        lists(file.read("platform.yaml")),
        lists(set.read("platform.yaml"))
    );
}

#[test]
fn what_was_answered_before_an_interrupt_is_kept() {
    let environment = TestEnv::new();
    let mut terminal = Terminal::ztc(&environment, &["init"]);
    hetzner(&mut terminal);
    terminal.wait_for("Public IPv4 addresses of the servers");
    terminal.interrupt("ztc init --resume");
    assert_eq!(terminal.exit_code(), Some(130));
    assert!(!fs::exists(environment.repo().join("platform.yaml")).unwrap());

    let mut terminal = Terminal::ztc(&environment, &["init", "--resume"]);
    rest(&mut terminal);
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(
        environment
            .read("platform.yaml")
            .contains("{from: env, name: HCLOUD_TOKEN}")
    );
}

#[test]
fn the_servers_of_the_account_are_picked_and_the_nodes_asked_one_by_one() {
    const UP: &str = "\u{1b}[A";
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &[]);
    let mut terminal = Terminal::ztc(&environment, &["init"]);
    hetzner(&mut terminal);
    // The list is in the order of names, with what is known of each; the strangers between ours are left alone.
    terminal.wait_for("Servers of the cluster (space chooses, a all, Enter ends)");
    // The line that the keys act on has a sign, because there may be no colors.
    terminal.wait_for("❯ ⬚ 127.42.0.11    cp01      cpx31 amd64  fsn1  running, cluster=lab");
    terminal.answer("  ⬚ 198.51.100.1 ", ENTER);
    // None is not enough.
    terminal.wait_for("choose at least one");
    terminal.answer("127.42.0.11", " ");
    // Once around the top: the last two are ours as well.
    terminal.answer("127.42.0.11", &format!("{UP} {UP} {ENTER}"));
    terminal.answer("Use the Gateway API?", ENTER);
    terminal.answer("Announce addresses over BGP?", ENTER);
    terminal.answer("Version of talos", ENTER);
    terminal.answer("Cluster name", "prod\r");
    terminal.answer("Kubernetes version", ENTER);
    terminal.wait_for("name worker02, ip 127.42.0.13, role worker");
    terminal.answer("Take these?", "n\r");
    terminal.answer("Nodes 1: Node name", ENTER);
    terminal.wait_for("127.42.0.11  cp01");
    terminal.answer("127.42.0.13  worker02", ENTER);
    terminal.answer("Nodes 1: Role", ENTER);
    terminal.answer("Add another?", ENTER);
    // What is proposed can be changed: `worker01` gets a longer name.
    terminal.answer("Nodes 2: Node name", "-edge\r");
    terminal.answer("Nodes 2: IP address", ENTER);
    terminal.answer("Nodes 2: Role", ENTER);
    terminal.answer("2 so far. Add another?", ENTER);
    terminal.answer("Nodes 3: Node name", ENTER);
    terminal.answer("Nodes 3: IP address", ENTER);
    terminal.answer("Nodes 3: Role", ENTER);
    terminal.answer("3 so far. Add another?", ENTER);
    terminal.answer("Address of the Kubernetes API", ENTER);
    terminal.wait_for("wrote `platform.yaml`");
    assert_eq!(terminal.exit_code(), Some(0));
    let platform = environment.read("platform.yaml");
    for line in [
        "server_ips: [127.42.0.11, 127.42.0.12, 127.42.0.13]",
        "- {name: cp01, ip: 127.42.0.11, role: controlplane}",
        "- {name: worker01-edge, ip: 127.42.0.12, role: worker}",
        "- {name: worker02, ip: 127.42.0.13, role: worker}",
    ] {
        assert!(platform.contains(line), "{line}\n{platform}");
    }
    // Two pages and the check of the token, once: what was looked up is not looked up again after every answer.
    assert_eq!(lab.state()["requests"], 3);
    assert_eq!(lab.state()["violations"], serde_json::json!([]));
}

#[test]
fn without_the_api_addresses_are_typed_and_the_reason_is_said() {
    let mut environment = TestEnv::new();
    environment.set("HCLOUD_TOKEN", "not-a-real-token");
    let mut terminal = Terminal::ztc(&environment, &["init"]);
    hetzner(&mut terminal);
    terminal
        .wait_for("Cannot list the servers at `http://127.0.0.1:1/v1`: the API cannot be reached");
    terminal.wait_for("Public IPv4 addresses of the servers");
    terminal.interrupt("ztc init --resume");
    assert_eq!(terminal.exit_code(), Some(130));

    environment.unset("HCLOUD_TOKEN");
    let mut terminal = Terminal::ztc(&environment, &["init", "--resume"]);
    terminal.wait_for("environment variable `HCLOUD_TOKEN`: it is not set; what it opens");
    terminal.wait_for("Public IPv4 addresses of the servers");
    terminal.interrupt("ztc init --resume");
    assert_eq!(terminal.exit_code(), Some(130));
}

#[test]
fn only_what_is_wrong_is_asked_again() {
    let environment = TestEnv::new();
    environment.write("answers.yaml", ANSWERS);
    environment.ztc_ok(&["init", "--answers", "answers.yaml"]);
    let right = environment.read("platform.yaml");
    environment.write(
        "platform.yaml",
        right.replace("cluster_name: prod", "cluster_name: prod-"),
    );
    let mut terminal = Terminal::ztc(&environment, &["init", "--resume"]);
    // The wrong answer stands there to be corrected; here by what is missing at its end.
    terminal.answer("Cluster name", "1\r");
    terminal.wait_for("wrote `platform.yaml`");
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(
        environment.read("platform.yaml"),
        right.replace("cluster_name: prod", "cluster_name: prod-1")
    );
}

#[test]
fn a_typed_secret_is_stored_privately_and_never_in_platform_yaml() {
    use std::os::unix::fs::PermissionsExt;
    let environment = TestEnv::new();
    let mut terminal = Terminal::ztc(&environment, &["init"]);
    terminal.answer("Environment", ENTER);
    // Three down: `type it now`.
    terminal.answer("type it now", "\u{1b}[B\u{1b}[B\u{1b}[B\r");
    terminal.wait_for("Hetzner Cloud API token");
    terminal.answer("›", "typed-secret-4711\r");
    rest(&mut terminal);
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(
        environment
            .read("platform.yaml")
            .contains("{from: store, name: hetzner-api-token}")
    );
    let path = environment.repo().join("secrets/hetzner-api-token");
    assert_eq!(fs::read_to_string(&path).unwrap(), "typed-secret-4711");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for (file, content) in environment.files() {
        let holds = String::from_utf8_lossy(&content).contains("typed-secret");
        assert_eq!(holds, file == "secrets/hetzner-api-token", "{file}");
    }
}

#[test]
fn without_a_terminal_and_without_answers_it_says_how() {
    insta::assert_snapshot!(TestEnv::new().ztc(&["init"]), @"
    exit: 2
    --- stderr
    error: `ztc init` asks questions, and this is no terminal
      help: give the answers: `ztc init --answers FILE` with a file of the form of platform.yaml, or `--set talos.cluster_name=prod` and so on
    ");
}

#[test]
fn answers_that_are_missing_or_wrong_are_all_named() {
    let environment = TestEnv::new();
    environment.write(
        "answers.yaml",
        "adapters:\n  hetzner: {server_ips: [203.0.113.300]}\n  talso: {}\n",
    );
    insta::assert_snapshot!(environment.ztc(&["init", "--answers", "answers.yaml"]), @"
    exit: 2
    --- stderr
    versions: those that the adapters know themselves (no channel is configured)
    error: the answers do not make a platform; nothing was written
      answers.yaml:2:26: error: `hetzner.server_ips[0]`: `203.0.113.300` does not have the expected form
        help: Separated by commas, such as 203.0.113.10, 203.0.113.11. Everything on the servers that you choose is erased by `ztc bootstrap`, which asks once more before it begins.
      answers.yaml:2:26: error: `hetzner.server_ips[0]`: `203.0.113.300` is not an IPv4 address: `300` is above 255
        help: write the server's public IPv4 address, such as `203.0.113.10`
      answers.yaml:3:3: error: there is no adapter `talso`
        help: did you mean `talos`?
      error: `talos.cluster_name` has no answer: Cluster name
        help: lower-case letters, digits and hyphens, such as prod-fsn1; bootstrap asks for it before it wipes disks
      help: give the answers in the file of `--answers` or with `--set ADAPTER.KEY=VALUE`, or run `ztc init` on a terminal
    ");
    environment.write("answers.yaml", "adapters:\n  hetzner: {server_ips: [203.0.113.300]}\n  cilium: {}\n  talos: {cluster_name: prod}\n");
    insta::assert_snapshot!(environment.ztc(&["init", "--answers", "answers.yaml"]), @"
    exit: 2
    --- stderr
    versions: those that the adapters know themselves (no channel is configured)
    error: the answers do not make a platform; nothing was written
      answers.yaml:2:26: error: `hetzner.server_ips[0]`: `203.0.113.300` does not have the expected form
        help: Separated by commas, such as 203.0.113.10, 203.0.113.11. Everything on the servers that you choose is erased by `ztc bootstrap`, which asks once more before it begins.
      answers.yaml:2:26: error: `hetzner.server_ips[0]`: `203.0.113.300` is not an IPv4 address: `300` is above 255
        help: write the server's public IPv4 address, such as `203.0.113.10`
      answers.yaml:4:3: error: `talos.nodes[0].ip`: `203.0.113.300` is not an IP address
        help: write it as `203.0.113.10` or `2001:db8::10`, without a port or a network
      answers.yaml:4:3: error: `talos.cluster_endpoint`: `https://203.0.113.300:6443` is not an endpoint: `203.0.113.300` is not an IPv4 address
        help: write it as `https://host:port`, such as `https://203.0.113.10:6443`, `https://[2001:db8::10]:6443` or `https://api.example.com:6443`
      help: give the answers in the file of `--answers` or with `--set ADAPTER.KEY=VALUE`, or run `ztc init` on a terminal
    ");
    assert!(!fs::exists(environment.repo().join("platform.yaml")).unwrap());
}

#[test]
fn a_plain_secret_is_refused_without_showing_it() {
    let environment = TestEnv::new();
    environment.write("answers.yaml", ANSWERS);
    let run = environment.ztc(&[
        "init",
        "--answers",
        "answers.yaml",
        "--set",
        "hetzner.api_token=plain-secret-4711",
    ]);
    assert!(!run.to_string().contains("plain-secret"), "{run}");
    insta::assert_snapshot!(run, @"
    exit: 2
    --- stderr
    versions: those that the adapters know themselves (no channel is configured)
    error: the answers do not make a platform; nothing was written
      --set hetzner.api_token: error: `hetzner.api_token`: a secret never stands in platform.yaml itself; write a reference such as `{from: env, name: HCLOUD_TOKEN}`
      help: give the answers in the file of `--answers` or with `--set ADAPTER.KEY=VALUE`, or run `ztc init` on a terminal
    ");
}

#[test]
fn an_existing_platform_is_not_written_over() {
    let environment = TestEnv::new();
    environment.write("answers.yaml", ANSWERS);
    environment.ztc_ok(&["init", "--answers", "answers.yaml"]);
    let before = environment.files();
    insta::assert_snapshot!(environment.ztc(&["init", "--answers", "answers.yaml", "--set", "talos.cluster_name=other"]), @"
    exit: 5
    --- stderr
    error: there is a `platform.yaml` already
      help: keep its answers and add what is missing with `ztc init --resume`, or write a new one over it with `ztc init --force`
    ");
    assert!(environment.files() == before, "a file changed");
    environment.ztc_ok(&[
        "init",
        "--force",
        "--answers",
        "answers.yaml",
        "--set",
        "talos.cluster_name=other",
    ]);
    assert!(
        environment
            .read("platform.yaml")
            .contains("cluster_name: other")
    );
}

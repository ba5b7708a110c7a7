//! Everything that goes wrong between Hetzner Cloud and a written disk, in the simulated world, with its exact ending.

mod safety;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bootstrap::rendered;
use crate::environment::{Lab, Run, TestEnv};
use crate::web::{Authority, Web, status};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const RESCUE: [&str; 5] = [
    "bootstrap",
    "--only",
    "enable_rescue_mode",
    "--confirm",
    "lab",
];
const BOOTSTRAP: [&str; 3] = ["bootstrap", "--confirm", "lab"];

/// A rendered repository in a world of one machine.
fn one() -> (TestEnv, Lab) {
    rendered(&["--nodes", "1"])
}

/// What the last run's stage wrote for the one machine, without what differs from run to run.
fn log(environment: &TestEnv, lab: &Lab, stage: &str) -> String {
    let runs = environment.repo().join(".zerotouch-cache/runs");
    let mut runs: Vec<PathBuf> = fs::read_dir(runs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    runs.sort();
    let file = runs.last().unwrap().join(format!("{stage}.cp01.log"));
    filtered(lab, &fs::read_to_string(file).unwrap())
}

fn filtered(lab: &Lab, text: &str) -> String {
    let mut lines: Vec<String> = lab.filtered(text).lines().map(counted).collect();
    // How often the same is said depends on the pace of the machine.
    lines.dedup();
    lines.join("\n")
}

/// Takes counts of requests and durations of pauses out of a line.
fn counted(line: &str) -> String {
    let mut line = line.to_owned();
    for (before, after) in [
        ("requests to the API: ", " here"),
        ("(at most 300), ", " in this run"),
        ("asking again in ", " s"),
        ("/runs/", "/"),
        ("waited ", " s for"),
    ] {
        if let Some((head, rest)) = line.split_once(before)
            && let Some((_, tail)) = rest.split_once(after)
        {
            line = format!("{head}{before}[N]{after}{tail}");
        }
    }
    // The name of a key has the time and the process in it.
    if let Some((head, rest)) = line.split_once("ztc-rescue-[ID CP01]-") {
        let tail = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        line = format!("{head}ztc-rescue-[ID CP01]-[N]{tail}");
    }
    line
}

/// The last lines of a failed run: what failed, why, and the command to type next.
fn ending(lab: &Lab, run: &Run) -> String {
    assert_eq!(run.code, Some(1), "{run}");
    let text = filtered(lab, &run.stderr);
    let start = text.find("error: ").unwrap_or_default();
    text[start..].to_owned()
}

/// Makes sure that no server was switched and no key is left.
#[track_caller]
fn assert_untouched(lab: &Lab) {
    let state = lab.state();
    assert_eq!(
        (&state["actions"], &state["ssh_keys"], &state["violations"]),
        (&json!([]), &json!([]), &json!([])),
        "{state:#}"
    );
}

#[track_caller]
fn assert_no_keys(lab: &Lab) {
    let state = lab.state();
    assert_eq!(state["ssh_keys"], json!([]), "a temporary key is left");
    assert_eq!(state["violations"], json!([]));
}

fn wait(lab: &Lab, what: &str, holds: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    while !holds(&lab.state()) {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_token_that_may_only_read_is_found_by_the_render() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &["--nodes", "1"]);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    lab.fault("readonly-token");
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&["render"]).to_string()), @"
    exit: 1
    --- stderr
      hetzner: requests to the API: 3 (at most 200)
    error: adapter `hetzner`: cannot change anything in the project at `[FACTORY]/v1`: the API answered `token_readonly`: token is only allowed to perform GET requests
      help: the token that `api_token` refers to may only read: make one with read and write access
    ");
    assert_untouched(&lab);
}

#[test]
fn a_token_that_may_only_read_stops_before_the_first_server() {
    let (environment, lab) = one();
    lab.fault("readonly-token");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `check_servers[cp01]` failed: exit code 1
      likely cause: the token that `api_token` refers to may only read: make one with read and write access
      its last lines (all: .zerotouch-cache/runs/[N]/check_servers.cp01.log):
        | `cp01` ([IP CP01]) is server [ID CP01]: cpx31, x86, disk of 160 GB, running
        | error: cannot check whether the token may write: token_readonly: token is only allowed to perform GET requests
        | requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
      go on:      ztc bootstrap
      only this:  ztc bootstrap --only 'check_servers[cp01]'
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    insta::assert_snapshot!(log(&environment, &lab, "check_servers"), @"
    `cp01` ([IP CP01]) is server [ID CP01]: cpx31, x86, disk of 160 GB, running
    error: cannot check whether the token may write: token_readonly: token is only allowed to perform GET requests
    ZTC_CAUSE: the token that `api_token` refers to may only read: make one with read and write access
    requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
    ");
    assert_untouched(&lab);
}

#[test]
fn sixty_servers_on_three_pages_and_a_limited_api_are_overcome() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(
        &mut environment,
        &["--nodes", "1", "--fault", "many-servers=60"],
    );
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    lab.fault("rate-limit=1");
    lab.fault("bad-gateway=1");
    let run = environment.ztc_ok(&["render"]);
    let said: Vec<String> = filtered(&lab, &run.stderr)
        .lines()
        .filter(|line| line.starts_with("  hetzner: "))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(said.join("\n"), @"  hetzner: requests to the API: 6 (at most 200); waited [N] s for its rate limit");
    // Three pages, the check of the token, and the two that were refused.
    assert_eq!(lab.state()["requests"], 6);
}

#[test]
fn an_unknown_address_is_told_with_the_servers_there_are() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &["--nodes", "1"]);
    let answers = fs::read_to_string(lab.answers()).unwrap();
    let wrong = answers.replace("127.42.0.11", "127.42.0.99");
    environment.write("answers.yaml", wrong);
    environment.ztc_ok(&["init", "--answers", "answers.yaml"]);
    environment.secrets();
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&["render"]).to_string()), @"
    exit: 2
    --- stderr
      hetzner: requests to the API: 3 (at most 200)
    error: adapter `hetzner` refuses its section of platform.yaml
      platform.yaml:8:18: error: `hetzner.server_ips[0]`: the project of the API token has no server with the public address `127.42.0.99`
        help: the project has `cp01` ([IP CP01]), `shop-01` (198.51.100.1), `shop-02` (198.51.100.2), `shop-03` (198.51.100.3), `shop-04` (198.51.100.4), `shop-05` (198.51.100.5), `shop-06` (198.51.100.6), `shop-07` (198.51.100.7), `shop-08` (198.51.100.8), `shop-09` (198.51.100.9), `shop-10` (no public IPv4 address), `shop-11` (198.51.100.11), `shop-12` (198.51.100.12), `shop-13` (198.51.100.13), `shop-14` (198.51.100.14), `shop-15` (198.51.100.15), `shop-16` (198.51.100.16), `shop-17` (198.51.100.17), `shop-18` (198.51.100.18), `shop-19` (198.51.100.19) and 34 more
    ");
    assert_untouched(&lab);
}

#[test]
fn limits_locks_and_gateways_are_waited_for() {
    let (environment, lab) = one();
    for fault in ["rate-limit=1", "bad-gateway=1", "locked=3"] {
        lab.fault(fault);
    }
    environment.ztc_ok(&RESCUE);
    let log = log(&environment, &lab, "enable_rescue_mode");
    insta::assert_snapshot!(log, @"
    the API answered rate_limit_exceeded (API rate limit exceeded); asking again in [N] s
    the API answered bad_gateway (the backend did not answer); asking again in [N] s
    `cp01` ([IP CP01]) is server [ID CP01]: cpx31, x86, disk of 160 GB, running
    waiting for `cp01` ([IP CP01]), which is locked and running, at most 120 s
    switching off `cp01` ([IP CP01])
    enabling the rescue system of `cp01` ([IP CP01])
    switching on `cp01` ([IP CP01])
    waiting for the rescue system of `cp01` ([IP CP01]), at most 240 s
    `cp01` ([IP CP01]) is in its rescue system
    requests to the API: [N] here (at most 300), [N] in this run (at most 3000); waited [N] s for its rate limit
    ");
    assert_no_keys(&lab);
}

#[test]
fn a_protected_server_is_refused() {
    let (environment, lab) = one();
    lab.fault("protected");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `check_servers[cp01]` failed: exit code 1
      likely cause: its data are meant to stay: make sure that `server_ips` means this server and not another team's; remove the protection only if its data may go
      its last lines (all: .zerotouch-cache/runs/[N]/check_servers.cp01.log):
        | error: server `cp01` ([IP CP01]) is protected against deletion or rebuild
        | requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
      go on:      ztc bootstrap
      only this:  ztc bootstrap --only 'check_servers[cp01]'
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    assert_untouched(&lab);
}

#[test]
fn an_address_that_changed_its_owner_is_refused() {
    let (environment, lab) = one();
    lab.fault("ip-moved");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `check_servers[cp01]` failed: exit code 1
      likely cause: addresses were moved since the last look-up: check `server_ips`, then run `ztc render --refresh`
      its last lines (all: .zerotouch-cache/runs/[N]/check_servers.cp01.log):
        | error: server [ID CP01] (`cp01`) has the address 198.51.100.253, not [IP CP01]
        | requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
      go on:      ztc bootstrap
      only this:  ztc bootstrap --only 'check_servers[cp01]'
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    assert_untouched(&lab);
}

#[test]
fn a_server_that_misses_its_rescue_system_gets_one_more_power_cycle() {
    let (environment, lab) = one();
    lab.fault("rescue-not-entered=1");
    lab.fault("ssh-refused=3");
    environment.ztc_ok(&RESCUE);
    insta::assert_snapshot!(log(&environment, &lab, "enable_rescue_mode"), @"
    `cp01` ([IP CP01]) is server [ID CP01]: cpx31, x86, disk of 160 GB, running
    switching off `cp01` ([IP CP01])
    enabling the rescue system of `cp01` ([IP CP01])
    switching on `cp01` ([IP CP01])
    waiting for the rescue system of `cp01` ([IP CP01]), at most 240 s
    another system answered, which calls itself `cp01-old`; trying once more with a reset
    clearing the pending rescue boot of `cp01` ([IP CP01])
    enabling the rescue system of `cp01` ([IP CP01])
    resetting `cp01` ([IP CP01])
    waiting for the rescue system of `cp01` ([IP CP01]), at most 240 s
    `cp01` ([IP CP01]) is in its rescue system
    requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
    ");
    assert_no_keys(&lab);
}

#[test]
fn a_server_that_always_misses_its_rescue_system_is_left_with_a_clear_word() {
    let (environment, lab) = one();
    lab.fault("rescue-not-entered=9");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `enable_rescue_mode[cp01]` failed: exit code 1
      likely cause: the server boots its disk instead, twice in a row: look at its console in the console of Hetzner Cloud, then run `ztc bootstrap` again
      its last lines (all: .zerotouch-cache/runs/[N]/enable_rescue_mode.cp01.log):
        | `cp01` ([IP CP01]) is server [ID CP01]: cpx31, x86, disk of 160 GB, running
        | switching off `cp01` ([IP CP01])
        | enabling the rescue system of `cp01` ([IP CP01])
        | switching on `cp01` ([IP CP01])
        | waiting for the rescue system of `cp01` ([IP CP01]), at most 240 s
        | another system answered, which calls itself `cp01-old`; trying once more with a reset
        | clearing the pending rescue boot of `cp01` ([IP CP01])
        | enabling the rescue system of `cp01` ([IP CP01])
        | resetting `cp01` ([IP CP01])
        | waiting for the rescue system of `cp01` ([IP CP01]), at most 240 s
        | error: server `cp01` ([IP CP01]) did not boot its rescue system: another system answered, which calls itself `cp01-old`
        | requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
      go on:      ztc bootstrap
      only this:  ztc bootstrap --only 'enable_rescue_mode[cp01]'
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    assert_no_keys(&lab);
    assert_eq!(lab.state()["nodes"][0]["disk"], "old_system");
}

#[test]
fn an_image_that_cannot_be_fetched_wipes_nothing() {
    let (environment, lab) = one();
    lab.fault("image-missing");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `install_talos[cp01]` failed: exit code 1
      likely cause: nothing was written: [IP CP01] cannot fetch [FACTORY]/image/[SHA256]/v1.11.5/hcloud-amd64.raw.xz (curl: (22) The requested URL returned error: 404 ); check schematic_id and the version, and that the machine reaches the factory
      its last lines (all: .zerotouch-cache/runs/[N]/install_talos.cp01.log):
        | waiting up to 300 s for the rescue system of [IP CP01]
      go on:      ztc bootstrap
      only this:  ztc bootstrap --only 'install_talos[cp01]'
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    let state = lab.state();
    assert_eq!(state["nodes"][0]["disk"], "old_system");
    assert_no_keys(&lab);
}

#[test]
fn an_image_that_is_not_the_published_one_boots_nothing() {
    let (environment, lab) = one();
    lab.fault("image-corrupt");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `install_talos[cp01]` failed: exit code 1
      likely cause: the image that came from [FACTORY]/image/[SHA256]/v1.11.5/hcloud-amd64.raw.xz is not the one that the factory published: its sha256 is [SHA256], not [SHA256]; /dev/sda of [IP CP01] was wiped again and boots nothing. Try again; if it stays so, ask who runs the factory
      its last lines (all: .zerotouch-cache/runs/[N]/install_talos.cp01.log):
        | waiting up to 300 s for the rescue system of [IP CP01]
        | the factory publishes the image's sha256: [SHA256]
        | what is on /dev/sda of [IP CP01], all of which is erased now:
        | NAME     SIZE TYPE FSTYPE LABEL MOUNTPOINT MODEL
        | sda    152.6G disk                         QEMU HARDDISK
        | sda1   152.3G part ext4   root             
        | sda15    256M part vfat   EFI              
        | wiping /dev/sda of [IP CP01]
        | writing [FACTORY]/image/[SHA256]/v1.11.5/hcloud-amd64.raw.xz to /dev/sda
      go on:      ztc bootstrap
      only this:  ztc bootstrap --only 'install_talos[cp01]'
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    insta::assert_snapshot!(log(&environment, &lab, "install_talos"), @"
    waiting up to 300 s for the rescue system of [IP CP01]
    the factory publishes the image's sha256: ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5
    what is on /dev/sda of [IP CP01], all of which is erased now:
    NAME     SIZE TYPE FSTYPE LABEL MOUNTPOINT MODEL
    sda    152.6G disk                         QEMU HARDDISK
    sda1   152.3G part ext4   root             
    sda15    256M part vfat   EFI              
    wiping /dev/sda of [IP CP01]
    writing [FACTORY]/image/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba/v1.11.5/hcloud-amd64.raw.xz to /dev/sda
    ZTC_CAUSE: the image that came from [FACTORY]/image/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba/v1.11.5/hcloud-amd64.raw.xz is not the one that the factory published: its sha256 is 661a56d95c4fa8f2f9acd98e3a09733ff51c789e0f915f47a0ede8c42aedba4b, not ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5; /dev/sda of [IP CP01] was wiped again and boots nothing. Try again; if it stays so, ask who runs the factory
    ");
    assert_eq!(lab.state()["nodes"][0]["disk"], "nothing");
    lab.mend();
    environment.ztc_ok(&BOOTSTRAP);
    assert_eq!(lab.state()["ready"], json!(["cp01"]));
}

#[test]
fn a_factory_without_checksums_is_told_and_a_node_of_the_cluster_is_not_wiped() {
    let (environment, lab) = one();
    lab.fault("no-checksum");
    environment.ztc_ok(&BOOTSTRAP);
    insta::assert_snapshot!(log(&environment, &lab, "install_talos"), @"
    waiting up to 300 s for the rescue system of [IP CP01]
    the factory publishes no sha256 of the image; its own check sums and the transport are what protects it
    what is on /dev/sda of [IP CP01], all of which is erased now:
    NAME     SIZE TYPE FSTYPE LABEL MOUNTPOINT MODEL
    sda    152.6G disk                         QEMU HARDDISK
    sda1   152.3G part ext4   root             
    sda15    256M part vfat   EFI              
    wiping /dev/sda of [IP CP01]
    writing [FACTORY]/image/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba/v1.11.5/hcloud-amd64.raw.xz to /dev/sda
    sha256 of the image that was written: 661a56d95c4fa8f2f9acd98e3a09733ff51c789e0f915f47a0ede8c42aedba4b
    booting Talos on [IP CP01]
    ");
    let before = lab.state()["actions"].clone();
    let run = environment.ztc(&RESCUE);
    insta::assert_snapshot!(ending(&lab, &run), @"
    error: `enable_rescue_mode[cp01]` failed: exit code 1
      likely cause: nothing was changed. To install it anew, take it out first: `kubectl drain cp01 --ignore-daemonsets --delete-emptydir-data`, `talosctl -n [IP CP01] reset` (a control plane leaves etcd with it; where it does not answer any more, `talosctl etcd remove-member` on another one), `kubectl delete node cp01`; then `ztc bootstrap --only 'enable_rescue_mode[cp01]'` and `ztc bootstrap`
      its last lines (all: .zerotouch-cache/runs/[N]/enable_rescue_mode.cp01.log):
        | `cp01` ([IP CP01]) is server [ID CP01]: cpx31, x86, disk of 160 GB, running
        | error: server `cp01` ([IP CP01]) is node `cp01` of this cluster, which is ready
        | requests to the API: [N] here (at most 300), [N] in this run (at most 3000)
      go on:      ztc bootstrap --only enable_rescue_mode
      by hand:    ztc eject
      help: put the cause right and go on; what succeeded is not run again
    ");
    let after = lab.state();
    assert_eq!(
        (&after["actions"], &after["ready"]),
        (&before, &json!(["cp01"]))
    );
}

#[test]
fn a_kill_behind_the_last_byte_writes_no_disk_twice() {
    let (environment, lab) = one();
    let mut child = environment
        .command(&BOOTSTRAP)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait(&lab, "the write", |state| {
        state["nodes"][0]["installs"] == 1
    });
    child.kill().unwrap();
    child.wait().unwrap();
    environment.ztc_ok(&BOOTSTRAP);
    let state = lab.state();
    assert_eq!(
        (&state["ready"], &state["nodes"][0]["installs"]),
        (&json!(["cp01"]), &json!(1))
    );
    assert_no_keys(&lab);
}

#[test]
fn the_temporary_key_goes_with_a_signal_and_with_the_run_behind_a_kill() {
    let (environment, lab) = one();
    let until_key = || {
        let child = environment
            .command(&RESCUE)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait(&lab, "the key", |state| state["ssh_keys"] != json!([]));
        child
    };
    let mut child = until_key();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_no_keys(&lab);

    // Nobody runs ztc any more: the stage itself deletes it on its way out.
    let mut child = until_key();
    child.kill().unwrap();
    child.wait().unwrap();
    wait(&lab, "the end of the key", |state| {
        state["ssh_keys"] == json!([])
    });
    environment.ztc_ok(&RESCUE);
    assert_no_keys(&lab);
}

#[test]
fn a_configured_machine_is_not_wiped_whether_its_cluster_was_born_or_not() {
    let (environment, lab) = one();
    lab.fault("bootstrap-refused");
    assert_eq!(environment.ztc(&BOOTSTRAP).code, Some(1));
    let before = lab.state();
    let refused = |expected: &str| {
        let run = environment.ztc(&RESCUE);
        let text = ending(&lab, &run);
        let line = text.lines().find(|line| line.contains("| error: "));
        assert_eq!(line.unwrap_or(&text).trim(), expected, "{text}");
        assert_eq!(lab.state()["actions"], before["actions"]);
    };
    let path = environment.repo().join("secrets/lab/kubeconfig");
    assert!(!path.exists());
    refused(
        "| error: server `cp01` ([IP CP01]) runs Talos with a configuration, of this cluster or of another one",
    );

    // With a kubeconfig the cluster is asked, and nothing is done where it does not answer.
    fs::write(path, "").unwrap();
    let kubectl = |answer: &str| {
        let version = r#"echo '{"clientVersion":{"gitVersion":"v1.33.4"}}'"#;
        let script =
            format!("#!/bin/sh\ncase $1 in\nversion) {version} ;;\n*) {answer} ;;\nesac\n");
        fs::remove_file(format!("{}/kubectl", lab.bin())).unwrap();
        fs::write(format!("{}/kubectl", lab.bin()), script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(format!("{}/kubectl", lab.bin()), mode).unwrap();
    };
    kubectl(r#"echo '{"items":[]}'"#);
    refused(
        "| error: server `cp01` ([IP CP01]) runs Talos with a configuration, and is not among the nodes of this cluster",
    );
    let ip = before["nodes"][0]["ip"].as_str().unwrap();
    kubectl(&format!(
        r#"echo '{{"items":[{{"metadata":{{"name":"cp01"}},"spec":{{}},"status":{{"addresses":[{{"address":"{ip}"}}],"conditions":[{{"type":"Ready","status":"False"}}]}}}}]}}'"#
    ));
    refused(
        "| error: server `cp01` ([IP CP01]) is node `cp01` of this cluster, which is not ready",
    );
    kubectl("echo 'The connection was refused' >&2; exit 1");
    refused(
        "| error: whether server `cp01` ([IP CP01]) is a node of this cluster cannot be asked: The connection was refused",
    );
}

#[test]
fn a_machine_that_waits_for_its_configuration_belongs_to_nobody_and_may_be_wiped() {
    let (environment, lab) = one();
    lab.fault("apply-refused");
    assert_eq!(environment.ztc(&BOOTSTRAP).code, Some(1));
    let state = lab.state();
    assert_eq!(state["nodes"][0]["role"], json!(null), "{state:#}");
    environment.ztc_ok(&RESCUE);
    assert_no_keys(&lab);
}

#[test]
fn servers_that_are_worked_on_at_the_same_time_are_asked_about_in_one_request() {
    let (environment, lab) = rendered(&["--nodes", "3"]);
    // No action ends before one request asks about all three.
    lab.fault("actions-together=3");
    let arguments: Vec<&str> = RESCUE.iter().copied().chain(["--jobs", "3"]).collect();
    environment.ztc_ok(&arguments);
    assert_eq!(lab.state()["faults"], json!({}));
    assert_no_keys(&lab);
}

#[test]
fn the_api_is_believed_under_the_authorities_of_the_operator() {
    let mut environment = TestEnv::new();
    environment.write(
        "platform.yaml",
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hetzner:\n    version: v1\n    api_token: {from: env, name: HCLOUD_TOKEN}\n    server_ips: [203.0.113.10]\n",
    );
    // Whoever gets an answer at all has believed the certificate.
    let web = Web::start(|_, stream| status(stream, "401 Unauthorized", ""));
    let authority = Authority::new("the authority of a company");
    let port = authority.before(&web.address, &["localhost"], 2999);
    environment.set("HCLOUD_TOKEN", "a-token-of-a-test");
    environment.set("HCLOUD_ENDPOINT", format!("https://localhost:{port}/v1"));
    let said = |environment: &TestEnv| {
        let run = environment.ztc(&["render"]).to_string();
        run.replace(&format!(":{port}"), ":[PORT]")
    };
    insta::assert_snapshot!(said(&environment), @"
    exit: 1
    --- stderr
      hetzner: requests to the API: 1 (at most 200)
    error: adapter `hetzner`: cannot list the servers at `https://localhost:[PORT]/v1`: the API cannot be reached: invalid peer certificate: UnknownIssuer
      help: where a proxy of your organization stands between, add its authority to those of this machine, or name a file of all that are to count: `SSL_CERT_FILE=FILE`
    ");
    let file = environment.root().join("company.pem");
    fs::write(&file, &authority.pem).unwrap();
    environment.set("SSL_CERT_FILE", file.display().to_string());
    insta::assert_snapshot!(said(&environment), @"
    exit: 1
    --- stderr
      hetzner: requests to the API: 1 (at most 200)
    error: adapter `hetzner`: cannot list the servers at `https://localhost:[PORT]/v1`: the API answered `unauthorized`: HTTP status 401
      help: the token that `api_token` refers to is not valid: make a new one in https://console.hetzner.cloud under Security, API tokens
    ");
    // In a directory, as OpenSSL has them, and from within the sandbox as well.
    environment.unset("SSL_CERT_FILE");
    let directory = environment.root().join("authorities");
    fs::create_dir(&directory).unwrap();
    fs::copy(&file, directory.join("0123abcd.0")).unwrap();
    environment.set("SSL_CERT_DIR", directory.display().to_string());
    let run = said(&environment);
    assert!(
        run.contains("the API answered") && run.contains("401"),
        "{run}"
    );
    environment.set("SSL_CERT_DIR", "/nowhere");
    insta::assert_snapshot!(said(&environment), @"
    exit: 2
    --- stderr
    error: adapter `hetzner`: `SSL_CERT_DIR` names no certificates of authorities that can be read: opening directory: No such file or directory (os error 2) at '/nowhere'
      help: name a file of certificates in PEM (`SSL_CERT_FILE`) or a directory of such files (`SSL_CERT_DIR`), or unset it: then those of this machine count
    ");
}

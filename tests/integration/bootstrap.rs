//! The bootstrap in the simulated world: to the end, refused, failing, interrupted, killed, resumed.

mod kills;
mod many;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::environment::{Lab, TestEnv};

const BOOTSTRAP: [&str; 3] = ["bootstrap", "--confirm", "lab"];

/// Returns a rendered repository in a simulated world.
pub(crate) fn rendered(options: &[&str]) -> (TestEnv, Lab) {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, options);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    environment.ztc_ok(&["render"]);
    (environment, lab)
}

/// Makes sure that the cluster is up and that no machine was wiped that had booted what was installed.
#[track_caller]
fn assert_ready(lab: &Lab) {
    let state = lab.state();
    let mut ready: Vec<&str> = state["ready"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    ready.sort_unstable();
    let mut nodes = lab.nodes();
    nodes.sort_unstable();
    assert_eq!(ready, nodes, "{state:#}");
    assert_eq!(
        state["violations"],
        serde_json::json!([]),
        "the scripts did what the real tools refuse"
    );
    assert_eq!(
        state["ssh_keys"],
        serde_json::json!([]),
        "a temporary key was left at the cloud"
    );
    let wiped = |node: &Value| node["wiped_after_boot"] != 0;
    assert!(
        !state["nodes"].as_array().unwrap().iter().any(wiped),
        "a machine that ran Talos was wiped\n{state:#}"
    );
}

/// Makes sure of the same, and that every disk was written once.
#[track_caller]
fn assert_installed_once(lab: &Lab) {
    assert_ready(lab);
    let nodes = lab.nodes().into_iter().map(|node| (node, 1));
    assert_eq!(lab.installs(), nodes.collect::<BTreeMap<_, _>>());
}

/// Makes sure that nothing private was left behind.
#[track_caller]
fn assert_clean(environment: &TestEnv) {
    let left: Vec<_> = fs::read_dir(environment.root().join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn one_control_plane_and_two_workers_become_ready() {
    let (environment, lab) = rendered(&[]);
    insta::assert_snapshot!(
        "plan",
        lab.filtered(&environment.ztc_ok(&["plan"]).to_string())
    );
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
    assert_clean(&environment);
    let status = environment.ztc(&["status"]);
    assert_eq!(status.code, Some(0), "{status}");

    // Everything is cached now but the validations, which always run.
    let again = environment.ztc_ok(&["plan", "--json"]);
    let plan = again.json();
    let runs: Vec<&str> = plan["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|task| task["action"] == "run")
        .map(|task| task["stage"].as_str().unwrap())
        .collect();
    assert_eq!(
        runs,
        [
            "await_checks",
            "validate_cni",
            "validate_server_ids",
            "validate_cluster"
        ],
        "{again}"
    );
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
}

#[test]
fn three_control_planes_become_ready() {
    let (environment, lab) = rendered(&["--nodes", "5", "--control-planes", "3"]);
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
}

#[test]
fn a_cluster_with_the_definitions_of_the_gateway_api_in_its_configuration_becomes_ready() {
    let Some(reference) = std::env::var_os("ZTC_REFERENCE_DIR") else {
        say("skipped 5 definitions of the Gateway API: ZTC_REFERENCE_DIR is not set");
        return;
    };
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &["--nodes", "2"]);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    let directory = std::path::PathBuf::from(reference).join("gateway-api/v1.3.0/standard");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    environment.write("crds/gateway-api.yaml", texts.join("---\n"));
    let platform = environment.read("platform.yaml").replacen(
        "gateway_api: true",
        "gateway_api: {manifest: crds/gateway-api.yaml}",
        1,
    );
    environment.write("platform.yaml", &platform);
    environment.ztc_ok(&["render"]);
    environment.ztc_ok(&BOOTSTRAP);
    assert_ready(&lab);

    let config = environment.read("platform/generated/os/talos/nodes/cp01/config.yaml");
    let config = crate::talos::documents(&config).remove(0);
    assert_eq!(config["cluster"]["extraManifests"], Value::Null);
    let embedded = config["cluster"]["inlineManifests"][0]["contents"].as_str();
    let embedded = crate::talos::documents(embedded.unwrap());
    let definitions = texts.iter().flat_map(|text| crate::talos::documents(text));
    assert_eq!(embedded, definitions.collect::<Vec<_>>());
    say(&format!(
        "gateway api definitions booted: {}/5",
        embedded.len()
    ));
}

/// Says a count past the test harness, which keeps what tests print.
pub(crate) fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()).unwrap();
}

#[test]
fn a_destructive_stage_needs_the_name_of_the_cluster() {
    let (environment, lab) = rendered(&[]);
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&["bootstrap"]).to_string()), @"
    exit: 5
    --- stderr
    platform.yaml:19:5: warning: `talos.nodes`: `[IP CP01]` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
    19 of 19 tasks run, 6 of them destroy data
    these destroy data:
    STAGE               ITEM      KEY          WHY        WHAT
    enable_rescue_mode  cp01      [IP CP01]  never ran  server_id [ID CP01], server_name cp01, machine cpx31 with a disk of 160 GB
    enable_rescue_mode  worker01  [IP WORKER01]  never ran  server_id [ID WORKER01], server_name worker01, machine cpx31 with a disk of 160 GB
    enable_rescue_mode  worker02  [IP WORKER02]  never ran  server_id [ID WORKER02], server_name worker02, machine cpx31 with a disk of 160 GB
    install_talos       cp01      [IP CP01]  never ran  disk /dev/sda, role controlplane
    install_talos       worker01  [IP WORKER01]  never ran  disk /dev/sda, role worker
    install_talos       worker02  [IP WORKER02]  never ran  disk /dev/sda, role worker
    error: 6 tasks destroy data, and nobody is there to confirm it
      help: read the list above; then run `ztc bootstrap --confirm lab`
    ");
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&["bootstrap", "--confirm", "prod"]).to_string()), @"
    exit: 5
    --- stderr
    platform.yaml:19:5: warning: `talos.nodes`: `[IP CP01]` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
    19 of 19 tasks run, 6 of them destroy data
    these destroy data:
    STAGE               ITEM      KEY          WHY        WHAT
    enable_rescue_mode  cp01      [IP CP01]  never ran  server_id [ID CP01], server_name cp01, machine cpx31 with a disk of 160 GB
    enable_rescue_mode  worker01  [IP WORKER01]  never ran  server_id [ID WORKER01], server_name worker01, machine cpx31 with a disk of 160 GB
    enable_rescue_mode  worker02  [IP WORKER02]  never ran  server_id [ID WORKER02], server_name worker02, machine cpx31 with a disk of 160 GB
    install_talos       cp01      [IP CP01]  never ran  disk /dev/sda, role controlplane
    install_talos       worker01  [IP WORKER01]  never ran  disk /dev/sda, role worker
    install_talos       worker02  [IP WORKER02]  never ran  disk /dev/sda, role worker
    error: `prod` is not the name of the cluster; nothing has been run
      help: the name is `lab`; make sure that this is the cluster you mean
    ");
    assert!(lab.installs().values().all(|count| *count == 0));
}

#[test]
fn a_dry_run_touches_nothing() {
    let (environment, lab) = rendered(&[]);
    let before = lab.state();
    environment.ztc_ok(&["bootstrap", "--dry-run"]);
    let after = lab.state();
    assert_eq!(before["nodes"], after["nodes"]);
    assert_eq!(before["requests"], after["requests"]);
}

#[test]
fn each_stage_can_fail_and_the_next_run_goes_on() {
    let (environment, lab) = rendered(&[]);
    let breaks = [
        ("readonly-token", "check_servers"),
        ("rescue-not-entered=99", "enable_rescue_mode"),
        ("image-missing", "install_talos"),
        ("apply-refused", "apply_control_plane"),
        ("bootstrap-refused", "bootstrap_talos"),
        ("worker-refused", "add_worker_nodes"),
    ];
    for (fault, stage) in breaks {
        lab.fault(fault);
        let run = environment.ztc(&BOOTSTRAP);
        assert_eq!(run.code, Some(1), "{fault}\n{run}");
        assert!(run.stderr.contains(stage), "{fault}\n{run}");
        assert!(
            run.stderr.contains("ztc bootstrap"),
            "no resume command\n{run}"
        );
        assert_eq!(environment.ztc(&["status"]).code, Some(1));
        assert_clean(&environment);
        lab.mend();
    }
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
}

#[test]
fn a_world_full_of_trouble_is_overcome() {
    let (environment, lab) = rendered(&[]);
    for fault in [
        "rate-limit=2",
        "bad-gateway=2",
        "locked=1",
        "many-servers=60",
        "ssh-refused=2",
        "apply-hangs=1",
        "bootstrap-early=1",
        "crds-late",
    ] {
        lab.fault(fault);
    }
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
    // The operator looked for the definitions before they were there: it was restarted once, and the log says why.
    let reason = "restarting the operator: it started at";
    let files = environment.files();
    let logs = files
        .iter()
        .filter(|(name, _)| name.starts_with(".zerotouch-cache/runs/") && name.ends_with(".log"));
    let said: usize = logs
        .map(|(_, content)| String::from_utf8_lossy(content).matches(reason).count())
        .sum();
    assert_eq!(said, 1, "{:?}", files.keys());
}

#[test]
fn tools_are_checked_before_the_first_stage() {
    let (mut environment, lab) = rendered(&[]);
    let bin = environment.root().join("few-tools");
    fs::create_dir(&bin).unwrap();
    for tool in ["bash", "ssh", "ssh-keygen", "git", "timeout", "cat"] {
        let found =
            ["/usr/local/bin", "/usr/bin", "/bin"].map(|directory| format!("{directory}/{tool}"));
        let found = found
            .into_iter()
            .find(|path| fs::exists(path).unwrap())
            .unwrap();
        std::os::unix::fs::symlink(found, bin.join(tool)).unwrap();
    }
    environment.set("PATH", bin.display().to_string());
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(lab.filtered(&run.to_string()), @"
    exit: 4
    --- stderr
    platform.yaml:19:5: warning: `talos.nodes`: `[IP CP01]` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
    error: programs that the stages start are missing; nothing has been run
      error: `curl` is not on PATH (needed by check_servers, enable_rescue_mode)
        help: install the package `curl`, or see https://curl.se/download.html
      error: `kubectl` is not on PATH (needed by check_servers, enable_rescue_mode, bootstrap_talos, add_worker_nodes, wait_cilium, wait_gateway_api, validate_cni, validate_server_ids, validate_cluster)
        help: see https://kubernetes.io/docs/tasks/tools
      error: `talosctl` is not on PATH (needed by install_talos, apply_control_plane, bootstrap_talos, add_worker_nodes)
        help: https://www.talos.dev/v1.11/talos-guides/install/talosctl/
    ");
    assert_eq!(lab.state()["requests"], lab.state()["requests"]);
    assert!(lab.installs().values().all(|count| *count == 0));
}

#[test]
fn a_missing_token_stops_before_the_first_stage() {
    let (mut environment, lab) = rendered(&[]);
    environment.unset("HCLOUD_TOKEN");
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&BOOTSTRAP).to_string()), @"
    exit: 2
    --- stderr
    platform.yaml:19:5: warning: `talos.nodes`: `[IP CP01]` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
    error: secret `hetzner.api_token` has no value: environment variable `HCLOUD_TOKEN`: it is not set
      help: set it without leaving a trace in the shell's history: `read -rs HCLOUD_TOKEN && export HCLOUD_TOKEN`
    ");
}

/// Starts a bootstrap that prints events, and waits until the stage starts.
fn until_stage_starts(environment: &TestEnv, stage: &str) -> std::process::Child {
    let mut command = environment.command(&["bootstrap", "--confirm", "lab", "--json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if event["event"] == "task_started" && event["task"].as_str().unwrap().starts_with(stage) {
            return child;
        }
    }
    let output = child.wait_with_output().unwrap();
    panic!("`{stage}` never started: {output:?}");
}

#[test]
fn a_kill_inside_any_stage_is_survived() {
    let (environment, lab) = rendered(&[]);
    for stage in [
        "check_servers",
        "enable_rescue_mode",
        "install_talos",
        "apply_control_plane",
        "bootstrap_talos",
        "add_worker_nodes",
        "wait_cilium",
    ] {
        let mut child = until_stage_starts(&environment, stage);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
}

#[test]
fn an_interrupt_stops_and_the_next_run_goes_on() {
    let (environment, lab) = rendered(&[]);
    let mut child = until_stage_starts(&environment, "install_talos");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = {
        // The rest of both streams, so that the program is not held up by a full pipe.
        let mut stdout = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let output = child.wait_with_output().unwrap();
        reader.join().unwrap().unwrap();
        output
    };
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ztc bootstrap"));
    assert_clean(&environment);
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
}

#[test]
fn the_ejected_bootstrap_runs_without_ztc() {
    let (environment, lab) = rendered(&[]);
    insta::assert_snapshot!(environment.ztc(&["eject", "--output", "ejected", "--with-secrets"]), @"
    exit: 0
    --- stderr
    ✓ ejected 19 tasks to ejected/
      next: cat ejected/README.md  how to run them by hand
    ");
    insta::assert_snapshot!(environment.ztc(&["eject", "--output", "ejected"]), @"
    exit: 5
    --- stderr
    error: `ejected` is not empty
      help: give another directory with `--output`, or remove it: `rm -r ejected`
    ");
    let directory = environment.repo().join("ejected");
    let scripts = Command::new("bash")
        .args(["-c", "shellcheck -x run.sh scripts/*/*.sh"])
        .current_dir(&directory)
        .output()
        .unwrap();
    // CI installs shellcheck; where it is missing the rest of the test still counts.
    if fs::exists("/usr/bin/shellcheck").unwrap() {
        assert!(
            scripts.status.success(),
            "{}",
            String::from_utf8_lossy(&scripts.stdout)
        );
    }
    let ztc = environment.command(&[]);
    let mut run = Command::new("./run.sh");
    run.current_dir(&directory).env_clear().stdin(Stdio::null());
    for (name, value) in ztc.get_envs() {
        run.env(name, value.unwrap_or_default());
    }
    let unconfirmed = run.output().unwrap();
    assert_eq!(
        unconfirmed.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&unconfirmed.stderr)
    );
    let output = run.env("ZTC_CONFIRM", "lab").output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_installed_once(&lab);
}

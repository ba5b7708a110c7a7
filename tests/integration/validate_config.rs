//! An adapter's own commands in the terminal: the validator of machine configurations, through `ztc plugins run` and as a program of its own.

use std::process::Command;

use serde_json::json;

use crate::environment::{Run, TestEnv, programs};

const WORKER: &str = "\
version: v1alpha1
machine:
    type: worker
    ca:
        crt: ztc-secret:talos/certs/os/crt
    install:
        disk: /dev/sda
cluster:
    controlPlane:
        endpoint: https://203.0.113.10:6443
";

fn files() -> TestEnv {
    let environment = TestEnv::new();
    environment.write("good.yaml", WORKER);
    environment.write(
        "cloud.yaml",
        WORKER.replace("    install:\n        disk: /dev/sda\n", ""),
    );
    environment.write("old.yaml", WORKER.replace("type: worker", "type: join"));
    let bad = WORKER
        .replace("    install:", "    hostname: w1\n    install:")
        .replace("https://", "");
    environment.write("bad.yaml", bad);
    environment.write("twice.yaml", format!("{WORKER}---\n{WORKER}"));
    environment.write("empty.yaml", "");
    environment.write("broken.yaml", "machine: [\n");
    environment.write(
        "talosconfig",
        "context: demo\ncontexts:\n    demo: {endpoints: []}\n",
    );
    environment.write("directory/file", "");
    environment
}

fn validate(environment: &TestEnv, arguments: &[&str]) -> String {
    let mut all = vec!["plugins", "run", "talos", "validate-config"];
    all.extend(arguments);
    environment.ztc(&all).to_string()
}

#[test]
fn good_files_are_valid_and_warnings_fail_only_when_told() {
    let environment = files();
    assert_eq!(
        validate(&environment, &["good.yaml", "old.yaml"]),
        "exit: 0
--- stdout
good.yaml: valid for metal
old.yaml: valid for metal
2 of 2 files are valid
--- stderr
old.yaml:3:5: warning: .machine.type: `join` is an old word for a worker
  help: write `type: worker`"
    );
    assert_eq!(
        validate(&environment, &["--strict", "--mode", "cloud", "old.yaml"]),
        "exit: 2
--- stdout
old.yaml: invalid for cloud, 1 error
--- stderr
old.yaml:3:5: warning: .machine.type: `join` is an old word for a worker
  help: write `type: worker`"
    );
    assert_eq!(
        validate(&environment, &["--mode=cloud", "cloud.yaml"]),
        "exit: 0\n--- stdout\ncloud.yaml: valid for cloud"
    );
}

#[test]
fn whatever_is_wrong_has_its_own_words() {
    let environment = files();
    assert_eq!(
        validate(
            &environment,
            &[
                "cloud.yaml", "bad.yaml", "twice.yaml", "empty.yaml", "broken.yaml", "talosconfig", "directory", "missing.yaml"
            ]
        ),
        "exit: 2
--- stdout
cloud.yaml: invalid for metal, 1 error
bad.yaml: invalid for metal, 2 errors
twice.yaml: invalid for metal, 1 error
empty.yaml: invalid for metal, 1 error
broken.yaml: invalid for metal, 1 error
talosconfig: invalid for metal, 1 error
directory: invalid for metal, 1 error
missing.yaml: invalid for metal, 1 error
0 of 8 files are valid
--- stderr
cloud.yaml:2:1: error: .machine.install: the section about the installation is missing, which servers of metal need
  help: write `install: {disk: /dev/sda}`
bad.yaml:6:5: error: .machine.hostname: `machine` has no field `hostname`
  help: did you mean `.machine.network.hostname`?
bad.yaml:11:19: error: .cluster.controlPlane.endpoint: `203.0.113.10:6443` is not a URL: `203.0.113.10:6443` has a colon and no scheme such as `https://` before it
  help: write it as `https://host:port`
twice.yaml:12:1: error: a second machine configuration, after document 1: only one is allowed (document 2)
  help: merge the two; further documents have a `kind`
empty.yaml: error: the file is empty, and a machine needs a configuration
  help: make one with `ztc render`
broken.yaml:1:10: error: the file is not YAML: unclosed bracket '['
  help: a machine configuration is YAML, indented with blanks
talosconfig:1:1: error: this is a talosconfig, which is for `talosctl`, and not the configuration of a machine
  help: give the file of a machine, such as `nodes/cp01/config.yaml`
directory: error: this is a directory, and files are expected
  help: name the files in it, as in `nodes/*/config.yaml`
missing.yaml: error: there is no such file
  help: `ztc render` writes the configurations below `platform/generated/os/talos/nodes/`"
    );
}

#[test]
fn programs_get_json() {
    let environment = files();
    let run = environment.ztc(&[
        "plugins",
        "run",
        "talos",
        "validate-config",
        "--json",
        "empty.yaml",
        "good.yaml",
    ]);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.json(),
        json!({
            "mode": "metal",
            "strict": false,
            "valid": false,
            "files": [
                {"file": "empty.yaml", "valid": false, "findings": [{
                    "severity": "error", "document": 0, "path": "", "line": 0, "column": 0,
                    "message": "the file is empty, and a machine needs a configuration", "help": "make one with `ztc render`",
                }]},
                {"file": "good.yaml", "valid": true, "findings": []},
            ],
        })
    );
}

#[test]
fn wrong_usage_says_how_it_is_used() {
    let environment = files();
    assert_eq!(
        validate(&environment, &["--mode", "container", "good.yaml"]),
        "exit: 2
--- stderr
error: `container` is not a mode: metal or cloud
  help: `ztc-adapter-talos validate-config --help` shows how it is used"
    );
    assert_eq!(
        environment
            .ztc(&["plugins", "run", "talos", "validate-confg"])
            .to_string(),
        "exit: 2
--- stderr
error: the talos adapter has no command `validate-confg`, did you mean `validate-config`?
Commands of the talos adapter:
  validate-config FILE...  check machine configurations, without a machine

`ztc plugins run talos validate-config --help` says more."
    );
}

#[test]
fn the_adapter_is_a_program_of_its_own() {
    let environment = files();
    let output = Command::new(programs().join("ztc-adapter-talos"))
        .args(["validate-config", "good.yaml"])
        .current_dir(environment.repo())
        .output()
        .unwrap();
    assert_eq!(
        Run::new(&environment, &output).to_string(),
        "exit: 0\n--- stdout\ngood.yaml: valid for metal"
    );
}

#[test]
fn the_exit_code_of_an_adapters_command_is_handed_on() {
    let environment = TestEnv::new();
    environment.tool("ztc-adapter-coded", "#!/bin/sh\nexit \"$1\"\n");
    for (code, expected) in [("0", 0), ("1", 1), ("2", 2), ("3", 3), ("5", 5), ("77", 1)] {
        let run = environment.ztc(&["plugins", "run", "coded", code]);
        assert_eq!(run.code, Some(expected), "{code}: {run}");
    }
}

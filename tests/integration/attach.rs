//! Attaching to an adapter that already runs, recording what is said, and replaying it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::environment::{TestEnv, programs};
use crate::input::PLATFORM;

/// A running adapter that listens; it ends with its value.
struct Listening {
    child: Child,
    /// The line to paste.
    line: String,
}

impl Listening {
    /// Starts the built-in talos adapter on a socket in a directory with this mode.
    fn start(environment: &TestEnv, mode: u32) -> Result<Self, String> {
        let directory = environment.root().join("run");
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut child = Command::new(programs().join("ztc"))
            .args(["__adapter", "talos", "--ztc-listen"])
            .arg(directory.join("t.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line.is_empty() {
            let output = child.wait_with_output().unwrap();
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(Self {
            child,
            line: line.trim_end().to_owned(),
        })
    }

    /// The value of the variable in the line to paste.
    fn variable(&self) -> String {
        let (variable, command) = self.line.split_once(' ').unwrap();
        assert_eq!(command, "ztc render");
        variable.strip_prefix("ZTC_ATTACH=").unwrap().to_owned()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A repository whose adapters need nothing outside.
fn offline() -> TestEnv {
    let environment = TestEnv::new();
    let from = PLATFORM.find("  hetzner:").unwrap();
    let to = PLATFORM.find("  cilium:").unwrap();
    environment.write("platform.yaml", PLATFORM.replace(&PLATFORM[from..to], ""));
    environment
}

#[test]
fn a_running_adapter_serves_one_command_after_another() {
    let mut environment = offline();
    let listening = Listening::start(&environment, 0o700).unwrap();
    environment.set("ZTC_ATTACH", listening.variable());
    for _ in 0..2 {
        let run = environment.ztc(&["plugins", "info", "talos", "--json"]);
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(run.json()["source"], "attached");
        assert!(
            run.stderr
                .contains("adapter `talos` is the one that already runs at"),
            "{run}"
        );
    }
}

#[test]
fn an_attached_adapter_that_nothing_uses_is_an_error() {
    let mut environment = offline();
    environment.set("ZTC_ATTACH", "talso=/nowhere/t.sock");
    let run = environment.ztc(&["render"]);
    assert_eq!(run.code, Some(2), "{run}");
    assert!(
        run.stderr.contains(
            "error: `ZTC_ATTACH` names adapter `talso`, which no section of platform.yaml uses"
        ),
        "{run}"
    );
    assert!(run.stderr.contains("did you mean `talos`?"), "{run}");
}

#[test]
fn a_socket_where_others_could_put_theirs_is_refused_on_both_sides() {
    let environment = offline();
    let refusal = Listening::start(&environment, 0o755).err().unwrap();
    assert!(refusal.contains("is not private"), "{refusal}");

    let mut environment = offline();
    let listening = Listening::start(&environment, 0o700).unwrap();
    environment.set("ZTC_ATTACH", listening.variable());
    let directory = environment.root().join("run");
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = environment.ztc(&["plugins", "info", "talos"]);
    assert_eq!(run.code, Some(5), "{run}");
}

/// Records `ztc validate` and returns the file.
fn recorded(environment: &TestEnv) -> PathBuf {
    let file = environment.root().join("calls.ndjson");
    let run = environment.ztc(&["validate", "--record", &file.display().to_string()]);
    assert!(run.code.is_some(), "{run}");
    file
}

#[test]
fn what_is_said_is_recorded_for_this_user_only() {
    let environment = offline();
    let file = recorded(&environment);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said = |adapter: &str, direction: &str| {
        lines
            .iter()
            .filter(|line| line["adapter"] == adapter && line["direction"] == direction)
            .filter_map(|line| line["line"]["method"].as_str().or(Some("answer")))
            .collect::<Vec<_>>()
    };
    assert_eq!(said("cilium", "to"), ["initialize", "validate", "shutdown"]);
    assert_eq!(said("cilium", "from"), ["answer", "answer", "answer"]);
    assert!(lines.iter().all(|line| line["at_ms"].is_u64()));
}

#[test]
fn a_replay_says_where_the_answers_differ() {
    let environment = offline();
    let file = recorded(&environment);
    let path = file.display().to_string();
    environment.ztc_ok(&["plugins", "replay", &path]);

    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replacen(
        r#""result":{"diagnostics":[]}"#,
        r#""result":{"diagnostics":[{"message":"odd"}]}"#,
        1,
    );
    assert_ne!(text, changed);
    std::fs::write(&file, changed).unwrap();
    let run = environment.ztc(&["plugins", "replay", &path]);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stdout.contains("odd"), "{run}");
    assert!(run.stderr.contains("answers 1 differently now"), "{run}");
}

#[test]
fn the_host_reads_a_recording_without_an_adapter() {
    let environment = offline();
    let file = recorded(&environment);
    let path = file.display().to_string();
    environment.ztc_ok(&["plugins", "replay", &path, "--as-host"]);

    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = r#""result":{"diagnostics":"many"}"#;
    std::fs::write(&file, text.replace(r#""result":{"diagnostics":[]}"#, wrong)).unwrap();
    let arguments = [
        "plugins",
        "replay",
        &path,
        "--as-host",
        "--adapter",
        "cilium",
    ];
    insta::assert_snapshot!(environment.ztc(&arguments), @r#"
    exit: 1
    --- stderr
    error: of 3 recorded answers, 1 cannot be read
      error: the answer of `cilium` to `validate`: invalid type: string "many", expected a sequence
    "#);
}

//! Attaching to an adapter that already runs, recording what is said, and replaying it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
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
        let mut ztc = Command::new(programs().join("ztc"));
        ztc.args(["__adapter", "talos", "--ztc-listen"])
            .arg(directory.join("t.sock"));
        Self::of(&mut ztc)
    }

    /// Starts one.
    fn of(command: &mut Command) -> Result<Self, String> {
        let mut child = command
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
        run.stderr
            .contains("error: `ZTC_ATTACH` names adapter `talso`, which this command does not use"),
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

/// Another user of this machine.
const NOBODY: u32 = 65534;

#[test]
fn a_process_of_another_user_is_refused() {
    let mut environment = offline();
    let directory = environment.root().join("run");
    let program = environment.root().join("ztc");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    if std::os::unix::fs::chown(&directory, Some(NOBODY), None).is_err() {
        let message = b"not tested: only root can start a process of another user\n";
        std::io::stderr().write_all(message).unwrap();
        return;
    }
    std::fs::set_permissions(environment.root(), std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::copy(programs().join("ztc"), &program).unwrap();
    let socket = directory.join("t.sock");
    let mut setpriv = Command::new("setpriv");
    setpriv
        .args(["--reuid", &NOBODY.to_string(), "--clear-groups", "--"])
        .arg(&program)
        .args(["__adapter", "talos", "--ztc-listen"])
        .arg(&socket);
    let _listening = Listening::of(&mut setpriv).unwrap();
    // What is in the directory was put there by somebody else, as if that had been possible.
    std::os::unix::fs::chown(&directory, Some(0), None).unwrap();
    environment.set("ZTC_ATTACH", format!("talos={}", socket.display()));
    let run = environment.ztc(&["plugins", "info", "talos"]);
    insta::assert_snapshot!(environment.filtered(&run.to_string()), @"
    exit: 5
    --- stderr
    warning: adapter `talos` is the one that already runs at `[ROOT]/run/t.sock`: outside the sandbox and without time limits
    error: the process behind `[ROOT]/run/t.sock` belongs to user 65534, not to you
      help: find out whose it is; start the adapter yourself, on another socket, and name that in `ZTC_ATTACH`
    ");
}

#[test]
fn an_attached_adapter_has_all_the_time_it_wants() {
    let mut environment = offline();
    let directory = environment.root().join("run");
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .unwrap();
    let socket = directory.join("t.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let slow = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut answers = stream.try_clone().unwrap();
        for line in BufReader::new(stream).lines() {
            let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let manifest = serde_json::json!({
                "name": "talos", "version": "1.0.0", "description": "slow", "phase": "platform", "config_schema": true,
            });
            let result = serde_json::json!({ "protocol": "1.0", "manifest": manifest });
            // As if somebody looked at it in a debugger, for longer than the limit.
            std::thread::sleep(std::time::Duration::from_millis(1500));
            let answer =
                serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
            if writeln!(answers, "{answer}").is_err() {
                break;
            }
        }
    });
    environment.set("ZTC_ATTACH", format!("talos={}", socket.display()));
    environment.set("ZTC_ADAPTER_TIMEOUT", "1");
    let info = environment.ztc_ok(&["plugins", "info", "talos", "--json"]);
    assert_eq!(info.json()["manifest"]["description"], "slow", "{info}");
    slow.join().unwrap();
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
    let said = |adapter: &str, from: &str| {
        lines
            .iter()
            .filter(|line| line["adapter"] == adapter && line["from"] == from)
            .filter_map(|line| line["message"]["method"].as_str().or(Some("answer")))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said("cilium", "host"),
        ["initialize", "validate", "shutdown"]
    );
    assert_eq!(said("cilium", "adapter"), ["answer", "answer", "answer"]);
    assert!(lines.iter().all(|line| line["at_ms"].is_u64()));
}

/// Replays as the host.
fn as_host(environment: &TestEnv, path: &str, adapter: &str) -> crate::environment::Run {
    environment.ztc(&["plugins", "replay", path, "--as-host", "--adapter", adapter])
}

#[test]
fn the_host_again_says_where_the_answers_differ() {
    let environment = offline();
    let file = recorded(&environment);
    let path = file.display().to_string();
    let run = environment.ztc_ok(&["plugins", "replay", &path, "--as-host"]);
    insta::assert_snapshot!(run.to_string(), @"
    exit: 0
    --- stderr
    warning: not compared: `cilium shutdown` (it ends the adapter), `hetzner shutdown` (it ends the adapter), `talos shutdown` (it ends the adapter)
    ✓ 5 answers are the same
    ");

    let text = std::fs::read_to_string(&file).unwrap();
    let good = r#""result":{"diagnostics":[]}"#;
    let odd = r#""result":{"diagnostics":[{"message":"odd"}]}"#;
    assert!(text.contains(good));
    std::fs::write(&file, text.replace(good, odd)).unwrap();
    insta::assert_snapshot!(as_host(&environment, &path, "cilium").to_string(), @r#"
    exit: 3
    --- stdout
    --- cilium validate (recorded)
    +++ cilium validate (now)
    @@ -1,9 +1,5 @@
     {
       "result": {
    -    "diagnostics": [
    -      {
    -        "message": "odd"
    -      }
    -    ]
    +    "diagnostics": []
       }
     }
    --- stderr
    warning: not compared: `cilium shutdown` (it ends the adapter)
    error: of 2 answers, 1 differ now
      help: look at the differences above; where they are right, record anew with `--record FILE`
    "#);

    let wrong = r#""result":{"diagnostics":"many"}"#;
    std::fs::write(&file, text.replace(good, wrong)).unwrap();
    insta::assert_snapshot!(as_host(&environment, &path, "cilium").to_string(), @r#"
    exit: 3
    --- stdout
    cilium validate: the recorded answer cannot be read: invalid type: string "many", expected a sequence
    --- stderr
    warning: not compared: `cilium shutdown` (it ends the adapter)
    error: of 2 answers, 1 differ now
      help: look at the differences above; where they are right, record anew with `--record FILE`
    "#);
}

#[test]
fn the_transcripts_of_the_protocol_can_be_replayed() {
    let environment = offline();
    let transcripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/1.0/transcripts");
    for name in ["cilium", "talos"] {
        let path = transcripts.join(format!("{name}.ndjson"));
        let path = path.display().to_string();
        let run = environment.ztc(&["plugins", "replay", &path, "--as-host", "--json"]);
        let text = run.stdout.split("\n{\"error\"").next().unwrap();
        let outcome: Value = serde_json::from_str(text).unwrap();
        // A later release may answer otherwise; that it answers, and in the form of the protocol, is what the recording is kept for.
        let different = outcome["different"].as_array().unwrap().len();
        let same = usize::try_from(outcome["same"].as_u64().unwrap()).unwrap();
        let answers = text_of(&path)
            .filter(|line| line["from"] == "adapter" && line["message"]["id"].is_number())
            .count();
        let left_out = outcome["left_out"].as_array().unwrap().len();
        assert_eq!(same + different + left_out, answers, "{run}");
    }
}

/// The lines of a recording.
fn text_of(file: impl AsRef<Path>) -> impl Iterator<Item = Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.into_iter()
}

/// Asks a replayed adapter what a recording's host asked, each request changed by a function.
fn asked_again(environment: &TestEnv, file: &Path, change: impl Fn(&str) -> String) -> String {
    let requests = text_of(file)
        .filter(|line| line["adapter"] == "cilium" && line["from"] == "host")
        .map(|line| change(&line["message"].to_string()) + "\n");
    let requests: String = requests.collect();
    let path = file.display().to_string();
    let mut command = environment.command(&["plugins", "replay", &path, "--adapter", "cilium"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(requests.as_bytes())
        .unwrap();
    let run = crate::environment::Run::new(environment, &child.wait_with_output().unwrap());
    let answers = run.stdout.lines().map(|line| {
        let answer: Value = serde_json::from_str(line).unwrap();
        format!("{}: {}", answer["id"], answer["result"].is_object())
    });
    let answers: Vec<String> = answers.collect();
    format!(
        "exit: {:?}\nanswers: {}\n{}",
        run.code,
        answers.join(", "),
        run.stderr
    )
}

#[test]
fn the_adapter_again_says_what_the_host_asks_differently() {
    let environment = offline();
    let file = recorded(&environment);
    insta::assert_snapshot!(asked_again(&environment, &file, str::to_owned), @"
    exit: Some(0)
    answers: 0: true, 1: true, 2: true
    ✓ 3 requests are the same
    ");
    let change = |line: &str| line.replace("\"bgp_enabled\":false", "\"bgp_enabled\":true");
    insta::assert_snapshot!(asked_again(&environment, &file, change), @r#"
    exit: Some(3)
    answers: 0: true, 1: true, 2: true
    --- validate (recorded)
    +++ validate (now)
    @@ -1,7 +1,7 @@
     {
       "config": {
         "version": "v1.18.5",
    -    "bgp_enabled": false
    +    "bgp_enabled": true
       },
       "capabilities": {},
       "platform": {
    error: what the host asks now differs in 1 place
      help: look at the differences above; where they are right, record anew with `--record FILE`
    "#);
    let change = |line: &str| line.replace("\"validate\"", "\"render\"");
    insta::assert_snapshot!(asked_again(&environment, &file, change), @"
    exit: Some(3)
    answers: 0: true, 1: false, 2: true
    asked and not recorded: `render`
    never asked: `validate`
    error: what the host asks now differs in 2 places
      help: look at the differences above; where they are right, record anew with `--record FILE`
    ");
}

#[test]
fn every_command_that_starts_adapters_refuses_a_name_that_it_does_not_use() {
    let mut environment = offline();
    let file = recorded(&environment);
    let path = file.display().to_string();
    environment.set("ZTC_ATTACH", "nobody=/tmp/none.sock");
    for command in [
        &["validate"][..],
        &["render"],
        &["plan"],
        &["bootstrap"],
        &["graph"],
        &["doctor"],
        &["secrets", "list"],
        &["plugins", "info", "talos"],
        &["plugins", "test", "talos"],
        &["plugins", "replay", &path, "--as-host"],
    ] {
        let run = environment.ztc(command);
        assert_eq!(run.code, Some(2), "{command:?}: {run}");
        let expected = "`ZTC_ATTACH` names adapter `nobody`, which this command does not use";
        assert!(run.stderr.contains(expected), "{command:?}: {run}");
    }
}

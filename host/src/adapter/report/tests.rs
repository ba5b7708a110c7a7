//! The texts as a whole.

use console::Style;
use serde_json::json;

use super::*;
use crate::ui::failure::text;

fn candidate() -> Candidate {
    Candidate {
        name: "bgp".into(),
        source: Source::Path,
        program: "/opt/bin/ztc-adapter-bgp".into(),
        arguments: vec!["--ztc-adapter".into()],
        sha256: None,
    }
}

fn scene() -> Scene {
    Scene {
        candidate: candidate(),
        version: "1.2.0".into(),
        homepage: Some("https://example.com/bgp".into()),
        method: "render",
        called: Duration::from_millis(210),
        lasted: Duration::from_millis(1234),
        status: Some(ExitStatus::from_raw(3 << 8)),
        stderr: vec!["loading".into(), "no such table".into()],
        offenses: vec!["wrote a line that is not a JSON object: Compiling".into()],
        unfinished: None,
    }
}

#[track_caller]
fn check(failure: &Failure, exit: Exit, expected: &str) {
    assert_eq!(
        (
            text(failure, &Style::new().force_styling(false)).as_str(),
            failure.exit
        ),
        (expected, exit)
    );
}

#[test]
fn a_crash_is_told_once_and_whole() {
    check(
        &scene().failure(CallError::Gone),
        Exit::Failed,
        "error: adapter `bgp` exited with code 3 during `render`
  adapter: bgp 1.2.0, PATH, `/opt/bin/ztc-adapter-bgp`
  after: 210 ms in `render`, 1.2 s since its start
  what it did beside answering:
    wrote a line that is not a JSON object: Compiling
  last lines of its stderr:
    loading
    no such table
  help: this is a bug of the adapter; report it with these lines: https://example.com/bgp",
    );
    let quiet = Scene {
        stderr: Vec::new(),
        offenses: Vec::new(),
        status: Some(ExitStatus::from_raw(9)),
        ..scene()
    };
    check(
        &quiet.failure(CallError::Gone),
        Exit::Failed,
        "error: adapter `bgp` was killed by signal 9 (SIGKILL) during `render`
  adapter: bgp 1.2.0, PATH, `/opt/bin/ztc-adapter-bgp`
  after: 210 ms in `render`, 1.2 s since its start
  help: the system may have run out of memory (see `dmesg`), or somebody ended it",
    );
}

#[test]
fn silence_names_the_limit_and_how_to_raise_it() {
    let scene = Scene {
        version: String::new(),
        method: "initialize",
        stderr: Vec::new(),
        offenses: Vec::new(),
        ..scene()
    };
    check(
        &scene.failure(CallError::Idle(Duration::from_secs(10), LastWord::Nothing)),
        Exit::Failed,
        "error: adapter `bgp` has been silent in `initialize` for 10 s
  when cancelled, it said nothing
  adapter: bgp, PATH, `/opt/bin/ztc-adapter-bgp`
  after: 210 ms in `initialize`, 1.2 s since its start
  help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`",
    );
}

#[test]
fn what_is_no_adapter_is_suspected_to_be_none() {
    let scene = Scene {
        version: String::new(),
        method: "initialize",
        stderr: Vec::new(),
        unfinished: Some("login: ".into()),
        ..scene()
    };
    let last = LastWord::GaveUp("stopped at peer 3".into());
    check(
        &scene.failure(CallError::Total(Duration::from_secs(10), last)),
        Exit::Failed,
        "error: adapter `bgp` has not answered `initialize` within 10 s
  when cancelled, it answered: stopped at peer 3
  adapter: bgp, PATH, `/opt/bin/ztc-adapter-bgp`
  after: 210 ms in `initialize`, 1.2 s since its start
  what it did beside answering:
    wrote a line that is not a JSON object: Compiling
  a line that it began and did not end:
    login: 
  help: it may be no adapter at all: see what `/opt/bin/ztc-adapter-bgp --ztc-describe` prints; if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`",
    );
}

#[test]
fn a_refusal_carries_its_findings() {
    let diagnostic = json!({"pointer": "/peers/0", "severity": "error", "message": "no address", "help": "give one"});
    let data = json!({"diagnostics": [diagnostic], "help": "correct platform.yaml"});
    let error = ErrorObjectOwned::owned(1010, "the configuration is wrong", Some(data));
    check(
        &scene().failure(CallError::Refused(error)),
        Exit::Invalid,
        "error: adapter `bgp`: the configuration is wrong
  error: `/peers/0`: no address
    help: give one
  help: correct platform.yaml",
    );
}

#[test]
fn a_mismatch_says_who_must_be_upgraded() {
    let versions = |text: &str| vec![text.parse().unwrap()];
    let newer = mismatch(&candidate(), &versions("2.1"));
    assert_eq!(
        newer.message,
        "adapter `bgp` speaks protocol 2.1, this ztc speaks 1.0"
    );
    assert!(newer.help.unwrap().starts_with("upgrade ztc ("));
    let minor = mismatch(&candidate(), &versions("1.7"));
    assert!(minor.help.unwrap().starts_with("upgrade ztc ("));
    let older = mismatch(&candidate(), &versions("0.9"));
    assert_eq!(
        older.help.unwrap(),
        "upgrade adapter `bgp` to a release that speaks protocol 1.x"
    );
}

#[test]
fn what_cannot_be_started_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let check = |content: &[u8], errno: rustix::io::Errno, message: &str, help: &str| {
        let program = directory.path().join("program");
        std::fs::write(&program, content).unwrap();
        let failure = cannot_start(
            &Candidate {
                program: program.clone(),
                ..candidate()
            },
            &errno.into(),
        );
        assert_eq!(
            (
                failure.exit,
                failure.message.as_str(),
                failure.help.as_deref()
            ),
            (
                Exit::Missing,
                format!("adapter `bgp` cannot be started: {message}").as_str(),
                Some(
                    help.replace("PROGRAM", &program.display().to_string())
                        .as_str()
                )
            )
        );
    };
    use rustix::io::Errno;
    check(
        b"",
        Errno::ACCESS,
        "the file is not executable",
        "run `chmod +x PROGRAM`",
    );
    check(
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0",
        Errno::NOEXEC,
        &format!(
            "it is built for riscv64, this machine is {}",
            std::env::consts::ARCH
        ),
        &format!("get the build for {}", std::env::consts::ARCH),
    );
    check(
        b"print('x')",
        Errno::NOEXEC,
        "it is neither a program of this system nor a script",
        "a script needs a first line such as `#!/usr/bin/env python3`",
    );
    check(
        b"#!/usr/bin/python9 -s\nx",
        Errno::NOENT,
        "its first line asks for the interpreter `/usr/bin/python9 -s`, which is not there",
        "install the interpreter, or correct the first line",
    );
    check(
        b"#!/bin/sh\r\nx",
        Errno::NOENT,
        "its first line asks for the interpreter `/bin/sh`, which is not there",
        "the file has Windows line ends; remove them with `sed -i 's/\\r$//'`",
    );
}

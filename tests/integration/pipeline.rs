//! The engine with stages of a fake adapter: kinds of stages, signals, other terminals, rollback, reset, eject. They wait for events only.

mod authority;
mod browser;
mod keys;
mod kills;
mod live;
mod report;
mod told;
mod undo;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::environment::{Run, TestEnv, programs};
use crate::needs::has;
use crate::terminal::Terminal;

const PLATFORM: &str = "\
apiVersion: ztc/v1
environment: test
plugins: {fake: {path: ../bin/fake}}
adapters:
  fake: {version: v1}
";

/// A repository whose pipeline is made of a test's own stages.
struct Pipe {
    environment: TestEnv,
}

/// A stage that runs the script of its own name.
fn stage(name: &str) -> Value {
    json!({ "name": name, "script": format!("fake://{name}.sh"), "cache_key": name })
}

/// Returns the stage with more fields.
fn with(mut stage: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        stage[name] = value.clone();
    }
    stage
}

/// Items for `for_each`.
fn items(names: &[&str]) -> Value {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({ "key": name, "name": name }))
        .collect();
    json!({ "item": "node", "items": items })
}

impl Pipe {
    /// Renders stages and the texts of scripts by name.
    fn new(stages: &[Value], scripts: &[(&str, &str)]) -> Self {
        let environment = TestEnv::new();
        environment.write("platform.yaml", PLATFORM);
        symlink(
            programs().join("fake-adapter"),
            environment.bin().join("fake"),
        )
        .unwrap();
        let pipe = Self { environment };
        pipe.render(stages, scripts);
        pipe
    }

    fn render(&self, stages: &[Value], scripts: &[(&str, &str)]) {
        self.render_with(json!({ "stages": stages }), scripts);
    }

    fn render_with(&self, mut told: Value, scripts: &[(&str, &str)]) {
        let scripts: Vec<Value> = scripts
            .iter()
            .map(|(name, text)| {
                let (name, destructive) = match name.strip_suffix('!') {
                    Some(name) => (name, true),
                    None => (*name, false),
                };
                let content = format!("#!/usr/bin/env bash\nset -euo pipefail\n{text}\n");
                json!({
                    "name": format!("{name}.sh"),
                    "sha256": ztc_protocol::sha256_hex(content.as_bytes()),
                    "content": content,
                    "destructive": destructive,
                    "timeout_seconds": 120,
                })
            })
            .collect();
        told["scripts"] = json!(scripts);
        fs::write(self.environment.bin().join("fake.stages"), told.to_string()).unwrap();
        self.environment.ztc_ok(&["render"]);
    }

    fn ztc(&self, arguments: &[&str]) -> Run {
        self.environment.ztc(arguments)
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> Run {
        let run = self.ztc(arguments);
        assert_eq!(run.code, Some(code), "ztc {arguments:?}\n{run}");
        run
    }

    /// What scripts wrote.
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.environment.repo().join(file)).unwrap_or_default()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.environment.repo().join(file)
    }

    /// Makes a fifo: opening it waits until somebody opens the other end.
    fn fifo(&self, name: &str) {
        let mode = rustix::fs::Mode::from(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, self.path(name), kind, mode, 0).unwrap();
    }

    /// Starts a run and waits until a stage opened the fifo `up` and wrote a line into it.
    fn started(&self, arguments: &[&str]) -> Child {
        self.started_in(&self.environment.repo(), arguments)
    }

    /// The same from another directory.
    fn started_in(&self, directory: &Path, arguments: &[&str]) -> Child {
        let mut command = self.environment.command(arguments);
        let child = command
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(fs::File::open(self.path("up")).unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n");
        child
    }

    /// The last line of each run's journal, and how each task ended in the last one.
    fn status(&self) -> Value {
        self.ztc(&["status", "--json"]).json()
    }

    /// `task state` for every task of the last run.
    fn states(&self) -> Vec<String> {
        let status = self.status();
        let tasks = status["tasks"].as_array().unwrap().iter();
        tasks
            .map(|task| {
                format!(
                    "{} {}",
                    task["task"].as_str().unwrap(),
                    task["state"].as_str().unwrap()
                )
            })
            .collect()
    }
}

/// Waits for the end of a program and returns its exit code and what it said.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    reader.join().unwrap().unwrap();
    (child.wait().unwrap().code(), stderr)
}

/// Watches the most memory that a program takes until it ends, in kB.
pub(crate) fn memory(pid: u32) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut most = 0;
        while let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { break };
            let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            most = most.max(kilobytes);
            // Nothing tells when it takes more.
            std::thread::sleep(Duration::from_millis(20));
        }
        most
    })
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// Whether every process that holds a fifo for writing is gone.
fn is_let_go(path: &std::path::Path) -> bool {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
    rustix::io::read(&reader, &mut [0; 1]) == Ok(0)
}

#[test]
fn a_stage_has_no_terminal() {
    let pipe = Pipe::new(
        &[stage("look")],
        &[(
            "look",
            "if (: </dev/tty) 2>/dev/null; then echo terminal > seen; else echo none > seen; fi; ps -o pid=,sid= -p $$ >> seen",
        )],
    );
    let mut terminal = Terminal::ztc(&pipe.environment, &["bootstrap"]);
    terminal.wait_for("1 tasks in");
    assert_eq!(terminal.exit_code(), Some(0));
    let seen = pipe.read("seen");
    let mut words = seen.split_whitespace();
    assert_eq!(words.next(), Some("none"), "{seen}");
    assert_eq!(words.next(), words.next(), "it leads no session: {seen}");
}

#[test]
fn what_leaves_its_session_ends_with_the_run() {
    let pipe = Pipe::new(
        &[stage("careless")],
        &[(
            "careless",
            "mkfifo alive; setsid bash -c \"trap '' TERM HUP; exec sleep 1000\" > alive 2>/dev/null < /dev/null & exec 3< alive",
        )],
    );
    pipe.environment.ztc_ok(&["bootstrap"]);
    assert!(is_let_go(&pipe.path("alive")), "a process outlives the run");
}

#[test]
fn every_wish_to_end_is_heard_and_the_run_goes_on_later() {
    use rustix::process::Signal;
    let pipe = Pipe::new(
        &[stage("first"), stage("long"), stage("last")],
        &[
            ("first", "echo first >> order"),
            ("long", "echo up > up; exec sleep 1000"),
            ("last", "echo last >> order"),
        ],
    );
    pipe.fifo("up");
    for (wish, name) in [
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
        (Signal::HUP, "SIGHUP"),
    ] {
        let child = pipe.started(&["bootstrap"]);
        signal(&child, wish);
        let (code, said) = ended(child);
        assert_eq!(code, Some(130), "{said}");
        assert!(
            said.contains(&format!("{name}: nothing more is started")),
            "{said}"
        );
        assert!(said.contains("go on with `ztc bootstrap`"), "{said}");
        assert_eq!(
            pipe.states()[1..],
            ["long stopped", "last pending"],
            "{said}"
        );
    }
    assert_eq!(pipe.read("order"), "first\n");
    let child = pipe.started(&["bootstrap", "--timeout", "1s"]);
    let (code, said) = ended(child);
    assert_eq!(code, Some(130));
    assert!(
        said.contains("--timeout 1s: nothing more is started"),
        "{said}"
    );
    insta::assert_snapshot!(pipe.fails(&["bootstrap", "--timeout", "soon"], 2), @"
    exit: 2
    --- stderr
    error: invalid value 'soon' for '--timeout <DURATION>': give a time such as `90s`, `45m` or `1h30m`

    For more information, try '--help'.
    ");
}

#[test]
fn a_person_must_be_there_or_have_said_yes() {
    let manual = json!({
        "name": "cable",
        "cache_key": "cable",
        "manual": { "instructions": "plug cable $WHICH in\nthe lamp is green then" },
    });
    let pipe = Pipe::new(&[], &[]);
    pipe.render_with(
        json!({ "stages": [manual, stage("after")], "env_vars": { "WHICH": "7" } }),
        &[("after", "echo after > order")],
    );
    insta::assert_snapshot!(pipe.fails(&["bootstrap"], 5), @"
    exit: 5
    --- stderr
    2 of 2 tasks run
    error: stages are to be confirmed by a person, and nobody is there; nothing has been run
      `cable`:
        plug cable 7 in
        the lamp is green then
      help: do what they say; then run `ztc bootstrap --yes`
    ");
    assert_eq!(pipe.read("order"), "");
    let mut terminal = Terminal::ztc(&pipe.environment, &["bootstrap"]);
    terminal.wait_for("`cable` is for you to do:");
    terminal.wait_for("plug cable 7 in");
    terminal.answer("type `yes` when it is done", "no\r");
    assert_eq!(terminal.exit_code(), Some(1));
    let mut terminal = Terminal::ztc(&pipe.environment, &["bootstrap"]);
    terminal.answer("type `yes` when it is done", "yes\r");
    terminal.wait_for("2 tasks in");
    assert_eq!(terminal.exit_code(), Some(0));
    pipe.environment
        .ztc_ok(&["bootstrap", "--skip-cache", "--yes"]);
    assert_eq!(pipe.read("order"), "after\n");
}

#[test]
fn what_is_not_required_degrades_the_run() {
    let optional = with(stage("optional"), json!({ "required": false }));
    let wary = with(stage("wary"), json!({ "after_failure": "skip" }));
    let pipe = Pipe::new(
        &[optional, wary, stage("bold")],
        &[
            (
                "optional",
                "echo looked everywhere; echo 'ZTC_CAUSE: no mirror answers'; exit 7",
            ),
            ("wary", "true"),
            ("bold", "true"),
        ],
    );
    let run = pipe.fails(&["bootstrap", "--jobs", "2"], 3);
    let said = &run.stderr[run.stderr.find("warning").unwrap()..];
    let status = pipe.status();
    let said = said.replace(status["run"].as_str().unwrap(), "[RUN]");
    insta::assert_snapshot!(keys::steady(&said), @"
    warning: `optional` failed, which is not required: exit code 7
      likely cause: no mirror answers
      its last lines (all: .zerotouch-cache/runs/[RUN]/optional.log):
        | looked everywhere
    warning: 3 tasks in [SECONDS], 1 of which failed and are not required
      help: `ztc bootstrap --jobs 2` tries them again
    ");
    assert_eq!(
        pipe.states(),
        ["optional failed", "wary skipped", "bold succeeded"]
    );
    assert_eq!(pipe.ztc(&["status"]).code, Some(3));
}

#[test]
fn an_adapter_runs_no_more_at_once_than_it_says() {
    let each = with(
        stage("each"),
        json!({ "for_each": items(&["a", "b", "c", "d"]) }),
    );
    let pipe = Pipe::new(&[], &[]);
    pipe.render_with(
        json!({ "stages": [each], "max_parallel": 1 }),
        // Two at once would find each other's directory.
        &[(
            "each",
            "mkdir busy; sleep 0.05; rmdir busy; echo done >> order",
        )],
    );
    pipe.environment.ztc_ok(&["bootstrap", "--jobs", "8"]);
    assert_eq!(pipe.read("order"), "done\n".repeat(4));
}

#[test]
fn the_ejected_pipeline_waits_asks_and_tries_again_too() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    let fast = |probe: Value| {
        with(
            json!({ "interval_seconds": 0.01, "max_interval_seconds": 0.02, "successes": 2 }),
            probe,
        )
    };
    let gate = |name: &str, probe: Value| json!({ "name": name, "cache_key": name, "health": fast(probe) });
    let stages = [
        gate("port", json!({ "tcp": address })),
        gate(
            "program",
            json!({ "command": ["bash", "-c", "echo x >> asked; [ $(wc -l < asked) -ge 3 ]"] }),
        ),
        json!({ "name": "cable", "cache_key": "cable", "manual": { "instructions": "plug it in" } }),
        with(
            stage("flaky"),
            json!({ "retry": { "max_attempts": 3, "backoff_seconds": 0, "exit_codes": [9] } }),
        ),
        with(stage("optional"), json!({ "required": false })),
        with(stage("wary"), json!({ "after_failure": "skip" })),
    ];
    let scripts = [
        (
            "flaky",
            "echo $ZTC_ATTEMPT >> attempts; [ $ZTC_ATTEMPT = 3 ] || exit 9",
        ),
        ("optional", "exit 1"),
        ("wary", "echo wary >> attempts"),
    ];
    let pipe = Pipe::new(&stages, &scripts);
    pipe.environment.ztc_ok(&["eject", "--output", "out"]);
    let directory = pipe.path("out");
    if has("shellcheck") {
        let checked = Command::new("shellcheck")
            .arg(directory.join("run.sh"))
            .output()
            .unwrap();
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
    let ejected = |yes: &str| {
        let output = Command::new(directory.join("run.sh"))
            .env("ZTC_YES", yes)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, said) = ejected("");
    assert_eq!(
        (code, said.as_str()),
        (
            Some(5),
            "cable is for you to do:\nplug it in\nrun.sh: cable must be confirmed: do what it says, then set ZTC_YES=1\n"
        )
    );
    let (code, told, said) = ejected("1");
    assert_eq!(
        told,
        "skip  port: done before\nskip  program: done before\nrun   cable\nrun   flaky\nagain flaky: exit code 9; in 0 s\n\
         again flaky: exit code 9; in 0 s\nrun   optional\nskip  wary: optional failed\n"
    );
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(pipe.read("attempts"), "1\n2\n3\n");
    // Nothing runs where more is asked for than one thing.
    let output = Command::new(directory.join("run.sh"))
        .args(["--from", "flaky", "--list"])
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap()),
        (
            Some(2),
            "run.sh: one option at a time: --list does not go with what stands before it; nothing has been run\n".to_owned()
        )
    );
    assert_eq!(pipe.read("attempts"), "1\n2\n3\n");
}

#[test]
fn an_ejected_health_stage_ends_in_its_time_and_says_why_on_one_line() {
    let closed = {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        port.local_addr().unwrap()
    };
    let url = format!("http://{closed}/");
    let pipe = Pipe::new(
        &[json!({
            "name": "answers", "cache_key": "answers", "timeout_seconds": 2,
            "health": { "http": { "url": url }, "interval_seconds": 1.5, "max_interval_seconds": 1.5 },
        })],
        &[],
    );
    pipe.environment.ztc_ok(&["eject", "--output", "out"]);
    assert!(
        pipe.read("out/README.md")
            .ends_with("\nTools: bash, curl, jq.\n"),
        "{}",
        pipe.read("out/README.md")
    );
    let began = std::time::Instant::now();
    let output = Command::new(pipe.path("out/run.sh"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let took = began.elapsed();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!((2.0..3.5).contains(&took.as_secs_f64()), "{took:?}\n{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 3
            && lines[1..].iter().all(|line| {
                line.starts_with(&format!("      {url}: curl: (7) "))
                    && line.ends_with("; again in 1.50 s")
            }),
        "{said}"
    );
}

#[test]
fn much_output_takes_no_time_from_the_run() {
    let pipe = Pipe::new(
        &[stage("loud")],
        &[(
            "loud",
            "head -c 50000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo end",
        )],
    );
    let mut command = pipe.environment.command(&["bootstrap"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let memory = memory(child.id());
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    let run = pipe.status()["run"].as_str().unwrap().to_owned();
    let log = pipe.path(&format!(".zerotouch-cache/runs/{run}/loud.log"));
    assert_eq!(
        fs::metadata(log).unwrap().len(),
        50_000_000 + 50_000_000 / 99 + 4
    );
    let most = memory.join().unwrap();
    assert!(most < 80_000, "ztc took {most} kB for 50 MB of output");
}

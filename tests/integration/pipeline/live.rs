//! A run seen and ended from other terminals.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;

/// Stages of which the second says something and waits until somebody opens `go`.
fn waiting() -> Pipe {
    let pipe = Pipe::new(
        &[stage("first"), stage("long"), stage("last")],
        &[
            ("first", "echo first >> order"),
            (
                "long",
                "trap 'echo asked to end; exit 1' TERM; echo halfway; echo up > up; read -r _ < go & wait $!",
            ),
            ("last", "echo last >> order"),
        ],
    );
    pipe.fifo("up");
    pipe.fifo("go");
    pipe
}

fn filtered(run: &Run) -> String {
    let text = run.to_string();
    let words = text.split_inclusive([' ', '\n']);
    words
        .map(|word| {
            let plain = word.trim_end();
            let rest = &word[plain.len()..];
            let plain = plain.trim_end_matches([',', ':', ';', ')']);
            let tail = &word.trim_end()[plain.len()..];
            let is_run = plain.len() == 26 && plain.starts_with("01");
            let is_time = plain.len() >= 20 && plain.starts_with("20") && plain.ends_with('Z');
            let is_number = plain.len() > 2 && plain.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = plain
                .strip_suffix('s')
                .is_some_and(|number| number.parse::<f64>().is_ok());
            let name = match (is_run, is_time, is_number, seconds) {
                (true, ..) => "[RUN]",
                (_, true, ..) => "[TIME]",
                (_, _, true, _) => "[PID]",
                (.., true) => "[SECONDS]",
                _ => plain,
            };
            format!("{name}{tail}{rest}")
        })
        .collect()
}

#[test]
fn a_second_run_learns_who_is_first_and_others_look_on() {
    let pipe = waiting();
    let first = pipe.started(&["bootstrap"]);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let said =
        filtered(&pipe.fails(&["bootstrap"], 5)).replace(&format!(" {} ", host.trim()), " [HOST] ");
    insta::assert_snapshot!(said, @"
    exit: 5
    --- stderr
    error: another run of `test` is going on
      run [RUN]: process [PID] on [HOST] since [TIME]
      running now: long
      help: follow it with `ztc status --follow`; stop it with `ztc cancel`
    ");
    let said = filtered(&pipe.ztc(&["status"])).replace(&format!(" {})", host.trim()), " [HOST])");
    insta::assert_snapshot!(said, @"
    exit: 0
    --- stdout
    TASK   STATE    DETAIL
    first  done     [SECONDS]
    long   running  [SECONDS]: halfway
    last   pending
    --- stderr
    run [RUN] of `test` has been running for [SECONDS] (process [PID] on [HOST]): 1 of 3 tasks
    ");
    let status = pipe.status();
    assert_eq!(status["live"], true);
    assert_eq!(status["tasks"][1]["last_line"], "halfway");
    // Somebody follows from another terminal until the end.
    let follower = pipe
        .environment
        .command(&["status", "--follow", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(pipe.path("go"), "go\n").unwrap();
    let (code, said) = ended(first);
    assert_eq!(code, Some(0), "{said}");
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let events: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            format!("{} {}", event["seq"], event["event"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        events,
        [
            "0 run_started",
            "1 task_started",
            "2 task_succeeded",
            "3 task_started",
            "4 task_succeeded",
            "5 task_started",
            "6 task_succeeded",
            "7 run_finished",
        ]
    );
    assert_eq!(pipe.read("order"), "first\nlast\n");
    let left: Vec<_> = fs::read_dir(pipe.path(".zerotouch-cache/live"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_run_is_ended_from_another_terminal() {
    let pipe = waiting();
    insta::assert_snapshot!(pipe.environment.ztc_ok(&["cancel"]), @"
    exit: 0
    --- stderr
    ✓ no run of `test` is going on
    ");
    let first = pipe.started(&["bootstrap"]);
    insta::assert_snapshot!(filtered(&pipe.environment.ztc_ok(&["cancel"])), @"
    exit: 0
    --- stderr
    run [RUN] is asked to end; its stages may take 10 s for that
    ✓ run [RUN] of `test` was interrupted after [SECONDS]: 1 of 3 tasks
    ");
    let (code, said) = ended(first);
    assert_eq!(code, Some(130), "{said}");
    assert_eq!(
        pipe.states(),
        ["first succeeded", "long stopped", "last pending"]
    );
    // One that does not want to end is killed.
    let stubborn = [
        ("first", "echo first >> order"),
        (
            "long",
            "trap '' TERM; echo up > up; while :; do read -r _ < go || true; done",
        ),
        ("last", "echo last >> order"),
    ];
    pipe.render(&[stage("first"), stage("long"), stage("last")], &stubborn);
    let first = pipe.started(&["bootstrap"]);
    pipe.environment.ztc_ok(&["cancel", "--force"]);
    let (code, said) = ended(first);
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("ztc cancel: nothing more is started, running stages are killed\n"),
        "{said}"
    );
}

#[test]
fn a_repository_with_a_long_path_has_a_socket_elsewhere() {
    let pipe = waiting();
    let deep = pipe.environment.root().join("d".repeat(90));
    fs::rename(pipe.environment.repo(), &deep).unwrap();
    symlink(&deep, pipe.environment.repo()).unwrap();
    let directory = deep.display().to_string();
    let first = pipe.started(&["-C", &directory, "bootstrap"]);
    let status = pipe.ztc(&["-C", &directory, "status", "--json"]).json();
    assert_eq!(status["tasks"][1]["last_line"], "halfway", "{status:#}");
    let socket = status["holder"]["socket"].as_str().unwrap();
    assert!(
        socket.len() <= 100 && !socket.starts_with(&directory),
        "{socket}"
    );
    pipe.environment.ztc_ok(&["-C", &directory, "cancel"]);
    assert_eq!(ended(first).0, Some(130));
    assert!(!fs::exists(socket).unwrap());
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_up() {
    let pipe = Pipe::new(
        &[stage("first"), stage("loud")],
        &[
            ("first", "echo up > up; read -r _ < go"),
            (
                "loud",
                "for i in $(seq 20000); do echo \"line $i of a stage that has much to say\"; done",
            ),
        ],
    );
    pipe.fifo("up");
    pipe.fifo("go");
    let child = pipe.started(&["bootstrap"]);
    let mut deaf: Vec<UnixStream> = Vec::new();
    for ask in ["\"follow\"\n", "\"snapshot\"\n", "nonsense\n", ""] {
        let mut stream = UnixStream::connect(pipe.path(".zerotouch-cache/live/test.sock")).unwrap();
        stream.write_all(ask.as_bytes()).unwrap();
        deaf.push(stream);
    }
    fs::write(pipe.path("go"), "go\n").unwrap();
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    drop(deaf);
}

#[test]
fn a_run_that_was_killed_is_said_to_have_been() {
    let pipe = waiting();
    let mut child = pipe.started(&["bootstrap"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let run = filtered(&pipe.fails(&["status"], 3));
    insta::assert_snapshot!(run, @"
    exit: 3
    --- stdout
    TASK   STATE    DETAIL
    first  done     [SECONDS]
    long   lost
    last   pending
    --- stderr
    run [RUN] of `test` was lost: its ztc ended without a word, its last record is of [TIME]: 1 of 3 tasks; go on with `ztc bootstrap`
    ");
    pipe.render(
        &[stage("first"), stage("long"), stage("last")],
        &[
            ("first", "echo first >> order"),
            ("long", "true"),
            ("last", "true"),
        ],
    );
    let run = filtered(&pipe.environment.ztc_ok(&["bootstrap"]));
    insta::assert_snapshot!(run, @"
    exit: 0
    --- stderr
    warning: run [RUN] ended without a word (process [PID] is gone); going on from its journal
    2 of 3 tasks run
    run [RUN]
    [1/3] first  skipped  done in run [RUN]
          long   starts   did not finish in run [RUN]
    [2/3] long   ok       [SECONDS]
          last   starts   never ran
    [3/3] last   ok       [SECONDS]
    ✓ 3 tasks in [SECONDS]
    ");
}

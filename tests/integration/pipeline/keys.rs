//! A run on a terminal: what its keys do to it, and what it leaves on the screen and of the terminal's modes.

use std::path::Path;

use super::*;

/// A stage that says what it is asked to do and ends only when it is killed.
const STUBBORN: &str = "trap 'echo asked to end' TERM; echo working; echo up > up
    while :; do sleep 1000 & wait $! || true; done";

fn stubborn() -> Pipe {
    let pipe = Pipe::new(
        &[stage("first"), stage("long"), stage("last")],
        &[("first", "true"), ("long", STUBBORN), ("last", "true")],
    );
    pipe.fifo("up");
    pipe
}

/// A text without what differs from run to run: run, time and durations.
pub(super) fn steady(text: &str) -> String {
    let steady = |word: &str| match word.trim_end_matches([',', ';']) {
        run if run.len() == 26 && run.starts_with("01") => word.replace(run, "[RUN]"),
        time if time
            .strip_suffix('s')
            .is_some_and(|n| n.parse::<f64>().is_ok()) =>
        {
            word.replace(time, "[SECONDS]")
        }
        _ => word.to_owned(),
    };
    let lines = text.lines().map(|line| {
        let words: Vec<String> = line.split(' ').map(steady).collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_ctrl_c_asks_and_the_second_kills_and_the_screen_is_clean() {
    let pipe = stubborn();
    let mut terminal = Terminal::ztc(&pipe.environment, &["bootstrap"]);
    let modes = terminal.modes();
    assert_eq!(fs::read_to_string(pipe.path("up")).unwrap(), "up\n");
    terminal.wait_for("1/3");
    assert_eq!(terminal.modes(), modes, "the view changes the terminal");
    terminal.press("\x03");
    terminal.wait_for("SIGINT: nothing more is started");
    terminal.wait_for("asked to end");
    terminal.press("\x03");
    terminal.wait_for("SIGINT again");
    let (code, screen, after) = terminal.end();
    assert_eq!((code, after), (Some(130), modes));
    insta::assert_snapshot!(steady(&screen), @"
    3 of 3 tasks run
    run [RUN]
    [1/3] first  ok       [SECONDS]
    SIGINT: nothing more is started, running stages are asked to stop; once more kills them
    SIGINT again: running stages are killed
    [2/3] long   stopped  [SECONDS]
    error: interrupted after [SECONDS], with 2 tasks to go
      stopped: long
      help: go on with `ztc bootstrap`; what succeeded is not run again
    ");
}

#[test]
fn a_terminal_needs_no_repair_after_a_kill() {
    let pipe = stubborn();
    let mut terminal = Terminal::ztc(&pipe.environment, &["bootstrap"]);
    let modes = terminal.modes();
    assert_eq!(fs::read_to_string(pipe.path("up")).unwrap(), "up\n");
    terminal.wait_for("1/3");
    let pid = pipe.status()["holder"]["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let (_, _, after) = terminal.end();
    assert_eq!(after, modes);
}

#[test]
fn who_follows_sees_the_view_with_an_estimate() {
    let pipe = Pipe::new(
        &[stage("first"), stage("long")],
        &[
            ("first", "true"),
            (
                "long",
                "if [ -e again ]; then echo working; echo up > up; read -r _ < go; else sleep 2; fi",
            ),
        ],
    );
    pipe.fifo("up");
    pipe.fifo("go");
    pipe.environment.ztc_ok(&["bootstrap"]);
    fs::write(pipe.path("again"), "").unwrap();
    let run = pipe.started(&["bootstrap", "--skip-cache"]);
    let mut terminal = Terminal::ztc(&pipe.environment, &["status", "--follow"]);
    terminal.wait_for("1/2");
    terminal.wait_for(" left");
    terminal.wait_for(" of ~2s");
    fs::write(pipe.path("go"), "go\n").unwrap();
    terminal.wait_for("succeeded after");
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(ended(run).0, Some(0));
}

#[test]
fn who_stops_following_ends_nothing_and_says_nothing() {
    let pipe = Pipe::new(
        &[stage("long")],
        &[("long", "echo up > up; read -r _ < go")],
    );
    pipe.fifo("up");
    pipe.fifo("go");
    let run = pipe.started(&["bootstrap"]);
    let mut terminal = Terminal::ztc(&pipe.environment, &["status", "--follow"]);
    terminal.wait_for("0/1");
    terminal.press("\x03");
    let (code, screen, _) = terminal.end();
    assert_eq!(code, Some(130), "{screen}");
    assert!(!screen.contains("interrupted"), "{screen}");
    fs::write(pipe.path("go"), "go\n").unwrap();
    assert_eq!(ended(run).0, Some(0));
}

#[test]
fn the_command_that_goes_on_can_be_pasted() {
    let pipe = Pipe::new(
        &[stage("long"), stage("broken")],
        &[
            (
                "long",
                "[ -e mended ] || { echo up > up; exec sleep 1000; }",
            ),
            ("broken", "[ -e mended ]"),
        ],
    );
    pipe.fifo("up");
    let named = pipe.environment.root().join("it's my cluster");
    fs::rename(pipe.environment.repo(), &named).unwrap();
    symlink(&named, pipe.environment.repo()).unwrap();
    let directory = named.display().to_string();
    let child = pipe.started_in(
        Path::new("/"),
        &["-C", &directory, "bootstrap", "--env", "test"],
    );
    signal(&child, rustix::process::Signal::INT);
    let (code, said) = ended(child);
    assert_eq!(code, Some(130), "{said}");
    let (_, rest) = said.split_once("go on with `").unwrap();
    let (command, _) = rest.split_once("`; what succeeded").unwrap();
    fs::write(pipe.path("mended"), "").unwrap();
    let pasted = |command: &str| {
        let ztc = pipe.environment.command(&[]);
        let variables = ztc
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let output = Command::new("bash")
            .args(["-c", &format!("PATH=$1:$PATH; cd /; {command}"), "bash"])
            .arg(programs())
            .env_clear()
            .envs(variables)
            .output()
            .unwrap();
        Run::new(&pipe.environment, &output)
    };
    let run = pasted(command);
    assert_eq!(run.code, Some(0), "{command}\n{run}");
    // The commands of a failure.
    fs::remove_file(pipe.path("mended")).unwrap();
    let output = pipe
        .environment
        .command(&[
            "-C",
            &directory,
            "bootstrap",
            "--env",
            "test",
            "--only",
            "broken",
        ])
        .current_dir("/")
        .output()
        .unwrap();
    let failed = Run::new(&pipe.environment, &output);
    assert_eq!(failed.code, Some(1), "{failed}");
    fs::write(pipe.path("mended"), "").unwrap();
    let mut pasted_ones = Vec::new();
    for title in ["go on:", "by hand:"] {
        let line = failed
            .stderr
            .lines()
            .find_map(|line| line.trim().strip_prefix(title));
        let command = line
            .unwrap_or_else(|| panic!("no `{title}`\n{failed}"))
            .trim();
        // What a test filters out is where the test is.
        let command = command.replace("[ROOT]", &pipe.environment.root().display().to_string());
        let run = pasted(&command);
        pasted_ones.push((title, run.code, command));
    }
    assert!(
        pasted_ones.iter().all(|(_, code, _)| *code == Some(0)),
        "{pasted_ones:#?}"
    );
}

//! SIGKILL at every boundary of a run and inside every stage: whatever was known to be done is not done again, and the next run ends well.

use super::*;

/// Every script says that it ran, and kills ztc where a file tells it to.
fn pipe() -> Pipe {
    const SCRIPT: &str = "task=$ZTC_STAGE; . \"$ZTC_CONTEXT_SH\"; task+=${CTX_ITEM_NAME:-}
        echo \"$task\" >> order
        if [ -e \"kill-$task\" ]; then rm \"kill-$task\"; kill -9 $PPID; sleep 1000; fi";
    let each = |name: &str| with(stage(name), json!({ "for_each": items(&["a", "b"]) }));
    let names = ["rescue", "install", "join", "workers", "check"];
    Pipe::new(
        &[
            each("rescue"),
            each("install"),
            stage("join"),
            each("workers"),
            stage("check"),
        ],
        &names.map(|name| (name, SCRIPT)),
    )
}

/// How often each task ran.
fn counts(pipe: &Pipe) -> Vec<(String, usize)> {
    let order = pipe.read("order");
    let mut names: Vec<&str> = order.lines().collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let count = order.lines().filter(|line| *line == name).count();
            (name.to_owned(), count)
        })
        .collect()
}

const TASKS: [&str; 8] = [
    "rescuea", "rescueb", "installa", "installb", "join", "workersa", "workersb", "check",
];

#[test]
fn a_kill_inside_any_stage_repeats_that_stage_only() {
    let pipe = pipe();
    for task in TASKS {
        fs::write(pipe.path(&format!("kill-{task}")), "").unwrap();
        let run = pipe.ztc(&["bootstrap", "--jobs", "1"]);
        assert_eq!(run.code, None, "{task}\n{run}");
    }
    pipe.environment.ztc_ok(&["bootstrap", "--jobs", "1"]);
    let mut expected: Vec<(String, usize)> =
        TASKS.iter().map(|task| ((*task).to_owned(), 2)).collect();
    expected.sort();
    assert_eq!(counts(&pipe), expected);
}

#[test]
#[cfg(target_os = "linux")]
fn what_left_its_session_ends_with_a_killed_ztc_too() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let pipe = Pipe::new(
        &[stage("careless")],
        &[(
            "careless",
            "mkfifo alive; setsid bash -c \"trap '' TERM HUP; exec sleep 1000\" > alive 2>/dev/null < /dev/null &
             exec 3< alive; echo up > up; exec sleep 1000",
        )],
    );
    pipe.fifo("up");
    let mut child = pipe.started(&["bootstrap"]);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let mode = rustix::fs::Mode::empty();
    let alive = rustix::fs::open(pipe.path("alive"), flags, mode).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut polled = [PollFd::new(&alive, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    assert_eq!(
        poll(&mut polled, Some(&limit)),
        Ok(1),
        "a process outlives ztc"
    );
    assert_eq!(polled[0].revents(), PollFlags::HUP);
}

#[test]
fn a_kill_behind_any_event_repeats_nothing_that_was_done() {
    let pipe = pipe();
    let mut kills = 0;
    loop {
        // The n-th line of every run ends it, so that every run gets a little further, and each boundary comes by.
        let mut command = pipe
            .environment
            .command(&["bootstrap", "--jobs", "1", "--json"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut new = 0;
        let killed = loop {
            let Some(line) = lines.next() else {
                break false;
            };
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == "task_succeeded" || event["event"] == "task_started" {
                new += 1;
            }
            if new > kills % 2 {
                child.kill().unwrap();
                break true;
            }
        };
        child.wait().unwrap();
        if !killed {
            break;
        }
        kills += 1;
        assert!(kills < 60, "it does not come to an end");
    }
    assert!(kills >= TASKS.len(), "{kills}");
    let done = pipe.environment.ztc_ok(&["bootstrap"]);
    assert!(done.stderr.contains("0 of 8 tasks run"), "{done}");
    assert_eq!(counts(&pipe).len(), TASKS.len());
}

#[test]
fn each_stage_can_fail_and_nothing_that_succeeded_runs_again() {
    let pipe = pipe();
    const SCRIPT: &str = "task=$ZTC_STAGE; . \"$ZTC_CONTEXT_SH\"; task+=${CTX_ITEM_NAME:-}
        echo \"$task\" >> order; [ ! -e \"fail-$task\" ]";
    let each = |name: &str| with(stage(name), json!({ "for_each": items(&["a", "b"]) }));
    pipe.render(
        &[
            each("rescue"),
            each("install"),
            stage("join"),
            each("workers"),
            stage("check"),
        ],
        &["rescue", "install", "join", "workers", "check"].map(|name| (name, SCRIPT)),
    );
    for task in TASKS {
        fs::write(pipe.path(&format!("fail-{task}")), "").unwrap();
        let failed = pipe.fails(&["bootstrap", "--jobs", "1"], 1);
        assert!(failed.stderr.contains("failed: exit code 1"), "{failed}");
        fs::remove_file(pipe.path(&format!("fail-{task}"))).unwrap();
    }
    pipe.environment.ztc_ok(&["bootstrap", "--jobs", "1"]);
    let mut expected: Vec<(String, usize)> =
        TASKS.iter().map(|task| ((*task).to_owned(), 2)).collect();
    expected.sort();
    assert_eq!(counts(&pipe), expected);
}

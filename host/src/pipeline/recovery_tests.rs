//! Runs that come to a bad end: too slow, interrupted, killed, cut off; and what the next run makes of it.

use rustix::event::{PollFd, PollFlags, Timespec};
use ztc_protocol::health::{Health, Manual};
use ztc_protocol::stage::Retry;

use super::*;
use crate::pipeline::event::Outcome;
use crate::pipeline::file::{Kind, StageEntry};
use crate::pipeline::manual::Desk;
use crate::pipeline::state::Phase;
use crate::pipeline::testing::{Bench, items, stage};

fn outcome(state: &RunState) -> Outcome {
    state.outcome.unwrap().0
}

#[tokio::test]
async fn a_stage_that_takes_too_long_is_ended_with_everything_it_started() {
    // A child and a grandchild in the background hold one end of a fifo each: it ends when both are gone.
    let text = "mkfifo alive; (trap '' TERM; (trap '' TERM; exec sleep 1000 > alive) & exec sleep 1000 > alive) & \
                trap '' TERM; echo started; read -r never < alive || true; read -r never < <(sleep 1000)";
    let mut bench = Bench::new(vec![(
        StageEntry {
            timeout: 1,
            ..stage("slow", &[])
        },
        text,
    )]);
    bench.grace = Duration::from_millis(50);
    let ran = bench.run().await;
    assert_eq!(
        ran.failure("slow"),
        TaskFailure {
            status: "no end after 1 s".into(),
            code: None,
            cause: None,
            last_lines: vec!["started".into()],
        }
    );
    // Opening the other end without waiting fails exactly when nobody writes any more.
    let reader = nonblocking(&bench.path("alive"));
    assert_eq!(
        rustix::io::read(&reader, &mut [0; 1]),
        Ok(0),
        "a process of the stage still holds the fifo"
    );
}

#[tokio::test]
async fn what_a_stage_leaves_running_ends_with_it() {
    let bench = Bench::new(vec![(
        stage("careless", &[]),
        "mkfifo alive; (trap '' TERM HUP; exec sleep 1000 > alive) & exec 3< alive",
    )]);
    assert_eq!(outcome(&bench.run().await.state), Outcome::Succeeded);
    let reader = nonblocking(&bench.path("alive"));
    assert_eq!(
        rustix::io::read(&reader, &mut [0; 1]),
        Ok(0),
        "a process of the stage still holds the fifo"
    );
}

#[tokio::test]
async fn an_interrupted_run_asks_its_stages_to_stop_and_goes_on_later() {
    let mut bench = Bench::new(vec![
        (stage("first", &[]), "true"),
        (
            stage("long", &["first"]),
            "trap 'echo cleaned > cleaned; exit 0' TERM; echo up; sleep 1000 & wait $!",
        ),
        (stage("last", &["long"]), "true"),
    ]);
    let ran = bench.run_with(|line| line == "up").await;
    assert_eq!(
        ran.summary(),
        [
            "first done: never ran",
            "long stopped: never ran",
            "last pending"
        ]
    );
    assert_eq!(outcome(&ran.state), Outcome::Interrupted);
    assert_eq!(bench.read("cleaned"), "cleaned\n");
    bench.script("long", "true");
    let ran = bench.run().await;
    assert_eq!(
        ran.summary()[..2],
        [
            "first skipped: done in run EARLIER",
            "long done: was stopped in run EARLIER"
        ]
    );
}

#[tokio::test]
async fn the_second_interrupt_kills() {
    let bench = Bench::new(vec![(
        stage("stubborn", &[]),
        "trap 'echo asked' TERM; echo up; while true; do sleep 1000 & wait $! || true; done",
    )]);
    let ran = bench.run_with(|line| line == "up" || line == "asked").await;
    assert_eq!(
        (ran.summary(), outcome(&ran.state)),
        (
            vec!["stubborn stopped: never ran".to_owned()],
            Outcome::Interrupted
        )
    );
    let kills: Vec<bool> = ran
        .records
        .iter()
        .filter_map(|record| match record.event {
            Event::Interrupted { kill, .. } => Some(kill),
            _ => None,
        })
        .collect();
    assert_eq!(kills, [false, true]);
}

#[tokio::test]
async fn a_stage_waiting_for_its_next_attempt_stops_with_the_run() {
    let retry = Some(Retry {
        max_attempts: 9,
        backoff_seconds: 60,
        exit_codes: vec![],
        ..Retry::default()
    });
    let bench = Bench::new(vec![
        (
            StageEntry {
                retry,
                ..stage("flaky", &[])
            },
            "echo up; exit 1",
        ),
        (stage("other", &[]), "exit 1"),
    ]);
    let ran = bench.run().await;
    assert!(
        matches!(
            ran.state.phase("flaky"),
            Some(Phase::Stopped { .. } | Phase::Failed { .. })
        ),
        "{:?}",
        ran.summary()
    );
    assert_eq!(outcome(&ran.state), Outcome::Failed);
}

/// Opens a fifo for reading whether or not somebody writes to it.
fn nonblocking(fifo: &std::path::Path) -> std::os::fd::OwnedFd {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    rustix::fs::open(fifo, flags, rustix::fs::Mode::empty()).unwrap()
}

/// The journal of a run with everything in it, to be cut: items, another attempt, a stage that is skipped, one that is not required and
/// fails, one of each kind without a script, and a failure at the end.
async fn cut_bench() -> (Bench, Vec<u8>) {
    let retry = Some(Retry {
        max_attempts: 2,
        backoff_seconds: 0,
        exit_codes: vec![],
        ..Retry::default()
    });
    let mut bench = Bench::new(vec![
        (
            StageEntry {
                for_each: items(&["a", "b"]),
                ..stage("install", &[])
            },
            "true",
        ),
        (
            StageEntry {
                retry,
                ..stage("flaky", &["install"])
            },
            "[ $ZTC_ATTEMPT = 2 ]",
        ),
        (
            StageEntry {
                skip_if_empty: Some("NOBODY".into()),
                ..stage("empty", &["flaky"])
            },
            "true",
        ),
        (
            StageEntry {
                required: false,
                ..stage("optional", &["empty"])
            },
            "exit 1",
        ),
        (
            StageEntry {
                kind: Kind::Health,
                script: String::new(),
                health: Some(Health {
                    command: Some(vec!["true".into()]),
                    ..Health::default()
                }),
                ..stage("health", &["empty"])
            },
            "",
        ),
        (
            StageEntry {
                kind: Kind::Manual,
                script: String::new(),
                manual: Some(Manual {
                    instructions: "plug it in".into(),
                }),
                ..stage("manual", &["health"])
            },
            "",
        ),
        (stage("broken", &["manual"]), "exit 1"),
        (stage("last", &["broken"]), "true"),
    ]);
    bench.desk = Desk::Yes;
    let ran = bench.run().await;
    assert_eq!(outcome(&ran.state), Outcome::Failed);
    let journal = std::fs::read(journal::path(&bench.repository(), &ran.state.run)).unwrap();
    (bench, journal)
}

/// What happened, in one word.
fn word(record: &Record) -> String {
    let record = serde_json::to_value(record).unwrap();
    record["event"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_journal_cut_anywhere_repeats_only_what_it_does_not_know() {
    let (mut bench, journal) = cut_bench().await;
    for name in ["broken", "optional"] {
        bench.script(name, "true");
    }
    // In front of each line, in the middle of it, right before its end, and behind it.
    let mut cuts = vec![0];
    let mut begin = 0;
    for line in journal.split_inclusive(|byte| *byte == b'\n') {
        let end = begin + line.len();
        cuts.extend([begin + line.len() / 2, end - 1, end]);
        begin = end;
    }
    let lines = journal.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((cuts.len(), begin), (3 * lines + 1, journal.len()));
    let mut seen = BTreeSet::new();
    for cut in cuts {
        let known = journal::parse(&journal[..cut]).unwrap();
        seen.extend(known.iter().map(word));
        let mut done: Vec<&str> = known
            .iter()
            .filter_map(|record| match &record.event {
                Event::TaskSucceeded { task, .. } => Some(task.as_str()),
                _ => None,
            })
            .chain(["empty"])
            .collect();
        std::fs::remove_dir_all(bench.path(".zerotouch-cache")).unwrap();
        let run = journal::new_run("");
        std::fs::create_dir_all(journal::directory(&bench.repository(), &run)).unwrap();
        std::fs::write(journal::path(&bench.repository(), &run), &journal[..cut]).unwrap();
        let ran = bench.run().await;
        assert_eq!(outcome(&ran.state), Outcome::Succeeded, "cut at {cut}");
        let mut skipped: Vec<&str> = ran
            .state
            .tasks()
            .filter(|(_, phase)| matches!(phase, Phase::Skipped { .. }))
            .map(|(head, _)| head.task.as_str())
            .collect();
        done.sort_unstable();
        skipped.sort_unstable();
        assert_eq!(skipped, done, "cut at {cut}");
        let all = ran.state.phases.iter();
        assert!(all.clone().all(Phase::is_over), "cut at {cut}");
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [
            "attempt_failed",
            "run_finished",
            "run_started",
            "task_failed",
            "task_skipped",
            "task_started",
            "task_succeeded",
        ]
    );
}

#[tokio::test]
async fn a_damaged_journal_is_named_and_not_believed() {
    let (bench, journal) = cut_bench().await;
    let run = journal::runs(&bench.repository()).unwrap().pop().unwrap();
    let text = String::from_utf8(journal)
        .unwrap()
        .replacen("task_succeeded", "task_suceeded", 1);
    std::fs::write(journal::path(&bench.repository(), &run), text).unwrap();
    std::fs::remove_dir_all(bench.path(".zerotouch-cache/stage-cache")).unwrap();
    let failure = bench.runner().err().unwrap();
    assert!(
        failure.message.contains(&format!(
            "runs/{run}/journal.ndjson` cannot be read: line 4: unknown variant"
        )),
        "{failure}"
    );
    assert_eq!(
        failure.help.unwrap(),
        "put a copy of the file back, or delete line 4 and what follows it, since what stands before it can be read; then read `ztc plan` before anything runs"
    );
}

#[tokio::test]
async fn a_cache_that_cannot_be_read_is_made_again_from_the_journals() {
    let bench = Bench::new(vec![(stage("first", &[]), "true")]);
    bench.run().await;
    std::fs::write(bench.path(".zerotouch-cache/stage-cache/test.json"), "{").unwrap();
    assert_eq!(
        bench.run().await.summary(),
        ["first skipped: done in run EARLIER"]
    );
}

/// In the child: runs one stage for ever. In the parent: kills the child without a warning while the stage runs.
#[tokio::test]
async fn a_killed_ztc_takes_its_stages_along() {
    const NAME: &str = "pipeline::runner::recovery_tests::a_killed_ztc_takes_its_stages_along";
    const REPOSITORY: &str = "ZTC_TEST_KILLED_REPOSITORY";
    let text = "mkfifo alive; (trap '' TERM HUP; exec sleep 1000 > alive) & exec 3< alive
                dirname \"$ZTC_FILES_DIR\" > where; echo up > up; sleep 1000";
    if let Some(repository) = std::env::var_os(REPOSITORY) {
        Bench::inside(
            std::path::Path::new(&repository),
            vec![(stage("long", &[]), text)],
        )
        .run()
        .await;
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("up"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let mut child = crate::process::program(std::env::current_exe().unwrap());
    child
        .args(["--exact", NAME])
        .env(REPOSITORY, directory.path())
        .env("TMPDIR", directory.path());
    let mut child = child
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let up = path("up");
    assert_eq!(
        tokio::task::spawn_blocking(|| std::fs::read_to_string(up))
            .await
            .unwrap()
            .unwrap(),
        "up\n"
    );
    // The fifo hangs up when the last process of the stage is gone. Opened now, while there is one that writes.
    let alive = nonblocking(&path("alive"));
    child.kill().await.unwrap();
    let mut polled = [PollFd::new(&alive, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    assert_eq!(
        rustix::event::poll(&mut polled, Some(&limit)),
        Ok(1),
        "the stage outlives ztc"
    );
    assert_eq!(polled[0].revents(), PollFlags::HUP);
    let private = std::fs::read_to_string(path("where")).unwrap();
    let removed = async {
        while std::path::Path::new(private.trim()).exists() {
            tokio::task::yield_now().await;
        }
    };
    let removed = tokio::time::timeout(Duration::from_secs(30), removed).await;
    assert!(removed.is_ok(), "{private} is still there");
}

#[tokio::test]
async fn what_stands_behind_a_stage_that_ran_alone_runs_in_the_next_run() {
    let mut bench = Bench::new(vec![
        (stage("first", &[]), "true"),
        (stage("second", &["first"]), "true"),
    ]);
    bench.run().await;
    bench.options.only = Some("first".into());
    bench.run().await;
    bench.options.only = None;
    assert_eq!(
        bench.run().await.summary(),
        [
            "first skipped: done in run EARLIER",
            "second done: first ran again since"
        ]
    );
    assert_eq!(
        bench.run().await.summary(),
        [
            "first skipped: done in run EARLIER",
            "second skipped: done in run EARLIER"
        ]
    );
}

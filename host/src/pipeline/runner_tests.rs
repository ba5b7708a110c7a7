//! Whole runs with real scripts. They wait for events, never for time to pass.

use serde_json::json;
use ztc_protocol::stage::Retry;

use super::*;
use crate::pipeline::event::Outcome;
use crate::pipeline::file::{SecretEntry, StageEntry};
use crate::process;
use crate::secrets::bundle::Bundle;

use crate::pipeline::testing::{Bench, items, stage};

fn outcome(state: &RunState) -> Outcome {
    state.outcome.unwrap().0
}

#[tokio::test]
async fn stages_run_in_order_and_the_next_run_has_nothing_to_do() {
    let bench = Bench::new(vec![
        (
            StageEntry {
                for_each: items(&["a", "b"]),
                ..stage("install", &[])
            },
            "echo install >> order",
        ),
        (stage("join", &["install"]), "echo join >> order"),
        (
            StageEntry {
                cache_key: None,
                ..stage("check", &["join"])
            },
            "echo check >> order",
        ),
    ]);
    let first = bench.run().await;
    assert_eq!(
        first.summary(),
        [
            "install[a] done: never ran",
            "install[b] done: never ran",
            "join done: never ran",
            "check done: always runs",
        ]
    );
    assert_eq!(outcome(&first.state), Outcome::Succeeded);
    assert_eq!(bench.read("order"), "install\ninstall\njoin\ncheck\n");
    assert_eq!(
        bench.run().await.summary(),
        [
            "install[a] skipped: done in run EARLIER",
            "install[b] skipped: done in run EARLIER",
            "join skipped: done in run EARLIER",
            "check done: always runs",
        ]
    );
    assert_eq!(
        journal::read(&bench.repository(), &first.state.run).unwrap(),
        first.records
    );
}

#[tokio::test]
async fn a_failed_run_goes_on_where_it_failed() {
    let mut bench = Bench::new(vec![
        (stage("first", &[]), "echo first >> order"),
        (
            stage("second", &["first"]),
            "echo second >> order; echo trying; echo 'ZTC_CAUSE: the disk is full; free some' >&2; echo it broke >&2; exit 7",
        ),
        (stage("third", &["second"]), "echo third >> order"),
    ]);
    let ran = bench.run().await;
    assert_eq!(
        ran.summary(),
        [
            "first done: never ran",
            "second failed: never ran",
            "third pending"
        ]
    );
    assert_eq!(outcome(&ran.state), Outcome::Failed);
    assert_eq!(
        ran.failure("second"),
        TaskFailure {
            status: "exit code 7".into(),
            code: Some(7),
            cause: Some("the disk is full; free some".into()),
            last_lines: vec!["trying".into(), "it broke".into()],
        }
    );
    assert_eq!(
        ran.log(&bench, "second"),
        "trying\nZTC_CAUSE: the disk is full; free some\nit broke\n"
    );
    bench.script("second", "echo second >> order");
    let ran = bench.run().await;
    assert_eq!(
        ran.summary(),
        [
            "first skipped: done in run EARLIER",
            "second done: failed in run EARLIER",
            "third done: never ran",
        ]
    );
    assert_eq!(bench.read("order"), "first\nsecond\nsecond\nthird\n");
}

#[tokio::test]
async fn a_changed_script_runs_again_with_what_stands_behind_it() {
    let mut bench = Bench::new(vec![
        (stage("first", &[]), "true"),
        (stage("second", &["first"]), "true"),
        (stage("other", &[]), "true"),
    ]);
    bench.context("second", &json!({"port": 1}));
    bench.run().await;
    bench.script("first", "true # changed");
    assert_eq!(
        bench.run().await.summary(),
        [
            "first done: script changed",
            "second done: first runs",
            "other skipped: done in run EARLIER",
        ]
    );
    bench.context("second", &json!({"port": 2}));
    assert_eq!(
        bench.run().await.summary()[1],
        "second done: context changed: port"
    );
}

#[tokio::test]
async fn an_artifact_that_changed_since_the_lock_is_refused() {
    let bench = Bench::new(vec![
        (stage("first", &[]), "touch ran"),
        (stage("second", &["first"]), "touch ran-second"),
    ]);
    let runner = bench.runner().unwrap();
    std::fs::write(
        bench.path("platform/generated/debug/scripts/demo/first.sh"),
        "touch evil",
    )
    .unwrap();
    assert_eq!(
        bench
            .runner()
            .err()
            .map(|failure| failure.message)
            .as_deref(),
        Some("`platform/generated/debug/scripts/demo/first.sh` is not what the lock says")
    );
    // Even where it changed after everything was checked.
    let state = runner
        .run(mpsc::unbounded_channel().1, |_| ())
        .await
        .unwrap();
    assert_eq!(outcome(&state), Outcome::Failed);
    assert!(!bench.path("evil").exists() && !bench.path("ran").exists());
}

#[tokio::test]
async fn secrets_reach_only_the_stage_that_declares_them_and_no_log() {
    let secret = SecretEntry {
        variable: "TOKEN".into(),
        input: "api_token".into(),
    };
    let print = "echo \"token is ${TOKEN:-absent}\"; printf 'hunter'; printf '2-hunter2\\n'";
    let mut bench = Bench::new(vec![
        (
            StageEntry {
                secrets: vec![secret],
                ..stage("with", &[])
            },
            print,
        ),
        (
            stage("without", &["with"]),
            "echo \"token is ${TOKEN:-absent}\"",
        ),
    ]);
    bench.secrets.insert(
        ("demo".into(), "api_token".into()),
        "hunter2-hunter2".into(),
    );
    bench.mask.add("demo.api_token", "hunter2-hunter2");
    let ran = bench.run().await;
    assert_eq!(ran.log(&bench, "with"), "token is ********\n********\n");
    assert_eq!(ran.log(&bench, "without"), "token is absent\n");
    assert_eq!(
        ran.lines,
        ["token is ********", "********", "token is absent"]
    );
}

#[tokio::test]
async fn files_come_filled_in_and_private_and_nothing_of_them_stays() {
    let mut bench = Bench::new(vec![(
        StageEntry { files: BTreeMap::from([("config.yaml".to_owned(), "os/config.yaml".to_owned())]), ..stage("apply", &[]) },
        "cat \"$ZTC_FILES_DIR/config.yaml\" > seen; stat -c %a \"$ZTC_FILES_DIR\" \"$ZTC_FILES_DIR/config.yaml\" \"$0\" > modes
         mktemp > /dev/null; [ \"$(dirname \"$TMPDIR\")\" = \"$(dirname \"$ZTC_FILES_DIR\")\" ]
         dirname \"$ZTC_FILES_DIR\" > where; stat -c %a \"$(cat where)\" >> modes",
    )]);
    bench.artifact("os/config.yaml", "key: ztc-secret:talos/key\n");
    std::fs::create_dir_all(bench.path("secrets/test")).unwrap();
    std::fs::write(
        bench.path("secrets/test/talos.yaml"),
        "key: top-secret-value\n",
    )
    .unwrap();
    let bundle = Bundle::load(&bench.repository(), "test", &bench.mask, "talos")
        .unwrap()
        .unwrap();
    bench.bundles.insert("talos".into(), bundle);
    assert_eq!(outcome(&bench.run().await.state), Outcome::Succeeded);
    assert_eq!(bench.read("seen"), "key: top-secret-value\n");
    assert_eq!(bench.read("modes"), "700\n600\n600\n700\n");
    let private = bench.read("where");
    assert!(
        private
            .trim()
            .rsplit('/')
            .next()
            .unwrap()
            .starts_with(crate::secrets::secure_dir::PREFIX),
        "{private}"
    );
    assert!(
        !std::path::Path::new(private.trim()).exists(),
        "{private} is still there"
    );
}

#[tokio::test]
async fn nasty_values_reach_bash_as_they_are() {
    let nasty = "a'b\"c$(touch evil)`touch evil`\\ \n\t*?[x] ; & | > < ! # ~ é \u{1f600} $HOME";
    let mut bench = Bench::new(vec![(
        StageEntry { args: vec![nasty.into()], ..stage("nasty", &[]) },
        ". \"$ZTC_CONTEXT_SH\"; printf %s \"$CTX_TEXT\" > text; printf '%s|' \"${CTX_LIST[@]}\" > list; printf %s \"$1\" > argument
         printf %s \"$CTX_DEEP\" > deep; printf %s \"$CTX_ON$CTX_NONE$CTX_N$CTX_FILLED\" > scalars; cat \"$ZTC_CONTEXT_FILE\" > context",
    )]);
    bench.pipeline.env.insert("VALUE".into(), "it's".into());
    let context = json!({
        "text": nasty, "list": [nasty, "", "x y"], "deep": {"k": [nasty]}, "on": true, "none": null, "n": 1.5, "filled": "<${VALUE}>"
    });
    bench.context("nasty", &context);
    assert_eq!(outcome(&bench.run().await.state), Outcome::Succeeded);
    assert_eq!(bench.read("text"), nasty);
    assert_eq!(bench.read("argument"), nasty);
    assert_eq!(bench.read("list"), format!("{nasty}||x y|"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&bench.read("deep")).unwrap(),
        json!({"k": [nasty]})
    );
    assert_eq!(bench.read("scalars"), "true1.5<it's>");
    let mut expected = context;
    expected["filled"] = json!("<it's>");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&bench.read("context")).unwrap(),
        expected
    );
    assert!(!bench.path("evil").exists());
}

#[tokio::test]
async fn a_stage_sees_only_what_it_may() {
    let mut bench = Bench::new(vec![(
        StageEntry { for_each: items(&["cp"]), environment: vec!["CARGO_PKG_NAME".into()], ..stage("look", &[]) },
        "env -0 | sort -z | tr '\\0' '\\n' | sed 's/=.*//' > names; pwd > directory; cat > stdin; echo \"$ZTC_STAGE $ZTC_ATTEMPT $ZTC_ENVIRONMENT\" > facts
         . \"$ZTC_CONTEXT_SH\"; echo \"$CTX_ITEM_KEY $CTX_ITEM_NAME\" >> facts; ls -d \"$ZTC_STATE_DIR\" \"$ZTC_SECRETS_DIR\" > /dev/null
         if [ -t 0 ] || [ -t 1 ]; then echo terminal >> facts; fi",
    )]);
    bench.pipeline.env.insert("SERVERS".into(), "2".into());
    let ran = bench.run().await;
    assert_eq!(
        outcome(&ran.state),
        Outcome::Succeeded,
        "{}",
        ran.log(&bench, "look.cp")
    );
    let allowed = crate::process::ALLOWED_VARIABLES;
    let names = bench.read("names");
    let own: Vec<&str> = names
        .lines()
        .filter(|name| !allowed.contains(name) && !name.starts_with("LC_"))
        .collect();
    assert_eq!(
        own,
        [
            "CARGO_PKG_NAME",
            "PWD",
            "SERVERS",
            "SHLVL",
            "TERM",
            "ZTC_ATTEMPT",
            "ZTC_CONTEXT_FILE",
            "ZTC_CONTEXT_SH",
            "ZTC_ENVIRONMENT",
            "ZTC_FILES_DIR",
            "ZTC_REPO",
            "ZTC_SECRETS_DIR",
            "ZTC_STAGE",
            "ZTC_STATE_DIR",
            "_",
        ]
    );
    assert_eq!(bench.read("facts"), "look 1 test\nkey-cp cp\n");
    assert_eq!(bench.read("stdin"), "");
    assert_eq!(
        std::fs::canonicalize(bench.read("directory").trim()).unwrap(),
        std::fs::canonicalize(&bench.directory).unwrap()
    );
}

#[tokio::test]
async fn machines_run_at_the_same_time_and_each_goes_on_alone() {
    // Two scripts that wait for each other, and a machine that is two stages ahead while the other still waits in the first.
    let rendezvous = ". \"$ZTC_CONTEXT_SH\"
        if [ \"$CTX_ITEM_NAME\" = a ]; then echo hello > meet; else read -r word < meet; fi";
    let second = ". \"$ZTC_CONTEXT_SH\"
        if [ \"$CTX_ITEM_NAME\" = a ]; then echo far > ahead; else true; fi";
    let first = ". \"$ZTC_CONTEXT_SH\"
        if [ \"$CTX_ITEM_NAME\" = b ]; then read -r word < ahead; [ \"$word\" = far ]; fi";
    let machines = || items(&["a", "b"]);
    let bench = Bench::new(vec![
        (
            StageEntry {
                for_each: machines(),
                ..stage("meet", &[])
            },
            rendezvous,
        ),
        (
            StageEntry {
                for_each: machines(),
                ..stage("first", &["meet"])
            },
            first,
        ),
        (
            StageEntry {
                for_each: machines(),
                ..stage("second", &["first"])
            },
            second,
        ),
    ]);
    for fifo in ["meet", "ahead"] {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            bench.path(fifo),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
    }
    assert_eq!(outcome(&bench.run().await.state), Outcome::Succeeded);
}

#[tokio::test]
async fn no_more_than_jobs_run_at_once() {
    let mut bench = Bench::new(vec![(
        StageEntry {
            for_each: items(&["a", "b", "c", "d"]),
            ..stage("count", &[])
        },
        "mkdir busy || { echo two at once; exit 1; }; rmdir busy",
    )]);
    bench.jobs = 1;
    assert_eq!(outcome(&bench.run().await.state), Outcome::Succeeded);
}

#[tokio::test]
async fn a_stage_may_fail_without_failing_the_run() {
    let bench = Bench::new(vec![
        (
            StageEntry {
                required: false,
                ..stage("optional", &[])
            },
            "exit 1",
        ),
        (stage("next", &["optional"]), "true"),
    ]);
    let ran = bench.run().await;
    assert_eq!(
        ran.summary(),
        ["optional failed: never ran", "next done: never ran"]
    );
    assert_eq!(outcome(&ran.state), Outcome::Degraded);
}

#[tokio::test]
async fn an_empty_variable_skips_a_stage() {
    let mut bench = Bench::new(vec![
        (
            StageEntry {
                skip_if_empty: Some("WORKERS".into()),
                ..stage("workers", &[])
            },
            "echo \"$WORKERS\" > seen",
        ),
        (stage("next", &["workers"]), "true"),
    ]);
    assert_eq!(
        bench.run().await.summary(),
        ["workers skipped: WORKERS is empty", "next done: never ran"]
    );
    bench.pipeline.env.insert("WORKERS".into(), "w1 w2".into());
    assert_eq!(
        bench.run().await.summary(),
        ["workers done: never ran", "next done: workers runs"]
    );
    assert_eq!(bench.read("seen"), "w1 w2\n");
    bench.pipeline.env.insert("WORKERS".into(), "w1".into());
    assert_eq!(
        bench.run().await.summary()[0],
        "workers done: variables changed: WORKERS"
    );
}

#[tokio::test]
async fn a_stage_is_tried_again_as_often_as_it_says() {
    let retry = |exit_codes: Vec<i32>| {
        Some(Retry {
            max_attempts: 3,
            backoff_seconds: 0,
            exit_codes,
            ..Retry::default()
        })
    };
    let text = "echo attempt $ZTC_ATTEMPT; [ \"$ZTC_ATTEMPT\" = 3 ] || exit 9";
    let bench = Bench::new(vec![(
        StageEntry {
            retry: retry(vec![9]),
            ..stage("flaky", &[])
        },
        text,
    )]);
    let ran = bench.run().await;
    assert_eq!(outcome(&ran.state), Outcome::Succeeded);
    assert_eq!(
        ran.log(&bench, "flaky"),
        "attempt 1\n--- attempt 2 ---\nattempt 2\n--- attempt 3 ---\nattempt 3\n"
    );
    let bench = Bench::new(vec![(
        StageEntry {
            retry: retry(vec![8]),
            ..stage("flaky", &[])
        },
        text,
    )]);
    let ran = bench.run().await;
    assert_eq!(
        (ran.failure("flaky").code, ran.log(&bench, "flaky")),
        (Some(9), "attempt 1\n".to_owned())
    );
}

/// Says to a test that it has a process of its own.
const ALONE: &str = "ZTC_TEST_ALONE";

#[tokio::test]
async fn much_output_takes_little_memory() {
    // The figure is that of a process, and the tests beside this one need memory, too.
    if std::env::var_os(ALONE).is_none() {
        let mut own = process::program(std::env::current_exe().unwrap());
        let name = "pipeline::runner::tests::much_output_takes_little_memory";
        own.args(["--exact", name]).env(ALONE, "1");
        let ran = process::run(own, Duration::from_secs(120)).await.unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(ran.success && said.contains("1 passed"), "{said}");
        return;
    }
    let bench = Bench::new(vec![(
        stage("loud", &[]),
        "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end",
    )]);
    let before = peak_memory();
    let ran = bench.run().await;
    assert_eq!(outcome(&ran.state), Outcome::Succeeded);
    let log = bench.path(&format!(".zerotouch-cache/runs/{}/loud.log", ran.state.run));
    assert_eq!(std::fs::metadata(log).unwrap().len(), 100_000_005);
    // The kernel's figure is not exact, and may be a little less than before.
    let more = peak_memory().saturating_sub(before);
    assert!(more < 50_000, "{more} KiB more than before");
}

/// The most memory that this process has had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

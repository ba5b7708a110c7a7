//! What is told of runs whose record is not whole, of those that go on, and of those that ran nothing.

use super::*;
use crate::environment::Run;

/// Two stages, of which the first destroys data.
fn wiping() -> Pipe {
    Pipe::new(
        &[stage("wipe"), stage("check")],
        &[("wipe!", "true"), ("check", "true")],
    )
}

/// The runs, the oldest first.
fn runs(pipe: &Pipe) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(pipe.path(".zerotouch-cache/runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn journal(run: &str) -> String {
    format!(".zerotouch-cache/runs/{run}/journal.ndjson")
}

/// Makes the last journal one that cannot be read; returns its run.
fn break_last(pipe: &Pipe) -> String {
    let run = runs(pipe).pop().unwrap();
    let text = pipe.read(&journal(&run)) + "xx\n";
    fs::write(pipe.path(&journal(&run)), text).unwrap();
    run
}

/// A text without the names of runs and times.
fn steady(run: &Run) -> String {
    let words = run.to_string();
    let words = words.split_inclusive([' ', '\n', '/', '`', ':', '"']);
    words
        .map(|word| match word {
            word if word.len() > 26 && word.starts_with("01") => format!("[RUN]{}", &word[26..]),
            word => word.to_owned(),
        })
        .collect()
}

#[test]
fn a_report_never_passes_over_a_run_that_it_cannot_read() {
    let pipe = wiping();
    pipe.environment.ztc_ok(&["bootstrap", "--confirm", "test"]);
    pipe.environment.ztc_ok(&["bootstrap"]);
    let broken = break_last(&pipe);
    insta::assert_snapshot!(steady(&pipe.fails(&["report", "--format", "markdown"], 1)), @"
    exit: 1
    --- stderr
    error: the journal `.zerotouch-cache/runs/[RUN]/journal.ndjson` cannot be read: line 5: expected value at line 1 column 1
      what succeeded in run [RUN] is known from `.zerotouch-cache/stage-cache/test.json` too
      `ztc report --list` has the runs before it
      help: move `.zerotouch-cache/runs/[RUN]` away: nothing runs again for that, as long as `.zerotouch-cache/stage-cache/test.json` stays; the run's report and logs go with it
    ");
    let listed = pipe.environment.ztc_ok(&["report", "--list"]);
    let row = listed.stdout.lines().nth(1).unwrap();
    assert!(
        row.starts_with(&format!("{broken}  test         ?          20"))
            && row.ends_with("  unreadable"),
        "{listed}"
    );
    assert!(
        listed.stderr.starts_with("warning: the journal "),
        "{listed}"
    );
    let listed = pipe
        .environment
        .ztc_ok(&["report", "--list", "--json"])
        .json();
    assert_eq!(listed["unreadable"][0]["run"], broken.as_str());
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1);
    // Where no run can be read, that is not the same as no run.
    fs::remove_dir_all(pipe.path(&format!(".zerotouch-cache/runs/{}", runs(&pipe)[0]))).unwrap();
    pipe.fails(&["report"], 1);
}

#[test]
fn what_hangs_on_a_journal_that_cannot_be_read_is_said() {
    let pipe = wiping();
    pipe.environment.ztc_ok(&["bootstrap", "--confirm", "test"]);
    let run = break_last(&pipe);
    let whole = pipe.read(&journal(&run));
    // Its stages are known from the stage cache, and moving it away repeats nothing.
    let said = pipe.fails(&["status"], 1);
    assert!(
        said.stderr.contains("nothing runs again for that"),
        "{said}"
    );
    let directory = pipe.path(&format!(".zerotouch-cache/runs/{run}"));
    let aside = pipe.environment.root().join("aside");
    fs::rename(&directory, &aside).unwrap();
    let plan = pipe.environment.ztc_ok(&["plan"]);
    assert!(plan.stderr.contains("0 of 2 tasks run"), "{plan}");
    fs::rename(&aside, &directory).unwrap();
    // Without the stage cache only the journal knows that the disk was written.
    fs::remove_dir_all(pipe.path(".zerotouch-cache/stage-cache")).unwrap();
    insta::assert_snapshot!(steady(&pipe.fails(&["plan"], 1)), @"
    exit: 1
    --- stderr
    error: the journal `.zerotouch-cache/runs/[RUN]/journal.ndjson` cannot be read: line 7: expected value at line 1 column 1
      nothing else knows what succeeded in run [RUN]: without it those stages count as never run, and what destroys data destroys it again
      help: put a copy of the file back, or delete line 7 and what follows it, since what stands before it can be read; then read `ztc plan` before anything runs
    ");
    let lines: Vec<&str> = whole.lines().collect();
    let cut = format!("{}\nxx\n", lines[..2].join("\n"));
    fs::write(pipe.path(&journal(&run)), cut).unwrap();
    insta::assert_snapshot!(steady(&pipe.fails(&["plan"], 1)), @"
    exit: 1
    --- stderr
    error: the journal `.zerotouch-cache/runs/[RUN]/journal.ndjson` cannot be read: line 3: expected value at line 1 column 1
      nothing else knows what succeeded in run [RUN]: without it those stages count as never run, and what destroys data destroys it again
      only line 3 and what follows it could say that these succeeded, which destroy data: `wipe`; where the machines show that they did, begin behind them with `ztc bootstrap --from STAGE`
      help: put a copy of the file back, or delete line 3 and what follows it, since what stands before it can be read; then read `ztc plan` before anything runs
    ");
    // What is advised does what it says.
    fs::write(pipe.path(&journal(&run)), whole.replace("xx\n", "")).unwrap();
    let plan = pipe.environment.ztc_ok(&["plan"]);
    assert!(plan.stderr.contains("0 of 2 tasks run"), "{plan}");
    // A form of later is no damage.
    let later = whole.replace("xx\n", "").replace("{\"v\":2,", "{\"v\":3,");
    let later = later.replace("\"ztc_version\":\"", "\"ztc_version\":\"9.");
    fs::write(pipe.path(&journal(&run)), later).unwrap();
    let said = pipe.fails(&["plan"], 1);
    assert!(
        said.stderr
            .contains("line 1: it has the form 3 and this ztc reads forms up to 2")
            && said.stderr.contains("ztc 9.")
            && said
                .stderr
                .contains("help: use that ztc or a later one; leave the journal where it is"),
        "{said}"
    );
}

#[test]
fn how_long_a_lost_run_took_is_not_made_up() {
    let pipe = Pipe::new(
        &[stage("first"), stage("long")],
        &[
            ("first", "sleep 0.2"),
            ("long", "echo up > up; exec sleep 1000"),
        ],
    );
    pipe.fifo("up");
    let mut child = pipe.started(&["bootstrap"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let report = pipe.ztc(&["report", "--format", "json"]).json();
    crate::schemas::valid("report.schema.json", &report);
    assert_eq!(
        (
            &report["status"],
            &report["stages"][1]["seconds"],
            &report["stages"][1]["tasks"][0]["seconds"]
        ),
        (&json!("lost"), &Value::Null, &Value::Null)
    );
    let listed = pipe.environment.ztc_ok(&["report", "--list"]).stdout;
    assert!(listed.contains("  lost   at least 0."), "{listed}");
    let markdown = pipe
        .environment
        .ztc_ok(&["report", "--format", "markdown"])
        .stdout;
    assert!(
        markdown.contains(" and took at least 0.")
            && markdown.contains("| ? lost | `long` | fake | 1 |  |  |"),
        "{markdown}"
    );
    let junit = pipe
        .environment
        .ztc_ok(&["report", "--format", "junit"])
        .stdout;
    assert!(
        junit.contains("<testcase name=\"long\" classname=\"fake.long\"><error message=\"lost\""),
        "{junit}"
    );
    assert!(!junit.contains("time=\"0.000\""), "{junit}");
    pipe.environment
        .ztc_ok(&["report", "--output", "page.html"]);
    let page = pipe.read("page.html");
    let signs = page.matches("class=\"sign trouble\"").count();
    // The stage and the legend; a stage that was lost did not fail.
    assert_eq!((signs, page.matches("✗").count()), (2, 0));
}

#[test]
fn a_plan_tells_what_runs_right_now() {
    let pipe = Pipe::new(
        &[stage("long"), stage("last")],
        &[("long", "echo up > up; read -r _ < go"), ("last", "true")],
    );
    pipe.fifo("up");
    pipe.fifo("go");
    let child = pipe.started(&["bootstrap"]);
    insta::assert_snapshot!(steady(&pipe.environment.ztc_ok(&["plan"])), @"
    exit: 0
    --- stdout
    STAGE  ITEM  ACTION  WHY
    long         run     is running now in run [RUN]
    last         run     never ran
    --- stderr
    2 of 2 tasks run
      `fake` is no part of ztc, and its stages run as you, outside of the sandbox: platform/generated/debug/scripts/fake
    warning: run [RUN] of `test` is going on: this is what would be left if it ended now
      help: follow it with `ztc status --follow`
    ");
    let plan = pipe.environment.ztc_ok(&["plan", "--json"]).json();
    assert_eq!(plan["live"], pipe.status()["run"]);
    fs::write(pipe.path("go"), "go\n").unwrap();
    assert_eq!(ended(child).0, Some(0));
    let plan = pipe.environment.ztc_ok(&["plan", "--json"]).json();
    assert_eq!(plan.get("live"), None);
}

#[test]
fn a_reset_is_told_for_what_it_is() {
    let pipe = wiping();
    pipe.environment.ztc_ok(&["bootstrap", "--confirm", "test"]);
    pipe.environment.ztc_ok(&["reset", "--yes"]);
    let reset = runs(&pipe).pop().unwrap();
    let listed = pipe.environment.ztc_ok(&["report", "--list"]).stdout;
    assert!(
        listed
            .lines()
            .nth(1)
            .unwrap()
            .starts_with(&format!("{reset}  test         reset")),
        "{listed}"
    );
    let told = pipe
        .environment
        .ztc_ok(&["report", &reset, "--format", "markdown"])
        .stdout;
    let told = told.lines().skip(2).collect::<Vec<_>>().join("\n");
    assert!(
        told.starts_with(&format!("Run `{reset}` began 20"))
            && told
                .ends_with("Z. What succeeded before counts no more, but for what destroyed data."),
        "{told}"
    );
    // Without a name it is the last run that ran anything.
    let last = pipe.ztc(&["report", "--format", "json"]).json();
    assert_eq!(last["kind"], "bootstrap");
}

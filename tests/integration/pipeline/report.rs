//! What a run shows and leaves behind: the report in its forms, seen in a browser; metrics, tokens, events.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::browser::Browser;
use super::{Pipe, items, stage, with};
use crate::environment::{Lab, TestEnv};
use crate::needs::has;
use crate::schemas::valid;
use crate::terminal::Terminal;

/// A line that would act if it were not text.
const HOSTILE: &str = "</script></pre><img src=x onerror=console.error(1)> & done";

/// A run of which one item fails after another attempt, with a secret in sight.
fn failed() -> Pipe {
    let pipe = Pipe::new(
        &[
            stage("first"),
            with(
                stage("install"),
                json!({ "for_each": items(&["a", "b"]), "needs": ["first"], "reaches": ["installed"], "retry": {"max_attempts": 2, "backoff_seconds": 0} }),
            ),
            with(stage("last"), json!({ "barrier": "installed" })),
        ],
        &[
            ("first", "echo ready"),
            (
                "install",
                &format!(
                    ". \"$ZTC_CONTEXT_SH\"\nprintf '%s\\n' '{HOSTILE}'\n[[ $CTX_ITEM_NAME == a ]] || {{ echo 'ZTC_CAUSE: the disk is <full>'; exit 3; }}"
                ),
            ),
            ("last", "true"),
        ],
    );
    pipe.fails(&["bootstrap"], 1);
    pipe
}

#[test]
fn a_report_tells_what_became_of_every_task() {
    let pipe = failed();
    let report = pipe.ztc(&["report", "--format", "json"]);
    valid("report.schema.json", &report.json());
    let report = report.json();
    assert_eq!(
        (&report["status"], &report["resume"]),
        (&json!("failed"), &json!("ztc bootstrap"))
    );
    let tasks: Vec<String> = report["stages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|stage| stage["tasks"].as_array().unwrap())
        .map(|task| {
            format!(
                "{} {} {} {}",
                task["task"].as_str().unwrap(),
                task["status"].as_str().unwrap(),
                task["attempts"].as_array().unwrap().len(),
                task["why"]
            )
        })
        .collect();
    assert_eq!(
        tasks,
        [
            "first succeeded 1 \"never ran\"",
            "install[a] succeeded 1 \"never ran\"",
            "install[b] failed 2 \"never ran\"",
            "last pending 0 null",
        ]
    );
    let again = pipe.fails(&["bootstrap"], 1);
    assert!(again.stderr.contains("skipped"), "{again}");
    let report = pipe.ztc(&["report", "--format", "json"]).json();
    let first = &report["stages"][0]["tasks"][0];
    assert_eq!(
        (&first["status"], &first["usual"]["runs"]),
        (&json!("skipped"), &json!(1))
    );
    assert!(
        first["why"].as_str().unwrap().starts_with("done in run"),
        "{first}"
    );
    let listed = pipe.ztc(&["report", "--list", "--json"]).json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn junit_has_the_structure_that_viewers_expect() {
    let pipe = failed();
    let junit = pipe.ztc(&["report", "--format", "junit"]);
    let check = r#"
import sys, xml.etree.ElementTree as ET
root = ET.fromstring(sys.stdin.read())
allowed = {
  'testsuites': ({'testsuite'}, {'name','time','tests','failures','disabled','errors'}),
  'testsuite': ({'properties','testcase','system-out','system-err'}, {'name','tests','failures','errors','time','disabled','skipped','timestamp','hostname','id','package'}),
  'testcase': ({'skipped','error','failure','system-out','system-err'}, {'name','assertions','time','classname','status'}),
  'failure': (set(), {'type','message'}), 'error': (set(), {'type','message'}), 'skipped': (set(), {'message'}), 'system-out': (set(), set()),
}
def walk(node):
    children, attributes = allowed[node.tag]
    assert set(node.attrib) <= attributes, (node.tag, node.attrib)
    for child in node:
        assert child.tag in children, (node.tag, child.tag)
        walk(child)
assert root.tag == 'testsuites'
walk(root)
for suite in root:
    assert int(suite.get('tests')) == len(suite.findall('testcase'))
    assert int(suite.get('failures')) == len(suite.findall('testcase/failure'))
    assert int(suite.get('skipped')) == len(suite.findall('testcase/skipped'))
print([case.get('name') for case in root.iter('testcase') if case.find('failure') is not None], root.find('.//failure').text)
"#;
    let found = piped("python3", &["-c", check], &junit.stdout);
    assert_eq!(
        found,
        format!("['install[b]'] likely cause: the disk is <full>\n{HOSTILE}\n")
    );
}

#[test]
fn markdown_keeps_what_was_printed_as_text() {
    let pipe = failed();
    let text = pipe.ztc(&["report", "--format", "markdown"]).stdout;
    assert!(
        text.starts_with("## ✗ Bootstrap of test: failed\n"),
        "{text}"
    );
    assert!(text.contains("Go on with `ztc bootstrap`."), "{text}");
    assert!(
        text.contains("Likely cause: the disk is &lt;full&gt;\n"),
        "{text}"
    );
    assert!(text.contains(&format!("```text\n{HOSTILE}\n")), "{text}");
}

#[test]
fn the_page_works_in_a_browser() {
    if !has("chromium") {
        return;
    }
    let pipe = failed();
    let page = pipe.ztc(&["report", "--output", "page.html"]);
    assert_eq!(page.stdout, "page.html\n");
    let page = pipe.path("page.html");
    let mut browser = Browser::open(&pipe.environment, &page);
    let visible = "(() => { const log = [...document.querySelectorAll('details.task pre')].find((pre) => pre.textContent.includes('onerror')); return log.checkVisibility(); })()";
    assert_eq!(
        browser.value("document.querySelector('h1').innerText"),
        json!("Bootstrap of test\n✗ failed")
    );
    assert_eq!(browser.value(visible), json!(false));
    browser.value("document.querySelector('#stage-install > summary').click(); document.getElementById('task-install.b').querySelector('summary').click()");
    let log = browser.value("document.querySelector('#task-install\\\\.b pre').innerText");
    assert!(log.as_str().unwrap().contains(HOSTILE), "{log}");
    assert_eq!(
        browser.value("document.querySelector('#task-install\\\\.b pre').checkVisibility()"),
        json!(true)
    );
    assert_eq!(
        browser.value("document.querySelector('pre.commands').innerText"),
        json!(
            "go on:      ztc bootstrap\nonly this:  ztc bootstrap --only 'install[b]'\nby hand:    ztc eject"
        )
    );
    assert_eq!(browser.value("document.images.length"), json!(0));
    // A link from the top unfolds what it leads to.
    browser.go(&format!("file://{}?again#task-install.b", page.display()));
    assert_eq!(
        browser.value("document.querySelector('#task-install\\\\.b pre').checkVisibility()"),
        json!(true)
    );
    assert_eq!(
        browser.value("document.querySelectorAll('svg.ztc-graph a').length"),
        json!(3)
    );
    assert_eq!(browser.console, Vec::<String>::new());
}

#[test]
fn metrics_are_what_prometheus_expects() {
    if !has("promtool") {
        return;
    }
    let pipe = failed();
    pipe.fails(&["bootstrap", "--metrics-file", "run.prom"], 1);
    let metrics = pipe.read("run.prom");
    assert_eq!(piped("promtool", &["check", "metrics"], &metrics), "");
    let without_times: Vec<&str> = metrics
        .lines()
        .filter(|line| {
            !line.starts_with('#') && !line.contains("_seconds") && !line.contains("ztc_run_info")
        })
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        without_times,
        [
            "ztc_run_state{environment=\"test\",state=\"failed\"} 1",
            "ztc_stage_tasks{environment=\"test\",adapter=\"fake\",stage=\"first\",state=\"skipped\"} 1",
            "ztc_stage_tasks{environment=\"test\",adapter=\"fake\",stage=\"install\",state=\"skipped\"} 1",
            "ztc_stage_tasks{environment=\"test\",adapter=\"fake\",stage=\"install\",state=\"failed\"} 1",
            "ztc_stage_tasks{environment=\"test\",adapter=\"fake\",stage=\"last\",state=\"pending\"} 1",
            "ztc_stage_retries_total{environment=\"test\",adapter=\"fake\",stage=\"install\"} 1",
        ]
    );
    let nowhere = pipe.ztc(&["bootstrap", "--metrics-file", "nowhere/run.prom"]);
    assert_eq!(nowhere.code, Some(1), "{nowhere}");
}

#[test]
fn tokens_tell_machines_what_happens() {
    let pipe = Pipe::new(
        &[
            stage("first"),
            with(stage("second"), json!({ "for_each": items(&["a"]) })),
        ],
        &[("first", "true"), ("second", "exit 4")],
    );
    let run = pipe.fails(&["bootstrap", "--tokens"], 1);
    let tokens: Vec<(String, Value)> = run
        .stdout
        .lines()
        .map(|line| {
            let mut fields = line.splitn(4, ':');
            let mut next = || fields.next().unwrap();
            let token = format!("{}:{}:{}", next(), next(), next());
            (token, serde_json::from_str(next()).unwrap())
        })
        .collect();
    let names: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    assert_eq!(
        names,
        [
            "ZTC_STEP:first:START",
            "ZTC_STEP:first:OK",
            "ZTC_STEP:second:START",
            "ZTC_STEP:second:FAIL",
        ]
    );
    assert_eq!(
        (&tokens[3].1["item"], &tokens[3].1["notes"]),
        (&json!("a"), &json!("exit code 4"))
    );
}

#[test]
fn every_event_of_a_run_in_the_lab_follows_the_schema() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &[]);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    environment.ztc_ok(&["render"]);
    lab.fault("worker-refused");
    let failed = environment.ztc(&["bootstrap", "--confirm", "lab", "--json"]);
    lab.mend();
    let done = environment.ztc_ok(&["bootstrap", "--confirm", "lab", "--json"]);
    let mut seen = Vec::new();
    for line in failed.stdout.lines().chain(done.stdout.lines()) {
        let event: Value = serde_json::from_str(line).unwrap();
        valid("events.schema.json", &event);
        seen.push(event["event"].as_str().unwrap().to_owned());
    }
    for kind in [
        "run_started",
        "task_started",
        "task_succeeded",
        "task_failed",
        "task_skipped",
        "run_finished",
    ] {
        assert!(seen.iter().any(|seen| seen == kind), "no {kind}\n{failed}");
    }
}

#[test]
fn what_goes_wrong_follows_the_schema_too() {
    let pipe = Pipe::new(
        &[
            with(
                stage("flaky"),
                json!({ "retry": { "max_attempts": 2, "backoff_seconds": 0 } }),
            ),
            stage("long"),
        ],
        &[
            ("flaky", "[ $ZTC_ATTEMPT = 2 ]"),
            ("long", "echo up > up; exec sleep 1000"),
        ],
    );
    pipe.fifo("up");
    let child = pipe.started(&["bootstrap"]);
    super::signal(&child, rustix::process::Signal::INT);
    assert_eq!(super::ended(child).0, Some(130));
    let run = pipe.status()["run"].as_str().unwrap().to_owned();
    let journal = pipe.read(&format!(".zerotouch-cache/runs/{run}/journal.ndjson"));
    let mut seen = Vec::new();
    for line in journal.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        valid("events.schema.json", &event);
        seen.push(event["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        seen,
        [
            "run_started",
            "task_started",
            "attempt_failed",
            "task_started",
            "task_succeeded",
            "task_started",
            "interrupted",
            "task_stopped",
            "run_finished",
        ]
    );
}

#[test]
fn a_terminal_shows_what_runs_and_is_left_clean() {
    let pipe = Pipe::new(
        &[stage("first"), stage("second")],
        &[
            ("first", "echo working; echo go > go; read -r _ < on"),
            ("second", "true"),
        ],
    );
    pipe.fifo("go");
    pipe.fifo("on");
    let mut terminal = Terminal::ztc(&pipe.environment, &["bootstrap"]);
    let _ = fs::read_to_string(pipe.path("go")).unwrap();
    terminal.wait_for("0/2");
    terminal.wait_for("working");
    writeln!(
        fs::File::options()
            .write(true)
            .open(pipe.path("on"))
            .unwrap(),
        "on"
    )
    .unwrap();
    terminal.wait_for("2 tasks in");
    assert_eq!(terminal.exit_code(), Some(0));
}

/// Feeds a program and returns what it says; it must succeed.
#[track_caller]
fn piped(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}\n{input}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout) + &text(&output.stderr)
}

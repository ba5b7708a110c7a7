//! Limits: an adapter that does not answer is given up in time, told so, and named.
//!
//! Where other calls must succeed within the same limit, it is 3 seconds: a busy machine needs a moment to start a program.

use super::{Fake, RENDERED};

#[test]
fn no_answer_to_initialize() {
    insta::assert_snapshot!(Fake::new("silent").limits("1").fatal(1), @"
    error: adapter `fake` has not answered `initialize` within 1 s
      when cancelled, it said nothing
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn reads_nothing_at_all() {
    insta::assert_snapshot!(Fake::new("reads-nothing").limits("1").fatal(1), @"
    error: adapter `fake` has not answered `initialize` within 1 s
      when cancelled, it said nothing
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn no_answer_to_a_call() {
    insta::assert_snapshot!(Fake::new("silent-at-render").limits("3,60").fatal(1), @"
    error: adapter `fake` has been silent in `render` for 3 s
      when cancelled, it said nothing
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn stops_reading_in_front_of_a_request_that_fills_the_pipe() {
    let fake = Fake::new("deaf").limits("3");
    let platform = super::PLATFORM.replace("hello", &"x".repeat(1 << 20));
    fake.environment.write("platform.yaml", platform);
    insta::assert_snapshot!(fake.fatal(1), @"
    error: adapter `fake` has not answered `validate` within 3 s
      when cancelled, it said nothing
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `validate`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn half_a_line_then_silence() {
    insta::assert_snapshot!(Fake::new("half-line-at-render").limits("3").fatal(1), @r#"
    error: adapter `fake` has not answered `render` within 3 s
      when cancelled, it said nothing
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      a line that it began and did not end:
        {"jsonrpc":"2.0","id":3,"result":{"artifacts":
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    "#);
}

#[test]
fn a_stray_line_inside_an_answer() {
    insta::assert_snapshot!(Fake::new("stray-inside-at-render").limits("3").fatal(1), @r#"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `{"jsonrpc":"2.0","id":3,"result":{"artifacts":`
      help: only messages belong on an adapter's stdout, everything else on stderr
    error: adapter `fake` has not answered `render` within 3 s
      when cancelled, it said nothing
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      what it did beside answering:
        wrote a line that is not a JSON object: {"jsonrpc":"2.0","id":3,"result":{"artifacts":
        wrote a line that is not a JSON object: warning: unused variable
        wrote a line that is not a JSON object: [{"path":"fake.json","content":"{\n  \"config\": {\n    \"version\": \"v1\",\n    \"greeting\": \"hello\"\n  },\n  \"set
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    "#);
}

#[test]
fn an_answer_that_comes_too_late() {
    insta::assert_snapshot!(Fake::new("late-at-render").limits("3").fatal(1), @"
    error: adapter `fake` has not answered `render` within 3 s
      its answer came just after the limit
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn an_answer_that_comes_when_nobody_waits_any_more() {
    insta::assert_snapshot!(Fake::new("too-late-at-render").limits("3").fatal(1), @"
    error: adapter `fake` has not answered `render` within 3 s
      when cancelled, it said nothing
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn a_limit_that_is_no_number() {
    for wrong in ["soon", "0", "1,2,3"] {
        let said = Fake::new("good").limits(wrong).fatal(2);
        let expected = format!(
            "error: `ZTC_ADAPTER_TIMEOUT` is `{wrong}`, which is no limit\n  \
             help: write seconds, such as `300`, or `<idle>,<total>`, such as `60,600`\n"
        );
        assert_eq!(said, expected);
    }
}

#[test]
fn a_cancelled_call_says_where_it_stopped() {
    insta::assert_snapshot!(Fake::new("gives-up-at-render").limits("3").fatal(1), @"
    error: adapter `fake` has not answered `render` within 3 s
      when cancelled, it answered: stopped at peer 3
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn progress_keeps_a_call_alive_and_is_shown() {
    // 16 quarters of a second are more than the idle limit.
    let run = Fake::new("works-at-render").limits("3,60").ztc(&["render"]);
    assert_eq!(run.code, Some(0), "{run}");
    let mut lines: Vec<&str> = run.stderr.lines().collect();
    lines.dedup();
    let expected = format!("  fake: peer 3 of 7\n{RENDERED}");
    assert_eq!(lines.join("\n") + "\n", expected);
}

#[test]
fn progress_does_not_keep_a_call_alive_for_ever() {
    let said = Fake::new("works-for-ever-at-render").limits("3,5").fatal(1);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.dedup();
    insta::assert_snapshot!(lines.join("\n"), @"
      fake: peer 3 of 7
    error: adapter `fake` has not answered `render` within 5 s
      when cancelled, it said nothing
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

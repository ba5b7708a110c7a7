//! Sins that cost nothing but a warning: the call in flight, and all that follow, succeed.

use super::{Fake, RENDERED};

/// Renders with a sin during the handshake and during `render`; what is said must be the same.
#[track_caller]
fn said(sin: &str) -> String {
    let said = Fake::new(&format!("{sin}-at-render")).harmless();
    let first = |text: &str| text.lines().next().unwrap_or_default().len();
    let handshake = Fake::new(sin).harmless();
    assert_eq!(first(&handshake) == 0, first(&said) == 0, "{handshake}");
    said
}

#[test]
fn nothing_wrong() {
    insta::assert_snapshot!(said("good"), @"");
}

#[test]
fn a_line_before_the_first_request() {
    insta::assert_snapshot!(Fake::new("stray-at-start").harmless(), @"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `Compiling foo v9.9.9`
      help: only messages belong on an adapter's stdout, everything else on stderr
    ");
}

#[test]
fn lines_between_answers() {
    insta::assert_snapshot!(said("stray-around"), @"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `warning: unused variable`
      help: only messages belong on an adapter's stdout, everything else on stderr
    ");
}

#[test]
fn a_thousand_lines_are_one_warning() {
    insta::assert_snapshot!(said("babbles"), @"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `bla`
      help: only messages belong on an adapter's stdout, everything else on stderr
    ");
}

#[test]
fn what_would_paint_the_terminal_is_shown_as_text() {
    insta::assert_snapshot!(said("paints"), @"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `�[2J�]0;owned�`
      help: only messages belong on an adapter's stdout, everything else on stderr
    ");
}

#[test]
fn an_error_without_an_id() {
    insta::assert_snapshot!(said("null-id"), @r#"
    warning: adapter `fake` sent an answer whose id is `null`; ignored: `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}`
      help: only messages belong on an adapter's stdout, everything else on stderr
    "#);
}

#[test]
fn an_answer_to_no_question() {
    insta::assert_snapshot!(said("unknown-id"), @r#"
    warning: adapter `fake` sent an answer that nothing waits for; ignored: `{"jsonrpc":"2.0","id":777,"result":{}}`
      help: only messages belong on an adapter's stdout, everything else on stderr
    "#);
}

#[test]
fn the_same_answer_twice() {
    insta::assert_snapshot!(said("twice"), @r#"
    warning: adapter `fake` sent an answer that nothing waits for; ignored: `{"jsonrpc":"2.0","id":3,"result":{"artifacts":[{"path":"fake.json","content":"{\n  \"config\": {\n    \"version\": \"v1\`
      help: only messages belong on an adapter's stdout, everything else on stderr
    "#);
}

#[test]
fn a_request_to_the_host() {
    insta::assert_snapshot!(said("asks"), @r#"
    warning: adapter `fake` sent a request, but requests go from ztc to adapters only; ignored: `{"jsonrpc":"2.0","id":1,"method":"prompt","params":{}}`
      help: only messages belong on an adapter's stdout, everything else on stderr
    "#);
}

#[test]
fn bytes_that_are_not_utf8() {
    insta::assert_snapshot!(said("not-utf8"), @"
    warning: adapter `fake` wrote a line that is not UTF-8; ignored: `caf�`
      help: only messages belong on an adapter's stdout, everything else on stderr
    ");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_forgiven() {
    assert_eq!(said("bom"), "");
    assert_eq!(said("crlf"), "");
}

#[test]
fn a_line_of_33_mib() {
    let said = said("long-line").replace(&"x".repeat(120), "[120 x]");
    insta::assert_snapshot!(said, @"
    warning: adapter `fake` wrote a line that is longer than 32 MiB; ignored: `[120 x]`
      help: only messages belong on an adapter's stdout, everything else on stderr
    ");
}

#[test]
fn a_hundred_megabytes_on_stderr() {
    assert_eq!(Fake::new("floods-stderr-at-render").harmless(), "");
}

#[test]
fn no_progress_is_lost() {
    let run = Fake::new("floods-progress-at-render").ztc(&["render", "-vv"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains(RENDERED), "{run}");
    let told: Vec<&str> = run
        .stderr
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("fake: `render` took ")?;
            Some(rest.split_once(" ms and ")?.1)
        })
        .collect();
    assert_eq!(told, ["reported progress 100000 times"], "{run}");
}

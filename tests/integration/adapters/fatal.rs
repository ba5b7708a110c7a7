//! Sins that end the run: one report, with everything that is known.

use super::Fake;

#[test]
fn exits_in_the_middle_of_a_call() {
    insta::assert_snapshot!(Fake::new("exit-0-at-render").fatal(1), @"
    error: adapter `fake` exited with code 0 during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn exits_with_the_last_forty_lines_of_its_stderr() {
    insta::assert_snapshot!(Fake::new("exit-3-at-render").fatal(1), @"
    error: adapter `fake` exited with code 3 during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      last lines of its stderr:
        complaint 11
        complaint 12
        complaint 13
        complaint 14
        complaint 15
        complaint 16
        complaint 17
        complaint 18
        complaint 19
        complaint 20
        complaint 21
        complaint 22
        complaint 23
        complaint 24
        complaint 25
        complaint 26
        complaint 27
        complaint 28
        complaint 29
        complaint 30
        complaint 31
        complaint 32
        complaint 33
        complaint 34
        complaint 35
        complaint 36
        complaint 37
        complaint 38
        complaint 39
        complaint 40
        complaint 41
        complaint 42
        complaint 43
        complaint 44
        complaint 45
        complaint 46
        complaint 47
        complaint 48
        complaint 49
        complaint 50
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn panics() {
    insta::assert_snapshot!(Fake::new("panic-at-render").fatal(1), @"
    error: adapter `fake` exited with code 101 during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      last lines of its stderr:
        thread 'main' panicked at
        the fake adapter was told to panic
        note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn aborts() {
    insta::assert_snapshot!(Fake::new("abort-at-render").fatal(1), @"
    error: adapter `fake` was killed by signal 6 (SIGABRT) during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn is_killed() {
    insta::assert_snapshot!(Fake::new("kill-at-render").fatal(1), @"
    error: adapter `fake` was killed by signal 9 (SIGKILL) during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: the system may have run out of memory (see `dmesg`), or somebody ended it
    ");
}

#[test]
fn closes_its_stdout() {
    insta::assert_snapshot!(Fake::new("closes-stdout-at-render").fatal(1), @"
    error: adapter `fake` closed its stdout during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn is_reported_once_when_two_calls_fail() {
    // Its end is waited for in vain for a moment; the call that does not wait must not have its say first.
    let fake = Fake::new("closes-stdout-at-validate");
    let platform = super::PLATFORM.to_owned() + "  again: {type: fake, version: v1}\n";
    fake.environment.write("platform.yaml", platform);
    insta::assert_snapshot!(fake.fatal(1), @"
    error: adapter `fake` closed its stdout during `validate`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `validate`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn is_killed_beside_other_sins() {
    insta::assert_snapshot!(Fake::new("stray-at-start twice-at-validate kill-at-render").fatal(1), @r#"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `Compiling foo v9.9.9`
      help: only messages belong on an adapter's stdout, everything else on stderr
    error: adapter `fake` was killed by signal 9 (SIGKILL) during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      what it did beside answering:
        wrote a line that is not a JSON object: Compiling foo v9.9.9
        sent an answer that nothing waits for: {"jsonrpc":"2.0","id":1,"result":{"diagnostics":[]}}
        sent an answer that nothing waits for: {"jsonrpc":"2.0","id":2,"result":{"diagnostics":[]}}
      help: the system may have run out of memory (see `dmesg`), or somebody ended it
    "#);
}

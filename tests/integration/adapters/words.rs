//! Words: what an adapter says is shown as text, whatever it holds, and no line of it can pass for one of ztc's own.

use super::Fake;

#[test]
fn an_error_that_paints() {
    insta::assert_snapshot!(Fake::new("paints-error-at-render").fatal(1), @"
    error: adapter `fake`: �[2J�31m�evil�  error: forged
      help: �[2J�31m�evil�  error: forged
    ");
}

#[test]
fn a_finding_that_paints() {
    insta::assert_snapshot!(Fake::new("paints-finding-at-validate").fatal(2), @"
    error: `platform.yaml` is not valid
      platform.yaml:5:33: error: `fake.greeting`: �[2J�31m�evil�  error: forged
        help: �[2J�31m�evil�  error: forged
    ");
}

#[test]
fn a_path_that_paints_is_refused() {
    insta::assert_snapshot!(Fake::new("paints-path-at-render").fatal(1), @"
    error: adapter `fake` rendered an artifact with the path `a�[2J�31m�evil���error: forged`: it has a character that cannot be shown
      help: this is a bug of the adapter; tell its author
    ");
}

#[test]
fn a_stage_that_paints_is_refused() {
    insta::assert_snapshot!(Fake::new("paints-stage-at-render").fatal(1), @"
    error: adapter `fake` has a stage `�[2J�31m�evil�  error: forged` that runs the unknown script `�[2J�31m�evil�  error: forged`
      help: this is a bug of the adapter; tell its author
    ");
}

#[test]
fn a_manifest_that_paints() {
    let fake = Fake::new("paints-manifest exit-3-at-render");
    insta::assert_snapshot!(fake.fatal(1).lines().last().unwrap(), @"  help: this is a bug of the adapter; report it with these lines: �[2J�31m�evil�  error: forged");
    let run = fake.ztc(&["plugins", "info", "fake"]);
    assert_eq!(run.code, Some(0), "{run}");
    let active = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!run.stdout.contains(active), "{:?}", run.stdout);
    insta::assert_snapshot!(run.stdout.lines().next().unwrap(), @"fake �[2J�31m�evil�  error: forged: �[2J�31m�evil�  error: forged");
}

#[test]
fn an_error_without_end_is_cut() {
    let said = Fake::new("talks-at-render").fatal(1);
    assert!(said.len() < 5000, "{} bytes", said.len());
    assert!(said.contains("… (16000 more characters)"), "{said}");
}

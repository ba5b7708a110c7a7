//! The handshake: versions of the protocol, and adapters that are not who they should be.

use super::Fake;

#[test]
fn an_adapter_that_is_too_old() {
    insta::assert_snapshot!(Fake::new("speaks-0.9").fatal(4), @"
    error: adapter `fake` speaks protocol 0.9, this ztc speaks 1.0
      path: `[REPO]/../bin/fake`
      help: upgrade adapter `fake` to a release that speaks protocol 1.x
    ");
    insta::assert_snapshot!(Fake::new("refuses-for-0.9").fatal(4), @"
    error: adapter `fake` speaks protocol 0.9, this ztc speaks 1.0
      path: `[REPO]/../bin/fake`
      help: upgrade adapter `fake` to a release that speaks protocol 1.x
    ");
}

#[test]
fn a_host_that_is_too_old() {
    insta::assert_snapshot!(Fake::new("speaks-2.0").fatal(4), @"
    error: adapter `fake` speaks protocol 2.0, this ztc speaks 1.0
      path: `[REPO]/../bin/fake`
      help: upgrade ztc ([VERSION]) to a release that speaks protocol 2.0
    ");
    insta::assert_snapshot!(Fake::new("refuses-for-2.0").fatal(4), @"
    error: adapter `fake` speaks protocol 2.0 or 3.1, this ztc speaks 1.0
      path: `[REPO]/../bin/fake`
      help: upgrade ztc ([VERSION]) to a release that speaks protocol 2.0 or 3.1
    ");
}

#[test]
fn a_minor_version_that_was_not_offered() {
    insta::assert_snapshot!(Fake::new("speaks-1.7").fatal(4), @"
    error: adapter `fake` speaks protocol 1.7, this ztc speaks 1.0
      path: `[REPO]/../bin/fake`
      help: upgrade ztc ([VERSION]) to a release that speaks protocol 1.7
    ");
}

#[test]
fn a_refusal_that_names_no_version() {
    insta::assert_snapshot!(Fake::new("refuses-for-nothing").fatal(4), @"
    error: adapter `fake` does not speak protocol 1.0, and does not say what it speaks
      path: `[REPO]/../bin/fake`
      help: upgrade the older of the two: `fake`, or ztc
    ");
}

#[test]
fn an_answer_of_another_form() {
    insta::assert_snapshot!(Fake::new("wrong-form").fatal(1), @"
    error: adapter `fake` answered `initialize` with a result of the wrong form: `not` is not a protocol version: expected two numbers such as `1.0`
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
    insta::assert_snapshot!(Fake::new("wrong-form-at-render").fatal(1), @r#"
    error: adapter `fake` answered `render` with a result of the wrong form: invalid type: string "not", expected a sequence at line 1 column 6
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    "#);
}

#[test]
fn another_adapter() {
    insta::assert_snapshot!(Fake::new("wrong-name").fatal(1), @"
    error: the program that should be adapter `fake` says that it is `somebody-else`
      path: `[REPO]/../bin/fake`
      help: rename the file to `ztc-adapter-somebody-else`, or use the name `somebody-else` in platform.yaml
    ");
}

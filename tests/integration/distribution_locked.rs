//! How a lock of adapters is changed, on purpose only, and what `--locked` refuses.

use std::fs;

use serde_json::{Value, json};

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{
    ELSEWHERE, PLATFORM, colleague, edit, executable, greeting, lock, locked_digest, release,
    rendered, renderer, steps, stored, team,
};
use crate::environment::TestEnv;
use crate::terminal::Terminal;

#[test]
fn naming_a_version_changes_the_lock_and_the_next_render_follows() {
    let publisher = team();
    rendered(&publisher);
    release(&publisher, "1.1.0");
    release(&publisher, "2.0.0");
    let commands: [&[&str]; 7] = [
        &["plugins", "install", "hello"],
        &["plugins", "install", "hello@1.1.0", "--dry-run"],
        &["plugins", "install", "hello@1.1.0"],
        &["validate"],
        &["bootstrap"],
        &["render"],
        &["validate"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install hello
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello@1.1.0 --dry-run
    exit: 0
    --- stderr
    ✓ hello 1.1.0 would be installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins install hello@1.1.0
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 1.1.0 instead of 1.0.0
      next: ztc render  renders with it
    $ ztc validate
    exit: 3
    --- stderr
    error: what was rendered is older than its inputs
      adapter `hello` is now 1.1.0, it was 1.0.0
      help: run `ztc render`, and read what changes with `git diff`
    $ ztc bootstrap
    exit: 5
    --- stderr
    error: what was rendered is older than its inputs
      adapter `hello` is now 1.1.0, it was 1.0.0
      help: run `ztc render`, and read what changes with `git diff`
    $ ztc render
    exit: 0
    --- stderr
      changed  platform/generated/services/hello/hello.txt
      changed  platform/lock.json
    ✓ rendered `test`: 1 artifacts, 0 stages (0 added, 2 changed, 0 removed, 1 unchanged)
      next: ztc plan  shows what a bootstrap would do
    $ ztc validate
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    assert_eq!(greeting(&publisher), "hello from 1.1.0\n");
    // A version that platform.yaml does not want is installed and not locked.
    insta::assert_snapshot!(publisher.run(&["plugins", "install", "hello@2.0.0"]), @"
    exit: 0
    --- stderr
    warning: the lock goes on with `hello` 1.1.0: `plugins.hello.version` asks for `^1`; change platform.yaml:6:37 and run `ztc plugins install hello@2.0.0` where you want this one
    ✓ hello 2.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
    // And where platform.yaml wants another, the lock has to be changed on purpose.
    let platform = PLATFORM.replace("^1", "^2");
    publisher.environment.write("platform.yaml", &platform);
    let commands: [&[&str]; 4] = [
        &["render"],
        &["plugins", "install"],
        &["plugins", "install", "hello@^2"],
        &["render"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc render
    exit: 5
    --- stderr
    error: the lock has `hello` 1.1.0, and `plugins.hello.version` asks for `^2`
      --> platform.yaml:4:3
      asked for: ^2 from ../tree
      help: run `ztc plugins install 'hello@^2'`, which changes the lock, or change platform.yaml back
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the lock has `hello` 1.1.0, and `plugins.hello.version` asks for `^2`
      help: run `ztc plugins install 'hello@^2'`, which changes the lock, or change platform.yaml back
    $ ztc plugins install hello@^2
    exit: 0
    --- stderr
    ✓ hello 2.0.0 was installed from file://[ROOT]/tree
      platform/lock.json names hello 2.0.0 instead of 1.1.0
      next: ztc render  renders with it
    $ ztc render
    exit: 0
    --- stderr
      changed  platform/generated/services/hello/hello.txt
      changed  platform/lock.json
    ✓ rendered `test`: 1 artifacts, 0 stages (0 added, 2 changed, 0 removed, 1 unchanged)
      next: ztc plan  shows what a bootstrap would do
    ");
    assert_eq!(greeting(&publisher), "hello from 2.0.0\n");
    // The same goes for another source.
    fs::rename(publisher.tree(), publisher.environment.root().join("moved")).unwrap();
    publisher
        .environment
        .write("platform.yaml", platform.replace("tree", "moved"));
    let commands: [&[&str]; 4] = [
        &["render"],
        &["plugins", "install", "hello@2.0.0"],
        &["plugins", "install", "hello@2.0.0", "--moved"],
        &["render"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc render
    exit: 5
    --- stderr
    error: the lock has `hello` 2.0.0, and `plugins.hello.source` asks for it from ../moved
      --> platform.yaml:4:3
      asked for: ^2 from ../moved
      help: the lock has it from ../tree; where its publisher has moved, run `ztc plugins install hello@2.0.0 --moved`, which changes the lock
    $ ztc plugins install hello@2.0.0
    exit: 5
    --- stderr
    error: `hello` is locked from another source
      locked: 2.0.0 from ../tree
      now: file://[ROOT]/moved
      help: add `--moved` where its publisher has moved, and you know it from them
    $ ztc plugins install hello@2.0.0 --moved
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/moved is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 2.0.0 installed from file://[ROOT]/moved
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 2.0.0 as it is now
      next: ztc render  renders with it
    $ ztc render
    exit: 0
    --- stderr
      changed  platform/lock.json
    ✓ rendered `test`: 1 artifacts, 0 stages (0 added, 1 changed, 0 removed, 2 unchanged)
      next: ztc plan  shows what a bootstrap would do
    ");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["source"], "../moved");
}

#[test]
fn the_bytes_that_start_are_compared_with_the_lock_and_not_with_the_record() {
    let publisher = team();
    rendered(&publisher);
    let digest = locked_digest(&publisher);
    let file = stored(&publisher, &digest);
    let evil = renderer("hello", "1.0.0", "evil");
    fs::remove_file(&file).unwrap();
    executable(&file, &evil);
    // The record is changed together with the file.
    let record = publisher
        .environment
        .root()
        .join("home/.local/share/ztc/installed/hello/1.0.0.json");
    let wrong = publisher.environment.root().join("wrong");
    fs::write(&wrong, &evil).unwrap();
    let output = std::process::Command::new("sha256sum")
        .arg(&wrong)
        .output()
        .unwrap();
    let other = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(&digest, &other)).unwrap();
    let commands: [&[&str]; 4] = [
        &["render"],
        &["render", "--no-sandbox", "--quiet"],
        &["plugins", "run", "hello", "anything"],
        &["plugins", "install"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc render
    exit: 5
    --- stderr
    error: adapter `hello` was not started: its file does not have the bytes that were installed
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]`
      help: install it again with `ztc plugins install hello`, and find out who has changed it
    $ ztc render --no-sandbox --quiet
    exit: 5
    --- stderr
    error: adapter `hello` was not started: its file does not have the bytes that were installed
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]`
      help: install it again with `ztc plugins install hello`, and find out who has changed it
    $ ztc plugins run hello anything
    exit: 5
    --- stderr
    error: adapter `hello` was not started: its file does not have the bytes that were installed
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]`
      help: install it again with `ztc plugins install hello`, and find out who has changed it
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
    publisher.environment.ztc_ok(&["validate", "--locked"]);
    // What lies beside it does not matter.
    fs::write(file.with_file_name("a"), "something else").unwrap();
    publisher.environment.ztc_ok(&["validate", "--locked"]);
}

#[test]
fn locked_refuses_everything_that_the_lock_does_not_know() {
    let publisher = team();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    let commands: [&[&str]; 2] = [&["plugins", "install", "--locked"], &["render", "--locked"]];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install --locked
    exit: 5
    --- stderr
    error: platform.yaml asks for `hello`, and the lock does not name it
      help: run `ztc plugins install` and `ztc render` without `--locked`, and commit platform/lock.json
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      `hello` 1.0.0 is not in the lock
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    ");
    publisher.environment.ztc_ok(&["render"]);
    publisher
        .environment
        .tool("ztc-adapter-other", &renderer("other", "0.1.0", ""));
    let platform = PLATFORM.replace("plugins:", "  other: {}\nplugins:");
    publisher.environment.write("platform.yaml", platform);
    insta::assert_snapshot!(publisher.run(&["render", "--locked"]), @"
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      `other` [VERSION] is not in the lock
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    ");
    publisher.environment.ztc_ok(&["render"]);
    // A colleague's machine of another kind has another executable of what lies on PATH.
    edit(&publisher, |lock| {
        let platforms = lock["plugins"]["other"]["platforms"]
            .as_object_mut()
            .unwrap();
        let executable = platforms.remove(&machine()).unwrap();
        platforms.insert(ELSEWHERE.into(), executable);
    });
    let commands: [&[&str]; 4] = [
        &["validate"],
        &["validate", "--locked"],
        &["plan", "--locked"],
        &["bootstrap", "--locked"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc validate
    exit: 0
    --- stderr
    warning: the lock does not know the executable of adapter `other` for [MACHINE]
      help: `ztc render` records it
    ✓ `test` is as it was rendered at [TIME]: 2 adapters, 2 artifacts, 0 stages, 0 secret bundles
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      the lock does not know the executable of adapter `other` for [MACHINE]
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    $ ztc plan --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      the lock does not know the executable of adapter `other` for [MACHINE]
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    $ ztc bootstrap --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      the lock does not know the executable of adapter `other` for [MACHINE]
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    ");
    // What lies on PATH is another file now: a render takes it, and says so.
    publisher.environment.ztc_ok(&["render"]);
    publisher
        .environment
        .tool("ztc-adapter-other", &renderer("other", "0.1.0", "changed"));
    insta::assert_snapshot!(steps(&publisher, &[&["render", "--locked"], &["render"]]), @"
    $ ztc render --locked
    exit: 5
    --- stderr
    error: what was rendered is older than its inputs
      adapter `other` [VERSION] is another executable than the one that rendered: [SHA256], it was [SHA256]
      it was not started
      help: run `ztc render`, and read what changes with `git diff`
    $ ztc render
    exit: 0
    --- stderr
    warning: `other` [VERSION] has other bytes for [MACHINE] than the locked ones
      changed  platform/lock.json
    ✓ rendered `test`: 2 artifacts, 0 stages (0 added, 1 changed, 0 removed, 3 unchanged)
      next: ztc plan  shows what a bootstrap would do
    ");
}

#[test]
fn one_that_cannot_be_installed_does_not_keep_the_others_from_it() {
    let publisher = team();
    let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\nplugins:\n  absent: {source: ../tree}\n  hello: {source: ../tree}\n  lost: {source: ../nowhere}\n";
    publisher.environment.write("platform.yaml", platform);
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 4
    --- stderr
    error: `file://[ROOT]/tree` has no adapter `absent`
      help: it has `hello`
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    error: there is no directory `[ROOT]/nowhere`
      help: name the directory that holds `index.json`
    error: 2 of 3 adapters were not installed: `absent` and `lost`
      help: correct what is said above and run the same command again
    ");
    let report = publisher.environment.ztc(&["plugins", "install", "--json"]);
    assert_eq!(report.code, Some(4));
    crate::schemas::valid("plugins-install.schema.json", &report.json());
    let failed = report.json()["failed"].clone();
    let names: Vec<&str> = failed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["absent", "lost"]);
    publisher.environment.ztc_ok(&["render"]);
}

#[test]
fn a_lock_of_format_1_is_understood_and_made_anew() {
    let environment = TestEnv::new();
    environment.tool("ztc-adapter-hello", &renderer("hello", "1.0.0", ""));
    environment.write(
        "platform.yaml",
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n",
    );
    environment.ztc_ok(&["render"]);
    let text = environment.read("platform/lock.json");
    let mut lock: Value = serde_json::from_str(&text).unwrap();
    let plugins = lock.as_object_mut().unwrap().remove("plugins").unwrap();
    let digest = plugins["hello"]["platforms"][machine()]["sha256"].clone();
    lock["format"] = json!(1);
    lock["adapters"]["hello"]["executables"] = json!({ machine(): digest });
    environment.write("platform/lock.json", lock.to_string());
    environment.ztc_ok(&["validate"]);
    environment.ztc_ok(&["validate", "--locked"]);
    lock["adapters"]["hello"]["executables"] = json!({ machine(): "a".repeat(64) });
    environment.write("platform/lock.json", lock.to_string());
    let changed = environment.ztc(&["validate"]);
    insta::assert_snapshot!(changed, @"
    exit: 3
    --- stderr
    error: what was rendered is older than its inputs
      adapter `hello` 1.0.0 is another executable than the one that rendered: [SHA256], it was [SHA256]
      it was not started
      help: run `ztc render`, and read what changes with `git diff`
    ");
    environment.ztc_ok(&["render"]);
    let again: Value = serde_json::from_str(&environment.read("platform/lock.json")).unwrap();
    let mut before: Value = serde_json::from_str(&text).unwrap();
    before["timestamp"] = again["timestamp"].clone();
    assert_eq!(again, before);
}

#[test]
fn a_file_of_one_s_own_is_locked_and_still_unsigned() {
    let environment = TestEnv::new();
    let file = format!("vendor/ztc-adapter-hello-1.0.0-{}", machine());
    let program = environment.repo().join(&file);
    executable(&program, &renderer("hello", "1.0.0", ""));
    let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n";
    environment.write("platform.yaml", platform);
    let publisher = Publisher { environment };
    let environment = &publisher.environment;
    environment.ztc_ok(&["plugins", "install", &file, "--allow-unsigned"]);
    environment.ztc_ok(&["render"]);
    let entry = lock(&publisher)["plugins"]["hello"].clone();
    assert_eq!(entry["source"], format!("./{file}"));
    assert_eq!(entry["publisher_key"], Value::Null);
    colleague(&publisher);
    let commands: [&[&str]; 3] = [
        &["plugins", "install"],
        &["plugins", "install", "--allow-unsigned"],
        &["validate", "--locked"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install
    exit: 5
    --- stderr
    error: `[REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE]` has no signature: a single file never has one
      help: add `--allow-unsigned` where you know these bytes by another way
    $ ztc plugins install --allow-unsigned
    exit: 0
    --- stderr
    warning: nobody has signed `hello` 1.0.0: whoever can change file://[REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE] decides what it does
    ✓ hello 1.0.0 installed from file://[REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE]
      touches what it says when it starts: nobody has signed that
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    // Another build of it is another file, which somebody has to name.
    colleague(&publisher);
    executable(&program, &renderer("hello", "1.0.0", "built again"));
    let named = ["plugins", "install", &file, "--allow-unsigned"];
    let commands: [&[&str]; 4] = [
        &["plugins", "install", "--allow-unsigned"],
        &named,
        &["validate"],
        &["render", "--locked"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install --allow-unsigned
    exit: 5
    --- stderr
    error: `[REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE]` has other bytes than the lock names for `hello` 1.0.0
      locked: [SHA256]
      now: [SHA256]
      help: where that is what you want, run `ztc plugins install [REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE] --allow-unsigned`, which changes the lock
    $ ztc plugins install vendor/ztc-adapter-hello-1.0.0-[MACHINE] --allow-unsigned
    exit: 0
    --- stderr
    warning: nobody has signed `hello` 1.0.0: whoever can change file://[REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE] decides what it does
    ✓ hello 1.0.0 installed from file://[REPO]/vendor/ztc-adapter-hello-1.0.0-[MACHINE]
      touches what it says when it starts: nobody has signed that
      platform/lock.json names hello 1.0.0 as it is now
      next: ztc render  renders with it
    $ ztc validate
    exit: 3
    --- stderr
    error: what was rendered is older than its inputs
      adapter `hello` 1.0.0 was locked anew since it rendered, with other bytes
      help: run `ztc render`, and read what changes with `git diff`
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      changed: platform/lock.json
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    ");
}

#[test]
fn what_another_environment_uses_stays_locked() {
    let publisher = team();
    rendered(&publisher);
    let other = PLATFORM.replace("environment: test", "environment: other");
    let platform = other.replace("hello: {}", "other: {}");
    publisher
        .environment
        .tool("ztc-adapter-other", &renderer("other", "1.0.0", ""));
    publisher.environment.write("platform.yaml", platform);
    publisher.environment.ztc_ok(&["render"]);
    release(&publisher, "1.1.0");
    let install = [
        "-C",
        "..",
        "plugins",
        "install",
        "hello@1.1.0",
        "--source",
        "tree",
    ];
    publisher.environment.ztc_ok(&install);
    publisher.environment.write("platform.yaml", PLATFORM);
    publisher.environment.ztc_ok(&["render"]);
    assert_eq!(greeting(&publisher), "hello from 1.0.0\n");
    // What platform.yaml does not name any more is forgotten.
    let gone = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  other: {}\n";
    publisher.environment.write("platform.yaml", gone);
    publisher.environment.ztc_ok(&["render"]);
    assert_eq!(names(&publisher), ["other"]);
}

/// The adapters that the lock names.
pub(crate) fn names(publisher: &Publisher) -> Vec<String> {
    let lock = lock(publisher);
    lock["plugins"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn the_wizard_offers_what_is_locked() {
    let publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    release(&publisher, "1.1.0");
    colleague(&publisher);
    let mut terminal = Terminal::ztc(&publisher.environment, &["init"]);
    terminal.wait_for("the one that the lock names");
    terminal.answer("Install hello 1.0.0? (y/n) › yes", "\r");
    terminal.wait_for("hello 1.0.0 installed from");
    terminal.wait_for("next: ztc validate");
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(publisher.environment.read("platform/lock.json"), made);
    publisher.environment.ztc_ok(&["validate", "--locked"]);
}

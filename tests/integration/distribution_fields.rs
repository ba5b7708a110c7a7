//! A lock that was edited by hand: every field of an adapter is compared with what is installed, and with what its publisher has signed.

use std::fs;

use serde_json::{Value, json};

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{
    ELSEWHERE, colleague, edit, executable, lock, rendered, renderer, steps, team,
};
use crate::environment::TestEnv;

/// Every edit: where, what it says then, and how the field is named.
fn edits(key: &str) -> Vec<(String, Value, String)> {
    let here = format!("platforms/{}", machine());
    let edit = |pointer: &str, value: Value| {
        let name = pointer.replace('/', ".").replace(&machine(), "[MACHINE]");
        (pointer.to_owned(), value, format!("`plugins.hello.{name}`"))
    };
    vec![
        edit("protocol", json!("9.0")),
        edit("protocol", json!("nonsense")),
        edit("publisher_key", json!(key)),
        edit("publisher_key", Value::Null),
        edit(&format!("{here}/size"), json!(1)),
        edit(&format!("{here}/path"), json!("../../x")),
        edit(&format!("platforms/{ELSEWHERE}/size"), json!(1)),
        edit(&format!("platforms/{ELSEWHERE}"), Value::Null),
        edit(
            "platforms/plan9-mips",
            json!({"path": "x", "size": 1, "sha256": "a".repeat(64)}),
        ),
    ]
}

fn apply(publisher: &Publisher, pointer: &str, value: &Value) {
    edit(publisher, |lock| {
        let (parent, field) = match pointer.rsplit_once('/') {
            Some((parent, field)) => (format!("/plugins/hello/{parent}"), field),
            None => ("/plugins/hello".to_owned(), pointer),
        };
        let parent = lock.pointer_mut(&parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(parent.remove(field)),
            value => drop(parent.insert(field.to_owned(), value.clone())),
        }
    });
}

/// Another key that is one.
fn other_key(publisher: &Publisher) -> String {
    let keygen = ["plugins", "keygen", "../other", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let text = fs::read_to_string(publisher.environment.root().join("other.pub")).unwrap();
    text.lines().last().unwrap().to_owned()
}

#[test]
fn locked_refuses_every_field_that_is_not_as_it_was_installed() {
    let publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    for (pointer, value, field) in edits(&other_key(&publisher)) {
        apply(&publisher, &pointer, &value);
        for command in [
            &["validate", "--locked"][..],
            &["plan", "--locked"],
            &["bootstrap", "--locked"],
            &["render", "--locked"],
            &["plugins", "install", "--locked"],
            &["plugins", "install", "hello", "--locked"],
        ] {
            let run = publisher.run(command);
            assert_eq!(run.code, Some(5), "{pointer} {command:?}: {run}");
            assert!(run.stderr.contains(&field), "{pointer} {command:?}: {run}");
            assert!(run.stderr.contains("git checkout"), "{pointer}: {run}");
        }
        // Without the word it is said, once.
        for command in [&["validate"][..], &["render"]] {
            let run = publisher.run(command);
            assert_eq!(run.code, Some(0), "{pointer} {command:?}: {run}");
            assert_eq!(run.stderr.matches(&field).count(), 1, "{pointer}: {run}");
        }
        publisher.environment.write("platform/lock.json", &made);
        publisher.environment.ztc_ok(&["validate", "--locked"]);
    }
    // An index of a colleague may have another serial.
    apply(&publisher, "index_serial", &json!(900));
    publisher.environment.ztc_ok(&["validate", "--locked"]);
}

#[test]
fn what_is_fetched_has_to_be_what_the_lock_says_in_every_field() {
    let publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    let edits = edits(&other_key(&publisher));
    for (pointer, value, field) in &edits {
        colleague(&publisher);
        apply(&publisher, pointer, value);
        let run = publisher.run(&["plugins", "install", "--locked"]);
        assert_eq!(run.code, Some(5), "{pointer}: {run}");
        let of_other_key = pointer == "publisher_key" && !value.is_null();
        let words = match of_other_key {
            true => "signed with another key than the one that the lock names",
            false => field,
        };
        assert!(run.stderr.contains(words), "{pointer}: {run}");
        let run = publisher.run(&["plugins", "install"]);
        // That nobody had signed it when it was locked is no danger: the bytes are those.
        let code = match (pointer.as_str(), value) {
            ("publisher_key", Value::Null) => 0,
            _ => 5,
        };
        assert_eq!(run.code, Some(code), "{pointer}: {run}");
        assert!(run.stderr.contains(words), "{pointer}: {run}");
        publisher.environment.write("platform/lock.json", &made);
    }
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "--locked"]);
}

#[test]
fn an_edited_lock_says_what_to_type_and_that_works() {
    let publisher = team();
    rendered(&publisher);
    let made = lock(&publisher);
    apply(&publisher, "protocol", &json!("1.7"));
    apply(
        &publisher,
        &format!("platforms/{}/size", machine()),
        &json!(1),
    );
    let commands: [&[&str]; 7] = [
        &["validate"],
        &["validate", "--locked"],
        &["bootstrap", "--locked"],
        &["render", "--locked"],
        &["plugins", "install"],
        &["plugins", "install", "hello@1.0.0"],
        &["validate", "--locked"],
    ];
    let size = fs::metadata(publisher.executable()).unwrap().len();
    let said = steps(&publisher, &commands).replace(&size.to_string(), "[SIZE]");
    insta::assert_snapshot!(said, @"
    $ ztc validate
    exit: 0
    --- stderr
    warning: `plugins.hello.protocol` is `1.7` in the lock, and `1.0` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0` locks it
    warning: `plugins.hello.platforms.[MACHINE].size` is `1` in the lock, and `[SIZE]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0` locks it
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.hello.protocol` is `1.7` in the lock, and `1.0` in what was installed
      `plugins.hello.platforms.[MACHINE].size` is `1` in the lock, and `[SIZE]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0` locks it
    $ ztc bootstrap --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.hello.protocol` is `1.7` in the lock, and `1.0` in what was installed
      `plugins.hello.platforms.[MACHINE].size` is `1` in the lock, and `[SIZE]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0` locks it
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.hello.protocol` is `1.7` in the lock, and `1.0` in what was installed
      `plugins.hello.platforms.[MACHINE].size` is `1` in the lock, and `[SIZE]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0` locks it
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the lock says of `hello` 1.0.0 something else than the index of `file://[ROOT]/tree`
      `plugins.hello.protocol` is `1.7` in the lock, and `1.0` in the index of `file://[ROOT]/tree`
      `plugins.hello.platforms.[MACHINE].size` is `1` in the lock, and `[SIZE]` in the index of `file://[ROOT]/tree`
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0` locks it
    $ ztc plugins install hello@1.0.0
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
      platform/lock.json names hello 1.0.0 as it is now
      next: ztc render  renders with it
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    assert_eq!(lock(&publisher)["plugins"], made["plugins"]);
    // The lock knows of no key, and whose it is is known all the same.
    apply(&publisher, "publisher_key", &Value::Null);
    let key = made["plugins"]["hello"]["publisher_key"].as_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["validate", "--locked"],
        &["plugins", "install"],
        &["plugins", "install", "hello"],
        &["plugins", "install", "hello@1.0.0", "--key", key],
        &["validate", "--locked"],
    ];
    let said = steps(&publisher, &commands).replace(key, "[KEY]");
    insta::assert_snapshot!(said, @"
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.hello.publisher_key` is nothing in the lock, and `[KEY]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0 --key [KEY]` locks it
    $ ztc plugins install
    exit: 0
    --- stderr
    warning: `plugins.hello.publisher_key` is nothing in the lock, and `[KEY]` in the index of `file://[ROOT]/tree`: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0 --key [KEY]` locks it
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello
    exit: 0
    --- stderr
    warning: `plugins.hello.publisher_key` is nothing in the lock, and `[KEY]` in the index of `file://[ROOT]/tree`: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0 --key [KEY]` locks it
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello@1.0.0 --key [KEY]
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
      platform/lock.json names hello 1.0.0 as it is now
      next: ztc render  renders with it
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    assert_eq!(lock(&publisher)["plugins"], made["plugins"]);
}

#[test]
fn a_record_that_another_repository_has_changed_is_settled_by_what_is_signed() {
    let publisher = team();
    rendered(&publisher);
    // The publisher has a new key, which only the other repository has taken.
    let key = other_key(&publisher);
    let publish = [
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../other",
        "--replace-key",
    ];
    publisher.environment.ztc_ok(&publish);
    fs::create_dir(publisher.environment.root().join("other-repo")).unwrap();
    let install = [
        "-C",
        "../other-repo",
        "plugins",
        "install",
        "hello@1.0.0",
        "--source",
        "../tree",
        "--key",
        &key,
    ];
    publisher.environment.ztc_ok(&install);
    let commands: [&[&str]; 5] = [
        &["validate"],
        &["validate", "--locked"],
        &["plugins", "install"],
        &["plugins", "install", "hello@1.0.0", "--key", &key],
        &["validate", "--locked"],
    ];
    let old = lock(&publisher)["plugins"]["hello"]["publisher_key"].to_string();
    let said = steps(&publisher, &commands).replace(&key, "[NEW KEY]");
    let said = said.replace(old.trim_matches('"'), "[OLD KEY]");
    insta::assert_snapshot!(said, @"
    $ ztc validate
    exit: 0
    --- stderr
    warning: `plugins.hello.publisher_key` is `[OLD KEY]` in the lock, and `[NEW KEY]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0 --key [NEW KEY]` locks it
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.hello.publisher_key` is `[OLD KEY]` in the lock, and `[NEW KEY]` in what was installed
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc plugins install hello@1.0.0 --key [NEW KEY]` locks it
    $ ztc plugins install
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    $ ztc plugins install hello@1.0.0 --key [NEW KEY]
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
      platform/lock.json names hello 1.0.0 as it is now
      next: ztc render  renders with it
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
}

#[test]
fn what_lies_on_path_is_compared_in_every_field_too() {
    let environment = TestEnv::new();
    environment.tool("ztc-adapter-hello", &renderer("hello", "1.0.0", ""));
    let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n";
    environment.write("platform.yaml", platform);
    let publisher = Publisher { environment };
    publisher.environment.ztc_ok(&["render"]);
    let made = publisher.environment.read("platform/lock.json");
    for (pointer, value, field) in edits(&other_key(&publisher)) {
        if pointer.contains(ELSEWHERE) || pointer.contains("plan9") || value.is_null() {
            continue;
        }
        apply(&publisher, &pointer, &value);
        for command in [&["validate", "--locked"][..], &["render", "--locked"]] {
            let run = publisher.run(command);
            assert_eq!(run.code, Some(5), "{pointer} {command:?}: {run}");
            let is_key = pointer == "publisher_key" && command[0] == "render";
            let words = match is_key {
                true => "`hello` has another publisher's key than the locked one",
                false => &field,
            };
            assert!(run.stderr.contains(words), "{pointer} {command:?}: {run}");
        }
        // A render takes what is there.
        publisher.environment.ztc_ok(&["render"]);
        publisher.environment.ztc_ok(&["validate", "--locked"]);
        publisher.environment.write("platform/lock.json", &made);
    }
    // What was only found is not made something installed, nor the other way round, by a word in the lock.
    apply(&publisher, "source", &json!("https://example.org"));
    assert_eq!(publisher.run(&["validate", "--locked"]).code, Some(4));
    let team = team();
    rendered(&team);
    apply(&team, "source", &json!("PATH"));
    let run = team.run(&["validate", "--locked"]);
    assert_eq!(run.code, Some(5), "{run}");
    assert!(run.stderr.contains("`plugins.hello.source`"), "{run}");
}

#[test]
fn a_file_that_is_not_the_one_that_rendered_does_not_start() {
    for (file, plugins) in [
        ("tools/hello", "plugins:\n  hello: {path: tools/hello}\n"),
        ("../bin/ztc-adapter-hello", ""),
    ] {
        let environment = TestEnv::new();
        let marker = environment.root().join("started");
        // It says so where it starts.
        let put = |note: &str| {
            let tell = format!("open('{}', 'w')\nimport json", marker.display());
            let content = renderer("hello", "1.0.0", note).replace("import json", &tell);
            executable(&environment.repo().join(file), &content);
        };
        put("");
        let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n";
        environment.write("platform.yaml", format!("{platform}{plugins}"));
        let ztc = |command: &[&str]| {
            let _ = fs::remove_file(&marker);
            let run = environment.ztc(&[command, &["--no-sandbox"]].concat());
            (run, marker.exists())
        };
        assert!(ztc(&["render"]).1);
        assert!(ztc(&["validate", "--locked"]).1);
        put("changed");
        for (command, code) in [
            (&["validate"][..], 3),
            (&["validate", "--locked"], 3),
            (&["plan"], 3),
            (&["bootstrap"], 5),
            (&["bootstrap", "--locked"], 5),
            (&["render", "--locked"], 5),
        ] {
            let (run, has_started) = ztc(command);
            assert_eq!(run.code, Some(code), "{command:?}: {run}");
            assert!(!has_started, "{command:?}: {run}");
            let line = "adapter `hello` 1.0.0 is another executable than the one that rendered: ";
            assert!(run.stderr.contains(line), "{command:?}: {run}");
            assert!(run.stderr.contains("run `ztc render`"), "{run}");
        }
        let (run, has_started) = ztc(&["render"]);
        assert_eq!((run.code, has_started), (Some(0), true), "{run}");
        assert!(run.stderr.contains("has other bytes"), "{run}");
        assert!(ztc(&["bootstrap", "--locked", "--dry-run"]).1);
    }
}

#[test]
fn the_adapters_of_ztc_are_locked_by_their_version_and_not_by_a_build() {
    let environment = TestEnv::new();
    let example = crate::tidy::root().join("examples/adapter-python/ztc-adapter-static-inventory");
    let example = fs::read_to_string(example).unwrap();
    environment.tool("ztc-adapter-static-inventory", &example);
    environment.write("platform.yaml", WITH_OWN);
    environment.ztc_ok(&["render"]);
    environment.ztc_ok(&["secrets", "generate"]);
    environment.ztc_ok(&["render"]);
    let publisher = Publisher { environment };
    let own = |version: &str| json!({"version": version, "source": "built-in", "protocol": "1.0"});
    let made = publisher.environment.read("platform/lock.json");
    for name in ["cilium", "talos"] {
        let entry = &lock(&publisher)["plugins"][name];
        assert_eq!(*entry, own(env!("CARGO_PKG_VERSION")), "{name}");
    }
    assert_eq!(lock(&publisher)["ztc_version"], env!("CARGO_PKG_VERSION"));
    publisher.environment.ztc_ok(&["validate", "--locked"]);
    // Another build of the same release has other bytes.
    let here = publisher.environment.repo().join("ztc-of-a-distribution");
    let mut program = fs::read(crate::environment::programs().join("ztc")).unwrap();
    program.extend(b"built elsewhere");
    fs::write(&here, program).unwrap();
    let validate = format!("chmod +x {0} && {0} validate --locked", here.display());
    publisher.environment.shell("repo", &validate);
    for (field, value) in [
        ("version", json!("9.0.0")),
        ("source", json!("PATH")),
        ("protocol", json!("9.0")),
        ("publisher_key", json!("RW")),
    ] {
        edit(&publisher, |lock| lock["plugins"]["talos"][field] = value);
        let run = publisher.run(&["validate", "--locked"]);
        assert_eq!(run.code, Some(5), "{field}: {run}");
        assert!(
            run.stderr.contains(&format!("`plugins.talos.{field}` is ")),
            "{run}"
        );
        assert_eq!(
            publisher.run(&["render", "--locked"]).code,
            Some(5),
            "{field}"
        );
        publisher.environment.write("platform/lock.json", &made);
    }
    // A built-in is in no index, and has no bytes of its own; and it is in the lock.
    let bytes = json!({"linux-x86_64": {"path": "x", "size": 1, "sha256": "a".repeat(64)}});
    let edits: [&dyn Fn(&mut Value); 3] = [
        &|talos| talos["index_serial"] = json!(4),
        &|talos| talos["platforms"] = bytes.clone(),
        &|talos| *talos = Value::Null,
    ];
    let mut said = String::new();
    for change in edits {
        edit(&publisher, |lock| {
            let plugins = lock["plugins"].as_object_mut().unwrap();
            change(&mut plugins["talos"]);
            plugins.retain(|_, entry| !entry.is_null());
        });
        let edited = publisher.environment.read("platform/lock.json");
        let commands: [&[&str]; 3] = [
            &["validate", "--locked"],
            &["plan", "--locked"],
            &["render", "--locked"],
        ];
        said += &steps(&publisher, &commands);
        assert_eq!(publisher.environment.read("platform/lock.json"), edited);
        publisher.environment.write("platform/lock.json", &made);
    }
    insta::assert_snapshot!(said, @"
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.talos.index_serial` is `4` in the lock, and nothing in what is used
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc render` locks it
    $ ztc plan --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.talos.index_serial` is `4` in the lock, and nothing in what is used
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc render` locks it
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.talos.index_serial` is `4` in the lock, and nothing in what is used
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc render` locks it
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.talos.platforms.[MACHINE]` is `[SHA256]` in the lock, and nothing in what is used
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc render` locks it
    $ ztc plan --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.talos.platforms.[MACHINE]` is `[SHA256]` in the lock, and nothing in what is used
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc render` locks it
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not say what is there, and `--locked` refuses any difference
      `plugins.talos.platforms.[MACHINE]` is `[SHA256]` in the lock, and nothing in what is used
      help: put the lock back with `git checkout -- platform/lock.json`; where the other is right, `ztc render` locks it
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      the lock does not name the adapter `talos`
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    $ ztc plan --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      the lock does not name the adapter `talos`
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      `talos` [VERSION] is not in the lock
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    ");
    // Another release has other adapters.
    let version = env!("CARGO_PKG_VERSION");
    publisher
        .environment
        .write("platform/lock.json", made.replace(version, "0.0.7"));
    let run = publisher.run(&["validate", "--locked"]);
    assert_eq!(run.code, Some(3), "{run}");
    let line = "adapter `talos` is now [VERSION], it was 0.0.7";
    assert!(run.stderr.contains(line), "{run}");
}

const WITH_OWN: &str = "apiVersion: ztc/v1
environment: test
adapters:
  static-inventory:
    rescue_mode_enabled: true
    machines:
      - {name: cp01, ip: 203.0.113.10}
  cilium: {version: v1.18.5, bgp_enabled: false}
  talos:
    version: v1.11.5
    kubernetes_version: v1.33.4
    cluster_name: prod
    cluster_endpoint: https://203.0.113.10:6443
    nodes:
      - {name: cp01, ip: 203.0.113.10, role: controlplane}
";

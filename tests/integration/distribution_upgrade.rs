//! Upgrades: the plan, what needs a word, what is done, and the lock that follows.

use std::fs;

use crate::distribution::{Publisher, adapter, machine};
use crate::schemas::valid;

/// Puts a version whose manifest and inputs differ from those of the first one.
fn put(publisher: &Publisher, version: &str, changes: &[(&str, &str)]) {
    publisher.put("hello", version, &machine());
    let mut text = adapter("hello", version);
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let file = format!("ztc-adapter-hello-{version}-{}", machine());
    fs::write(publisher.tree().join(file), text).unwrap();
}

const SCHEMA: &str = r#""config_schema": {"type": "object"}"#;

/// A publisher with versions that each change something, of which the first is installed.
fn publisher() -> Publisher {
    let publisher = Publisher::new();
    put(
        &publisher,
        "1.1.0",
        &[(
            SCHEMA,
            r#""config_schema": {"type": "object", "required": ["zone"], "properties": {"zone": {"type": "string"}, "size": {"type": "integer"}}}"#,
        )],
    );
    put(
        &publisher,
        "1.2.0",
        &[
            (
                SCHEMA,
                r#""config_schema": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}, "region": {"type": "string"}}}"#,
            ),
            (
                r#""network": [{"#,
                r#""tools": [{"name": "jq", "why": "reads"}], "network": [{"host": "new.example", "port": 8443, "why": "asks more"}, {"#,
            ),
            (r#""why": "asks"}], "tools": []"#, r#""why": "asks"}]"#),
            (
                r#""environment": []"#,
                r#""environment": [{"name": "HELLO_REGION", "why": "where", "secret": false}]"#,
            ),
            (
                r#""acme/hello", "version": "1.0""#,
                r#""acme/hello", "version": "1.1""#,
            ),
        ],
    );
    publisher.publish(&[]);
    let install = ["plugins", "install", "hello@1.0.0", "--source", "../tree"];
    publisher.environment.ztc_ok(&install);
    publisher
}

#[test]
fn an_upgrade_shows_its_plan_first_and_new_powers_need_a_word() {
    let publisher = publisher();
    let run = |options: &[&str]| publisher.run(&[&["plugins", "upgrade"], options].concat());
    insta::assert_snapshot!(run(&["hello@~1.1", "--dry-run"]), @"");
    // Nobody is there to agree.
    insta::assert_snapshot!(run(&["hello@~1.1"]), @"");
    insta::assert_snapshot!(run(&["hello@~1.1", "--yes"]), @"");
    insta::assert_snapshot!(run(&["--dry-run"]), @"");
    insta::assert_snapshot!(run(&["--yes"]).stderr.lines().skip(11).collect::<Vec<_>>().join("\n"), @"");
    insta::assert_snapshot!(publisher.run(&["plugins", "verify"]).stdout, @"");
    let refused = run(&["--yes", "--json"]);
    assert_eq!(refused.code, Some(5));
    valid("plugins-upgrade.schema.json", &refused.json());
    assert_eq!(refused.json()["installed"].as_array().unwrap().len(), 0);
    let done = run(&["--yes", "--accept", "--json"]);
    valid("plugins-upgrade.schema.json", &done.json());
    insta::assert_snapshot!(done.stdout, @"");
    insta::assert_snapshot!(run(&[]), @"");
    insta::assert_snapshot!(run(&["helo"]), @"");
    insta::assert_snapshot!(run(&["hello@x"]), @"");
}

#[test]
fn an_upgrade_follows_the_range_of_platform_yaml_and_changes_the_lock() {
    let publisher = publisher();
    let environment = &publisher.environment;
    let platform = |range: &str| {
        environment.write(
            "platform.yaml",
            format!("apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hetzner: {{type: hello}}\nplugins:\n  hello: {{source: ../tree, version: '{range}'}}\n"),
        );
    };
    platform("~1.1");
    let lock = |version: &str| {
        let text = environment.read("platform/lock.json");
        let lock: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(lock["plugins"]["hello"]["version"], version, "{text}");
    };
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "--yes"]), @"");
    let _ = lock;
}

#[test]
fn a_single_file_and_what_is_not_installed_cannot_be_upgraded() {
    let publisher = publisher();
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "other"]), @"");
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello"]);
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade"]), @"");
    let file = format!("ztc-adapter-own-1.0.0-{}", machine());
    let path = publisher.environment.root().join(&file);
    fs::write(&path, adapter("own", "1.0.0")).unwrap();
    let place = format!("../{file}");
    publisher
        .environment
        .ztc_ok(&["plugins", "install", &place, "--allow-unsigned"]);
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "own"]), @"");
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade"]), @"");
}

#[test]
fn inputs_that_nobody_published_are_said_to_be_unknown() {
    let publisher = publisher();
    publisher.put("strange", "1.0.0", &machine());
    publisher.publish(&[]);
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "strange", "--source", "../tree"]);
    // A version without a file for the publisher's machine has nobody who could be asked.
    publisher.put("strange", "1.1.0", "linux-riscv64");
    publisher.publish(&["--protocol", "1.0"]);
    publisher.put("strange", "1.1.0", &machine());
    publisher.publish(&[]);
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "strange", "--dry-run"]), @"");
}

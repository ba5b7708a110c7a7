//! Upgrades: the plan, what needs a word, what is done, and the lock that follows.

use std::fs;

use crate::distribution::{Publisher, adapter, machine};
use crate::distribution_publish::change_and_sign;
use crate::distribution_team::{colleague, lock, release, rendered, steps, team};
use crate::schemas::valid;
use crate::terminal::Terminal;

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
                r#""environment": [{"name": "HELLO_REGION", "why": "where", "secret": False}]"#,
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
    insta::assert_snapshot!(run(&["hello@~1.1", "--dry-run"]), @"
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      + input size: integer
      + input zone: string, required
      touches   what it touched before
      newer     1.2.0 is outside of `~1.1`
    ");
    // Nobody is there to agree.
    insta::assert_snapshot!(run(&["hello@~1.1"]), @"
    exit: 5
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      + input size: integer
      + input zone: string, required
      touches   what it touched before
      newer     1.2.0 is outside of `~1.1`
    error: this is to be confirmed, and nobody is there; nothing has been done
      help: read the list above; then run `ztc plugins upgrade 'hello@~1.1' --yes`
    ");
    insta::assert_snapshot!(run(&["hello@~1.1", "--yes"]), @"
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      + input size: integer
      + input zone: string, required
      touches   what it touched before
      newer     1.2.0 is outside of `~1.1`
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
    ");
    insta::assert_snapshot!(run(&["--dry-run"]), @"
    exit: 0
    --- stderr
    hello 1.1.0 -> 1.2.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      + provides acme/hello 1.1
      - provides acme/hello 1.0
      + input region: string
      - input zone: string, required
      ~ input size: integer -> integer, default 3
      + touches variable HELLO_REGION
      + touches network new.example:8443
      + touches tool jq
    warning: new versions may touch more than the old ones: `hello` variable HELLO_REGION, network new.example:8443, tool jq: this needs `--accept`
    ");
    insta::assert_snapshot!(run(&["--yes"]).stderr.lines().skip(11).collect::<Vec<_>>().join("\n"), @"
    error: new versions may touch more than the old ones: `hello` variable HELLO_REGION, network new.example:8443, tool jq
      help: where that is right, run `ztc plugins upgrade --accept`
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "verify"]).stdout, @"
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  file://[ROOT]/tree  ok
    hello  1.0.0  signed  file://[ROOT]/tree  ok
    ");
    let refused = run(&["--yes", "--json"]);
    assert_eq!(refused.code, Some(5));
    valid("plugins-upgrade.schema.json", &refused.json());
    assert_eq!(refused.json()["installed"].as_array().unwrap().len(), 0);
    let done = run(&["--yes", "--accept", "--json"]);
    valid("plugins-upgrade.schema.json", &done.json());
    insta::assert_snapshot!(done.stdout, @r#"
    {
      "upgrades": [
        {
          "name": "hello",
          "source": "file://[ROOT]/tree",
          "from": {
            "version": "1.1.0",
            "sha256": "[SHA256]",
            "protocols": [
              "1.0"
            ]
          },
          "to": {
            "version": "1.2.0",
            "sha256": "[SHA256]",
            "protocols": [
              "1.0"
            ]
          },
          "size": 1135,
          "inputs": {
            "added": {
              "region": "string"
            },
            "removed": {
              "zone": "string, required"
            },
            "changed": {
              "size": [
                "integer",
                "integer, default 3"
              ]
            }
          },
          "powers_known": true,
          "new_powers": [
            {
              "kind": "environment",
              "what": "HELLO_REGION"
            },
            {
              "kind": "network",
              "what": "new.example:8443"
            },
            {
              "kind": "tool",
              "what": "jq"
            }
          ],
          "gone_powers": [],
          "provides": {
            "added": [
              "acme/hello 1.1"
            ],
            "removed": [
              "acme/hello 1.0"
            ]
          },
          "requires": {
            "added": [],
            "removed": []
          }
        }
      ],
      "current": [],
      "dry_run": false,
      "refused": null,
      "failed": [],
      "installed": [
        {
          "name": "hello",
          "version": "1.2.0",
          "platform": "[MACHINE]",
          "source": "file://[ROOT]/tree",
          "publisher_key": "[KEY]",
          "trust": "pinned",
          "size": 1135,
          "sha256": "[SHA256]",
          "program": "[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.2.0-[MACHINE]",
          "state": "installed",
          "powers": {
            "known": true,
            "touches": {
              "environment": [
                "HELLO_REGION"
              ],
              "secrets": [],
              "network": [
                "new.example:8443",
                "example.org:443"
              ],
              "tools": [
                "jq"
              ]
            },
            "compared_with": "1.1.0",
            "new": [
              {
                "kind": "environment",
                "what": "HELLO_REGION"
              },
              {
                "kind": "network",
                "what": "new.example:8443"
              },
              {
                "kind": "tool",
                "what": "jq"
              }
            ]
          },
          "lock_was": null
        }
      ]
    }
    "#);
    insta::assert_snapshot!(run(&[]), @"
    exit: 0
    --- stderr
    hello 1.2.0 is the newest that fits, from file://[ROOT]/tree
    ");
    insta::assert_snapshot!(run(&["helo"]), @"
    exit: 4
    --- stderr
    error: `helo` is not installed
      help: did you mean `hello`?
    ");
    insta::assert_snapshot!(run(&["hello@one"]), @"
    exit: 2
    --- stderr
    error: `one` is not a range of versions: unexpected character 'o' while parsing major version number
      help: write a version or a range, such as `bgp@1.2.0` or `bgp@^1.2`
    ");
}

#[test]
fn on_a_terminal_an_upgrade_asks_and_a_download_has_a_bar() {
    let publisher = publisher();
    // Large enough to come in several parts.
    let large = adapter("hello", "1.3.0") + &"#".repeat(2 << 20);
    let file = format!("ztc-adapter-hello-1.3.0-{}", machine());
    publisher.put("hello", "1.3.0", &machine());
    fs::write(publisher.tree().join(file), large).unwrap();
    publisher.publish(&[]);
    let mut terminal = Terminal::ztc(&publisher.environment, &["plugins", "upgrade"]);
    terminal.wait_for("hello 1.0.0 -> 1.3.0");
    terminal.answer("Upgrade?", "n\r");
    assert_eq!(terminal.exit_code(), Some(5));
    let mut terminal = Terminal::ztc(&publisher.environment, &["plugins", "upgrade"]);
    terminal.answer("Upgrade?", "y\r");
    terminal.wait_for("hello [");
    terminal.wait_for("of 2.00 MiB");
    terminal.wait_for("hello 1.3.0 installed");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn an_upgrade_follows_the_range_of_platform_yaml_and_changes_the_lock() {
    let publisher = team();
    rendered(&publisher);
    release(&publisher, "1.1.0");
    release(&publisher, "2.0.0");
    let locked = || lock(&publisher)["plugins"]["hello"]["version"].clone();
    let before = publisher.environment.files();
    let plan: [&[&str]; 2] = [
        &["plugins", "upgrade", "--dry-run"],
        &["plugins", "upgrade"],
    ];
    insta::assert_snapshot!(steps(&publisher, &plan), @"
    $ ztc plugins upgrade --dry-run
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    $ ztc plugins upgrade
    exit: 5
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    error: this is to be confirmed, and nobody is there; nothing has been done
      help: read the list above; then run `ztc plugins upgrade --yes`
    ");
    assert_eq!(
        (locked(), publisher.environment.files() == before),
        ("1.0.0".into(), true)
    );
    let change: [&[&str]; 5] = [
        &["plugins", "upgrade", "--yes"],
        &["plugins", "upgrade", "--yes"],
        &["validate"],
        &["render"],
        &["plugins", "upgrade", "hello@2", "--yes"],
    ];
    insta::assert_snapshot!(steps(&publisher, &change), @"
    $ ztc plugins upgrade --yes
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      platform/lock.json names hello 1.1.0 instead of 1.0.0
      next: ztc render  renders with it
    $ ztc plugins upgrade --yes
    exit: 0
    --- stderr
    hello 1.1.0 is the newest that fits, from file://[ROOT]/tree
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    $ ztc validate
    exit: 3
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
    $ ztc plugins upgrade hello@2 --yes
    exit: 0
    --- stderr
    hello 1.1.0 -> 2.0.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
    warning: `hello` 2.0.0 would be installed and not used here, because it is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37: change that line first
    warning: the lock goes on with `hello` 1.1.0: `plugins.hello.version` asks for `^1`; change platform.yaml:6:37 and run `ztc plugins install hello@2.0.0` where you want this one
    ✓ hello 2.0.0 installed from file://[ROOT]/tree
    ");
    assert_eq!(locked(), "1.1.0");
    // A colleague gets what the lock names now; what is locked has to be there before it can be upgraded.
    colleague(&publisher);
    let colleague: [&[&str]; 3] = [
        &["plugins", "upgrade", "hello"],
        &["plugins", "install"],
        &["plugins", "upgrade"],
    ];
    insta::assert_snapshot!(steps(&publisher, &colleague), @"
    $ ztc plugins upgrade hello
    exit: 4
    --- stderr
    error: `hello` 1.1.0 is locked and not installed
      help: run `ztc plugins install`
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins upgrade
    exit: 0
    --- stderr
    hello 1.1.0 is the newest that fits, from file://[ROOT]/tree
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    ");
}

#[test]
fn a_single_file_and_what_is_not_installed_cannot_be_upgraded() {
    let publisher = publisher();
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "other"]), @"
    exit: 4
    --- stderr
    error: `other` is not installed
      help: run `ztc plugins install other --source SOURCE`
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello"]);
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade"]), @"
    exit: 0
    --- stderr
    nothing is installed that could be upgraded
    ");
    let file = format!("ztc-adapter-own-1.0.0-{}", machine());
    let path = publisher.environment.root().join(&file);
    fs::write(&path, adapter("own", "1.0.0")).unwrap();
    let place = format!("../{file}");
    publisher
        .environment
        .ztc_ok(&["plugins", "install", &place, "--allow-unsigned"]);
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "own"]), @"
    exit: 2
    --- stderr
    error: `own` was installed from a single file, which has no newer versions
      help: install the newer file: `ztc plugins install PATH --allow-unsigned`
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade"]), @"
    exit: 0
    --- stderr
    nothing is installed that could be upgraded
    ");
}

#[test]
fn a_version_that_nobody_has_asked_needs_a_word_too() {
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
    insta::assert_snapshot!(publisher.run(&["plugins", "upgrade", "strange", "--dry-run"]), @"
    exit: 0
    --- stderr
    strange 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      - provides acme/strange 1.0
      inputs    not known: one of the versions was published without them
      touches   not known: nobody has asked the new version when it was published
    warning: new versions may touch more than the old ones: `strange` something that is not known: this needs `--accept`
    ");
}

#[test]
fn an_adapter_that_declares_more_than_was_signed_does_not_run() {
    let publisher = publisher();
    change_and_sign(&publisher, |index| {
        let release = &mut index["adapters"]["hello"]["versions"]["1.2.0"];
        release["touches"]["network"] = serde_json::json!(["example.org:443"]);
        release["touches"]["tools"] = serde_json::json!([]);
    });
    publisher.publish(&[]);
    publisher
        .environment
        .ztc_ok(&["plugins", "upgrade", "--yes", "--accept"]);
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello"]), @"
    exit: 5
    --- stderr
    error: adapter `hello` may touch more than its publisher has signed for this version
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.2.0-[MACHINE]`
      not signed: network new.example:8443
      not signed: tool jq
      help: do not use this version: tell its publisher, whose index has to say what an adapter touches
    ");
    assert_eq!(
        publisher
            .run(&["plugins", "info", "hello", "--no-sandbox"])
            .code,
        Some(5)
    );
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello@1.2.0"]);
    assert_eq!(publisher.run(&["plugins", "info", "hello"]).code, Some(0));
}

#[test]
fn a_source_that_is_away_is_said_and_the_others_are_upgraded() {
    let publisher = publisher();
    let away = publisher.environment.root().join("away");
    let other = publisher.environment.root().join("other");
    publisher.put("other", "1.0.0", &machine());
    publisher.publish(&[]);
    // A copy of the tree is another source.
    let copied = std::process::Command::new("cp")
        .args(["-r", "tree", "other"])
        .current_dir(publisher.environment.root())
        .status();
    assert!(copied.unwrap().success());
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "other", "--source", "../other"]);
    fs::rename(&other, &away).unwrap();
    let commands: [&[&str]; 4] = [
        &["plugins", "upgrade", "other"],
        &["plugins", "upgrade", "--dry-run"],
        &["plugins", "upgrade", "--yes", "--accept"],
        &["plugins", "upgrade"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins upgrade other
    exit: 4
    --- stderr
    error: there is no directory `[ROOT]/other`
      help: name the directory that holds `index.json`
    $ ztc plugins upgrade --dry-run
    exit: 4
    --- stderr
    error: there is no directory `[ROOT]/other`
      help: name the directory that holds `index.json`
    hello 1.0.0 -> 1.2.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      + provides acme/hello 1.1
      - provides acme/hello 1.0
      + input region: string
      + input size: integer, default 3
      + touches variable HELLO_REGION
      + touches network new.example:8443
      + touches tool jq
    warning: new versions may touch more than the old ones: `hello` variable HELLO_REGION, network new.example:8443, tool jq: this needs `--accept`
    $ ztc plugins upgrade --yes --accept
    exit: 4
    --- stderr
    error: there is no directory `[ROOT]/other`
      help: name the directory that holds `index.json`
    hello 1.0.0 -> 1.2.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      + provides acme/hello 1.1
      - provides acme/hello 1.0
      + input region: string
      + input size: integer, default 3
      + touches variable HELLO_REGION
      + touches network new.example:8443
      + touches tool jq
    ✓ hello 1.2.0 installed from file://[ROOT]/tree
    $ ztc plugins upgrade
    exit: 4
    --- stderr
    error: there is no directory `[ROOT]/other`
      help: name the directory that holds `index.json`
    hello 1.2.0 is the newest that fits, from file://[ROOT]/tree
    ");
    let said = publisher.run(&["plugins", "upgrade", "--json"]);
    assert_eq!(said.code, Some(4));
    valid("plugins-upgrade.schema.json", &said.json());
    assert_eq!(said.json()["failed"][0]["name"], "other");
}

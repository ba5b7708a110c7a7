//! What an adapter may touch: shown before it is installed, agreed to by a word where it is more than before, however it is installed.

use std::fs;

use serde_json::json;

use crate::distribution::{Publisher, machine};
use crate::distribution_publish::change_and_sign;
use crate::distribution_team::{PLATFORM, colleague, edit, executable, lock, renderer, steps};
use crate::environment::TestEnv;
use crate::schemas::valid;

const MORE: &str = r#""config_schema": {"type": "object"}, "network": [{"host": "spy.example", "port": 443, "why": "tells"}], "tools": [{"name": "jq", "why": "reads"}]}"#;

/// Publishes a version of `hello` for this machine; one that wants more connects somewhere and uses a tool.
fn release(publisher: &Publisher, version: &str, wants_more: bool) {
    let text = renderer("hello", version, "");
    let text = match wants_more {
        true => text.replace(r#""config_schema": {"type": "object"}}"#, MORE),
        false => text,
    };
    let file = format!("ztc-adapter-hello-{version}-{}", machine());
    executable(&publisher.tree().join(file), &text);
    publisher.publish(&[]);
}

/// A publisher with `hello` 1.0.0 and 1.1.0, of which the second touches more, and a repository that asks for 1.x.
fn publisher() -> Publisher {
    let publisher = Publisher {
        environment: TestEnv::new(),
    };
    let environment = &publisher.environment;
    environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
    release(&publisher, "1.0.0", false);
    environment.write("platform.yaml", PLATFORM);
    publisher
}

#[test]
fn what_touches_more_than_what_is_installed_needs_a_word_however_it_is_installed() {
    let publisher = publisher();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    release(&publisher, "1.1.0", true);
    let from = ["plugins", "install", "hello", "--source", "../tree"];
    let commands: [&[&str]; 6] = [
        &["plugins", "install"],
        &["plugins", "install", "hello"],
        &["plugins", "install", "hello@^1"],
        &from,
        &["plugins", "install", "../tree"],
        &["plugins", "install", "--dry-run"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install
    exit: 5
    --- stderr
    error: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
      help: where that is right, run `ztc plugins install hello@1.1.0 --source file://[ROOT]/tree --accept`
    $ ztc plugins install hello
    exit: 5
    --- stderr
    error: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
      help: where that is right, run `ztc plugins install hello@1.1.0 --source file://[ROOT]/tree --accept`
    $ ztc plugins install hello@^1
    exit: 5
    --- stderr
    error: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
      help: where that is right, run `ztc plugins install hello@1.1.0 --source file://[ROOT]/tree --accept`
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
      help: where that is right, run `ztc plugins install hello@1.1.0 --source file://[ROOT]/tree --accept`
    $ ztc plugins install ../tree
    exit: 5
    --- stderr
    error: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
      help: where that is right, run `ztc plugins install hello@1.1.0 --source file://[ROOT]/tree --accept`
    $ ztc plugins install --dry-run
    exit: 0
    --- stderr
    warning: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq: this needs `--accept`
    ✓ hello 1.1.0 would be installed from file://[ROOT]/tree
      touches network spy.example:443 (new), tool jq (new)
    ");
    let refused = publisher.environment.ztc(&["plugins", "install", "--json"]);
    assert_eq!(refused.code, Some(5));
    let planned = ["plugins", "install", "--json", "--dry-run"];
    let planned = publisher.environment.ztc_ok(&planned).json();
    valid("plugins-install.schema.json", &planned);
    assert_eq!(
        planned["plugins"][0]["powers"],
        json!({
            "known": true,
            "touches": {"environment": [], "secrets": [], "network": ["spy.example:443"], "tools": ["jq"]},
            "compared_with": "1.0.0",
            "new": [{"kind": "network", "what": "spy.example:443"}, {"kind": "tool", "what": "jq"}],
        })
    );
    assert_eq!(
        publisher.run(&["plugins", "verify"]).stdout.lines().count(),
        2
    );
    // What was agreed to once is not asked again, and going back needs no word.
    let commands: [&[&str]; 3] = [
        &["plugins", "install", "--accept"],
        &["plugins", "install"],
        &["plugins", "install", "hello@1.0.0"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install --accept
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches network spy.example:443 (new), tool jq (new)
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.1.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello@1.0.0
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    ");
}

#[test]
fn a_lock_is_what_the_team_has_agreed_to() {
    let publisher = publisher();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    publisher.environment.ztc_ok(&["render"]);
    release(&publisher, "1.1.0", true);
    // A machine without a record knows from the index what the locked version touches.
    colleague(&publisher);
    let commands: [&[&str]; 3] = [
        &["plugins", "install", "hello@1.1.0"],
        &["plugins", "install"],
        &["plugins", "install", "hello@1.1.0", "--accept"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install hello@1.1.0
    exit: 5
    --- stderr
    error: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
      help: where that is right, run `ztc plugins install hello@1.1.0 --source file://[ROOT]/tree --accept`
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins install hello@1.1.0 --accept
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches network spy.example:443 (new), tool jq (new)
      platform/lock.json names hello 1.1.0 instead of 1.0.0
      next: ztc render  renders with it
    ");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["version"], "1.1.0");
    // Whoever has the older one is told, and follows the lock.
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello@1.1.0", "--force"]);
    insta::assert_snapshot!(steps(&publisher, &[&["plugins", "install"]]), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    warning: `hello` 1.1.0 may touch more than 1.0.0: network spy.example:443, tool jq
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches network spy.example:443 (new), tool jq (new)
    ");
}

#[test]
fn the_version_of_the_lock_with_other_bytes_is_refused_where_nothing_is_installed_too() {
    let publisher = publisher();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    publisher.environment.ztc_ok(&["render"]);
    let made = publisher.environment.read("platform/lock.json");
    colleague(&publisher);
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["platforms"][machine()]["sha256"] = "a".repeat(64).into();
    });
    let commands: [&[&str]; 2] = [
        &["plugins", "install", "hello@1.0.0"],
        &["plugins", "install", "hello@^1", "--source", "../tree"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install hello@1.0.0
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` has other bytes than before for [MACHINE]
      locked: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    $ ztc plugins install hello@^1 --source ../tree
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` has other bytes than before for [MACHINE]
      locked: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
    publisher.environment.write("platform/lock.json", made);
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.0.0"]);
}

#[test]
fn a_version_that_says_something_else_of_what_it_touches_is_refused() {
    let publisher = publisher();
    release(&publisher, "1.1.0", true);
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.0.0", "--source", "../tree"]);
    let touch = |network: &str| {
        change_and_sign(&publisher, |index| {
            let releases = &mut index["adapters"]["hello"]["versions"];
            releases["1.0.0"]["touches"]["network"] = json!([network]);
        });
        publisher.publish(&[]);
    };
    touch("spy.example:22");
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` does not say what it said before of what it touches
      new: network spy.example:22
      help: a version never changes what it touches: ask its publisher, who has to give the change a new version
    ");
    // Nor may it stop saying what it touches.
    change_and_sign(&publisher, |index| {
        let releases = &mut index["adapters"]["hello"]["versions"];
        let release = releases["1.0.0"].as_object_mut().unwrap();
        release["touches"]["network"] = json!([]);
        release.remove("inputs");
        release["provides"] = json!([]);
    });
    publisher.publish(&[]);
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` does not say what it said before of what it touches
      it says nothing any more
      help: a version never changes what it touches: ask its publisher, who has to give the change a new version
    ");
}

#[test]
fn a_file_of_one_s_own_in_the_place_of_a_signed_one_needs_a_word() {
    let publisher = publisher();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    let file = format!("ztc-adapter-hello-1.0.1-{}", machine());
    let path = publisher.environment.repo().join(&file);
    executable(&path, &renderer("hello", "1.0.1", "own"));
    let path = format!("./{file}");
    let file = ["plugins", "install", &path, "--allow-unsigned", "--moved"];
    let dry = [&file[..], &["--dry-run"]].concat();
    let accept = [&file[..], &["--accept"]].concat();
    insta::assert_snapshot!(steps(&publisher, &[&file, &dry, &accept, &file]), @"
    $ ztc plugins install ./ztc-adapter-hello-1.0.1-[MACHINE] --allow-unsigned --moved
    exit: 5
    --- stderr
    error: `hello` 1.0.1 may touch more than 1.0.0: something that is not known
      help: where that is right, run `ztc plugins install [REPO]/ztc-adapter-hello-1.0.1-[MACHINE] --allow-unsigned --moved --accept`
    $ ztc plugins install ./ztc-adapter-hello-1.0.1-[MACHINE] --allow-unsigned --moved --dry-run
    exit: 0
    --- stderr
    warning: `hello` 1.0.1 may touch more than 1.0.0: something that is not known: this needs `--accept`
    warning: nobody has signed `hello` 1.0.1: whoever can change file://[REPO]/ztc-adapter-hello-1.0.1-[MACHINE] decides what it does
    ✓ hello 1.0.1 would be installed from file://[REPO]/ztc-adapter-hello-1.0.1-[MACHINE]
      touches what it says when it starts: nobody has signed that
    $ ztc plugins install ./ztc-adapter-hello-1.0.1-[MACHINE] --allow-unsigned --moved --accept
    exit: 0
    --- stderr
    warning: nobody has signed `hello` 1.0.1: whoever can change file://[REPO]/ztc-adapter-hello-1.0.1-[MACHINE] decides what it does
    ✓ hello 1.0.1 installed from file://[REPO]/ztc-adapter-hello-1.0.1-[MACHINE]
      touches what it says when it starts: nobody has signed that
    $ ztc plugins install ./ztc-adapter-hello-1.0.1-[MACHINE] --allow-unsigned --moved
    exit: 0
    --- stderr
    warning: nobody has signed `hello` 1.0.1: whoever can change file://[REPO]/ztc-adapter-hello-1.0.1-[MACHINE] decides what it does
    ✓ hello 1.0.1 was installed from file://[REPO]/ztc-adapter-hello-1.0.1-[MACHINE]
    ");
}

#[test]
fn what_an_adapter_may_touch_is_shown_before_it_is_installed() {
    let publisher = publisher();
    release(&publisher, "1.1.0", true);
    let commands: [&[&str]; 3] = [
        &["plugins", "info", "hello"],
        &["plugins", "info", "hello@1.0.0"],
        &["plugins", "info", "hello", "--source", "../tree"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins info hello
    exit: 4
    --- stdout
    hello 1.1.0: says hello
      source       file://[ROOT]/tree
      trust        signed by [KEY],
                   which is new here: compare it with what the publisher shows elsewhere
      versions     1.1.0, 1.0.0
      platforms    [MACHINE]: 772 bytes
      protocol     1.0
      provides     nothing
      requires     nothing
      stages       run as you, outside of the sandbox; `ztc render` writes their scripts to read
      environment  nothing
      secrets      nothing
      network      spy.example:443
      tools        jq
    --- stderr
    `hello` is not installed; this is what file://[ROOT]/tree offers:
      next: ztc plugins install  installs it
    $ ztc plugins info hello@1.0.0
    exit: 0
    --- stdout
    hello 1.0.0: says hello
      source       file://[ROOT]/tree
      trust        signed by [KEY],
                   which is new here: compare it with what the publisher shows elsewhere
      versions     1.1.0, 1.0.0
      platforms    [MACHINE]: 662 bytes
      protocol     1.0
      provides     nothing
      requires     nothing
      stages       run as you, outside of the sandbox; `ztc render` writes their scripts to read
      environment  nothing
      secrets      nothing
      network      nothing
      tools        nothing
    --- stderr
    `hello` is not installed; this is what file://[ROOT]/tree offers:
      next: ztc plugins install hello@1.0.0 --source file://[ROOT]/tree  installs it
    $ ztc plugins info hello --source ../tree
    exit: 0
    --- stdout
    hello 1.1.0: says hello
      source       file://[ROOT]/tree
      trust        signed by [KEY],
                   which is new here: compare it with what the publisher shows elsewhere
      versions     1.1.0, 1.0.0
      platforms    [MACHINE]: 772 bytes
      protocol     1.0
      provides     nothing
      requires     nothing
      stages       run as you, outside of the sandbox; `ztc render` writes their scripts to read
      environment  nothing
      secrets      nothing
      network      spy.example:443
      tools        jq
    --- stderr
    `hello` is not installed; this is what file://[ROOT]/tree offers:
      next: ztc plugins install  installs it
    ");
    // Nobody is trusted by looking, nothing is installed, and nothing was started.
    for path in [".config/ztc/trust.json", ".local/share/ztc/installed"] {
        assert!(
            !publisher
                .environment
                .root()
                .join("home")
                .join(path)
                .exists()
        );
    }
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.0.0"]);
    let shown = ["plugins", "info", "hello@1.1.0", "--json"];
    let shown = publisher.environment.ztc_ok(&shown).json();
    valid("plugins-info.schema.json", &shown);
    assert_eq!(shown["key"], "pinned");
    assert_eq!(shown["powers"]["new"][0]["what"], "spy.example:443");
    let here = publisher
        .environment
        .ztc_ok(&["plugins", "info", "hello", "--json"]);
    valid("plugins-info.schema.json", &here.json());
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello@1.1.0"]).stdout, @"
    hello 1.1.0: says hello
      source       file://[ROOT]/tree
      trust        signed by [KEY],
                   which this machine trusts
      versions     1.1.0, 1.0.0
      installed    1.0.0
      platforms    [MACHINE]: 772 bytes
      protocol     1.0
      provides     nothing
      requires     nothing
      stages       run as you, outside of the sandbox; `ztc render` writes their scripts to read
      environment  nothing
      secrets      nothing
      network      spy.example:443 (new since 1.0.0)
      tools        jq (new since 1.0.0)
    ");
    let searched = publisher
        .environment
        .ztc_ok(&["plugins", "search", "--json"]);
    valid("plugins-search.schema.json", &searched.json());
    assert_eq!(
        searched.json()["plugins"][0]["versions"][0]["powers"]["new"][0]["what"],
        "spy.example:443"
    );
    insta::assert_snapshot!(publisher.run(&["plugins", "search"]), @"
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.1.0, 1.0.0  1.0  [MACHINE]  1.0.0  file://[ROOT]/tree  says hello
    --- stderr
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    ");
}

#[test]
fn a_name_that_nobody_knows_is_advised_to_be_looked_for() {
    let publisher = publisher();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    fs::create_dir(publisher.environment.repo().join("adapters")).unwrap();
    let commands: [&[&str]; 5] = [
        &["plugins", "info", "unknown"],
        &["plugins", "info", "helo"],
        &["plugins", "info", "hello@9", "--source", "../tree"],
        &["plugins", "install", "unknown"],
        &["plugins", "install", "adapters"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins info unknown
    exit: 4
    --- stderr
    error: there is no adapter `unknown`
      known are `cilium`, `hello`, `hetzner`, and `talos`
      `ztc-adapter-unknown` is neither in `[ROOT]/home/.local/share/ztc/plugins` nor on PATH, and platform.yaml has no `plugins.unknown.path`
      help: look for it with `ztc plugins search unknown`, or install it with `ztc plugins install unknown --source SOURCE`
    $ ztc plugins info helo
    exit: 4
    --- stderr
    error: there is no adapter `helo`
      known are `cilium`, `hello`, `hetzner`, and `talos`
      help: did you mean `hello`?
    $ ztc plugins info hello@9 --source ../tree
    exit: 4
    --- stderr
    error: `file://[ROOT]/tree` has no version of `hello` `^9`
      help: it has `1.0.0`
    $ ztc plugins install unknown
    exit: 4
    --- stderr
    error: no trusted source has an adapter `unknown`
      help: say where it comes from: `ztc plugins install unknown --source SOURCE`
    $ ztc plugins install adapters
    exit: 4
    --- stderr
    error: no trusted source has an adapter `adapters`
      help: where you mean what lies here under that name, write `ztc plugins install ./adapters`
    ");
}
